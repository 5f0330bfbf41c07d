"""The anatomy that `pose_sampler.py` draws from: joint limits, stances and arm positions.

Angles are in degrees, of the left side (the right mirrors it):

- thigh: forward tilt of the thigh from the vertical of the WORLD, so that hip flexion = thigh +
  pelvis pitch, and a planted foot stays planted when the trunk leans;
- abduction outward, rotation of the hip outward, knee and elbow flexion;
- arm flexion and abduction: polar coordinates of the upper arm; their length is its elevation, 0
  hanging and 90 level, their direction the plane in which it is raised;
- arm rotation inward, from the twist that the shortest way up from hanging gives;
- pronation, from the thumb pointing forward on a hanging arm.
"""

from dataclasses import dataclass

import numpy as np

# Degrees. Active ranges of healthy adults (Kapandji; AAOS), flexible ones included.
LIMITS = {
    "hip_flexion": (-35.0, 130.0),
    "hip_abduction": (-30.0, 65.0),
    "hip_rotation": (-45.0, 60.0),
    "knee": (0.0, 150.0),
    "ankle_plantarflexion": (-35.0, 55.0),
    "ankle_other": (-25.0, 25.0),
    "spine_bend": (-35.0, 75.0),
    "spine_side": (-35.0, 35.0),
    "spine_twist": (-45.0, 45.0),
    "head_pitch": (-50.0, 55.0),
    "head_side": (-35.0, 35.0),
    "head_yaw": (-75.0, 75.0),
    "arm_elevation": (0.0, 175.0),
    "arm_behind": (-60.0, 175.0),  # flexion: the arm does not go further back
    "arm_rotation": (-105.0, 100.0),
    "elbow": (0.0, 148.0),
    "pronation": (-80.0, 85.0),
    "wrist_flexion": (-65.0, 70.0),
    "wrist_deviation": (-20.0, 30.0),
    "fingers": (0.0, 70.0),
}


def limit(name: str, degrees: np.ndarray) -> np.ndarray:
    """Angles of any shape, cut off at a joint's limits."""
    return np.clip(degrees, *LIMITS[name])


# How a bend of the whole spine or neck is shared out among its joints.
SPINE_SHARES = {"spine1": 0.42, "spine2": 0.32, "spine3": 0.26}
NECK_SHARES = {"neck": 0.5, "head": 0.5}

Spread = tuple[float, float]  # mean and standard deviation


@dataclass(frozen=True)
class Stance:
    """Where pelvis, legs and spine are; `lead` and `other` leg change sides by chance."""

    weight: float
    thigh: tuple[Spread, Spread]  # lead, other
    knee: tuple[Spread, Spread]
    abduction: tuple[Spread, Spread] = ((3, 6), (3, 6))
    rotation: tuple[Spread, Spread] = ((3, 9), (3, 9))
    correlation: float = 0.5  # between the two legs
    pitch: Spread = (2, 4)  # pelvis forward
    roll: Spread = (0, 2)  # pelvis towards the other leg
    bend: Spread = (5, 9)  # spine forward
    side: Spread = (0, 5)  # spine towards the lead leg
    twist: Spread = (0, 9)  # spine towards the other leg
    planted: tuple[bool, bool] = (True, True)  # sole level where the ankle can
    shin_lean: Spread | None = None  # planted squats: thigh = knee - lean of the shin
    balanced: bool = False  # the centre of mass is brought over the planted feet
    arms: tuple[tuple[str, float], ...] = ()  # arm position and its share, before the usual ones


def _both(spread: Spread) -> tuple[Spread, Spread]:
    return spread, spread


_SITTING_ARMS = (("on_thigh", 0.35),)
STANCES = {
    "standing": Stance(
        15, _both((2, 5)), _both((7, 6)), _both((3, 3.5)), correlation=0.6, balanced=True
    ),
    "contrapposto": Stance(
        7, ((-1, 3), (12, 7)), ((3, 3), (22, 9)), ((-3, 4), (9, 6)), ((1, 8), (10, 10)),
        roll=(6, 3), side=(7, 4), balanced=True,
    ),
    "wide": Stance(
        5, _both((1, 6)), _both((8, 7)), _both((15, 6)), _both((9, 11)), 0.7, balanced=True
    ),
    "feet_together": Stance(
        3, ((1, 4), (4, 6)), ((5, 4), (9, 7)), _both((0, 2)), _both((-1, 7)), balanced=True
    ),
    "walking": Stance(10, _both((0, 3)), _both((0, 3)), _both((0.5, 3)), _both((-1, 6)), 0.3,
                      pitch=(4, 4), twist=(0, 5), arms=(("swing", 0.65),)),
    "running": Stance(5, _both((0, 6)), _both((0, 6)), _both((0, 4)), _both((-1, 6)), 0.3,
                      pitch=(10, 6), bend=(5, 6), arms=(("run_swing", 0.8),)),
    "sitting": Stance(
        11, _both((82, 10)), _both((85, 18)), _both((6, 11)), _both((4, 12)), 0.75,
        pitch=(-8, 12), bend=(16, 15), side=(0, 6), twist=(0, 10), arms=_SITTING_ARMS,
    ),
    "legs_crossed": Stance(
        3, ((84, 6), (103, 6)), ((85, 12), (75, 14)), ((0, 5), (-13, 5)), ((2, 8), (8, 8)),
        pitch=(-10, 9), bend=(14, 12), planted=(True, False), arms=_SITTING_ARMS,
    ),
    "ankle_on_knee": Stance(
        1.5, ((84, 6), (92, 6)), ((85, 10), (105, 10)), ((6, 5), (32, 7)), ((2, 8), (45, 8)),
        pitch=(-12, 9), bend=(14, 10), planted=(True, False), arms=_SITTING_ARMS,
    ),
    "tailor_seat": Stance(
        2, _both((86, 7)), ((112, 7), (134, 6)), _both((38, 7)), _both((38, 8)), 0.0,
        pitch=(-2, 8), bend=(18, 12), planted=(False, False), arms=_SITTING_ARMS,
    ),
    "long_seat": Stance(
        2, _both((88, 7)), _both((12, 11)), _both((8, 9)), _both((8, 12)), 0.6,
        pitch=(-12, 14), bend=(20, 15), planted=(False, False), arms=_SITTING_ARMS,
    ),
    "knees_drawn_up": Stance(
        2, _both((128, 10)), _both((105, 20)), _both((8, 9)), _both((5, 10)), 0.7,
        pitch=(-18, 10), bend=(22, 12), arms=(("on_shin", 0.35), ("on_thigh", 0.15)),
    ),
    "kneeling": Stance(
        1.5, _both((4, 9)), _both((92, 8)), _both((6, 6)), _both((0, 10)), 0.8,
        pitch=(2, 7), planted=(False, False),
    ),
    "heel_seat": Stance(
        1.5, _both((70, 9)), _both((140, 6)), _both((8, 7)), _both((0, 8)), 0.8,
        pitch=(4, 9), bend=(10, 9), planted=(False, False), arms=_SITTING_ARMS,
    ),
    "half_kneeling": Stance(
        2, ((84, 10), (-4, 10)), ((90, 12), (92, 10)), pitch=(6, 10), bend=(8, 10),
        planted=(True, False), arms=(("on_thigh", 0.25),),
    ),
    "squat": Stance(
        6, _both((0, 0)), _both((92, 28)), _both((15, 9)), _both((14, 11)), 0.8,
        pitch=(28, 14), bend=(20, 16), shin_lean=(20, 8), arms=(("on_thigh", 0.12),), balanced=True,
    ),
    "crouch": Stance(
        6, _both((0, 0)), _both((40, 14)), _both((10, 8)), _both((9, 10)), 0.5,
        pitch=(17, 13), bend=(16, 15), shin_lean=(14, 8), twist=(0, 12), balanced=True,
    ),
    "lunge": Stance(
        5, ((58, 19), (-24, 12)), ((74, 20), (30, 20)), pitch=(8, 11), bend=(4, 9),
        twist=(0, 13), planted=(True, False),
    ),
    "side_lunge": Stance(
        2.5, ((45, 15), (0, 8)), ((65, 20), (6, 6)), ((25, 9), (36, 9)), ((25, 12), (8, 10)),
        pitch=(16, 13), side=(0, 10), balanced=True,
    ),
    "step_up": Stance(
        3, ((50, 17), (2, 7)), ((68, 20), (14, 10)), pitch=(7, 8), balanced=True,
    ),
    "kick": Stance(
        3.5, ((58, 30), (0, 7)), ((34, 28), (13, 10)), ((10, 15), (4, 5)), ((8, 14), (12, 12)), 0.0,
        pitch=(-6, 11), side=(0, 8), twist=(0, 14), planted=(False, True), balanced=True,
    ),
    "side_kick": Stance(
        1, ((20, 20), (0, 6)), ((25, 25), (12, 8)), ((52, 9), (2, 6)), ((5, 14), (12, 12)), 0.0,
        roll=(-16, 9), side=(-6, 9), planted=(False, True), balanced=True,
    ),
    "leg_raised": Stance(
        3, ((62, 26), (0, 5)), ((88, 27), (6, 6)), ((8, 12), (2, 4)), ((10, 18), (10, 9)), 0.0,
        planted=(False, True), balanced=True,
    ),
    "leg_behind": Stance(
        2.5, ((-40, 24), (2, 5)), ((40, 38), (10, 9)), ((6, 8), (2, 4)), ((8, 10), (8, 9)), 0.0,
        pitch=(28, 18), bend=(-2, 14), planted=(False, True), balanced=True,
    ),
    "dancing": Stance(
        8, ((22, 24), (8, 20)), ((34, 28), (26, 23)), _both((13, 14)), _both((13, 16)), 0.0,
        pitch=(3, 12), roll=(0, 7), bend=(2, 14), side=(0, 11), twist=(0, 18),
        planted=(False, True), arms=(("free", 0.5),), balanced=True,
    ),
    "jumping": Stance(
        3, _both((25, 25)), _both((45, 35)), _both((14, 14)), _both((8, 14)), 0.6,
        pitch=(4, 12), bend=(2, 13), planted=(False, False), arms=(("free", 0.4),),
    ),
    "bending": Stance(
        4.5, _both((3, 8)), _both((18, 17)), _both((9, 8)), _both((7, 10)), 0.7,
        pitch=(52, 20), bend=(36, 19), side=(0, 8), twist=(0, 14),
        arms=(("dangling", 0.45),), balanced=True,
    ),
    "all_fours": Stance(
        1.5, _both((4, 15)), _both((92, 12)), _both((6, 6)), _both((0, 9)), 0.5,
        pitch=(82, 9), bend=(2, 12), planted=(False, False), arms=(("propped", 0.85),),
    ),
    "plank": Stance(
        1, _both((-72, 7)), _both((8, 8)), _both((5, 6)), _both((4, 8)), 0.7,
        pitch=(74, 7), bend=(0, 8), planted=(False, False), arms=(("propped", 0.9),),
    ),
    "lying": Stance(
        3.5, ((28, 30), (15, 20)), ((42, 36), (25, 26)), _both((8, 10)), _both((7, 15)), 0.4,
        pitch=(0, 0), bend=(4, 12), side=(0, 8), twist=(0, 14), planted=(False, False),
    ),
    "any": Stance(
        4, _both((40, 45)), _both((60, 42)), _both((14, 18)), _both((10, 20)), 0.3,
        pitch=(8, 22), roll=(0, 8), bend=(6, 18), side=(0, 12), twist=(0, 18),
        planted=(False, False), arms=(("free", 0.6),),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ArmAngles:
    """An arm position given by its angles."""

    weight: float
    flexion: Spread
    abduction: Spread
    rotation: Spread = (0, 18)
    elbow: Spread = (15, 12)
    pronation: Spread = (10, 25)
    both: float = 0.6  # probability that the other arm does the same


@dataclass(frozen=True)
class ArmTarget:
    """An arm position given by where the wrist is, relative to a joint and turning with it."""

    weight: float
    joint: str  # of the same side where it has sides
    x: Spread  # outward, metres
    y: Spread  # up
    z: Spread  # forward
    elbow_towards: tuple[float, float, float] = (
        0.45,
        -0.8,
        -0.35,
    )  # out, up, forward, of the chest
    swivel: float = (
        15  # standard deviation of the elbow's turn about the line to the wrist, degrees
    )
    pronation: Spread = (15, 30)
    both: float = 0.5
    partner: str = ""  # what the other arm then does; empty: the same


ARMS = {
    "hanging": ArmAngles(28, (2, 10), (11, 6), (5, 18), (16, 11), both=0.85),
    "away": ArmAngles(9, (6, 20), (32, 13), (3, 22), (25, 20), (12, 30)),
    "t_pose": ArmAngles(4, (4, 12), (88, 12), (5, 20), (12, 14), (10, 25), both=0.8),
    "raised": ArmAngles(6, (55, 35), (110, 25), (-15, 30), (30, 28), (0, 35), both=0.7),
    "overhead": ArmAngles(4, (120, 25), (85, 25), (-10, 30), (30, 27), (0, 35), both=0.8),
    "forward": ArmAngles(5, (78, 20), (14, 16), (5, 22), (22, 20), (25, 35), both=0.65),
    "bent": ArmAngles(7, (15, 22), (20, 13), (12, 28), (88, 24), (0, 40), both=0.6),
    "waving": ArmAngles(3, (30, 22), (80, 22), (-70, 18), (80, 28), (10, 30), both=0.15),
    "behind": ArmAngles(3, (-35, 12), (16, 10), (8, 20), (25, 22), both=0.6),
    "free": ArmAngles(7, (45, 50), (50, 40), (0, 40), (50, 38), (5, 40), both=0.3),
    "dangling": ArmAngles(0, (65, 25), (10, 12), (0, 20), (18, 16), (10, 30), both=0.8),
    "propped": ArmAngles(0, (85, 10), (12, 10), (8, 15), (12, 12), (40, 20), both=0.95),
    "swing": ArmAngles(0, (0, 6), (9, 4), (5, 12), (18, 11), (10, 20), both=1.0),
    "run_swing": ArmAngles(0, (0, 8), (14, 7), (20, 15), (88, 16), (0, 25), both=1.0),
    "hand_on_hip": ArmTarget(
        8, "pelvis", (0.225, 0.012), (0.11, 0.025), (-0.02, 0.03),
        (1.0, 0.0, -0.35), 12, (20, 30), 0.55
    ),
    "pocket": ArmTarget(
        4, "pelvis", (0.215, 0.015), (0.0, 0.03), (0.03, 0.03), (0.8, 0.0, -0.8), 15, (10, 20), 0.6
    ),
    "crossed": ArmTarget(
        4, "spine3", (-0.035, 0.03), (0.06, 0.025), (0.27, 0.02),
        (0.9, -0.6, 0.15), 8, (20, 20), 1.0, "crossed_under",
    ),
    "crossed_under": ArmTarget(
        0, "spine3", (-0.035, 0.03), (-0.05, 0.025), (0.20, 0.02),
        (0.9, -0.7, 0.1), 8, (20, 20), 1.0
    ),
    "clasped": ArmTarget(
        4, "pelvis", (0.085, 0.015), (0.03, 0.07), (0.20, 0.03),
        (0.8, -0.3, -0.5), 12, (30, 20), 1.0
    ),
    "behind_back": ArmTarget(
        3, "spine1", (0.07, 0.04), (0.0, 0.06), (-0.17, 0.015), (1.0, 0.0, -0.4), 12, (40, 20), 0.7
    ),
    "behind_head": ArmTarget(
        3, "head", (0.15, 0.02), (0.11, 0.05), (-0.04, 0.03), (1.0, 0.5, 0.4), 12, (20, 25), 0.75
    ),
    "on_face": ArmTarget(
        4, "head", (0.07, 0.03), (-0.04, 0.04), (0.18, 0.03), (0.45, -0.9, 0.2), 18, (0, 35), 0.2
    ),
    "on_ear": ArmTarget(
        3, "head", (0.15, 0.02), (0.02, 0.03), (0.09, 0.03), (0.8, -0.6, 0.2), 15, (0, 25), 0.1
    ),
    "looking_at_phone": ArmTarget(
        4, "spine3", (0.06, 0.05), (0.05, 0.08), (0.33, 0.05), (0.4, -0.9, -0.1), 15, (-20, 30), 0.5
    ),
    "holding": ArmTarget(
        5, "spine3", (0.12, 0.06), (-0.08, 0.12), (0.34, 0.07), (0.6, -0.8, -0.2), 15, (0, 30), 1.0
    ),
    "on_chest": ArmTarget(
        2, "spine3", (0.0, 0.06), (0.0, 0.06), (0.20, 0.02), (0.7, -0.7, 0.0), 15, (15, 25), 0.1
    ),
    "on_thigh": ArmTarget(
        1, "hip", (0.02, 0.04), (-0.22, 0.08), (0.14, 0.015), (0.9, -0.3, -0.4), 15, (35, 25), 0.75
    ),
    "on_shin": ArmTarget(
        0, "knee", (0.0, 0.05), (-0.15, 0.12), (0.12, 0.03), (0.6, 0.0, -0.3), 15, (25, 30), 0.8
    ),
    "reaching": ArmTarget(
        9, "spine3", (0.30, 0.22), (0.05, 0.32), (0.22, 0.20), (0.5, -0.8, -0.3), 25, (10, 40), 0.25
    ),
}  # fmt: skip
USUAL_ARMS = tuple(name for name, arm in ARMS.items() if arm.weight > 0)
SIDED_JOINTS = ("hip", "knee")

HEAD_PITCH, HEAD_SIDE, HEAD_YAW = (6, 17), (0, 10), (0, 26)  # degrees; pitch down, yaw to the left
LOOKING_DOWN = {"looking_at_phone": 20.0, "on_thigh": 6.0, "holding": 8.0}
