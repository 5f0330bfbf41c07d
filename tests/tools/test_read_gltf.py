"""The reader of animated glTF files against rotations known by hand."""

import struct

import numpy as np
import pytest

from tests.mocap_files import animated_glb, glb_bytes
from tools.read_gltf import read_glb
from utils.errors import InputError

HALF = np.sqrt(0.5)
QUARTER_X, QUARTER_Y, QUARTER_Z = (HALF, 0, 0, HALF), (0, HALF, 0, HALF), (0, 0, HALF, HALF)
STILL = (0, 0, 0, 1)


def tiny(interpolation: str, keys: list[tuple]) -> bytes:
    """An arm with a hand; the arm lies along x, its own axes turned by 90 degrees about z.

    Above it is a node that is no joint and turns everything by 90 degrees about x.
    """
    arm = np.array([[0, -1, 0, 0], [1, 0, 0, 2], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    hand = np.eye(4)
    hand[:3, 3] = (0, 2, 3)
    inverse = np.linalg.inv(np.stack([arm, hand])).swapaxes(1, 2).reshape(-1, 16)
    times = np.arange(len(keys) // (3 if interpolation == "CUBICSPLINE" else 1))[:, None] * 1.0
    description = {
        "nodes": [
            {"name": "hand", "rotation": [0, 0, -HALF, HALF]},  # upright at rest
            {"name": "arm", "children": [0]},
            {"name": "scene", "children": [1], "rotation": QUARTER_X},
        ],
        "skins": [{"joints": [1, 0], "inverseBindMatrices": 2}],
        "animations": [
            {
                "name": "wave",
                "samplers": [{"input": 0, "output": 1, "interpolation": interpolation}],
                "channels": [
                    {"sampler": 0, "target": {"node": 1, "path": "rotation"}},
                    {"sampler": 0, "target": {"node": 1, "path": "scale"}},
                ],
            },
            {"name": "blink", "samplers": [], "channels": []},
        ],
    }
    return glb_bytes(description, [times, np.array(keys, float), inverse])


def read(tmp_path, content: bytes, fps: float):
    path = tmp_path / "tiny.glb"
    path.write_bytes(content)
    return read_glb(path, fps)


def test_rotations_by_hand(tmp_path):
    (recording,) = read(tmp_path, tiny("LINEAR", [QUARTER_Z, STILL]), fps=2)  # "blink" turns none
    assert recording.name == "wave"
    assert list(recording.frames) == [0, 1, 2]
    np.testing.assert_allclose(recording.starts["arm"], (0, 2, 0), atol=1e-6)
    np.testing.assert_allclose(recording.starts["hand"], (0, 2, 3), atol=1e-6)
    arm, hand = recording.rotations["arm"], recording.rotations["hand"]
    # At first the arm's axes are those of the bind pose: only the scene's Rx(90) turns it.
    np.testing.assert_allclose(arm[0] @ (0, 1, 0), (0, 0, 1), atol=1e-6)
    np.testing.assert_allclose(arm[0] @ (1, 0, 0), (1, 0, 0), atol=1e-6)
    # At last they are those of the scene: Rz(-90) from the bind pose turns y to x, then Rx(90)
    # leaves it. Halfway it is 45 degrees: y to (x + y) / sqrt 2, then y to z.
    np.testing.assert_allclose(arm[2] @ (0, 1, 0), (1, 0, 0), atol=1e-6)
    np.testing.assert_allclose(arm[1] @ (0, 1, 0), (HALF, 0, HALF), atol=1e-6)
    np.testing.assert_allclose(hand, arm, atol=1e-6)  # nothing turns the hand on the arm


def test_interpolations(tmp_path):
    (steps,) = read(tmp_path, tiny("STEP", [QUARTER_Z, STILL]), fps=2)
    np.testing.assert_allclose(steps.rotations["arm"][1], steps.rotations["arm"][0], atol=1e-6)
    assert not np.allclose(steps.rotations["arm"][2], steps.rotations["arm"][0])
    tangent = (5, 5, 5, 5)
    keys = [tangent, QUARTER_Z, tangent, tangent, STILL, tangent]
    (spline,) = read(tmp_path, tiny("CUBICSPLINE", keys), fps=1)
    (line,) = read(tmp_path, tiny("LINEAR", [QUARTER_Z, STILL]), fps=1)
    np.testing.assert_allclose(spline.rotations["arm"], line.rotations["arm"], atol=1e-6)
    (single,) = read(tmp_path, tiny("LINEAR", [QUARTER_Y]), fps=1)
    assert len(single.frames) == 1


def test_name_of_a_clip_has_no_spaces(tmp_path):
    one = {"a": np.eye(3)[None]}
    (recording,) = read(tmp_path, animated_glb({"a": None}, {"a": np.zeros(3)}, one, 0.1), fps=10)
    assert recording.name == "test_clip"
    np.testing.assert_allclose(recording.rotations["a"][0], np.eye(3), atol=1e-6)


GOOD = tiny("LINEAR", [QUARTER_Z, STILL])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "tiny.glb"),
        (b"glTF", "tiny.glb"),
        (b"PNG!" + GOOD[4:], "it begins with b'PNG!'"),
        (GOOD[:4] + struct.pack("<I", 1) + GOOD[8:], "version 1"),
        (GOOD[:100], "tiny.glb"),
        (GOOD[:-20], "tiny.glb"),
        (glb_bytes({"nodes": []}, []), "no skins and no animations"),
        (GOOD.replace(b'"sampler": 0', b'"sampler": 7'), "tiny.glb"),
        (GOOD.replace(b'"name": "hand"', b'"mane": "hand"'), "KeyError('name')"),
        (GOOD.replace(b'"children": [1]', b'"children": [2]'), "tiny.glb"),
        (tiny("LINEAR", [STILL, (0, 0, 0, 0)]), "tiny.glb"),
    ],
)
def test_broken_files_are_told_in_one_line(tmp_path, content, expected):
    with pytest.raises(InputError) as caught:
        read(tmp_path, content, fps=10)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="none"):
        read_glb(tmp_path / "none.glb", fps=10)
