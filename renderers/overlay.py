"""Pictures on photos: bodies, and what a network saw of them, silhouette and joints."""

from typing import NamedTuple

import cv2
import numpy as np
import torch

from kernels import shading_numba
from renderers.shading import MAX_RENDER_SIDE, BodyRenderer
from utils.cameras import project_perspective
from utils.joints import COCO17, COCO17_LIMB_INDICES

WINDOW_MARGIN = 4  # px around the body
PIXELS_PER_DOT = 500  # px of the body for each px of a vertex's dot

TPOSE_SIZE = 480  # px, side of each view
TPOSE_EXTENT = 2.3  # m that each view shows, so that pictures of several people compare
TPOSE_DISTANCE = 12.0  # m
TPOSE_BACKGROUND = 250
FRONT = np.diag([1.0, -1.0, -1.0])  # body axes (y up) to camera axes, seen from the front
FROM_LEFT = FRONT @ np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # seen from the body's left
# From the photo's camera axes to those of a camera beside the person, and of one above.
FROM_RIGHT_OF_CAMERA = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
FROM_ABOVE = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])

SILHOUETTE_COLOUR = (40, 170, 255)
VERTEX_COLOUR = (255, 60, 160)
LEFT_COLOUR = (255, 130, 30)
RIGHT_COLOUR = (60, 210, 90)
MIDDLE_COLOUR = (250, 230, 80)
CROP_COLOUR = (255, 255, 255)
OUTLINE_COLOUR = (20, 20, 20)
SILHOUETTE_OPACITY = 0.45
SUBPIXEL_BITS = 4  # cv2 draws at 1/16 px


class Window(NamedTuple):
    """A part of a photo, whole pixels."""

    x: int  # of its left edge
    y: int  # of its upper edge
    width: int
    height: int


def find_window(points_px: np.ndarray, width: int, height: int) -> Window | None:
    """The window that holds every projected vertex which the photo can show.

    Args:
        points_px: (V, 2) pixels of the photo.
        width: of the photo, pixels.
        height: of the photo, pixels.

    Returns:
        The window, or None where the body is outside the photo.
    """
    extent = np.array([width, height])
    low = np.maximum(np.floor(points_px.min(axis=0)) - WINDOW_MARGIN, 0).astype(int)
    high = np.minimum(np.ceil(points_px.max(axis=0)) + WINDOW_MARGIN, extent).astype(int)
    if (high <= low).any():
        return None
    return Window(*map(int, (*low, *(high - low))))


def draw_body(
    photo: np.ndarray,
    renderer: BodyRenderer,
    vertices_cam: np.ndarray,
    cam_k: np.ndarray,
    colours: np.ndarray | None = None,
    opacity: float = 1.0,
) -> np.ndarray:
    """A photo with a body drawn on it.

    Args:
        photo: (H, W, 3) uint8 RGB; left as it is.
        renderer: for the body's faces.
        vertices_cam: (V, 3) metres, camera frame.
        cam_k: (3, 3) intrinsics of the whole photo, pixels.
        colours: (V, 3) RGB in [0, 1], or None for the usual colour.
        opacity: of the body, in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = photo.shape[:2]
    points_px = _project(vertices_cam, cam_k)
    window = find_window(points_px, width, height)
    if window is None:
        return photo.copy()
    zoom = min(1.0, MAX_RENDER_SIDE / max(window.width, window.height))
    size = (max(1, round(zoom * window.height)), max(1, round(zoom * window.width)))
    scale = np.diag([size[1] / window.width, size[0] / window.height, 1])
    window_k = scale @ (cam_k - [[0, 0, window.x], [0, 0, window.y], [0, 0, 0]])
    picture = renderer.render(vertices_cam, window_k.astype(np.float32), size, colours)
    if zoom < 1:
        picture = cv2.resize(picture, (window.width, window.height), interpolation=cv2.INTER_LINEAR)
    composed = photo.copy()
    rows = slice(window.y, window.y + window.height)
    columns = slice(window.x, window.x + window.width)
    shading_numba.blend(picture, np.float32(opacity), composed[rows, columns])
    return composed


def draw_vertices(photo: np.ndarray, vertices_cam: np.ndarray, cam_k: np.ndarray) -> np.ndarray:
    """A photo with a body's vertices scattered on it, those at the back too.

    Args:
        photo: (H, W, 3) uint8 RGB; left as it is.
        vertices_cam: (V, 3) metres, camera frame.
        cam_k: (3, 3) intrinsics of the whole photo, pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    points_px = _project(vertices_cam, cam_k)
    dots = np.zeros(photo.shape[:2], np.uint8)
    columns, rows = np.floor(points_px).astype(int).T
    inside = (columns >= 0) & (columns < photo.shape[1]) & (rows >= 0) & (rows < photo.shape[0])
    dots[rows[inside], columns[inside]] = 1
    # Where the body is large, dots of one pixel would be dust.
    side = max(1, round(float(np.ptp(points_px, axis=0).max()) / PIXELS_PER_DOT))
    scattered = photo.copy()
    scattered[cv2.dilate(dots, np.ones((side, side), np.uint8)) > 0] = VERTEX_COLOUR
    return scattered


def _project(vertices_cam: np.ndarray, cam_k: np.ndarray) -> np.ndarray:
    pair = (torch.from_numpy(array)[None] for array in (vertices_cam, cam_k))
    return project_perspective(*pair)[0].numpy()


def draw_proxy(
    picture: np.ndarray,
    silhouette: np.ndarray,
    joints2d_px: np.ndarray,
    joint_confidence: np.ndarray,
    crop: np.ndarray | None = None,
) -> np.ndarray:
    """A person's silhouette, joints and limbs, as a detector found them or a network sees them.

    Args:
        picture: (H, W, 3) uint8 RGB below it; left as it is.
        silhouette: (H, W) bool.
        joints2d_px: (17, 2) COCO joints, pixels of the picture.
        joint_confidence: (17,) in [0, 1]; 0: not there.
        crop: (3,) centre x, centre y, side in pixels of what was cut out of the picture, which is
            framed; None where the picture is the crop.

    Returns:
        (H, W, 3) uint8 RGB; orange is the person's left, green the right, hollow joints were
        guessed by the detector rather than seen.
    """
    picture = picture.copy()
    mask = silhouette.astype(np.uint8)
    x, y, width, height = cv2.boundingRect(mask)
    part, mask = (each[y : y + height, x : x + width] for each in (picture, mask))
    tint = np.full_like(part, SILHOUETTE_COLOUR)
    tinted = cv2.addWeighted(part, 1 - SILHOUETTE_OPACITY, tint, SILHOUETTE_OPACITY, 0)
    np.copyto(part, tinted, where=mask[..., None] > 0)
    outline, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(x, y))
    side = float(len(picture) if crop is None else crop[2])
    thickness = max(1, round(side / 250))
    cv2.drawContours(picture, outline, -1, SILHOUETTE_COLOUR, thickness)
    if crop is not None:
        corners = crop[:2] + crop[2] / 2 * np.array([[-1.0, -1], [1, 1]])
        start, end = (tuple(_to_subpixels(corner)) for corner in corners)
        cv2.rectangle(picture, start, end, CROP_COLOUR, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    _draw_skeleton(picture, _to_subpixels(joints2d_px), joint_confidence, thickness)
    return picture


def _draw_skeleton(
    picture: np.ndarray, places: np.ndarray, confidence: np.ndarray, thickness: int
) -> None:
    """Draws limbs and joints, whose `places` (17, 2) are of `_to_subpixels`, into the picture."""
    for start, end in COCO17_LIMB_INDICES:
        if confidence[start] > 0 and confidence[end] > 0:
            colour = _choose_colour(COCO17[start], COCO17[end])
            for width, tone in ((thickness + 2, OUTLINE_COLOUR), (thickness + 1, colour)):
                cv2.line(
                    picture, tuple(places[start]), tuple(places[end]), tone, width,
                    cv2.LINE_AA, SUBPIXEL_BITS,
                )  # fmt: skip
    radius = (2 * thickness + 1) << SUBPIXEL_BITS
    for place, seen, name in zip(places, confidence, COCO17, strict=True):
        if seen > 0:
            filling = cv2.FILLED if seen > 0.5 else thickness
            for width, tone in ((thickness + 2, OUTLINE_COLOUR), (filling, _choose_colour(name))):
                cv2.circle(picture, tuple(place), radius, tone, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _to_subpixels(points_px: np.ndarray) -> np.ndarray:
    """Our continuous pixels to cv2's fixed-point ones, whose integers are pixel centres."""
    return np.rint((points_px - 0.5) * (1 << SUBPIXEL_BITS)).astype(int)


def _choose_colour(*names: str) -> tuple[int, int, int]:
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
    return _draw_sides(renderer, vertices_tpose, (FRONT, FROM_LEFT))


def draw_views(renderer: BodyRenderer, vertices: np.ndarray) -> np.ndarray:
    """The posed body from the side and from above, at the scale of `draw_tpose`.

    Args:
        renderer: for the body's faces.
        vertices: (V, 3) metres, camera axes (y down, z away).

    Returns:
        (TPOSE_SIZE, 2 * TPOSE_SIZE, 3) uint8 RGB; the photo's camera is to the left of the left
        view, and below the right one.
    """
    return _draw_sides(renderer, vertices, (FROM_RIGHT_OF_CAMERA, FROM_ABOVE))


def _draw_sides(
    renderer: BodyRenderer, vertices: np.ndarray, sides: tuple[np.ndarray, ...]
) -> np.ndarray:
    """Pictures side by side; each of `sides` (3, 3) turns the vertices to a camera's axes."""
    canvas = np.full((TPOSE_SIZE, TPOSE_SIZE, 3), TPOSE_BACKGROUND, dtype=np.uint8)
    focal = TPOSE_SIZE * TPOSE_DISTANCE / TPOSE_EXTENT
    half = TPOSE_SIZE / 2
    cam_k = np.array([[focal, 0, half], [0, focal, half], [0, 0, 1]], dtype=np.float32)
    centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    views = []
    for to_camera in sides:
        vertices_cam = (vertices - centre) @ to_camera.T + [0, 0, TPOSE_DISTANCE]
        views.append(draw_body(canvas, renderer, vertices_cam.astype(np.float32), cam_k))
    return np.concatenate(views, axis=1)
