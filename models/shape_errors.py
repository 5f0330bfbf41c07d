"""How a network's betas err, and the shape of one person from several photos of them.

A network that is trained on squared errors gives the mean of the posterior: each estimate is drawn
towards the prior already, and a plain mean of many stays there. So its estimates are taken for
measurements of the true betas b,

    estimate in photo j = gain b + offset + shared error of the person + error of the photo j,

both errors Gaussian, the gain, the offset and both covariances found by moments on people whose
betas are known. The prior of b is a mixture of Gaussians, one for each kind of people, so that men
are like men and women like women though nobody says who is which; the posterior counts it once,
whatever the number of photos.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.body_model import BodyModel
from utils.errors import InputError
from utils.files import write_npz
from utils.readers import read_npz

FREEDOM = 5.0  # degrees of freedom of the t distribution of a photo's error: it has heavy tails
ROUNDS = 20  # of reweighting, which moves by less than 1e-3 after them
HEIGHT_STEP = 0.5  # of betas, for the slopes of the height
HEIGHT_ROUNDS = 3
# Photos that a clip is worth. Of 30 people who walk for three seconds, through MediaPipe, the mean
# has a PVE-T-SC of 13.7 mm; taken for 1, 2, 3, 4, 8 photos it becomes 13.2, 13.0, 13.1, 13.4, 14.4.
FRAMES_WORTH = 2.0
ODD_WEIGHT = 0.5  # below this share of the usual weight a photo disagrees with the others
HASH = "checkpoint_hash"
KINDS = ("neutral", "male", "female")  # neutral: people whose gender nobody asks for
PURPOSE = "python -m evaluate.shape_errors --checkpoint"


class ShapePrior(NamedTuple):
    """What people look like before anything is seen: Gaussian for each of the first C `KINDS`."""

    means: np.ndarray  # (C, N) float64
    covariances: np.ndarray  # (C, N, N)
    weights: np.ndarray  # (C,) shares of people, summing to 1


class ShapeErrors(NamedTuple):
    """How N betas are estimated, and of whom; float64."""

    gain: np.ndarray  # (N, N)
    offset: np.ndarray  # (N,)
    shared: np.ndarray  # (N, N) covariance of what all photos of a person have in common
    single: np.ndarray  # (N, N) covariance of what each photo adds
    prior: ShapePrior


_OF_SOURCE = ("gain", "offset", "shared", "single")  # of `ShapeErrors`


class CombinedShape(NamedTuple):
    """The shape of one person."""

    betas: np.ndarray  # (N,) the mean of the posterior
    covariance: np.ndarray  # (N, N) of the posterior
    weights: np.ndarray  # (K,) of the photos, 1 for one that errs no more than usual


def fit_shape_errors(estimates: np.ndarray, betas: np.ndarray, prior: ShapePrior) -> ShapeErrors:
    """Finds how a network errs, by moments.

    Args:
        estimates: (P, K, N) of P people in K photos each, K at least 2.
        betas: (P, N) the true ones.
        prior: of people.
    """
    people, photos, dims = estimates.shape
    means = estimates.mean(axis=1)  # (P, N)
    inputs = np.concatenate([betas, np.ones((people, 1))], axis=1)
    solution = np.linalg.lstsq(inputs, means, rcond=None)[0]  # (N + 1, N)
    within = (estimates - means[:, None]).reshape(-1, dims)
    single = within.T @ within / (people * (photos - 1))
    rest = means - inputs @ solution
    between = rest.T @ rest / (people - dims - 1)
    shared = _keep_positive(between - single / photos)
    return ShapeErrors(solution[:-1].T, solution[-1], shared, single, prior)


def _keep_positive(matrix: np.ndarray) -> np.ndarray:
    """The nearest covariance to a difference of two, which may have negative variances."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values.clip(min=0)) @ vectors.T


def combine_shapes(estimates: np.ndarray, errors: ShapeErrors) -> CombinedShape:
    """The shape of one person from K photos, in closed form but for the weights.

    Photos that disagree with the others weigh less: their errors are taken for draws of a t
    distribution, whose weights are found by turns with the photos' mean. Of two photos nobody can
    say which one is wrong: they weigh alike.

    Args:
        estimates: (K, N) betas of the same person.
        errors: of the network.
    """
    precision = np.linalg.inv(errors.single)
    weights = np.ones(len(estimates))
    for _ in range(ROUNDS if len(estimates) > 2 else 0):
        weights = _weigh(estimates, weights, precision)
    total = weights.sum()
    return CombinedShape(*_find_posterior(weights @ estimates / total, total, errors), weights)


def combine_frames(mean: np.ndarray, errors: ShapeErrors) -> CombinedShape:
    """The shape of one person in a clip, whose frames err alike: from one view, in like poses.

    Args:
        mean: (N,) of the betas of the frames.
        errors: of the network.
    """
    return CombinedShape(*_find_posterior(mean, FRAMES_WORTH, errors), np.ones(1))


def _find_posterior(
    estimate: np.ndarray, photos: float, errors: ShapeErrors
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (N,) and covariance (N, N) of betas, given the mean estimate (N,) of so many photos."""
    gain, prior = errors.gain, errors.prior
    spread = errors.shared + errors.single / photos
    onto = np.linalg.solve(spread, gain)  # spread^-1 gain
    known = np.linalg.inv(prior.covariances)  # (C, N, N)
    covariances = np.linalg.inv(known + gain.T @ onto)
    evidence = onto.T @ (estimate - errors.offset) + (known @ prior.means[..., None])[..., 0]
    means = (covariances @ evidence[..., None])[..., 0]  # (C, N)
    # How well each kind of people explains the estimate tells of which kind the person is.
    away = estimate - errors.offset - prior.means @ gain.T
    explained = gain @ prior.covariances @ gain.T + spread
    distances = np.einsum("cn,cn->c", away, np.linalg.solve(explained, away[..., None])[..., 0])
    likelihood = -(distances + np.linalg.slogdet(explained).logabsdet) / 2
    likelihood = np.where(prior.weights > 0, likelihood, -np.inf)
    shares = prior.weights * np.exp(likelihood - likelihood.max())
    shares /= shares.sum()
    betas = shares @ means
    apart = means - betas
    return betas, np.einsum("c,cnm->nm", shares, covariances) + (shares * apart.T) @ apart


def _weigh(estimates: np.ndarray, weights: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Weights (K,) of estimates by how far each is from the mean of the others."""
    total = weights.sum()
    others = (weights @ estimates - weights[:, None] * estimates) / (total - weights)[:, None]
    away = estimates - others
    # The others' mean errs too: by single / (their weight).
    squared = np.einsum("ni,ij,nj->n", away, precision, away) / (1 + 1 / (total - weights))
    dims = estimates.shape[1]
    return ((FREEDOM + dims) / (FREEDOM + squared)).clip(max=1)


def describe_estimate(estimate: np.ndarray, errors: ShapeErrors) -> CombinedShape:
    """The shape of one person from one photo: what the network says, and how far it may be off.

    A network that is trained on squared errors gives the posterior's mean already, and for people
    beyond the prior a better one than the prior would.

    Args:
        estimate: (N,) betas.
        errors: of the network.
    """
    return combine_shapes(estimate[None], errors)._replace(betas=estimate)


def know_height(
    shape: CombinedShape, height: float, measure_heights: Callable[[np.ndarray], np.ndarray]
) -> CombinedShape:
    """The shape once the person's height is known as well.

    The posterior is conditioned on it: betas move along what goes with height, which is more than
    size. Height is nearly linear in betas, so few steps do.

    Args:
        shape: without the height.
        height: metres.
        measure_heights: from betas (M, N) to the heights of their bodies (M,), metres.
    """
    betas, steps = shape.betas, HEIGHT_STEP * np.eye(len(shape.betas))
    for _ in range(HEIGHT_ROUNDS):
        rise = measure_heights(betas + steps) - measure_heights(betas - steps)
        along = shape.covariance @ rise / (2 * HEIGHT_STEP)  # (N,) covariance with the height
        variance = along @ rise / (2 * HEIGHT_STEP)
        betas = betas + along * (height - measure_heights(betas[None])[0]) / variance
    return shape._replace(
        betas=betas, covariance=shape.covariance - np.outer(along, along) / variance
    )


def know_gender(errors: ShapeErrors, gender: str) -> ShapeErrors:
    """The same errors with the prior of people of one gender.

    Args:
        errors: of a network for the neutral body.
        gender: male or female.

    Raises:
        InputError: it was measured without people of known gender.
    """
    kind, prior = KINDS.index(gender), errors.prior
    if kind >= len(prior.weights):
        raise InputError(
            f"--gender {gender} needs to know what {gender} people look like, which was not there "
            "when the checkpoint's shape errors were measured; put the male and the female body "
            f"into place and measure again with {PURPOSE} CHECKPOINT"
        )
    alone = (np.arange(len(prior.weights)) == kind).astype(float)
    return errors._replace(prior=prior._replace(weights=alone))


def gaussian_of_body(
    neutral: BodyModel, gendered: BodyModel, dims: int, betas_std: float = 1.5
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (N,) and covariance (N, N) of the neutral betas of a gendered body's people.

    Those are the body's with betas from N(0, betas_std^2); the neutral betas that come nearest to
    them are Gaussian too. Shape details spread as much for either gender.

    Args:
        neutral: body of the betas.
        gendered: the body of the gender, of the same mesh.
        dims: N.
        betas_std: per component.
    """
    means = [body.skinning.template.double().cpu().numpy() for body in (neutral, gendered)]
    directions = [body.skinning.shapedirs.double().cpu().numpy() for body in (neutral, gendered)]
    nearest = np.linalg.pinv(directions[0][:dims].T)  # (N, 3 V)
    onto = nearest @ directions[1].T  # (N, 10) from the gender's betas to neutral ones
    details = np.diag(np.arange(dims) >= len(directions[1])).astype(float)
    return nearest @ (means[1] - means[0]), betas_std**2 * (onto @ onto.T + details)


def find_odd(shape: CombinedShape) -> np.ndarray:
    """Numbers of the photos that disagree with the others."""
    return np.flatnonzero(shape.weights < ODD_WEIGHT)


def shape_errors_path(checkpoint: Path) -> Path:
    """Where the errors of a checkpoint's shapes lie: beside it."""
    return checkpoint.with_name(f"{checkpoint.stem}_shape_errors.npz")


def write_shape_errors(path: Path, by_source: dict[str, ShapeErrors], checkpoint_hash: str) -> None:
    """Writes what was measured, by what people were seen through; their prior is the same."""
    arrays = {}
    for source, errors in by_source.items():
        arrays |= {f"{source}_{name}": getattr(errors, name) for name in _OF_SOURCE}
        arrays |= {f"prior_{name}": values for name, values in errors.prior._asdict().items()}
    write_npz(path, {**arrays, HASH: np.array(checkpoint_hash)})


def has_shape_errors(checkpoint: Path, checkpoint_hash: str) -> bool:
    """Whether it was measured how the shapes of this version of a checkpoint err.

    Args:
        checkpoint: the checkpoint's file.
        checkpoint_hash: of that file, see `utils.files.hash_file`.

    Raises:
        InputError: there is a file about it that cannot be read.
    """
    path = shape_errors_path(checkpoint)
    return path.is_file() and str(read_npz(path, [HASH])[HASH]) == checkpoint_hash


def read_shape_errors(checkpoint: Path, checkpoint_hash: str, source: str) -> ShapeErrors:
    """Reads how a checkpoint's shapes err.

    Args:
        checkpoint: the checkpoint's file.
        checkpoint_hash: of that file, see `utils.files.hash_file`.
        source: that people are seen through, "perfect" or "detector".

    Raises:
        InputError: nothing was measured for this checkpoint.
    """
    path = shape_errors_path(checkpoint)
    if not path.is_file():
        raise InputError(
            f"{path} is missing, which says how the shapes of {checkpoint.name} err; make it with "
            f"{PURPOSE} {checkpoint}"
        )
    names = [f"{source}_{name}" for name in _OF_SOURCE]
    names += [f"prior_{name}" for name in ShapePrior._fields]
    found = read_npz(path, [HASH], names)
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"{path} has no {', '.join(missing)}; make it again with {PURPOSE} {checkpoint}"
        )
    if str(found[HASH]) != checkpoint_hash:
        raise InputError(
            f"{path} was measured for another version of {checkpoint.name} ({found[HASH]}, this "
            f"is {checkpoint_hash}); make it again with {PURPOSE} {checkpoint}"
        )
    arrays = {name: found[name].astype(np.float64) for name in names}
    offset, weights = arrays[f"{source}_offset"], arrays["prior_weights"]
    dims = len(offset) if offset.ndim == 1 else -1
    kinds = len(weights) if weights.ndim == 1 else -1
    shapes = dict.fromkeys(names, (dims, dims))
    shapes[f"{source}_offset"] = (dims,)
    shapes["prior_means"] = (kinds, dims)
    shapes["prior_covariances"] = (kinds, dims, dims)
    shapes["prior_weights"] = (kinds,)
    for name, values in arrays.items():
        if values.shape != shapes[name] or not np.isfinite(values).all():
            raise InputError(
                f"{path}: {name} is no finite array {shapes[name]}; make it "
                f"again with {PURPOSE} {checkpoint}"
            )
    of_source = [arrays[f"{source}_{name}"] for name in _OF_SOURCE]
    prior = ShapePrior(*(arrays[f"prior_{name}"] for name in ShapePrior._fields))
    return ShapeErrors(*of_source, prior)
