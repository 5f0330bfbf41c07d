"""The feedback regressor: what it measures of its estimates, and where gradients go."""

import math
from dataclasses import replace

import pytest
import torch

from models.body_model import read_mean_parameters
from models.decoder import INITIAL_CAMERA, split_estimate
from models.feedback import (
    FeedbackRegressor,
    ObservedNumbers,
    choose_spread_vertices,
)
from tests.networks import NETWORKS, random_network
from tests.observations import random_observation
from utils.cameras import project_weak_perspective
from utils.joints import COCO17_IN_90
from utils.normals import vertex_normals
from utils.rotations import rot6d_to_rotmat
from utils.tensors import match_betas, pick

_OPTIONS = NETWORKS["feedback"].feedback


@pytest.fixture
def regressor(body_model):
    return random_network("feedback", body_model)


def _total(parameters) -> torch.Tensor:
    """A number that depends on all that was estimated."""
    return sum(values.square().sum() for values in parameters)


def _gradients(regressor, name: str) -> list[torch.Tensor | None]:
    return [values.grad for values in getattr(regressor, name).parameters()]


def test_untrained_every_estimate_is_the_mean(body_model):
    mean = read_mean_parameters("open")
    regressor = FeedbackRegressor(mean, body_model, _OPTIONS)
    estimates = regressor.estimates(random_observation(3))
    assert len(estimates) == _OPTIONS.rounds + 1
    pose = rot6d_to_rotmat(mean.pose.view(1, 24, 6)).expand(3, -1, -1, -1)
    for estimate in estimates:
        torch.testing.assert_close(estimate.cam_wp, torch.tensor([INITIAL_CAMERA] * 3))
        torch.testing.assert_close(estimate.pose_rotmats, pose)
        torch.testing.assert_close(estimate.betas, match_betas(mean.betas, 12).expand(3, -1))
    torch.testing.assert_close(split_estimate(regressor.initial_estimate).pose, mean.pose)


def test_what_it_says_is_its_last_estimate(regressor):
    observation = random_observation(2)
    found, last = regressor(observation), regressor.estimates(observation)[-1]
    assert all(map(torch.equal, found, last))


def test_with_mirror_images_left_and_right_are_alike(regressor, body_model):
    """What it says of a mirror image is the mirror image of what it says."""
    observation = random_observation(3)
    alone, other = regressor(observation), regressor(observation.mirrored()).mirrored()
    regressor.mirror = True
    found = regressor(observation)
    torch.testing.assert_close(found.betas, (alone.betas + other.betas) / 2)
    torch.testing.assert_close(found.cam_wp, (alone.cam_wp + other.cam_wp) / 2)
    again = regressor(observation.mirrored()).mirrored()
    for one, two in zip(found, again, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=0)
    assert (alone.betas - found.betas).abs().max() > 1e-4


def test_more_betas_change_nothing_until_they_are_learnt(body_model):
    torch.manual_seed(3)
    regressor, observation = random_network("feedback", body_model), random_observation(2)
    with torch.no_grad():
        before = regressor.estimates(observation)
        regressor.add_betas(5, body_model)
        after = regressor.estimates(observation)
        for old, new in zip(before, after, strict=True):
            torch.testing.assert_close(new.cam_wp, old.cam_wp)
            torch.testing.assert_close(new.pose_rotmats, old.pose_rotmats)
            torch.testing.assert_close(new.betas, match_betas(old.betas, 17))
    fresh = replace(_OPTIONS, betas=17)
    built = FeedbackRegressor(read_mean_parameters("open"), body_model, fresh)
    built.load_state_dict(regressor.state_dict())
    _total(regressor.estimates(observation)[-1]).backward()
    assert regressor.correcting.last.weight.grad.shape == (147 + 17, _OPTIONS.width)
    regressor.estimates(observation)[1].betas[:, 12:].sum().backward()
    assert regressor.correcting.last.weight.grad[-5:].abs().sum() > 0  # they can be learnt


def test_more_betas_than_the_body_has_are_refused(body_model):
    most = body_model.num_betas
    with pytest.raises(ValueError, match=f"estimates {most + 1} betas, but this body has {most}"):
        FeedbackRegressor(
            read_mean_parameters("open"), body_model, replace(_OPTIONS, betas=most + 1)
        )
    with pytest.raises(ValueError, match="estimates 45 betas"):
        random_network("feedback", body_model).add_betas(33, body_model)


def test_the_first_estimates_loss_reaches_what_made_it(regressor):
    _total(regressor.estimates(random_observation(3))[0]).backward()
    for name in ("reader", "lifting"):
        assert all(gradient.any() for gradient in _gradients(regressor, name)), name
    assert _gradients(regressor, "correcting") == [None] * len(_gradients(regressor, "correcting"))


@pytest.mark.parametrize("number", [1, 2])
def test_a_later_estimates_loss_reaches_its_own_correction_alone(regressor, number):
    _total(regressor.estimates(random_observation(3))[number]).backward()
    for name in ("reader", "correcting"):
        assert all(gradient.any() for gradient in _gradients(regressor, name)), name
    assert _gradients(regressor, "lifting") == [None] * len(_gradients(regressor, "lifting"))


def test_nothing_flows_between_rounds(regressor):
    """Of the last loss, only the correcting of the last round counts.

    If the estimate before it is made a constant by hand, the gradients are the same.
    """
    observation = random_observation(3)
    _total(regressor(observation)).backward()
    found = [gradient.clone() for gradient in _gradients(regressor, "correcting")]
    regressor.zero_grad(set_to_none=True)
    calls = []

    def detach_all_but_the_last(module, inputs, output):
        calls.append(output)
        return output if len(calls) == _OPTIONS.rounds else output.detach()

    regressor.correcting.register_forward_hook(detach_all_but_the_last)
    _total(regressor(observation)).backward()
    assert len(calls) == _OPTIONS.rounds
    for gradient, expected in zip(_gradients(regressor, "correcting"), found, strict=True):
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_predicting_gives_what_training_gives(regressor, without_gradients):
    observation = random_observation(3)
    expected = regressor.estimates(observation)
    with without_gradients():
        found = regressor.estimates(random_observation(3))
    for one, other in zip(found, expected, strict=True):
        assert not one.betas.requires_grad
        # Without gradients the body is posed by other kernels, but the comparison is the same.
        torch.testing.assert_close(one, type(one)(*(v.detach() for v in other)), atol=1e-5, rtol=0)
    trained_on = regressor.train()(observation)  # afterwards it can still be trained
    _total(trained_on).backward()


def test_rounds_can_be_changed_after_building(regressor):
    observation = random_observation(2)
    estimates = regressor.estimates(observation)
    regressor.rounds = 4
    more = regressor.estimates(observation)
    assert len(more) == 5
    for one, other in zip(more, estimates, strict=False):
        assert all(map(torch.equal, one, other))
    regressor.rounds = 0
    assert all(map(torch.equal, regressor(observation), estimates[0]))


def test_a_batch_is_its_samples_one_by_one(regressor):
    observation = random_observation(4)
    together = regressor.estimates(observation)
    for index in range(4):
        part = slice(index, index + 1)
        alone = regressor.estimates(observation.rows(part))
        for one, other in zip(alone, together, strict=True):
            expected = type(other)(*(values[part] for values in other))
            torch.testing.assert_close(one, expected, atol=1e-4, rtol=0)
    assert not torch.allclose(together[-1].betas[0], together[-1].betas[1], atol=1e-3)


def test_joints_that_were_not_seen_may_be_anywhere(regressor):
    observation = random_observation(2)
    hidden = ~observation.visibility
    assert hidden.any()
    joints2d_px = observation.joints2d_px.masked_fill(hidden[..., None], torch.nan)
    found, expected = (
        regressor(observation._replace(joints2d_px=joints2d_px)),
        regressor(observation),
    )
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("seen", [False, True])
def test_an_empty_or_full_crop_gives_numbers(regressor, seen):
    observation = random_observation(2)
    silhouettes = torch.full_like(observation.silhouettes, seen)
    for estimate in regressor.estimates(observation._replace(silhouettes=silhouettes)):
        assert all(values.isfinite().all() for values in estimate)


def _compared(regressor, estimate, observed):
    """What `_compare` gives by name: residuals, distances, those on the rim, the rim."""
    residuals, features = regressor._compare(estimate, observed)
    return residuals, *features.chunk(3, dim=1)


def _estimate(regressor, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    noise = torch.randn(count, len(regressor.initial_estimate), generator=generator)
    return regressor.initial_estimate + 0.1 * noise


def test_residuals_by_hand(regressor):
    """Weighed by confidence, cut off at 0.3, times 5; nothing of joints that were not seen."""
    estimate = _estimate(regressor, 1)
    pose = rot6d_to_rotmat(split_estimate(estimate).pose.unflatten(1, (24, 6)))
    joints3d = pick(regressor.body(split_estimate(estimate).betas, pose).joints3d, COCO17_IN_90)
    projected = project_weak_perspective(joints3d, estimate[:, :3])
    confidence = torch.ones(1, 17)
    confidence[0, 3], confidence[0, 5] = 0.5, 0
    offsets = torch.zeros(1, 17, 2)
    offsets[0, 2, 0], offsets[0, 3, 1], offsets[0, 4, 0], offsets[0, 5, 1] = 0.1, 0.2, -0.9, 0.1
    observed = ObservedNumbers(
        projected + offsets, confidence, torch.zeros(1, 64, 64), torch.zeros(1, 128)
    )
    residuals = _compared(regressor, estimate, observed)[0].view(17, 2)
    expected = torch.zeros(17, 2)
    expected[2, 0], expected[3, 1], expected[4, 0] = 0.5, 0.5, -1.5
    torch.testing.assert_close(residuals, expected, atol=1e-4, rtol=0)


def test_distances_are_those_under_the_projected_vertices(regressor, body_model):
    """On a map that is 0.1 u at a column's place u in [-1, 1]; told in units of 0.15."""
    estimate = _estimate(regressor, 2)
    columns = (torch.arange(64) + 0.5) / 32 - 1
    observed = ObservedNumbers(
        torch.zeros(2, 17, 2), torch.zeros(2, 17), 0.1 * columns.expand(2, 64, 64),
        torch.zeros(2, 128),
    )  # fmt: skip
    _, distances, on_rim, rim = _compared(regressor, estimate, observed)
    pose = rot6d_to_rotmat(split_estimate(estimate).pose.unflatten(1, (24, 6)))
    vertices = body_model(split_estimate(estimate).betas, pose).vertices[:, regressor.vertex_ids]
    places = project_weak_perspective(vertices, estimate[:, :3])
    expected = 0.1 * places[..., 0].clamp(columns[0], columns[-1]) / 0.15
    torch.testing.assert_close(distances, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(on_rim, distances * rim)
    assert 0 <= rim.min() < 0.01
    assert 0.9 < rim.max() <= 1


def test_the_rim_is_where_normals_are_perpendicular_to_the_view(body_model):
    """The mean body from the front: seen edge-on at its sides, not on its chest and its back."""
    regressor = FeedbackRegressor(read_mean_parameters("open"), body_model, _OPTIONS)
    upright = torch.eye(3).repeat(1, 24, 1, 1)
    upright[0, 0] = torch.diag(torch.tensor([1.0, -1, -1]))
    rim = regressor._rim(regressor.body(torch.zeros(1, 10), upright))[0]
    normals = vertex_normals(_template(body_model), body_model.faces)[regressor.vertex_ids]
    torch.testing.assert_close(rim, torch.exp(-((normals[:, 2] / 0.3) ** 2)), atol=1e-4, rtol=0)


def test_normals_point_outwards_and_have_length_one(body_model):
    template = _template(body_model)
    normals = vertex_normals(template, body_model.faces)
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(len(normals)), atol=1e-4, rtol=0)
    assert normals[template[:, 1].argmin(), 1] < -0.5  # below the feet
    assert normals[template[:, 1].argmax(), 1] > 0.5  # above the head


def _template(body_model) -> torch.Tensor:
    return body_model.skinning.template.unflatten(0, (3, -1)).T


def test_vertices_are_spread_evenly_and_always_the_same(body_model):
    chosen = choose_spread_vertices(body_model, 60)
    assert torch.equal(chosen, choose_spread_vertices(body_model, 60))
    assert len(chosen.unique()) == 60
    assert torch.equal(choose_spread_vertices(body_model, 20), chosen[:20])
    template = _template(body_model)
    assert chosen[0] == template[:, 1].argmin()
    # No vertex is further from the chosen ones than these are from one another.
    apart = torch.cdist(template[chosen], template[chosen]).fill_diagonal_(math.inf).min()
    assert torch.cdist(template, template[chosen]).min(dim=1).values.max() <= apart + 1e-5


def test_the_state_dict_holds_no_body(regressor):
    names = set(regressor.state_dict())
    assert {name.split(".")[0] for name in names} == {
        "vertex_ids", "reader", "lifting", "correcting",
    }  # fmt: skip
    assert {name for name, _ in regressor.named_parameters()} == names - {"vertex_ids"}
    assert torch.equal(regressor.kept_vertices[:40], regressor.vertex_ids)


def test_vertices_of_the_checkpoint_win_over_those_chosen_now(regressor, body_model, monkeypatch):
    observation, expected = random_observation(2), regressor(random_observation(2))
    monkeypatch.setattr(
        "models.feedback.choose_spread_vertices", lambda body, count: torch.arange(count)
    )
    other = FeedbackRegressor(read_mean_parameters("open"), body_model, _OPTIONS)
    assert not torch.equal(other.kept_vertices, regressor.kept_vertices)
    other.load_state_dict(regressor.state_dict())
    for name in ("vertex_ids", "kept_vertices", "normals"):
        assert torch.equal(getattr(other, name), getattr(regressor, name)), name
    assert all(map(torch.equal, other(observation), expected))


def test_parameters_stay_in_float32_under_autocast(regressor):
    observation = random_observation(2)
    expected = regressor(observation)
    with torch.autocast("cpu", torch.bfloat16):
        found = regressor(observation)
    assert {values.dtype for values in found} == {torch.float32}
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


@pytest.mark.parametrize("number", [math.nan, math.inf, -1e30, 1e38])
def test_estimates_that_are_no_numbers_are_told_as_such_and_crash_nothing(regressor, number):
    """Training then stops with a message, see tests/train/test_trainer.py."""
    torch.nn.init.constant_(regressor.lifting.last.bias, number)
    assert len(regressor.estimates(random_observation(2))) == 3


def test_the_same_observation_gives_the_same_numbers_wherever_it_lies_in_memory(regressor):
    expected = regressor(random_observation(2))
    kept = []
    for length in range(1, 12):
        kept.append(torch.empty(13 * length, dtype=torch.uint8))
        assert all(map(torch.equal, regressor(random_observation(2)), expected))


def test_crops_of_any_size_are_read(regressor):
    for size in (32, 64, 96):
        assert regressor(random_observation(2, size)).betas.isfinite().all()
