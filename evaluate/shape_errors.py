"""Measures how a network's betas err, which several photos of one person are combined by.

    python -m evaluate.shape_errors --checkpoint checkpoints/mine.tar

Writes `<checkpoint>_shape_errors.npz` beside the checkpoint, for `--same-person` of run_predict.py:
see `models/shape_errors.py`. People are drawn as training draws them, with poses of validation, and
are seen through exact silhouettes and joints ("perfect") and through drawn errors of the default
detector ("detector").
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from data.pose_dataset import load_poses
from evaluate.repeated_people import SOURCES, as_arrays, draw_true_betas, estimate_shapes
from models.checkpoints import load_predictor
from models.shape_errors import fit_shape_errors, shape_errors_path, write_shape_errors
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.files import hash_file
from utils.paths import DEFAULT_CHECKPOINT, OPEN_POSES_VAL

MIN_PEOPLE = 10  # for each beta: covariances of fewer would be noise


@dataclass(frozen=True)
class ShapeErrorOptions:
    """Which network is measured, and on whom."""

    checkpoint: Path = DEFAULT_CHECKPOINT  # of a network for the open body
    poses: tuple[Path, ...] = (OPEN_POSES_VAL,)  # npz files; the network was not trained on them
    people: int = 2000  # with 4 photos each
    photos: int = 4  # of each person
    betas_std: float = 1.5  # per component, around the mean shape: the prior
    seed: int = 11  # of shapes, poses and errors; benchmarks draw from others


def measure_shape_errors(options: ShapeErrorOptions) -> None:
    """Measures and writes; raises InputError where that cannot be done."""
    predictor = load_predictor(options.checkpoint, torch.device("cpu"))
    betas = draw_true_betas(predictor.mean_betas, options.people, options.betas_std, options.seed)
    least = MIN_PEOPLE * betas.shape[1]
    if options.people < least or options.photos < 2:
        raise InputError(f"expected --people {least} or more and --photos 2 or more")
    poses = torch.from_numpy(load_poses(options.poses).poses)
    by_source = {}
    for source in SOURCES:
        found = estimate_shapes(predictor, betas, poses, options.photos, source, options.seed)
        by_source[source] = fit_shape_errors(*as_arrays(found, betas))
    path = shape_errors_path(options.checkpoint)
    write_shape_errors(path, by_source, hash_file(options.checkpoint))
    print(f"{path}: errors of {options.people} people in {options.photos} photos each")


if __name__ == "__main__":
    sys.exit(run_script(lambda: measure_shape_errors(parse_options(ShapeErrorOptions, __doc__))))
