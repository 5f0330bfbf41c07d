"""Networks that are lists of steps: every kind of layer against its definition, and bad files."""

import numpy as np
import pytest
import torch

from predict.detectors.tensor_graph import TensorGraph, to_arrays
from utils.errors import InputError
from utils.files import write_npz


def _run(image, *steps, weights=()):
    start, end = {"do": "start", "to": 0}, {"do": "return", "from": [len(steps)]}
    linked = [{"from": [0], "to": len(steps)} | step for step in steps]
    (found,) = TensorGraph([start, *linked, end], list(weights)).run(torch.from_numpy(image))
    return found.numpy()


def _convolution(**options):
    plain = {"do": "convolve", "stride": 1, "pad": [0, 0, 0, 0], "groups": 1, "then": None}
    return plain | options


def test_convolution_pads_left_right_top_bottom():
    image = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1)
    kernel = np.array([[0, 1], [0, 0]], np.float32).reshape(1, 1, 2, 2)  # the pixel on the right
    step = _convolution(pad=[0, 1, 1, 0])
    found = _run(image, step, weights=[kernel, np.array([0.5], np.float32)])
    # Padded: a column of 0 on the right, a row of 0 on top; 3 x 3 windows of 2 x 2 pixels.
    expected = [[0, 0, 0], [2, 3, 0], [5, 6, 0]]
    np.testing.assert_allclose(found[0, :, :, 0], np.array(expected) + 0.5)


def test_even_padding_strides_groups_and_activation():
    image = np.stack([np.full((3, 3), 1.0), np.full((3, 3), -1.0)], axis=-1)[None]
    kernel = np.ones((2, 1, 3, 3), np.float32)  # each channel by itself
    step = _convolution(pad=[1, 1, 1, 1], stride=2, groups=2, then="relu6")
    found = _run(image.astype(np.float32), step, weights=[kernel, np.array([3.5, 5], np.float32)])
    # Every corner's window holds 4 pixels: 4 + 3.5 is cut to 6, -4 + 5 = 1.
    np.testing.assert_allclose(found, np.broadcast_to([6, 1], (1, 2, 2, 2)))


def test_channels_become_a_block_of_pixels():
    image = np.arange(8, dtype=np.float32).reshape(1, 1, 1, 8)
    found = _run(image, {"do": "to_space", "block": 2})  # (1, 2, 2, 2), block first
    np.testing.assert_array_equal(found[0], np.arange(8).reshape(2, 2, 2))


def test_rows_hold_pixel_after_pixel():
    image = np.arange(16, dtype=np.float32).reshape(1, 2, 2, 4)
    found = _run(image, {"do": "rows", "length": 2})
    np.testing.assert_array_equal(found, image.reshape(1, 8, 2))


def test_other_layers():
    image = np.array([[0.0, 2], [4, 6]], np.float32).reshape(1, 2, 2, 1)
    assert _run(image, {"do": "max_pool", "size": 2}).tolist() == [[[[6.0]]]]
    np.testing.assert_allclose(_run(image, {"do": "sigmoid"}), 1 / (1 + np.exp(-image)))
    doubled = _run(image, {"do": "resize", "size": 4})[0, 0, :, 0]
    np.testing.assert_allclose(doubled, [0, 0.5, 1.5, 2])  # pixels' centres, held at the border
    added = _run(image, {"do": "add", "from": [0, 0], "then": "relu6"})
    assert added.ravel().tolist() == [0, 4, 6, 6]


def test_rows_are_concatenated():
    image = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
    steps = [
        {"do": "start", "to": 0},
        {"do": "rows", "length": 1, "from": [0], "to": 1},
        {"do": "concatenate", "from": [1, 1], "to": 2},
        {"do": "return", "from": [2]},
    ]
    (found,) = TensorGraph(steps, []).run(torch.from_numpy(image))
    assert found[0, :, 0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_network_is_written_and_read(tmp_path):
    step = _convolution() | {"from": [0], "to": 1}
    steps = [{"do": "start", "to": 0}, step, {"do": "return", "from": [1]}]
    weights = [np.full((1, 1, 1, 1), 2.0), np.array([1.0])]
    write_npz(tmp_path / "network.npz", to_arrays("doubling", steps, weights))
    network = TensorGraph.read(tmp_path / "network.npz", "doubling")
    assert network.run(torch.full((1, 1, 1, 1), 3.0))[0].item() == 7


@pytest.mark.parametrize(
    "content",
    [b"no json", b"[]", b'[{"do": "start", "to": 0}, {"do": "exec"}, {"do": "return", "from": 0}]'],
)
def test_a_bad_list_is_told_in_one_line(tmp_path, content):
    write_npz(tmp_path / "bad.npz", {"net_steps": np.frombuffer(content, np.uint8)})
    with pytest.raises(InputError, match=r"bad\.npz holds no network .*build_pose_bundle"):
        TensorGraph.read(tmp_path / "bad.npz", "net")


def test_a_missing_network_is_named(tmp_path):
    write_npz(tmp_path / "other.npz", {"else": np.zeros(1)})
    with pytest.raises(InputError, match="has no net_steps"):
        TensorGraph.read(tmp_path / "other.npz", "net")
