"""What a batch varies by: drawn in one place, from one generator, and applied without one.

The numbers of a batch are drawn in a fixed order, so that a seed gives the same batch again. Errors
of detectors are imitated in two ways: as published, drawn and applied here, or as they were
measured, see `synthesis.detector_errors`.
"""

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from synthesis.detector_errors import DetectorDraws, draw_detector_errors
from synthesis.options import AugmentationOptions
from utils.joints import COCO17, PARTS, SMPL_JOINTS
from utils.proxy import REFERENCE_SIZE
from utils.rotations import axis_angle_to_rotmat
from utils.tensors import constant, happens, normal, uniform

# What is exchanged together: a person's own arm may become another's.
_LIMBS = (
    ("neck", "head"),
    ("left_collar", "left_shoulder", "left_elbow", "left_wrist", "left_hand"),
    ("right_collar", "right_shoulder", "right_elbow", "right_wrist", "right_hand"),
)
_IS_HIP = tuple(float(joint in ("left_hip", "right_hip")) for joint in COCO17)
_LIMB_OF_JOINT = tuple(
    next((number for number, limb in enumerate(_LIMBS) if joint in limb), len(_LIMBS))
    for joint in SMPL_JOINTS
)
# Where in [0, 1) the sides of the frame lie, in proportion to how often they cut: left, top, right,
# bottom.
_CUT_PLACES = (0.0, 0.2, 0.3, 0.5, 1.0)


class PoseVariation(NamedTuple):
    """How poses depart from those of the file; None where nothing varies."""

    turns: Tensor | None = None  # (B, 3) radians about the camera's vertical axis
    shakes: Tensor | None = None  # (B, 23, 3) axis-angle, radians, of every joint but the root
    exchanged: Tensor | None = None  # (B, 4) bool: head, left, right arm come from the next person


class NearCamera(NamedTuple):
    """Cameras that stand near people, where perspective shows."""

    near: Tensor  # (B,) bool, whom
    distance: Tensor  # (B,) metres


class CropVariation(NamedTuple):
    """How a crop departs from the standard one."""

    scale: Tensor  # (B,) added to the crop scale
    shift: Tensor  # (B, 2) added to the centre, shares of the crop's or the frame's side


class Corruption(NamedTuple):
    """Detector errors as published; lengths are shares of the image's side."""

    removed_parts: Tensor  # (B, 7) bool, by `utils.joints.PARTS`
    boxes: Tensor  # (B, 4) x0, y0, x1, y1 cleared from the silhouette; zero area for none
    joint_shift: Tensor  # (B, 17, 2)
    dropped_joints: Tensor  # (B, 17) bool


class Variation(NamedTuple):
    """How B people and their pictures depart from plain ones; None where nothing varies.

    The order of a batch means nothing: its first people have a detector's measured errors, those
    after them the published ones, and the last ones have none.
    """

    pose: PoseVariation = PoseVariation()
    camera_shift: Tensor | None = None  # (B, 3) metres, added to the mean camera translation
    near_camera: NearCamera | None = None
    truncation: Tensor | None = None  # (B, 4) shares cut off, see `draw_truncation`
    crop: CropVariation | None = None
    measured: DetectorDraws | None = None  # of the first M people
    vertex_noise: Tensor | None = None  # (P, V, 2) metres in x and y, of the P people after them
    corruption: Corruption | None = None  # of the same P people

    @property
    def measured_people(self) -> slice:
        """Who has measured errors."""
        return slice(0 if self.measured is None else len(self.measured.aside))

    @property
    def published_people(self) -> slice:
        """Who has the published errors, ragged silhouettes included."""
        first = self.measured_people.stop
        return slice(first, first + (0 if self.corruption is None else len(self.corruption.boxes)))


def draw_variation(
    options: AugmentationOptions,
    batch: int,
    vertices: int,
    generator: Generator,
) -> Variation:
    """Draws all that a batch varies by, but for its shapes, see `draw_betas`.

    Args:
        options: what varies, and how much.
        batch: B.
        vertices: V, of the body model.
        generator: random numbers, on the device of the batch.
    """
    pose = draw_pose_variation(options, batch, generator)
    camera_shift = draw_camera_shift(options, batch, generator)
    near = draw_near_camera(options, batch, generator) if options.near > 0 else None
    measured, any_errors = count_errors(options, batch)
    published = any_errors - measured
    noise = corruption = None
    if published:
        noise = draw_vertex_noise(options, published, vertices, generator)
    # Always drawn, though it may cut nobody: a seed's other numbers stay the same.
    truncation = draw_truncation(options, batch, generator)
    crop = draw_crop_variation(options, batch, generator)
    if published:
        corruption = draw_corruption(options, published, generator)
    return Variation(
        pose=pose,
        camera_shift=camera_shift,
        near_camera=near,
        truncation=truncation if options.truncate > 0 else None,
        crop=crop,
        measured=draw_detector_errors(measured, generator) if measured else None,
        vertex_noise=noise,
        corruption=corruption,
    )


def count_errors(options: AugmentationOptions, batch: int) -> tuple[int, int]:
    """How many people of a batch have a detector's measured errors, and how many have any."""
    measured = 0 if options.detector == "published" else round(batch * options.detector_share)
    return measured, max(measured, round(batch * options.corrupt))


def draw_betas(
    options: AugmentationOptions,
    mean_betas: Tensor,
    batch: int,
    generator: Generator,
    details: int = 0,
) -> Tensor:
    """Random shapes around the mean shape.

    Args:
        options: distribution and spread.
        mean_betas: (10,).
        batch: B.
        generator: on the device of mean_betas.
        details: K, directions of shape that the body has beyond the ten betas.

    Returns:
        (B, 10) betas; (B, 10 + K) where the options ask for shape details.
    """
    size = (batch, len(mean_betas))
    if options.betas_distribution == "normal":
        std = constant(options.betas_std, generator.device)
        away = std * normal(size, generator)
    else:
        away = uniform(size, options.betas_range, generator)
    if options.betas_wide > 0:
        wide = happens((batch, 1), options.betas_wide, generator)
        more = torch.rand((batch, 1), generator=generator, device=generator.device)
        away = away * (1 + wide * more)
    if options.shape_details == 0:
        return mean_betas + away
    more = options.shape_details * normal((batch, details), generator)
    return torch.cat([mean_betas + away, more], dim=1)


def draw_pose_variation(
    options: AugmentationOptions, batch: int, generator: Generator
) -> PoseVariation:
    """Draws how the poses of a batch vary."""
    turns = shakes = exchanged = None
    if options.turn > 0:
        turns = torch.zeros(batch, 3, device=generator.device)
        turns[:, 1] = uniform((batch,), math.radians(options.turn), generator)
    if options.joint_angle_std > 0:
        std = math.radians(options.joint_angle_std)
        shakes = normal((batch, len(SMPL_JOINTS) - 1, 3), generator) * std
    if options.exchange_limbs > 0:
        probabilities = constant((*(options.exchange_limbs for _ in _LIMBS), 0.0), generator.device)
        exchanged = happens((batch, len(_LIMBS) + 1), probabilities, generator)
    return PoseVariation(turns, shakes, exchanged)


def vary_poses(pose_rotmats: Tensor, variation: PoseVariation) -> Tensor:
    """Applies what was drawn.

    Args:
        pose_rotmats: (B, 24, 3, 3), the root's in the camera frame.
        variation: of the same batch.

    Returns:
        (B, 24, 3, 3).
    """
    if variation.exchanged is not None:
        limbs = constant(_LIMB_OF_JOINT, pose_rotmats.device, torch.int64)
        theirs = variation.exchanged.index_select(1, limbs)  # (B, 24)
        others = pose_rotmats.roll(-1, dims=0)
        pose_rotmats = torch.where(theirs[..., None, None], others, pose_rotmats)
    root, joints = pose_rotmats[:, :1], pose_rotmats[:, 1:]
    if variation.shakes is not None:
        joints = joints @ axis_angle_to_rotmat(variation.shakes)
    if variation.turns is not None:
        root = axis_angle_to_rotmat(variation.turns)[:, None] @ root
    return torch.cat([root, joints], dim=1)


def draw_camera_shift(options: AugmentationOptions, batch: int, generator: Generator) -> Tensor:
    """(B, 3) metres to add to the mean camera translation."""
    shift = normal((batch, 3), generator) * options.cam_xy_std
    shift[:, 2] = uniform((batch,), options.cam_z_range, generator)
    return shift


def draw_near_camera(options: AugmentationOptions, batch: int, generator: Generator) -> NearCamera:
    """Who is pictured from nearby, and from how far; the inverse of the distance is uniform."""
    near = happens((batch,), options.near, generator)
    least, most = options.near_distances
    middle, half = (1 / least + 1 / most) / 2, (1 / least - 1 / most) / 2
    return NearCamera(near, 1 / (middle + uniform((batch,), half, generator)))


def apply_near_camera(cam_t: Tensor, camera: NearCamera) -> Tensor:
    """Brings the near cameras to their distance: (B, 3) metres from camera to body."""
    return torch.cat(
        [cam_t[:, :2], torch.where(camera.near, camera.distance, cam_t[:, 2])[:, None]], dim=1
    )


def draw_vertex_noise(
    options: AugmentationOptions, batch: int, vertices: int, generator: Generator
) -> Tensor:
    """Uniform noise in x and y, (B, V, 2) metres; there is none in depth."""
    # Laid out as the body model lays out vertices, so that adding it runs along whole planes.
    return uniform((batch, 2, vertices), options.vertex_noise, generator).mT


def draw_crop_variation(
    options: AugmentationOptions, batch: int, generator: Generator
) -> CropVariation:
    """Random scale and position of the crop."""
    scale = uniform((batch,), options.crop_scale_range, generator)
    shift = uniform((batch, 2), options.crop_shift, generator, unit=1 / REFERENCE_SIZE)
    return CropVariation(scale, shift)


def draw_truncation(options: AugmentationOptions, batch: int, generator: Generator) -> Tensor:
    """How much of the person each side of the frame cuts off.

    One side cuts at a time. The bottom cuts most often: photos from the knees, hips or chest up are
    what people take.

    Returns:
        (B, 4) shares of the person's box cut off at left, top, right and bottom.
    """
    place = torch.rand((batch, 1), generator=generator, device=generator.device)
    start, end = (constant(_CUT_PLACES[which], place.device) for which in (slice(4), slice(1, 5)))
    side = (place >= start) & (place < end)  # (B, 4), true once
    amount = torch.rand(batch, generator=generator, device=generator.device)
    amount = amount * options.truncate_most * happens((batch,), options.truncate, generator)
    return side * amount[:, None]


def apply_truncation(boxes: Tensor, truncation: Tensor) -> Tensor:
    """Cuts boxes (B, 4) x0, y0, x1, y1 by the shares (B, 4) of `draw_truncation`."""
    extent = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + constant((1, 1, -1, -1), boxes.device) * truncation * extent


def draw_corruption(options: AugmentationOptions, batch: int, generator: Generator) -> Corruption:
    """Draws the published detector errors of B people."""
    probabilities = (0.0, *(getattr(options, f"remove_{part}") for part in PARTS[1:]))
    removed = happens((batch, len(PARTS)), constant(probabilities, generator.device), generator)
    centre = 0.5 + uniform((batch, 2), options.occlude_centre / 2, generator)
    occluded = happens((batch, 1), options.occlude, generator)
    half = options.occlude_side / REFERENCE_SIZE / 2 * occluded
    shift = uniform((batch, len(COCO17), 2), options.joint_noise / REFERENCE_SIZE, generator)
    dropped = happens((batch, len(COCO17)), options.joint_dropout, generator)
    if options.hip_noise > 0:
        extent = options.hip_noise / REFERENCE_SIZE
        hips = constant(_IS_HIP, generator.device)[:, None]
        shift += hips * uniform((batch, len(COCO17), 2), extent, generator)
    return Corruption(removed, torch.cat([centre - half, centre + half], dim=1), shift, dropped)


def corrupt_silhouettes(part_segmentation: Tensor, corruption: Corruption) -> Tensor:
    """Silhouettes without the removed body parts and without what a box hides.

    Args:
        part_segmentation: (B, S, S) uint8 labels, `utils.joints.PARTS`.
        corruption: of the same batch.

    Returns:
        (B, S, S) bool.
    """
    size, device = part_segmentation.shape[-1], part_segmentation.device
    # One byte a person: bit n says whether part n stays. Background, bit 0, never does.
    bits = 2 ** torch.arange(len(PARTS), device=device)
    kept = ((~corruption.removed_parts[:, 1:]) * bits[1:]).sum(dim=1).to(torch.uint8)
    centres = (torch.arange(size, device=device) + 0.5) / size
    low, high = corruption.boxes[:, :2, None], corruption.boxes[:, 2:, None]
    seen = ((centres < low) | (centres >= high)).to(torch.uint8)  # (B, 2, S): in x, in y
    silhouettes = kept[:, None, None] >> part_segmentation
    silhouettes &= seen[:, 1, :, None] | seen[:, 0, None, :]  # 0 or 1, so the other bits go
    return silhouettes.view(torch.bool)


def corrupt_joints(
    joints2d_px: Tensor, visibility: Tensor, corruption: Corruption, size: int
) -> tuple[Tensor, Tensor]:
    """Moves joints and loses some.

    Args:
        joints2d_px: (B, 17, 2) pixels of the crop.
        visibility: (B, 17) bool.
        corruption: of the same batch.
        size: side of the crop in pixels.

    Returns:
        The corrupted joints and visibility, same shapes.
    """
    moved = joints2d_px + corruption.joint_shift * size
    return moved, visibility & ~corruption.dropped_joints
