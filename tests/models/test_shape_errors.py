"""The shape of one person from several photos: by hand, and on people drawn by the model."""

import numpy as np
import pytest

from models.shape_errors import (
    ShapeErrors,
    combine_shapes,
    find_odd,
    fit_shape_errors,
    read_shape_errors,
    shape_errors_path,
    write_shape_errors,
)
from utils.errors import InputError

DIMS = 10


def _errors(gain=0.5, shared=0.1, single=0.3, prior=2.25) -> ShapeErrors:
    eye = np.eye(DIMS)
    return ShapeErrors(
        gain * eye, np.full(DIMS, 0.2), shared * eye, single * eye, np.full(DIMS, 0.4), prior * eye
    )


def _draw(errors: ShapeErrors, people: int, photos: int, seed: int = 0):
    generator = np.random.default_rng(seed)

    def normal(covariance, *shape):
        return generator.multivariate_normal(np.zeros(DIMS), covariance, shape)

    betas = errors.prior_mean + normal(errors.prior, people)
    means = betas @ errors.gain.T + errors.offset + normal(errors.shared, people)
    return betas, means[:, None] + normal(errors.single, people, photos)


def test_by_hand():
    """Two photos: x = 0.5 b + 0.2 + e, e of variance 0.1 + 0.3 / 2 = 0.25; b of 0.4 +- 1.5."""
    estimates = np.stack([np.full(DIMS, 1.0), np.full(DIMS, 1.4)])
    found = combine_shapes(estimates, _errors())
    # Precision 1 / 2.25 + 0.5^2 / 0.25 = 1.4444; evidence 0.4 / 2.25 + 0.5 (1.2 - 0.2) / 0.25.
    assert found.betas == pytest.approx(np.full(DIMS, (0.4 / 2.25 + 2.0) / 1.44444444))
    assert np.diag(found.covariance) == pytest.approx(np.full(DIMS, 1 / 1.44444444))
    assert found.weights == pytest.approx([1, 1])


def test_the_prior_counts_once():
    """With many photos that do not err together the truth is found, however small the gain."""
    errors = _errors(shared=1e-9)
    truth = np.linspace(-3, 3, DIMS)
    noise = np.random.default_rng(0).normal(size=(4000, DIMS)) * np.sqrt(0.3)
    estimates = errors.gain @ truth + errors.offset + noise
    assert combine_shapes(estimates, errors).betas == pytest.approx(truth, abs=0.15)
    assert np.abs(estimates.mean(axis=0) - truth).max() > 1  # which the plain mean never reaches


def test_errors_are_found_again():
    generator = np.random.default_rng(1)
    true = _errors()._replace(gain=generator.normal(0, 0.3, (DIMS, DIMS)) + np.eye(DIMS))
    betas, estimates = _draw(true, people=5000, photos=3)
    found = fit_shape_errors(estimates, betas)
    for name, tolerance in (("gain", 0.04), ("offset", 0.04), ("shared", 0.03), ("single", 0.03)):
        assert getattr(found, name) == pytest.approx(getattr(true, name), abs=tolerance), name
    assert found.prior == pytest.approx(true.prior, abs=0.2)


def test_more_photos_are_better_and_the_covariance_is_honest():
    errors = _errors()
    betas, estimates = _draw(errors, people=400, photos=8)
    found = {}
    for photos in (1, 2, 8):
        combined = [combine_shapes(person[:photos], errors) for person in estimates]
        misses = np.stack([each.betas for each in combined]) - betas
        found[photos] = np.square(misses).mean()
        assert found[photos] == pytest.approx(combined[0].covariance.diagonal().mean(), rel=0.15)
    assert found[8] < found[2] < found[1]


def test_a_photo_that_disagrees_weighs_less():
    betas, estimates = _draw(_errors(), people=30, photos=5)
    for person, truth in zip(estimates, betas, strict=True):
        clean = combine_shapes(person, _errors())
        assert 2 not in find_odd(clean) or clean.weights[2] > 0.3
        spoilt = person.copy()
        spoilt[2] += 6.0
        found = combine_shapes(spoilt, _errors())
        assert find_odd(found).tolist() == [2]
        plain = combine_shapes(np.stack([spoilt.mean(axis=0)]), _errors())
        assert np.abs(found.betas - truth).mean() < np.abs(plain.betas - truth).mean()


def test_files(tmp_path):
    checkpoint = tmp_path / "a.tar"
    with pytest.raises(InputError, match=r"a_shape_errors.npz is missing.*evaluate.shape_errors"):
        read_shape_errors(checkpoint, "1234", "detector")
    write_shape_errors(shape_errors_path(checkpoint), {"detector": _errors()}, "1234")
    found = read_shape_errors(checkpoint, "1234", "detector")
    for name, values in _errors()._asdict().items():
        np.testing.assert_array_equal(getattr(found, name), values)
    with pytest.raises(InputError, match=r"another version of a\.tar"):
        read_shape_errors(checkpoint, "5678", "detector")
    with pytest.raises(InputError, match="perfect_gain"):
        read_shape_errors(checkpoint, "1234", "perfect")
    damaged = _errors()._replace(offset=np.full(DIMS, np.nan))
    write_shape_errors(shape_errors_path(checkpoint), {"detector": damaged}, "1234")
    with pytest.raises(InputError, match="detector_offset"):
        read_shape_errors(checkpoint, "1234", "detector")
