"""What measuring has to know about a body's mesh: its limbs, its joints in the T-pose, its crotch.

All of it follows from the body's own files (part labels, skinning weights, joint regressor), so
that any body of SMPL's format can be measured.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import nn

from utils.joints import PARTS, SMPL_JOINTS, indices_of

Side = Literal["left", "right"]
MIDDLE = 0.1  # most by which the weights of left and right bones differ at a vertex of the middle


@dataclass(frozen=True)
class Anatomy:
    """The parts of a mesh that tapes are laid around, one arm and one leg among them.

    Attributes:
        faces: (F, 3) of the whole mesh.
        trunk: (E, 2) edges of everything but the arms.
        head: (E, 2) edges of head and neck.
        arm: (E, 2) edges of one arm.
        leg: (E, 2) edges of one leg with its half of the trunk.
        joint_vertices: (N,) vertex numbers that joints depend on.
        joint_weights: (24, N) what each adds to each of SMPL's joints.
        crotch: vertex number of the lowest point between the legs.
        side: of arm and leg.
    """

    faces: np.ndarray
    trunk: np.ndarray
    head: np.ndarray
    arm: np.ndarray
    leg: np.ndarray
    joint_vertices: np.ndarray
    joint_weights: np.ndarray
    crotch: int
    side: Side

    @classmethod
    def of(cls, body: nn.Module, side: Side = "right") -> "Anatomy":
        """The anatomy of a body model.

        Args:
            body: a `models.body_model.BodyModel` with all its vertices.
            side: whose arm and leg are measured.
        """
        skinning = body.skinning
        template = skinning.template.unflatten(0, (3, -1)).mT
        return cls.build(
            body.faces.cpu().numpy(),
            body.face_parts.cpu().numpy(),
            skinning.weights.cpu().numpy(),
            skinning.j_regressor.cpu().numpy(),
            template.cpu().numpy(),
            side,
        )

    @classmethod
    def build(
        cls,
        faces: np.ndarray,
        face_parts: np.ndarray,
        weights: np.ndarray,
        joint_regressor: np.ndarray,
        template: np.ndarray,
        side: Side = "right",
    ) -> "Anatomy":
        """The anatomy of a mesh.

        Args:
            faces: (F, 3) ints of a closed mesh.
            face_parts: (F,) numbers of `utils.joints.PARTS`.
            weights: (V, 24) of the bones.
            joint_regressor: (24, V) from vertices in the T-pose to joints.
            template: (V, 3) metres, T-pose, y up: a body whose thighs do not cross the middle.
            side: whose arm and leg are measured.
        """
        leaning = _sum_bones(weights, side) - _sum_bones(weights, _OTHER[side])  # (V,)
        no_arm = ~np.isin(face_parts, indices_of(("left_arm", "right_arm"), PARTS))
        head = face_parts == PARTS.index("head")
        leg = no_arm & ~head & (leaning[faces].sum(axis=1) >= 0)
        middle = np.flatnonzero(np.abs(leaning) < MIDDLE)
        used = np.flatnonzero(joint_regressor.any(axis=0))
        return cls(
            faces=faces,
            trunk=find_edges(faces[no_arm]),
            head=find_edges(faces[head]),
            arm=find_edges(faces[face_parts == PARTS.index(f"{side}_arm")]),
            leg=find_edges(faces[leg]),
            joint_vertices=used,
            joint_weights=joint_regressor[:, used].astype(np.float64),
            crotch=int(middle[template[middle, 1].argmin()]),
            side=side,
        )

    def locate_joints(self, vertices: np.ndarray) -> np.ndarray:
        """SMPL's joints (24, 3) of a body (V, 3) in the T-pose, metres."""
        return self.joint_weights @ vertices[self.joint_vertices]


_OTHER: dict[Side, Side] = {"left": "right", "right": "left"}


def _sum_bones(weights: np.ndarray, side: Side) -> np.ndarray:
    return weights[:, [name.startswith(side) for name in SMPL_JOINTS]].sum(axis=1)


def find_edges(faces: np.ndarray) -> np.ndarray:
    """(E, 2) edges of (F, 3) faces, each once, the smaller vertex number first."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    edges.sort(axis=1)
    count = int(edges.max(initial=0)) + 1
    return np.stack(np.divmod(np.unique(edges[:, 0] * count + edges[:, 1]), count), axis=1)
