"""Sharing a folder of photos among processes, such as `torchrun` starts."""

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from utils.errors import InputError

Item = TypeVar("Item")

LONGEST_WAIT = datetime.timedelta(days=7)  # of the quickest process for the slowest
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_ADDRESS = ("MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Shard:
    """One process' part of the work.

    Attributes:
        rank: number of this process.
        count: of processes.
        local_rank: number of this process on its machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Shard":
        """The part that torchrun's variables give this process; all of it without them.

        Raises:
            InputError: some variables are missing or are no numbers that belong together.
        """
        if not any(environment.get(name) for name in ("RANK", "WORLD_SIZE")):
            return cls()
        found = {name: environment.get(name, "") for name in _VARIABLES}
        told = ", ".join(f"{name}={value!r}" for name, value in found.items())
        try:
            shard = cls(*(int(value) for value in found.values()))
        except ValueError as error:
            raise InputError(f"{told}: start with torchrun, or unset these variables") from error
        if not 0 <= shard.rank < shard.count or shard.local_rank < 0:
            raise InputError(f"{told}: expected 0 <= RANK < WORLD_SIZE; start with torchrun")
        if shard.count > 1 and not all(environment.get(name) for name in _ADDRESS):
            raise InputError(f"{told}, but {' or '.join(_ADDRESS)} is not set; start with torchrun")
        return shard

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Every `count`-th of the items, from the `rank`-th on."""
        return list(items[self.rank :: self.count])

    def device_name(self, name: str) -> str:
        """The device to take where `name` was asked for: on machines with GPUs each its own."""
        if self.count > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
            return f"cuda:{self.local_rank % torch.cuda.device_count()}"
        return name

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
