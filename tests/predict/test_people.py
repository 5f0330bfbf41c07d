"""Photos to predicted people: what is skipped, and in which order results come."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from predict.detectors.interface import Detection
from predict.people import (
    Person,
    Photo,
    attempt,
    find_people,
    predict_photos,
)
from utils.errors import InputError, Skipped


def _photo(name: str) -> Photo:
    return Photo(Path("photos") / f"{name}.png", name)


def _detection(value: float) -> Detection:
    return Detection(np.ones((2, 2), bool), np.full((17, 2), value), np.ones(17), np.zeros(4))


def _found(name: str, *values: float) -> Photo:
    return replace(_photo(name), people=tuple(Person(_detection(value)) for value in values))


class _Predictor:
    """Predicts a person's IoU to be the detection's first number; fails on negative ones."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.calls: list[int] = []

    def predict(self, people: Sequence[Person]) -> list[Person]:
        self.calls.append(len(people))
        values = [float(person.detection.joints2d_px[0, 0]) for person in people]
        if min(values, default=0) < 0:
            raise RuntimeError("out of memory")
        pairs = zip(people, values, strict=True)
        return [replace(person, silhouette_iou=iou) for person, iou in pairs]


class _Crowd:
    def __init__(self, count: int) -> None:
        self.people = [_detection(index) for index in range(count)]

    def detect(self, image: np.ndarray) -> list[Detection]:
        return self.people


def _outcomes(results) -> list:
    return [
        result.reason
        if isinstance(result, Skipped)
        else (result.name, [person.silhouette_iou for person in result.people])
        for result in results
    ]


def test_results_come_in_the_photos_order_and_batches_are_whole():
    predictor = _Predictor(batch_size=3)
    found = [
        Skipped("a.png", "no a"),
        _found("b", 0.1),
        Skipped("c.png", "no c"),
        _found("d", 0.2, 0.3),
        _found("e", 0.4),
        Skipped("f.png", "no f"),
    ]
    assert _outcomes(predict_photos(found, predictor)) == [
        "no a",
        ("b", [0.1]),
        "no c",
        ("d", [0.2, 0.3]),
        ("e", [0.4]),
        "no f",
    ]
    assert [count for count in predictor.calls if count] == [3, 1]


def test_a_skipped_photo_waits_for_nobody():
    def found():
        yield Skipped("a.png", "no a")
        raise AssertionError("the next photo was asked for")

    assert _outcomes([next(predict_photos(found(), _Predictor(8)))]) == ["no a"]


def test_a_photo_that_fails_in_a_batch_fails_alone():
    found = [_found("a", 0.1), _found("b", -1), Skipped("c.png", "no c"), _found("d", 0.2)]
    assert _outcomes(predict_photos(found, _Predictor(8))) == [
        ("a", [0.1]),
        f"{Path('photos/b.png')}: predicting failed (RuntimeError: out of memory)",
        "no c",
        ("d", [0.2]),
    ]


def test_the_most_prominent_person_or_all():
    read = replace(_photo("a"), image=np.zeros((4, 4, 3), np.uint8))
    crowd = _Crowd(3)
    main = find_people(read, crowd, everyone=False, keep_image=True)
    assert [person.detection for person in main.people] == crowd.people[:1]
    assert main.image is read.image
    everyone = find_people(read, crowd, everyone=True, keep_image=False)
    assert [person.detection for person in everyone.people] == crowd.people
    assert everyone.image is None
    with pytest.raises(InputError, match=r"a\.png: no person found"):
        find_people(read, _Crowd(0), everyone=True, keep_image=True)


def test_an_attempt_turns_errors_into_reasons():
    def fail(error: Exception):
        def work(photo: Photo):
            raise error

        return attempt(work, _photo("a"), "drawing").reason

    path = Path("photos/a.png")
    assert fail(InputError(f"cannot read {path}")) == f"cannot read {path}"
    assert fail(InputError("no space")) == f"{path}: no space"
    assert fail(ValueError("odd\nshape")) == f"{path}: drawing failed (ValueError: odd shape)"
    skipped = Skipped("b.png", "long ago")
    assert attempt(lambda photo: photo, skipped, "drawing") is skipped
    assert attempt(lambda photo: photo, _photo("a"), "drawing") == _photo("a")


def test_ctrl_c_is_no_bad_photo():
    def interrupted(photo: Photo):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupted, _photo("a"), "drawing")
