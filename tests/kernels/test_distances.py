"""Signed distances by hand, and every way to compute them against the others."""

import math

import pytest
import torch

from kernels import distances
from kernels.distances import DISTANCE_LIMIT, limited_distances_anywhere, signed_distances
from tests.observations import random_observation
from tests.triton_interpreter import interpreted

_TENTH_OF_A_PIXEL = 0.1


def _measured(silhouettes: torch.Tensor, way: str) -> torch.Tensor:
    """(B, S, S) signed distances in pixels."""
    measure = {"opencv": distances._measure_on_cpu, "torch": distances._measure_anywhere}[way]
    return measure(silhouettes) * silhouettes.shape[-1]


def _blobs(size: int) -> torch.Tensor:
    """Ellipses, of which some touch the edge, some have holes and some are in pieces; noise."""
    first, second = (random_observation(5, size, seed).silhouettes for seed in (1, 2))
    noise = torch.rand(2, size, size, generator=torch.Generator().manual_seed(3))
    shifted = first.roll((size // 3, -size // 4), dims=(1, 2))
    return torch.cat([first ^ second, shifted, noise > torch.tensor([0.5, 0.98])[:, None, None]])


@pytest.mark.parametrize("way", ["opencv", "torch"])
def test_a_half_plane_by_hand(way):
    """Columns 40 to 99 of 100 are the person: the outline is at x = 40, pixel i's centre i + 0.5.

    Column 39 lies 0.5 px outside, column 30 9.5 px, column 50 10.5 px inside. Beyond the limit of
    15 px nothing grows.
    """
    silhouettes = torch.zeros(1, 100, 100, dtype=torch.bool)
    silhouettes[:, :, 40:] = True
    expected = (40 - (torch.arange(100) + 0.5)).clamp(-15, 15)
    for masks in (silhouettes, silhouettes.mT):
        found = _measured(masks, way)[0]
        found = found if masks is silhouettes else found.T
        torch.testing.assert_close(found, expected.expand(100, -1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("way", ["opencv", "torch"])
def test_a_single_pixel_by_hand(way):
    """(row, column) offsets (0, 0): inside by 0.5; (0, 1): 0.5 out; (3, 4): 5 - 0.5 px out."""
    silhouettes = torch.zeros(1, 50, 50, dtype=torch.bool)
    silhouettes[0, 20, 30] = True
    found = _measured(silhouettes, way)[0]
    offsets = {(0, 0): -0.5, (0, 1): 0.5, (-1, 0): 0.5, (3, 4): 4.5, (-1, -1): math.sqrt(2) - 0.5}
    for (rows, columns), expected in offsets.items():
        assert found[20 + rows, 30 + columns].item() == pytest.approx(expected, abs=1e-3)
    assert found[0, 0].item() == pytest.approx(DISTANCE_LIMIT * 50)


@pytest.mark.parametrize("way", ["opencv", "torch"])
def test_nobody_is_far_from_everywhere_and_everybody_has_no_outline(way):
    nobody = torch.zeros(1, 32, 32, dtype=torch.bool)
    silhouettes = torch.cat([nobody, ~nobody])
    found = _measured(silhouettes, way) / 32
    assert (found[0] == DISTANCE_LIMIT).all()
    assert (found[1] == -DISTANCE_LIMIT).all()
    assert _measured(silhouettes[:0], way).shape == (0, 32, 32)


@pytest.mark.parametrize("size", [32, 96])
def test_plain_torch_measures_what_opencv_measures(size):
    silhouettes = _blobs(size)
    expected, found = _measured(silhouettes, "opencv"), _measured(silhouettes, "torch")
    assert (found - expected).abs().max() < _TENTH_OF_A_PIXEL  # indeed equal but for rounding
    assert found.abs().max() <= DISTANCE_LIMIT * size + 1e-4
    assert torch.equal(found < 0, silhouettes)
    assert signed_distances(silhouettes).dtype == torch.float32
    assert torch.equal(signed_distances(silhouettes) * size, expected)


@pytest.mark.parametrize(("size", "reach"), [(32, 6), (96, 15)])
def test_triton_measures_what_plain_torch_measures(size, reach):
    kernels = pytest.importorskip("kernels.distances_triton", reason="triton is not installed")
    silhouettes = _blobs(size)[[0, 7, -1]]
    found = interpreted(kernels.limited_distances, silhouettes, reach)
    expected = limited_distances_anywhere(silhouettes, reach)
    within = expected <= reach
    assert 0.1 < within.float().mean() < 1
    torch.testing.assert_close(found[within], expected[within], atol=1e-4, rtol=0)
    assert (found[~within] >= reach).all()


def test_the_same_mask_has_the_same_distances_wherever_it_lies_in_memory():
    silhouettes = _blobs(64)
    expected = signed_distances(silhouettes)
    for offset in range(1, 20):
        memory = torch.empty(silhouettes.numel() + offset, dtype=torch.bool)
        moved = memory[offset:].view_as(silhouettes).copy_(silhouettes)
        assert torch.equal(signed_distances(moved), expected)


def test_masks_of_any_layout():
    silhouettes = _blobs(32)
    assert torch.equal(signed_distances(silhouettes.mT), signed_distances(silhouettes.mT.clone()))
    every_second = silhouettes[::2]
    assert torch.equal(signed_distances(every_second), signed_distances(silhouettes)[::2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("size", [32, 96, 256])
def test_cuda_measures_what_opencv_measures(size):
    silhouettes = _blobs(size)
    found = signed_distances(silhouettes.cuda()).cpu() * size
    assert (found - _measured(silhouettes, "opencv")).abs().max() < _TENTH_OF_A_PIXEL
    assert torch.equal(signed_distances(silhouettes[:0].cuda()).cpu(), torch.zeros(0, size, size))
