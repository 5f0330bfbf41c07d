"""The overlay of a clip: its frames with the followed people's bodies on them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from models.body_model import BodyModel
from predict.folder import QUEUE_DEPTH, Background
from predict.motion import TrackedPerson, far_cameras
from predict.pictures import PEOPLE_COLOURS, PICTURE_SIDE
from predict.video import Clip, ClipWriter, Frame
from renderers.overlay import draw_body
from renderers.shading import BodyRenderer


class _Drawn(NamedTuple):
    time: float  # seconds
    image: np.ndarray  # (H, W, 3) uint8 RGB


def write_overlay(
    clip: Clip,
    people: Sequence[TrackedPerson],
    body_model: BodyModel,
    renderer: str,
    path: Path,
    folder: Path,
) -> str:
    """Draws people on the frames of their clip, and writes it with the clip's sound.

    Args:
        clip: to read.
        people: who was followed in it.
        body_model: theirs, on the CPU.
        renderer: a backend of `renderers.shading.BodyRenderer`.
        path: of the mp4 file.
        folder: for what is unfinished.

    Returns:
        What became of the sound, where there is something to tell.

    Raises:
        InputError: the clip cannot be read or the file not written; or the renderer that was asked
            for does not work here.
    """
    size, zoom = _choose_size(clip)
    unfinished = folder / "overlay.mp4"
    sound = None if clip.images else clip.path
    with Background() as background, ClipWriter(path, unfinished, size) as writer:
        frames = background.ahead(clip.frames(), QUEUE_DEPTH)
        drawn = background.ahead(
            _draw(frames, people, body_model, renderer, size, zoom), QUEUE_DEPTH
        )
        for frame in tqdm(drawn, "drawing", clip.count or None, unit="frame"):
            writer.add(frame.time, frame.image)
        return writer.finish(sound)


def _choose_size(clip: Clip) -> tuple[tuple[int, int], float]:
    """Width and height of the overlay, even as encoders want them; and the frames' zoom."""
    zoom = min(1.0, PICTURE_SIDE / max(clip.width, clip.height))
    width, height = (max(2, round(side * zoom) // 2 * 2) for side in (clip.width, clip.height))
    return (width, height), zoom


def _draw(
    frames: Iterator[Frame],
    people: Sequence[TrackedPerson],
    body_model: BodyModel,
    renderer_name: str,
    size: tuple[int, int],
    zoom: float,
) -> Iterator[_Drawn]:
    # Here, in the thread that draws: a GL context belongs to one thread.
    renderer = BodyRenderer(body_model.faces.numpy(), renderer_name)
    rows = [dict(zip(person.frames.tolist(), range(len(person.frames)), strict=True))
            for person in people]  # fmt: skip
    for frame in frames:
        height, width = frame.image.shape[:2]
        image = frame.image
        if zoom < 1:
            image = cv2.resize(
                image, (round(width * zoom), round(height * zoom)), interpolation=cv2.INTER_AREA
            )
        image = image[: size[1], : size[0]]
        there = [
            (number, rows[number][frame.index])
            for number in range(len(people)) if frame.index in rows[number]
        ]  # fmt: skip
        # Who looks smaller is taken to stand further away, and is drawn first.
        there.sort(key=lambda place: float(people[place[0]].cam_photo[place[1], 0]))
        for number, row in there:
            colour = np.float32(PEOPLE_COLOURS[number % len(PEOPLE_COLOURS)])
            vertices, cam_k = _pose(people[number], row, body_model, (width, height))
            cam_k = np.diag([zoom, zoom, 1]).astype(np.float32) @ cam_k
            colours = np.broadcast_to(colour, vertices.shape)
            image = draw_body(image, renderer, vertices, cam_k, colours)
        yield _Drawn(frame.time, np.ascontiguousarray(image))


@torch.inference_mode()
def _pose(
    person: TrackedPerson, row: int, body_model: BodyModel, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3), metres, in the frame of the camera, and its intrinsics (3, 3)."""
    betas, rotmats = person.betas[row : row + 1], person.pose_rotmats[row : row + 1]
    cam_t, cam_k = far_cameras(person.cam_photo[row : row + 1], size)
    vertices = body_model(betas, rotmats).vertices[0] + cam_t
    return vertices.numpy(), cam_k[0].numpy()
