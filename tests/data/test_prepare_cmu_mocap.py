"""The ASF/AMC reader against kinematics done by hand, and the rest-pose conversion by geometry."""

import numpy as np
import pytest

from data.pose_dataset import load_poses
from data.pose_tools import JOINT, global_from_local, joint_positions, to_axis_angle
from data.prepare_cmu_mocap import (
    Options,
    bone_ends,
    bone_rotations,
    broken_frames,
    distinct_frames,
    main,
    read_amc,
    read_asf,
    smpl_rotations,
)
from utils.errors import InputError

HEADER = """# comment
:version 1.10
:name VICON
:units
  mass 1.0
  length {length}
  angle deg
:documentation
   free text
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
"""
BONE = """  begin
     id {number}
     name {name}
     direction {direction}
     length {length}
     axis {axis} XYZ
{dof}  end
"""


def asf_text(bones, units=0.0254) -> str:
    """`bones`: (name, parent, direction, length, axis, dof); a unit is 1 m when units = 0.0254."""
    text = HEADER.format(length=units)
    for number, (name, _, direction, length, axis, dof) in enumerate(bones, 1):
        limits = "    limits (-160.0 20.0)\n" if dof else ""
        line = f"    dof {dof}\n{limits}" if dof else ""
        text += BONE.format(
            number=number, name=name, direction=direction, length=length, axis=axis, dof=line
        )
    text += ":hierarchy\n  begin\n"
    for parent in dict.fromkeys(bone[1] for bone in bones):
        children = " ".join(bone[0] for bone in bones if bone[1] == parent)
        text += f"    {parent} {children}\n"
    return text + "  end\n"


def amc_text(*frames: dict[str, str]) -> str:
    text = "#!OML:ASF test\n:FULLY-SPECIFIED\n:DEGREES\n"
    for number, frame in enumerate(frames, 1):
        text += f"{number}\n" + "".join(f"{name} {line}\n" for name, line in frame.items())
    return text


TINY = (
    ("upper", "root", "1 0 0", 2, "0 0 90", "rx"),
    ("lower", "upper", "0 1 0", 1, "0 0 0", ""),
)
CMU_BONES = (
    ("lhipjoint", "root", "0.66 -0.71 0.25", 0.1, "0 0 0", ""),
    ("rhipjoint", "root", "-0.66 -0.71 0.25", 0.1, "0 0 0", ""),
    ("lowerback", "root", "0 1 0", 0.1, "0 0 0", "rx ry rz"),
    ("lfemur", "lhipjoint", "0.34202 -0.939693 0", 0.4, "0 0 20", "rx ry rz"),
    ("rfemur", "rhipjoint", "-0.34202 -0.939693 0", 0.4, "0 0 -20", "rx ry rz"),
    ("ltibia", "lfemur", "0.34202 -0.939693 0", 0.4, "0 0 20", "rx"),
    ("rtibia", "rfemur", "-0.34202 -0.939693 0", 0.4, "0 0 -20", "rx"),
    ("lfoot", "ltibia", "0.0886 -0.2434 0.9659", 0.13, "-90 0 20", "rx rz"),
    ("rfoot", "rtibia", "-0.0886 -0.2434 0.9659", 0.13, "-90 0 -20", "rx rz"),
    ("ltoes", "lfoot", "0 0 1", 0.06, "-90 0 20", "rx"),
    ("rtoes", "rfoot", "0 0 1", 0.06, "-90 0 -20", "rx"),
    ("upperback", "lowerback", "0 1 0", 0.1, "0 0 0", "rx ry rz"),
    ("thorax", "upperback", "0 1 0", 0.1, "0 0 0", "rx ry rz"),
    ("lowerneck", "thorax", "0 1 0", 0.1, "0 0 0", "rx ry rz"),
    ("lclavicle", "thorax", "0.97 0.24 0", 0.15, "0 0 0", "ry rz"),
    ("rclavicle", "thorax", "-0.97 0.24 0", 0.15, "0 0 0", "ry rz"),
    ("upperneck", "lowerneck", "0 1 0", 0.1, "0 0 0", "rx ry rz"),
    ("head", "upperneck", "0 1 0", 0.1, "0 0 0", "rx ry rz"),
    ("lhumerus", "lclavicle", "1 0 0", 0.3, "180 -30 -90", "rx ry rz"),
    ("rhumerus", "rclavicle", "-1 0 0", 0.3, "180 30 90", "rx ry rz"),
    ("lradius", "lhumerus", "1 0 0", 0.25, "180 -30 -90", "rx"),
    ("rradius", "rhumerus", "-1 0 0", 0.25, "180 30 90", "rx"),
    ("lwrist", "lradius", "1 0 0", 0.1, "0 90 90", "ry"),
    ("rwrist", "rradius", "-1 0 0", 0.1, "0 -90 -90", "ry"),
    ("lhand", "lwrist", "1 0 0", 0.05, "0 90 90", "rx rz"),
    ("rhand", "rwrist", "-1 0 0", 0.05, "0 -90 -90", "rx rz"),
)


def write_cmu(folder, *frames: dict[str, str]):
    """A skeleton laid out like CMU's, and a motion; angles not given are zero."""
    zero = {name: " ".join("0" * len(dof.split())) for name, *_, dof in CMU_BONES if dof}
    zero["root"] = "0 0 0 0 0 0"
    (folder / "07.asf").write_text(asf_text(CMU_BONES))
    (folder / "07_01.amc").write_text(amc_text(*(zero | frame for frame in frames)))
    return folder / "07.asf", folder / "07_01.amc"


def convert(folder, frame: dict[str, str]) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """SMPL rotations (24, 3, 3), joints (24, 3), and the source's bone ends of one frame."""
    skeleton_file, motion_file = write_cmu(folder, frame)
    skeleton = read_asf(skeleton_file)
    world = bone_rotations(skeleton, read_amc(motion_file, skeleton)[1])
    local = smpl_rotations(skeleton, world)
    ends = {name: end[0] for name, end in bone_ends(skeleton, world).items()}
    return local[0], joint_positions(global_from_local(local))[0], ends


def angle_between(first: np.ndarray, second: np.ndarray) -> float:
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def test_kinematics_by_hand(tmp_path):
    (tmp_path / "t.asf").write_text(asf_text(TINY))
    (tmp_path / "t_1.amc").write_text(amc_text({"root": "9 9 9 0 0 90", "upper": "90"}))
    skeleton = read_asf(tmp_path / "t.asf")
    frames, values = read_amc(tmp_path / "t_1.amc", skeleton)
    ends = bone_ends(skeleton, bone_rotations(skeleton, values))
    assert list(frames) == [1]
    # The bone's own x axis is Rz(90) x = y. Turning (2, 0, 0) by 90 about y gives (0, 0, -2); the
    # child's (0, 1, 0) stays: (0, 1, -2). The root's 90 about z turns that into (-1, 0, -2).
    np.testing.assert_allclose(ends["upper"][0], (0, 0, -2), atol=1e-12)
    np.testing.assert_allclose(ends["lower"][0], (-1, 0, -2), atol=1e-12)


def test_euler_angles_turn_about_x_first(tmp_path):
    bones = (("a", "root", "0 1 0", 1, "0 0 0", "rx ry rz"),)
    (tmp_path / "t.asf").write_text(asf_text(bones))
    (tmp_path / "t_1.amc").write_text(amc_text({"root": "0 0 0 0 0 0", "a": "90 90 0"}))
    skeleton = read_asf(tmp_path / "t.asf")
    ends = bone_ends(
        skeleton, bone_rotations(skeleton, read_amc(tmp_path / "t_1.amc", skeleton)[1])
    )
    # x first: (0, 1, 0) to (0, 0, 1); then y: to (1, 0, 0). The other order would give (0, 0, 1).
    np.testing.assert_allclose(ends["a"][0], (1, 0, 0), atol=1e-12)


def test_lengths_are_inches_by_the_scale_of_the_file(tmp_path):
    (tmp_path / "t.asf").write_text(asf_text(TINY, units=0.45))
    assert read_asf(tmp_path / "t.asf").metres_per_unit == pytest.approx(0.0254 / 0.45)


def test_every_nth_frame(tmp_path):
    (tmp_path / "t.asf").write_text(asf_text(TINY))
    frames = [{"root": "0 0 0 0 0 0", "upper": str(10 * k)} for k in range(7)]
    (tmp_path / "t_1.amc").write_text(amc_text(*frames))
    numbers, values = read_amc(tmp_path / "t_1.amc", read_asf(tmp_path / "t.asf"), step=3)
    assert list(numbers) == [1, 4, 7]
    assert list(values["upper"][:, 0]) == [0, 30, 60]


def test_t_like_frame_gives_a_t_pose(tmp_path):
    # The legs of the rest pose stand 20 degrees out; brought together, nothing is left to turn
    # but the lines along which the two skeletons draw their legs and the elbow hinge.
    local, joints, _ = convert(tmp_path, {"lfemur": "0 0 -20", "rfemur": "0 0 20"})
    angles = np.degrees(np.linalg.norm(to_axis_angle(local), axis=-1))
    assert angles[JOINT["pelvis"]] == pytest.approx(0, abs=1e-6)
    assert angles[[JOINT[f"spine{k}"] for k in (1, 2, 3)]].max() < 1e-6
    legs = [JOINT[f"{side}_{name}"] for side in ("left", "right") for name in ("hip", "knee")]
    assert angles[legs].max() < 8
    for side, sign in (("left", 1), ("right", -1)):
        arm = joints[JOINT[f"{side}_wrist"]] - joints[JOINT[f"{side}_shoulder"]]
        assert angle_between(arm, np.array([sign, 0, 0])) < 0.01
        leg = joints[JOINT[f"{side}_ankle"]] - joints[JOINT[f"{side}_hip"]]
        assert angle_between(leg, np.array([0, -1, 0])) < 0.1
        world = global_from_local(local[None])[0]
        sole = world[JOINT[f"{side}_ankle"]] @ (0, 1, 0)
        assert angle_between(sole, np.array([0, 1, 0])) < 0.01
        palm = world[JOINT[f"{side}_wrist"]] @ (0, -1, 0)
        assert angle_between(palm, np.array([0, -1, 0])) < 0.01


def test_hinges_stay_hinges(tmp_path):
    local, _, _ = convert(tmp_path, {"ltibia": "70", "rradius": "90", "lradius": "40"})
    knee = to_axis_angle(local[JOINT["left_knee"]])
    # At rest SMPL's shank points back by 6.0 degrees and its thigh by 1.5: the knee is bent by 4.5.
    assert np.degrees(knee[0]) == pytest.approx(70 - 4.5, abs=0.1)
    np.testing.assert_allclose(knee[1:], 0, atol=0.05)  # the legs' lines differ by 1.4 degrees
    for side, degrees in (("right", 90), ("left", 40)):
        forearm = local[JOINT[f"{side}_elbow"]][:, 0]
        assert forearm[1] == pytest.approx(0, abs=1e-9)  # SMPL's elbow turns about y
        assert np.degrees(np.arccos(forearm[0])) == pytest.approx(degrees)


def test_bone_directions_follow_the_source(tmp_path):
    rng = np.random.default_rng(0)
    bones = (
        ("left_shoulder", "left_elbow", "lclavicle", "lhumerus", 0.1),
        ("right_elbow", "right_wrist", "rhumerus", "rradius", 0.1),
        ("left_wrist", "left_hand", "lwrist", "lhand", 0.1),
        ("left_hip", "left_knee", "lhipjoint", "lfemur", 4),
        ("right_knee", "right_ankle", "rfemur", "rtibia", 4),
        ("right_ankle", "right_foot", "rtibia", "rfoot", 9),
        ("left_hip", "left_ankle", "lhipjoint", "ltibia", 2),
    )
    for _ in range(5):
        frame = {
            name: " ".join(f"{value:.3f}" for value in rng.uniform(-40, 40, len(dof.split())))
            for name, *_, dof in CMU_BONES
            if dof and "clavicle" not in name
        }
        frame["root"] = "0 0 0 " + " ".join(map(str, rng.uniform(-90, 90, 3)))
        frame |= {"ltibia": "5"}  # nearly straight, so that hip to ankle has a direction
        _, joints, ends = convert(tmp_path, frame)
        for start, end, near, far, tolerance in bones:
            ours = joints[JOINT[end]] - joints[JOINT[start]]
            assert angle_between(ours, ends[far] - ends[near]) < tolerance, (start, end)


def test_near_duplicates_and_broken_frames():
    poses = np.zeros((5, 24, 3))
    poses[:, 4, 0] = np.radians([0, 1, 2, 4, 5])  # 3 degrees from the last kept one: 0, 4
    np.testing.assert_array_equal(distinct_frames(poses, np.radians(3)), [0, 3])
    poses[2, JOINT["left_ankle"], 2] = np.radians(150)
    np.testing.assert_array_equal(np.flatnonzero(broken_frames(poses)), [2])


def test_folder_to_npz_split_by_sequence(tmp_path):
    source = tmp_path / "07"
    source.mkdir()
    frames = [{"lradius": str(5 * k), "root": "0 0 0 0 120 0"} for k in range(16)]
    write_cmu(source, *frames)
    (source / "07_02.amc").write_text((source / "07_01.amc").read_text())
    outputs = tmp_path / "train.npz", tmp_path / "val.npz"
    options = Options(tmp_path, *outputs, val_share=0.5, mirror=True)
    main(options)
    train, val = (load_poses(path) for path in outputs)  # in the camera frame, or it would refuse
    assert len(train) == len(val) == 4  # frames 1 and 9, and their mirror images
    assert {name[:5] for name in train.fnames} | {name[:5] for name in val.fnames} == {
        "07_01",
        "07_02",
    }
    assert {name[:5] for name in train.fnames} != {name[:5] for name in val.fnames}
    first = train.poses.copy()
    main(options)
    np.testing.assert_array_equal(load_poses(outputs[0]).poses, first)


def test_bad_input_is_one_line(tmp_path):
    out = tmp_path / "out.npz"

    def refusal(options: Options) -> str:
        with pytest.raises(InputError) as caught:
            main(options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such folder" in refusal(Options(tmp_path / "none", out))
    assert "no .amc" in refusal(Options(tmp_path, out))
    _, motion = write_cmu(tmp_path, {})
    assert "--val-share" in refusal(Options(tmp_path, out, val_output=tmp_path / "v.npz"))
    motion.write_text(motion.read_text().replace("lradius 0", "lradius 0 0"))
    assert "lradius has 2 values" in refusal(Options(tmp_path, out))
    motion.write_text(motion.read_text().replace("lradius 0 0", "lradius x"))
    assert "lradius x" in refusal(Options(tmp_path, out))
    motion.write_text(motion.read_text().replace("lradius x\n", ""))
    assert "0 lines for lradius" in refusal(Options(tmp_path, out))
    (tmp_path / "07.asf").write_text("nothing")
    assert "not an Acclaim skeleton" in refusal(Options(tmp_path, out))
    (tmp_path / "07.asf").unlink()
    assert "07.asf is not beside it" in refusal(Options(tmp_path, out))
