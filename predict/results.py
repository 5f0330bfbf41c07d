"""From predicted people to pictures and files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from metrics.measurements import Measurements, measure
from predict.outputs import person_names, save_meshes, save_person
from predict.people import Photo, PredictedPerson, PredictedPhoto, Skipped, attempt
from predict.pictures import draw_overlay, draw_proxy, draw_tpose, view_for_pictures
from predict.truth_errors import TruthComparer
from renderers.overlay import BodyRenderer
from utils.images import write_image


@dataclass(frozen=True)
class DrawnPhoto:
    """The people of a photo with their pictures."""

    photo: Photo
    people: list[PredictedPerson]
    pictures: list[dict[str, np.ndarray]]  # of each person, by kind: (H, W, 3) uint8 RGB


@dataclass(frozen=True)
class FinishedPerson:
    """What is told about a person whose files are written."""

    name: str  # of the files
    measurements: Measurements
    silhouette_iou: float  # of the predicted with the detected silhouette, inside the photo


@dataclass(frozen=True)
class FinishedPhoto:
    """A photo whose results are written."""

    photo: Photo
    people: list[FinishedPerson]
    errors: dict[str, float] | None  # of the first person, by name with unit; None without truth


def draw_photos(
    predicted: Iterable[PredictedPhoto | Skipped],
    faces: np.ndarray,
    visuals: bool,
    renderer: str,
) -> Iterator[DrawnPhoto | Skipped]:
    """Draws every person's pictures.

    All in one generator, so that the renderer is made in the thread that draws: a GL context
    belongs to one thread.

    Args:
        predicted: photos.
        faces: (F, 3) of the body.
        visuals: False for no pictures.
        renderer: a backend of `renderers.overlay.BodyRenderer`.

    Raises:
        InputError: the renderer that was asked for does not work here.
    """
    draw = None if visuals else _draw_nothing
    for photo in predicted:
        if draw is None and not isinstance(photo, Skipped):
            # Not earlier: until it has found somebody a detector may keep stderr closed, and
            # nobody would read that there is no OpenGL.
            draw = partial(_draw, renderer=BodyRenderer(faces, renderer))
        yield attempt(draw, photo, "drawing")


def _draw(photo: PredictedPhoto, renderer: BodyRenderer) -> DrawnPhoto:
    pictures = []
    for person in photo.people:
        view = view_for_pictures(photo.image, person.detection, person.arrays)
        pictures.append(
            {
                "overlay": draw_overlay(view.photo, renderer, view.person),
                "tpose": draw_tpose(renderer, person.arrays["vertices_tpose"]),
                "proxy": draw_proxy(view.photo, view.detection, view.person["crops"]),
            }
        )
    return DrawnPhoto(photo.photo, photo.people, pictures)


def _draw_nothing(photo: PredictedPhoto) -> DrawnPhoto:
    return DrawnPhoto(photo.photo, photo.people, [{} for _ in photo.people])


@dataclass(frozen=True)
class ResultWriter:
    """Measures people and writes their files.

    Attributes:
        output: an existing folder.
        faces: (F, 3) of the body.
        meshes: whether to write meshes too.
        numbered: whether people have numbers, as where all in a photo are predicted.
        comparer: with the truth, where it lies beside a photo.
    """

    output: Path
    faces: np.ndarray
    meshes: bool
    numbered: bool
    comparer: TruthComparer

    def write(self, drawn: DrawnPhoto) -> FinishedPhoto:
        """Writes all files of a photo.

        Raises:
            InputError: a file cannot be written.
        """
        names = person_names(drawn.photo.name, len(drawn.people), self.numbered)
        people = [
            self._write(*each) for each in zip(names, drawn.people, drawn.pictures, strict=True)
        ]
        errors = self.comparer.errors_beside(drawn.photo.path, drawn.people[0].arrays)
        return FinishedPhoto(drawn.photo, people, errors)

    def _write(
        self, name: str, person: PredictedPerson, pictures: dict[str, np.ndarray]
    ) -> FinishedPerson:
        measurements = measure(person.arrays["vertices_tpose"], self.faces)
        save_person(self.output / f"{name}.npz", person.arrays, person.detection)
        if self.meshes:
            save_meshes(self.output / name, person.arrays, self.faces)
        for kind, picture in pictures.items():
            write_image(self.output / f"{name}_{kind}.png", picture)
        return FinishedPerson(name, measurements, person.silhouette_iou)


def write_photos(
    drawn: Iterable[DrawnPhoto | Skipped], writer: ResultWriter
) -> Iterator[FinishedPhoto | Skipped]:
    """Writes the files of every photo."""
    for photo in drawn:
        yield attempt(writer.write, photo, "writing")
