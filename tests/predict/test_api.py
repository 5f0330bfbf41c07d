"""Predicting from Python gives what run_predict.py writes, whatever the images are."""

from dataclasses import MISSING, fields
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import hubconf
from predict.api import PersonResult, PhotoPredictor
from predict.detectors import registry
from predict.detectors.interface import Detection
from predict.detectors.masks import tight_box
from run_predict import PredictOptions, predict
from tests.networks import write_checkpoint
from utils.errors import InputError
from utils.images import read_image


class _Detector:
    """Finds as many people as the photo's first pixel says, each somewhere else."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        return [self._person(index, *image.shape[:2]) for index in range(image[0, 0, 0])]

    def _person(self, index: int, height: int, width: int) -> Detection:
        silhouette = np.zeros((height, width), dtype=bool)
        silhouette[5 + index : -5 - 2 * index, 20 + 5 * index : 50] = True
        joints = np.linspace([20 + 5 * index, 5], [50, height - 5], 17, dtype=np.float32)
        return Detection(silhouette, joints, np.ones(17, np.float32), tight_box(silhouette))


@pytest.fixture(autouse=True)
def _detector(monkeypatch):
    monkeypatch.setitem(registry.DETECTORS, "fake", lambda *_: _Detector())
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "untrained.tar"
    return write_checkpoint(path, "feedback")


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    """With one person, three, nobody and two."""
    paths = []
    for name, people in (("a", 1), ("b", 3), ("c", 0), ("d", 2)):
        image = np.random.default_rng(people).integers(0, 255, (90, 70, 3), dtype=np.uint8)
        image[0, 0] = people
        paths.append(tmp_path / "photos" / f"{name}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(paths[-1]), image)
    return paths


def _check_same(one: PersonResult, other: PersonResult) -> None:
    for field in fields(PersonResult):
        values = getattr(one, field.name), getattr(other, field.name)
        assert type(values[0]) is type(values[1]), field.name
        if isinstance(values[0], np.ndarray) and values[0].dtype.kind == "f":
            np.testing.assert_allclose(*values, atol=1e-3, err_msg=field.name)
        else:
            np.testing.assert_array_equal(*values, err_msg=field.name)


def test_results_are_those_of_the_command(tmp_path, checkpoint, photos):
    output = tmp_path / "out"
    predict(
        PredictOptions(
            input=tmp_path / "photos", output=output, checkpoint=checkpoint, silh_from="fake",
            people="all", device="cpu", visuals=False, batch_size=2,
        )
    )  # fmt: skip
    predictor = PhotoPredictor(checkpoint, detector="fake", people="all", device="cpu")
    predictions = predictor(photos)
    assert [len(each.people) for each in predictions] == [1, 3, 0, 2]
    assert [each.name for each in predictions] == [path.name for path in photos]
    assert predictions[2].reason == f"{photos[2]}: no person found"
    for path, prediction in zip(photos, predictions, strict=True):
        for person in prediction.people:
            written = output / f"{path.stem}_{person.person}.npz"
            with np.load(written) as content:
                needed = {each.name for each in fields(PersonResult) if each.default is MISSING}
                assert set(content.files) == needed  # nothing is known of these people besides
            _check_same(person, PersonResult.load(written))


def test_arrays_and_files_give_the_same(checkpoint, photos):
    predictor = PhotoPredictor(checkpoint, detector="fake", device="cpu", batch_size=1)
    arrays = [read_image(path) for path in photos]
    kept = [array.copy() for array in arrays]
    pairs = list(zip(predictor(map(str, photos)), predictor(arrays), strict=True))
    assert [other.name for _, other in pairs] == [f"image {index}" for index in range(4)]
    for one, other in pairs:
        assert len(one.people) == len(other.people) == (one.reason is None)
        for person, same in zip(one.people, other.people, strict=True):
            np.testing.assert_allclose(person.vertices, same.vertices, atol=1e-4)
            assert person.sizes.keys() == same.sizes.keys() >= {"height_m"}
    np.testing.assert_array_equal(arrays, kept)
    picture = predictor.draw(arrays[0], pairs[0][0].people)
    assert (picture != arrays[0]).any()


def test_a_bad_image_has_its_reason_and_stops_no_other(checkpoint, photos, tmp_path):
    predictor = PhotoPredictor(checkpoint, detector="fake", device="cpu")
    good = read_image(photos[0])
    bad = [good / 255, good[..., 0], good[:0], tmp_path / "nothing.png"]
    predictions = predictor([*bad, good])
    reasons = [prediction.reason for prediction in predictions]
    assert all("expected uint8 (H, W, 3), RGB" in reason for reason in reasons[:3])
    assert "nothing.png" in reasons[3]
    assert reasons[4] is None
    assert predictor([]) == []


def test_many_images_come_back_one_by_one(checkpoint, photos):
    """No more are read than a batch needs."""
    predictor = PhotoPredictor(checkpoint, detector="fake", device="cpu", batch_size=2)
    read = []
    stream = predictor.stream(read.append(path) or path for path in photos[:1] * 9)
    assert next(stream).name == "a.png"
    assert len(read) == 2


def test_a_result_is_saved_and_loaded(checkpoint, photos, tmp_path):
    predictor = PhotoPredictor(checkpoint, detector="fake", device="cpu")
    (person,) = predictor(photos[:1])[0].people
    person.save(tmp_path / "a.npz")
    _check_same(PersonResult.load(tmp_path / "a.npz"), person)
    np.savez(tmp_path / "b.npz", betas=person.betas)
    with pytest.raises(InputError, match="has no photo"):
        PersonResult.load(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"people": "everybody"}, "expected main or all"),
        ({"proxy": "mine"}, "expected own, published or None"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"detector": "eyes"}, "there is no such detector"),
        ({"device": "abacus"}, "unknown device"),
        ({"detector": "files"}, "needs --masks"),
    ],
)
def test_wrong_options_are_told(checkpoint, options, message):
    with pytest.raises(InputError, match=message):
        hubconf.straps(checkpoint, **options)


def test_another_project_s_packages_are_told(monkeypatch):
    monkeypatch.setitem(hubconf.sys.modules, "utils", hubconf.os)
    with pytest.raises(ImportError, match="another module called utils"):
        hubconf.straps()
