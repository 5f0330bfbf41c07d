"""Small fixed tensors, made once for each device.

Making a tensor from numbers copies them to the device and waits for it; a training step must not.
"""

import functools

import torch
from torch import Tensor


@functools.cache
def constant(values: float | tuple[float, ...], device: torch.device) -> Tensor:
    """A float32 tensor of these values; shared, so never to be changed in place.

    Args:
        values: a number or a tuple of numbers.
        device: where it lives.
    """
    with torch.inference_mode(False):  # or autograd could not use what predicting made
        return torch.tensor(values, dtype=torch.float32, device=device)
