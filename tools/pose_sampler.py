"""Draws human poses from tables of anatomy, without self-penetration.

A pose is a stance (pelvis, legs, spine), two arm positions and a head direction, drawn from the
means and standard deviations of `pose_tables.py` and cut off at the joint limits. Poses whose body
capsules penetrate one another, or whose arms would dislocate, are drawn again. Everything is
vectorised over poses and follows from one numpy generator.
"""

from dataclasses import dataclass

import numpy as np

from tools.penetration import find_self_penetration
from tools.pose_arms import set_arm
from tools.pose_tables import (
    ARMS,
    HEAD_PITCH,
    HEAD_SIDE,
    HEAD_YAW,
    LOOKING_DOWN,
    NECK_SHARES,
    SPINE_SHARES,
    STANCES,
    USUAL_ARMS,
    limit,
)
from tools.pose_tools import (
    JOINT,
    JOINT_COUNT,
    REST_LEG_OUT,
    REST_SHANK_BACK,
    SIDES,
    global_from_local,
    place_joints,
    rotate_about,
    to_axis_angle,
    to_rotmats,
    transpose,
)

MAX_ROUNDS = 200  # of drawing again; a category that needs more is wrong in its table


@dataclass(frozen=True)
class Drawn:
    """Angles of poses, degrees; columns of legs are left and right."""

    thigh: np.ndarray  # (N, 2)
    knee: np.ndarray  # (N, 2)
    abduction: np.ndarray  # (N, 2)
    rotation: np.ndarray  # (N, 2)
    planted: np.ndarray  # (N, 2) bool
    trunk: np.ndarray  # (N, 5) pitch, roll, bend, side, twist; side and twist to the left
    gait: np.ndarray  # (N, 2) forward swing of the thighs while walking or running, else 0


def sample_poses(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws poses in a y-up world, heading forward (+z).

    Args:
        generator: all randomness comes from it.
        count: number of poses N.

    Returns:
        Axis-angle (N, 24, 3) rad, and names (N,) "stance/left arm position/right arm position".

    Raises:
        RuntimeError: some category cannot be drawn without penetration; its table is wrong.
    """
    weights = np.array([stance.weight for stance in STANCES.values()])
    chosen = generator.choice(len(weights), count, p=weights / weights.sum())
    stances = np.array(list(STANCES))[chosen]
    # (N, 2) of Python's own strings: numpy's would cut a longer name that is drawn later.
    arms = np.array([_draw_arm_names(generator, name) for name in stances], dtype=object)
    poses = np.zeros((count, JOINT_COUNT, 3))
    pending = np.arange(count)
    for _ in range(MAX_ROUNDS):
        local, reachable = pose_once(generator, stances[pending], arms[pending])
        good = reachable & ~find_self_penetration(global_from_local(local))
        poses[pending[good]] = to_axis_angle(local[good])
        pending = pending[~good]
        if len(pending) == 0:
            return poses, np.array(["/".join(row) for row in np.column_stack([stances, arms])])
        stuck = generator.random(len(pending)) < 0.05  # a stance and arms that exclude one another
        for index in pending[stuck]:
            arms[index] = _draw_arm_names(generator, stances[index])
    stuck = sorted(set(stances[pending]))
    raise RuntimeError(f"no free pose in {MAX_ROUNDS} rounds for {', '.join(stuck)}")


def _draw_arm_names(generator: np.random.Generator, stance: str) -> tuple[str, str]:
    preferred = STANCES[stance].arms
    chance = generator.random()
    first = None
    for name, share in preferred:
        if chance < share:
            first = name
            break
        chance -= share
    weights = np.array([ARMS[name].weight for name in USUAL_ARMS])
    first = first or USUAL_ARMS[generator.choice(len(weights), p=weights / weights.sum())]
    second = getattr(ARMS[first], "partner", "") or first
    if generator.random() >= ARMS[first].both:
        # What takes two hands is never done with one.
        alone = weights * [ARMS[name].both < 1 for name in USUAL_ARMS]
        second = USUAL_ARMS[generator.choice(len(weights), p=alone / alone.sum())]
    return (first, second) if generator.random() < 0.5 else (second, first)


def pose_once(
    generator: np.random.Generator, stances: np.ndarray, arms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One draw for each stance and pair of arm positions, penetrating or not.

    Args:
        generator: randomness.
        stances: (N,) names in STANCES.
        arms: (N, 2) names in ARMS, left and right.

    Returns:
        Parent-relative rotations (N, 24, 3, 3), and whether both arms are within limits (N,).
    """
    drawn = draw_stances(generator, stances)
    local = np.broadcast_to(np.eye(3), (len(stances), JOINT_COUNT, 3, 3)).copy()
    set_trunk_and_legs(local, drawn)
    set_head(local, generator, drawn, arms)
    reachable = np.ones(len(stances), bool)
    shared = generator.standard_normal((len(stances), 8))
    for column, (side, sign) in enumerate(SIDES):
        alike = _paired(arms)[:, None] * np.sqrt(0.75)
        own = generator.standard_normal(shared.shape)
        normal = alike * shared + np.sqrt(1 - alike**2) * own
        reachable &= set_arm(
            local, generator, side, sign, arms[:, column], normal, drawn.gait[:, column]
        )
    balanced = np.array([STANCES[name].balanced for name in stances])
    share = generator.uniform(0.6, 1.0, len(stances)) * balanced
    local[:, 0] = find_balancing_turn(global_from_local(local), drawn.planted, share) @ local[:, 0]
    set_feet(local, generator, drawn.planted)
    lying = stances == "lying"
    local[lying, 0] = lie_down(generator, local[lying, 0])
    return local, reachable


def _paired(arms: np.ndarray) -> np.ndarray:
    """Whether both arms (N, 2) do the same or belong together."""
    partners = np.array([getattr(ARMS[name], "partner", "") for name in ARMS])
    partner_of = dict(zip(ARMS, partners, strict=True))
    return np.array([a == b or b == partner_of[a] or a == partner_of[b] for a, b in arms])


def draw_stances(generator: np.random.Generator, stances: np.ndarray) -> Drawn:
    """Angles of pelvis, legs and spine for stance names (N,), within limits."""
    count = len(stances)
    leg_rows = np.zeros((count, 2, 4, 2))  # leg, angle, (mean, std)
    trunk_rows = np.zeros((count, 5, 2))
    planted = np.zeros((count, 2), bool)
    correlation = np.zeros(count)
    for name in np.unique(stances):
        stance, rows = STANCES[name], stances == name
        angles = (stance.thigh, stance.knee, stance.abduction, stance.rotation)
        leg_rows[rows] = np.array(angles, float).transpose(1, 0, 2)
        trunk_rows[rows] = (stance.pitch, stance.roll, stance.bend, stance.side, stance.twist)
        planted[rows] = stance.planted
        correlation[rows] = stance.correlation
    mixing = correlation[:, None, None]
    shared, own = generator.standard_normal((count, 1, 4)), generator.standard_normal((count, 2, 4))
    normal = np.sqrt(mixing) * shared + np.sqrt(1 - mixing) * own
    legs = leg_rows[..., 0] + leg_rows[..., 1] * normal  # (N, leg, angle)
    trunk = trunk_rows[..., 0] + trunk_rows[..., 1] * generator.standard_normal((count, 5))
    legs, gait, planted = add_gait(generator, stances, legs, planted)
    legs = add_shin_lean(generator, stances, legs)
    right_leads = generator.random(count) < 0.5
    flip = np.where(right_leads, -1.0, 1.0)
    trunk[:, 1] *= flip
    trunk[:, 3] *= flip
    trunk[:, 4] *= -flip
    for array in (legs, gait, planted):
        array[right_leads] = array[right_leads][:, ::-1]
    thigh, knee, abduction, rotation = legs.transpose(2, 0, 1)
    for column, name in ((2, "spine_bend"), (3, "spine_side"), (4, "spine_twist")):
        trunk[:, column] = limit(name, trunk[:, column])
    flexion = limit("hip_flexion", thigh + trunk[:, :1])
    return Drawn(
        thigh=flexion - trunk[:, :1],
        knee=limit("knee", np.abs(knee)),
        abduction=limit("hip_abduction", abduction),
        rotation=limit("hip_rotation", rotation),
        planted=planted,
        trunk=trunk,
        gait=gait,
    )


def add_gait(
    generator: np.random.Generator, stances: np.ndarray, legs: np.ndarray, planted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Adds the cycle of walking and running to the thighs and knees of (N, 2, 4) leg angles.

    Phase 0 is the heel strike. The thigh swings as a cosine; the knee gives way a little under load
    and bends most in mid-swing (the textbook curves of gait analysis, Perry 1992, in bumps).

    Returns:
        Leg angles, forward swing of the thighs (N, 2), and which soles are level (N, 2).
    """
    legs, planted = legs.copy(), planted.copy()
    walking, running = stances == "walking", stances == "running"
    phase = generator.random(len(stances))[:, None] + np.array([0.0, 0.5])
    phase -= np.floor(phase)
    vigour = generator.uniform(0.55, 1.35, (len(stances), 1))
    cosine = np.cos(2 * np.pi * phase)
    bump = {
        centre: np.exp(-(((phase - centre + 0.5) % 1 - 0.5) ** 2) / (2 * width**2))
        for centre, width in ((0.14, 0.07), (0.72, 0.11), (0.75, 0.13))
    }
    walk = np.stack([6 + 22 * vigour * cosine, 5 + 12 * vigour * bump[0.14] + 55 * bump[0.72]], -1)
    run = np.stack([20 + 38 * vigour * cosine, 25 + (20 + 62 * vigour) * bump[0.75]], -1)
    legs[walking, :, :2] += walk[walking]
    legs[running, :, :2] += run[running]
    swing = np.where(walking[:, None], 22 * vigour * cosine, 0.0)
    swing = np.where(running[:, None], 38 * vigour * cosine, swing)
    on_sole = (phase > 0.06) & (phase < 0.42)
    planted = np.where((walking | running)[:, None], on_sole, planted)
    return legs, swing, planted


def add_shin_lean(
    generator: np.random.Generator, stances: np.ndarray, legs: np.ndarray
) -> np.ndarray:
    """Sets the thighs of squats from their knees: feet planted, shins leaning forward a little."""
    legs = legs.copy()
    normal = generator.standard_normal((len(stances), 1))
    for name, stance in STANCES.items():
        if stance.shin_lean is not None:
            rows = stances == name
            mean, std = stance.shin_lean
            legs[rows, :, 0] = np.abs(legs[rows, :, 1]) - (mean + std * normal[rows])
    return legs


def set_trunk_and_legs(local: np.ndarray, drawn: Drawn) -> None:
    """Writes root, spine, hips and knees into (N, 24, 3, 3) rotations."""
    pitch, roll, bend, side, twist = np.radians(drawn.trunk).T
    local[:, JOINT["pelvis"]] = rotate_about("z", roll) @ rotate_about("x", pitch)
    set_chain(local, SPINE_SHARES, bend, side, twist)
    for column, (name, sign) in enumerate(SIDES):
        flexion = np.radians(drawn.thigh[:, column]) + pitch
        abduction = np.radians(drawn.abduction[:, column]) - REST_LEG_OUT
        rotation = np.radians(drawn.rotation[:, column])
        local[:, JOINT[f"{name}_hip"]] = (
            rotate_about("x", -flexion)
            @ rotate_about("z", sign * abduction)
            @ rotate_about("y", sign * rotation)
        )
        knee = np.radians(drawn.knee[:, column]) - REST_SHANK_BACK
        local[:, JOINT[f"{name}_knee"]] = rotate_about("x", knee)


def set_chain(
    local: np.ndarray,
    shares: dict[str, float],
    bend: np.ndarray,
    side: np.ndarray,
    twist: np.ndarray,
) -> None:
    """Shares a bend (forward), side bend and twist (to the left), (N,) rad, out among joints."""
    for joint, share in shares.items():
        local[:, JOINT[joint]] = (
            rotate_about("y", share * twist)
            @ rotate_about("x", share * bend)
            @ rotate_about("z", -share * side)
        )


def set_head(
    local: np.ndarray, generator: np.random.Generator, drawn: Drawn, arms: np.ndarray
) -> None:
    """Turns the head; a leaning trunk is partly made up for, a phone is looked at."""
    count = len(local)
    down = np.zeros(count)
    for name, angle in LOOKING_DOWN.items():
        down += angle * (arms == name).any(axis=1)
    lean = drawn.trunk[:, 0] + drawn.trunk[:, 2]
    pitch = generator.normal(*HEAD_PITCH, count) + down - generator.uniform(0, 0.7, count) * lean
    set_chain(
        local,
        NECK_SHARES,
        np.radians(limit("head_pitch", pitch)),
        np.radians(limit("head_side", generator.normal(*HEAD_SIDE, count))),
        np.radians(limit("head_yaw", generator.normal(*HEAD_YAW, count))),
    )


def set_feet(local: np.ndarray, generator: np.random.Generator, planted: np.ndarray) -> None:
    """Levels planted soles as far as the ankle allows; lets other feet hang."""
    world = global_from_local(local)
    for column, (side, _) in enumerate(SIDES):
        count = len(local)
        shank = world[:, JOINT[f"{side}_knee"]]
        forward = (
            shank[:, :, 2] + 0.02 * shank[:, :, 1]
        )  # its own heading, defined when it lies flat
        level = rotate_about("y", np.arctan2(forward[:, 0], forward[:, 2]))
        ankle = np.degrees(to_axis_angle(transpose(shank) @ level))
        hanging = generator.normal((8, 0, 0), (16, 9, 7), (count, 3))
        tiptoe = (generator.random(count) < 0.1) * np.abs(generator.normal(0, 25, count))
        ankle += generator.normal(0, (3, 8, 3), (count, 3)) + tiptoe[:, None] * (1, 0, 0)
        ankle = np.where(planted[:, column : column + 1], ankle, hanging)
        ankle[:, 0] = limit("ankle_plantarflexion", ankle[:, 0])
        ankle[:, 1:] = limit("ankle_other", ankle[:, 1:])
        local[:, JOINT[f"{side}_ankle"]] = to_rotmats(np.radians(ankle))
        toes = np.where(tiptoe > 0, -tiptoe, generator.normal(0, 4, count))
        local[:, JOINT[f"{side}_foot"]] = rotate_about("x", np.radians(np.clip(toes, -45, 15)))


# Share of the body's mass put at each joint (Winter's segment masses, split between their ends).
_MASSES = {
    "head": 0.08, "spine3": 0.20, "spine1": 0.14, "pelvis": 0.13, "hip": 0.055, "knee": 0.09,
    "ankle": 0.035, "shoulder": 0.015, "elbow": 0.025, "wrist": 0.015,
}  # fmt: skip
JOINT_MASSES = np.array([_MASSES.get(name.split("_")[-1], 0.0) for name in JOINT])
JOINT_MASSES /= JOINT_MASSES.sum()
SOLE_CENTRE = np.array([0.0, -0.07, 0.05])  # from the ankle, metres


def find_balancing_turn(world: np.ndarray, planted: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Turn of the whole body that brings its centre of mass over the planted feet.

    Args:
        world: (N, 24, 3, 3) global orientations.
        planted: (N, 2) which feet carry it.
        share: (N,) of the turn to make, 0 to 1.

    Returns:
        (N, 3, 3).
    """
    positions = place_joints(world)
    mass = np.einsum("j,njk->nk", JOINT_MASSES, positions)
    ankles = [JOINT[f"{side}_ankle"] for side, _ in SIDES]
    soles = positions[:, ankles] + world[:, ankles] @ SOLE_CENTRE  # (N, 2, 3)
    carrying = planted / np.maximum(planted.sum(axis=1, keepdims=True), 1)
    line = mass - np.einsum("nf,nfk->nk", carrying, soles)
    line /= np.linalg.norm(line, axis=1, keepdims=True)
    axis = np.cross(line, (0.0, 1.0, 0.0))
    sine = np.linalg.norm(axis, axis=1)
    angle = share * planted.any(axis=1) * np.arctan2(sine, line[:, 1])
    return to_rotmats(axis * (angle / np.maximum(sine, 1e-9))[:, None])


def lie_down(generator: np.random.Generator, root: np.ndarray) -> np.ndarray:
    """Lays people (N, 3, 3) on the back, front or a side, with a random heading."""
    count = len(root)
    turn = generator.choice([0.0, 180.0, 90.0, -90.0], count, p=[0.45, 0.25, 0.15, 0.15])
    turn = np.radians(turn + generator.normal(0, 15, count))
    tilt = np.radians(-90 + generator.normal(0, 10, count))
    return rotate_about("x", tilt) @ rotate_about("y", turn) @ root
