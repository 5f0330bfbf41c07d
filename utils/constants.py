"""Small fixed tensors, made once for each device.

Making a tensor from numbers copies them to the device and waits for it; a training step must not.
"""

import functools

import torch
from torch import Tensor


@functools.cache
def constant(
    values: float | tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """A tensor of these values; shared, so never to be changed in place.

    Args:
        values: a number or a tuple of numbers.
        device: where it lives.
        dtype: of the tensor.
    """
    with torch.inference_mode(False):  # or autograd could not use what predicting made
        return torch.tensor(values, dtype=dtype, device=device)


def pick(joints: Tensor, indices: tuple[int, ...]) -> Tensor:
    """Joints (B, J, ...) by their numbers: (B, len(indices), ...)."""
    return joints.index_select(1, constant(indices, joints.device, torch.int64))
