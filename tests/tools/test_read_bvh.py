"""The BVH reader against kinematics done by hand."""

import numpy as np
import pytest

from tools.read_bvh import read_bvh
from utils.errors import InputError

TINY = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT Upper
  {
    OFFSET 2 0 0
    CHANNELS 3 Yrotation Zrotation Xrotation
    JOINT Still {
      OFFSET 0 1 0
      CHANNELS 0
      End Site
      {
        OFFSET 0 0 5
      }
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.1
9 9 9 0 0 0 0 0 0
9 9 9 90 90 0 0 0 0
9 9 9 90 0 0 90 90 0
"""


def write(tmp_path, text: str):
    path = tmp_path / "tiny.bvh"
    path.write_text(text)
    return path


def test_kinematics_by_hand(tmp_path):
    recording = read_bvh(write(tmp_path, TINY), fps=10)
    assert recording.name == "tiny"
    assert list(recording.frames) == [1, 2, 3]
    np.testing.assert_array_equal(recording.starts["Still"], (2, 1, 0))
    np.testing.assert_allclose(recording.rotations["Still"][0], np.eye(3), atol=1e-12)
    # "Z Y X" is Rz Ry Rx. Frame 2: Ry(90) turns x to -z, which Rz(90) leaves; the other order
    # would give y. z goes to x, and on to y.
    np.testing.assert_allclose(recording.rotations["Hips"][1] @ (1, 0, 0), (0, 0, -1), atol=1e-12)
    np.testing.assert_allclose(recording.rotations["Hips"][1] @ (0, 0, 1), (0, 1, 0), atol=1e-12)
    # Frame 3: the child's "Y Z X" is Ry Rz: Rz(90) turns x to y, which Ry leaves; the root's
    # Rz(90) turns that to -x. The joint below has no channels and follows.
    for name in ("Upper", "Still"):
        np.testing.assert_allclose(recording.rotations[name][2] @ (1, 0, 0), (-1, 0, 0), atol=1e-12)


def test_thinned_by_the_frame_time(tmp_path):
    recording = read_bvh(write(tmp_path, TINY), fps=5)
    assert list(recording.frames) == [1, 3]
    assert len(recording.rotations["Hips"]) == 2


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("HIERARCHY", "", "HIERARCHY is missing"),
        ("MOTION", "", "no MOTION"),
        ("OFFSET 2 0 0", "OFFSET 2 x 0", "could not convert"),
        ("JOINT Upper", "LIMB Upper", "unknown word 'LIMB'"),
        ("  JOINT Still {", "  JOINT Still {\n{", "a brace is not closed"),
        ("ROOT", "} ROOT", "tiny.bvh"),
        ("3 Yrotation Zrotation", "3 Wrotation Zrotation", "tiny.bvh"),
        ("Frames: 3", "Frames: 4", "3 frames of 0.1 s; its header says 4"),
        ("Frame Time: 0.1", "Frame Time: 0", "3 frames of 0.0 s"),
        ("Frame Time: 0.1\n", "", "instead of 'Frame Time:'"),
        ("9 9 9 90 90 0", "9 9 9 90 90", "frame 2 has 8 values for 9 channels"),
        (TINY[TINY.index("MOTION") :], "MOTION", "tiny.bvh"),
        (TINY, "", "no MOTION"),
    ],
)
def test_broken_files_are_told_in_one_line(tmp_path, old, new, expected):
    assert old in TINY
    with pytest.raises(InputError) as caught:
        read_bvh(write(tmp_path, TINY.replace(old, new)), fps=10)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="none"):
        read_bvh(tmp_path / "none.bvh", fps=10)
