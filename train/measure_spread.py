"""Measures how a network errs on validation people, which refinement holds its estimates by.

    python -m train.measure_spread --checkpoint checkpoints/mine.tar --output checkpoints/new.tar

Writes the checkpoint again with the covariance of the errors inside, without which nobody is
refined. People are seen without a detector's errors: those alone are refined whose joints agree
with a body, see `models/refinement.py`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from data.pose_dataset import load_poses
from models.body_model import read_mean_parameters
from models.checkpoints import ERROR_COVARIANCE, Predictor, load_predictor, read_checkpoint
from models.decoder import BodyParameters
from models.feedback import FeedbackRegressor
from models.refinement import Refiner, count_changes, measure_parameter_errors
from synthesis.made_shapes import MadeShapes
from synthesis.options import AugmentationOptions, CameraOptions
from synthesis.synthesiser import Synthesiser
from synthesis.variation import draw_betas, draw_variation
from train.build import load_made_shapes
from train.checkpoints import save_atomically
from train.options import DataOptions
from utils.cameras import fit_weak_perspective
from utils.command_line import parse_options, run_script
from utils.devices import choose_device
from utils.errors import InputError
from utils.joints import COCO17_IN_90
from utils.options import OneOrMore, Share, check_ranges
from utils.paths import DEFAULT_CHECKPOINT, OPEN_POSES_VAL

EXACT = AugmentationOptions(corrupt=0.0, vertex_noise=0.0)  # shapes, cameras and crops vary


@dataclass(frozen=True)
class SpreadOptions:
    """Which network is measured, and on whom."""

    output: Path  # checkpoint to write
    checkpoint: Path = DEFAULT_CHECKPOINT  # of a feedback regressor
    poses: tuple[Path, ...] = (OPEN_POSES_VAL,)  # npz files; the network was not trained on them
    # npz files of shapes, see `data.made_shapes`, and how many of the people have one of those; the
    # others' ten betas are drawn one by one (models/README.md tells what that is worth)
    made_shapes: tuple[Path, ...] = ()
    made_share: Share = 0.33
    seed: int = 1  # of shapes, cameras and crops
    batch_size: OneOrMore = 128  # people at a time
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...


def measure(options: SpreadOptions) -> None:
    """Measures and writes; raises InputError for a network that cannot be refined."""
    check_ranges(options)
    if not options.output.parent.is_dir():
        raise InputError(f"no folder {options.output.parent}; make it first")
    device = choose_device(options.device)
    predictor = load_predictor(options.checkpoint, device)
    if not isinstance(predictor.regressor, FeedbackRegressor):
        raise InputError(f"{options.checkpoint} holds a network without rounds of feedback")
    poses = torch.from_numpy(load_poses(options.poses).poses).to(device)
    generator = torch.Generator(device).manual_seed(options.seed)
    data = DataOptions(made_shapes=options.made_shapes, made_share=options.made_share)
    made = load_made_shapes(data, predictor.body_model)
    errors = measure_errors(predictor, poses, options.batch_size, generator, made)
    if len(errors) < errors.shape[1]:
        raise InputError(
            f"{len(errors)} of {len(poses)} people's joints agree with their estimate, expected "
            f"{errors.shape[1]} or more; train the network for longer, or name more poses"
        )
    # About 0, not about the mean: a bias is an error like any other.
    covariance = errors.mT @ errors / len(errors)
    checkpoint = {**read_checkpoint(options.checkpoint), ERROR_COVARIANCE: covariance.float().cpu()}
    save_atomically(checkpoint, options.output)
    print(f"{options.output}: errors of {len(errors)} of {len(poses)} people")


@torch.inference_mode()
def measure_errors(
    predictor: Predictor,
    poses: Tensor,
    batch_size: int,
    generator: torch.Generator,
    made: MadeShapes | None = None,
) -> Tensor:
    """The network's errors (N, C), float64, on those people who would be refined.

    Args:
        predictor: of a feedback regressor.
        poses: (P, 72) axis-angle, camera frame, rad.
        batch_size: people at a time.
        generator: of shapes, cameras and crops.
        made: shapes that some of the people have; None: betas are drawn one by one.
    """
    made = None if made is None else made.to(poses.device)
    body = predictor.body_model
    mean_betas = read_mean_parameters(body.identity["name"]).betas
    synthesiser = Synthesiser(body, mean_betas, predictor.image_size, CameraOptions())
    synthesiser = synthesiser.to(poses.device)
    dims = count_changes(predictor.regressor)
    nothing_known = torch.zeros(dims, dims, device=poses.device)
    refiner = Refiner(predictor.regressor, nothing_known)
    errors = []
    for piece in tqdm(poses.split(batch_size), desc="measuring", disable=None):
        betas = draw_betas(EXACT, synthesiser.mean_betas, len(piece), generator)
        betas = betas if made is None else made.mix(betas, generator)
        vertices = body.identity["vertices"]
        variation = draw_variation(EXACT, len(piece), vertices, generator)
        batch = synthesiser(piece, betas, variation)
        estimate = predictor.regressor(batch.observation)
        pose_rotmats = batch.target["pose_rotmats"]
        joints3d = body(betas, pose_rotmats).joints3d[:, COCO17_IN_90]
        camera = fit_weak_perspective(joints3d, batch.target["joints2d_norm"])
        true = BodyParameters(camera, pose_rotmats, betas)
        agreeing = refiner.agreeing(batch.observation, estimate)
        errors.append(measure_parameter_errors(estimate, true)[agreeing].double())
    return torch.cat(errors)


if __name__ == "__main__":
    sys.exit(run_script(lambda: measure(parse_options(SpreadOptions, __doc__))))
