"""Which of several processes this one is, and what it shares with the others.

`torchrun --nproc_per_node=N run_train.py` (or run_predict.py) starts the processes and tells each
its number in the environment. Without torchrun there is one process, and sharing does nothing.
"""

import datetime
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from utils.errors import InputError

Items = TypeVar("Items")

GATHER_TIMEOUT = datetime.timedelta(days=7)  # of the quickest process, waiting for the slowest
SETTLING = 0.2  # seconds in which the threads of a group of processes come to an end
_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_ADDRESS = ("MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is.

    Attributes:
        rank: number of this process.
        size: number of processes.
        local_rank: number of this process on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Ranks":
        """What torchrun's variables say; a single process without them.

        Raises:
            InputError: some variables are missing or are no numbers that belong together.
        """
        none_set = not any(environment.get(name) for name in ("RANK", "WORLD_SIZE"))
        if none_set or environment.get("WORLD_SIZE") == "1":
            return cls()
        values = {name: environment.get(name, "") for name in _NUMBERS}
        found = ", ".join(f"{name}={value!r}" for name, value in values.items())
        try:
            ranks = cls(*(int(value) for value in values.values()))
        except ValueError as error:
            raise InputError(f"{found}: start with torchrun, or unset these variables") from error
        if not 0 <= ranks.rank < ranks.size or ranks.local_rank < 0:
            raise InputError(f"{found}: expected 0 <= RANK < WORLD_SIZE; start with torchrun")
        if ranks.size > 1 and not all(environment.get(name) for name in _ADDRESS):
            raise InputError(
                f"{found}, but {' or '.join(_ADDRESS)} is not set; start with torchrun"
            )
        return ranks

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def device_name(self, name: str, shared: bool = False) -> str:
        """The device to take where `name` was asked for: each process of a machine its own GPU.

        Args:
            name: "auto" and "cuda" leave the choice; others stand.
            shared: whether more processes than GPUs may take turns; else the last ones are given
                GPUs that are not there.
        """
        if self.size == 1 or name not in ("auto", "cuda") or not torch.cuda.is_available():
            return name
        gpus = torch.cuda.device_count()
        return f"cuda:{self.local_rank % gpus if shared else self.local_rank}"

    def share_of(self, items: Items) -> Items:
        """This process's part of a tensor or list that all processes have, every size-th item."""
        return items[self.rank :: self.size]

    def check_batch(self, batch_size: int) -> None:
        """Raises InputError for a batch that the processes cannot share equally."""
        if batch_size % self.size:
            raise InputError(
                f"a batch of {batch_size} cannot be shared equally by {self.size} processes; "
                "choose a --training.batch-size that is a multiple of their number"
            )

    def sum(self, values: Tensor) -> Tensor:
        """The sum over processes of a tensor that each has; no gradients. See `joined_ranks`."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        dist.all_reduce(total)
        return total

    def mean(self, values: Tensor) -> Tensor:
        """The mean over processes of a tensor that each has; no gradients. See `joined_ranks`."""
        return self.sum(values) / self.size if self.size > 1 else values

    def share_buffers(self, module: nn.Module) -> None:
        """Copies the first process's buffers, which are those that it writes, to all others.

        In training each process's batch normalisation follows the people of its own share.
        """
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank; waits for the last. Not within `joined_ranks`.

        Waiting matters: torchrun stops all the others as soon as one ends with another status
        than 0.
        """
        if self.size == 1:
            return [value]
        dist.init_process_group(
            "gloo", rank=self.rank, world_size=self.size, timeout=GATHER_TIMEOUT
        )
        values = [None] * self.size
        dist.all_gather_object(values, value)
        dist.destroy_process_group()
        return values


ALONE = Ranks()


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[Ranks]:
    """Connects the processes that torchrun started, if any, so that they can sum and average.

    Args:
        device: where this process computes; decides how the processes communicate.
    """
    ranks = Ranks.from_environment()
    if ranks.size == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ranks
    finally:
        # Gloo's threads let go of the tensors that they summed, for which they need Python: one
        # that still waits for it when Python ends aborts the process.
        time.sleep(SETTLING)
        dist.destroy_process_group()
