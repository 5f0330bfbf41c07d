"""People drawn at random: they stand, they are whole in the picture, and the truth fits it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.pose_dataset import load_poses
from renderers.rasteriser import Rasteriser
from scenes.people import Clothes
from scenes.photograph import CAMERA_HEIGHT
from scenes.picture_options import PictureOptions
from scenes.random_people import (
    ShapeSpread,
    draw_betas,
    draw_scene,
    neutral_body,
    photograph_scene,
    stand_up,
)
from tests.evaluation_sets import upright_pose
from utils.joints import PARTS, SMPL_JOINTS
from utils.paths import OPEN_POSES_VAL
from utils.rotations import axis_angle_to_rotmat

ZERO = np.zeros(10, np.float32)
SIZE = (PictureOptions().height, PictureOptions().width)


@pytest.fixture(scope="module")
def scenes():
    poses = load_poses(OPEN_POSES_VAL)
    return [
        draw_scene(poses, ShapeSpread(), np.random.default_rng([1, index])) for index in range(12)
    ]


def _labels(scene, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(height, width) body parts by the truth: betas, rotations, cam_t and cam_k."""
    figure, body = scene.figure, neutral_body()
    output = body(torch.from_numpy(figure.betas)[None], figure.pose_rotmats[None])
    vertices_cam = output.vertices + torch.from_numpy(figure.cam_t.astype(np.float32))
    cam_k = torch.from_numpy(figure.camera.cam_k.astype(np.float32))[None]
    rasteriser = Rasteriser(body.faces, body.face_parts, size)
    return rasteriser.part_segmentation(vertices_cam, cam_k)[0].numpy()


def test_shapes_spread_as_they_are_asked_to():
    def draw(**spread):
        seeds = range(400)
        return np.stack(
            [draw_betas(ShapeSpread(**spread), np.random.default_rng(each)) for each in seeds]
        )

    plain, wide = draw(), draw(betas_wide=1.0)
    assert plain.shape == (400, 10)
    assert plain.std(axis=0) == pytest.approx(np.full(10, 1.5), rel=0.15)
    factors = wide / plain  # one a person, from 1 to 2; the mean shape is 0
    assert np.ptp(factors, axis=1).max() < 1e-3
    assert (factors[:, 0].min(), factors[:, 0].max()) == pytest.approx((1, 2), abs=0.02)
    detailed = draw(shape_details=2.0)
    np.testing.assert_array_equal(detailed[:, :10], plain)
    details = detailed[:, 10:]
    assert details.shape[1] == neutral_body().num_betas - 10
    assert details.std(axis=0) == pytest.approx(np.full(details.shape[1], 2.0), rel=0.15)


def test_a_share_of_the_shapes_are_made_ones(tmp_path):
    body = neutral_body()
    made = np.arange(6, dtype=np.float32)[:, None] + np.linspace(20, 21, 12, dtype=np.float32)
    arrays = {"betas": made, "genders": np.zeros(6), "body_hash": body.identity["hash"]}
    np.savez(tmp_path / "made.npz", **arrays)
    spread = ShapeSpread(made_shapes=tmp_path / "made.npz", made_share=0.3)
    betas = np.stack([draw_betas(spread, np.random.default_rng(each)) for each in range(400)])
    assert betas.shape == (400, body.num_betas)
    is_made = betas[:, 0] >= 20
    assert is_made.mean() == pytest.approx(0.3, abs=0.06)
    np.testing.assert_array_equal(np.unique(betas[is_made][:, :12], axis=0), made)
    assert not betas[is_made][:, 12:].any()
    assert not betas[~is_made][:, 10:].any()
    assert betas[~is_made][:, :10].std(axis=0) == pytest.approx(np.full(10, 1.5), rel=0.2)


def test_people_are_whole_in_the_picture_and_fill_it(scenes):
    for scene in scenes:
        seen = _labels(scene) > 0
        rows, columns = np.nonzero(seen)
        assert min(rows.min(), columns.min()) > 10
        assert rows.max() < SIZE[0] - 11
        assert columns.max() < SIZE[1] - 11
        assert max(np.ptp(rows) / SIZE[0], np.ptp(columns) / SIZE[1]) > 0.6


def test_both_feet_or_knees_are_drawn(scenes):
    shown = [set(np.unique(_labels(scene))) for scene in scenes]
    legs = [{PARTS.index("left_leg"), PARTS.index("right_leg")} <= each for each in shown]
    assert np.mean(legs) > 0.9


def test_people_stand_on_the_ground_and_upright(scenes):
    for scene in scenes:
        assert scene.figure.vertices[:, 1].max() == pytest.approx(CAMERA_HEIGHT, abs=1e-4)
        up = scene.figure.camera.to_camera.T @ scene.figure.pose_rotmats[0].numpy()[:, 1]
        assert up[1] < 0.2  # the pelvis's own up axis does not point down


def test_the_truth_pictures_the_body_that_is_drawn(scenes):
    figure = scenes[0].figure
    output = neutral_body()(torch.from_numpy(figure.betas)[None], figure.pose_rotmats[None])
    by_truth = output.vertices[0].numpy() + figure.cam_t
    drawn = figure.vertices @ figure.camera.to_camera.T
    np.testing.assert_allclose(by_truth, drawn, atol=1e-4)


def test_people_face_every_way_and_differ(scenes):
    facing = np.array([scene.figure.pose_rotmats[0].numpy()[:, 2] for scene in scenes])
    headings = np.arctan2(facing[:, 0], facing[:, 2])
    assert np.abs(np.exp(1j * headings).mean()) < 0.6  # not all of them one way
    betas = np.array([scene.figure.betas for scene in scenes])
    assert 1.2 < betas.std() < 1.8
    assert len({scene.person.place for scene in scenes}) > 3
    assert len({scene.place.light.main for scene in scenes}) == len(scenes)


def test_a_tilted_camera_is_made_level():
    level = axis_angle_to_rotmat(torch.from_numpy(upright_pose(0.0)).view(24, 3))
    tilt = axis_angle_to_rotmat(torch.tensor([np.radians(9.0), 0, np.radians(-4.0)]).float())
    tilted = torch.cat([(tilt @ level[0])[None], level[1:]])
    found = stand_up(ZERO, tilted)
    error = axis_angle_to_rotmat(torch.from_numpy(upright_pose(0.0)[:3])).T @ found[0]
    # The soles of the rest pose are not quite a plane.
    assert np.degrees(np.arccos(error[1, 1].item())) < 3
    torch.testing.assert_close(found[1:], level[1:])


def test_who_lies_or_hovers_upside_down_does_not_stand():
    for turn in ([np.pi / 2, 0, 0], [0.0, 0, 0]):  # on the back; head down
        rotmats = torch.eye(3).repeat(len(SMPL_JOINTS), 1, 1)
        rotmats[0] = axis_angle_to_rotmat(torch.tensor(turn).float())
        assert stand_up(ZERO, rotmats) is None


def test_the_photograph_shows_the_person_where_the_truth_says():
    """A small picture of somebody painted all in one strange colour."""
    picture = PictureOptions(160, 200, sky_directions=6, main_directions=2)
    scene = draw_scene(load_poses(OPEN_POSES_VAL), ShapeSpread(), np.random.default_rng(4), picture)
    names = ("skin", "hair", "shirt", "trousers", "shoes", "stripe")
    clothes = Clothes(**dict.fromkeys(names, (0.95, 0.02, 0.02)))
    person = replace(scene.person, clothes=clothes, stool=False)
    picture = photograph_scene(scene._replace(person=person), 0).astype(int)
    red = picture[..., 0] > 2.5 * picture[..., 1:].max(axis=-1)
    silhouette = _labels(scene, (200, 160)) > 0
    # Clothes and hair make people a little broader.
    assert (red & silhouette).sum() / (red | silhouette).sum() > 0.85
