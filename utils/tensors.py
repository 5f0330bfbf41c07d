"""Helpers for tensors: constants, checked pairs, random numbers, precision."""

import functools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from utils.options import Extent, ends_of


@functools.cache
def constant(
    values: float | tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """A tensor of these values, made once and shared: never change it in place.

    Args:
        values: a number or a tuple of numbers.
        device: where it lives.
        dtype: of the tensor.
    """
    with torch.inference_mode(False):  # a tensor made in inference mode cannot be used in training
        return torch.tensor(values, dtype=dtype, device=device)


def pick(joints: Tensor, indices: tuple[int, ...]) -> Tensor:
    """Joints (B, J, ...) by their numbers: (B, len(indices), ...)."""
    return joints.index_select(1, constant(indices, joints.device, torch.int64))


def pair_of(pred: dict[str, Tensor], target: dict[str, Tensor], key: str) -> tuple[Tensor, Tensor]:
    """The predicted and the true tensor of a name; of betas as many as both have.

    Raises:
        ValueError: one is missing, or their shapes differ.
    """
    for name, tensors in (("pred", pred), ("target", target)):
        if key not in tensors:
            raise ValueError(f"this needs {key}, but {name} has only {sorted(tensors)}")
    found, true = pred[key], target[key]
    if key == "betas":
        count = min(found.shape[-1], true.shape[-1])
        found, true = found[..., :count], true[..., :count]
    if found.shape != true.shape:
        raise ValueError(
            f"{key}: pred has shape {tuple(found.shape)}, target {tuple(true.shape)}; "
            "they must be the same"
        )
    return found, true


def match_betas(betas: Tensor, count: int) -> Tensor:
    """The first so many of betas (..., N), and 0 for those that are missing."""
    return F.pad(betas, (0, count - betas.shape[-1]))


def join_betas(files: Sequence[np.ndarray]) -> np.ndarray:
    """Betas (N, B) of several files one below the other, 0 where a file has fewer columns."""
    count = max(betas.shape[1] for betas in files)
    return np.concatenate([np.pad(each, ((0, 0), (0, count - each.shape[1]))) for each in files])


def visibility_of(target: dict[str, Tensor], joints2d: Tensor) -> Tensor:
    """Which of the 2D joints (B, J, 2) are visible: (B, J) bool.

    Raises:
        ValueError: target has no visibility, or one of another shape.
    """
    if "visibility" not in target:
        raise ValueError("this needs visibility (B, 17) bool, but target has no visibility")
    visibility = target["visibility"].bool()
    if visibility.shape != joints2d.shape[:2]:
        raise ValueError(
            f"visibility has shape {tuple(visibility.shape)}; {tuple(joints2d.shape[:2])} is needed"
        )
    return visibility


def normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=generator, device=generator.device)


def uniform(
    shape: tuple[int, ...], extent: Extent, generator: Generator, unit: float = 1.0
) -> Tensor:
    """Uniform numbers in [-extent, extent), or between the two ends that are given.

    Args:
        shape: of the tensor.
        extent: in `unit`.
        generator: random numbers, on the device of the result.
        unit: what the extent is multiplied by.
    """
    low, high = ends_of(extent)
    numbers = torch.empty(shape, device=generator.device)
    return numbers.uniform_(low * unit, high * unit, generator=generator)


def happens(shape: tuple[int, ...], probability: float | Tensor, generator: Generator) -> Tensor:
    """Booleans that are true with the given probability."""
    return torch.rand(shape, generator=generator, device=generator.device) < probability


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """The context in which the network computes in what `utils.devices.network_dtype` chose."""
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)
