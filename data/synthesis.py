"""Makes network inputs and targets from poses: body, camera, crop, rendering, corruption.

Nothing here reads an image. Sengupta et al., BMVC 2020, section 3.2.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from augmentation.body import draw_betas, draw_vertex_noise
from augmentation.camera import (
    apply_truncation,
    draw_camera_shift,
    draw_crop_variation,
    draw_truncation,
)
from augmentation.options import AugmentationOptions
from augmentation.proxy import corrupt_joints, corrupted_silhouettes, draw_corruption
from models.body_model import BodyModel
from renderers.nmr_renderer import NmrRenderer
from renderers.rasteriser import Rasteriser
from utils.cameras import perspective_intrinsics, pixels_to_norm, project_perspective
from utils.constants import constant, pick
from utils.crops import (
    CROP_SCALE,
    boxes_of_bodies,
    crop_intrinsics,
    points_to_crops,
    square_crops,
)
from utils.joints import COCO17_IN_90, LSP14_IN_90
from utils.proxy import inside_image, make_proxy
from utils.rotations import axis_angle_to_rotmat

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

    proxy: Tensor  # (B, 18, S, S)
    target: dict[str, Tensor]


class View(NamedTuple):
    """What of the camera's picture is kept."""

    crops: Tensor  # (B, 3) pixels of the whole picture
    frame: Tensor  # (B, 4) x0, y0, x1, y1: pixels of the crop that the picture reaches


class Synthesiser(nn.Module):
    """Renders posed bodies into the proxy representation, a batch at a time, on one device.

    Args:
        body_model: whose bodies are rendered.
        mean_betas: (10,) around which shapes are drawn.
        image_size: side S of the crop, pixels.
        camera: of the synthetic pictures.
        renderer: one of `RENDERERS`.
        proxy_dtype: of the proxy; what the network computes in saves it a conversion.

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
        proxy_dtype: torch.dtype = torch.float32,
    ):
        """Takes the body model's faces and part labels for rendering."""
        super().__init__()
        self.body_model = body_model
        self.image_size = image_size
        self.proxy_dtype = proxy_dtype
        self.rasteriser = RENDERERS[renderer](body_model.faces, body_model.face_parts, image_size)
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
            The proxy, and targets as `losses` and `metrics` name them; pixels are the crop's.
        """
        if betas is None:
            betas = self.mean_betas.expand(len(poses), -1)
            if augmentation is not None:
                betas = draw_betas(augmentation, self.mean_betas, len(poses), generator)
        pose_rotmats = axis_angle_to_rotmat(poses.unflatten(1, (-1, 3)))
        body = self.body_model(betas, pose_rotmats)
        cam_t = self._choose_camera(len(poses), augmentation, generator)
        rendered_cam = body.vertices + cam_t[:, None]
        if augmentation is not None:
            noise = draw_vertex_noise(augmentation, *rendered_cam.shape[:2], generator)
            rendered_cam[..., :2] += noise
        view = self.choose_view(rendered_cam, augmentation, generator)

        cam_k = crop_intrinsics(self.cam_k, view.crops, self.image_size)
        joints3d_cam = pick(body.joints3d, COCO17_IN_90) + cam_t[:, None]
        joints2d_px = project_perspective(joints3d_cam, cam_k)
        visibility = inside_image(joints2d_px, self.image_size) & _inside(joints2d_px, view.frame)
        parts = self.rasteriser.part_segmentation(rendered_cam, cam_k)
        if augmentation is not None and augmentation.truncate > 0:
            parts = parts * _frame_mask(view.frame, self.image_size)
        silhouettes = parts.bool()

        target = {
            "vertices": body.vertices,
            "tpose_vertices": body.tpose_vertices,
            "joints3d": pick(body.joints3d, LSP14_IN_90),
            "pose_rotmats": pose_rotmats,
            "betas": betas,
            "joints2d_px": joints2d_px,
            "joints2d_norm": pixels_to_norm(joints2d_px, self.image_size),
            "visibility": visibility,
            "silhouettes": silhouettes,
        }
        if augmentation is not None:
            corruption = draw_corruption(augmentation, len(poses), generator)
            silhouettes = corrupted_silhouettes(parts, corruption)
            joints2d_px, visibility = corrupt_joints(
                joints2d_px, visibility, corruption, self.image_size
            )
        proxy = make_proxy(silhouettes, joints2d_px, visibility, self.proxy_dtype)
        return SyntheticBatch(proxy, target)

    def _choose_camera(
        self, batch: int, augmentation: AugmentationOptions | None, generator: Generator
    ) -> Tensor:
        """(B, 3) metres from the camera to the body's origin."""
        cam_t = self.mean_cam_t.expand(batch, -1)
        if augmentation is not None:
            cam_t = cam_t + draw_camera_shift(augmentation, batch, generator)
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


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Which points (B, N, 2) lie in their sample's box (B, 4): (B, N) bool."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    return ((points >= low) & (points < high)).all(dim=-1)


def _frame_mask(frame: Tensor, size: int) -> Tensor:
    """(B, S, S) bool: which pixel centres of the crop lie in the picture's frame (B, 4)."""
    centres = torch.arange(size, dtype=frame.dtype, device=frame.device) + 0.5
    inside = (centres >= frame[:, :2, None]) & (centres < frame[:, 2:, None])  # (B, 2, S)
    return inside[:, 1, :, None] & inside[:, 0, None, :]
