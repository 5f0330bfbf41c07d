"""Converts MediaPipe's pose networks to the file that the detector reads with torch alone.

    pip download mediapipe==0.10.21 --no-deps --only-binary=:all: --python-version 3.11
    pip install -r tools/requirements.txt
    python -m tools.build_pose_bundle --wheel mediapipe-0.10.21-*.whl

mediapipe 0.10.21 is the last release that carries its networks (Apache-2.0), as two .tflite files.
Their weights stay what they are, 16-bit floats; what is written beside them is the order in which
the layers run. Both networks are run here by ai-edge-litert, too, and must agree.
"""

import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from predict.detectors.tensor_graph import TensorGraph, to_arrays
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.files import write_npz, write_whole
from utils.paths import MEDIAPIPE_POSE

FILES = {
    "detector": "mediapipe/modules/pose_detection/pose_detection.tflite",
    "landmarks": "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
}
LICENSE = "mediapipe-0.10.21.dist-info/LICENSE"
ACTIVATIONS = {0: None, 3: "relu6"}  # tflite's numbers
SAME, VALID = 0, 1  # tflite's paddings
TOLERANCE = 1e-3  # of an output's largest value


@dataclass(frozen=True)
class Options:
    """Options of build_pose_bundle.py."""

    wheel: Path  # mediapipe-0.10.21-*.whl
    output: Path = MEDIAPIPE_POSE  # npz to write; the licence is written beside it


def main(options: Options) -> None:
    """Reads, converts, compares and writes."""
    models, license_text = read_wheel(options.wheel)
    arrays: dict[str, np.ndarray] = {}
    for name, model in models.items():
        oracle = Oracle(model)
        steps, weights = Converter(model, oracle.constants).convert()
        converted = to_arrays(name, steps, weights)
        compare(name, TensorGraph(steps, weights), oracle)
        arrays |= converted
    write_npz(options.output, arrays)
    write_whole(options.output.with_name(f"{options.output.stem}_LICENSE.txt"), license_text)
    print(f"wrote {options.output}, {options.output.stat().st_size / 1e6:.1f} MB")


def read_wheel(wheel: Path) -> tuple[dict[str, bytes], bytes]:
    """The two networks by name, and mediapipe's licence.

    Raises:
        InputError: the file is not there, is no wheel, or another release's.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return {name: archive.read(path) for name, path in FILES.items()}, archive.read(LICENSE)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{wheel} is not the wheel of mediapipe 0.10.21 ({error}); get it with: pip download "
            "mediapipe==0.10.21 --no-deps --only-binary=:all: --python-version 3.11"
        ) from error


class Oracle:
    """A network run by ai-edge-litert.

    Attributes:
        size: height and width of its input.
    """

    def __init__(self, model: bytes) -> None:
        """Loads the network."""
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        # Without its fast path every tensor can be read, the unpacked weights among them.
        self._interpreter = Interpreter(
            model_content=model,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self.size = int(self._input["shape"][1])
        self.run(np.zeros(self._input["shape"], np.float32))

    def constants(self, tensor: int) -> np.ndarray:
        """A tensor's value after the last run."""
        return self._interpreter.get_tensor(tensor).copy()

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        """The network's outputs for (1, H, W, 3) float32."""
        self._interpreter.set_tensor(self._input["index"], image)
        self._interpreter.invoke()
        outputs = self._interpreter.get_output_details()
        return [self.constants(output["index"]) for output in outputs]


class Converter:
    """From a .tflite file to the steps of a `TensorGraph`.

    Args:
        model: the file.
        constants: from a tensor's number to its value, for weights.
    """

    def __init__(self, model: bytes, constants: Callable[[int], np.ndarray]) -> None:
        """Reads the file."""
        from ai_edge_litert import schema_py_generated as schema

        self._model = schema.ModelT.InitFromPackedBuf(model, 0)
        self._graph = self._model.subgraphs[0]
        self._names = {
            number: name
            for name, number in vars(schema.BuiltinOperator).items()
            if isinstance(number, int)
        }
        self._constants = constants
        self._weights: list[np.ndarray] = []
        self._padded: dict[int, tuple[int, list[int]]] = {}  # tensor: what it pads, and by how much
        self._convert = {
            "CONV_2D": self._convolution,
            "DEPTHWISE_CONV_2D": self._convolution,
            "ADD": lambda op: {
                "do": "add",
                "then": ACTIVATIONS[_options(op).fusedActivationFunction],
            },
            "RESIZE_BILINEAR": lambda op: {"do": "resize", "size": self._size(op)},
            "MAX_POOL_2D": lambda op: {"do": "max_pool", "size": _options(op).filterWidth},
            "DEPTH_TO_SPACE": lambda op: {"do": "to_space", "block": _options(op).blockSize},
            "RESHAPE": lambda op: {"do": "rows", "length": int(self._shape(op.outputs[0])[-1])},
            "CONCATENATION": lambda op: {"do": "concatenate"},
            "LOGISTIC": lambda op: {"do": "sigmoid"},
        }

    def convert(self) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
        """The steps and the weights to which they point.

        Raises:
            InputError: the network has an operation that `TensorGraph` does not know.
        """
        steps = []
        for op in self._graph.operators:
            name = self._names[self._model.operatorCodes[op.opcodeIndex].builtinCode]
            if name in ("DEQUANTIZE", "DENSIFY"):  # weights, read where they are used
                continue
            if name == "PAD":
                rows, columns = self._constants(op.inputs[1])[1:3].tolist()
                self._padded[op.outputs[0]] = int(op.inputs[0]), [*columns, *rows]
                continue
            if name not in self._convert:
                raise InputError(f"the network has the operation {name}, which is not known here")
            step = self._convert[name](op)
            inputs = op.inputs if step["do"] in ("add", "concatenate") else op.inputs[:1]
            inputs = [self._padded.get(tensor, (tensor,))[0] for tensor in inputs]
            steps.append(step | {"from": list(map(int, inputs)), "to": int(op.outputs[0])})
        ends = {"do": "return", "from": list(map(int, self._graph.outputs))}
        return [{"do": "start", "to": int(self._graph.inputs[0])}, *steps, ends], self._weights

    def _convolution(self, op: Any) -> dict[str, Any]:
        options, kernel = _options(op), self._constants(op.inputs[1])
        channels = int(self._shape(op.inputs[0])[-1])
        depthwise = hasattr(options, "depthMultiplier")
        # (1, h, w, C) or (out, h, w, in) to torch's (out, in / groups, h, w)
        kernel = kernel.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        self._weights += [kernel, self._constants(op.inputs[2])]
        return {
            "do": "convolve",
            "stride": options.strideW,
            "pad": self._pad(op, kernel.shape[-1]),
            "groups": channels if depthwise else 1,
            "then": _activation(op),
        }

    def _pad(self, op: Any, kernel: int) -> list[int]:
        """Left, right, top, bottom."""
        if op.inputs[0] in self._padded:
            return self._padded[op.inputs[0]][1]
        options, side = _options(op), int(self._shape(op.inputs[0])[1])
        if options.padding == VALID:
            return [0, 0, 0, 0]
        steps = -(-side // options.strideW)
        total = max((steps - 1) * options.strideW + kernel - side, 0)
        return [total // 2, total - total // 2] * 2

    def _size(self, op: Any) -> int:
        if not _options(op).halfPixelCenters or _options(op).alignCorners:
            raise InputError("the network resizes in a way that is not known here")
        return int(self._shape(op.outputs[0])[1])

    def _shape(self, tensor: int) -> np.ndarray:
        return self._graph.tensors[tensor].shape


def _options(op: Any) -> Any:
    return op.builtinOptions


def _activation(op: Any) -> str | None:
    return ACTIVATIONS[_options(op).fusedActivationFunction]


def compare(name: str, network: TensorGraph, oracle: Oracle) -> None:
    """Runs both on noise.

    Raises:
        InputError: they do not agree.
    """
    image = np.random.default_rng(0).random((1, oracle.size, oracle.size, 3), np.float32)
    found = network.run(torch.from_numpy(image))
    for number, (one, other) in enumerate(zip(found, oracle.run(image), strict=True)):
        difference = np.abs(one.numpy() - other).max() / np.abs(other).max()
        print(f"{name}, output {number}: {difference:.1e} of the largest value apart")
        if not difference < TOLERANCE:
            raise InputError(f"{name}: output {number} is not what ai-edge-litert computes")


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(Options, __doc__))))
