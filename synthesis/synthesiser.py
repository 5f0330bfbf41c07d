"""Makes network inputs and targets from poses: body, camera, crop, rendering, corruption.

Nothing here reads an image. Sengupta et al., BMVC 2020, section 3.2.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kernels.distances import signed_distances
from models.body_model import BodyModel
from models.decoder import describe_body
from renderers.nmr_renderer import NmrRenderer
from renderers.rasteriser import Rasteriser
from synthesis.detector_errors import (
    DetectorErrors,
    apply_to_distances,
    apply_to_joints,
    choose_errors,
    measure_facing,
)
from synthesis.options import CameraOptions
from synthesis.variation import (
    Variation,
    apply_near_camera,
    apply_truncation,
    corrupt_joints,
    corrupt_silhouettes,
    vary_poses,
)
from utils.cameras import (
    boxes_of_bodies,
    crop_intrinsics,
    cut_crops,
    inside_image,
    perspective_intrinsics,
    pixels_to_norm,
    points_to_crops,
    project_perspective,
    square_crops,
)
from utils.joints import COCO17_IN_90
from utils.proxy import Observation
from utils.rotations import pose_to_rotmats
from utils.tensors import constant, match_betas, pick

# What draws the bodies, by the name that `--data.renderer` takes.
RENDERERS = {"own": Rasteriser, "nmr": NmrRenderer}


class SyntheticBatch(NamedTuple):
    """What the network sees, and what it should say."""

    observation: Observation
    target: dict[str, Tensor]

    def joined(self, other: "SyntheticBatch") -> "SyntheticBatch":
        """The people of both, with those targets that the other has."""
        return SyntheticBatch(
            _join([self.observation, other.observation]),
            {name: torch.cat([self.target[name], more]) for name, more in other.target.items()},
        )


class Framing(NamedTuple):
    """What of the camera's picture is kept."""

    crops: Tensor  # (B, 3), or (B, 4) where they are stretched: pixels of the whole picture
    frame: Tensor  # (B, 4) x0, y0, x1, y1: pixels of the crop that the picture reaches


class Synthesiser(nn.Module):
    """Renders posed bodies into observations, a batch at a time, on one device.

    Args:
        body_model: whose bodies are rendered.
        mean_betas: (10,) around which `synthesis.variation.draw_betas` draws shapes.
        image_size: side S of the crop, pixels.
        camera: of the synthetic pictures and their crops.
        renderer: one of `RENDERERS`.
        detector_errors: which those with a detector's measured errors are chosen from.

    Raises:
        InputError: the renderer's library is missing.
    """

    def __init__(
        self,
        body_model: BodyModel,
        mean_betas: Tensor,
        image_size: int,
        camera: CameraOptions,
        renderer: str = "own",
        detector_errors: DetectorErrors | None = None,
    ):
        super().__init__()
        self.body_model = body_model
        self.image_size = image_size
        self.camera = camera
        self.rasteriser = RENDERERS[renderer](body_model.faces, body_model.face_parts, image_size)
        self.detector_errors = detector_errors
        self.register_buffer("mean_betas", mean_betas.clone(), persistent=False)
        cam_k = perspective_intrinsics(camera.focal_length, camera.frame_size, mean_betas)
        self.register_buffer("cam_k", cam_k, persistent=False)
        mean_cam_t = torch.tensor(camera.mean_translation)
        self.register_buffer("mean_cam_t", mean_cam_t, persistent=False)

    @property
    def details(self) -> int:
        """How many directions of shape the body has beyond the ten betas."""
        return self.body_model.num_betas - len(self.mean_betas)

    @torch.no_grad()
    def forward(
        self,
        poses: Tensor,
        betas: Tensor,
        variation: Variation = Variation(),
        offsets: Tensor | None = None,
    ) -> SyntheticBatch:
        """Makes a batch.

        Args:
            poses: (B, 72) axis-angle, camera frame, radians.
            betas: (B, N), 10 or more.
            variation: of poses, views and what is observed; without one the batch is that of
                validation.
            offsets: (B, V, 3) metres, what T-posed bodies are beyond what betas tell.

        Returns:
            The observation, and targets as `losses` and `metrics` name them; pixels are the crop's.
        """
        pose_rotmats = pose_to_rotmats(poses)
        pose_rotmats = vary_poses(pose_rotmats, variation.pose)
        body = self.body_model(betas, pose_rotmats, offsets)
        cam_t = self._place_camera(len(poses), variation)
        rendered_cam = body.vertices + cam_t[:, None]  # (B, V, 3)
        if variation.vertex_noise is not None:
            rendered_cam[variation.published_people, :, :2] += variation.vertex_noise
        framing = self.frame_people(rendered_cam, variation)

        cam_k = crop_intrinsics(self.cam_k, framing.crops, self.image_size)
        joints3d_cam = pick(body.joints3d, COCO17_IN_90) + cam_t[:, None]
        joints2d_px = project_perspective(joints3d_cam, cam_k)
        visibility = inside_image(joints2d_px, self.image_size, self.image_size)
        visibility &= _inside(joints2d_px, framing.frame)
        parts = self.rasteriser.part_segmentation(rendered_cam, cam_k)  # (B, S, S) uint8
        if variation.truncation is not None:
            parts = parts * _frame_mask(framing.frame, self.image_size)
        exact = Observation(parts.bool(), joints2d_px, visibility.float())
        target = {
            **describe_body(body, match_betas(betas, self.body_model.num_betas), pose_rotmats),
            **joint_targets(joints2d_px, visibility, self.image_size),
            "silhouettes": exact.silhouettes,
        }
        return SyntheticBatch(
            self._observe(exact, parts, framing, body.joints3d, variation), target
        )

    def _place_camera(self, batch: int, variation: Variation) -> Tensor:
        """(B, 3) metres from the camera to the body's origin."""
        cam_t = self.mean_cam_t.expand(batch, -1)
        if variation.camera_shift is not None:
            cam_t = cam_t + variation.camera_shift
        if variation.near_camera is not None:
            cam_t = apply_near_camera(cam_t, variation.near_camera)
        return cam_t

    def frame_people(self, vertices_cam: Tensor, variation: Variation) -> Framing:
        """Places the crop around what is seen of the person.

        Args:
            vertices_cam: (B, V, 3) metres, camera frame.
            variation: of the crop and of where the picture ends.
        """
        scale, shift, size = self.camera.crop_scale, 0.0, self.camera.frame_size
        boxes = boxes_of_bodies(vertices_cam, self.cam_k)
        if self.camera.crop_border == "stretch":
            boxes = boxes.clamp(0, size)  # beyond the frame nothing is seen
        unlimited = (-torch.inf, -torch.inf, torch.inf, torch.inf)
        frame = constant(unlimited, boxes.device).expand(len(boxes), -1)
        if variation.truncation is not None:
            boxes = apply_truncation(boxes, variation.truncation)
            frame = torch.where(variation.truncation > 0, boxes, frame)
        if variation.crop is not None:
            scale = scale + variation.crop.scale
            side = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) * scale[:, None]
            shift = variation.crop.shift * (side if self.camera.crop_shift_in == "crop" else size)
        crops = square_crops(boxes, scale, shift)
        if self.camera.crop_border == "stretch":
            crops = cut_crops(crops, size)
        corners = points_to_crops(frame.unflatten(1, (2, 2)), crops, self.image_size)
        return Framing(crops, corners.flatten(1))

    def _observe(
        self,
        exact: Observation,
        parts: Tensor,
        framing: Framing,
        joints3d: Tensor,
        variation: Variation,
    ) -> Observation:
        """People as a detector that makes errors observes them.

        Args:
            exact: without errors.
            parts: (B, S, S) body-part labels of the same crops.
            framing: of the same people.
            joints3d: (B, 90, 3) of the same people, metres.
            variation: whose errors they have.
        """
        measured, published = variation.measured_people, variation.published_people
        pieces = []
        if variation.measured is not None:
            people, frame = exact.rows(measured), framing.frame[measured]
            cut = frame.isfinite().any(dim=1)
            facing = measure_facing(joints3d[measured])
            errors = choose_errors(self.detector_errors, variation.measured, facing, cut)
            joints = apply_to_joints(people.joints2d_px, people.visibility, errors, self.image_size)
            distances = signed_distances(people.silhouettes)
            masks = apply_to_distances(distances, people.joints2d_px, errors) < 0
            if variation.truncation is not None:
                masks &= _frame_mask(frame, self.image_size)
            pieces.append(Observation(masks, *joints))
        if variation.corruption is not None:
            people = exact.rows(published)
            joints2d_px, visibility = corrupt_joints(
                people.joints2d_px, people.visibility, variation.corruption, self.image_size
            )
            silhouettes = corrupt_silhouettes(parts[published], variation.corruption)
            pieces.append(Observation(silhouettes, joints2d_px, visibility.float()))
        if published.stop < len(parts) or not pieces:
            pieces.append(exact.rows(slice(published.stop, None)))
        return pieces[0] if len(pieces) == 1 else _join(pieces)


def joint_targets(joints2d_px: Tensor, visibility: Tensor, size: int) -> dict[str, Tensor]:
    """What is compared of joints: (B, 17, 2) pixels of the crop, and (B, 17) bool visibility."""
    return {
        "joints2d_px": joints2d_px,
        "joints2d_norm": pixels_to_norm(joints2d_px, size),
        "visibility": visibility,
    }


def _join(pieces: list[Observation]) -> Observation:
    """The people of all of them."""
    return Observation(*map(torch.cat, zip(*pieces, strict=True)))


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Which points (B, N, 2) lie in their sample's box (B, 4): (B, N) bool."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    return ((points >= low) & (points < high)).all(dim=-1)


def _frame_mask(frame: Tensor, size: int) -> Tensor:
    """(B, S, S) bool: which pixel centres of the crop lie in the picture's frame (B, 4)."""
    centres = torch.arange(size, dtype=frame.dtype, device=frame.device) + 0.5
    inside = (centres >= frame[:, :2, None]) & (centres < frame[:, 2:, None])  # (B, 2, S)
    return inside[:, 1, :, None] & inside[:, 0, None, :]
