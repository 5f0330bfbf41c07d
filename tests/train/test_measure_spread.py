"""The covariance of a network's errors: measured, and stored with all else."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models import refinement
from models.body_model import read_mean_parameters
from models.checkpoints import load_predictor, read_checkpoint
from synthesis.made_shapes import MadeShapes
from tests.evaluation_sets import upright_pose
from tests.networks import random_network, stored_options
from train.measure_spread import SpreadOptions, measure, measure_errors
from utils.errors import InputError

PEOPLE = 90


@pytest.fixture
def options(tmp_path, body_model) -> SpreadOptions:
    """Of an untrained network and people who stand."""
    checkpoint = {
        "model_state_dict": random_network("feedback", body_model).state_dict(),
        "options": stored_options("feedback"),
        "body": body_model.identity,
        "image_size": 64,
        "mean_parameters": read_mean_parameters()._asdict(),
    }
    torch.save(checkpoint, tmp_path / "old.tar")
    poses = np.stack([upright_pose(yaw) for yaw in np.linspace(-1, 1, PEOPLE)])
    names = np.array(["standing"] * PEOPLE)
    np.savez(tmp_path / "poses.npz", poses=poses, fnames=names, shapes=np.zeros((PEOPLE, 10)))
    return SpreadOptions(
        tmp_path / "new.tar", tmp_path / "old.tar", (tmp_path / "poses.npz",), device="cpu"
    )


def test_it_is_stored_beside_the_same_network(options, monkeypatch):
    monkeypatch.setattr(refinement, "MAX_MEDIAN_RESIDUAL", 1e6)
    measure(options)
    old, new = read_checkpoint(options.checkpoint), read_checkpoint(options.output)
    assert new.keys() - old.keys() == {"error_covariance"}
    predictor = load_predictor(options.checkpoint, torch.device("cpu"))
    poses = torch.from_numpy(np.load(Path(options.poses[0]))["poses"])
    generator = torch.Generator().manual_seed(options.seed)
    errors = measure_errors(predictor, poses, options.batch_size, generator)
    assert errors.shape == (PEOPLE, 87)
    sizes = new["error_covariance"].diagonal()  # about 0: mean squared errors
    torch.testing.assert_close(sizes, errors.square().mean(dim=0).float())
    assert load_predictor(options.output, torch.device("cpu"), refine=True)


def test_people_may_have_the_shapes_of_made_people(options, body_model):
    """Their first beta is 9: an untrained network, which says the mean, errs by about as much."""
    predictor = load_predictor(options.checkpoint, torch.device("cpu"))
    poses = torch.from_numpy(np.load(Path(options.poses[0]))["poses"])
    made = MadeShapes(torch.eye(1, 40) * 9, share=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refinement, "MAX_MEDIAN_RESIDUAL", 1e6)
        errors = measure_errors(predictor, poses, 32, torch.Generator().manual_seed(1), made)
    tall = errors[:, -12] > 7
    assert 0.3 * PEOPLE < tall.sum() < 0.7 * PEOPLE


def test_too_few_who_agree_are_refused(options):
    with pytest.raises(InputError, match=r"0 of 90 people's joints agree .* expected 87 or more"):
        measure(options)
    assert not options.output.exists()
