"""From the regressor's parameters to everything that losses, metrics and pictures need."""

from torch import Tensor

from models.body_model import BodyModel, BodyOutput
from models.regressor import BodyParameters
from utils.cameras import norm_to_pixels, project_weak_perspective
from utils.joints import COCO17_IN_90, LSP14_IN_90
from utils.tensors import pick


def regressed_body(
    parameters: BodyParameters, body_model: BodyModel, image_size: int
) -> dict[str, Tensor]:
    """Poses the estimated body and projects its joints.

    Args:
        parameters: of B people.
        body_model: the body that the regressor was trained for.
        image_size: side S of the crop, pixels.

    Returns:
        cam_wp (B, 3), pose_rotmats (B, 24, 3, 3), betas (B, 10), vertices and vertices_tpose
        (B, V, 3) metres, joints3d (B, 14, 3) LSP joints, metres, joints2d_norm (B, 17, 2) COCO
        joints, and the same in pixels of the crop, joints2d_px.
    """
    body = body_model(parameters.betas, parameters.pose_rotmats)
    joints2d_norm = project_weak_perspective(pick(body.joints3d, COCO17_IN_90), parameters.cam_wp)
    return {
        "cam_wp": parameters.cam_wp,
        **describe_body(body, parameters.betas, parameters.pose_rotmats),
        "joints2d_norm": joints2d_norm,
        "joints2d_px": norm_to_pixels(joints2d_norm, image_size),
    }


def describe_body(body: BodyOutput, betas: Tensor, pose_rotmats: Tensor) -> dict[str, Tensor]:
    """What losses and metrics compare of posed bodies, predicted or true, by the names they use.

    Args:
        body: what the body model gave for the other two.
        betas: (B, 10).
        pose_rotmats: (B, 24, 3, 3).
    """
    return {
        "vertices": body.vertices,
        "vertices_tpose": body.vertices_tpose,
        "joints3d": pick(body.joints3d, LSP14_IN_90),
        "pose_rotmats": pose_rotmats,
        "betas": betas,
    }
