"""One process' part of a folder."""

from predict.shards import Shard


def test_without_torchrun_one_process_has_everything():
    shard = Shard.from_environment({"PATH": "/bin"})
    assert shard.of("abc") == ["a", "b", "c"]
    assert shard.gather("mine") == ["mine"]


def test_every_photo_has_one_rank():
    parts = [Shard(rank, 3).of(range(8)) for rank in range(3)]
    assert parts == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert Shard(2, 3).of([1, 2]) == []
