"""The checkpoint that users get: it loads, fits the shipped body, and has learnt something."""

import pytest
import torch

from data.pose_dataset import load_poses
from metrics.metrics import Metrics
from models.body_model import read_mean_parameters
from models.checkpoints import load_predictor, read_checkpoint
from models.decoder import decode_in_crops, decode_parameters
from renderers.rasteriser import render_silhouettes
from synthesis.options import CameraOptions
from synthesis.synthesiser import Synthesiser, SyntheticBatch
from utils.paths import DEFAULT_CHECKPOINT, OPEN_POSES_VAL

_PEOPLE = 48


@pytest.fixture(scope="module")
def predictor():
    return load_predictor(DEFAULT_CHECKPOINT, torch.device("cpu"))


@pytest.fixture(scope="module")
def people(predictor):
    """Validation people with drawn shapes, spread over the file."""
    poses = load_poses(OPEN_POSES_VAL).poses
    chosen = torch.from_numpy(poses[:: len(poses) // _PEOPLE][:_PEOPLE])
    generator = torch.Generator().manual_seed(0)
    betas = 1.5 * torch.randn(_PEOPLE, 10, generator=generator)
    synthesiser = Synthesiser(
        predictor.body_model,
        read_mean_parameters("open").betas,
        predictor.image_size,
        CameraOptions(),
    )
    return synthesiser, synthesiser(chosen, betas)


def _measured(parameters, predictor, people) -> dict[str, float]:
    synthesiser, batch = people
    prediction = decode_in_crops(parameters, predictor.body_model, predictor.image_size)
    prediction["vertices_tpose"] = predictor.body_model.tpose(parameters.betas)
    prediction["silhouettes"] = render_silhouettes(
        prediction["vertices"], prediction["cam_wp"], synthesiser.rasteriser
    )
    metrics = Metrics()
    metrics.update(prediction, batch.target)
    return metrics.compute()


def test_it_is_far_better_than_the_mean_person(predictor, people):
    start = predictor.regressor.initial_estimate.expand(_PEOPLE, -1)
    with torch.inference_mode():
        mean = _measured(decode_parameters(start), predictor, people)
        found = _measured(predictor.regressor(people[1].observation), predictor, people)
    assert found["mpjpe_pa"] < 0.3 * mean["mpjpe_pa"]
    assert found["pve_pa"] < 0.3 * mean["pve_pa"]
    assert found["pve_t_sc"] < 0.6 * mean["pve_t_sc"]
    assert found["joints2d_l2"] < 0.1 * mean["joints2d_l2"]
    assert found["silhouette_iou"] > 0.9


def test_nearly_exact_people_are_refined(predictor, people):
    """What was observed here is exact; an estimate with a detector's errors stays as it is."""
    synthesiser, whole = people
    few = slice(0, 16)
    observation = whole.observation.rows(few)
    batch = SyntheticBatch(observation, {name: each[few] for name, each in whole.target.items()})
    refiner = load_predictor(DEFAULT_CHECKPOINT, torch.device("cpu"), refine=True).regressor
    with torch.inference_mode():
        network, refined = predictor.regressor(observation), refiner(observation)
        before, after = (
            _measured(each, predictor, (synthesiser, batch)) for each in (network, refined)
        )
        away = 3 * torch.randn(16, 17, 2, generator=torch.Generator().manual_seed(1))
        erring = observation._replace(joints2d_px=observation.joints2d_px + away)
        assert all(map(torch.equal, refiner(erring), predictor.regressor(erring)))
    assert (refined.betas != network.betas).any(dim=1).sum() > 12
    for name in ("pve_t_sc", "mpjpe_pa", "joints2d_l2"):
        assert after[name] < before[name]
    assert after["silhouette_iou"] > before["silhouette_iou"] + 0.01


def test_it_is_small_and_names_no_machine():
    assert DEFAULT_CHECKPOINT.stat().st_size < 30e6
    checkpoint = read_checkpoint(DEFAULT_CHECKPOINT)
    assert checkpoint["samples_seen"] > 0
    assert not [text for text in str(checkpoint["options"]).split("'") if text.startswith("/")]
