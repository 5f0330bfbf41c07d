"""Makes network inputs and targets from poses: body, camera, crop, rendering, corruption.

Nothing here reads an image. Sengupta et al., BMVC 2020, section 3.2.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from models.body_model import BodyModel
from models.decoder import describe_body
from renderers.nmr_renderer import NmrRenderer
from renderers.rasteriser import Rasteriser
from synthesis.body import draw_betas, draw_vertex_noise
from synthesis.camera import (
    apply_near_camera,
    apply_truncation,
    draw_camera_shift,
    draw_crop_variation,
    draw_near_camera,
    draw_truncation,
)
from synthesis.corruption import (
    corrupt_joints,
    corrupted_silhouettes,
    count_errors,
    draw_corruption,
)
from synthesis.detector_errors import (
    DetectorErrors,
    apply_to_distances,
    apply_to_joints,
    draw_detector_errors,
    measure_facing,
)
from synthesis.options import AugmentationOptions
from synthesis.pose import draw_pose_variation, vary_poses
from utils.cameras import (
    CROP_SCALE,
    boxes_of_bodies,
    crop_intrinsics,
    perspective_intrinsics,
    pixels_to_norm,
    points_to_crops,
    project_perspective,
    square_crops,
)
from utils.distances import signed_distances
from utils.joints import COCO17_IN_90
from utils.proxy import (
    Observation,
    inside_image,
)
from utils.rotations import pose_to_rotmats
from utils.tensors import constant, pick

# What draws the bodies, by the name that `--data.renderer` takes.
RENDERERS = {"own": Rasteriser, "nmr": NmrRenderer}


@dataclass(frozen=True)
class CameraOptions:
    """The perspective camera that pictures the synthetic people."""

    focal_length: float = 5000.0  # pixels
    frame_size: int = 256  # pixels, side of the picture before cropping
    mean_translation: tuple[float, float, float] = (0.0, 0.2, 42.0)  # metres


class SyntheticBatch(NamedTuple):
    """What the network sees, and what it should say."""

    observation: Observation
    target: dict[str, Tensor]

    def joined(self, other: "SyntheticBatch") -> "SyntheticBatch":
        """The people of both, with those targets that the other has."""
        pairs = zip(self.observation, other.observation, strict=True)
        return SyntheticBatch(
            Observation(*map(torch.cat, pairs)),
            {name: torch.cat([self.target[name], more]) for name, more in other.target.items()},
        )


class View(NamedTuple):
    """What of the camera's picture is kept."""

    crops: Tensor  # (B, 3) pixels of the whole picture
    frame: Tensor  # (B, 4) x0, y0, x1, y1: pixels of the crop that the picture reaches


class Synthesiser(nn.Module):
    """Renders posed bodies into observations, a batch at a time, on one device.

    Args:
        body_model: whose bodies are rendered.
        mean_betas: (10,) around which shapes are drawn.
        image_size: side S of the crop, pixels.
        camera: of the synthetic pictures.
        renderer: one of `RENDERERS`.
        detector_errors: which augmentation with a detector's measured errors draws from.

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
        """Takes the body model's faces and part labels for rendering."""
        super().__init__()
        self.body_model = body_model
        self.image_size = image_size
        self.rasteriser = RENDERERS[renderer](body_model.faces, body_model.face_parts, image_size)
        self.detector_errors = detector_errors
        self.register_buffer("mean_betas", mean_betas.clone(), persistent=False)
        cam_k = perspective_intrinsics(camera.focal_length, camera.frame_size, mean_betas)
        self.register_buffer("cam_k", cam_k, persistent=False)
        mean_cam_t = torch.tensor(camera.mean_translation)
        self.register_buffer("mean_cam_t", mean_cam_t, persistent=False)

    @torch.no_grad()
    def forward(
        self,
        poses: Tensor,
        augmentation: AugmentationOptions | None,
        generator: Generator,
        betas: Tensor | None = None,
    ) -> SyntheticBatch:
        """Makes a batch.

        Args:
            poses: (B, 72) axis-angle, camera frame, radians.
            augmentation: what to vary; None varies nothing (validation).
            generator: random numbers, on the device of poses.
            betas: (B, 10) shapes; None draws them when there is augmentation, else takes the mean.

        Returns:
            The observation, and targets as `losses` and `metrics` name them; pixels are the crop's.
        """
        if betas is None:
            betas = self._choose_betas(len(poses), augmentation, generator)
        pose_rotmats = _choose_poses(poses, augmentation, generator)
        body = self.body_model(betas, pose_rotmats)
        cam_t = self._choose_camera(len(poses), augmentation, generator)
        rendered_cam = _ragged(body.vertices + cam_t[:, None], augmentation, generator)
        view = self.choose_view(rendered_cam, augmentation, generator)

        cam_k = crop_intrinsics(self.cam_k, view.crops, self.image_size)
        joints3d_cam = pick(body.joints3d, COCO17_IN_90) + cam_t[:, None]
        joints2d_px = project_perspective(joints3d_cam, cam_k)
        visibility = inside_image(joints2d_px, self.image_size) & _inside(joints2d_px, view.frame)
        parts = self.rasteriser.part_segmentation(rendered_cam, cam_k)
        if augmentation is not None and augmentation.truncate > 0:
            parts = parts * _frame_mask(view.frame, self.image_size)
        observation = Observation(parts.bool(), joints2d_px, visibility.float())
        if augmentation is not None:
            joints3d = body.joints3d
            observation = self._detect(observation, parts, view, joints3d, augmentation, generator)
        target = {
            **describe_body(body, betas, pose_rotmats),
            **joint_targets(joints2d_px, visibility, self.image_size),
            "silhouettes": parts.bool(),
        }
        return SyntheticBatch(observation, target)

    def _detect(
        self,
        true: Observation,
        parts: Tensor,
        view: View,
        joints3d: Tensor,
        augmentation: AugmentationOptions,
        generator: Generator,
    ) -> Observation:
        """People as a detector that makes errors observes them.

        Args:
            true: without errors.
            parts: (B, S, S) body-part labels of the same crops.
            view: of the same people.
            joints3d: (B, 90, 3) of the same people, metres.
            augmentation: which errors.
            generator: random numbers.
        """
        corrupted = _corrupt(true, parts, augmentation, generator)
        if augmentation.detector == "published":
            return corrupted
        count, _ = count_errors(augmentation, len(parts))
        first, true = slice(count), true.rows(slice(count))
        cut = view.frame[first].isfinite().any(dim=1)
        facing = measure_facing(joints3d[first])
        errors = draw_detector_errors(self.detector_errors, facing, count, generator, cut)
        joints = apply_to_joints(true.joints2d_px, true.visibility, errors, self.image_size)
        distances = signed_distances(true.silhouettes)
        masks = apply_to_distances(distances, true.joints2d_px, errors) < 0
        if augmentation.truncate > 0:
            masks &= _frame_mask(view.frame[first], self.image_size)
        pairs = zip((masks, *joints), corrupted.rows(slice(count, None)), strict=True)
        return Observation(*(torch.cat(pair) for pair in pairs))

    def _choose_betas(
        self, batch: int, augmentation: AugmentationOptions | None, generator: Generator
    ) -> Tensor:
        """(B, 10) shapes."""
        if augmentation is None:
            return self.mean_betas.expand(batch, -1)
        return draw_betas(augmentation, self.mean_betas, batch, generator)

    def _choose_camera(
        self, batch: int, augmentation: AugmentationOptions | None, generator: Generator
    ) -> Tensor:
        """(B, 3) metres from the camera to the body's origin."""
        cam_t = self.mean_cam_t.expand(batch, -1)
        if augmentation is not None:
            cam_t = cam_t + draw_camera_shift(augmentation, batch, generator)
            if augmentation.near > 0:
                cam_t = apply_near_camera(cam_t, draw_near_camera(augmentation, batch, generator))
        return cam_t

    def choose_view(
        self, vertices_cam: Tensor, augmentation: AugmentationOptions | None, generator: Generator
    ) -> View:
        """Places the crop around what is seen of the person.

        Args:
            vertices_cam: (B, V, 3) metres, camera frame.
            augmentation: of the crop; None leaves it centred and whole.
            generator: on the device of the vertices.
        """
        batch = len(vertices_cam)
        scale, shift = CROP_SCALE, 0.0
        boxes = boxes_of_bodies(vertices_cam, self.cam_k)
        unlimited = (-torch.inf, -torch.inf, torch.inf, torch.inf)
        frame = constant(unlimited, boxes.device).expand(batch, -1)
        if augmentation is not None:
            truncation = draw_truncation(augmentation, batch, generator)
            boxes = apply_truncation(boxes, truncation)
            frame = torch.where(truncation > 0, boxes, frame)
            variation = draw_crop_variation(augmentation, batch, generator)
            scale = scale + variation.scale
            side = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1) * scale
            shift = variation.shift * side[:, None]
        crops = square_crops(boxes, scale, shift)
        corners = points_to_crops(frame.unflatten(1, (2, 2)), crops, self.image_size)
        return View(crops, corners.flatten(1))


def joint_targets(joints2d_px: Tensor, visibility: Tensor, size: int) -> dict[str, Tensor]:
    """What is compared of joints: (B, 17, 2) pixels of the crop, and (B, 17) bool visibility."""
    return {
        "joints2d_px": joints2d_px,
        "joints2d_norm": pixels_to_norm(joints2d_px, size),
        "visibility": visibility,
    }


def _choose_poses(
    poses: Tensor, augmentation: AugmentationOptions | None, generator: Generator
) -> Tensor:
    """(B, 72) axis-angle to joint rotations (B, 24, 3, 3), perhaps varied."""
    pose_rotmats = pose_to_rotmats(poses)
    if augmentation is None:
        return pose_rotmats
    return vary_poses(pose_rotmats, draw_pose_variation(augmentation, len(poses), generator))


def _ragged(
    vertices_cam: Tensor, augmentation: AugmentationOptions | None, generator: Generator
) -> Tensor:
    """Vertices (B, V, 3); those of people with the published errors are moved a little."""
    if augmentation is not None:
        ragged = slice(*count_errors(augmentation, len(vertices_cam)))
        count, vertices = vertices_cam[ragged].shape[:2]
        noise = draw_vertex_noise(augmentation, count, vertices, generator)
        vertices_cam[ragged, :, :2] += noise
    return vertices_cam


def _corrupt(
    observation: Observation,
    parts: Tensor,
    augmentation: AugmentationOptions,
    generator: Generator,
) -> Observation:
    """People (whose body parts (B, S, S) were rendered) with errors as published."""
    corruption = draw_corruption(augmentation, len(parts), generator)
    joints2d_px, visibility = corrupt_joints(
        observation.joints2d_px, observation.visibility, corruption, observation.image_size
    )
    silhouettes = corrupted_silhouettes(parts, corruption)
    return Observation(silhouettes, joints2d_px, visibility.float())


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Which points (B, N, 2) lie in their sample's box (B, 4): (B, N) bool."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    return ((points >= low) & (points < high)).all(dim=-1)


def _frame_mask(frame: Tensor, size: int) -> Tensor:
    """(B, S, S) bool: which pixel centres of the crop lie in the picture's frame (B, 4)."""
    centres = torch.arange(size, dtype=frame.dtype, device=frame.device) + 0.5
    inside = (centres >= frame[:, :2, None]) & (centres < frame[:, 2:, None])  # (B, 2, S)
    return inside[:, 1, :, None] & inside[:, 0, None, :]
