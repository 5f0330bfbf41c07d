"""Skeleton arithmetic against geometry that can be seen without a computer."""

import numpy as np
import pytest

from tools.pose_tools import (
    JOINT,
    MIRROR,
    REST_JOINTS,
    compute_leg_corrections,
    draw_views,
    find_shortest_rotation,
    global_from_local,
    local_from_global,
    measure_twist,
    mirror_poses,
    place_joints,
    rotate_about,
    share_with_collars,
    share_with_forearms,
    to_axis_angle,
    to_camera_frame,
    to_rotmats,
    transpose,
)

X = np.array([1.0, 0.0, 0.0])


def random_poses(count: int = 5) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.5, (count, 24, 3))


def positions_of(poses: np.ndarray) -> np.ndarray:
    return place_joints(global_from_local(to_rotmats(poses)))


def test_rest_pose_positions():
    np.testing.assert_allclose(positions_of(np.zeros((1, 24, 3)))[0], REST_JOINTS - REST_JOINTS[0])


def test_bent_elbow_by_hand():
    poses = np.zeros((1, 24, 3))
    poses[0, JOINT["left_elbow"]] = (0, -np.pi / 2, 0)
    positions = positions_of(poses)[0]
    forearm = positions[JOINT["left_wrist"]] - positions[JOINT["left_elbow"]]
    # At rest it is 0.67 - 0.435 = 0.235 m along x; -90 degrees about y turn x into z (forward).
    np.testing.assert_allclose(forearm, (0, 0, 0.235), atol=1e-12)


def test_local_and_global_round_trip():
    local = to_rotmats(random_poses())
    np.testing.assert_allclose(local_from_global(global_from_local(local)), local, atol=1e-12)


def test_mirror_round_trip_and_reflection():
    poses = random_poses()
    mirrored = mirror_poses(poses)
    np.testing.assert_allclose(mirror_poses(mirrored), poses)
    swapped = positions_of(mirrored)[:, JOINT["right_wrist"]]
    np.testing.assert_allclose(swapped, positions_of(poses)[:, JOINT["left_wrist"]] * (-1, 1, 1))
    reflection = np.diag([-1.0, 1.0, 1.0])
    rotation = to_rotmats(poses[:, 0])
    np.testing.assert_allclose(
        to_rotmats(poses[:, 0] * MIRROR), reflection @ rotation @ reflection, atol=1e-12
    )


def test_shortest_rotation():
    rotation = find_shortest_rotation(np.array([2.0, 0, 0]), np.array([0, 3.0, 0]))
    np.testing.assert_allclose(to_axis_angle(rotation), (0, 0, np.pi / 2), atol=1e-12)
    np.testing.assert_array_equal(find_shortest_rotation(X, X), np.eye(3))
    with pytest.raises(ValueError, match="opposite"):
        find_shortest_rotation(X, -X)


def test_twist_is_found_behind_a_swing():
    swing = rotate_about("y", np.array([0.7, -1.2])) @ rotate_about("z", np.array([0.4, 0.3]))
    twist = np.array([0.5, -2.0])
    # y and z turns do not commute, so the swing is made pure first.
    pure = swing @ rotate_about("x", -measure_twist(swing, X))
    np.testing.assert_allclose(measure_twist(pure @ rotate_about("x", twist), X), twist)


def test_camera_frame():
    upright = np.eye(3)[None]
    zero, tenth = np.zeros(1), np.array([0.1])
    front = to_camera_frame(upright, yaw=zero, pitch=zero, roll=zero)[0]
    np.testing.assert_allclose(front @ (0, 1, 0), (0, -1, 0), atol=1e-12)  # head up: y down
    np.testing.assert_allclose(front @ (0, 0, 1), (0, 0, -1), atol=1e-12)  # faces the camera
    turned = to_camera_frame(upright, yaw=np.array([np.pi / 2]), pitch=zero, roll=zero)[0]
    np.testing.assert_allclose(turned @ (0, 0, 1), (1, 0, 0), atol=1e-12)  # to the image's right
    above = to_camera_frame(upright, yaw=zero, pitch=tenth, roll=zero)[0]
    assert (above @ (0, 1, 0))[2] < 0  # seen from above, the head is nearer than the feet


def test_views_cover_all_headings():
    views = draw_views(np.random.default_rng(0), 4000)
    counts, _ = np.histogram(views["yaw"], 8, (-np.pi, np.pi))
    assert counts.min() > 400
    assert 0.1 < views["pitch"].std() < 0.3


def test_collars_and_forearms_leave_arms_and_hands_where_they_are():
    world = global_from_local(to_rotmats(random_poses()))
    for shared in (share_with_collars(world), share_with_forearms(world)):
        for joint in ("left_shoulder", "right_shoulder", "left_wrist", "right_wrist"):
            np.testing.assert_array_equal(shared[:, JOINT[joint]], world[:, JOINT[joint]])


def test_collar_is_lowered_under_a_hanging_arm():
    poses = np.zeros((1, 24, 3))
    poses[0, JOINT["left_shoulder"]] = (0, 0, -np.pi / 2)
    poses[0, JOINT["right_shoulder"]] = (0, 0, np.pi / 2)
    local = local_from_global(share_with_collars(global_from_local(to_rotmats(poses))))
    angles = np.degrees(to_axis_angle(local))[0]
    np.testing.assert_allclose(angles[JOINT["left_collar"]], (0, 0, -13.5), atol=1e-9)  # 0.15 x 90
    np.testing.assert_allclose(angles[JOINT["right_collar"]], (0, 0, 13.5), atol=1e-9)
    np.testing.assert_allclose(angles[JOINT["left_shoulder"]], (0, 0, -76.5), atol=1e-9)


def test_forearm_takes_half_of_the_pronation():
    poses = np.zeros((1, 24, 3))
    poses[0, JOINT["left_wrist"]] = (1.0, 0, 0)
    local = local_from_global(share_with_forearms(global_from_local(to_rotmats(poses))))
    np.testing.assert_allclose(to_axis_angle(local)[0, JOINT["left_elbow"]], (0.5, 0, 0))
    np.testing.assert_allclose(to_axis_angle(local)[0, JOINT["left_wrist"]], (0.5, 0, 0))


@pytest.mark.parametrize("side", ["left", "right"])
def test_leg_corrections_stand_the_rest_leg_on_the_source_leg(side):
    sign = 1 if side == "left" else -1
    down = rotate_about("z", sign * np.radians(20)) @ (0, -1, 0)  # CMU's legs: 20 degrees out
    corrections = compute_leg_corrections(side, down, down, np.array([0.0, 0.0, 1.0]))
    hip, knee, ankle = (REST_JOINTS[JOINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle"))
    thigh = corrections[f"{side}_hip"] @ (knee - hip)
    shank = corrections[f"{side}_knee"] @ (ankle - knee)
    line = (thigh + shank) / np.linalg.norm(thigh + shank)
    assert np.degrees(np.arccos(line @ down)) < 0.1
    bend = to_axis_angle(transpose(corrections[f"{side}_hip"]) @ corrections[f"{side}_knee"])
    np.testing.assert_allclose(bend[1:], 0, atol=1e-12)  # the knee stays a hinge about x
    up = corrections[f"{side}_ankle"] @ (0, 1, 0)
    np.testing.assert_allclose(up, -down, atol=1e-12)  # the sole is square to the leg
