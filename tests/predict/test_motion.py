"""One shape, bridged gaps, cameras and the way through the room."""

import numpy as np
import pytest
import torch

from predict import motion
from predict.motion import (
    MotionOptions,
    TrackedPerson,
    Trajectory,
    bridge_gaps,
    build_motion,
    combine_betas,
    far_cameras,
    find_trajectory,
    pose_bodies,
    resample,
)
from utils.cameras import project_perspective
from utils.joints import COCO17_IN_90
from utils.rotations import axis_angle_to_rotmat

FPS = 25.0


def _person(frames: list[int], wobble: float = 0.0) -> TrackedPerson:
    """Somebody who turns slowly and walks to the right."""
    count = len(frames)
    pose = 0.1 * torch.randn(24, 3).expand(count, 24, 3) + wobble * torch.randn(count, 24, 3)
    pose[:, 0] = torch.tensor([torch.pi, 0, 0])
    pose[:, 16, 1] = torch.tensor(frames) * 0.02
    cam_photo = torch.tensor([[200.0 + frame, 300 + 5.0 * frame, 240.0] for frame in frames])
    return TrackedPerson(
        np.array(frames), torch.tensor(frames) / FPS, axis_angle_to_rotmat(pose),
        torch.randn(10).expand(count, 10) + wobble * torch.randn(count, 10), cam_photo,
        np.ones(count, bool),
    )  # fmt: skip


def test_short_gaps_are_bridged_and_long_ones_stay():
    whole = _person(list(range(60)))
    seen = [*range(10), *range(14, 20), *range(40, 60)]
    bridged = bridge_gaps(TrackedPerson(*(values[seen] for values in whole)))
    expected = [*range(20), *range(40, 60)]  # of 20 to 39, 0.84 s, nothing is known
    assert bridged.frames.tolist() == expected
    assert np.flatnonzero(~bridged.estimated).tolist() == [10, 11, 12, 13]
    torch.testing.assert_close(
        bridged.pose_rotmats, whole.pose_rotmats[expected], atol=1e-4, rtol=0
    )
    torch.testing.assert_close(bridged.times, whole.times[expected])
    torch.testing.assert_close(bridged.cam_photo, whole.cam_photo[expected], atol=0.02, rtol=0)


def test_one_shape_out_of_many():
    betas = torch.randn(10) + 0.1 * torch.randn(50, 10)
    mean = betas.mean(dim=0)
    torch.testing.assert_close(combine_betas(betas, torch.ones(50)), mean, atol=0.05, rtol=0)
    betas[:5] += 8  # frames that went wrong
    assert (combine_betas(betas, torch.ones(50)) - mean).abs().max() < 0.15
    weights = torch.zeros(50)
    weights[20] = 1
    torch.testing.assert_close(combine_betas(betas, weights), betas[20], atol=1e-2, rtol=0)
    same = torch.ones(3, 10)
    torch.testing.assert_close(combine_betas(same, torch.ones(3)), same[0])


def test_with_another_shape_a_person_is_seen_where_they_were(body_model):
    person = _person(list(range(8)), wobble=0.2)
    joined = build_motion(person, torch.ones(8), body_model, MotionOptions(smoothing=0))
    assert (joined.betas == joined.betas[0]).all()
    places = []
    for each in (person, joined):
        joints = pose_bodies(each, body_model)[:, COCO17_IN_90]
        places.append(each.cam_photo[:, None, :1] * joints[..., :2] + each.cam_photo[:, None, 1:])
    assert (places[0] - places[1]).norm(dim=-1).mean() < 3  # px of about 340


@pytest.mark.parametrize("batch", [5, 1000])
def test_legs_that_are_exchanged_for_a_moment_come_back(monkeypatch, batch):
    monkeypatch.setattr(motion, "SPIKE_BATCH", batch)
    person = _person(list(range(30)))
    wrong = person.pose_rotmats.clone()
    quarter = axis_angle_to_rotmat(torch.tensor([0, 1.5, 0]))
    wrong[12:14, 1:3] = wrong[12:14, 1:3] @ quarter
    wrong[0, 18] = wrong[0, 18] @ quarter
    mended = motion.remove_spikes(person._replace(pose_rotmats=wrong)).pose_rotmats
    torch.testing.assert_close(mended[:, :3], person.pose_rotmats[:, :3])
    torch.testing.assert_close(mended[:, 18], person.pose_rotmats[:, 18])
    torch.testing.assert_close(mended[2:-2], person.pose_rotmats[2:-2])  # what moves steadily stays


def test_smoothing_is_an_option(body_model):
    person = _person(list(range(30)), wobble=0.1)
    raw = build_motion(person, torch.ones(30), body_model, MotionOptions(0, one_shape=False))
    torch.testing.assert_close(raw.pose_rotmats, person.pose_rotmats)
    steps = []
    for strength in (0.5, 1.0, 2.0):
        smooth = build_motion(person, torch.ones(30), body_model, MotionOptions(strength))
        steps.append(float(smooth.pose_rotmats.diff(dim=0).abs().mean()))
    assert steps[0] > steps[1] > steps[2] > 0
    assert steps[0] < float(person.pose_rotmats.diff(dim=0).abs().mean())


def test_far_cameras_picture_as_the_weak_perspective_does(body_model):
    person = _person([0, 1])
    cam_t, cam_k = far_cameras(person.cam_photo, (640, 480))
    joints = pose_bodies(person, body_model)
    weak = person.cam_photo[:, None, :1] * joints[..., :2] + person.cam_photo[:, None, 1:]
    found = project_perspective(joints + cam_t[:, None], cam_k)
    assert (weak - found).norm(dim=-1).max() < 4


def test_the_way_through_the_room_is_found(body_model):
    """Somebody walks past a camera of known focal length, always turned the same way."""
    person = _person(list(range(6)))
    joints = pose_bodies(person, body_model)
    cam_t = torch.tensor([[-1.5 + 0.6 * k, 0.1, 5.0 + 0.2 * k] for k in range(6)])
    focal, size = 900.0, (960, 540)
    cam_k = torch.tensor([[focal, 0, 480], [0, focal, 270], [0, 0, 1]])
    # What the network sees: the camera turned towards the person, so that the root seems turned.
    pelvis = joints[:, 0] + cam_t
    angles = torch.atan2(pelvis[:, 0], pelvis[:, 2])
    zero = torch.zeros_like(angles)
    back = axis_angle_to_rotmat(torch.stack([zero, -angles, zero], dim=1))
    seen = person._replace(
        pose_rotmats=torch.cat(
            [(back @ person.pose_rotmats[:, 0])[:, None], person.pose_rotmats[:, 1:]], dim=1
        )
    )
    scale = focal / pelvis[:, 2:]
    origin = (
        focal * pelvis[:, :2] / pelvis[:, 2:]
        + torch.tensor([480.0, 270])
        - scale * joints[:, 0, :2]
    )
    seen = seen._replace(cam_photo=torch.cat([scale, origin], dim=1))
    found = find_trajectory(seen, pose_bodies(seen, body_model)[:, :24], focal, size)
    torch.testing.assert_close(found.cam_k, cam_k)
    assert (found.cam_t - cam_t).abs().max() < 0.12
    turned = found.root.mT @ person.pose_rotmats[:, 0]
    cosine = (turned.diagonal(dim1=1, dim2=2).sum(dim=1) - 1) / 2
    assert torch.rad2deg(torch.acos(cosine.clamp(-1, 1))).max() < 3


def test_a_constant_rate_for_animation_programs():
    whole = _person(list(range(20)))
    seen = [*range(8), *range(12, 20)]
    part = TrackedPerson(*(values[seen] for values in whole))
    trajectory = Trajectory(part.pose_rotmats[:, 0], part.cam_photo, torch.eye(3))
    motion = resample(part, trajectory, FPS)
    assert motion.pose_rotmats.shape == (20, 24, 3, 3)
    np.testing.assert_allclose(motion.pose_rotmats, whole.pose_rotmats, atol=1e-4)
    np.testing.assert_allclose(motion.translations, whole.cam_photo, atol=1e-3)
    assert len(resample(part, trajectory, 2 * FPS).pose_rotmats) == 39
    one = TrackedPerson(*(values[:1] for values in whole))
    trajectory = Trajectory(one.pose_rotmats[:, 0], one.cam_photo, torch.eye(3))
    assert len(resample(one, trajectory, FPS).pose_rotmats) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_few_frames(body_model, count):
    person = _person(list(range(count)))
    smooth = build_motion(person, torch.zeros(count), body_model)
    assert torch.isfinite(smooth.pose_rotmats).all()
    assert torch.isfinite(smooth.cam_photo).all()
