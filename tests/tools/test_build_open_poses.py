"""Conversion of DeepMimic clips: rest pose, hinges, axes and sides, by geometry."""

import json

import numpy as np
import pytest

from data.pose_dataset import load_poses
from tests.mocap_files import animated_glb
from tools.build_open_poses import (
    CC0,
    CC0_FPS,
    CLIP_WIDTH,
    FLOOR_CLIPS,
    Options,
    convert_clip,
    draw_named_samples,
    main,
    read_clip,
)
from tools.mocap_conversion import NAMINGS
from tools.pose_tools import (
    JOINT,
    REST_JOINTS,
    global_from_local,
    place_joints,
    rotate_about,
    round_poses,
)
from utils.errors import InputError
from utils.paths import OPEN_POSES_TRAIN, OPEN_POSES_VAL

QUATERNIONS = (4, 8, 12, 16, 21, 25, 30, 35, 39)  # where w, x, y, z begin in a frame
RIGHT_KNEE, RIGHT_ELBOW, LEFT_KNEE, LEFT_ELBOW = 20, 29, 34, 43


def rest_frame() -> np.ndarray:
    frame = np.zeros(CLIP_WIDTH)
    frame[list(QUATERNIONS)] = 1.0
    return frame


def posed(tmp_path, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (24, 3) and global orientations (24, 3, 3) of one frame, body frame."""
    path = tmp_path / "humanoid3d_test.txt"
    path.write_text(json.dumps({"Loop": "none", "Frames": [frame.tolist()]}))
    world = global_from_local(convert_clip(read_clip(path)))
    return place_joints(world)[0], world[0]


def direction(joints: np.ndarray, start: str, end: str) -> np.ndarray:
    bone = joints[JOINT[end]] - joints[JOINT[start]]
    return bone / np.linalg.norm(bone)


@pytest.mark.parametrize("side", ["left", "right"])
def test_rest_pose_hangs_arms_and_legs(tmp_path, side):
    joints, world = posed(tmp_path, rest_frame())
    down = np.array([0.0, -1.0, 0.0])
    for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "ankle")):
        bone = direction(joints, f"{side}_{start}", f"{side}_{end}")
        np.testing.assert_allclose(bone, down, atol=2e-3)
    np.testing.assert_allclose(world[JOINT[f"{side}_ankle"]] @ (0, 1, 0), (0, 1, 0), atol=1e-12)
    toes = direction(joints, f"{side}_ankle", f"{side}_foot")
    assert toes[2] > 0.9  # feet point forward
    # Palms (down in the T-pose) face the thighs.
    palm = world[JOINT[f"{side}_wrist"]] @ (0, -1, 0)
    np.testing.assert_allclose(palm, (-1 if side == "left" else 1, 0, 0), atol=1e-12)


def test_elbows_bend_forward_and_knees_backward(tmp_path):
    frame = rest_frame()
    frame[[RIGHT_ELBOW, LEFT_ELBOW]] = np.pi / 2
    frame[LEFT_KNEE] = -np.pi / 2
    joints, _ = posed(tmp_path, frame)
    for side in ("left", "right"):
        forearm = direction(joints, f"{side}_elbow", f"{side}_wrist")
        np.testing.assert_allclose(forearm, (0, 0, 1), atol=1e-9)
    assert direction(joints, "left_knee", "left_ankle")[2] < -0.99
    assert direction(joints, "right_knee", "right_ankle")[1] < -0.99  # the other one did not


def test_heading_and_sides(tmp_path):
    frame = rest_frame()
    half = np.pi / 4
    frame[4:8] = (np.cos(half), 0, np.sin(half), 0)  # a quarter turn to the left about y
    joints, world = posed(tmp_path, frame)
    np.testing.assert_allclose(world[0] @ (0, 0, 1), (1, 0, 0), atol=1e-9)
    frame = rest_frame()
    # The left arm a quarter turn about the clips' forward axis: up sideways, to the left.
    frame[39:43] = (np.cos(half), -np.sin(half), 0, 0)
    joints, _ = posed(tmp_path, frame)
    outward = direction(joints, "left_shoulder", "left_elbow")
    # about x (forward) by -90: down (0, -1, 0) to (0, 0, 1), which is the clips' right
    np.testing.assert_allclose(outward, (-1, 0, 0), atol=1e-9)


def test_trunk_and_neck_are_shared_out(tmp_path):
    frame = rest_frame()
    half = np.radians(30) / 2
    frame[8:12] = (np.cos(half), 0, 0, -np.sin(half))  # chest 30 degrees forward about z
    frame[12:16] = (np.cos(half), 0, 0, -np.sin(half))  # and the neck as much again
    _, world = posed(tmp_path, frame)
    pitch = [
        np.degrees(np.arctan2(*(world[JOINT[name]] @ (0, 1, 0))[[2, 1]]))
        for name in ("spine1", "spine2", "spine3", "neck", "head")
    ]
    np.testing.assert_allclose(pitch, (10, 20, 30, 45, 60), atol=1e-9)


@pytest.mark.parametrize("text", ["", "{}", '{"Frames": [[1, 2, 3]]}', '{"Frames": "none"}'])
def test_broken_clip(tmp_path, text):
    path = tmp_path / "humanoid3d_test.txt"
    path.write_text(text)
    with pytest.raises(InputError, match="humanoid3d_test"):
        read_clip(path)


def test_build_is_deterministic_and_loads(tmp_path):
    rng = np.random.default_rng(0)
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("walk", "kick", FLOOR_CLIPS[0]):
        frames = np.tile(rest_frame(), (3, 1))
        frames[:, [RIGHT_ELBOW, LEFT_ELBOW]] = rng.uniform(0.3, 1, (3, 2))
        text = json.dumps({"Frames": frames.tolist()})
        (clips / f"humanoid3d_{name}.txt").write_text(text)
    for folder in ("a", "b"):
        main(Options(tmp_path / folder, clips, train_sampled=30, val_sampled=20))
    for split, sampled in (("train", 30), ("val", 20)):
        first = load_poses(tmp_path / "a" / f"open_poses_{split}.npz")
        again = load_poses(tmp_path / "b" / f"open_poses_{split}.npz")
        np.testing.assert_allclose(first.poses, again.poses, atol=1e-3)  # two steps
        assert np.char.startswith(first.fnames, "sampler/").sum() == sampled
        held_out = np.char.startswith(first.fnames, "clip/kick")
        assert held_out.any() == (split == "val")


def cc0_part(path) -> tuple[np.ndarray, np.ndarray]:
    """Names (M,) and poses (M, 72) of Mesh2Motion's clips."""
    data = load_poses(path)
    rows = np.char.startswith(data.fnames, CC0)
    return data.fnames[rows], data.poses[rows]


def write_clip(folder, count: int) -> None:
    """A .glb of `count` frames whose right forearm bends by 20 degrees a frame."""
    parents = dict(zip(NAMINGS[2].values(), [None, *["DEF-hips"] * 18], strict=True))
    starts = {bone: REST_JOINTS[JOINT[joint]] for joint, bone in NAMINGS[2].items()}
    still = np.broadcast_to(np.eye(3), (count, 3, 3))
    rotations = dict.fromkeys(parents, still)
    rotations["DEF-forearm.R"] = rotate_about("y", np.radians(20) * np.arange(count))
    (folder / "human.glb").write_bytes(animated_glb(parents, starts, rotations, 1 / CC0_FPS))


def test_cc0_clips_are_added_or_kept(tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("walk", "kick"):
        text = json.dumps({"Frames": np.tile(rest_frame(), (3, 1)).tolist()})
        (clips / f"humanoid3d_{name}.txt").write_text(text)
    few = {"clips": clips, "train_sampled": 5, "val_sampled": 5, "joint_noise": 0.0}
    main(Options(tmp_path / "kept", **few))
    for kept, committed in zip(
        cc0_part(tmp_path / "kept" / "open_poses_train.npz"),
        cc0_part(OPEN_POSES_TRAIN),
        strict=True,
    ):
        assert len(kept)
        np.testing.assert_array_equal(kept, committed)
    write_clip(tmp_path, count=2)
    main(Options(tmp_path / "added", **few, cc0_clips=tmp_path))
    names, poses = cc0_part(tmp_path / "added" / "open_poses_train.npz")
    assert list(names) == [f"{CC0}test_clip/{frame}" for frame in ("000", "001", "000m", "001m")]
    turn = poses.reshape(-1, 24, 3)[:, [JOINT["left_elbow"], JOINT["right_elbow"]]]
    expected = np.zeros((4, 2, 3))
    expected[1, 1, 1], expected[3, 0, 1] = np.radians(20), -np.radians(20)
    np.testing.assert_allclose(turn, expected, atol=1e-3)
    # What else there is does not depend on them.
    others = [
        load_poses(tmp_path / folder / "open_poses_train.npz") for folder in ("kept", "added")
    ]
    first, second = (each.poses[~np.char.startswith(each.fnames, CC0)] for each in others)
    np.testing.assert_array_equal(first, second)
    with pytest.raises(InputError, match=r"no \.glb file"):
        main(Options(tmp_path / "none", **few, cc0_clips=clips))


def test_committed_validation_poses_are_what_the_script_makes():
    options = Options(OPEN_POSES_VAL.parent)
    committed = load_poses(OPEN_POSES_VAL)
    sampled = np.char.startswith(committed.fnames, "sampler/")
    generator = np.random.default_rng((options.seed + 1, 1))
    names, poses = draw_named_samples(generator, options.val_sampled)
    np.testing.assert_array_equal(names, committed.fnames[sampled])
    # Without the roots, which cameras turned.
    made = round_poses(poses[:, 1:]).reshape(len(poses), -1)
    np.testing.assert_allclose(made, committed.poses[sampled, 3:], atol=1e-3)


def test_missing_clips(tmp_path):
    with pytest.raises(InputError, match="no humanoid3d"):
        main(Options(tmp_path, tmp_path))


def test_rounding_changes_poses_by_less_than_a_twentieth_of_a_degree():
    values = np.random.default_rng(0).uniform(-np.pi, np.pi, 1000)
    assert np.degrees(np.abs(round_poses(values) - values).max()) < 0.05
    assert round_poses(values).dtype == np.float32
