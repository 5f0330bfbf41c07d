"""Measures how a network's betas err, which several photos of one person are combined by.

    python -m evaluate.shape_errors --checkpoint checkpoints/mine.tar

Writes `<checkpoint>_shape_errors.npz` beside the checkpoint, for `--same-person` of run_predict.py:
see `models/shape_errors.py`. People in poses of validation are seen through exact silhouettes and
joints ("perfect") and through drawn errors of the default detector ("detector").
"""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data.made_shapes import read_made_people
from data.pose_dataset import load_poses
from evaluate.repeated_people import SOURCES, as_arrays, estimate_shapes
from models.body_model import BodyModel
from models.checkpoints import Predictor, load_predictor
from models.shape_errors import (
    KINDS,
    ShapePrior,
    fit_shape_errors,
    gaussian_of_body,
    shape_errors_path,
    write_shape_errors,
)
from utils.command_line import parse_options, run_script
from utils.conventions import NUM_BETAS
from utils.errors import InputError
from utils.files import hash_file
from utils.paths import DEFAULT_CHECKPOINT, OPEN_POSES_VAL
from utils.tensors import match_betas

MIN_PEOPLE = 10  # for each beta: covariances of fewer would be noise
CLEARLY = 0.3  # how far from a man, or from a woman, one may be to be counted as one
FEW_DETAILS = 0.2  # standard deviation of the betas after the first ten, of people without any


@dataclass(frozen=True)
class ShapeErrorOptions:
    """Which network is measured, and on whom."""

    checkpoint: Path = DEFAULT_CHECKPOINT  # of a network for the open body
    poses: tuple[Path, ...] = (OPEN_POSES_VAL,)  # npz files; the network was not trained on them
    people: int = 2000  # with 4 photos each
    photos: int = 4  # of each person
    betas_std: float = 1.5  # per component, around the mean shape
    # npz files of people whose shapes are those of men and women, see `data.made_shapes`; without
    # any these are the shapes of the male and the female body
    made_shapes: tuple[Path, ...] = ()
    seed: int = 11  # of shapes, poses and errors; benchmarks draw from others


class ShapeSample(NamedTuple):
    """People to measure on, and whom they stand for."""

    betas: Tensor  # (P, B) at least as many as the network estimates
    prior: ShapePrior


def measure_shape_errors(options: ShapeErrorOptions) -> None:
    """Measures and writes; raises InputError where that cannot be done."""
    predictor = load_predictor(options.checkpoint, torch.device("cpu"))
    dims = len(predictor.mean_betas)
    if options.people < MIN_PEOPLE * dims or options.photos < 2:
        raise InputError(f"expected --people {MIN_PEOPLE * dims} or more and --photos 2 or more")
    draw = draw_made_people if options.made_shapes else draw_people
    sample = draw(options, predictor)
    poses = torch.from_numpy(load_poses(options.poses).poses)
    by_source = {}
    for source in SOURCES:
        found = estimate_shapes(
            predictor, sample.betas, poses, options.photos, source, options.seed
        )
        arrays = as_arrays(found, sample.betas[:, :dims])
        by_source[source] = fit_shape_errors(*arrays, sample.prior)
    path = shape_errors_path(options.checkpoint)
    write_shape_errors(path, by_source, hash_file(options.checkpoint))
    print(f"{path}: errors of {options.people} people in {options.photos} photos each")


def draw_people(options: ShapeErrorOptions, predictor: Predictor) -> ShapeSample:
    """People whose betas are drawn one by one; men and women are as their bodies are."""
    neutral, std = predictor.body_model, options.betas_std
    mean = predictor.mean_betas.double().numpy()
    gaussians = [(mean, std**2 * np.eye(len(mean)))]
    with contextlib.suppress(InputError):  # the files of one may be missing
        for gender in KINDS[1:]:
            body = BodyModel.load(neutral.identity["name"], gender)
            gaussians.append(gaussian_of_body(neutral, body, len(mean), std))
    nobody_asked = np.arange(len(gaussians)) == 0
    means, covariances = map(np.stack, zip(*gaussians, strict=True))
    generator = torch.Generator().manual_seed(options.seed)
    away = torch.randn(options.people, len(mean), generator=generator)
    prior = ShapePrior(means, covariances, nobody_asked.astype(float))
    return ShapeSample(predictor.mean_betas + std * away, prior)


def draw_made_people(options: ShapeErrorOptions, predictor: Predictor) -> ShapeSample:
    """A third made men, a third made women, and a third whose ten betas are drawn one by one."""
    made = read_made_people(options.made_shapes, predictor.body_model.identity["hash"])
    generator = np.random.default_rng(options.seed)
    mean = match_betas(predictor.mean_betas, made.betas.shape[1]).double().numpy()
    stds = np.where(np.arange(len(mean)) < NUM_BETAS, options.betas_std, FEW_DETAILS)
    dims, per_kind = len(predictor.mean_betas), -(-options.people // len(KINDS))
    betas = [mean + stds * generator.standard_normal((per_kind, len(mean)))]
    gaussians = [(mean[:dims], np.diag(stds[:dims] ** 2))]
    for chosen in (made.genders <= CLEARLY, made.genders >= 1 - CLEARLY):
        people = made.betas[chosen]
        betas.append(generator.choice(people, per_kind))
        gaussians.append((people[:, :dims].mean(axis=0), np.cov(people[:, :dims].T)))
    means, covariances = map(np.stack, zip(*gaussians, strict=True))
    prior = ShapePrior(means, covariances, np.full(len(KINDS), 1 / len(KINDS)))
    drawn = np.concatenate(betas)[: options.people].astype(np.float32)
    return ShapeSample(torch.from_numpy(drawn), prior)


if __name__ == "__main__":
    sys.exit(run_script(lambda: measure_shape_errors(parse_options(ShapeErrorOptions, __doc__))))
