"""Shapes from several photos of one person, and the errors that they are combined by."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data.pose_dataset import load_poses
from evaluate import same_person, shape_errors
from evaluate.measurement_errors import SizedPeople, describe_coverage, format_table
from evaluate.open_benchmark import BenchmarkOptions, draw_shapes, photograph_person
from evaluate.repeated_people import SOURCES, estimate_shapes
from evaluate.same_person import (
    COUNTS,
    SamePersonOptions,
    combine_estimates,
    format_rows,
    measure_same_person,
    stack_betas,
)
from evaluate.shape_errors import ShapeErrorOptions, measure_shape_errors
from metrics.measurement_errors import ErrorKey, MeasurementErrors
from metrics.measurements import Measurements
from models.checkpoints import Predictor
from models.shape_errors import read_shape_errors
from tests.networks import random_network
from utils.errors import InputError
from utils.files import hash_file
from utils.paths import OPEN_POSES_VAL


@pytest.mark.parametrize("source", SOURCES)
def test_people_in_several_poses(body_model, source):
    predictor = Predictor(random_network("feedback", body_model).eval(), body_model, 64, 0)
    betas = torch.randn(2, 12, generator=torch.Generator().manual_seed(3))
    poses = torch.from_numpy(load_poses((OPEN_POSES_VAL,)).poses[:20])
    first, again = (estimate_shapes(predictor, betas, poses, 3, source, seed=5) for _ in range(2))
    assert first.shape == (2, 3, 12)
    torch.testing.assert_close(first, again)
    assert (first[:, 0] - first[:, 1]).abs().max() > 1e-6  # they are seen in different poses


def test_the_people_of_the_open_benchmark(small_pictures):
    options = BenchmarkOptions(2, picture=small_pictures)
    scene, _ = photograph_person(1, options)
    np.testing.assert_array_equal(draw_shapes(options)[1].numpy(), scene.figure.betas)


@pytest.fixture
def checkpoint(tmp_path, monkeypatch, body_model):
    """A file whose network says half of the ten betas, and errs by 0.3 in each photo."""

    def estimate(_, betas, __, photos, ___, seed, ____=None):
        noise = torch.randn(len(betas), photos, 10, generator=torch.Generator().manual_seed(seed))
        return betas[:, None, :10] / 2 + 0.3 * noise

    told = SimpleNamespace(mean_betas=torch.zeros(10), body_model=body_model)
    for module in (shape_errors, same_person):
        monkeypatch.setattr(module, "estimate_shapes", estimate)
        monkeypatch.setattr(module, "load_predictor", lambda *_: told)
    path = tmp_path / "a.tar"
    path.write_bytes(b"weights")
    return path


def test_errors_are_measured_and_used(checkpoint):
    measure_shape_errors(ShapeErrorOptions(checkpoint, people=2000))
    errors = read_shape_errors(checkpoint, hash_file(checkpoint), "detector")
    assert np.diag(errors.gain) == pytest.approx(np.full(10, 0.5), abs=0.02)
    assert np.diag(errors.single) == pytest.approx(np.full(10, 0.09), rel=0.1)
    assert np.abs(errors.shared).max() < 0.01
    assert errors.prior.weights.tolist() == [1, 0, 0]  # nobody is a man or a woman
    np.testing.assert_array_equal(errors.prior.covariances[0], 2.25 * np.eye(10))
    apart = errors.prior.means[1] - errors.prior.means[2]  # men's less women's
    assert np.abs(apart).max() > 1
    betas = 1.5 * torch.randn(50, 10, generator=torch.Generator().manual_seed(1))
    estimates = same_person.estimate_shapes(None, betas, None, max(COUNTS), "detector", 8)
    combined = combine_estimates(checkpoint, estimates, "detector")
    misses = [(stack_betas(combined[photos]) - betas).square().mean().item() for photos in COUNTS]
    assert misses == sorted(misses, reverse=True)
    assert misses[-1] < 0.1 < (estimates.mean(dim=1) - betas).square().mean()


def test_the_prior_is_of_made_men_and_women(checkpoint, body_model):
    """Of 14 betas the network estimates 10; who is between men and women counts as neither."""
    generator = np.random.default_rng(0)
    genders = np.repeat([0.0, 0.2, 0.5, 1.0], 500)
    made = (4 * genders[:, None] + generator.standard_normal((2000, 14))).astype(np.float32)
    path = checkpoint.with_name("shapes.npz")
    np.savez(path, betas=made, genders=genders, body_hash=body_model.identity["hash"])
    options = ShapeErrorOptions(checkpoint, people=3000, made_shapes=(path,))
    measure_shape_errors(options)
    errors = read_shape_errors(checkpoint, hash_file(checkpoint), "perfect")
    assert np.diag(errors.gain) == pytest.approx(np.full(10, 0.5), abs=0.02)
    np.testing.assert_allclose(errors.prior.means, [[0] * 10, [0.4] * 10, [4] * 10], atol=0.15)
    spreads = [[2.25] * 10, [1.16] * 10, [1] * 10]  # 0.16 for men of 0 and of 0.2
    found = errors.prior.covariances.diagonal(axis1=1, axis2=2)
    np.testing.assert_allclose(found, spreads, rtol=0.2)
    np.testing.assert_allclose(errors.prior.weights, [1 / 3] * 3)


def test_strangers_are_told_by_their_gender_too(checkpoint, tmp_path, capsys):
    measure_shape_errors(ShapeErrorOptions(checkpoint, people=2000))
    options = SamePersonOptions(checkpoint, "strangers", count=4, curve=tmp_path / "curve.png")
    measure_same_person(options)
    printed = capsys.readouterr().out
    for label in ("plain mean", "combined", "gender known"):
        assert printed.count(f"| detector, {label} |") == len(COUNTS)
    assert (tmp_path / "curve.png").stat().st_size > 0


def test_too_few_people(checkpoint):
    with pytest.raises(InputError, match="--people 100"):
        measure_shape_errors(ShapeErrorOptions(checkpoint, people=10))


def test_tables():
    rows = {"perfect, combined": {count: {"PVE-T-SC (mm)": 8.0 / count} for count in COUNTS}}
    assert format_rows(rows).splitlines()[-1] == "| perfect, combined | 8 | 1.00 |"
    ones = np.full(len(Measurements._fields), 0.01)
    table = format_table({ErrorKey("perfect", 1, True): MeasurementErrors(ones, 2 * ones)})
    assert "| | perfect, whole, with height |" in table
    assert "| waist (cm) | 1.0 / 2.0 |" in table
    assert "| bmi (kg/m²) | 0.0 / 0.0 |" in table


def test_coverage_by_hand():
    """Of 2 people and 21 measurements the first is off by 3 in one, where 2 would be below."""
    count = len(Measurements._fields)
    true = np.full((2, count), 100.0)
    pred = true + 1.0
    pred[0, 1] += 2.0
    people = SizedPeople([], pred, true, np.full((2, 24), 0.05))
    known = MeasurementErrors(np.ones(count), np.full(count, 2.0), np.full(24, 0.04))
    line = describe_coverage(ErrorKey("mediapipe", seen="hips"), False, pred, people, known)
    share = 100 * (2 * count - 1) / (2 * count)
    assert line == (
        f"mediapipe, hips, 1 photos, 2 people: {share:.1f} % of measurements "
        "(50 to 100 by measurement), 0.0 % of joints stay below"
    )
