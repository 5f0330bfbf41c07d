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


def _written_plainly(silhouettes, joints, visibility, dtype):
    profiles = proxy._gaussian_profiles(joints, visibility, silhouettes.shape[-1])
    return proxy._write_anywhere(silhouettes, profiles, _FLOOR, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_compiled_writer_writes_what_plain_torch_computes(dtype):
    people = _people(96)
    found, expected = make_proxy(*people, dtype), _written_plainly(*people, dtype)
    assert found.dtype == dtype
    assert torch.equal(found, expected)
    assert (expected[:, 1:] > 0).any(dim=-1).any(dim=-1).float().mean() > 0.5
    for proxies in (found, expected):
        assert proxies.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_triton_writer_writes_what_plain_torch_computes(dtype):
    proxy_triton = pytest.importorskip("kernels.proxy_triton", reason="triton is not installed")
    silhouettes, joints, visibility = _people(19, batch=2)  # 361 pixels: the last block is not full
    profiles = proxy._gaussian_profiles(joints, visibility, 19)
    found = interpreted(proxy_triton.write_proxy, silhouettes, profiles, _FLOOR, dtype)
    expected = _written_plainly(silhouettes, joints, visibility, dtype)
    # The interpreter, unlike a GPU, cuts bfloat16's digits off instead of rounding.
    tolerance = 0 if dtype == torch.float32 else 2**-8
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_writes_what_plain_torch_computes_there():
    people = [tensor.cuda() for tensor in _people(128)]
    expected = _written_plainly(*people, torch.bfloat16)
    assert torch.equal(make_proxy(*people, torch.bfloat16), expected)


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
