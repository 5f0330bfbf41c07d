"""What a run starts from."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from models.body_model import read_mean_parameters
from models.feedback import FeedbackRegressor
from models.networks import build_network
from models.options import FeedbackOptions
from tests.networks import NETWORKS, write_checkpoint
from tests.observations import random_observation
from train.build import build_regressor, load_made_shapes
from train.options import DataOptions, ModelOptions
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


def test_betas_of_another_network_may_be_any(body_model):
    options = replace(NETWORKS["published"], feedback=FeedbackOptions(betas=41))
    model = ModelOptions(**vars(options))
    network = build_regressor(model, body_model, read_mean_parameters("open"))
    assert not isinstance(network, FeedbackRegressor)


def test_made_shapes_are_those_of_the_body_that_is_trained_for(tmp_path, body_model):
    arrays = {"betas": np.ones((3, 12)), "genders": np.zeros(3), "body_hash": np.array("another")}
    np.savez(tmp_path / "shapes.npz", **arrays)
    data = DataOptions(made_shapes=(tmp_path / "shapes.npz",), made_share=0.25)
    with pytest.raises(InputError, match="holds shapes of the body another"):
        load_made_shapes(data, body_model)
    arrays["body_hash"] = body_model.identity["hash"]
    np.savez(tmp_path / "shapes.npz", **arrays)
    made = load_made_shapes(data, body_model)
    assert (made.betas.tolist(), made.share) == (np.ones((3, 12)).tolist(), 0.25)
    assert load_made_shapes(DataOptions(), body_model) is None
    with pytest.raises(InputError, match=r"--data\.train-shapes is file, by which none are drawn"):
        load_made_shapes(replace(data, train_shapes="file"), body_model)


def test_a_network_does_not_go_on_with_fewer_betas(tmp_path, body_model):
    path = write_checkpoint(tmp_path / "small.tar", "feedback")
    with pytest.raises(InputError, match=r"give --model.feedback.betas 12"):
        build_regressor(_options(path, betas=10), body_model, read_mean_parameters("open"))
