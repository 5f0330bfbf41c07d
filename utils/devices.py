"""Chooses where tensors live and what the network computes in; called once, by the run scripts."""

import torch

from utils.conventions import Precision
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


def name_device(device: str, gpu: int | None) -> str:
    """The device that `--device` and `--gpu N` name together; N is that of `cuda:N`.

    Raises:
        InputError: both are given, or N is no number of a GPU.
    """
    if gpu is None:
        return device
    if device != "auto":
        raise InputError(f"--gpu {gpu} and --device {device} both name a device; give one of them")
    if gpu < 0:
        raise InputError(f"--gpu is {gpu}; expected 0 or more, or --device cpu")
    return f"cuda:{gpu}"


def network_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """What the network computes in on a device; "auto" is bfloat16 where that is in hardware.

    A processor without it imitates bfloat16, many times slower than float32: a step of 32 people at
    128 x 128 took 20 s instead of one on a processor with AVX2 alone.
    """
    if precision == "auto":
        precision = "bf16" if _has_bfloat16(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()  # those of the processor's own architecture
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
