"""Mesh files of predicted people."""

import numpy as np
import pytest
import torch
import trimesh

from models.body_model import BodyModel
from predict.meshes import MeshWriter
from tests.glb_viewer import Glb


@pytest.mark.parametrize("mesh_format", ["obj", "ply"])
def test_meshes_stand_upright(tmp_path, mesh_format):
    person = {
        # Camera axes: the first vertex is the highest, since y points down.
        "vertices": np.array([[0, -2.0, 5], [1, 0, 5], [0, 0, 5]]),
        "vertices_tpose": np.array([[0, 2.0, 0], [1, 0, 0], [0, 0, 0]]),
    }
    MeshWriter((mesh_format,), np.array([[0, 1, 2]])).write(tmp_path / "a.x", person)
    posed = trimesh.load(tmp_path / f"a.x.{mesh_format}", process=False)
    np.testing.assert_allclose(posed.vertices[0], [0, 2, -5])
    tpose = trimesh.load(tmp_path / f"a.x_tpose.{mesh_format}", process=False)
    np.testing.assert_allclose(tpose.vertices[0], [0, 2, 0])


def test_all_formats_hold_the_same_body(tmp_path):
    body_model = BodyModel.load()
    torch.manual_seed(0)
    betas, rotmats = torch.randn(1, 10), torch.linalg.qr(torch.randn(1, 24, 3, 3))[0]
    rotmats *= torch.linalg.det(rotmats)[..., None, None]
    body = body_model(betas, rotmats)
    person = {
        "betas": betas[0].numpy(),
        "pose_rotmats": rotmats[0].numpy(),
        "vertices": body.vertices[0].numpy(),
        "vertices_tpose": body.vertices_tpose[0].numpy(),
    }
    MeshWriter.for_body(body_model, ("obj", "ply", "glb")).write(tmp_path / "a", person)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"a.obj", "a_tpose.obj", "a.ply", "a_tpose.ply", "a.glb"}
    posed = Glb.read(tmp_path / "a.glb").vertices()
    for name in ("a.obj", "a.ply"):
        vertices = trimesh.load(tmp_path / name, process=False).vertices
        np.testing.assert_allclose(vertices, posed, atol=1e-4)
