"""The T-posed body with the tape lines that its measurements are the lengths of, labelled."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from metrics.anatomy import Anatomy
from metrics.measurement_errors import MeasurementErrors
from metrics.measurements import Measurements, measure
from metrics.tapes import lay_tapes
from predict.people import Person, Photo, SharedShape, attempt
from renderers.overlay import (
    FROM_LEFT,
    FRONT,
    OUTLINE_COLOUR,
    TPOSE_BACKGROUND,
    TPOSE_DISTANCE,
    draw_body,
)
from renderers.shading import BodyRenderer
from utils.errors import Skipped

ChooseMargins = Callable[[Person, SharedShape | None], MeasurementErrors | None]

VIEW = 960  # px, side of the front view; the side view is half as wide
EXTENT = 2.2  # m that a view shows, so that pictures of several people compare
LABELS = 300  # px, width of a column of labels
ROW = 30  # px, least distance of two labels
TAPE_COLOUR = (200, 30, 60)
BEHIND_COLOUR = (235, 170, 180)  # of what the body hides
LENGTH_COLOUR = (20, 90, 190)
LEADER_COLOUR = (150, 150, 150)
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.52
SIDE_LINES = ("chest_m", "underbust_m", "waist_m", "hips_m", "neck_m", "head_m", "back_length_m")
FROM_BEHIND_LINES = ("back_length_m",)  # lines on the back, which the front view leaves out
_ARM_LINES = ("upper_arm_m", "forearm_m", "wrist_m")
_LIMB_LINES = (*_ARM_LINES, "arm_length_m", "thigh_m", "knee_m", "calf_m", "ankle_m",
               "inside_leg_m")  # fmt: skip
ARM_SLOPE = 0.4  # px upwards for each px along the arm, of labels


class _Label(NamedTuple):
    text: str
    point: np.ndarray  # (2,) px that it belongs to
    wish: float  # px, height at which it would best stand


def draw_tape_pictures(
    predicted: Iterable[Photo | Skipped], anatomy: Anatomy, choose_margins: ChooseMargins
) -> Iterator[Photo | Skipped]:
    """Adds a picture of their measurements to all people.

    Args:
        predicted: photos.
        anatomy: of the body.
        choose_margins: the errors that a person's measurements are known to have.
    """
    renderer = BodyRenderer(anatomy.faces, "own")  # GL draws no better what is this plain

    def draw(photo: Photo) -> Photo:
        people = []
        for person in photo.people:
            margins = choose_margins(person, photo.shape)
            picture = draw_measurements(
                renderer,
                person.arrays["vertices_tpose"],
                anatomy,
                None if margins is None else margins.named(),
            )
            pictures = {**person.pictures, "measurements": picture}
            people.append(replace(person, pictures=pictures))
        return replace(photo, people=tuple(people))

    return (attempt(draw, photo, "drawing measurements") for photo in predicted)


def draw_measurements(
    renderer: BodyRenderer,
    vertices_tpose: np.ndarray,
    anatomy: Anatomy,
    errors: Mapping[str, float] | None = None,
) -> np.ndarray:
    """Draws the body from the front and from its left with tapes, lengths and their names.

    Args:
        renderer: for the body's faces.
        vertices_tpose: (V, 3) metres, body axes (y up).
        anatomy: of the same mesh.
        errors: of the measurements, in their units, by name, where known.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    vertices = np.asarray(vertices_tpose, dtype=np.float64)
    found = measure(vertices, anatomy)
    around, along = lay_tapes(vertices, anatomy)
    centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    front = _draw_view(renderer, vertices - centre, FRONT, VIEW)
    side = _draw_view(renderer, vertices - centre, FROM_LEFT, VIEW // 2)
    labels: tuple[list[_Label], list[_Label]] = ([], [])  # left and right of the front view
    for name, line in {**around, **along}.items():
        closed = name in around
        if name in SIDE_LINES:
            _draw_line(side, _project(line - centre, FROM_LEFT, VIEW // 2), closed)
        if name not in FROM_BEHIND_LINES and len(line):
            points = _project(line - centre, FRONT, VIEW)
            _draw_line(front, points, closed)
            column = 0 if name in _LIMB_LINES else 1
            labels[column].append(_label(name, points, column, name in along, found, errors))
    picture = _join(front, side, labels)
    _write_title(picture, found, errors)
    return picture


def _draw_view(
    renderer: BodyRenderer, vertices: np.ndarray, to_camera: np.ndarray, width: int
) -> np.ndarray:
    canvas = np.full((VIEW, width, 3), TPOSE_BACKGROUND, dtype=np.uint8)
    vertices_cam = vertices @ to_camera.T + [0, 0, TPOSE_DISTANCE]
    return draw_body(canvas, renderer, vertices_cam.astype(np.float32), _camera(width))


def _camera(width: int) -> np.ndarray:
    focal = VIEW * TPOSE_DISTANCE / EXTENT
    return np.array([[focal, 0, width / 2], [0, focal, VIEW / 2], [0, 0, 1]], dtype=np.float32)


def _project(line: np.ndarray, to_camera: np.ndarray, width: int) -> np.ndarray:
    """(N, 3): pixels of the view, and the depth in metres."""
    seen = line @ to_camera.T + [0, 0, TPOSE_DISTANCE]
    pixels = seen @ _camera(width).T
    return np.concatenate([pixels[:, :2] / pixels[:, 2:], seen[:, 2:]], axis=1)


def _draw_line(view: np.ndarray, points: np.ndarray, closed: bool) -> None:
    """Draws a line (N, 3) of `_project`: of closed ones the half that is behind is paler."""
    starts, ends = points, np.roll(points, -1, axis=0)
    if not closed:
        starts, ends = starts[:-1], ends[:-1]
    behind = (starts[:, 2] + ends[:, 2]) / 2 > points[:, 2].mean()
    for hidden in (True, False) if closed else (False,):
        colour = BEHIND_COLOUR if hidden else TAPE_COLOUR if closed else LENGTH_COLOUR
        chosen = behind == hidden if closed else np.ones(len(starts), bool)
        for start, end in zip(starts[chosen], ends[chosen], strict=True):
            _draw_segment(view, start, end, colour, 1 if hidden else 2)


def _draw_segment(
    picture: np.ndarray, start: np.ndarray, end: np.ndarray, colour: tuple, width: int
) -> None:
    ends = (tuple(np.rint(16 * point[:2]).astype(int).tolist()) for point in (start, end))
    cv2.line(picture, *ends, colour, width, cv2.LINE_AA, 4)  # coordinates in 1/16 px


def _label(
    name: str,
    points: np.ndarray,
    column: int,
    is_length: bool,
    found: Measurements,
    errors: Mapping[str, float] | None,
) -> _Label:
    """The label of a line (N, 3) of `_project`, left (0) or right (1) of the front view."""
    if is_length:
        point = points[:, :2].mean(axis=0)
    elif name in _ARM_LINES:
        point = points[points[:, 1].argmin(), :2]
    else:
        point = points[points[:, 0].argmin() if column == 0 else points[:, 0].argmax(), :2]
    # Along the arm: the nearer to the body, the higher, so that no leader crosses another.
    wish = point[1] - (ARM_SLOPE * point[0] if name in _ARM_LINES else 0)
    return _Label(_describe(name, found, errors), point, wish)


def _describe(name: str, found: Measurements, errors: Mapping[str, float] | None) -> str:
    error = round(100 * (errors or {}).get(name, 0.0), 1)
    margin = f" (+-{error:.1f})" if error > 0 else ""
    words = name.removesuffix("_m").replace("_", " ")
    return f"{words} {100 * getattr(found, name):.1f}{margin}"


def _join(
    front: np.ndarray, side: np.ndarray, labels: tuple[list[_Label], list[_Label]]
) -> np.ndarray:
    """The views side by side, with a column of labels on each side of the front view."""
    column = np.full((VIEW, LABELS, 3), TPOSE_BACKGROUND, dtype=np.uint8)
    picture = np.concatenate([column, front, column, side], axis=1)
    for number, (own, x) in enumerate(zip(labels, (12, LABELS + VIEW + 12), strict=True)):
        own = sorted(own, key=lambda label: label.wish)
        for label, y in zip(own, _space_out([label.wish for label in own]), strict=True):
            (width, height), _ = cv2.getTextSize(label.text, FONT, FONT_SCALE, 1)
            place = np.array([x + width + 6 if number == 0 else x - 6, y])
            _draw_segment(picture, place, label.point + np.array([LABELS, 0]), LEADER_COLOUR, 1)
            _write(picture, label.text, (x, round(y + height / 2)))
    return picture


def _space_out(places: list[float]) -> np.ndarray:
    """The nearest places, in the same order, that are `ROW` apart: by pushing down, then up."""
    spaced = np.array(places)
    for index in range(1, len(spaced)):
        spaced[index] = max(spaced[index], spaced[index - 1] + ROW)
    spaced -= max(0.0, spaced[-1] - (VIEW - ROW)) if len(spaced) else 0.0
    return spaced


def _write(picture: np.ndarray, text: str, place: tuple[int, int]) -> None:
    cv2.putText(picture, text, place, FONT, FONT_SCALE, OUTLINE_COLOUR, 1, cv2.LINE_AA)


def _write_title(
    picture: np.ndarray, found: Measurements, errors: Mapping[str, float] | None
) -> None:
    """What has no line in the front view, below the labels on its right."""
    known = errors or {}
    lines = ["girths and lengths in cm"]
    for text, name, unit in (
        (f"height {found.height_m:.2f}", "height_m", "m"),
        (f"weight {found.weight_kg:.0f}", "weight_kg", "kg"),
        (f"BMI {found.bmi_kg_per_m2:.1f}", "bmi_kg_per_m2", "kg/m2"),
    ):
        margin = f" (+-{known[name]:.2g})" if known.get(name, 0) > 1e-6 else ""
        lines.append(f"{text} {unit}{margin}")
    lines.append(_describe("back_length_m", found, errors))
    for row, line in enumerate(reversed(lines)):
        _write(picture, line, (LABELS + VIEW + 12, VIEW - 30 - 24 * row))
