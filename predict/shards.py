"""Sharing a folder of photos among processes, such as `torchrun` starts."""

import datetime
from collections.abc import Sequence
from typing import Any, TypeVar

import torch

from utils.torchrun import Process

Item = TypeVar("Item")

LONGEST_WAIT = datetime.timedelta(days=7)  # of the quickest process for the slowest


class Shard(Process):
    """One process' part of the work."""

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Every `count`-th of the items, from the `rank`-th on."""
        return list(items[self.rank :: self.count])

    def gather(self, value: Any) -> list[Any]:
        """What each process hands in, by rank; every process waits for the last one.

        Waiting matters: torchrun stops all the others as soon as one ends with another status
        than 0.
        """
        if self.count == 1:
            return [value]
        torch.distributed.init_process_group(
            "gloo", rank=self.rank, world_size=self.count, timeout=LONGEST_WAIT
        )
        values = [None] * self.count
        torch.distributed.all_gather_object(values, value)
        torch.distributed.destroy_process_group()
        return values
