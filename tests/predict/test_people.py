"""Photos to predicted people: what is skipped, and in which order results come."""

from pathlib import Path

import numpy as np
import pytest

from predict.detectors.interface import Detection
from predict.people import (
    FoundPeople,
    Photo,
    PredictedPerson,
    ReadPhoto,
    Skipped,
    attempt,
    find_people,
    predict_photos,
)
from utils.errors import InputError


def _photo(name: str) -> Photo:
    return Photo(Path("photos") / f"{name}.png", name)


def _detection(value: float) -> Detection:
    return Detection(np.ones((2, 2), bool), np.full((17, 2), value), np.ones(17), np.zeros(4))


def _found(name: str, *values: float) -> FoundPeople:
    return FoundPeople(_photo(name), None, [_detection(value) for value in values])


class _Predictor:
    """Predicts a person's IoU to be the detection's first number; fails on negative ones."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.calls: list[int] = []

    def predict(self, detections: list[Detection]) -> list[PredictedPerson]:
        self.calls.append(len(detections))
        values = [float(detection.joints2d_px[0, 0]) for detection in detections]
        if min(values, default=0) < 0:
            raise RuntimeError("out of memory")
        return [PredictedPerson(one, {}, iou) for one, iou in zip(detections, values, strict=True)]


class _Crowd:
    def __init__(self, count: int) -> None:
        self.people = [_detection(index) for index in range(count)]

    def detect(self, image: np.ndarray) -> list[Detection]:
        return self.people


def _outcomes(results) -> list:
    return [
        result.reason
        if isinstance(result, Skipped)
        else (result.photo.name, [person.silhouette_iou for person in result.people])
        for result in results
    ]


def test_results_come_in_the_photos_order_and_batches_are_whole():
    predictor = _Predictor(batch_size=3)
    found = [
        Skipped(_photo("a"), "no a"),
        _found("b", 0.1),
        Skipped(_photo("c"), "no c"),
        _found("d", 0.2, 0.3),
        _found("e", 0.4),
        Skipped(_photo("f"), "no f"),
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
        yield Skipped(_photo("a"), "no a")
        raise AssertionError("the next photo was asked for")

    assert _outcomes([next(predict_photos(found(), _Predictor(8)))]) == ["no a"]


def test_a_photo_that_fails_in_a_batch_fails_alone():
    found = [_found("a", 0.1), _found("b", -1), Skipped(_photo("c"), "no c"), _found("d", 0.2)]
    assert _outcomes(predict_photos(found, _Predictor(8))) == [
        ("a", [0.1]),
        f"{Path('photos/b.png')}: predicting failed (RuntimeError: out of memory)",
        "no c",
        ("d", [0.2]),
    ]


def test_the_most_prominent_person_or_all():
    read = ReadPhoto(_photo("a"), np.zeros((4, 4, 3), np.uint8))
    crowd = _Crowd(3)
    main = find_people(read, crowd, everyone=False, keep_image=True)
    assert main.detections == crowd.people[:1]
    assert main.image is read.image
    everyone = find_people(read, crowd, everyone=True, keep_image=False)
    assert everyone.detections == crowd.people
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
    skipped = Skipped(_photo("b"), "long ago")
    assert attempt(lambda photo: photo, skipped, "drawing") is skipped
    assert attempt(lambda photo: photo, _photo("a"), "drawing") == _photo("a")


def test_ctrl_c_is_no_bad_photo():
    def interrupted(photo: Photo):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupted, _photo("a"), "drawing")
