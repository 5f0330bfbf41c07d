"""The likeliest shape of people, of what a network estimated and of what is known of them.

Their gender and their height are counted with the network's errors as `models.shape_errors` has
them, so that what goes with a height or a gender moves with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from models.shape_errors import (
    KINDS,
    CombinedShape,
    ShapeErrors,
    combine_frames,
    combine_shapes,
    describe_estimate,
    know_gender,
    know_height,
)
from predict.heights import read_table
from predict.people import BodyPredictor, Person, Photo
from utils.errors import InputError

BETAS = "betas"
GENDER_COLUMN, GENDERS = "gender", KINDS[1:]


def read_genders(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Genders by the photos' file names, or by people's names.

    Args:
        path: of a CSV file with the columns file and gender.
        names: of the photos that will be predicted, or of the people of `--same-person`.

    Raises:
        InputError: it cannot be read, a gender is neither male nor female, or a row names no photo.
    """
    genders = {}
    for name, (gender, place) in read_table(path, GENDER_COLUMN, names).items():
        if gender not in GENDERS:
            raise InputError(f"{place}: {gender} is not among {', '.join(GENDERS)}")
        genders[name] = gender
    return genders


@dataclass(frozen=True)
class ShapeEstimator:
    """Estimates shapes.

    Attributes:
        body_predictor: that predicted the people.
        errors: of its shapes.
        gender: of everybody who is not in `genders`, male or female; None: not known.
        heights: metres, by the name of the photo's file, or of the person whom several photos show.
        genders: male or female, by the same names.
    """

    body_predictor: BodyPredictor
    errors: ShapeErrors
    gender: str | None = None
    heights: Mapping[str, float] = field(default_factory=dict)
    genders: Mapping[str, str] = field(default_factory=dict)

    def find_gender(self, name: str) -> str | None:
        """Of a person, where it is known."""
        return self.genders.get(name, self.gender)

    def _errors_of(self, name: str) -> ShapeErrors:
        gender = self.find_gender(name)
        return self.errors if gender is None else know_gender(self.errors, gender)

    def estimate(self, estimates: np.ndarray, name: str) -> CombinedShape:
        """The shape of one person.

        Args:
            estimates: (K, N) betas from K photos.
            name: of the person or of the photo, that `heights` goes by.
        """
        estimates = estimates.astype(np.float64)
        errors = self._errors_of(name)
        if len(estimates) == 1 and self.find_gender(name) is None:
            shape = describe_estimate(estimates[0], errors)
        else:
            shape = combine_shapes(estimates, errors)
        return self._know_height(shape, name)

    def estimate_clip(self, mean: np.ndarray, name: str) -> CombinedShape:
        """The shape of one person in a clip.

        Args:
            mean: (N,) of the betas of its frames.
            name: of the clip, that `heights` goes by.
        """
        shape = combine_frames(mean.astype(np.float64), self._errors_of(name))
        return self._know_height(shape, name)

    def _know_height(self, shape: CombinedShape, name: str) -> CombinedShape:
        height = self.heights.get(name)
        if height is None:
            return shape
        return know_height(shape, height, self.body_predictor.measure_heights)

    def list_given(self, name: str) -> dict[str, np.ndarray]:
        """What is known of a person, by the name of the array that tells it in files."""
        given = self._list_gender(name)
        if name in self.heights:
            given["height_given_m"] = np.float32(self.heights[name])
        return given

    def _list_gender(self, name: str) -> dict[str, np.ndarray]:
        gender = self.find_gender(name)
        return {} if gender is None else {"gender_given": np.array(gender)}

    def inform(self, photo: Photo) -> Photo:
        """The same photo, its people shaped by what is known of them; nothing known, as it is."""
        name = photo.subject
        if self.find_gender(name) is None and name not in self.heights:
            return photo
        people = []
        for person in photo.people:
            shape = self.estimate(person.arrays[BETAS][None], name)
            people += self.reshape([person], shape, name)
        return replace(photo, people=tuple(people))

    def reshape(self, people: Sequence[Person], shape: CombinedShape, name: str) -> list[Person]:
        """Predicted people with a shape that was estimated; their files tell the gender given."""
        shaped = self.body_predictor.reshape(people, shape.betas.astype(np.float32))
        given = self._list_gender(name)
        return [replace(person, arrays={**person.arrays, **given}) for person in shaped]
