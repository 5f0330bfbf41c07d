"""BVH files read back are the motion that was written."""

import numpy as np
import torch

from predict.bvh import write_bvh
from predict.rigged_mesh import Motion
from tools.read_bvh import read_bvh
from utils.joints import SMPL_JOINTS, SMPL_PARENTS
from utils.rotations import axis_angle_to_rotmat

FLIP = np.diag([1.0, -1.0, -1.0])


def test_joints_are_where_the_body_has_them(tmp_path, body_model):
    count = 7
    pose = 0.5 * torch.randn(count, 24, 3)
    pose[:, 0] += torch.tensor([torch.pi, 0, 0])
    betas = torch.randn(1, 10)
    rotmats = axis_angle_to_rotmat(pose)
    translations = np.random.default_rng(0).normal([0, 0, 4], 1, (count, 3))
    motion = Motion(betas[0].numpy(), rotmats.numpy(), translations, fps=25.0)
    path = tmp_path / "a.bvh"
    write_bvh(path, body_model.skinning, motion)

    read = read_bvh(path, fps=25)
    assert set(read.rotations) == set(SMPL_JOINTS)
    assert len(read.frames) == count
    # The root's place stands in the first three channels of each frame.
    rows = path.read_text().partition("Frame Time:")[2].splitlines()[1:]
    places = {"pelvis": np.array([row.split()[:3] for row in rows], float)}
    for joint, parent in list(zip(SMPL_JOINTS, SMPL_PARENTS, strict=True))[1:]:
        above = SMPL_JOINTS[parent]
        offset = read.starts[joint] - read.starts[above]
        places[joint] = places[above] + read.rotations[above] @ offset
    found = np.stack([places[joint] for joint in SMPL_JOINTS], axis=1) / 100  # cm
    expected = body_model(betas.expand(count, 10), rotmats).joints3d[:, :24].numpy()
    expected = (expected + translations[:, None]) @ FLIP
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_rate_is_told(tmp_path, body_model):
    still = np.tile(np.eye(3, dtype=np.float32), (2, 24, 1, 1))
    motion = Motion(np.zeros(10, np.float32), still, np.zeros((2, 3)), fps=30000 / 1001)
    write_bvh(tmp_path / "a.bvh", body_model.skinning, motion)
    lines = (tmp_path / "a.bvh").read_text().splitlines()
    assert "Frames: 2" in lines
    assert "Frame Time: 0.03336667" in lines
    assert sum("End Site" in line for line in lines) == 5  # feet, hands, head
