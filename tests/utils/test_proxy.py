"""Observations and the proxy representation, and its fast writers against plain torch."""

import math

import pytest
import torch

from tests.observations import random_observation
from tests.triton_interpreter import interpreted
from utils import proxy
from utils.proxy import PROXY_CHANNELS, Observation, make_proxy

_FLOOR = math.exp(-2)  # the value at the cut: 8 px at a standard deviation of 4 px


def make_heatmaps(joints2d_px, visibility, size):
    """The heatmaps of a proxy without a silhouette."""
    empty = torch.zeros(len(joints2d_px), size, size, dtype=torch.bool)
    return make_proxy(empty, joints2d_px, visibility)[:, 1:]


def test_heatmap_values_by_hand():
    # Joint on the centre of pixel (row 100, column 60): peak 1; 3 px away exp(-9 / 32); 8 px away
    # exp(-64 / 32) still counts; (6, 6) px away is 8.49 px and does not.
    joints = torch.tensor([[[60.5, 100.5]]])
    heatmap = make_heatmaps(joints, torch.ones(1, 1, dtype=torch.bool), 256)[0, 0]
    assert heatmap[100, 60] == 1
    assert math.isclose(heatmap[100, 63], math.exp(-9 / 32), rel_tol=1e-5)
    assert math.isclose(heatmap[107, 60], math.exp(-49 / 32), rel_tol=1e-5)
    assert heatmap[106, 66] == 0
    assert heatmap[100, 69] == 0
    assert int((heatmap > 0).sum()) <= 201  # pi 8^2


def _published_heatmap(joint):
    """One 256 px heatmap by the released rule; what is drawn may lie outside of the crop."""
    observation = Observation(
        torch.zeros(1, 256, 256, dtype=torch.bool),
        torch.tensor(joint, dtype=torch.float32).expand(1, 17, 2),
        torch.zeros(1, 17) if joint[0] < 0 or joint[1] >= 256 else torch.ones(1, 17),
    )
    return observation.proxy(rule="published")[0, 1]


def _released_value(row_step, column_step):
    """The value so many pixels behind the window's first row and column: offsets -8 + 16 n / 15."""
    offsets = [-8 + 16 * step / 15 for step in (row_step, column_step)]
    return math.exp(-(offsets[0] ** 2 + offsets[1] ** 2) / 32)


def _check_window(heatmap, rows, columns, first):
    """All of rows x columns is written and nothing else; `first` is the window's first pixel."""
    written = heatmap > 0
    expected = torch.zeros(256, 256, dtype=torch.bool)
    expected[rows, columns] = True
    assert torch.equal(written, expected)
    row, column = rows.start, columns.start
    value = _released_value(row - first[0], column - first[1])
    assert math.isclose(heatmap[row, column], value, rel_tol=1e-5)


def test_the_released_heatmap_by_hand():
    # (60.9, 100.2) is cut to (60, 100): rows 92 to 107, columns 52 to 67. The peak lies between
    # steps 7 and 8, at offsets of -8/15 and 8/15: exp(-2 (8/15)^2 / 32) = 0.98238.
    heatmap = _published_heatmap((60.9, 100.2))
    _check_window(heatmap, slice(92, 108), slice(52, 68), (92, 52))
    for row, column in ((99, 59), (99, 60), (100, 59), (100, 60)):
        assert math.isclose(heatmap[row, column], 0.98238, rel_tol=1e-4)
    assert math.isclose(heatmap[92, 52], math.exp(-128 / 32), rel_tol=1e-5)  # the corner
    assert math.isclose(heatmap[107, 60], _released_value(15, 8), rel_tol=1e-5)


@pytest.mark.parametrize(
    ("joint", "rows", "columns"),
    [
        ((0.0, 100.0), slice(92, 108), slice(0, 8)),  # left border: columns -8 to 7
        ((100.0, 0.0), slice(0, 8), slice(92, 108)),  # upper border
        ((255.5, 100.0), slice(92, 108), slice(247, 255)),  # right: 247 to 262, never column 255
        ((100.0, 255.5), slice(247, 255), slice(92, 108)),  # lower
        ((-7.0, 100.0), slice(92, 108), slice(0, 1)),  # 7 px outside: columns -15 to 0
        ((262.0, 100.0), slice(92, 108), slice(254, 255)),  # 7 px outside: columns 254 to 269
        ((-0.9, 100.0), slice(92, 108), slice(0, 8)),  # cut towards zero: column 0
        ((-3.7, 100.0), slice(92, 108), slice(0, 5)),  # cut to -3: columns -11 to 4
        ((100.0, -7.9), slice(0, 1), slice(92, 108)),  # cut to -7
    ],
)
def test_the_released_heatmap_at_borders(joint, rows, columns):
    heatmap = _published_heatmap(joint)
    first = tuple(int(value) - 8 for value in reversed(joint))
    _check_window(heatmap, rows, columns, first)


@pytest.mark.parametrize(
    "joint", [(-9.0, 100.0), (-8.0, 100.0), (100.0, 263.0), (100.0, 265.0), (math.nan, 5.0)]
)
def test_the_released_rule_draws_no_joint_far_outside(joint):
    assert _published_heatmap(joint).abs().max() == 0


def test_the_released_rule_scales_with_the_crop():
    # Half the side: a window of 8 px, std 2 px, offsets -4 + 8 n / 7; corner exp(-32 / 8).
    seen = torch.ones(1, 1, dtype=torch.bool)
    empty = torch.zeros(1, 128, 128, dtype=torch.bool)
    heatmap = make_proxy(empty, torch.tensor([[[30.0, 50.0]]]), seen, rule="published")[0, 1]
    assert torch.equal(heatmap.nonzero()[[0, -1]], torch.tensor([[46, 26], [53, 33]]))
    assert math.isclose(heatmap[46, 26], math.exp(-4), rel_tol=1e-5)


def test_the_released_rule_leaves_out_what_was_not_seen():
    observation = Observation(
        torch.zeros(1, 64, 64, dtype=torch.bool), torch.full((1, 17, 2), 30.0), torch.zeros(1, 17)
    )
    assert observation.proxy(rule="published").abs().max() == 0


def test_absent_joints_leave_their_channel_empty():
    joints = torch.tensor(
        [[[10.0, 10], [-1, 10], [10, 256], [float("nan"), 5], [float("inf"), 5], [12, 12]]]
    )
    visibility = torch.tensor([[True, True, True, True, True, False]])
    heatmaps = make_heatmaps(joints, visibility, 256)[0]
    assert heatmaps[0].max() > 0.9
    assert heatmaps[1:].abs().max() == 0


def test_heatmaps_scale_with_the_crop():
    visible = torch.ones(1, 1, dtype=torch.bool)
    large = make_heatmaps(torch.tensor([[[128.0, 64]]]), visible, 256)
    small = make_heatmaps(torch.tensor([[[64.0, 32]]]), visible, 128)
    pooled = torch.nn.functional.avg_pool2d(large, 2)
    assert (pooled - small).abs().max() < 0.08


def test_proxy_channels():
    silhouettes = torch.rand(2, 64, 64) > 0.5
    proxy = make_proxy(silhouettes, torch.rand(2, 17, 2) * 64, torch.ones(2, 17).bool())
    assert proxy.shape == (2, PROXY_CHANNELS, 64, 64)
    assert torch.equal(proxy[:, 0].bool(), silhouettes)


def _people(size, batch=5):
    """Silhouettes, joints of which some are outside, and visibility."""
    generator = torch.Generator().manual_seed(0)
    silhouettes = torch.rand(batch, size, size, generator=generator) > 0.6
    joints = torch.rand(batch, 17, 2, generator=generator) * 1.2 * size - 0.1 * size
    joints[0, :3] = torch.tensor([[0.0, 0.0], [0.01, size - 0.01], [float("nan"), 5]])
    visibility = torch.rand(batch, 17, generator=generator) > 0.2
    visibility[0, :3] = True
    return silhouettes, joints, visibility


def _rules(joints, visibility, size):
    """Profiles and floors by the two rules."""
    return {
        "own": (proxy._gaussian_profiles(joints, visibility, size), _FLOOR),
        "published": (proxy._published_profiles(joints, visibility, size), 0.0),
    }


def _written_plainly(silhouettes, joints, visibility, dtype, rule="own"):
    profiles, floor = _rules(joints, visibility, silhouettes.shape[-1])[rule]
    return proxy._write_anywhere(silhouettes, profiles, floor, dtype)


@pytest.mark.parametrize("rule", ["own", "published"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_compiled_writer_writes_what_plain_torch_computes(dtype, rule):
    people = _people(96)
    found = make_proxy(*people, dtype, rule)
    expected = _written_plainly(*people, dtype, rule)
    assert found.dtype == dtype
    assert torch.equal(found, expected)
    assert (expected[:, 1:] > 0).any(dim=-1).any(dim=-1).float().mean() > 0.5
    for proxies in (found, expected):
        assert proxies.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("rule", ["own", "published"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_triton_writer_writes_what_plain_torch_computes(dtype, rule):
    proxy_triton = pytest.importorskip("kernels.proxy_triton", reason="triton is not installed")
    # 41 x 41 pixels are no multiple of a block: the last one is not full.
    silhouettes, joints, visibility = _people(41, batch=2)
    profiles, floor = _rules(joints, visibility, 41)[rule]
    found = interpreted(proxy_triton.write_proxy, silhouettes, profiles, floor, dtype)
    expected = _written_plainly(silhouettes, joints, visibility, dtype, rule)
    assert (expected[:, 1:] > 0).any()
    # The interpreter, unlike a GPU, cuts bfloat16's digits off instead of rounding.
    tolerance = 0 if dtype == torch.float32 else 2**-8
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("rule", ["own", "published"])
def test_cuda_writes_what_plain_torch_computes_there(rule):
    people = [tensor.cuda() for tensor in _people(128)]
    expected = _written_plainly(*people, torch.bfloat16, rule)
    assert torch.equal(make_proxy(*people, torch.bfloat16, rule), expected)


def test_a_joint_is_seen_where_there_is_any_confidence():
    confidence = torch.zeros(1, 17)
    confidence[0, 3], confidence[0, 5] = 1e-6, 1.0
    observation = random_observation(1)._replace(confidence=confidence)
    assert observation.visibility.nonzero().tolist() == [[0, 3], [0, 5]]
    assert observation.image_size == 64
    channels = observation.proxy()[0, 1:].flatten(1).any(dim=1)
    assert channels.nonzero().flatten().tolist() == [3, 5]


def test_the_proxy_is_that_of_its_parts():
    observation = random_observation(3)
    for dtype in (torch.float32, torch.bfloat16):
        expected = make_proxy(
            observation.silhouettes, observation.joints2d_px, observation.confidence > 0, dtype
        )
        found = observation.proxy(dtype)
        assert found.shape == (3, PROXY_CHANNELS, 64, 64)
        assert found.dtype == dtype
        assert torch.equal(found, expected)
    assert observation.proxy().dtype == torch.float32


def test_rows_by_slice_and_by_number():
    observation = random_observation(5)
    for index in (slice(1, None, 2), torch.tensor([4, 0])):
        rows = observation.rows(index)
        assert isinstance(rows, Observation)
        for found, whole in zip(rows, observation, strict=True):
            assert torch.equal(found, whole[index])
        assert torch.equal(rows.proxy(), observation.proxy()[index])


def test_moving_to_a_device():
    moved = random_observation(2).to(torch.device("meta"))
    assert isinstance(moved, Observation)
    assert {values.device.type for values in moved} == {"meta"}
    assert [values.dtype for values in moved] == [torch.bool, torch.float32, torch.float32]
