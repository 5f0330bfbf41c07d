"""Self-penetration of simple poses, and distances of segments by hand."""

import numpy as np

from tools.penetration import (
    find_self_penetration,
    list_penetration_pairs,
    measure_segment_distance,
)
from tools.pose_tools import JOINT, global_from_local, to_rotmats


def penetrates(**angles: tuple[float, float, float]) -> bool:
    poses = np.zeros((1, 24, 3))
    for joint, degrees in angles.items():
        poses[0, JOINT[joint]] = np.radians(degrees)
    return bool(find_self_penetration(global_from_local(to_rotmats(poses)))[0])


def test_segment_distance_by_hand():
    cases = (
        # crossing at right angles, one 3 above the other
        ((-1, 0, 0), (1, 0, 0), (0, 3, -1), (0, 3, 1), 3.0),
        # end to end along a line, a gap of 2
        ((0, 0, 0), (1, 0, 0), (3, 0, 0), (5, 0, 0), 2.0),
        # parallel, 4 apart
        ((0, 0, 0), (1, 0, 0), (0, 4, 0), (1, 4, 0), 4.0),
        # a point 3 beyond the end and 4 aside: 5
        ((0, 0, 0), (1, 0, 0), (4, 4, 0), (4, 4, 0), 5.0),
    )
    ends = np.array([case[:4] for case in cases], float).transpose(1, 0, 2)
    np.testing.assert_allclose(
        measure_segment_distance(*ends), [case[4] for case in cases], atol=1e-5
    )


def test_segment_distance_never_exceeds_a_brute_force_search():
    ends = np.random.default_rng(0).normal(size=(4, 50, 3))
    steps = np.linspace(0, 1, 60)[:, None, None]
    first = ends[0] + steps * (ends[1] - ends[0])  # (60, 50, 3)
    second = ends[2] + steps * (ends[3] - ends[2])
    brute = np.linalg.norm(first[:, None] - second[None], axis=-1).min(axis=(0, 1))
    exact = measure_segment_distance(*ends)
    assert (exact <= brute + 1e-9).all()
    assert (brute - exact).max() < 0.08


def test_plain_poses_are_free():
    assert not penetrates()  # the T-pose
    assert not penetrates(left_shoulder=(0, 0, -75), right_shoulder=(0, 0, 75))
    assert not penetrates(left_hip=(-90, 0, 0), left_knee=(90, 0, 0))


def test_impossible_poses_are_not():
    # The forearm bent inward on a hanging arm runs into the belly.
    assert penetrates(left_shoulder=(0, 0, -75), left_elbow=(0, 0, -80))
    assert penetrates(right_shoulder=(0, 0, 75), right_elbow=(0, 0, 80))
    assert penetrates(left_hip=(0, 0, -30))  # a thigh through the other leg
    # Elbow at (0.305, 0.42), forearm level to the inside: the wrist is in the middle of the head.
    assert penetrates(left_shoulder=(0, 0, 60), left_elbow=(0, 0, 120))


def test_both_sides_are_tested_alike():
    names = {(first, second): overlap for first, second, overlap in list_penetration_pairs()}
    for (first, second), overlap in names.items():
        other = tuple(
            name.replace("left", "?").replace("right", "left").replace("?", "right")
            for name in (first, second)
        )
        assert names.get(other, names.get(other[::-1])) == overlap
