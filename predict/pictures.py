"""The pictures that go with a prediction: what the network saw, and what it made of it."""

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from predict.detectors.interface import Detection
from renderers.overlay import BodyRenderer, draw_body
from utils.joints import COCO17, COCO17_LIMB_INDICES

SILHOUETTE_COLOUR = (40, 170, 255)
LEFT_COLOUR = (255, 130, 30)
RIGHT_COLOUR = (60, 210, 90)
MIDDLE_COLOUR = (250, 230, 80)
CROP_COLOUR = (255, 255, 255)
OUTLINE_COLOUR = (20, 20, 20)
SILHOUETTE_OPACITY = 0.45
SUBPIXEL_BITS = 4  # cv2 draws at 1/16 px

PICTURE_SIDE = 1600  # px, longer side; larger photos are shown reduced
TPOSE_SIZE = 480  # px, side of each view
TPOSE_EXTENT = 2.3  # m that each view shows, so that pictures of several people compare
TPOSE_DISTANCE = 12.0  # m
TPOSE_BACKGROUND = 250
FRONT = np.diag([1.0, -1.0, -1.0])  # body axes (y up) to camera axes, seen from the front
FROM_LEFT = FRONT @ np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # seen from the body's left


class View(NamedTuple):
    """A person in a photo as pictures show them: no larger than `PICTURE_SIDE`."""

    photo: np.ndarray  # (H, W, 3) uint8 RGB
    detection: Detection  # in pixels of this photo
    person: dict[str, np.ndarray]  # `Bodies.person`; cam_k, crops and joints2d_px as above


def view_for_pictures(
    photo: np.ndarray, detection: Detection, person: dict[str, np.ndarray]
) -> View:
    """Reduces a large photo, and what is known about a person in it; others stay as they are.

    Args:
        photo: (H, W, 3) uint8 RGB.
        detection: of the person.
        person: arrays of `predict.pipeline.Bodies.person`.
    """
    height, width = photo.shape[:2]
    if max(height, width) <= PICTURE_SIDE:
        return View(photo, detection, person)
    zoom = PICTURE_SIDE / max(height, width)
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    scale = np.array([size[0] / width, size[1] / height], dtype=np.float32)
    silhouette = cv2.resize(
        detection.silhouette.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST
    )
    reduced = replace(
        detection,
        silhouette=silhouette.astype(bool),
        joints2d_px=detection.joints2d_px * scale,
        box=detection.box * np.tile(scale, 2),
    )
    to_reduced = np.diag([*scale, 1]).astype(np.float32)
    moved = {
        "cam_k": to_reduced @ person["cam_k"],
        "crops": person["crops"] * np.array([*scale, zoom], dtype=np.float32),
        "joints2d_px": person["joints2d_px"] * scale,
    }
    smaller = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return View(smaller, reduced, {**person, **moved})


def draw_proxy(photo: np.ndarray, detection: Detection, crop: np.ndarray) -> np.ndarray:
    """The detected silhouette, joints and limbs on the photo, and the crop that was cut.

    Args:
        photo: (H, W, 3) uint8 RGB; left as it is.
        detection: of the person.
        crop: (3,) centre x, centre y, side in pixels of the photo.

    Returns:
        (H, W, 3) uint8 RGB; orange is the person's left, green the right, hollow joints were
        guessed by the detector rather than seen.
    """
    picture = photo.copy()
    tint = np.array(SILHOUETTE_COLOUR) * SILHOUETTE_OPACITY
    within = picture[detection.silhouette] * (1 - SILHOUETTE_OPACITY) + tint
    picture[detection.silhouette] = within.astype(np.uint8)
    outline, _ = cv2.findContours(
        detection.silhouette.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    thickness = max(1, round(float(crop[2]) / 250))
    cv2.drawContours(picture, outline, -1, SILHOUETTE_COLOUR, thickness)
    _draw_box(picture, crop, thickness)
    _draw_skeleton(picture, detection, thickness)
    return picture


def _draw_box(picture: np.ndarray, crop: np.ndarray, thickness: int) -> None:
    corners = crop[:2] + crop[2] / 2 * np.array([[-1.0, -1], [1, 1]])
    start, end = (tuple(_subpixel(corner)) for corner in corners)
    cv2.rectangle(picture, start, end, CROP_COLOUR, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_skeleton(picture: np.ndarray, detection: Detection, thickness: int) -> None:
    places = _subpixel(detection.joints2d_px)
    detected = detection.joint_confidence > 0
    for start, end in COCO17_LIMB_INDICES:
        if detected[start] and detected[end]:
            colour = _side_colour(COCO17[start], COCO17[end])
            for width, tone in ((thickness + 2, OUTLINE_COLOUR), (thickness + 1, colour)):
                cv2.line(
                    picture, tuple(places[start]), tuple(places[end]), tone, width,
                    cv2.LINE_AA, SUBPIXEL_BITS,
                )  # fmt: skip
    radius = (2 * thickness + 1) << SUBPIXEL_BITS
    for place, confidence, name in zip(places, detection.joint_confidence, COCO17, strict=True):
        if confidence > 0:
            filling = cv2.FILLED if confidence > 0.5 else thickness
            for width, tone in ((thickness + 2, OUTLINE_COLOUR), (filling, _side_colour(name))):
                cv2.circle(picture, tuple(place), radius, tone, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _subpixel(points_px: np.ndarray) -> np.ndarray:
    """Our continuous pixels to cv2's fixed-point ones, whose integers are pixel centres."""
    return np.rint((points_px - 0.5) * (1 << SUBPIXEL_BITS)).astype(int)


def _side_colour(*names: str) -> tuple[int, int, int]:
    for side, colour in (("left_", LEFT_COLOUR), ("right_", RIGHT_COLOUR)):
        if all(name.startswith(side) for name in names):
            return colour
    return MIDDLE_COLOUR


def draw_tpose(renderer: BodyRenderer, vertices_tpose: np.ndarray) -> np.ndarray:
    """The T-posed body from the front and from its left, at the same scale for everybody.

    Args:
        renderer: for the body's faces.
        vertices_tpose: (V, 3) metres, body axes (y up).

    Returns:
        (TPOSE_SIZE, 2 * TPOSE_SIZE, 3) uint8 RGB.
    """
    canvas = np.full((TPOSE_SIZE, TPOSE_SIZE, 3), TPOSE_BACKGROUND, dtype=np.uint8)
    focal = TPOSE_SIZE * TPOSE_DISTANCE / TPOSE_EXTENT
    half = TPOSE_SIZE / 2
    cam_k = np.array([[focal, 0, half], [0, focal, half], [0, 0, 1]], dtype=np.float32)
    centre = (vertices_tpose.min(axis=0) + vertices_tpose.max(axis=0)) / 2
    views = []
    for to_camera in (FRONT, FROM_LEFT):
        vertices_cam = (vertices_tpose - centre) @ to_camera.T + [0, 0, TPOSE_DISTANCE]
        views.append(draw_body(canvas, renderer, vertices_cam.astype(np.float32), cam_k))
    return np.concatenate(views, axis=1)


def draw_overlay(
    photo: np.ndarray, renderer: BodyRenderer, person: dict[str, np.ndarray]
) -> np.ndarray:
    """The predicted body on the whole photo.

    Args:
        photo: (H, W, 3) uint8 RGB; left as it is.
        renderer: for the body's faces.
        person: arrays of `predict.pipeline.Bodies.person`.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    vertices_cam = person["vertices"] + person["cam_t"]
    return draw_body(photo, renderer, vertices_cam, person["cam_k"])
