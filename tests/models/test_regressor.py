"""The published network: its layers, its names, and its numbers."""

import pytest
import torch

from models.body_model import read_mean_parameters
from models.decoder import INITIAL_CAMERA, decode_parameters, split_estimate
from models.regressor import Regressor
from tests.observations import random_observation
from utils.proxy import make_proxy
from utils.rotations import rot6d_to_rotmat


@pytest.fixture(scope="module")
def mean():
    return read_mean_parameters("open")


@pytest.mark.parametrize(("layers", "features", "hidden"), [(18, 512, 512), (50, 2048, 1024)])
def test_layers_and_names_are_the_published_ones(mean, layers, features, hidden):
    state = Regressor(mean, layers).state_dict()
    assert state["image_encoder.conv1.weight"].shape == (64, 18, 7, 7)
    assert not any(name.startswith("image_encoder.fc") for name in state)
    shapes = {"fc1": (hidden, features + 157), "fc2": (hidden, hidden), "fc3": (157, hidden)}
    for position, (name, shape) in zip((0, 2, 4), shapes.items(), strict=True):
        assert state[f"ief_module.{name}.weight"].shape == shape
        doubled = state[f"ief_module.ief_layers.{position}.weight"]
        assert doubled.data_ptr() == state[f"ief_module.{name}.weight"].data_ptr()
        assert not state[f"ief_module.{name}.bias"].any()
    assert {name.split(".")[0] for name in state} == {"image_encoder", "ief_module"}


def test_without_corrections_the_estimate_is_the_mean(mean):
    regressor = Regressor(mean, 18).eval()
    torch.nn.init.zeros_(regressor.ief_module.fc3.weight)
    parameters = regressor(random_observation(2))
    assert parameters.cam_wp.tolist() == [list(torch.tensor(INITIAL_CAMERA))] * 2
    expected = rot6d_to_rotmat(mean.pose.view(24, 6))
    torch.testing.assert_close(parameters.pose_rotmats[0], expected)
    torch.testing.assert_close(parameters.betas[1], mean.betas)


def test_each_iteration_adds_the_correction(mean):
    regressor = Regressor(mean, 18, iterations=4).eval()
    module = regressor.ief_module
    torch.nn.init.zeros_(module.fc3.weight)
    torch.nn.init.constant_(module.fc3.bias, 0.25)  # whatever it sees, it adds 0.25
    features = torch.rand(3, 512)
    torch.testing.assert_close(
        module(features), (module.initial_estimate + 1.0).expand(3, -1), atol=1e-6, rtol=0
    )


def test_decoding_splits_camera_pose_and_shape():
    estimate = torch.arange(157.0)[None]
    parameters = decode_parameters(estimate)
    assert parameters.cam_wp.tolist() == [[0, 1, 2]]
    assert parameters.betas[0].tolist() == list(range(147, 157))
    expected = rot6d_to_rotmat(estimate[0, 3:147].view(24, 6))
    torch.testing.assert_close(parameters.pose_rotmats[0], expected)


@pytest.mark.parametrize("layers", [18, 50])
def test_an_observation_gives_what_its_proxy_gives_in_the_published_network(mean, layers):
    regressor = Regressor(mean, layers).eval()
    silhouettes, joints2d_px, confidence = observation = random_observation(3)
    proxy = make_proxy(silhouettes, joints2d_px, confidence > 0)
    estimate = regressor.ief_module(regressor.image_encoder(proxy))
    found, expected = regressor(observation), decode_parameters(estimate)
    assert all(map(torch.equal, found, expected))
    (only,) = regressor.estimates(observation)
    assert all(map(torch.equal, only, expected))
    assert not torch.equal(expected.betas[0], expected.betas[1])
    assert torch.equal(split_estimate(regressor.initial_estimate).pose, mean.pose)


def test_contiguous_weights_make_the_proxy_contiguous(mean):
    """As trained with `--training.channels-last False`: the same but for rounding."""
    regressor, observation = Regressor(mean).eval(), random_observation(2)
    expected = regressor(observation)
    regressor.to(memory_format=torch.contiguous_format)
    seen = []
    regressor.image_encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.testing.assert_close(regressor(observation), expected, atol=1e-5, rtol=0)
    assert seen[0].is_contiguous()


def test_parameters_stay_in_float32_under_autocast(mean):
    with torch.autocast("cpu", torch.bfloat16):
        parameters = Regressor(mean, 18).eval()(random_observation(1))
    assert {tensor.dtype for tensor in parameters} == {torch.float32}


def test_unknown_depth(mean):
    with pytest.raises(ValueError, match="expected one of"):
        Regressor(mean, 34)
