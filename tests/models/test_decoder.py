"""From a network's numbers to bodies in the photo."""

import numpy as np
import torch

from models.decoder import (
    BodyParameters,
    average_parameters,
    decode_in_crops,
    decode_in_photos,
    split_estimate,
)
from tests.observations import made_up_estimates
from utils.cameras import points_to_crops, project_perspective
from utils.joints import COCO17_IN_90
from utils.proxy import mirror_joints2d
from utils.rotations import axis_angle_to_rotmat


def test_an_estimate_has_named_parts():
    numbers = torch.arange(157.0)
    parts = split_estimate(numbers)
    assert parts.cam_wp.tolist() == [0, 1, 2]
    assert torch.equal(parts.pose, numbers[3:147])
    assert torch.equal(parts.betas, numbers[147:])


def test_crop_and_photo_agree_on_the_body(body_model):
    """Seen through a crop that is the whole photo, both are the same pixels."""
    parameters = made_up_estimates(2)
    in_crop = decode_in_crops(parameters, body_model, 64)
    crops = torch.tensor([[32.0, 32, 64]]).expand(2, -1)
    in_photo = decode_in_photos(parameters, body_model, crops)
    torch.testing.assert_close(in_crop["joints2d_px"], in_photo.joints2d_px[:, COCO17_IN_90])
    assert torch.equal(in_crop["vertices"], in_photo.vertices)
    assert torch.equal(in_crop["vertices_tpose"], in_photo.vertices_tpose)


def test_bodies_land_where_the_crop_camera_puts_them(body_model):
    parameters = made_up_estimates(2)
    crops = torch.tensor([[100.0, 80, 120], [300, 200, 90]])
    bodies = decode_in_photos(parameters, body_model, crops)
    # By hand: u = s (x + tx) in [-1, 1]; the crop's pixel is centre + u * side / 2.
    x, y = bodies.joints3d[1, 7, :2]
    scale, tx, ty = parameters.cam_wp[1]
    expected = torch.stack([300 + scale * (x + tx) * 45, 200 + scale * (y + ty) * 45])
    torch.testing.assert_close(bodies.joints2d_px[1, 7], expected)
    # The weak-perspective camera of the photo says the same,
    flat = bodies.joints3d[..., :2] * bodies.cam_photo[:, None, :1] + bodies.cam_photo[:, None, 1:]
    torch.testing.assert_close(bodies.joints2d_px, flat)
    # the pinhole camera 42 m away almost,
    pinhole = project_perspective(bodies.joints3d + bodies.cam_t[:, None], bodies.cam_k)
    assert (pinhole - bodies.joints2d_px).norm(dim=-1).max() < 0.02 * 120
    # and so does the crop.
    in_crop = points_to_crops(bodies.joints2d_px, crops, 2) - 1
    torch.testing.assert_close(
        in_crop[1, 7], torch.stack([scale * (x + tx), scale * (y + ty)]), atol=1e-5, rtol=1e-5
    )


def test_batched_is_one_by_one(body_model):
    parameters, crops = made_up_estimates(2), torch.tensor([[100.0, 80, 120], [300, 200, 90]])
    together = decode_in_photos(parameters, body_model, crops)
    for index in range(2):
        single = BodyParameters(*(value[index : index + 1] for value in parameters))
        alone = decode_in_photos(single, body_model, crops[index : index + 1])
        for name, values in together.person(index).items():
            np.testing.assert_allclose(values, alone.person(0)[name], atol=2e-4, rtol=1e-5)


def test_a_camera_that_shrinks_the_body_to_nothing_is_survived(body_model):
    parameters = made_up_estimates(1)._replace(cam_wp=torch.tensor([[-0.5, 0.0, 0.0]]))
    parameters = BodyParameters(*(value[:1] for value in parameters))
    bodies = decode_in_photos(parameters, body_model, torch.tensor([[50.0, 50, 100]]))
    assert all(value.isfinite().all() for value in bodies)
    assert bodies.cam_wp[0, 0] > 0


def test_a_mirrored_estimate_is_seen_in_the_mirror(body_model):
    parameters = made_up_estimates(2)
    straight, mirrored = (
        decode_in_crops(each, body_model, 128) for each in (parameters, parameters.mirrored())
    )
    expected = mirror_joints2d(straight["joints2d_px"], 128)
    # The body is symmetric but for rounding.
    torch.testing.assert_close(mirrored["joints2d_px"], expected, atol=0.02, rtol=0)
    for one, two in zip(parameters.mirrored().mirrored(), parameters, strict=True):
        torch.testing.assert_close(one, two)


def test_estimates_that_look_different_ways_are_not_averaged():
    """The second person's other estimate is turned by 100 degrees about the vertical."""
    one = made_up_estimates(2)
    turns = axis_angle_to_rotmat(torch.tensor([[0.0, 0.6, 0.0], [0.0, np.radians(100), 0.0]]))
    rotmats = one.pose_rotmats.clone()
    rotmats[:, 0] = rotmats[:, 0] @ turns.float()
    other = BodyParameters(one.cam_wp + 0.2, rotmats, one.betas + 1)
    found = average_parameters(one, other)
    torch.testing.assert_close(found.betas[0], one.betas[0] + 0.5)
    torch.testing.assert_close(found.cam_wp[0], one.cam_wp[0] + 0.1)
    half = axis_angle_to_rotmat(torch.tensor([0.0, 0.3, 0.0]))
    torch.testing.assert_close(found.pose_rotmats[0, 0], one.pose_rotmats[0, 0] @ half)
    for values, expected in zip(found, one, strict=True):
        assert torch.equal(values[1], expected[1])
