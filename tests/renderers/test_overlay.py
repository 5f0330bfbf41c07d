"""Bodies on photos: both backends agree, and a machine without GL draws all the same."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from models.body_model import BodyModel
from renderers import overlay
from renderers.overlay import BodyRenderer, Window, draw_body, window_of
from utils.errors import InputError

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
        renderer.render(vertices, CAM_K, SIZE, colours)
        for renderer in (_pyrender_or_skip(faces), BodyRenderer(faces, "own"))
    ]
    one, other = (picture[..., 3] >= 0.5 for picture in pictures)
    assert (one & other).sum() / (one | other).sum() > 0.98
    # The same lights too: colours inside agree to a few per cent.
    inside = (pictures[0][..., 3] == 1) & (pictures[1][..., 3] == 1)
    assert np.abs(pictures[0] - pictures[1])[inside].mean() < 0.05


def test_the_body_is_lit_and_smooth_edged(body):
    vertices, faces = body
    picture = BodyRenderer(faces, "own").render(vertices, CAM_K, SIZE)
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
        picture = renderer.render(vertices, CAM_K, SIZE, colours)
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


@pytest.mark.parametrize("backend", [_Broken, _BreaksLater])
def test_without_gl_our_own_renderer_steps_in(body, backend, monkeypatch, caplog):
    vertices, faces = body
    monkeypatch.setattr(overlay, "PyrenderBackend", backend)
    renderer = BodyRenderer(faces)
    for _ in range(2):
        picture = renderer.render(vertices, CAM_K, SIZE)
        np.testing.assert_array_equal(
            picture, BodyRenderer(faces, "own").render(vertices, CAM_K, SIZE)
        )
    assert renderer.name == "own"
    assert len(caplog.records) == 1
    assert "\n" not in caplog.text.strip()


def test_pyrender_asked_for_and_absent_is_an_error(body, monkeypatch):
    monkeypatch.setattr(overlay, "PyrenderBackend", _Broken)
    with pytest.raises(InputError, match=r"EGL library and more.*--renderer own"):
        BodyRenderer(body[1], "pyrender")
    with pytest.raises(InputError, match="expected one of auto"):
        BodyRenderer(body[1], "opengl")


def test_a_wrong_gl_platform_of_the_users_is_kept_and_survived():
    """In a process of its own, since PyOpenGL chooses its platform once."""
    program = (
        "import numpy as np, os\n"
        "os.environ['PYOPENGL_PLATFORM'] = 'osmesa'\n"
        "from renderers.overlay import BodyRenderer\n"
        "triangle = np.array([[0, 0, 5], [1, 0, 5], [0, 1, 5]], np.float32)\n"
        "cam_k = np.array([[50, 0, 20], [0, 50, 20], [0, 0, 1]], np.float32)\n"
        "picture = BodyRenderer(np.array([[0, 1, 2]])).render(triangle, cam_k, 40)\n"
        "assert picture[..., 3].max() == 1\n"
        "assert os.environ['PYOPENGL_PLATFORM'] == 'osmesa'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_window_holds_the_body_and_starts_in_the_photo():
    points = np.array([[30.2, 40.7], [90.9, 80.1]])
    # 30.2 - 4 margin, floor 26; 40 - 4 = 36; widths 95 - 26 = 69 and 85 - 36 = 49.
    assert window_of(points, 200, 100) == Window(26, 36, 69)
    assert window_of(points - 50, 200, 100) == Window(0, 0, 45)
    assert window_of(points + 500, 200, 100) is None


def test_drawing_on_part_of_a_photo_is_drawing_on_all_of_it(body):
    vertices, faces = body
    renderer = BodyRenderer(faces, "own")
    photo = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
    kept = photo.copy()
    drawn = draw_body(photo, renderer, vertices, CAM_K)
    picture = renderer.render(vertices, CAM_K, SIZE)
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
