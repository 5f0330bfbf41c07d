"""Predicted bodies as mesh files: plain ones of the posed and the T-posed body, or a rigged one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from models.body_model import BodyModel
from predict.options import MeshFormat
from predict.rigged_mesh import CAMERA_TO_GLTF, Motion, Rig, write_glb
from utils.files import write_whole

TPOSE_MESH = "_tpose"  # what the T-posed mesh's name adds to the posed one's


@dataclass(frozen=True)
class MeshWriter:
    """Writes a person's meshes, metres, y up.

    Attributes:
        formats: those to write.
        faces: (F, 3) ints, of the body.
        rig: of the body, for glb.
    """

    formats: tuple[MeshFormat, ...]
    faces: np.ndarray
    rig: Rig | None = None

    @classmethod
    def for_body(cls, body_model: BodyModel, formats: Sequence[MeshFormat]) -> "MeshWriter":
        """A writer of these formats for people of this body."""
        rig = Rig.from_body_model(body_model) if "glb" in formats else None
        return cls(tuple(formats), body_model.faces.cpu().numpy(), rig)

    def write(self, stem: Path, arrays: dict[str, np.ndarray]) -> None:
        """Writes `<stem>.obj` and `<stem>_tpose.obj`, the same as ply, and `<stem>.glb`.

        Args:
            stem: path without suffix.
            arrays: of `models.decoder.Bodies.person`.

        Raises:
            InputError: a file cannot be written.
        """
        upright = arrays["vertices"] @ CAMERA_TO_GLTF
        bodies = (("", upright), (TPOSE_MESH, arrays["vertices_tpose"]))
        for mesh_format in self.formats:
            if mesh_format == "glb":
                write_glb(stem.with_name(f"{stem.name}.glb"), self.rig, Motion.from_arrays(arrays))
                continue
            for suffix, vertices in bodies:
                mesh = trimesh.Trimesh(vertices, self.faces, process=False)
                content = mesh.export(file_type=mesh_format)
                content = content.encode() if isinstance(content, str) else content
                write_whole(stem.with_name(f"{stem.name}{suffix}.{mesh_format}"), content)
