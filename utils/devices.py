"""Chooses where tensors live; called once, by the run scripts."""

import torch

from utils.errors import InputError


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name; "auto" takes a GPU when there is one.

    Raises:
        InputError: the name is unknown, or names a device that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"unknown device {name!r}; expected auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= found:
            raise InputError(f"device {name} was asked for, but {found} CUDA devices were found")
    elif device.type != "cpu":
        raise InputError(f"device {name} is not supported; expected auto, cpu, cuda or cuda:N")
    return device
