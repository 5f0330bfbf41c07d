"""The shape of one person from several photos: by hand, and on people drawn by the model."""

import numpy as np
import pytest
import torch

from models.body_model import BodyModel
from models.shape_errors import (
    CombinedShape,
    ShapeErrors,
    ShapePrior,
    combine_frames,
    combine_shapes,
    describe_estimate,
    find_odd,
    fit_shape_errors,
    gaussian_of_body,
    has_shape_errors,
    know_gender,
    know_height,
    read_shape_errors,
    shape_errors_path,
    write_shape_errors,
)
from utils.errors import InputError

DIMS = 10


def _errors(gain=0.5, shared=0.1, single=0.3, prior=2.25) -> ShapeErrors:
    eye = np.eye(DIMS)
    of_people = ShapePrior(np.full((1, DIMS), 0.4), prior * eye[None], np.ones(1))
    return ShapeErrors(gain * eye, np.full(DIMS, 0.2), shared * eye, single * eye, of_people)


def _draw(errors: ShapeErrors, people: int, photos: int, seed: int = 0):
    generator = np.random.default_rng(seed)

    def normal(covariance, *shape):
        return generator.multivariate_normal(np.zeros(DIMS), covariance, shape)

    betas = errors.prior.means[0] + normal(errors.prior.covariances[0], people)
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


def test_one_photo_is_believed():
    estimate = np.linspace(-4, 4, DIMS)
    found = describe_estimate(estimate, _errors())
    np.testing.assert_array_equal(found.betas, estimate)
    expected = combine_shapes(estimate[None], _errors())
    np.testing.assert_array_equal(found.covariance, expected.covariance)


def test_a_known_height_by_hand():
    """Height 1.7 + 0.1 b0 + 0.05 b1, variances 1 and 4, uncorrelated, and 0.1 m above the estimate.

    Of the height's variance of 0.01 + 0.01 each beta has a half: b0 moves by 0.05 / 0.1 and b1 by
    0.05 / 0.05, and both lose half of their variance.
    """
    shape = CombinedShape(np.zeros(DIMS), np.diag([1.0, 4.0, *np.ones(DIMS - 2)]), np.ones(1))

    def measure_heights(betas):
        return 1.7 + 0.1 * betas[:, 0] + 0.05 * betas[:, 1]

    found = know_height(shape, 1.8, measure_heights)
    assert found.betas == pytest.approx([0.5, 1.0, *np.zeros(DIMS - 2)])
    assert np.diag(found.covariance) == pytest.approx([0.5, 2.0, *np.ones(DIMS - 2)])
    assert found.covariance[0, 1] == pytest.approx(-1.0)  # one up, the other down
    assert measure_heights(found.betas[None]) == pytest.approx([1.8])


def _of_two_kinds() -> ShapeErrors:
    """A quarter of the people are men, with betas of 3 on average; the others' are 0.4."""
    errors = _errors()
    means = np.stack([errors.prior.means[0], np.full(DIMS, 3.0)])
    covariances = np.stack([0.2 * np.eye(DIMS), 0.3 * np.eye(DIMS)])
    return errors._replace(prior=ShapePrior(means, covariances, np.array([0.75, 0.25])))


def test_kinds_of_people_share_the_posterior():
    """As likely as the estimate makes them, by Bayes' rule and a thousand people of each kind."""
    errors = _of_two_kinds()
    generator = np.random.default_rng(0)
    kinds = generator.choice(2, 20_000, p=errors.prior.weights)
    stds = np.sqrt([0.2, 0.3])[kinds, None]
    betas = errors.prior.means[kinds] + stds * generator.standard_normal((len(kinds), DIMS))
    estimates = 0.5 * betas + 0.2 + np.sqrt(0.4) * generator.standard_normal(betas.shape)
    found = [combine_shapes(each[None], errors) for each in estimates[:1000]]
    misses = np.stack([each.betas for each in found]) - betas[:1000]
    spread = np.mean([each.covariance.diagonal() for each in found], axis=0)
    assert np.square(misses).mean(axis=0) == pytest.approx(spread, rel=0.15)
    # The best linear estimate knows no kinds.
    inputs = np.concatenate([estimates, np.ones((len(estimates), 1))], axis=1)
    linear = inputs @ np.linalg.lstsq(inputs, betas, rcond=None)[0]
    assert np.square(misses).mean() < 0.95 * np.square(linear - betas).mean()
    # An estimate between the kinds is of both, one far on a side is of one.
    alone = [errors._replace(prior=ShapePrior(*(each[k : k + 1] for each in errors.prior[:2]),
                                              np.ones(1))) for k in (0, 1)]  # fmt: skip
    man = np.full((1, DIMS), 0.5 * 3 + 0.2)
    together, as_man = combine_shapes(man, errors), combine_shapes(man, alone[1])
    assert together.betas == pytest.approx(as_man.betas, abs=0.02)


def test_a_clip_is_worth_two_photos():
    estimate = np.linspace(-1, 1, DIMS)
    clip, two = (
        combine_frames(estimate, _errors()),
        combine_shapes(np.stack(2 * [estimate]), _errors()),
    )
    assert clip.betas == pytest.approx(two.betas)
    np.testing.assert_allclose(clip.covariance, two.covariance)


def test_a_known_gender_is_a_prior():
    errors = _of_two_kinds()
    man = know_gender(errors, "male")
    estimate = np.full((1, DIMS), 0.4)  # of no man
    assert combine_shapes(estimate, errors).betas.max() < 1
    assert combine_shapes(estimate, man).betas.min() > 1.5
    far = combine_shapes(np.full((1, DIMS), -100.0), man)
    assert np.isfinite(far.betas).all()
    # Nothing seen: an estimate whose error is huge leaves the prior.
    blind = man._replace(single=1e9 * np.eye(DIMS))
    assert combine_shapes(estimate, blind).betas == pytest.approx(np.full(DIMS, 3.0), abs=1e-3)
    with pytest.raises(InputError, match="what female people look like"):
        know_gender(errors, "female")


def test_people_of_a_body_are_gaussian_in_neutral_betas(body_model):
    """The mean woman is told by neutral betas to a few mm, and is not the mean man."""
    (women, _), (men, _) = (
        gaussian_of_body(body_model, BodyModel.load("open", gender), DIMS)
        for gender in ("female", "male")
    )
    body = BodyModel.load("open", "female")
    told = body_model.tpose(torch.from_numpy(women).float()[None])
    missed = (told - body.tpose(torch.zeros(1, DIMS))).norm(dim=2).mean().item()
    other = body_model.tpose(torch.from_numpy(men).float()[None])
    apart = (told - other).norm(dim=2).mean().item()
    assert missed < 0.006  # metres
    assert apart > 5 * missed
    mean, covariance = gaussian_of_body(body_model, body_model, DIMS)
    assert mean == pytest.approx(np.zeros(DIMS), abs=1e-9)
    assert covariance == pytest.approx(2.25 * np.eye(DIMS), abs=1e-6)


def test_details_of_the_shape_spread_alike_for_either_gender(body_model):
    _, covariance = gaussian_of_body(body_model, BodyModel.load("open", "male"), 13)
    spread = np.sqrt(np.diag(covariance))[10:]
    assert spread == pytest.approx(np.full(3, 1.5), abs=0.6)  # and what men's ten betas add


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
    found = fit_shape_errors(estimates, betas, true.prior)
    for name, tolerance in (("gain", 0.04), ("offset", 0.04), ("shared", 0.03), ("single", 0.03)):
        assert getattr(found, name) == pytest.approx(getattr(true, name), abs=tolerance), name
    assert found.prior is true.prior


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
    written = _of_two_kinds()
    assert not has_shape_errors(checkpoint, "1234")
    write_shape_errors(shape_errors_path(checkpoint), {"detector": written}, "1234")
    assert has_shape_errors(checkpoint, "1234")
    assert not has_shape_errors(checkpoint, "5678")
    found = read_shape_errors(checkpoint, "1234", "detector")
    for one, two in zip((*found[:-1], *found.prior), (*written[:-1], *written.prior), strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(InputError, match=r"another version of a\.tar"):
        read_shape_errors(checkpoint, "5678", "detector")
    with pytest.raises(InputError, match="perfect_gain"):
        read_shape_errors(checkpoint, "1234", "perfect")
    damaged = _errors()._replace(offset=np.full(DIMS, np.nan))
    write_shape_errors(shape_errors_path(checkpoint), {"detector": damaged}, "1234")
    with pytest.raises(InputError, match="detector_offset"):
        read_shape_errors(checkpoint, "1234", "detector")
    damaged = written._replace(prior=written.prior._replace(weights=np.ones(3)))
    write_shape_errors(shape_errors_path(checkpoint), {"detector": damaged}, "1234")
    with pytest.raises(InputError, match=r"prior_means is no finite array \(3, 10\)"):
        read_shape_errors(checkpoint, "1234", "detector")
