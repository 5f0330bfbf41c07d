"""How training data is varied; the defaults are those of the published system."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class AugmentationOptions:
    """Random shape, camera, crop and proxy corruption.

    Lengths in pixels are for crops of 256 x 256 and scale with the crop's side.
    """

    turn: float = 0.0  # degrees, +- about the vertical, added to the heading; published: 0
    joint_angle_std: float = 0.0  # degrees, about each axis of every joint; published: 0
    exchange_limbs: float = 0.0  # probability that head or an arm is another's; published: 0
    betas_distribution: Literal["normal", "uniform"] = "normal"
    betas_std: float = 1.5  # per component, around the mean shape; for "normal"
    betas_range: float = 3.0  # per component, +- around the mean shape; for "uniform"
    cam_xy_std: float = 0.05  # metres
    cam_z_range: float = 5.0  # metres, +-
    near: float = 0.0  # share of people whom the camera stands near, as in photos; published: 0
    near_distances: tuple[float, float] = (2.5, 12.0)  # metres, of that camera
    vertex_noise: float = 0.01  # metres, +- in x and y: ragged silhouette edges
    crop_scale_range: float = 0.2  # +- around the crop scale
    crop_shift: float = 5.0  # pixels, +-
    corrupt: float = 1.0  # share of people whose silhouette and joints have errors; published: 1
    # Whose errors they are: drawn as published, or measured on a detector (data/README.md).
    detector: Literal["published", "mediapipe"] = "published"
    detector_share: float = 0.5  # of people with the measured errors, when there are any
    remove_left_arm: float = 0.1  # probability that the part is missing from the silhouette
    remove_right_arm: float = 0.1
    remove_head: float = 0.1
    remove_left_leg: float = 0.1
    remove_right_leg: float = 0.1  # published: 0.05
    remove_torso: float = 0.05
    occlude: float = 0.5  # probability that a box is cleared from the silhouette
    occlude_side: float = 48.0  # pixels
    occlude_centre: float = 0.3  # share of the image, about its middle, where the box's centre lies
    joint_noise: float = 8.0  # pixels, +- in x and y
    joint_dropout: float = 0.0  # probability that a joint goes undetected; published: 0
    truncate: float = 0.0  # probability that the frame cuts the person; published: 0
    truncate_most: float = 0.5  # share of the person's height or width that may be cut off
