"""The likeliest shape of people, of what a network estimated and of what is known of them.

Their gender and their height are counted with the network's errors as `models.shape_errors` has
them, so that what goes with a height or a gender moves with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from models.shape_errors import (
    CombinedShape,
    ShapeErrors,
    combine_frames,
    combine_shapes,
    describe_estimate,
    know_height,
)
from predict.people import BodyPredictor, Person, Photo

BETAS = "betas"


@dataclass(frozen=True)
class ShapeEstimator:
    """Estimates shapes.

    Attributes:
        body_predictor: that predicted the people.
        errors: of its shapes; their prior is that of the people's gender, where it is known.
        gender: it, male or female; None: not known.
        heights: metres, by the name of the photo's file, or of the person whom several photos show.
    """

    body_predictor: BodyPredictor
    errors: ShapeErrors
    gender: str | None = None
    heights: Mapping[str, float] = field(default_factory=dict)

    def estimate(self, estimates: np.ndarray, name: str) -> CombinedShape:
        """The shape of one person.

        Args:
            estimates: (K, N) betas from K photos.
            name: of the person or of the photo, that `heights` goes by.
        """
        estimates = estimates.astype(np.float64)
        if len(estimates) == 1 and self.gender is None:
            shape = describe_estimate(estimates[0], self.errors)
        else:
            shape = combine_shapes(estimates, self.errors)
        return self._know_height(shape, name)

    def estimate_clip(self, mean: np.ndarray, name: str) -> CombinedShape:
        """The shape of one person in a clip.

        Args:
            mean: (N,) of the betas of its frames.
            name: of the clip, that `heights` goes by.
        """
        shape = combine_frames(mean.astype(np.float64), self.errors)
        return self._know_height(shape, name)

    def _know_height(self, shape: CombinedShape, name: str) -> CombinedShape:
        height = self.heights.get(name)
        if height is None:
            return shape
        return know_height(shape, height, self.body_predictor.measure_heights)

    def list_given(self, name: str) -> dict[str, np.ndarray]:
        """What is known of a person, by the name of the array that tells it in files."""
        given = {}
        if self.gender is not None:
            given["gender_given"] = np.array(self.gender)
        if name in self.heights:
            given["height_given_m"] = np.float32(self.heights[name])
        return given

    def inform(self, photo: Photo) -> Photo:
        """The same photo, its people shaped by what is known of them; nothing known, as it is."""
        name = photo.subject
        if self.gender is None and name not in self.heights:
            return photo
        people = []
        for person in photo.people:
            shape = self.estimate(person.arrays[BETAS][None], name)
            people += self.reshape([person], shape)
        return replace(photo, people=tuple(people))

    def reshape(self, people: Sequence[Person], shape: CombinedShape) -> list[Person]:
        """Predicted people with a shape that was estimated; their files tell the gender given."""
        shaped = self.body_predictor.reshape(people, shape.betas.astype(np.float32))
        if self.gender is None:
            return shaped
        given = {"gender_given": np.array(self.gender)}
        return [replace(person, arrays={**person.arrays, **given}) for person in shaped]
