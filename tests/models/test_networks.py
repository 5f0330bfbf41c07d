"""Which network options and checkpoints ask for."""

from dataclasses import asdict, replace

import pytest
import torch

from models.body_model import read_mean_parameters
from models.checkpoints import load_regressor, read_network_options
from models.feedback import FeedbackRegressor
from models.networks import build_network, describe_network, parse_network_options
from models.options import FeedbackOptions, NetworkOptions
from models.regressor import Regressor
from tests.networks import NETWORKS, random_network, stored_options
from tests.observations import random_observation
from utils.errors import InputError

_FEEDBACK = NETWORKS["feedback"]


def _checkpoint(network, **changes) -> dict:
    mean = read_mean_parameters("open")._asdict()
    return {"model_state_dict": network.state_dict(), "mean_parameters": mean, **changes}


def test_options_say_which_network_is_built(body_model):
    mean = read_mean_parameters("open")
    published = build_network(NetworkOptions(resnet_layers=50, ief_iterations=2), mean, body_model)
    assert isinstance(published, Regressor)
    assert (published.resnet_layers, published.ief_module.iterations) == (50, 2)
    feedback = build_network(_FEEDBACK, mean, body_model)
    assert isinstance(feedback, FeedbackRegressor)
    assert feedback.rounds == 2
    assert len(feedback.vertex_ids) == 40


@pytest.mark.parametrize("options", [*NETWORKS.values(), NetworkOptions(resnet_layers=50)])
def test_options_survive_being_stored(options, tmp_path):
    torch.save({"options": {"model": asdict(options) | {"body": "open"}}}, tmp_path / "c.tar")
    stored = torch.load(tmp_path / "c.tar", weights_only=True)
    assert read_network_options(stored, tmp_path) == options


def test_what_a_checkpoint_does_not_say_has_its_default():
    assert parse_network_options({}) == NetworkOptions()
    older = parse_network_options({"resnet_layers": 50, "body": "open", "init_from": None})
    assert older == NetworkOptions(resnet_layers=50)
    found = parse_network_options({"regressor": "feedback", "feedback": {"width": 64}})
    assert found == NetworkOptions(regressor="feedback", feedback=FeedbackOptions(width=64))


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ({"regressor": "magic"}, "regressor is 'magic', expected one of published, feedback"),
        ({"resnet_layers": 34}, "resnet_layers is 34, expected one of 18, 50"),
        ({"resnet_layers": "18"}, "resnet_layers is '18', expected a value like 18"),
        ({"ief_iterations": True}, "ief_iterations is True, expected a value like 3"),
        ({"feedback": {"width": 1.5}}, r"width is 1\.5, expected a value like"),
        ({"feedback": {"depth": 3, "heads": 2}}, "feedback has depth, heads, which is unknown"),
        ({"feedback": None}, "feedback is None, expected options by name"),
        (["feedback"], r"model is a list, expected options by name"),
        ({"ief_iterations": 10**9}, "ief_iterations is 1000000000, expected a number from 1"),
        ({"feedback": {"width": 10**30}}, "width is a huge number, expected a number from 1"),
    ],
)
def test_unknown_values_are_refused_in_one_line(stored, told, tmp_path):
    with pytest.raises(
        InputError, match=f"c.tar has options that fit no network: {told}"
    ) as refused:
        read_network_options({"options": {"model": stored}}, tmp_path / "c.tar")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("layers", [18, 50])
def test_published_files_are_known_by_their_weights(layers, tmp_path, body_model):
    network = Regressor(read_mean_parameters("open"), layers)
    checkpoint = _checkpoint(network)
    expected = NetworkOptions(resnet_layers=layers, proxy="published")
    assert read_network_options(checkpoint, tmp_path) == expected
    found = load_regressor(checkpoint, body_model, tmp_path)
    assert found.resnet_layers == layers
    with pytest.raises(InputError, match="does not hold a STRAPS regressor"):
        read_network_options({"model_state_dict": {"a": torch.ones(2)}}, tmp_path)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_checkpoints_network_predicts_as_the_one_that_was_stored(name, tmp_path, body_model):
    network, observation = random_network(name, body_model).eval(), random_observation(3)
    checkpoint = _checkpoint(network, options=stored_options(name), rounds=network.rounds)
    found = load_regressor(checkpoint, body_model, tmp_path).eval()
    assert all(map(torch.equal, found(observation), network(observation)))
    assert isinstance(found, type(network))


def test_a_checkpoint_says_after_how_many_rounds_its_estimates_are_best(tmp_path, body_model):
    network = random_network("feedback", body_model)
    checkpoint = _checkpoint(network, options=stored_options("feedback"), rounds=4)
    assert (
        len(load_regressor(checkpoint, body_model, tmp_path).estimates(random_observation(1))) == 5
    )


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (64, "not a readable checkpoint of a feedback regressor with 2 rounds .* expected"),
        (-5, "width is -5, expected a number from 1 to 8192"),
    ],
)
def test_weights_of_another_size_are_refused(width, told, tmp_path, body_model):
    network = random_network("feedback", body_model)
    options = asdict(replace(_FEEDBACK, feedback=replace(_FEEDBACK.feedback, width=width)))
    checkpoint = _checkpoint(network, options={"model": options})
    with pytest.raises(InputError, match=told) as refused:
        load_regressor(checkpoint, body_model, tmp_path)
    assert len(str(refused.value).splitlines()) == 1


def test_networks_are_described():
    assert describe_network(NetworkOptions(resnet_layers=50)) == "ResNet-50 with 3 IEF iterations"
    assert describe_network(_FEEDBACK) == "feedback regressor with 2 rounds"
