"""Rigged meshes: read back as a viewer reads them, and checked by Khronos' validator."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.body_model import BodyModel
from predict.rigged_mesh import Motion, Rig, compress_correctives, write_glb
from tests.glb_viewer import Glb
from utils.joints import SMPL_JOINTS, SMPL_PARENTS
from utils.rotations import axis_angle_to_rotmat

FRAMES = 12
VALIDATE = """
const validator = require("gltf-validator");
const bytes = new Uint8Array(require("fs").readFileSync(process.argv[1]));
validator.validateBytes(bytes).then(report => console.log(JSON.stringify(report.issues)));
"""


@pytest.fixture(scope="module")
def body_model() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def rig(body_model) -> Rig:
    return Rig.from_body_model(body_model)


@pytest.fixture(scope="module")
def motion() -> Motion:
    """Somebody who moves smoothly, and turns round more than once."""
    generator = torch.Generator().manual_seed(3)
    swing = torch.linspace(0, 3, FRAMES).sin()[:, None, None]
    axis_angle = 0.5 * torch.randn(24, 3, generator=generator) * swing
    axis_angle[:, 0] += torch.linspace(0, 9, FRAMES)[:, None] * torch.tensor([0.0, 1, 0.2])
    translations = torch.randn(FRAMES, 3, generator=generator)
    betas = torch.randn(10, generator=generator)
    rotmats = axis_angle_to_rotmat(axis_angle)
    return Motion(betas.numpy(), rotmats.numpy(), translations.numpy(), fps=25.0)


def _pose(body_model: BodyModel, motion: Motion) -> np.ndarray:
    """(T, V, 3) our vertices, y up."""
    betas = torch.from_numpy(motion.betas).expand(len(motion.pose_rotmats), 10)
    posed = body_model(betas, torch.from_numpy(motion.pose_rotmats)).vertices.numpy()
    return (posed + motion.translations[:, None]) * [1, -1, -1]


def _first(motion: Motion) -> Motion:
    return replace(
        motion, pose_rotmats=motion.pose_rotmats[5:6], translations=motion.translations[5:6]
    )


def _read(path: Path, *arguments: object) -> Glb:
    write_glb(path, *arguments)
    return Glb.read(path)


def test_a_viewer_shows_our_vertices(tmp_path, body_model, rig, motion):
    """To 0.1 mm, pose correctives and all, as it is opened and in its animation."""
    one = _first(motion)
    glb = _read(tmp_path / "a.glb", rig, one)
    (expected,) = _pose(body_model, one)
    np.testing.assert_allclose(glb.vertices(), expected, atol=1e-4)
    np.testing.assert_allclose(glb.vertices(frame=0), expected, atol=1e-4)
    # The correctives do matter: without their target centimetres are missing.
    glb.content["meshes"][0]["weights"] = [0.0]
    assert np.abs(glb.vertices() - expected).max() > 5e-3


def test_a_clip_moves_as_ours_does(tmp_path, body_model, rig, motion):
    glb, expected = _read(tmp_path / "a.glb", rig, motion), _pose(body_model, motion)
    # Smooth motion has few components: here all that matter are kept.
    for frame in range(FRAMES):
        np.testing.assert_allclose(glb.vertices(frame), expected[frame], atol=1e-3)
    np.testing.assert_allclose(glb.vertices(), expected[0], atol=1e-3)
    (animation,) = glb.content["animations"]
    seconds = glb.array(animation["samplers"][0]["input"])
    np.testing.assert_allclose(seconds[:, 0], np.arange(FRAMES) / 25, rtol=1e-6)


def test_rotations_take_the_short_way(tmp_path, rig, motion):
    """Where somebody turns round, quaternions change their sign nowhere."""
    glb = _read(tmp_path / "a.glb", rig, motion)
    (animation,) = glb.content["animations"]
    turns = [
        glb.array(animation["samplers"][channel["sampler"]]["output"])
        for channel in animation["channels"]
        if channel["target"]["path"] == "rotation"
    ]
    for turn in turns:
        assert ((turn[1:] * turn[:-1]).sum(axis=1) > 0).all()
        np.testing.assert_allclose(np.linalg.norm(turn, axis=1), 1, atol=1e-6)


def test_the_bind_pose_is_the_t_pose_with_named_joints(tmp_path, body_model, rig, motion):
    glb = _read(tmp_path / "somebody.glb", rig, _first(motion))
    (skin,) = glb.content["skins"]
    nodes = glb.content["nodes"]
    assert tuple(nodes[joint]["name"] for joint in skin["joints"]) == SMPL_JOINTS
    for number, parent in enumerate(SMPL_PARENTS[1:], start=1):
        assert number in nodes[parent]["children"]
    attributes = glb.content["meshes"][0]["primitives"][0]["attributes"]
    tpose = body_model.tpose(torch.from_numpy(motion.betas)[None])[0]
    np.testing.assert_allclose(glb.array(attributes["POSITION"]), tpose, atol=1e-6)
    # Inverse bind matrices move the T-posed joints to the origin.
    betas, resting = torch.from_numpy(motion.betas)[None], torch.eye(3).expand(1, 24, 3, 3)
    joints = body_model(betas, resting).joints3d[0, :24].numpy()
    inverse = glb.array(skin["inverseBindMatrices"]).reshape(24, 4, 4)
    np.testing.assert_allclose(inverse[:, 3, :3], -joints, atol=1e-6)


def test_what_the_format_asks_for(tmp_path, body_model, rig, motion):
    """Stands in for the validator where that is not installed."""
    glb = _read(tmp_path / "a.glb", rig, motion)
    (mesh,) = glb.content["meshes"]
    (primitive,) = mesh["primitives"]
    attributes = {name: glb.array(number) for name, number in primitive["attributes"].items()}
    assert len({len(array) for array in attributes.values()}) == 1
    weights, bones = attributes["WEIGHTS_0"], attributes["JOINTS_0"]
    np.testing.assert_array_equal(np.rint(weights * 65535).sum(axis=1), 65535)
    assert (bones[weights == 0] == 0).all()
    assert bones.max() < 24
    np.testing.assert_allclose(np.linalg.norm(attributes["NORMAL"], axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(
        glb.array(primitive["indices"]).reshape(-1, 3), body_model.faces.numpy()
    )
    assert len(mesh["weights"]) == len(primitive["targets"]) == len(mesh["extras"]["targetNames"])
    assert all(view["byteOffset"] % 4 == 0 for view in glb.content["bufferViews"])
    for animation in glb.content["animations"]:
        targets = [tuple(channel["target"].values()) for channel in animation["channels"]]
        assert len(set(targets)) == len(targets)


def test_weights_of_morph_targets_need_no_negative_numbers(rig, motion):
    targets, weights = compress_correctives(rig.skinning, motion.pose_rotmats, components=3)
    assert targets.shape == (4, 6890, 3)
    assert weights.min() >= 0
    assert weights.max() <= 1
    # Three components leave less over than the mean alone.
    features = torch.from_numpy(motion.pose_rotmats)[:, 1:] - torch.eye(3)
    planes = features.flatten(1) @ rig.skinning.posedirs
    exact = planes.unflatten(1, (3, -1)).mT.numpy()
    left = exact - np.tensordot(weights, targets, axes=1)
    assert np.square(left).sum() < 0.1 * np.square(exact - exact.mean(axis=0)).sum()


def test_a_body_with_more_bones_to_a_vertex_keeps_the_heaviest(body_model):
    skinning = body_model.skinning.reduce_to(torch.arange(len(body_model.skinning.weights)))
    weights = torch.tensor([0.3, 0.25, 0.2, 0.15, 0.1]).expand(len(skinning.weights), 5)
    skinning.bone_weights = weights.contiguous()
    skinning.bones = torch.arange(5).expand(len(weights), 5).contiguous()
    other = BodyModel.load()
    other.skinning = skinning
    rig = Rig.from_body_model(other)
    np.testing.assert_array_equal(rig.bones[0], [0, 1, 2, 3])
    np.testing.assert_allclose(rig.bone_weights[0] / 65535, np.array([6, 5, 4, 3]) / 18, atol=1e-4)


@pytest.fixture(scope="session")
def validator_folder() -> Path:
    """A folder whose node modules hold Khronos' validator."""
    if shutil.which("node") is None:
        pytest.skip("the validator of glTF files needs node, which is not installed")
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "node_modules" / "gltf-validator").is_dir():
            return folder
    pytest.skip("npm install gltf-validator, in the project's folder, to check glTF files by it")


@pytest.mark.parametrize("frames", [1, FRAMES])
def test_the_validator_finds_nothing(tmp_path, validator_folder, rig, motion, frames):
    path = tmp_path / "a b.glb"
    write_glb(path, rig, motion if frames > 1 else _first(motion))
    command = ["node", "-e", VALIDATE, str(path)]
    report = subprocess.run(
        command, cwd=validator_folder, capture_output=True, text=True, check=True
    )
    issues = json.loads(report.stdout)
    assert issues["numErrors"] == issues["numWarnings"] == 0, issues["messages"]
