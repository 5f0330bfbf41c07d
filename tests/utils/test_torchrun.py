"""What torchrun tells its processes."""

import pytest
import torch

from utils.errors import InputError
from utils.torchrun import Process

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1",
    "MASTER_ADDR": "localhost", "MASTER_PORT": "29500",
}  # fmt: skip


def test_the_variables_are_read():
    assert Process.from_environment(TORCHRUN) == Process(rank=5, count=8, local_rank=1)
    assert Process.from_environment({"RANK": "0", "WORLD_SIZE": "1"}) == Process()
    assert Process.from_environment({"PATH": "/bin"}) == Process(rank=0, count=1, local_rank=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"RANK": "8"},
        {"RANK": "-1"},
        {"RANK": "first"},
        {"LOCAL_RANK": ""},
        {"WORLD_SIZE": ""},
        {"MASTER_ADDR": ""},
    ],
)
def test_variables_that_do_not_belong_together_are_refused(changes):
    with pytest.raises(InputError, match="start with torchrun"):
        Process.from_environment({**TORCHRUN, **changes})


def test_each_process_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    processes = [Process(rank, 3, local_rank=rank) for rank in range(3)]
    assert [p.device_name("auto") for p in processes] == ["cuda:0", "cuda:1", "cuda:2"]
    names = [p.device_name("cuda", shared=True) for p in processes]
    assert names == ["cuda:0", "cuda:1", "cuda:0"]


def test_a_device_that_was_chosen_stands(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Process(1, 3, 1).device_name("cpu") == "cpu"
    assert Process(1, 3, 1).device_name("cuda:0") == "cuda:0"
    assert Process().device_name("auto") == "auto"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Process(1, 3, 1).device_name("auto") == "auto"
