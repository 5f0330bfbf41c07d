"""Alignments against values by hand, scipy, and a search over turns."""

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.spatial
import torch
from scipy.spatial.transform import Rotation

from utils.alignment import procrustes_align, scale_and_translation_align


def random_points(seed, batch=5, count=14, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    spread = torch.tensor([0.2, 0.5, 0.1], dtype=dtype)
    return torch.randn(batch, count, 3, generator=generator, dtype=dtype) * spread


def squared_distance(a, b):
    return (a - b).square().sum(dim=(1, 2))


def orthogonal_procrustes_aligned(pred, target):
    """The rotation of scipy made proper by hand (Kabsch), and the scale that goes with it."""
    pred_mean, target_mean = pred.mean(0), target.mean(0)
    p, t = pred - pred_mean, target - target_mean
    rotation, _ = scipy.linalg.orthogonal_procrustes(p, t)  # p @ rotation is closest to t
    if np.linalg.det(rotation) < 0:
        u, _, vt = np.linalg.svd(p.T @ t)
        rotation = u @ np.diag([1, 1, -1]) @ vt
    scale = np.sum((p @ rotation) * t) / np.sum(p * p)
    return scale * p @ rotation + target_mean


def test_scale_and_translation_by_hand():
    """Points at -1 and 1 on x, target at 4 and 10 on y: sizes 1 and 3, target's mean 7."""
    pred = torch.tensor([[[-1.0, 0, 0], [1, 0, 0]]]) + 5
    target = torch.tensor([[[0.0, 4, 0], [0, 10, 0]]])
    wanted = torch.tensor([[[-3.0, 7, 0], [3, 7, 0]]])
    torch.testing.assert_close(scale_and_translation_align(pred, target), wanted)


def test_scale_and_translation_undoes_them():
    target = random_points(0)
    moved = 0.3 * target + torch.tensor([1.0, -2, 30])
    torch.testing.assert_close(scale_and_translation_align(moved, target), target)


def test_procrustes_undoes_any_similarity():
    target = random_points(1)
    rotation = torch.from_numpy(Rotation.random(5, random_state=0).as_matrix())
    moved = 2.5 * target @ rotation + torch.tensor([1.0, -2, 30])
    torch.testing.assert_close(procrustes_align(moved, target), target)


def test_procrustes_by_hand():
    """A quarter turn about z and a doubling: (x, y) to (-y, x) / 2 must bring it back."""
    target = torch.tensor([[[1.0, 0, 0], [-1, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 3], [0, 0, -3]]])
    x, y, z = target.unbind(-1)
    moved = 2 * torch.stack([y, -x, z], dim=-1) + 1
    torch.testing.assert_close(procrustes_align(moved, target), target)


def test_procrustes_equals_scipy():
    pred, target = random_points(2), random_points(3)
    aligned = procrustes_align(pred, target)
    for i in range(len(pred)):
        wanted = orthogonal_procrustes_aligned(pred[i].numpy(), target[i].numpy())
        np.testing.assert_allclose(aligned[i].numpy(), wanted, atol=1e-10)


def test_procrustes_error_equals_scipys_disparity():
    """scipy.spatial.procrustes allows reflections, so its data is made to need none."""
    target = random_points(4)
    pred = target + 0.3 * random_points(5)
    aligned = procrustes_align(pred, target)
    for i in range(len(pred)):
        # It scales the target to a sum of squares of 1.
        disparity = scipy.spatial.procrustes(target[i].numpy(), pred[i].numpy())[2]
        size = (target[i] - target[i].mean(0)).square().sum().item()
        error = squared_distance(aligned, target)[i].item()
        assert error / size == pytest.approx(disparity, rel=1e-9)


def test_procrustes_never_reflects():
    """A mirror image cannot be matched; the answer is the best that a search over turns finds."""
    target = random_points(6, batch=3)
    pred = target * torch.tensor([-1.0, 1, 1])
    aligned = procrustes_align(pred, target)
    for i in range(len(pred)):
        p = (pred[i] - pred[i].mean(0)).numpy()
        t = (target[i] - target[i].mean(0)).numpy()

        def error(x, p=p, t=t):
            return np.sum((np.exp(x[3]) * Rotation.from_rotvec(x[:3]).apply(p) - t) ** 2)

        starts = np.column_stack([Rotation.random(8, random_state=1).as_rotvec(), np.zeros(8)])
        best = min(scipy.optimize.minimize(error, start, tol=1e-12).fun for start in starts)
        found = squared_distance(aligned, target)[i].item()
        assert found == pytest.approx(best, rel=1e-6)
        assert found > 1e-2


def test_alignments_of_degenerate_points_are_finite_and_best():
    """All points equal, or on a line: no division by zero, and a line still matches a line."""
    target = random_points(7, batch=2)
    point = torch.ones_like(target)
    mean = target.mean(dim=1, keepdim=True).expand_as(target)
    torch.testing.assert_close(procrustes_align(point, target), mean)
    torch.testing.assert_close(scale_and_translation_align(point, target), mean)
    along = torch.linspace(-1, 1, 14, dtype=torch.float64)[None, :, None]
    line, other = along * torch.tensor([1.0, 2, 2]), along * torch.tensor([0.0, 0, -5])
    torch.testing.assert_close(procrustes_align(line, other), other)
    torch.testing.assert_close(procrustes_align(line, -line), -line)
    torch.testing.assert_close(procrustes_align(line, point), point)


def test_float32_procrustes_is_good_to_a_thousandth_of_a_millimetre():
    target, pred = random_points(8, count=6890), random_points(9, count=6890)
    exact = procrustes_align(pred, target)
    rounded = procrustes_align(pred.float(), target.float())
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < 1e-6


def test_autocast_does_not_blunt_the_alignment():
    target = random_points(10, dtype=torch.float32)
    turn = torch.tensor(Rotation.from_rotvec([0.3, 0.2, 1]).as_matrix(), dtype=torch.float32)
    pred = target @ turn
    with torch.autocast("cpu", torch.bfloat16):
        aligned = procrustes_align(pred, target)
    assert (aligned - target).abs().max() < 1e-5
