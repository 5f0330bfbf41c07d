"""How training data is varied; the defaults are those of the published system."""

from dataclasses import dataclass
from typing import Annotated, Literal

from utils.conventions import CROP_SCALE, NUM_BETAS
from utils.errors import InputError
from utils.options import (
    AnyExtent,
    EachRange,
    Extent,
    ExtentRange,
    NotNegative,
    OneOrMore,
    Positive,
    Range,
    Share,
    ends_of,
)


@dataclass(frozen=True)
class CameraOptions:
    """The perspective camera that pictures the synthetic people, and what its crops are."""

    focal_length: Positive = 5000.0  # pixels
    frame_size: OneOrMore = 256  # pixels, side of the picture before cropping
    mean_translation: tuple[float, float, float] = (0.0, 0.2, 42.0)  # metres
    # side of the crop over the longer side of the person's box; predicting takes 1.2
    crop_scale: Positive = CROP_SCALE
    # Where a crop reaches beyond the frame: it shows what is there (extend), or it is cut at the
    # frame's border and stretched to a square, as published.
    crop_border: Literal["extend", "stretch"] = "extend"
    # What --augmentation.crop-shift is given in: pixels of the crop, or, as published, of the frame
    crop_shift_in: Literal["crop", "frame"] = "crop"


@dataclass(frozen=True)
class AugmentationOptions:
    """Random shape, camera, crop and proxy corruption.

    Lengths in pixels are for crops of 256 x 256 and scale with the crop's side. Where a number
    stands for "+-", its two ends may be given instead: `--augmentation.crop-shift -3 6`.
    """

    # degrees, +- about the vertical, added to the heading; published: 0
    turn: Annotated[float, Range(0, 180)] = 0.0
    joint_angle_std: NotNegative = 0.0  # degrees, about each axis of every joint; published: 0
    exchange_limbs: Share = 0.0  # probability that head or an arm is another's; published: 0
    betas_distribution: Literal["normal", "uniform"] = "normal"
    # around the mean shape, one for all betas or one for each; for "normal"
    betas_std: Annotated[float | tuple[float, ...], EachRange(count=NUM_BETAS)] = 1.5
    betas_range: AnyExtent = 3.0  # per component, +- around the mean shape; for "uniform"
    # share of people whose betas spread more, up to twice as much; published: 0
    betas_wide: Share = 0.0
    # of shape in directions that no beta has, in the betas' units; 1.5: as people are; published: 0
    shape_details: NotNegative = 0.0
    cam_xy_std: NotNegative = 0.05  # metres
    cam_z_range: AnyExtent = 5.0  # metres, +- around the mean translation
    near: Share = 0.0  # share of people whom the camera stands near, as in photos; published: 0
    # metres, of that camera: people in full, within what the renderer draws
    near_distances: Annotated[tuple[float, float], Range(1, 90)] = (2.5, 12.0)
    vertex_noise: NotNegative = 0.01  # metres, +- in x and y: ragged silhouette edges
    crop_scale_range: Annotated[Extent, ExtentRange(0, 1)] = 0.2  # +- around the crop scale
    crop_shift: AnyExtent = 5.0  # pixels, +- in x and y
    corrupt: Share = 1.0  # share of people whose silhouette and joints have errors; published: 1
    # Whose errors they are: drawn as published, or measured on a detector (data/README.md).
    detector: Literal["published", "mediapipe"] = "published"
    detector_share: Share = 0.5  # of people with the measured errors, when there are any
    remove_left_arm: Share = 0.1  # probability that the part is missing from the silhouette
    remove_right_arm: Share = 0.1
    remove_head: Share = 0.1
    remove_left_leg: Share = 0.1
    remove_right_leg: Share = 0.1  # published: 0.05
    remove_torso: Share = 0.05
    occlude: Share = 0.5  # probability that a box is cleared from the silhouette
    occlude_side: NotNegative = 48.0  # pixels
    occlude_centre: Share = 0.3  # share of the image, about its middle, where the box's centre lies
    joint_noise: NotNegative = 8.0  # pixels, +- in x and y
    hip_noise: NotNegative = 0.0  # pixels, +- in x and y, added for the hips; published: 0
    joint_dropout: Share = 0.0  # probability that a joint goes undetected; published: 0
    truncate: Share = 0.0  # probability that the frame cuts the person; published: 0
    truncate_most: Share = 0.5  # share of the person's height or width that may be cut off


def check_views(camera: CameraOptions, augmentation: AugmentationOptions) -> None:
    """Raises InputError for cameras and crops that would show nobody."""
    nearest = camera.mean_translation[2] + ends_of(augmentation.cam_z_range)[0]
    if nearest <= 0:
        raise InputError(
            f"--augmentation.cam-z-range is {augmentation.cam_z_range}; expected less than the "
            f"camera's distance of {camera.mean_translation[2]} m"
        )
    smallest = camera.crop_scale + ends_of(augmentation.crop_scale_range)[0]
    if smallest <= 0:
        raise InputError(
            f"--augmentation.crop-scale-range is {augmentation.crop_scale_range}; expected less "
            f"than the crop scale of {camera.crop_scale} (--camera.crop-scale)"
        )
    if camera.crop_border == "stretch" and augmentation.near > 0:
        raise InputError(
            f"--augmentation.near is {augmentation.near}; expected 0 with --camera.crop-border "
            "stretch: people pictured from nearby do not fit into the frame"
        )
