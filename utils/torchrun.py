"""What torchrun tells the processes that it starts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from utils.errors import InputError

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_ADDRESS = ("MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Process:
    """Which of the processes this one is.

    Attributes:
        rank: number of this process.
        count: of processes.
        local_rank: number of this process on its machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Process":
        """The process that torchrun's variables describe; the only one without them.

        Raises:
            InputError: some variables are missing or are no numbers that belong together.
        """
        told_nothing = not any(environment.get(name) for name in ("RANK", "WORLD_SIZE"))
        if told_nothing or environment.get("WORLD_SIZE") == "1":
            return cls()
        found = {name: environment.get(name, "") for name in _VARIABLES}
        told = ", ".join(f"{name}={value!r}" for name, value in found.items())
        try:
            process = cls(*(int(value) for value in found.values()))
        except ValueError as error:
            raise InputError(f"{told}: start with torchrun, or unset these variables") from error
        if not 0 <= process.rank < process.count or process.local_rank < 0:
            raise InputError(f"{told}: expected 0 <= RANK < WORLD_SIZE; start with torchrun")
        if process.count > 1 and not all(environment.get(name) for name in _ADDRESS):
            raise InputError(f"{told}, but {' or '.join(_ADDRESS)} is not set; start with torchrun")
        return process

    def device_name(self, name: str, shared: bool = False) -> str:
        """The device to take where `name` was asked for: each process of a machine its own GPU.

        Args:
            name: "auto" and "cuda" leave the choice; others stand.
            shared: whether more processes than GPUs may take turns; else the last ones are given
                GPUs that are not there.
        """
        if self.count == 1 or name not in ("auto", "cuda") or not torch.cuda.is_available():
            return name
        gpus = torch.cuda.device_count()
        return f"cuda:{self.local_rank % gpus if shared else self.local_rank}"
