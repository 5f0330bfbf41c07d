"""One process' part of a folder."""

import pytest
import torch

from predict.shards import Shard
from utils.errors import InputError

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1",
    "MASTER_ADDR": "localhost", "MASTER_PORT": "29500",
}  # fmt: skip


def test_without_torchrun_one_process_has_everything():
    shard = Shard.from_environment({"PATH": "/bin"})
    assert shard == Shard()
    assert shard.of("abc") == ["a", "b", "c"]
    assert shard.gather("mine") == ["mine"]
    assert shard.device_name("auto") == "auto"


def test_every_photo_has_one_rank():
    assert Shard.from_environment(TORCHRUN) == Shard(rank=5, count=8, local_rank=1)
    parts = [Shard(rank, 3).of(range(8)) for rank in range(3)]
    assert parts == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert Shard(2, 3).of([1, 2]) == []


def test_each_rank_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    names = [Shard(rank, 3, local_rank=rank).device_name("auto") for rank in range(3)]
    assert names == ["cuda:0", "cuda:1", "cuda:0"]
    assert Shard(1, 3, 1).device_name("cpu") == "cpu"
    assert Shard(1, 3, 1).device_name("cuda:0") == "cuda:0"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Shard(1, 3, 1).device_name("auto") == "auto"


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
        Shard.from_environment({**TORCHRUN, **changes})
