"""From predicted people to results: pictures, files and the lines that are printed."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import trimesh

from metrics.anatomy import Anatomy
from metrics.measurement_errors import KnownErrors, MeasurementErrors
from metrics.measurements import Measurements, measure
from predict.heights import SCALED
from predict.people import Person, Photo, SharedShape, attempt
from predict.truth_errors import TruthComparer
from renderers.overlay import draw_body, draw_proxy, draw_tpose, draw_vertices
from renderers.shading import BodyRenderer
from utils.command_line import escape_controls
from utils.errors import InputError, Skipped
from utils.files import check_writable, write_npz, write_whole
from utils.images import write_image
from utils.joints import BODY_MODEL_JOINTS, COCO17

PICTURE_SIDE = 1600  # px, longer side; larger photos are shown reduced
TPOSE_MESH = "_tpose"  # what the T-posed mesh's name adds to the posed one's


@dataclass(frozen=True)
class PhotoResult:
    """What is printed about a photo whose files are written."""

    name: str  # of the image file
    measurements: list[Measurements]  # of its people, the most prominent first
    silhouette_ious: list[float]  # theirs, of the predicted with the detected silhouette
    errors: dict[str, float] | None  # of the first person, by name with unit; None without truth
    margins: MeasurementErrors | None = None  # of the measurements; None where not known
    shape: SharedShape | None = None  # of the person, where several photos have one


def make_output_names(paths: Sequence[Path]) -> list[str]:
    """A name for each image whose files are those of no other one.

    That is its stem, or its file name where stems clash. Upper and lower case count as the same,
    since some file systems cannot tell them apart.
    """
    counts = Counter(path.stem.casefold() for path in paths)

    def clashes(stem: str) -> bool:
        # The T-posed mesh of a.png is the posed one of a_tpose.png.
        base = stem.removesuffix(TPOSE_MESH)
        return counts[stem] > 1 or (base != stem and base in counts)

    names = [path.name if clashes(path.stem.casefold()) else path.stem for path in paths]
    if len({name.casefold() for name in names}) == len(names):
        return names
    # a.png, a.jpg and a.jpg.png: file names as a whole never clash.
    return [path.name for path in paths]


def make_person_names(name: str, count: int, numbered: bool) -> list[str]:
    """Names for the results of the people in a photo.

    Args:
        name: of the photo's results, as `make_output_names` gives it.
        count: of people.
        numbered: `name_1`, `name_2` and so on, also where there is but one; else `name` itself,
            for one person.
    """
    if numbered:
        return [f"{name}_{number}" for number in range(1, count + 1)]
    if count != 1:
        raise ValueError(f"{count} people cannot share the name {name}")
    return [name]


def is_done(output: Path, name: str, numbered: bool) -> bool:
    """Whether all files of a photo are there: of its first person the npz is written last."""
    (first,) = make_person_names(name, 1, numbered)
    return (output / f"{first}.npz").is_file()


def make_output_folder(output: Path, source: Path) -> None:
    """Makes the folder for results.

    Raises:
        InputError: it cannot be made or written, or is the folder that the images come from, where
            the pictures written would be taken for photos the next time.
    """
    folder = source if source.is_dir() else source.parent
    if os.path.realpath(output) == os.path.realpath(folder):  # of a loop of links too
        raise InputError(f"--output {output} is where the images are; choose another folder")
    check_writable(output)


def draw_photos(
    predicted: Iterable[Photo | Skipped], faces: np.ndarray, renderer: str, scatter: bool = False
) -> Iterator[Photo | Skipped]:
    """Draws every person's pictures; the photos' images are no longer needed then.

    All in one generator, so that the renderer is made in the thread that draws: a GL context
    belongs to one thread.

    Args:
        predicted: photos with their images.
        faces: (F, 3) of the body.
        renderer: a backend of `renderers.shading.BodyRenderer`.
        scatter: whether one more picture shows the vertices as points.

    Raises:
        InputError: the renderer that was asked for does not work here.
    """
    made = None
    for photo in predicted:
        if made is None and not isinstance(photo, Skipped):
            # Not earlier: until it has found somebody a detector may keep stderr closed, and
            # nobody would read that there is no OpenGL.
            made = BodyRenderer(faces, renderer)
        draw = partial(_draw_people, renderer=made, scatter=scatter)
        yield attempt(draw, photo, "drawing")


def _draw_people(photo: Photo, renderer: BodyRenderer, scatter: bool) -> Photo:
    people = [
        replace(person, pictures=draw_person(photo.image, person, renderer, scatter))
        for person in photo.people
    ]
    return replace(photo, image=None, people=tuple(people))


def draw_person(
    image: np.ndarray, person: Person, renderer: BodyRenderer, scatter: bool = False
) -> dict[str, np.ndarray]:
    """A predicted person's pictures by kind, (H, W, 3) uint8 RGB.

    Args:
        image: (H, W, 3) uint8 RGB, the photo; left as it is.
        person: who was predicted in it.
        renderer: for the body's faces.
        scatter: whether one more picture shows the vertices as points.
    """
    image, shown = shrink_for_pictures(image, person)
    arrays, seen = shown.arrays, shown.detection
    vertices_cam = arrays["vertices"] + arrays["cam_t"]
    pictures = {
        "overlay": draw_body(image, renderer, vertices_cam, arrays["cam_k"]),
        "tpose": draw_tpose(renderer, arrays["vertices_tpose"]),
        "proxy": draw_proxy(
            image, seen.silhouette, seen.joints2d_px, seen.joint_confidence, arrays["crops"]
        ),
    }
    if scatter:
        pictures["vertices"] = draw_vertices(image, vertices_cam, arrays["cam_k"])
    return pictures


def shrink_for_pictures(image: np.ndarray, person: Person) -> tuple[np.ndarray, Person]:
    """Shrinks a photo to `PICTURE_SIDE`, and moves what is known about a person in it.

    Args:
        image: (H, W, 3) uint8 RGB.
        person: in pixels of this photo.

    Returns:
        The smaller photo and the person in its pixels (the detection, and cam_k, crops and
        joints2d_px of the arrays); both as they are where the photo is no larger.
    """
    height, width = image.shape[:2]
    if max(height, width) <= PICTURE_SIDE:
        return image, person
    zoom = PICTURE_SIDE / max(height, width)
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    scale = np.array([size[0] / width, size[1] / height], dtype=np.float32)
    detection, arrays = person.detection, person.arrays
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
        "crops": arrays["crops"] * np.array([*scale, zoom], dtype=np.float32),
        "joints2d_px": arrays["joints2d_px"] * scale,
    }
    smaller = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return smaller, replace(person, detection=shrunk, arrays={**arrays, **moved})


@dataclass(frozen=True)
class ResultWriter:
    """Measures people and writes their files.

    Attributes:
        output: an existing folder.
        anatomy: of the body.
        meshes: whether to write meshes too.
        numbered: whether people have numbers, as where all in a photo are predicted.
        comparer: with the truth, where it lies beside a photo.
        known_errors: of measurements.
    """

    output: Path
    anatomy: Anatomy
    meshes: bool
    numbered: bool
    comparer: TruthComparer
    known_errors: KnownErrors = field(default_factory=KnownErrors)

    def write(self, photo: Photo) -> PhotoResult:
        """Writes all files of a photo, with the pictures that were drawn.

        Raises:
            InputError: a file cannot be written.
        """
        names = make_person_names(photo.name, len(photo.people), self.numbered)
        # The first person last, whose npz says that the photo is done, see `is_done`.
        people = list(zip(names, photo.people, strict=True))
        measurements = [self._write_person(*each, photo.shape) for each in people[::-1]][::-1]
        if photo.shape is not None:
            self._write_shape(photo.people[0], photo.shape)
        return PhotoResult(
            photo.path.name,
            measurements,
            [person.silhouette_iou for person in photo.people],
            self.comparer.errors_beside(photo.path, photo.people[0].arrays),
            self.choose_margins(photo.people[0], photo.shape),
            photo.shape,
        )

    def _write_person(self, name: str, person: Person, shape: SharedShape | None) -> Measurements:
        measurements = measure(person.arrays["vertices_tpose"], self.anatomy)
        if self.meshes:
            save_meshes(self.output / name, person.arrays, self.anatomy.faces)
        for kind, picture in person.pictures.items():
            write_image(self.output / f"{name}_{kind}.png", picture)
        save_person(self.output / f"{name}.npz", self._add_margins(person, shape))
        return measurements

    def _write_shape(self, person: Person, shape: SharedShape) -> None:
        """Writes what is known of a person from all photos, the same after each of them."""
        rest = person.arrays["vertices_tpose"]
        margins = self.choose_margins(person, shape)
        named = {} if margins is None else _name_margins(margins)
        scaled = {name: person.arrays[name] for name in SCALED if name in person.arrays}
        arrays = {
            "betas": shape.betas,
            "betas_covariance": shape.covariance,
            "photos": np.array(shape.photos),
            "photo_weights": shape.weights,
            "vertices_tpose": rest,
            "measurements": np.array(measure(rest, self.anatomy)),
            "measurement_names": np.array(Measurements._fields),
            **scaled,
            **named,
        }
        write_npz(self.output / f"{shape.person}.npz", arrays, compress=False)

    def choose_margins(self, person: Person, shape: SharedShape | None) -> MeasurementErrors | None:
        """The errors that a person's measurements are known to have, None where they are not."""
        photos = 1 if shape is None else len(shape.photos)
        return self.known_errors.choose(photos, with_height="scaled_by" in person.arrays)

    def _add_margins(self, person: Person, shape: SharedShape | None) -> Person:
        margins = self.choose_margins(person, shape)
        if margins is None:
            return person
        return replace(person, arrays={**person.arrays, **_name_margins(margins)})


def _name_margins(margins: MeasurementErrors) -> dict[str, np.ndarray]:
    """Arrays of npz files: mean absolute errors, and what nine of ten people are below."""
    return {f"measurement_errors_{name}": each for name, each in margins._asdict().items()}


def save_person(path: Path, person: Person) -> None:
    """Writes everything that is known about a person to an npz file."""
    arrays = {
        **person.arrays,
        "joint_names": np.array(BODY_MODEL_JOINTS),
        "detected_joints2d_px": person.detection.joints2d_px,
        "detected_joint_confidence": person.detection.joint_confidence,
        "detected_joint_names": np.array(COCO17),
        "detected_box": person.detection.box,
    }
    # Not compressed: the numbers are floats, which would shrink by a tenth and take thrice as long.
    write_npz(path, arrays, compress=False)


def save_meshes(stem: Path, arrays: dict[str, np.ndarray], faces: np.ndarray) -> None:
    """Writes the posed and the T-posed body as `<stem>.obj` and `<stem>_tpose.obj`, metres, y up.

    Args:
        stem: path without suffix.
        arrays: of `models.decoder.Bodies.person`.
        faces: (F, 3) ints.
    """
    upright = arrays["vertices"] * np.array([1, -1, -1])  # camera axes to y up, z to the viewer
    for suffix, vertices in ((".obj", upright), (f"{TPOSE_MESH}.obj", arrays["vertices_tpose"])):
        mesh = trimesh.Trimesh(vertices, faces, process=False)
        write_whole(stem.with_name(stem.name + suffix), mesh.export(file_type="obj").encode())


class Report:
    """Collects the outcome of every photo.

    Args:
        numbered: whether the people in a photo have numbers.
    """

    def __init__(self, numbered: bool = False) -> None:
        self._numbered = numbered
        self._done = 0
        self._ious: list[float] = []
        self._skipped: list[str] = []
        self._errors: list[dict[str, float]] = []

    @classmethod
    def combine(cls, reports: Sequence["Report"]) -> "Report":
        """One report of several processes' photos."""
        total = cls(reports[0]._numbered)
        for report in reports:
            total._done += report._done
            total._ious += report._ious
            total._skipped += report._skipped
            total._errors += report._errors
        return total

    @property
    def done(self) -> int:
        """How many photos were predicted."""
        return self._done

    @property
    def skipped(self) -> int:
        """How many photos were not."""
        return len(self._skipped)

    def add(self, result: PhotoResult | Skipped) -> str:
        """Adds the result of a photo; returns its lines."""
        if isinstance(result, Skipped):
            self._skipped.append(result.reason)
            return escape_controls(f"skipped {result.reason}")
        self._done += 1
        lines = []
        people = zip(result.measurements, result.silhouette_ious, strict=True)
        for number, (measurements, iou) in enumerate(people, start=1):
            who = f"{escape_controls(result.name)}{f', person {number}' if self._numbered else ''}"
            words = measurements.describe(result.margins.named() if result.margins else {})
            lines.append(f"{who}: {words}, silhouette IoU {iou:.2f}")
        if result.shape is not None:
            lines += self._describe_shape(result)
        self._ious += result.silhouette_ious
        if result.errors is not None:
            self._errors.append(result.errors)
            lines.insert(1, f"    against the truth: {_format_errors(result.errors)}")
        return "\n".join(lines)

    def _describe_shape(self, result: PhotoResult) -> list[str]:
        """The lines about a person, after the last of their photos."""
        shape = result.shape
        if result.name != shape.photos[-1]:
            return []
        words = result.measurements[0].describe(result.margins.named() if result.margins else {})
        lines = [f"{escape_controls(shape.person)}, {len(shape.photos)} photos: {words}"]
        lines += [f"    {escape_controls(name)} disagrees with the others" for name in shape.odd]
        return lines

    def summary(self, output: Path) -> str:
        """The last lines: counts, means, the skipped photos by name, where the results are."""
        people = f", {len(self._ious)} people" if self._numbered else ""
        lines = [f"{self.done} of {self.done + self.skipped} photos done{people}"]
        if self._ious:
            lines.append(f"mean IoU of predicted and detected silhouette: {_mean(self._ious):.3f}")
        if self._errors:
            means = {
                name: _mean(errors[name] for errors in self._errors) for name in self._errors[0]
            }
            lines.append(
                f"mean errors over {len(self._errors)} photos with truth: {_format_errors(means)}"
            )
        if self._skipped:
            lines.append(f"{self.skipped} skipped:")
            lines.extend(f"    {escape_controls(reason)}" for reason in self._skipped)
        if self.done:
            lines.append(f"results are in {output}")
        return "\n".join(lines)


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def _format_errors(errors: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in errors.items())
