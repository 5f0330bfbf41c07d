"""Pictures of the people on whom a prediction went wrong most."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from data.frames import Frame
from evaluate.evaluator import Evaluator, Outcome, Prediction
from evaluate.report import Results, find_worst
from evaluate.sources import Sources
from renderers.overlay import draw_body, draw_proxy, draw_tpose
from renderers.shading import BodyRenderer
from utils.cameras import crop_intrinsics
from utils.images import write_image
from utils.proxy import REFERENCE_SIZE, Observation

CAPTION_HEIGHT = 22  # px
GREY, WHITE, BLACK = 200, 250, 20
BOTH_COLOUR, MISSED_COLOUR, EXTRA_COLOUR = (190, 190, 190), (40, 110, 230), (230, 90, 40)


def write_worst_cases(
    folder: Path,
    sources: Sources,
    results: Results,
    frames: Sequence[Frame],
    metric: str,
    count: int,
) -> None:
    """Writes a picture of each source's worst cases.

    Args:
        folder: for the pictures.
        sources: by name.
        results: of the sources.
        frames: that were evaluated.
        metric: by which they are the worst; empty for PVE-PA, or MPJPE-PA between meshes.
        count: people in each picture.
    """
    for name, source in sources.items():
        usual = "pve_pa" if source.evaluator.same_mesh else "mpjpe_pa"
        rows = find_worst(results[name], metric or usual, count)
        if rows:
            prediction, photos = source.predict(frames, rows)
            outcomes = [results[name][row] for row in rows]
            picture = WorstCaseDrawer(source.evaluator).draw(outcomes, prediction, photos)
            file = f"worst_{name.replace(', ', '_').replace(' ', '_')}.png"
            write_image(folder / file, picture)


class WorstCaseDrawer:
    """Draws a row of pictures for each person.

    From the left: the predicted body over the photo; what the network saw; the silhouettes (grey:
    right, blue: missed, red: too much); the true and the predicted shape in the T-pose.

    Args:
        evaluator: that made the predictions.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        faces = (evaluator.truth.faces, evaluator.predictor.body_model.faces)
        self._true_renderer, self._renderer = (
            BodyRenderer(each.cpu().numpy(), "own") for each in faces
        )

    def draw(
        self,
        outcomes: Sequence[Outcome],
        prediction: Prediction,
        photos: Sequence[np.ndarray | None],
    ) -> np.ndarray:
        """One row a person.

        Args:
            outcomes: of B people.
            prediction: of the same people.
            photos: (H, W, 3) uint8 RGB each; None where the proxy was made without one.

        Returns:
            (B * 278, 5 * 256, 3) uint8 RGB.
        """
        silhouettes = self._evaluator.render_silhouettes(prediction)
        rows = []
        for index, (outcome, photo) in enumerate(zip(outcomes, photos, strict=True)):
            row = [
                self._draw_body(prediction, index, photo),
                _draw_observation(prediction.observation, index),
                _draw_silhouettes(prediction, silhouettes, index),
                _draw_front(self._true_renderer, prediction.people.vertices_tpose[index]),
                _draw_front(self._renderer, prediction.bodies.vertices_tpose[index]),
            ]
            rows += [
                _draw_caption(outcome, REFERENCE_SIZE * len(row)),
                np.concatenate(row, axis=1),
            ]
        return np.concatenate(rows)

    def _draw_body(
        self, prediction: Prediction, index: int, photo: np.ndarray | None
    ) -> np.ndarray:
        crop = prediction.view.crops[index : index + 1].cpu()
        bodies = prediction.bodies
        cam_k = crop_intrinsics(bodies.cam_k[index : index + 1].cpu(), crop, REFERENCE_SIZE)
        vertices_cam = (bodies.vertices[index] + bodies.cam_t[index]).cpu().numpy()
        canvas = np.full((REFERENCE_SIZE, REFERENCE_SIZE, 3), GREY, np.uint8)
        if photo is not None:
            canvas = _cut_crop(photo, crop[0].numpy())
        return draw_body(canvas, self._renderer, vertices_cam, cam_k[0].numpy())


def _cut_crop(photo: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """The reference crop of a photo."""
    scale = REFERENCE_SIZE / crop[2]
    corner = crop[:2] - crop[2] / 2
    # cv2 counts from the centre of the first pixel, we from its edge.
    shift = -scale * corner + (scale - 1) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    return cv2.warpAffine(
        photo, matrix, (REFERENCE_SIZE, REFERENCE_SIZE), flags=cv2.INTER_LINEAR,
        borderValue=(GREY, GREY, GREY),
    )  # fmt: skip


def _draw_observation(observation: Observation, index: int) -> np.ndarray:
    """What the network saw of a person."""
    size = (REFERENCE_SIZE, REFERENCE_SIZE)
    silhouette, joints2d_px, confidence = (values[index].cpu().numpy() for values in observation)
    silhouette = cv2.resize(silhouette.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    zoom = REFERENCE_SIZE / observation.image_size
    canvas = np.full((*size, 3), BLACK, np.uint8)
    return draw_proxy(canvas, silhouette.astype(bool), zoom * joints2d_px, confidence)


def _draw_silhouettes(prediction: Prediction, silhouettes: torch.Tensor, index: int) -> np.ndarray:
    """True and predicted silhouette on one another."""
    pred = silhouettes[index].cpu().numpy()
    true = prediction.view.silhouettes
    true = pred if true is None else true[index].cpu().numpy()
    picture = np.full((*pred.shape, 3), BLACK, np.uint8)
    for where, colour in (
        (true & pred, BOTH_COLOUR), (true & ~pred, MISSED_COLOUR), (pred & ~true, EXTRA_COLOUR)
    ):  # fmt: skip
        picture[where] = colour
    return picture


def _draw_front(renderer: BodyRenderer, vertices_tpose: torch.Tensor) -> np.ndarray:
    both = draw_tpose(renderer, vertices_tpose.cpu().numpy())
    front = np.ascontiguousarray(both[:, : both.shape[0]])
    return cv2.resize(front, (REFERENCE_SIZE, REFERENCE_SIZE), interpolation=cv2.INTER_AREA)


def _draw_caption(outcome: Outcome, width: int) -> np.ndarray:
    line = np.full((CAPTION_HEIGHT, width, 3), WHITE, np.uint8)
    shown = ("pve_pa", "mpjpe_pa", "pve_t_sc", "silhouette_iou")
    values = (f"{name} {outcome.values[name]:.3g}" for name in shown if name in outcome.values)
    text = f"{outcome.frame.name}:  {',  '.join(values)}"
    cv2.putText(
        line, text, (6, CAPTION_HEIGHT - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (BLACK,) * 3, 1,
        cv2.LINE_AA,
    )  # fmt: skip
    return line
