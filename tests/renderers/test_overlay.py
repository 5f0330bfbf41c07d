"""Bodies on photos: both backends agree, and a machine without GL draws all the same."""

import cv2
import numpy as np
import pytest
import torch

from models.body_model import BodyModel
from renderers import shading
from renderers.overlay import (
    LEFT_COLOUR,
    RIGHT_COLOUR,
    TPOSE_BACKGROUND,
    TPOSE_SIZE,
    VERTEX_COLOUR,
    Window,
    draw_body,
    draw_proxy,
    draw_tpose,
    draw_vertices,
    draw_views,
    find_window,
)
from renderers.shading import BodyRenderer
from utils.errors import InputError
from utils.joints import COCO17

SIZE = 200
CAM_K = np.array([[42 * 90.0, 0, 100], [0, 42 * 90.0, 90], [0, 0, 1]], dtype=np.float32)


@pytest.fixture(scope="module")
def body() -> tuple[np.ndarray, np.ndarray]:
    """Vertices in the camera frame, and faces."""
    model = BodyModel.load()
    vertices = model.tpose(torch.zeros(1, 10))[0].numpy() * np.array([1, -1, -1], dtype=np.float32)
    return vertices + np.array([0, 0, 42], dtype=np.float32), model.faces.numpy()


def _pyrender_or_skip(faces: np.ndarray) -> BodyRenderer:
    try:
        return BodyRenderer(faces, "pyrender")
    except InputError as error:
        pytest.skip(str(error))


def test_both_backends_put_the_body_in_the_same_place(body):
    vertices, faces = body
    colours = np.broadcast_to(np.float32([0.5, 0.3, 0.2]), vertices.shape)
    pictures = [
        renderer.render(vertices, CAM_K, (SIZE, SIZE), colours)
        for renderer in (_pyrender_or_skip(faces), BodyRenderer(faces, "own"))
    ]
    one, other = (picture[..., 3] >= 0.5 for picture in pictures)
    assert (one & other).sum() / (one | other).sum() > 0.98
    # The same lights too: colours inside agree to a few per cent.
    inside = (pictures[0][..., 3] == 1) & (pictures[1][..., 3] == 1)
    assert np.abs(pictures[0] - pictures[1])[inside].mean() < 0.05


def test_the_body_is_lit_and_smooth_edged(body):
    vertices, faces = body
    picture = BodyRenderer(faces, "own").render(vertices, CAM_K, (SIZE, SIZE))
    assert picture.shape == (SIZE, SIZE, 4)
    alpha = picture[..., 3]
    assert ((alpha > 0) & (alpha < 1)).any()
    assert np.all(picture[..., :3] <= alpha[..., None] + 1e-6)
    brightness = picture[alpha == 1][:, :3].mean(axis=1)
    assert brightness.std() > 0.03
    assert 0.4 < brightness.mean() < 0.9


def test_colours_go_to_their_vertices(body):
    vertices, faces = body
    colours = np.zeros_like(vertices)
    colours[:, 0] = vertices[:, 0] > 0  # the right half of the picture is red
    for name in ("own", "pyrender"):
        renderer = _pyrender_or_skip(faces) if name == "pyrender" else BodyRenderer(faces, name)
        picture = renderer.render(vertices, CAM_K, (SIZE, SIZE), colours)
        # x = 0 is at pixel 100.
        assert picture[:, 102:, 0].max() > 0.5
        assert picture[:, :98, 0].max() < 0.35  # gloss and blending alone


class _Broken:
    def __init__(self, faces, lighting):
        del faces, lighting
        raise ImportError("Unable to load EGL library\nand more")


class _BreaksLater:
    def __init__(self, faces, lighting):
        del faces, lighting

    def render(self, vertices_cam, cam_k, size, colours):
        raise RuntimeError("lost context")


def test_where_gl_is_lost_our_own_renderer_steps_in(body, monkeypatch, caplog):
    vertices, faces = body
    monkeypatch.setattr(shading, "PyrenderBackend", _BreaksLater)
    renderer = BodyRenderer(faces, "pyrender")
    for _ in range(2):
        picture = renderer.render(vertices, CAM_K, (SIZE, SIZE))
        np.testing.assert_array_equal(
            picture, BodyRenderer(faces, "own").render(vertices, CAM_K, (SIZE, SIZE))
        )
    assert renderer.name == "own"
    assert len(caplog.records) == 1
    assert "\n" not in caplog.text.strip()


def test_gl_is_not_needed_and_not_looked_for(body, monkeypatch):
    monkeypatch.setattr(shading, "PyrenderBackend", _Broken)
    assert BodyRenderer(body[1]).name == BodyRenderer(body[1], "own").name == "own"


def test_pyrender_asked_for_and_absent_is_an_error(body, monkeypatch):
    monkeypatch.setattr(shading, "PyrenderBackend", _Broken)
    with pytest.raises(InputError, match=r"EGL library and more.*--renderer own"):
        BodyRenderer(body[1], "pyrender")
    with pytest.raises(InputError, match="expected one of auto"):
        BodyRenderer(body[1], "opengl")


def test_window_holds_the_body_and_starts_in_the_photo():
    points = np.array([[30.2, 40.7], [90.9, 80.1]])
    # 30.2 - 4 margin, floor 26; 40 - 4 = 36; to 95 and 85, 69 and 49 px.
    assert find_window(points, 200, 100) == Window(26, 36, 69, 49)
    assert find_window(points - 50, 200, 100) == Window(0, 0, 45, 35)
    assert find_window(points + 500, 200, 100) is None


def test_drawing_on_part_of_a_photo_is_drawing_on_all_of_it(body):
    vertices, faces = body
    renderer = BodyRenderer(faces, "own")
    photo = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
    kept = photo.copy()
    drawn = draw_body(photo, renderer, vertices, CAM_K)
    picture = renderer.render(vertices, CAM_K, (SIZE, SIZE))
    expected = picture[..., :3] * 255 + photo * (1 - picture[..., 3:])
    assert np.abs(drawn - expected).max() < 2
    np.testing.assert_array_equal(photo, kept)


def test_a_body_half_out_of_the_photo_and_one_quite_out(body):
    vertices, faces = body
    renderer = BodyRenderer(faces, "own")
    photo = np.zeros((120, 80, 3), dtype=np.uint8)
    drawn = draw_body(photo, renderer, vertices + np.float32([-0.3, 0.6, 0]), CAM_K)
    assert drawn.shape == photo.shape
    assert drawn.any()
    away = draw_body(photo, renderer, vertices + np.float32([9, 0, 0]), CAM_K)
    assert not away.any()


def _observed() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A silhouette, joints and their confidence: wrists alone were seen."""
    silhouette = np.zeros((200, 160), dtype=bool)
    silhouette[40:180, 60:110] = True
    joints = np.full((17, 2), -50, dtype=np.float32)  # far outside
    confidence = np.zeros(17, dtype=np.float32)
    for name, place in {"left_wrist": (100.5, 60.5), "right_wrist": (70.5, 60.5)}.items():
        joints[COCO17.index(name)] = place
        confidence[COCO17.index(name)] = 0.9
    return silhouette, joints, confidence


def test_proxy_shows_silhouette_joints_and_crop():
    photo = np.full((200, 160, 3), 50, dtype=np.uint8)
    picture = draw_proxy(photo, *_observed(), np.array([80.0, 110, 120]))
    assert (photo == 50).all()
    np.testing.assert_array_equal(picture[60, 100], LEFT_COLOUR)  # pixel 60 has its centre at 60.5
    np.testing.assert_array_equal(picture[60, 70], RIGHT_COLOUR)
    assert picture[120, 85, 2] > 100  # bluish inside
    np.testing.assert_array_equal(picture[10, 10], 50)
    # The crop spans 20 to 140 across and 50 to 170 down.
    frame = picture.min(axis=2) > 120  # smoothed white on grey
    np.testing.assert_array_equal(np.flatnonzero(frame[100:110].all(axis=0)), [19, 20, 139, 140])


def test_vertices_are_scattered_where_the_camera_sees_them():
    photo = np.full((60, 80, 3), 50, np.uint8)
    cam_k = np.array([[100.0, 0, 40], [0, 100, 30], [0, 0, 1]], np.float32)
    # 100 px a metre at 1 m: (40 + 20, 30 - 10), twice as far (40 + 10, 30 - 5), and out of sight.
    vertices = np.array([[0.2, -0.1, 1], [0.2, -0.1, 2], [5, 0, 1]], np.float32)
    picture = draw_vertices(photo, vertices, cam_k)
    assert (photo == 50).all()
    drawn = (picture != 50).any(axis=2)
    assert np.argwhere(drawn).tolist() == [[20, 60], [25, 50]]
    np.testing.assert_array_equal(picture[20, 60], VERTEX_COLOUR)
    assert not (draw_vertices(photo, vertices + np.float32([90, 0, 0]), cam_k) != 50).any()


def test_a_proxy_that_is_its_own_crop_has_no_frame():
    black = np.zeros((200, 160, 3), dtype=np.uint8)
    silhouette, joints2d_px, confidence = _observed()
    picture = draw_proxy(black, silhouette, joints2d_px, np.zeros_like(confidence))
    outside = ~cv2.dilate(silhouette.astype(np.uint8), np.ones((5, 5))).astype(bool)
    assert not picture[outside].any()
    assert (picture[silhouette] > 0).all()


def test_tpose_is_upright_and_seen_from_front_and_left(body):
    vertices, faces = body  # in the camera frame, y down
    vertices = (vertices - [0, 0, 42]) * [1, -1, -1]
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


def test_views_are_from_the_side_and_from_above(body):
    """A rod that points away from the camera, with its heavy end far away and low."""
    faces = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])
    near, far = [0.0, 0.2, -0.5], [0.0, 0.5, 0.5]  # y down: the far end is the lower one
    vertices = np.array([near, far, [0.1, 0.5, 0.5], [0.0, 0.4, 0.5]], np.float32)
    drawn = (draw_views(BodyRenderer(faces), vertices) != TPOSE_BACKGROUND).any(axis=2)
    side, above = drawn[:, :TPOSE_SIZE], drawn[:, TPOSE_SIZE:]
    # From the side: the near end is at the left, the far and thick one at the right and lower.
    columns = np.flatnonzero(side.any(axis=0))
    left, right = (np.flatnonzero(side[:, column]) for column in (columns[3], columns[-3]))
    assert len(left) < len(right)
    assert left.mean() < right.mean()
    # 1 m of 2.3 m shown in 480 px.
    assert columns[-1] - columns[0] == pytest.approx(480 / 2.3, rel=0.05)
    # From above: the near end is at the lower edge.
    rows = np.flatnonzero(above.any(axis=1))
    assert above[rows[3]].sum() > above[rows[-3]].sum()
