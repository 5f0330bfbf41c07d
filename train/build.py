"""Builds what a run trains with: network, synthesiser, loss, people that were observed."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.made_shapes import read_made_people
from data.pose_dataset import load_poses
from losses.multi_task import MultiTaskLoss
from losses.options import LossOptions
from models.body_model import BodyModel, MeanParameters, read_mean_parameters
from models.checkpoints import (
    check_same_body,
    load_regressor,
    read_checkpoint,
    read_network_options,
)
from models.networks import (
    Network,
    build_network,
    describe_network,
    parse_network_options,
)
from models.options import NetworkOptions
from synthesis.detector_errors import read_detector_errors
from synthesis.made_shapes import MadeShapes
from synthesis.observed_people import ObservedPairs, read_observed_people
from synthesis.options import AugmentationOptions, CameraOptions, check_views
from synthesis.synthesiser import Synthesiser
from synthesis.variation import draw_betas
from train.options import DataOptions, ModelOptions
from utils.conventions import NUM_BETAS
from utils.errors import InputError
from utils.options import flag, flatten, storable
from utils.paths import DETECTOR_ERRORS
from utils.processes import Ranks


def build_regressor(model: ModelOptions, body_model: BodyModel, mean: MeanParameters) -> Network:
    """An untrained network, or that of the checkpoint which training starts from.

    A feedback regressor's may have fewer betas than are asked for: the others start at 0.

    Args:
        model: which network.
        body_model: the body that it is trained for.
        mean: where an untrained one's estimates start.

    Raises:
        InputError: the checkpoint holds another network, or one that was trained for another body;
            or the body has fewer betas than are asked for.
    """
    if model.regressor == "feedback" and model.feedback.betas > body_model.num_betas:
        raise InputError(
            f"--model.feedback.betas is {model.feedback.betas}, but this body has "
            f"{body_model.num_betas}; give that or fewer"
        )
    if model.init_from is None:
        return build_network(model, mean, body_model)
    checkpoint = read_checkpoint(model.init_from)
    if "body" in checkpoint:
        check_same_body(checkpoint["body"], body_model, model.init_from)
    checkpoint.setdefault("mean_parameters", mean._asdict())
    found = read_network_options(checkpoint, model.init_from)
    more_betas = max(model.feedback.betas - found.feedback.betas, 0)
    widened = replace(found.feedback, betas=found.feedback.betas + more_betas)
    check_same_network(replace(found, feedback=widened), storable(asdict(model)), model.init_from)
    regressor = load_regressor(checkpoint, body_model, model.init_from)
    if model.regressor == "feedback":
        if more_betas:
            regressor.add_betas(more_betas, body_model)
        regressor.rounds = model.feedback.rounds
    return regressor


def check_same_network(found: NetworkOptions, model: dict[str, Any], path: Path) -> None:
    """Raises InputError when the options ask for another network than a checkpoint holds.

    Args:
        found: of the checkpoint's network.
        model: this run's options of the model, as `storable` gives them.
        path: of the checkpoint.
    """
    wanted = parse_network_options(model)
    if found != wanted:
        raise InputError(
            f"{path} holds a {describe_network(found)}, but the options ask for a "
            f"{describe_network(wanted)}; give {' '.join(list_differences(found, wanted))}"
        )


def list_differences(found: NetworkOptions, wanted: NetworkOptions) -> list[str]:
    """The options of run_train.py that would ask for one network where now they ask for another.

    Args:
        found: of the network that is there.
        wanted: of the one that the options ask for.
    """
    now = flatten(asdict(wanted), "model.")
    there = flatten(asdict(found), "model.")
    return [f"{flag(name)} {value}" for name, value in there.items() if value != now[name]]


def build_synthesiser(
    data: DataOptions,
    camera: CameraOptions,
    augmentation: AugmentationOptions,
    body_model: BodyModel,
    device: torch.device,
) -> Synthesiser:
    """What renders people.

    Raises:
        InputError: a file or the renderer's library is missing, or options contradict each other.
    """
    check_views(camera, augmentation)
    if data.renderer == "nmr" and device.type != "cuda":
        raise InputError(
            f"--data.renderer nmr draws on CUDA alone, and this run is on {device}; "
            "choose --data.renderer own"
        )
    errors = None
    if augmentation.detector != "published":
        errors = read_detector_errors(DETECTOR_ERRORS)
    if augmentation.shape_details > 0 and body_model.num_betas == NUM_BETAS:
        raise InputError(
            f"--augmentation.shape-details is {augmentation.shape_details}, but this body has the "
            f"{NUM_BETAS} betas alone; choose the open neutral body, or 0"
        )
    mean_betas = read_mean_parameters(body_model.identity["name"]).betas
    return Synthesiser(body_model, mean_betas, data.image_size, camera, data.renderer, errors)


def build_criterion(options: LossOptions, ranks: Ranks) -> MultiTaskLoss:
    """The loss; raises InputError for weights that it cannot have."""
    try:
        return MultiTaskLoss(options, ranks.mean)
    except ValueError as error:
        raise InputError(str(error)) from error


def load_observed(data: DataOptions, body_model: BodyModel) -> ObservedPairs | None:
    """People as a detector saw them, if the options name any."""
    if not data.observed_people:
        return None
    body_hash = body_model.identity["hash"]
    return read_observed_people(
        data.observed_people, data.image_size, body_hash, data.observed_share
    )


def load_made_shapes(data: DataOptions, body_model: BodyModel) -> MadeShapes | None:
    """Shapes of made people, if the options name any.

    Raises:
        InputError: a file cannot be used, or nobody's shape is drawn.
    """
    if not data.made_shapes:
        return None
    if data.train_shapes == "file":
        raise InputError(
            "--data.made-shapes names shapes to draw from, but --data.train-shapes is file, by "
            "which none are drawn; give one of the two"
        )
    people = read_made_people(data.made_shapes, body_model.identity["hash"])
    return MadeShapes(torch.from_numpy(people.betas), data.made_share)


def load_training(data: DataOptions) -> tuple[Tensor, Tensor | None]:
    """Training poses (N, 72) and the shapes (N, 10) that go with them, on the CPU.

    The shapes are None where they are drawn in every batch.

    Raises:
        InputError: a file cannot be used, or the shapes are to be its own and it has none.
    """
    people = load_poses(data.train_poses)
    poses = torch.from_numpy(people.poses)
    if data.train_shapes == "drawn":
        return poses, None
    if not people.shapes.any():
        raise InputError(
            "--data.train-shapes is file, but the shapes in "
            f"{', '.join(map(str, data.train_poses))} are missing or all 0; expected `shapes` "
            "(N, 10), or --data.train-shapes drawn"
        )
    return poses, torch.from_numpy(people.shapes)


def load_validation(
    data: DataOptions, augmentation: AugmentationOptions, mean_betas: Tensor
) -> tuple[Tensor, Tensor]:
    """Validation poses (N, 72) and the shapes (N, 10) that go with them, on the CPU."""
    people = load_poses(data.val_poses)
    poses, betas = torch.from_numpy(people.poses), torch.from_numpy(people.shapes)
    if data.val_shapes == "drawn":
        # Fixed numbers, whatever the seed of the run: runs can be compared.
        generator = torch.Generator().manual_seed(0)
        betas = draw_betas(augmentation, mean_betas, len(poses), generator)
    return poses, betas
