"""The ASF/AMC reader against kinematics done by hand, and the rest-pose conversion by geometry."""

from dataclasses import replace

import numpy as np
import pytest

from data.pose_dataset import load_poses
from tests.mocap_files import (
    CMU_BONES,
    CMU_PARENTS,
    amc_text,
    animated_glb,
    asf_text,
    bvh_text,
    write_cmu,
)
from tools.mocap_conversion import (
    NAMINGS,
    broken_frames,
    convert_recording,
    convert_rotations,
    distinct_frames,
)
from tools.pose_tools import JOINT, global_from_local, place_joints, to_axis_angle
from tools.prepare_mocap import Options, main
from tools.read_acclaim import bone_ends, bone_rotations, read_acclaim, read_amc, read_asf
from tools.read_bvh import read_bvh
from tools.read_gltf import read_glb
from utils.errors import InputError

TINY = (
    ("upper", "root", "1 0 0", 2, "0 0 90", "rx"),
    ("lower", "upper", "0 1 0", 1, "0 0 0", ""),
)


def convert(folder, frame: dict[str, str]) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """SMPL rotations (24, 3, 3), joints (24, 3), and the source's bone ends of one frame."""
    motion_file = write_cmu(folder, frame)
    recording = read_acclaim(motion_file, fps=15, source_fps=120)
    local = convert_rotations(recording)
    skeleton = read_asf(folder / "07.asf")
    ends = {name: end[0] for name, end in bone_ends(skeleton, recording.rotations).items()}
    return local[0], place_joints(global_from_local(local))[0], ends


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


def random_frame(rng: np.random.Generator) -> dict[str, str]:
    frame = {
        name: " ".join(f"{value:.3f}" for value in rng.uniform(-40, 40, len(dof.split())))
        for name, *_, dof in CMU_BONES
        if dof
    }
    frame["root"] = "0 0 0 " + " ".join(map(str, rng.uniform(-90, 90, 3)))
    return frame | {"lradius": "70", "rradius": "35"}  # elbows that show their hinges


@pytest.mark.parametrize("extension", ["bvh", "glb"])
def test_other_files_give_the_poses_of_the_same_motion_in_asf_and_amc(tmp_path, extension):
    rng = np.random.default_rng(0)
    motion = write_cmu(tmp_path, *(random_frame(rng) for _ in range(4)))
    recording = read_acclaim(motion, fps=15, source_fps=15)
    naming = NAMINGS[1 if extension == "bvh" else 2]
    renamed = {bone: naming[joint] for joint, bone in NAMINGS[0].items()}
    parents, starts, rotations = (
        {renamed.get(name, name): each[name] for name in CMU_PARENTS}
        for each in (CMU_PARENTS, recording.starts, recording.rotations)
    )
    parents = {name: renamed.get(above, above) for name, above in parents.items()}
    path = tmp_path / f"test.{extension}"
    if extension == "bvh":
        path.write_text(bvh_text(parents, starts, rotations, 1 / 15))
        other = read_bvh(path, fps=15)
    else:
        path.write_bytes(animated_glb(parents, starts, rotations, 1 / 15))
        (other,) = read_glb(path, fps=15)
    np.testing.assert_allclose(convert_rotations(other), convert_rotations(recording), atol=1e-5)


def test_arms_of_an_a_pose_at_rest_become_smpls(tmp_path):
    # The skeleton that rests with its arms 45 degrees down, raised by 45 about z: a T-pose.
    recording = read_acclaim(write_cmu(tmp_path, {}), fps=15, source_fps=120)
    down = {}
    for sign, side in ((1, "l"), (-1, "r")):
        shoulder = recording.starts[f"{side}humerus"]
        for bone in ("humerus", "radius", "hand"):
            reach = abs(recording.starts[side + bone][0] - shoulder[0]) / np.sqrt(2)
            down[side + bone] = shoulder + np.array([sign * reach, -reach, 0])
            angle = -sign * np.pi / 4
            turn = [
                [np.cos(angle), np.sin(angle), 0],
                [-np.sin(angle), np.cos(angle), 0],
                [0, 0, 1],
            ]
            recording.rotations[side + bone] = np.array([turn])
    a_pose = replace(recording, starts=recording.starts | down, hinges={})
    world = global_from_local(convert_rotations(a_pose))[0]
    for joint in ("shoulder", "elbow", "wrist"):
        for side in ("left", "right"):
            np.testing.assert_allclose(world[JOINT[f"{side}_{joint}"]], np.eye(3), atol=1e-9)


def test_other_rest_poses_and_bones_are_refused(tmp_path):
    recording = read_acclaim(write_cmu(tmp_path, {}), fps=15, source_fps=120)
    z_up = {name: start[[0, 2, 1]] * (1, -1, 1) for name, start in recording.starts.items()}
    with pytest.raises(InputError, match=r"07_01: in the rest pose .* stands upright along y"):
        convert_rotations(replace(recording, starts=z_up))
    recording.rotations["lfoot"][0, 0, 0] = np.nan
    with pytest.raises(InputError, match="07_01: it has values that are not finite"):
        convert_recording(recording, min_change=3)
    del recording.rotations["lfoot"]
    with pytest.raises(InputError, match="07_01: the skeleton has no bones lfoot;"):
        convert_rotations(recording)


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


def test_motions_without_a_sound_frame_are_left_out(tmp_path):
    motion = write_cmu(tmp_path, {})
    broken = motion.read_text().replace("lfoot 0 0", "lfoot 150 0")
    (tmp_path / "07_02.amc").write_text(broken)
    options = Options(tmp_path, tmp_path / "out.npz")
    main(options)
    assert list(load_poses(options.output).fnames) == ["07_01_f00001_v0"]
    motion.write_text(broken)
    with pytest.raises(InputError, match="in every frame"):
        main(options)


def test_bad_input_is_one_line(tmp_path):
    out = tmp_path / "out.npz"

    def refusal(options: Options) -> str:
        with pytest.raises(InputError) as caught:
            main(options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such folder" in refusal(Options(tmp_path / "none", out))
    assert "no .amc, .bvh or .glb file" in refusal(Options(tmp_path, out))
    motion = write_cmu(tmp_path, {})
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
