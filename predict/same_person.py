"""Several photos of one person: pose and camera of each photo, one shape for all of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from models.shape_errors import CombinedShape, find_odd
from predict.known_people import BETAS, ShapeEstimator
from predict.people import Photo, SharedShape, attempt, read_photo
from predict.results import make_output_names
from utils.errors import InputError, Skipped
from utils.images import find_images, has_images


def list_people(source: Path) -> list[list[Photo]]:
    """The photos of each person: those directly in a folder, and those of each folder in it.

    A photo of a subfolder goes by the name `<person>_<photo>`, a person by their folder's name.

    Args:
        source: folder of one person, or with a folder for each.

    Raises:
        InputError: it is no folder, holds no photos, or names clash.
    """
    if not source.is_dir():
        raise InputError(f"--same-person needs a folder of photos as --input; {source} is none")
    inside = sorted(child for child in source.iterdir() if child.is_dir())
    folders = [folder for folder in (source, *inside) if has_images(folder)]
    if not folders:
        raise InputError(f"{source} holds no photos, nor folders of photos")
    people = []
    for folder in folders:
        paths, person = find_images(folder), folder.resolve().name
        inner = "" if folder == source else person
        prefix, place = (f"{inner}{mark}" if inner else "" for mark in "_/")
        names = [f"{prefix}{name}" for name in make_output_names(paths)]
        people.append(
            [
                Photo(path, name, person=person, folder=place)
                for path, name in zip(paths, names, strict=True)
            ]
        )
    _check_names(people)
    return people


def _check_names(people: Sequence[Sequence[Photo]]) -> None:
    names = [photo.name.casefold() for photos in people for photo in photos]
    names += [photos[0].person.casefold() for photos in people]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"two results would be called {twice[0]}; rename a photo or a folder")


@dataclass(frozen=True)
class ShapeSharer:
    """Gives all photos of a person one shape.

    Attributes:
        estimator: of the shape.
        keep_image: whether the photos' images will be needed again.
    """

    estimator: ShapeEstimator
    keep_image: bool

    def share(self, predicted: Iterable[Photo | Skipped]) -> Iterator[Photo | Skipped]:
        """The same photos in the same order, whose people have one shape.

        Args:
            predicted: without their images; those of a person follow each other.
        """
        person = ""

        def name_person(photo: Photo | Skipped) -> str:
            nonlocal person
            person = person if isinstance(photo, Skipped) else photo.person
            return person

        for _, photos in groupby(predicted, name_person):
            yield from self._share_among(list(photos))

    def _share_among(self, photos: list[Photo | Skipped]) -> Iterator[Photo | Skipped]:
        found = [photo for photo in photos if isinstance(photo, Photo)]
        if not found:
            yield from photos
            return
        people = [photo.people[0] for photo in found]
        estimates = np.stack([person.arrays[BETAS] for person in people])
        combined = self.estimator.estimate(estimates, found[0].person)
        shaped = iter(self.estimator.reshape(people, combined, found[0].person))
        shape = _describe(found, combined)
        for photo in photos:
            if isinstance(photo, Photo):
                photo = replace(photo, people=(next(shaped),), shape=shape)
                photo = attempt(read_photo, photo, "reading") if self.keep_image else photo
            yield photo


def _describe(photos: Sequence[Photo], combined: CombinedShape) -> SharedShape:
    names = tuple(photo.file for photo in photos)
    odd = tuple(names[number] for number in find_odd(combined))
    return SharedShape(
        photos[0].person, names, combined.weights, odd, combined.betas, combined.covariance
    )
