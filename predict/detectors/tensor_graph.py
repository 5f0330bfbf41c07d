"""Runs a convolutional network whose layers are steps listed in a file, on torch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from utils.errors import InputError
from utils.readers import read_npz

Step = dict[str, Any]
Layer = Callable[..., Tensor]


class TensorGraph:
    """A network made of steps that read and write numbered tensors.

    Args:
        steps: what to do in turn: "do" names one of `_LAYERS`, "from" the tensors that are read,
            "to" the one that is written; what else there is are the layer's options. The first
            is {"do": "start", "to": ...}, the last {"do": "return", "from": [...]}.
        weights: kernel and bias of every convolution, one after the other.
    """

    def __init__(self, steps: list[Step], weights: list[np.ndarray]) -> None:
        """Makes the layers, in float32."""
        start, *layers, end = steps
        self._input, self._outputs = start["to"], end["from"]
        arrays = iter(weights)
        self._layers = [
            (_LAYERS[step["do"]](step, arrays), step["from"], step["to"]) for step in layers
        ]

    @classmethod
    def read(cls, path: Path, name: str) -> "TensorGraph":
        """The network of that name in an npz file of what `to_arrays` gave.

        Raises:
            InputError: the file cannot be read, or has no such network.
        """
        listed = read_npz(path, [f"{name}_steps"])[f"{name}_steps"]
        try:
            steps = json.loads(listed.tobytes())
            count = 2 * sum(step["do"] == "convolve" for step in steps)
            names = [f"{name}_{number}" for number in range(count)]
            weights = read_npz(path, names)
            return cls(steps, [weights[each] for each in names])
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
            raise InputError(
                f"{path} holds no network of layers that are known here ({error!r}); make it anew "
                "with tools/build_pose_bundle.py"
            ) from error

    @torch.inference_mode()
    def run(self, image: Tensor) -> list[Tensor]:
        """The outputs for (1, H, W, 3) float32, channels last as well."""
        tensors = {self._input: image.permute(0, 3, 1, 2)}  # (1, 3, H, W)
        for layer, inputs, output in self._layers:
            tensors[output] = layer(*(tensors[number] for number in inputs))
        found = (tensors[number] for number in self._outputs)
        return [each.permute(0, 2, 3, 1) if each.ndim == 4 else each for each in found]


def to_arrays(name: str, steps: list[Step], weights: list[np.ndarray]) -> dict[str, np.ndarray]:
    """A network as plain arrays, to be kept in an npz file; weights as 16-bit floats."""
    arrays = {f"{name}_{number}": array.astype(np.float16) for number, array in enumerate(weights)}
    return arrays | {f"{name}_steps": np.frombuffer(json.dumps(steps).encode(), np.uint8)}


def _convolve(step: Step, weights: Any) -> Layer:
    kernel, bias = (torch.from_numpy(next(weights).astype(np.float32)) for _ in range(2))
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    left, right, top, bottom = step["pad"]
    even = left == right and top == bottom
    padding = (top, left) if even else (0, 0)

    def layer(image: Tensor) -> Tensor:
        if not even:
            image = functional.pad(image, (left, right, top, bottom))
        image = functional.conv2d(image, kernel, bias, step["stride"], padding, 1, step["groups"])
        return _activate(image, step)

    return layer


def _add(step: Step, _: Any) -> Layer:
    return lambda one, other: _activate(one + other, step)


def _activate(image: Tensor, step: Step) -> Tensor:
    return functional.relu6(image, inplace=True) if step["then"] == "relu6" else image


def _resize(step: Step, _: Any) -> Layer:
    return lambda image: functional.interpolate(image, size=step["size"], mode="bilinear")


def _max_pool(step: Step, _: Any) -> Layer:
    return lambda image: functional.max_pool2d(image, step["size"])


def _to_space(step: Step, _: Any) -> Layer:
    """Channels, in groups, become the pixels of a block: (1, b * b * C, H, W), block first."""
    block = step["block"]

    def layer(image: Tensor) -> Tensor:
        _, channels, height, width = image.shape
        blocks = image.reshape(block, block, channels // block**2, height, width)
        blocks = blocks.permute(2, 3, 0, 4, 1)  # (C, H, block, W, block)
        return blocks.reshape(1, -1, block * height, block * width)

    return layer


def _rows(step: Step, _: Any) -> Layer:
    """Pixel by pixel, channels last, to rows: (1, C, H, W) to (1, N, length)."""
    return lambda image: image.permute(0, 2, 3, 1).reshape(1, -1, step["length"])


def _concatenate(_: Step, __: Any) -> Layer:
    return lambda *rows: torch.cat(rows, dim=1)


def _sigmoid(_: Step, __: Any) -> Layer:
    return torch.sigmoid


_LAYERS: dict[str, Callable[[Step, Any], Layer]] = {
    "convolve": _convolve,
    "add": _add,
    "resize": _resize,
    "max_pool": _max_pool,
    "to_space": _to_space,
    "rows": _rows,
    "concatenate": _concatenate,
    "sigmoid": _sigmoid,
}
