"""Random tensors from one seeded generator, on the generator's device."""

import torch
from torch import Generator, Tensor


def normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=generator, device=generator.device)


def uniform(shape: tuple[int, ...], extent: float, generator: Generator) -> Tensor:
    """Uniform numbers in [-extent, extent)."""
    numbers = torch.empty(shape, device=generator.device)
    return numbers.uniform_(-extent, extent, generator=generator)


def happens(shape: tuple[int, ...], probability: float | Tensor, generator: Generator) -> Tensor:
    """Booleans that are true with the given probability."""
    return torch.rand(shape, generator=generator, device=generator.device) < probability
