"""From predicted people to results: files and the lines that are printed."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metrics.anatomy import Anatomy
from metrics.measurement_errors import KnownErrors, MeasurementErrors
from metrics.measurements import Measurements, measure
from predict.heights import SCALED
from predict.meshes import TPOSE_MESH, MeshWriter
from predict.people import Person, Photo, SharedShape
from predict.records import (
    PersonRecord,
    ResultSource,
    add_margins,
    choose_margins,
    describe_person,
    name_margins,
    save_person,
)
from predict.truth_errors import TruthComparer
from utils.command_line import escape_controls
from utils.errors import InputError, Skipped
from utils.files import check_writable, write_npz
from utils.images import write_image


@dataclass(frozen=True)
class PhotoResult:
    """What is printed about a photo whose files are written."""

    name: str  # of the image file
    measurements: list[Measurements]  # of its people, the most prominent first
    silhouette_ious: list[float]  # theirs, of the predicted with the detected silhouette
    errors: dict[str, float] | None  # of the first person, by name with unit; None without truth
    records: tuple[PersonRecord, ...] = ()  # of its people, for the tables of the folder
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


@dataclass(frozen=True)
class ResultWriter:
    """Measures people and writes their files.

    Attributes:
        output: an existing folder.
        anatomy: of the body.
        meshes: writes meshes too; None: none.
        numbered: whether people have numbers, as where all in a photo are predicted.
        comparer: with the truth, where it lies beside a photo.
        source: what predicts, which is written beside every person; None: unknown.
        known_errors: of measurements.
    """

    output: Path
    anatomy: Anatomy
    meshes: MeshWriter | None
    numbered: bool
    comparer: TruthComparer
    source: ResultSource | None = None
    known_errors: KnownErrors = field(default_factory=KnownErrors)

    def write(self, photo: Photo) -> PhotoResult:
        """Writes all files of a photo, with the pictures that were drawn.

        Raises:
            InputError: a file cannot be written.
        """
        names = make_person_names(photo.name, len(photo.people), self.numbered)
        for kind, picture in photo.pictures.items():
            write_image(self.output / f"{photo.name}_{kind}.png", picture)
        # The first person last, whose npz says that the photo is done, see `is_done`.
        people = list(enumerate(zip(names, photo.people, strict=True), start=1))
        written = [self._write_person(photo, number, *each) for number, each in people[::-1]][::-1]
        first, sizes = photo.people[0], written[0][0]
        margins = self.choose_margins(first, photo.shape)
        if photo.shape is not None:
            self._write_shape(first, photo.shape, sizes, margins)
        return PhotoResult(
            photo.file,
            [measurements for measurements, _ in written],
            [person.silhouette_iou for person in photo.people],
            self.comparer.errors_beside(photo.path, first.arrays, sizes),
            tuple(record for _, record in written),
            margins,
            photo.shape,
        )

    def _write_person(
        self, photo: Photo, number: int, name: str, person: Person
    ) -> tuple[Measurements, PersonRecord]:
        measurements = measure(person.arrays["vertices_tpose"], self.anatomy)
        record = describe_person(photo.file, number, name, person, measurements)
        if self.meshes is not None:
            self.meshes.write(self.output / name, person.arrays)
        for kind, picture in person.pictures.items():
            write_image(self.output / f"{name}_{kind}.png", picture)
        known = add_margins(person, self.choose_margins(person, photo.shape))
        save_person(self.output / f"{name}.npz", known, record, self.source)
        return measurements, record

    def _write_shape(
        self,
        person: Person,
        shape: SharedShape,
        measurements: Measurements,
        margins: MeasurementErrors | None,
    ) -> None:
        """Writes what is known of a person from all photos, the same after each of them."""
        named = {} if margins is None else name_margins(margins)
        scaled = {name: person.arrays[name] for name in SCALED if name in person.arrays}
        arrays = {
            "betas": shape.betas,
            "betas_covariance": shape.covariance,
            "photos": np.array(shape.photos),
            "photo_weights": shape.weights,
            "vertices_tpose": person.arrays["vertices_tpose"],
            "measurements": np.array(measurements),
            "measurement_names": np.array(Measurements._fields),
            **scaled,
            **named,
        }
        write_npz(self.output / f"{shape.person}.npz", arrays, compress=False)

    def choose_margins(self, person: Person, shape: SharedShape | None) -> MeasurementErrors | None:
        """The errors that a person's measurements are known to have, None where they are not."""
        return choose_margins(self.known_errors, person, 1 if shape is None else len(shape.photos))


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
