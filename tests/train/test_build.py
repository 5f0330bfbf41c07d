"""What a run starts from."""

from dataclasses import asdict, replace

import pytest
import torch

from models.body_model import read_mean_parameters
from models.networks import build_network
from tests.networks import NETWORKS, write_checkpoint
from tests.observations import random_observation
from train.build import build_regressor
from train.options import ModelOptions
from utils.errors import InputError
from utils.tensors import match_betas


def _options(path, **feedback) -> ModelOptions:
    network = NETWORKS["feedback"]
    known = {**asdict(network), "feedback": replace(network.feedback, **feedback)}
    return ModelOptions(**known, init_from=path)


def test_a_network_goes_on_with_more_betas(tmp_path, body_model):
    """The checkpoint has 12; what it says stays, and the new ones start at 0."""
    path, mean = write_checkpoint(tmp_path / "small.tar", "feedback"), read_mean_parameters("open")
    same = build_regressor(_options(path), body_model, mean)
    widened = build_regressor(_options(path, betas=40), body_model, mean)
    observation = random_observation(2)
    with torch.inference_mode():
        expected, found = same(observation), widened(observation)
    torch.testing.assert_close(found.betas, match_betas(expected.betas, 40))
    torch.testing.assert_close(found.pose_rotmats, expected.pose_rotmats)
    fresh = build_network(replace(_options(None, betas=40)), mean, body_model)
    assert fresh.state_dict().keys() == widened.state_dict().keys()


def test_more_betas_than_the_body_has_are_refused(body_model):
    with pytest.raises(InputError, match=r"--model.feedback.betas is 41, but this body has 40"):
        build_regressor(_options(None, betas=41), body_model, read_mean_parameters("open"))


def test_a_network_does_not_go_on_with_fewer_betas(tmp_path, body_model):
    path = write_checkpoint(tmp_path / "small.tar", "feedback")
    with pytest.raises(InputError, match=r"give --model.feedback.betas 12"):
        build_regressor(_options(path, betas=10), body_model, read_mean_parameters("open"))
