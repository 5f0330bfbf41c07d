"""Training on several GPUs or machines, started by `torchrun --nproc_per_node=N run_train.py`.

Every process trains on its share of each batch; gradients are averaged by torch's
DistributedDataParallel, everything else that is averaged or summed over processes passes here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from utils.errors import InputError
from utils.torchrun import Process


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is; alone, unless torchrun started it."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def share_of(self, items: Tensor) -> Tensor:
        """This process's part of a tensor that all processes have, every size-th item."""
        return items[self.rank :: self.size]

    def check_batch(self, batch_size: int) -> None:
        """Raises InputError for a batch that the processes cannot share equally."""
        if batch_size % self.size:
            raise InputError(
                f"a batch of {batch_size} cannot be shared equally by {self.size} processes; "
                "choose a --training.batch-size that is a multiple of their number"
            )

    def sum(self, values: Tensor) -> Tensor:
        """The sum over processes of a tensor that each has; no gradients."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        dist.all_reduce(total)
        return total

    def share_buffers(self, module: nn.Module) -> None:
        """Gives every process the first one's buffers, which are those that it writes.

        In training each process' batch normalisation follows the people of its own share.
        """
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over processes of a tensor that each has; no gradients."""
        return self.sum(values) / self.size if self.size > 1 else values


ALONE = Ranks()


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[Ranks]:
    """Meets the other processes that torchrun started, if any, and parts from them at the end.

    Args:
        device: where this process computes; decides how the processes talk.
    """
    if Process.from_environment().count == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
