"""Draws human poses from tables of anatomy, without self-penetration.

A pose is a stance (pelvis, legs, spine), two arm positions and a head direction, drawn from the
means and standard deviations of `pose_tables.py` and cut off at the joint limits. Poses whose body
capsules penetrate one another, or whose arms would dislocate, are drawn again. Everything is
vectorised over poses and follows from one numpy generator.
"""

from dataclasses import dataclass

import numpy as np

from tools.penetration import self_penetrating
from tools.pose_tables import (
    ARMS,
    HEAD_PITCH,
    HEAD_SIDE,
    HEAD_YAW,
    LIMITS,
    LOOKING_DOWN,
    NECK_SHARES,
    SIDED_JOINTS,
    SPINE_SHARES,
    STANCES,
    USUAL_ARMS,
    ArmAngles,
    ArmTarget,
    Spread,
)
from tools.pose_tools import (
    JOINT,
    JOINT_COUNT,
    MIRROR,
    REST_JOINTS,
    REST_LEG_OUT,
    REST_SHANK_BACK,
    SIDES,
    collar_rotation,
    global_from_local,
    joint_positions,
    rotation_about,
    to_axis_angle,
    to_rotmats,
    transposed,
    twist_angle,
)

FARTHEST_ACROSS = -55.0  # degrees of arm abduction; beyond it the chest is in the way
MOST_ROUNDS = 200  # of drawing again; a category that needs more is wrong in its table


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
    for _ in range(MOST_ROUNDS):
        local, reachable = pose_once(generator, stances[pending], arms[pending])
        good = reachable & ~self_penetrating(global_from_local(local))
        poses[pending[good]] = to_axis_angle(local[good])
        pending = pending[~good]
        if len(pending) == 0:
            return poses, np.array(["/".join(row) for row in np.column_stack([stances, arms])])
        stuck = generator.random(len(pending)) < 0.05  # a stance and arms that exclude one another
        for index in pending[stuck]:
            arms[index] = _draw_arm_names(generator, stances[index])
    stuck = sorted(set(stances[pending]))
    raise RuntimeError(f"no free pose in {MOST_ROUNDS} rounds for {', '.join(stuck)}")


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
        reachable &= set_arm(local, generator, side, sign, arms[:, column], normal, drawn)
    balanced = np.array([STANCES[name].balanced for name in stances])
    share = generator.uniform(0.6, 1.0, len(stances)) * balanced
    local[:, 0] = balancing_turn(global_from_local(local), drawn.planted, share) @ local[:, 0]
    set_feet(local, generator, drawn.planted)
    lying = stances == "lying"
    local[lying, 0] = lie_down(generator, local[lying, 0])
    return local, reachable


def _paired(arms: np.ndarray) -> np.ndarray:
    """Whether both arms (N, 2) do the same or belong together."""
    partners = np.array([getattr(ARMS[name], "partner", "") for name in ARMS])
    partner_of = dict(zip(ARMS, partners, strict=True))
    return np.array([a == b or b == partner_of[a] or a == partner_of[b] for a, b in arms])


def _limited(name: str, values: np.ndarray) -> np.ndarray:
    return np.clip(values, *LIMITS[name])


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
        trunk[:, column] = _limited(name, trunk[:, column])
    flexion = _limited("hip_flexion", thigh + trunk[:, :1])
    return Drawn(
        thigh=flexion - trunk[:, :1],
        knee=_limited("knee", np.abs(knee)),
        abduction=_limited("hip_abduction", abduction),
        rotation=_limited("hip_rotation", rotation),
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
    local[:, JOINT["pelvis"]] = rotation_about("z", roll) @ rotation_about("x", pitch)
    set_chain(local, SPINE_SHARES, bend, side, twist)
    for column, (name, sign) in enumerate(SIDES):
        flexion = np.radians(drawn.thigh[:, column]) + pitch
        abduction = np.radians(drawn.abduction[:, column]) - REST_LEG_OUT
        rotation = np.radians(drawn.rotation[:, column])
        local[:, JOINT[f"{name}_hip"]] = (
            rotation_about("x", -flexion)
            @ rotation_about("z", sign * abduction)
            @ rotation_about("y", sign * rotation)
        )
        knee = np.radians(drawn.knee[:, column]) - REST_SHANK_BACK
        local[:, JOINT[f"{name}_knee"]] = rotation_about("x", knee)


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
            rotation_about("y", share * twist)
            @ rotation_about("x", share * bend)
            @ rotation_about("z", -share * side)
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
        np.radians(_limited("head_pitch", pitch)),
        np.radians(_limited("head_side", generator.normal(*HEAD_SIDE, count))),
        np.radians(_limited("head_yaw", generator.normal(*HEAD_YAW, count))),
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
        level = rotation_about("y", np.arctan2(forward[:, 0], forward[:, 2]))
        ankle = np.degrees(to_axis_angle(transposed(shank) @ level))
        hanging = generator.normal((8, 0, 0), (16, 9, 7), (count, 3))
        tiptoe = (generator.random(count) < 0.1) * np.abs(generator.normal(0, 25, count))
        ankle += generator.normal(0, (3, 8, 3), (count, 3)) + tiptoe[:, None] * (1, 0, 0)
        ankle = np.where(planted[:, column : column + 1], ankle, hanging)
        ankle[:, 0] = _limited("ankle_plantarflexion", ankle[:, 0])
        ankle[:, 1:] = _limited("ankle_other", ankle[:, 1:])
        local[:, JOINT[f"{side}_ankle"]] = to_rotmats(np.radians(ankle))
        toes = np.where(tiptoe > 0, -tiptoe, generator.normal(0, 4, count))
        local[:, JOINT[f"{side}_foot"]] = rotation_about("x", np.radians(np.clip(toes, -45, 15)))


# Share of the body's mass put at each joint (Winter's segment masses, split between their ends).
_MASSES = {
    "head": 0.08, "spine3": 0.20, "spine1": 0.14, "pelvis": 0.13, "hip": 0.055, "knee": 0.09,
    "ankle": 0.035, "shoulder": 0.015, "elbow": 0.025, "wrist": 0.015,
}  # fmt: skip
JOINT_MASSES = np.array([_MASSES.get(name.split("_")[-1], 0.0) for name in JOINT])
JOINT_MASSES /= JOINT_MASSES.sum()
SOLE_CENTRE = np.array([0.0, -0.07, 0.05])  # from the ankle, metres


def balancing_turn(world: np.ndarray, planted: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Turn of the whole body that brings its centre of mass over the planted feet.

    Args:
        world: (N, 24, 3, 3) global orientations.
        planted: (N, 2) which feet carry it.
        share: (N,) of the turn to make, 0 to 1.

    Returns:
        (N, 3, 3).
    """
    positions = joint_positions(world)
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
    return rotation_about("x", tilt) @ rotation_about("y", turn) @ root


def set_arm(
    local: np.ndarray,
    generator: np.random.Generator,
    side: str,
    sign: float,
    names: np.ndarray,
    normal: np.ndarray,
    drawn: Drawn,
) -> np.ndarray:
    """Writes one arm, collar to fingers, into (N, 24, 3, 3) rotations.

    Works on the left arm; for the right one, in a mirror.

    Args:
        local: trunk and legs are set already.
        generator: randomness of wrist and fingers.
        side: "left" or "right".
        sign: 1 or -1.
        names: (N,) in ARMS.
        normal: (N, 8) standard normal numbers, partly common to both arms.
        drawn: for the swing of the thighs.

    Returns:
        Whether the arm stays within its limits (N,).
    """
    by_target = np.array([isinstance(ARMS[name], ArmTarget) for name in names])
    table = np.array([_arm_row(ARMS[name]) for name in names])  # (N, 5, 2)
    values = table[..., 0] + table[..., 1] * normal[:, :5]
    swinging = np.isin(names, ("swing", "run_swing"))
    column = 0 if sign > 0 else 1
    values[:, 0] += np.where(swinging, -0.9 * drawn.gait[:, column], 0.0)
    upper, elbow = arm_from_angles(values)
    wrist = arm_targets(local, side, sign, names, values)
    shrug = to_rotmats(np.radians(normal[:, 5:] * (0, 4, 4)))  # collar; y reaches, z raises
    target_upper, target_elbow, in_reach = arm_to_target(wrist, shrug, names, values)
    upper = np.where(by_target[:, None, None], target_upper, upper)
    elbow = np.where(by_target, target_elbow, elbow)
    collar = collar_rotation(upper[:, :, 0], 1.0) @ shrug
    pronation = np.radians(_limited("pronation", values[:, 4]))
    rotations = {
        "collar": collar,
        "shoulder": transposed(collar) @ upper,
        "elbow": rotation_about("y", -elbow) @ rotation_about("x", pronation / 2),
        "wrist": rotation_about("x", pronation / 2) @ draw_wrists(generator, len(names)),
        "hand": draw_fingers(generator, len(names)),
    }
    for joint, rotation in rotations.items():
        mirrored = rotation if sign > 0 else to_rotmats(to_axis_angle(rotation) * MIRROR)
        local[:, JOINT[f"{side}_{joint}"]] = mirrored
    return arm_within_limits(upper) & (in_reach | ~by_target)


def _arm_row(arm: ArmAngles | ArmTarget) -> tuple[Spread, ...]:
    if isinstance(arm, ArmAngles):
        return arm.flexion, arm.abduction, arm.rotation, arm.elbow, arm.pronation
    return arm.x, arm.y, arm.z, (0.0, arm.swivel), arm.pronation


def arm_from_angles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left upper arm in the chest's frame (N, 3, 3) and elbow (N,) rad from degrees (N, 5)."""
    flexion, abduction, rotation, elbow, _ = values.T
    flexion = _limited("arm_behind", flexion)
    elevation = np.radians(_limited("arm_elevation", np.hypot(flexion, abduction)))
    plane = np.arctan2(flexion, abduction)
    rotation = np.radians(_limited("arm_rotation", rotation))
    upper = natural_upper_arm(elevation, plane) @ rotation_about("x", rotation)
    return upper, np.radians(_limited("elbow", np.abs(elbow)))


def natural_upper_arm(elevation: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Left upper arm swung from hanging straight to an elevation in a plane, without twist.

    Args:
        elevation: (N,) rad, 0 hanging, pi / 2 level.
        plane: (N,) rad, 0 sideways, pi / 2 forward.

    Returns:
        (N, 3, 3) in the chest's frame; the elbow bends forward when the arm hangs, up when it
        reaches forward.
    """
    swing = rotation_about("y", -plane) @ rotation_about("z", elevation - np.pi / 2)
    return swing @ rotation_about("x", -plane)


def arm_targets(
    local: np.ndarray, side: str, sign: float, names: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Wrist targets of one side in the chest's frame, mirrored to the left: (N, 3) metres."""
    world = global_from_local(local)
    positions = joint_positions(world)
    rows = np.arange(len(names))
    joints = np.array([_target_joint(name, side) for name in names])
    offset = values[:, :3] * (sign, 1.0, 1.0)
    point = positions[rows, joints] + np.einsum("nab,nb->na", world[rows, joints], offset)
    chest = JOINT["spine3"]
    relative = point - positions[:, chest]
    return np.einsum("nba,nb->na", world[:, chest], relative) * (sign, 1.0, 1.0)


def _target_joint(name: str, side: str) -> int:
    arm = ARMS[name]
    if not isinstance(arm, ArmTarget):
        return 0
    return JOINT[f"{side}_{arm.joint}" if arm.joint in SIDED_JOINTS else arm.joint]


def arm_to_target(
    wrist: np.ndarray, shrug: np.ndarray, names: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left arms that bring the wrist to a target.

    Args:
        wrist: (N, 3) metres in the chest's frame.
        shrug: (N, 3, 3) collar rotation on top of the rhythm.
        names: (N,) arm positions, for where the elbow points.
        values: (N, 5); column 3 turns the elbow about the line from shoulder to wrist, degrees.

    Returns:
        Upper arm in the chest's frame (N, 3, 3), elbow flexion (N,) rad, and whether the target is
        within reach (N,).
    """
    towards = np.array([getattr(ARMS[name], "elbow_towards", (0, -1, 0)) for name in names], float)
    collar = shrug
    for _ in range(2):  # the collar follows the arm, and the shoulder the collar
        shoulder = _REST["collar"] + np.einsum(
            "nab,b->na", collar, _REST["shoulder"] - _REST["collar"]
        )
        upper, elbow, in_reach = two_bones(wrist - shoulder, towards, np.radians(values[:, 3]))
        collar = collar_rotation(upper[:, :, 0], 1.0) @ shrug
    return upper, elbow, in_reach


_REST = {
    name: REST_JOINTS[JOINT[f"left_{name}"]] - REST_JOINTS[JOINT["spine3"]]
    for name in ("collar", "shoulder", "elbow", "wrist")
}


def two_bones(
    reach: np.ndarray, towards: np.ndarray, swivel: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two-bone inverse kinematics of the left arm (law of cosines).

    Args:
        reach: (N, 3) from shoulder to wrist, metres.
        towards: (N, 3) direction in which the elbow points.
        swivel: (N,) rad, turn of the elbow about `reach`.

    Returns:
        Upper arm (N, 3, 3), elbow flexion (N,) rad, whether the wrist gets there (N,).
    """
    first = np.linalg.norm(_REST["elbow"] - _REST["shoulder"])
    second = np.linalg.norm(_REST["wrist"] - _REST["elbow"])
    distance = np.linalg.norm(reach, axis=1)
    bent_most = np.radians(LIMITS["elbow"][1])
    nearest = np.sqrt(first**2 + second**2 + 2 * first * second * np.cos(bent_most))
    in_reach = (distance < first + second) & (distance > nearest)
    length = np.clip(distance, nearest, 0.999 * (first + second))
    along = reach / distance[:, None]
    across = towards - (towards * along).sum(1, keepdims=True) * along
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    across = np.einsum("nab,nb->na", to_rotmats(along * swivel[:, None]), across)
    cosine = (first**2 + length**2 - second**2) / (2 * first * length)
    sine = np.sqrt(1 - cosine**2)
    upper = cosine[:, None] * along + sine[:, None] * across
    forearm = length[:, None] * along - first * upper
    x = upper
    z = forearm - (forearm * x).sum(1, keepdims=True) * x  # the elbow bends x towards z
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    rotation = np.stack([x, np.cross(z, x), z], axis=-1)
    inner = (first**2 + second**2 - length**2) / (2 * first * second)
    return rotation, np.pi - np.arccos(np.clip(inner, -1, 1)), in_reach


def arm_within_limits(upper: np.ndarray) -> np.ndarray:
    """Whether left upper arms (N, 3, 3) in the chest's frame can be held so: (N,)."""
    elevation, plane, rotation = upper_arm_angles(upper)
    behind = np.degrees(elevation) * np.sin(plane)
    lowest, highest = LIMITS["arm_rotation"]
    across = np.degrees(elevation) * np.cos(plane)
    turned = np.degrees(rotation)
    # Angles cut off at a limit lie on it; rounding must not decide about them.
    slack = 1e-6
    return (
        (behind > LIMITS["arm_behind"][0] - slack)
        & (across > FARTHEST_ACROSS)
        & (turned > lowest - slack)
        & (turned < highest + slack)
    )


def upper_arm_angles(upper: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elevation, plane and rotation, (N,) rad each, of left upper arms (N, 3, 3)."""
    arm = upper[:, :, 0]
    elevation = np.arccos(np.clip(-arm[:, 1], -1, 1))
    plane = np.arctan2(arm[:, 2], arm[:, 0])
    relative = transposed(natural_upper_arm(elevation, plane)) @ upper
    return elevation, plane, twist_angle(relative, np.array([1.0, 0.0, 0.0]))


def draw_wrists(generator: np.random.Generator, count: int) -> np.ndarray:
    """Left wrists (N, 3, 3): flexion towards the palm, deviation towards the little finger."""
    flexion = _limited("wrist_flexion", generator.normal(4, 17, count))
    deviation = _limited("wrist_deviation", generator.normal(3, 8, count))
    return rotation_about("y", np.radians(deviation)) @ rotation_about("z", -np.radians(flexion))


def draw_fingers(generator: np.random.Generator, count: int) -> np.ndarray:
    """Left fingers (N, 3, 3), curled a little."""
    curl = _limited("fingers", np.abs(generator.normal(0, 20, count)))
    return rotation_about("z", -np.radians(curl))
