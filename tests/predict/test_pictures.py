"""The pictures that go with a prediction."""

import numpy as np
import pytest
import torch

from models.body_model import BodyModel
from predict.detectors.interface import Detection
from predict.pictures import (
    LEFT_COLOUR,
    PICTURE_SIDE,
    RIGHT_COLOUR,
    TPOSE_BACKGROUND,
    TPOSE_SIZE,
    draw_overlay,
    draw_proxy,
    draw_tpose,
    view_for_pictures,
)
from renderers.overlay import BodyRenderer
from utils.joints import COCO17


@pytest.fixture(scope="module")
def body() -> tuple[np.ndarray, np.ndarray]:
    model = BodyModel.load()
    return model.tpose(torch.zeros(1, 10))[0].numpy(), model.faces.numpy()


def _detection() -> Detection:
    silhouette = np.zeros((200, 160), dtype=bool)
    silhouette[40:180, 60:110] = True
    joints = np.full((17, 2), -50, dtype=np.float32)  # far outside
    confidence = np.zeros(17, dtype=np.float32)
    for name, place in {"left_wrist": (100.5, 60.5), "right_wrist": (70.5, 60.5)}.items():
        joints[COCO17.index(name)] = place
        confidence[COCO17.index(name)] = 0.9
    return Detection(silhouette, joints, confidence, np.array([60, 40, 110, 180]))


def test_proxy_shows_silhouette_joints_and_crop():
    photo = np.full((200, 160, 3), 50, dtype=np.uint8)
    picture = draw_proxy(photo, _detection(), np.array([80.0, 110, 120]))
    assert (photo == 50).all()
    np.testing.assert_array_equal(picture[60, 100], LEFT_COLOUR)  # pixel 60 has its centre at 60.5
    np.testing.assert_array_equal(picture[60, 70], RIGHT_COLOUR)
    assert picture[120, 85, 2] > 100  # bluish inside
    np.testing.assert_array_equal(picture[10, 10], 50)
    # The crop spans 20 to 140 across and 50 to 170 down.
    frame = picture.min(axis=2) > 120  # smoothed white on grey
    np.testing.assert_array_equal(np.flatnonzero(frame[100:110].all(axis=0)), [19, 20, 139, 140])


def test_tpose_is_upright_and_seen_from_front_and_left(body):
    vertices, faces = body
    coloured = BodyRenderer(faces, "own")
    picture = draw_tpose(coloured, vertices)
    assert picture.shape == (TPOSE_SIZE, 2 * TPOSE_SIZE, 3)
    drawn = (picture != TPOSE_BACKGROUND).any(axis=2)
    front, side = drawn[:, :TPOSE_SIZE], drawn[:, TPOSE_SIZE:]
    # Arms stretched out in the upper half; narrow from the side.
    widths = front.sum(axis=1)
    assert widths.argmax() < TPOSE_SIZE / 2
    assert widths.max() > 3 * side.sum(axis=1).max()
    # Seen from the left, toes point to the left of the picture: the soles reach further that way
    # from the ankles than the heels do to the right.
    rows = np.flatnonzero(side.any(axis=1))
    sole, shin = np.flatnonzero(side[rows[-3]]), np.flatnonzero(side[rows[-60]])
    assert shin.min() - sole.min() > sole.max() - shin.max()


def test_overlay_is_drawn_through_the_photos_camera(body):
    vertices, faces = body
    photo = np.zeros((120, 200, 3), dtype=np.uint8)
    person = {
        "vertices": vertices * np.array([1, -1, -1], dtype=np.float32),
        "cam_t": np.array([0.5, 0, 42], dtype=np.float32),
        "cam_k": np.array([[42 * 50.0, 0, 100], [0, 42 * 50.0, 60], [0, 0, 1]], dtype=np.float32),
    }
    drawn = draw_overlay(photo, BodyRenderer(faces, "own"), person).any(axis=2)
    columns = np.flatnonzero(drawn.any(axis=0))
    # 50 px a metre: the body's middle is half a metre, 25 px, right of the picture's middle.
    assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(125, abs=1)


def test_a_large_photo_is_shown_reduced_with_everything_in_its_place(body):
    """Four times too large a photo gives the picture of one that fits."""
    vertices, faces = body
    height, width = 900, PICTURE_SIDE
    detection, person = _large_person(vertices, zoom=1)
    small = view_for_pictures(np.zeros((height, width, 3), np.uint8), detection, person)
    assert small.detection is detection
    assert small.person is person
    large = view_for_pictures(
        np.zeros((4 * height, 4 * width, 3), np.uint8), *_large_person(vertices, zoom=4)
    )
    assert large.photo.shape == small.photo.shape
    for name in ("cam_k", "crops", "joints2d_px"):
        np.testing.assert_allclose(large.person[name], person[name], rtol=1e-6)
    np.testing.assert_array_equal(large.detection.silhouette, detection.silhouette)
    np.testing.assert_allclose(large.detection.joints2d_px, detection.joints2d_px)
    np.testing.assert_allclose(large.detection.box, detection.box)
    renderer = BodyRenderer(faces, "own")
    overlays = [draw_overlay(view.photo, renderer, view.person) for view in (small, large)]
    proxies = [
        draw_proxy(view.photo, view.detection, view.person["crops"]) for view in (small, large)
    ]
    for one, other in (overlays, proxies):
        np.testing.assert_array_equal(one, other)
        assert one.any()


def _large_person(vertices: np.ndarray, zoom: int) -> tuple[Detection, dict[str, np.ndarray]]:
    """A person in a photo of `PICTURE_SIDE` times `zoom` pixels."""
    silhouette = np.zeros((900, PICTURE_SIDE), dtype=bool)
    silhouette[100:700, 300:600] = True
    joints = np.linspace([310.0, 110], [590, 690], 17)
    box = np.array([300.0, 100, 600, 700])
    detection = Detection(
        silhouette.repeat(zoom, axis=0).repeat(zoom, axis=1),
        zoom * joints.astype(np.float32), np.ones(17, np.float32), zoom * box.astype(np.float32),
    )  # fmt: skip
    focal = 42 * 300.0
    return detection, {
        "vertices": vertices * np.array([1, -1, -1], dtype=np.float32),
        "cam_t": np.array([0, 0, 42], dtype=np.float32),
        "cam_k": np.array(
            [[zoom * focal, 0, zoom * 450], [0, zoom * focal, zoom * 400], [0, 0, 1]],
            dtype=np.float32,
        ),
        "crops": zoom * np.array([450, 400, 720], dtype=np.float32),
        "joints2d_px": zoom * joints.astype(np.float32),
    }
