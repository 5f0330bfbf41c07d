"""Clinical angles of simple poses, and the comparison of two files."""

import numpy as np
import pytest

from tools.compare_poses import Options, find_nearest_neighbours, main, measure_angles
from tools.pose_tools import JOINT, MIRROR, REST_SHANK_BACK


def pose_with(**degrees: tuple[float, float, float]) -> np.ndarray:
    pose = np.zeros((24, 3))
    for joint, vector in degrees.items():
        pose[JOINT[joint]] = np.radians(vector)
        pose[JOINT[joint.replace("left", "right")]] = np.radians(vector) * MIRROR
    return pose.reshape(1, 72)


@pytest.mark.parametrize(
    ("pose", "name", "expected"),
    [
        (pose_with(left_hip=(-60, 0, 0)), "hip flexion", 60),
        (pose_with(left_hip=(0, 25, 0)), "hip outward rotation", 25),
        (pose_with(left_knee=(50, 0, 0)), "knee flexion", 50 + np.degrees(REST_SHANK_BACK)),
        (pose_with(left_elbow=(0, -70, 0)), "elbow flexion", 70),
        (pose_with(left_shoulder=(0, 0, -90)), "arm abduction", 0),
        (pose_with(left_shoulder=(0, 0, -30)), "arm abduction", 60),
        (pose_with(), "arm abduction", 90),
        (pose_with(left_wrist=(20, 0, 0)), "pronation", 40),
        (pose_with(left_ankle=(15, 0, 0)), "ankle plantar flexion", 15),
    ],
)
def test_angles_of_both_sides(pose, name, expected):
    np.testing.assert_allclose(measure_angles(pose)[name], (expected, expected), atol=1e-5)


def test_spine_bends_add_up():
    pose = np.zeros((1, 24, 3))
    pose[0, [JOINT[f"spine{k}"] for k in (1, 2, 3)], 0] = np.radians(12)
    assert measure_angles(pose.reshape(1, 72))["spine bend"] == pytest.approx(36)


def test_nearest_neighbour_by_hand():
    poses = np.zeros((2, 72))
    poses[1, 3 * JOINT["left_knee"]] = np.radians(26)
    query = np.zeros((1, 72))
    query[0, 3 * JOINT["left_knee"]] = np.radians(39)
    # 13 joints are compared; one differs by 13 degrees from the second pose: 13 / 13 = 1.
    assert find_nearest_neighbours(query, poses) == pytest.approx(1, abs=1e-2)


def test_prints_a_table_and_draws(tmp_path, capsys):
    poses = np.random.default_rng(0).normal(0, 0.2, (30, 72))
    poses[:, :3] = (np.pi, 0, 0)
    np.savez(tmp_path / "a.npz", poses=poses)
    files = (tmp_path / "a.npz",)
    main(Options(files, files, plot=tmp_path / "plot.png", neighbours=5))
    printed = capsys.readouterr().out
    assert "| knee flexion |" in printed
    assert "median 0.0" in printed
    assert (tmp_path / "plot.png").stat().st_size > 1000
