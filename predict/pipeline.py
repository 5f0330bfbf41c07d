"""From detections to bodies: the predicting half of the path that training shares.

Crop, proxy representation and body model are those of training (`utils.cameras`, `utils.proxy`,
`models`); here they are applied to what a detector found, and the answer is carried from the crop
back to the whole photo.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.body_model import BodyModel
from models.regressor import BodyParameters
from predict.detectors.interface import Detection
from utils.cameras import (
    MIN_SCALE,
    boxes_of_silhouettes,
    cut_silhouettes,
    points_from_crops,
    points_to_crops,
    project_weak_perspective,
    square_crops,
    weak_perspective_to_pinhole,
)
from utils.proxy import Observation
from utils.rotations import rotmat_to_axis_angle


class ObservedPeople(NamedTuple):
    """What was detected of P people, with what is needed to carry the network's answer back."""

    observation: Observation
    crops: Tensor  # (P, 3) centre x, centre y, side in pixels of each person's photo
    inside_photo: Tensor  # (P, S, S) bool, which pixels of the crop the photo covers


class Bodies(NamedTuple):
    """P predicted people; camera axes are x right, y down, z away."""

    betas: Tensor  # (P, 10)
    pose: Tensor  # (P, 72) axis-angle, rad, root in the camera frame
    pose_rotmats: Tensor  # (P, 24, 3, 3) the same pose
    cam_wp: Tensor  # (P, 3) weak-perspective camera of the crop: u = s (x + tx) in [-1, 1]
    crops: Tensor  # (P, 3) centre x, centre y, side, pixels of the photo
    cam_photo: Tensor  # (P, 3) the same camera in the photo: pixel = scale * (x, y) + offset
    cam_t: Tensor  # (P, 3) metres, translation for the pinhole camera cam_k
    cam_k: Tensor  # (P, 3, 3) pinhole camera of the photo, pixels
    vertices: Tensor  # (P, V, 3) metres, camera axes, body origin
    vertices_tpose: Tensor  # (P, V, 3) metres, body axes (y up)
    joints3d: Tensor  # (P, 90, 3) metres, camera axes, body origin
    joints2d_px: Tensor  # (P, 90, 2) pixels of the photo

    def person(self, index: int) -> dict[str, np.ndarray]:
        """One person's arrays by name, without the leading dimension."""
        return {name: value[index].cpu().numpy() for name, value in self._asdict().items()}


def observe_people(
    detections: Sequence[Detection], size: int, device: torch.device
) -> ObservedPeople:
    """Cuts out each person, which is what the network looks at.

    Args:
        detections: P people, of one photo or of several.
        size: S, side of the network's crops in pixels.
        device: where the tensors go.
    """
    parts = [_cut_person(detection, size, device) for detection in detections]
    crops, silhouettes, inside, joints2d_px, confidence = map(torch.cat, zip(*parts, strict=True))
    return ObservedPeople(Observation(silhouettes, joints2d_px, confidence), crops, inside)


def _cut_person(detection: Detection, size: int, device: torch.device) -> tuple[Tensor, ...]:
    silhouette = torch.from_numpy(detection.silhouette).to(device)[None]  # (1, H, W)
    joints2d_px = torch.from_numpy(detection.joints2d_px).to(device)[None]  # (1, 17, 2)
    confidence = torch.from_numpy(detection.joint_confidence).to(device)[None]  # (1, 17)
    crops = square_crops(boxes_of_silhouettes(silhouette))
    return (
        crops,
        cut_silhouettes(silhouette, crops, size),
        cut_silhouettes(torch.ones_like(silhouette), crops, size),
        points_to_crops(joints2d_px, crops, size),
        confidence,
    )


@torch.inference_mode()
def predict_bodies(regressor: nn.Module, body_model: BodyModel, people: ObservedPeople) -> Bodies:
    """Runs the network and poses the body model.

    Args:
        regressor: an `Observation` to `models.regressor.BodyParameters`, in eval mode.
        body_model: the body that the regressor was trained with.
        people: what `observe_people` returned.
    """
    return place_in_photos(regressor(people.observation), people.crops, body_model)


def place_in_photos(parameters: BodyParameters, crops: Tensor, body_model: BodyModel) -> Bodies:
    """Poses the bodies and carries them from their crops to the photos."""
    scale, shift = parameters.cam_wp[:, :1].clamp(min=MIN_SCALE), parameters.cam_wp[:, 1:]
    cam_wp = torch.cat([scale, shift], dim=1)
    cam_t, cam_k = weak_perspective_to_pinhole(cam_wp, crops)
    output = body_model(parameters.betas, parameters.pose_rotmats)
    centre, half_side = crops[:, :2], crops[:, 2:] / 2
    scale_px = scale * half_side  # (P, 1) pixels of the photo per metre
    # A crop of side 2 has normalised coordinates for pixels, but for its corner.
    joints_norm = project_weak_perspective(output.joints3d, cam_wp)
    return Bodies(
        betas=parameters.betas,
        pose=rotmat_to_axis_angle(parameters.pose_rotmats).flatten(1),
        pose_rotmats=parameters.pose_rotmats,
        cam_wp=cam_wp,
        crops=crops,
        cam_photo=torch.cat([scale_px, centre + scale_px * shift], dim=1),
        cam_t=cam_t,
        cam_k=cam_k,
        vertices=output.vertices,
        vertices_tpose=output.vertices_tpose,
        joints3d=output.joints3d,
        joints2d_px=points_from_crops(joints_norm + 1, crops, 2),
    )
