"""Options of the loss, without what computes it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LossOptions:
    """Weight exp(-s) of every term when training begins; 0 leaves the term out."""

    vertices: float = 1.0  # posed vertices, metres
    joints2d: float = 0.1  # visible COCO joints, image coordinates in [-1, 1]
    joints3d: float = 1.0  # LSP joints, metres
    pose: float = 0.1  # rotation matrices
    betas: float = 0.1
    # Mean distance of T-posed vertices, metres, after aligning scale and place; published: 0.
    tpose: float = 0.0
    learn_weights: bool = True  # else they stay as they are here
    # Of vertices and joints: squared as published, or the distance itself, as metrics measure it.
    error: Literal["squared", "distance"] = "squared"
