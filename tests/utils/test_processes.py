"""What torchrun tells its processes, and how they share work."""

import pytest
import torch

from utils.errors import InputError
from utils.processes import Ranks

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1",
    "MASTER_ADDR": "localhost", "MASTER_PORT": "29500",
}  # fmt: skip


def test_the_variables_are_read():
    assert Ranks.from_environment(TORCHRUN) == Ranks(rank=5, size=8, local_rank=1)
    assert Ranks.from_environment({"RANK": "0", "WORLD_SIZE": "1"}) == Ranks()
    assert Ranks.from_environment({"PATH": "/bin"}) == Ranks(rank=0, size=1, local_rank=0)


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
        Ranks.from_environment({**TORCHRUN, **changes})


def test_each_process_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    processes = [Ranks(rank, 3, local_rank=rank) for rank in range(3)]
    assert [p.device_name("auto") for p in processes] == ["cuda:0", "cuda:1", "cuda:2"]
    names = [p.device_name("cuda", shared=True) for p in processes]
    assert names == ["cuda:0", "cuda:1", "cuda:0"]


def test_a_device_that_was_chosen_stands(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Ranks(1, 3, 1).device_name("cpu") == "cpu"
    assert Ranks(1, 3, 1).device_name("cuda:0") == "cuda:0"
    assert Ranks().device_name("auto") == "auto"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Ranks(1, 3, 1).device_name("auto") == "auto"


def test_without_torchrun_one_process_has_everything():
    ranks = Ranks.from_environment({"PATH": "/bin"})
    assert ranks.is_first
    assert ranks.share_of(["a", "b", "c"]) == ["a", "b", "c"]
    assert ranks.gather("mine") == ["mine"]


def test_shares_are_all_of_it_once():
    parts = [Ranks(rank, 3).share_of(list(range(8))) for rank in range(3)]
    assert parts == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert Ranks(2, 3).share_of([1, 2]) == []
    items = torch.arange(10)
    shares = [Ranks(rank, 3).share_of(items) for rank in range(3)]
    assert sorted(torch.cat(shares).tolist()) == list(range(10))
    assert {len(share) for share in shares} == {3, 4}


def test_a_batch_that_cannot_be_shared():
    Ranks(0, 4).check_batch(140)
    with pytest.raises(InputError, match="140 cannot be shared equally by 3"):
        Ranks(0, 3).check_batch(140)
