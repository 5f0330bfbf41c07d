"""The anatomical sampler: deterministic, within limits, free of penetration, as its tables say."""

import numpy as np
import pytest

from tools.compare_poses import measure_angles
from tools.penetration import find_self_penetration
from tools.pose_arms import (
    check_arm_limits,
    measure_upper_arm,
    place_arm_by_angles,
    reach_with_two_bones,
    swing_upper_arm,
)
from tools.pose_sampler import add_shin_lean, find_balancing_turn, sample_poses
from tools.pose_tables import ARMS, LIMITS, STANCES, USUAL_ARMS, ArmTarget
from tools.pose_tools import JOINT, global_from_local, rotate_about, to_rotmats


@pytest.fixture(scope="module")
def drawn():
    return sample_poses(np.random.default_rng(7), 1500)


def test_same_seed_same_poses(drawn):
    again, names = sample_poses(np.random.default_rng(7), 1500)
    np.testing.assert_allclose(again, drawn[0], atol=1e-9)
    np.testing.assert_array_equal(names, drawn[1])
    other, _ = sample_poses(np.random.default_rng(8), 20)
    assert not np.isin(other[:, 3:], drawn[0][:, 3:]).all()


def test_arms_may_be_drawn_again_with_longer_names():
    """With these seeds the first arms are excluded by the stance, and others are drawn."""
    for seed in (63, 74, 89):
        _, names = sample_poses(np.random.default_rng(seed), 1)
        assert set(names[0].split("/")[1:]) <= set(ARMS)


def test_nothing_penetrates(drawn):
    assert not find_self_penetration(global_from_local(to_rotmats(drawn[0]))).any()


@pytest.mark.parametrize(
    ("angle", "limit"),
    [
        ("hip flexion", "hip_flexion"),
        ("hip abduction", "hip_abduction"),
        ("hip outward rotation", "hip_rotation"),
        ("knee flexion", "knee"),
        ("ankle plantar flexion", "ankle_plantarflexion"),
        ("elbow flexion", "elbow"),
        ("arm inward rotation", "arm_rotation"),
    ],
)
def test_joints_stay_within_their_limits(drawn, angle, limit):
    values = measure_angles(drawn[0].reshape(-1, 72))[angle]
    low, high = LIMITS[limit]
    assert low - 0.1 <= values.min()
    assert values.max() <= high + 0.1
    assert np.ptp(values) > 0.5 * (high - low)  # and use them


def test_hinges_are_hinges(drawn):
    knees = drawn[0][:, [JOINT["left_knee"], JOINT["right_knee"]]]
    np.testing.assert_allclose(knees[..., 1:], 0, atol=1e-12)
    forearm = to_rotmats(drawn[0][:, JOINT["left_elbow"]])[:, :, 0]
    np.testing.assert_allclose(forearm[:, 1], 0, atol=1e-9)  # bends in its plane,
    assert (forearm[:, 2] > -1e-9).all()  # and only forward


def test_every_stance_and_arm_position_is_drawn(drawn):
    parts = np.array([name.split("/") for name in drawn[1]])
    assert set(parts[:, 0]) == set(STANCES)
    assert set(USUAL_ARMS) <= set(parts[:, 1:].ravel())
    assert set(parts[:, 1:].ravel()) <= set(ARMS)


def test_people_stand_heading_forward(drawn):
    standing = np.char.startswith(drawn[1], "standing/")
    root = to_rotmats(drawn[0][standing, 0])
    assert (root[:, 1, 1] > 0.9).all()
    assert (root[:, 2, 2] > 0.9).all()
    lying = np.char.startswith(drawn[1], "lying/")
    assert (np.abs(to_rotmats(drawn[0][lying, 0])[:, 1, 1]) < 0.8).all()


def test_arm_targets_name_joints():
    for arm in ARMS.values():
        if isinstance(arm, ArmTarget):
            assert arm.joint in JOINT or f"left_{arm.joint}" in JOINT
            assert not arm.partner or arm.partner in ARMS
    for stance in STANCES.values():
        assert all(name in ARMS for name, _ in stance.arms)
        assert sum(share for _, share in stance.arms) <= 1


def test_natural_arm_by_hand():
    elevation = np.radians([0, 90, 90])
    plane = np.radians([45, 0, 90])
    upper = swing_upper_arm(elevation, plane)
    bone, bend = upper[:, :, 0], upper[:, :, 2]  # where the upper arm and a bent forearm point
    np.testing.assert_allclose(bone, [(0, -1, 0), (1, 0, 0), (0, 0, 1)], atol=1e-12)
    # Hanging and sideways the elbow bends forward, reaching forward it bends up.
    np.testing.assert_allclose(bend, [(0, 0, 1), (0, 0, 1), (0, 1, 0)], atol=1e-12)


def test_arm_angles_round_trip():
    values = np.array([[40.0, 30.0, 25.0, 60.0, 0.0], [-30.0, 20.0, -50.0, 10.0, 0.0]])
    upper, elbow = place_arm_by_angles(values)
    elevation, plane, rotation = map(np.degrees, measure_upper_arm(upper))
    np.testing.assert_allclose(elevation, [50, np.hypot(30, 20)])
    np.testing.assert_allclose(elevation * np.sin(np.radians(plane)), values[:, 0])
    np.testing.assert_allclose(rotation, values[:, 2])
    np.testing.assert_allclose(np.degrees(elbow), values[:, 3])


def test_two_bones_reach_their_target():
    reach = np.array([[0.1, -0.2, 0.25], [0.3, 0.1, 0.1], [0.5, 0.0, 0.1], [0.05, 0.0, 0.05]])
    towards = np.tile([0.4, -0.8, -0.3], (4, 1))
    upper, elbow, in_reach = reach_with_two_bones(reach, towards, np.zeros(4))
    forearm = upper @ rotate_about("y", -elbow)
    # 0.435 - 0.175 = 0.26 m and 0.67 - 0.435 = 0.235 m of arm
    hand = 0.26 * upper[:, :, 0] + 0.235 * forearm[:, :, 0]
    np.testing.assert_allclose(hand[:2], reach[:2], atol=1e-9)
    # 0.51 m is beyond 0.495 m; 0.07 m would need the elbow bent by more than its limit
    np.testing.assert_array_equal(in_reach, [True, True, False, False])


def test_dislocated_arms_are_refused():
    elevation, plane = np.radians([80, 80, 80]), np.radians([0, 0, -90])
    twist = rotate_about("x", np.radians([0, 130, 0]))
    upper = swing_upper_arm(elevation, plane) @ twist
    np.testing.assert_array_equal(check_arm_limits(upper), [True, False, False])


def test_balancing_brings_the_centre_of_mass_over_the_feet():
    local = np.broadcast_to(np.eye(3), (2, 24, 3, 3)).copy()
    local[:, 0] = rotate_about("x", np.full(2, 0.5))  # a stiff person leaning forward
    planted = np.array([[True, True], [False, False]])
    turn = find_balancing_turn(global_from_local(local), planted, np.ones(2))
    lean = np.degrees(np.arcsin((turn @ local[:, 0])[:, 2, 1]))
    assert abs(lean[0]) < 3  # upright again, the mass over the middle of the soles
    np.testing.assert_array_equal(turn[1], np.eye(3))  # nothing to stand on, nothing turned


def test_squats_keep_the_shins_leaning_forward():
    legs = np.zeros((200, 2, 4))
    legs[..., 1] = 90
    thigh = add_shin_lean(np.random.default_rng(0), np.full(200, "squat"), legs)[..., 0]
    lean = 90 - thigh
    assert abs(lean.mean() - STANCES["squat"].shin_lean[0]) < 2
    np.testing.assert_array_equal(lean[:, 0], lean[:, 1])
