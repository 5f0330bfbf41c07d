"""The true people of an evaluation's frames: bodies, silhouettes and joints."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data.frames import Frame
from metrics.anatomy import Anatomy
from metrics.comparison import measure_people
from metrics.measurements import Measurements
from models.body_model import BodyModel
from predict.detectors.interface import Detection
from predict.detectors.masks import tight_box
from renderers.rasteriser import Rasteriser
from utils.cameras import (
    boxes_of_points,
    boxes_of_silhouettes,
    crop_intrinsics,
    cut_silhouettes,
    inside_image,
    project_perspective,
    square_crops,
)
from utils.errors import InputError, Skipped
from utils.joints import COCO17_IN_90
from utils.proxy import REFERENCE_SIZE
from utils.rotations import pose_to_rotmats


class TruePeople(NamedTuple):
    """B people as they truly are; camera axes, body origin, metres."""

    vertices: Tensor  # (B, V, 3)
    vertices_tpose: Tensor  # (B, V, 3) body axes
    joints3d: Tensor  # (B, 90, 3)
    pose_rotmats: Tensor  # (B, 24, 3, 3)
    betas: Tensor  # (B, 10)
    measurements: Tensor  # (B, N) float64 on the CPU, the fields of `Measurements`


class TrueView(NamedTuple):
    """The same people in their photos, or in synthetic ones; None where not known."""

    crops: Tensor  # (B, 3) the reference crop: centre x, centre y, side in pixels of the photo
    boxes: Tensor | None  # (B, 4) tight, x0, y0, x1, y1 in pixels of the photo
    silhouettes: Tensor | None  # (B, R, R) bool in the reference crop
    counted: Tensor  # (B, R, R) bool, which pixels of the reference crop the photo covers
    joints2d_px: Tensor | None  # (B, 17, 2) pixels of the photo
    visibility: Tensor | None  # (B, 17) bool


class TrueBodies:
    """The true bodies of frames: posed, measured, and seen in their photos.

    Args:
        bodies: the bodies that the truth is given for, by gender; all of one mesh.
        device: where everything is computed.
    """

    def __init__(self, bodies: dict[str, BodyModel], device: torch.device) -> None:
        self._bodies = {gender: body.eval().to(device) for gender, body in bodies.items()}
        self._device = device
        first = next(iter(self._bodies.values()))
        self.faces, self._face_parts = first.faces, first.face_parts
        self.anatomy = Anatomy.of(first)
        self.hashes = {body.identity["hash"] for body in self._bodies.values()}
        self._measured: dict[tuple[str, bytes], Tensor] = {}  # (N,) by gender and betas

    @torch.inference_mode()
    def pose(self, frames: Sequence[Frame]) -> TruePeople:
        """The people of frames, each with the body of their gender."""
        betas = torch.stack([torch.from_numpy(frame.betas) for frame in frames]).to(self._device)
        pose = torch.stack([torch.from_numpy(frame.pose) for frame in frames]).to(self._device)
        rotmats = pose_to_rotmats(pose)
        rows, parts = [], []
        for gender, body in self._bodies.items():
            chosen = [row for row, frame in enumerate(frames) if frame.gender == gender]
            if chosen:
                offsets = self._stack_offsets([frames[row] for row in chosen])
                output = body(betas[chosen], rotmats[chosen], offsets)
                parts.append((output.vertices, output.vertices_tpose, output.joints3d))
                rows += chosen
        back = torch.tensor(rows).argsort()
        vertices, tpose, joints3d = (torch.cat(each)[back] for each in zip(*parts, strict=True))
        measurements = self._measure(frames, tpose)
        return TruePeople(vertices, tpose, joints3d, rotmats, betas, measurements)

    def _stack_offsets(self, frames: Sequence[Frame]) -> Tensor | None:
        """(B, V, 3) of people whom betas cannot tell; None for others."""
        if frames[0].offsets is None:
            return None
        return torch.stack([torch.from_numpy(frame.offsets) for frame in frames]).to(self._device)

    def _measure(self, frames: Sequence[Frame], vertices_tpose: Tensor) -> Tensor:
        """Measures bodies of frames, each shape once: one is looked at from many sources."""
        keys = [(frame.gender, frame.betas.tobytes()) for frame in frames]
        new = [row for row, key in enumerate(keys) if key not in self._measured]
        for row, sizes in zip(new, measure_people(vertices_tpose[new], self.anatomy), strict=True):
            self._measured[keys[row]] = sizes
        return torch.stack([self._measured[key] for key in keys])

    def measure(self, frames: Sequence[Frame], batch_size: int = 64) -> Tensor:
        """(N, M) float64 the true bodies' measurements, the fields of `Measurements`."""
        pieces = range(0, len(frames), batch_size)
        return torch.cat(
            [self.pose(frames[start : start + batch_size]).measurements for start in pieces]
        )

    def compute_bmis(self, frames: Sequence[Frame], batch_size: int = 64) -> list[float]:
        """Body-mass indices of the true bodies, kg / m^2, at the density of water."""
        sizes = self.measure(frames, batch_size)
        return sizes[:, Measurements._fields.index("bmi_kg_per_m2")].tolist()

    def look(self, frame: Frame, size: tuple[int, int]) -> tuple[TruePeople, TrueView]:
        """The person of a frame as they are, and where they are in the photo.

        Args:
            frame: with a silhouette, or a camera, or neither.
            size: height and width of the photo.
        """
        people = self.pose([frame])
        height, width = size
        whole = torch.ones(1, height, width, dtype=torch.bool, device=self._device)
        boxes = silhouettes = None
        crops = square_crops(boxes_of_silhouettes(whole), 1.0)
        if frame.silhouette is not None:
            mask = torch.from_numpy(_read_mask(frame, size))[None].to(self._device)
            boxes = boxes_of_silhouettes(mask)
            crops = square_crops(boxes)
            silhouettes = cut_silhouettes(mask, crops, REFERENCE_SIZE)
        elif frame.cam_k is not None:
            vertices_cam, cam_k = self._place_before_camera(frame, people.vertices)
            boxes = boxes_of_points(project_perspective(vertices_cam, cam_k))
            crops = square_crops(boxes)
            boxes = boxes.minimum(boxes.new_tensor([width, height] * 2)).clamp(min=0)
            crop_k = crop_intrinsics(cam_k, crops, REFERENCE_SIZE)
            silhouettes = self._render_silhouettes(vertices_cam, crop_k, REFERENCE_SIZE)
        counted = cut_silhouettes(whole, crops, REFERENCE_SIZE)
        joints2d_px, visibility = self._locate_joints(frame, people, size)
        return people, TrueView(crops, boxes, silhouettes, counted, joints2d_px, visibility)

    def _place_before_camera(self, frame: Frame, points: Tensor) -> tuple[Tensor, Tensor]:
        cam_t = torch.from_numpy(frame.cam_t).to(self._device)
        return points + cam_t, torch.from_numpy(frame.cam_k).to(self._device)[None]

    def _render_silhouettes(
        self, vertices_cam: Tensor, cam_k: Tensor, size: int | tuple[int, int]
    ) -> Tensor:
        rasteriser = Rasteriser(self.faces, self._face_parts, size).to(self._device)
        return rasteriser.part_segmentation(vertices_cam, cam_k) > 0

    def _locate_joints(
        self, frame: Frame, people: TruePeople, size: tuple[int, int]
    ) -> tuple[Tensor | None, Tensor | None]:
        """The dataset's joints, else the true body's where the camera is known."""
        if frame.joints2d_px is not None:
            pair = (frame.joints2d_px, frame.visibility)
            return tuple(torch.from_numpy(array)[None].to(self._device) for array in pair)
        if frame.cam_k is None:
            return None, None
        joints2d_px = project_perspective(
            *self._place_before_camera(frame, people.joints3d[:, COCO17_IN_90])
        )
        return joints2d_px, inside_image(joints2d_px, width=size[1], height=size[0])

    def detect(
        self, frame: Frame, people: TruePeople, view: TrueView, size: tuple[int, int]
    ) -> Detection | Skipped:
        """The dataset's own silhouette and joints, in the form of a detector's result.

        Args:
            frame: the photo.
            people: the person in it, from `look`.
            view: of the same person.
            size: height and width of the photo.

        Raises:
            InputError: the dataset has no silhouette or no joints.
        """
        if view.silhouettes is None or view.joints2d_px is None:
            raise InputError(f"{frame.name}: the dataset has no silhouette or no joints of its own")
        if frame.silhouette is not None:
            silhouette = _read_mask(frame, size)
        else:
            pair = self._place_before_camera(frame, people.vertices)
            silhouette = self._render_silhouettes(*pair, size)[0].cpu().numpy()
        if not silhouette.any():
            return Skipped(frame.name, "the true silhouette lies outside the photo")
        return Detection(
            silhouette,
            view.joints2d_px[0].cpu().numpy(),
            view.visibility[0].float().cpu().numpy(),
            tight_box(silhouette),
        )


def _read_mask(frame: Frame, size: tuple[int, int]) -> np.ndarray:
    mask = frame.read_silhouette()
    if mask.shape != size:
        raise InputError(
            f"{frame.silhouette} has {mask.shape[1]} x {mask.shape[0]} pixels, but its photo "
            f"{size[1]} x {size[0]}"
        )
    return np.ascontiguousarray(mask)
