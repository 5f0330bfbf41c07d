"""Joint and body-part names, and every index map between joint sets, built from the names.

The body model returns 90 joints: 24 skeleton joints and 21 picked vertices (the 45 joints of the
`smplx` package's SMPL layer), then 9 "extra", 19 "cocoplus" and 17 Human3.6M joints, each a linear
regression from the posed vertices.
"""

SMPL_JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle",
    "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar",
    "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
    "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
SMPL_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

# Vertices that `smplx` picks, in the order in which it appends them to the skeleton joints.
PICKED_JOINTS = (
    "nose", "right_eye", "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe",
    "left_heel", "right_big_toe", "right_small_toe", "right_heel", "left_thumb", "left_index",
    "left_middle", "left_ring", "left_pinky", "right_thumb", "right_index", "right_middle",
    "right_ring", "right_pinky",
)  # fmt: skip
# The same vertices by the short names that `smplx` gives them in its `vertex_ids` argument.
PICKED_SMPLX_NAMES = (
    "nose", "reye", "leye", "rear", "lear", "LBigToe", "LSmallToe", "LHeel", "RBigToe",
    "RSmallToe", "RHeel", "lthumb", "lindex", "lmiddle", "lring", "lpinky", "rthumb", "rindex",
    "rmiddle", "rring", "rpinky",
)  # fmt: skip

EXTRA_JOINTS = (
    "extra_right_hip", "extra_left_hip", "extra_neck", "extra_head_top", "extra_pelvis",
    "extra_thorax", "extra_spine", "extra_jaw", "extra_head",
)  # fmt: skip
COCOPLUS_JOINTS = tuple(
    f"cocoplus_{name}"
    for name in (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow",
        "left_wrist", "neck", "head_top", "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    )
)  # fmt: skip
H36M_JOINTS = tuple(
    f"h36m_{name}"
    for name in (
        "pelvis", "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle",
        "spine", "neck", "jaw", "head_top", "left_shoulder", "left_elbow", "left_wrist",
        "right_shoulder", "right_elbow", "right_wrist",
    )
)  # fmt: skip
BODY_MODEL_JOINTS = SMPL_JOINTS + PICKED_JOINTS + EXTRA_JOINTS + COCOPLUS_JOINTS + H36M_JOINTS

COCO17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
LSP14 = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
    "neck", "head_top",
)  # fmt: skip

# Limbs to draw between COCO joints, by name.
COCO17_LIMBS = (
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    ("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
)  # fmt: skip

PARTS = ("background", "left_arm", "right_arm", "head", "left_leg", "right_leg", "torso")


def indices_of(names: tuple[str, ...], among: tuple[str, ...]) -> tuple[int, ...]:
    """Positions of `names` in `among`; raises ValueError for a name that is not there."""
    return tuple(among.index(name) for name in names)


def mirrored(name: str) -> str:
    """The joint or part name on the other side of the body; midline names are their own mirror."""
    if "left_" in name:
        return name.replace("left_", "right_")
    return name.replace("right_", "left_")


COCO17_IN_90 = indices_of(COCO17, BODY_MODEL_JOINTS)
LSP14_IN_90 = indices_of(tuple(f"h36m_{name}" for name in LSP14), BODY_MODEL_JOINTS)
COCO17_LIMB_INDICES = tuple(indices_of(limb, COCO17) for limb in COCO17_LIMBS)

SMPL_SWAP = indices_of(tuple(map(mirrored, SMPL_JOINTS)), SMPL_JOINTS)
COCO17_SWAP = indices_of(tuple(map(mirrored, COCO17)), COCO17)
PARTS_SWAP = indices_of(tuple(map(mirrored, PARTS)), PARTS)
