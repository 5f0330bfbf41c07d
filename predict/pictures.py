"""Pictures of predicted people: on their photo, by themselves, and all of a photo together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from predict.options import PictureKind
from predict.people import Person, Photo, attempt
from renderers.overlay import draw_body, draw_proxy, draw_tpose, draw_vertices, draw_views
from renderers.shading import BODY_COLOUR, BodyRenderer
from utils.errors import Skipped

STANDARD_PICTURES: tuple[PictureKind, ...] = ("overlay", "tpose", "proxy")
PICTURE_SIDE = 1600  # px, longer side; larger photos are shown reduced
PEOPLE_COLOURS = (  # RGB in [0, 1], of the people in one picture, over and over
    BODY_COLOUR,
    (0.95, 0.72, 0.55),
    (0.66, 0.85, 0.62),
    (0.93, 0.66, 0.78),
    (0.93, 0.87, 0.55),
    (0.74, 0.68, 0.92),
    (0.55, 0.84, 0.84),
    (0.80, 0.76, 0.70),
)


def draw_photos(
    predicted: Iterable[Photo | Skipped],
    faces: np.ndarray,
    renderer: str,
    kinds: Sequence[PictureKind],
) -> Iterator[Photo | Skipped]:
    """Draws every person's pictures; the photos' images are no longer needed then.

    All in one generator, so that the renderer is made in the thread that draws: a GL context
    belongs to one thread.

    Args:
        predicted: photos with their images.
        faces: (F, 3) of the body.
        renderer: a backend of `renderers.shading.BodyRenderer`.
        kinds: of pictures to draw.

    Raises:
        InputError: the renderer that was asked for does not work here.
    """
    made = None
    for photo in predicted:
        if made is None and not isinstance(photo, Skipped):
            # Not earlier: until it has found somebody a detector may keep stderr closed, and
            # nobody would read that there is no OpenGL.
            made = BodyRenderer(faces, renderer)
        yield attempt(partial(draw_photo, renderer=made, kinds=kinds), photo, "drawing")


def draw_photo(photo: Photo, renderer: BodyRenderer, kinds: Sequence[PictureKind]) -> Photo:
    """A photo with the pictures of its people and of them all, and without its image."""
    image, shown = shrink_for_pictures(photo.image, photo.people)
    people = [
        replace(person, pictures=draw_person(image, small, renderer, kinds))
        for person, small in zip(photo.people, shown, strict=True)
    ]
    pictures = {"people": draw_people(image, shown, renderer)} if "people" in kinds else {}
    return replace(photo, image=None, people=tuple(people), pictures=pictures)


def draw_person(
    image: np.ndarray, person: Person, renderer: BodyRenderer, kinds: Sequence[PictureKind]
) -> dict[str, np.ndarray]:
    """A predicted person's pictures by kind, (H, W, 3) uint8 RGB.

    Args:
        image: (H, W, 3) uint8 RGB, the photo; left as it is.
        person: who was predicted in it.
        renderer: for the body's faces.
        kinds: of pictures to draw.
    """
    arrays, seen = person.arrays, person.detection
    draw = {
        "overlay": lambda: draw_body(image, renderer, _place(person), arrays["cam_k"]),
        "tpose": lambda: draw_tpose(renderer, arrays["vertices_tpose"]),
        "proxy": lambda: draw_proxy(
            image, seen.silhouette, seen.joints2d_px, seen.joint_confidence, arrays["crops"]
        ),
        "views": lambda: draw_views(renderer, arrays["vertices"]),
        "vertices": lambda: draw_vertices(image, _place(person), arrays["cam_k"]),
    }
    return {kind: draw[kind]() for kind in kinds if kind in draw}


def draw_people(image: np.ndarray, people: Sequence[Person], renderer: BodyRenderer) -> np.ndarray:
    """A photo with all of its people, each in a colour of their own.

    Who looks smaller is farther away, and drawn first: nothing else tells who stands behind whom,
    since each person is predicted alone.

    Args:
        image: (H, W, 3) uint8 RGB; left as it is.
        people: the most prominent first, who has the first colour.
        renderer: for the body's faces.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    order = sorted(range(len(people)), key=lambda index: people[index].arrays["cam_photo"][0])
    for index in order:
        vertices_cam = _place(people[index])
        colour = np.float32(PEOPLE_COLOURS[index % len(PEOPLE_COLOURS)])
        colours = np.broadcast_to(colour, vertices_cam.shape)
        image = draw_body(image, renderer, vertices_cam, people[index].arrays["cam_k"], colours)
    return image


def _place(person: Person) -> np.ndarray:
    """(V, 3) metres, before the camera cam_k."""
    return person.arrays["vertices"] + person.arrays["cam_t"]


def shrink_for_pictures(
    image: np.ndarray, people: Sequence[Person]
) -> tuple[np.ndarray, list[Person]]:
    """Shrinks a photo to `PICTURE_SIDE`, and moves what is known about the people in it.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: in pixels of this photo.

    Returns:
        The smaller photo and the people in its pixels (the detection, and cam_k, cam_photo, crops
        and joints2d_px of the arrays); all as they are where the photo is no larger.
    """
    height, width = image.shape[:2]
    if max(height, width) <= PICTURE_SIDE:
        return image, list(people)
    zoom = PICTURE_SIDE / max(height, width)
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    smaller = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return smaller, [_shrink_person(person, size, zoom) for person in people]


def _shrink_person(person: Person, size: tuple[int, int], zoom: float) -> Person:
    """The person in a photo of another size (width, height), `zoom` times as large."""
    detection, arrays = person.detection, person.arrays
    height, width = detection.silhouette.shape
    scale = np.array([size[0] / width, size[1] / height], dtype=np.float32)
    silhouette = cv2.resize(
        detection.silhouette.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST
    )
    shrunk = replace(
        detection,
        silhouette=silhouette.astype(bool),
        joints2d_px=detection.joints2d_px * scale,
        box=detection.box * np.tile(scale, 2),
    )
    moved = {
        "cam_k": np.diag([*scale, 1]).astype(np.float32) @ arrays["cam_k"],
        "cam_photo": arrays["cam_photo"] * np.array([zoom, *scale], dtype=np.float32),
        "crops": arrays["crops"] * np.array([*scale, zoom], dtype=np.float32),
        "joints2d_px": arrays["joints2d_px"] * scale,
    }
    return replace(person, detection=shrunk, arrays={**arrays, **moved})
