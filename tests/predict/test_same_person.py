"""Photos of one person get one shape, and stand where they stood."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from models.checkpoints import Predictor
from models.shape_errors import ShapeErrors, ShapePrior, combine_shapes, know_gender
from predict.detectors.interface import Detection
from predict.known_people import ShapeEstimator
from predict.people import BodyPredictor, Person, Photo
from predict.same_person import ShapeSharer, list_people
from tests.networks import random_network
from utils.errors import InputError, Skipped

SIZE = 64


def _write(path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))


def test_folders_are_people(tmp_path):
    source = tmp_path / "anna"
    for name in ("1.png", "2.jpg", "ben/1.png", "ben/3.png", "notes/a.txt"):
        if name.endswith("txt"):
            (source / "notes").mkdir()
            (source / name).write_text("")
        else:
            _write(source / name)
    people = list_people(source)
    assert [[photo.name for photo in photos] for photos in people] == [
        ["1", "2"],
        ["ben_1", "ben_3"],
    ]
    assert [photos[0].person for photos in people] == ["anna", "ben"]


def test_folders_that_do_not_do(tmp_path):
    with pytest.raises(InputError, match="holds no photos"):
        list_people(tmp_path)
    _write(tmp_path / "1.png")
    with pytest.raises(InputError, match="needs a folder"):
        list_people(tmp_path / "1.png")
    _write(tmp_path / f"{tmp_path.name}.png")
    with pytest.raises(InputError, match="two results would be called"):
        list_people(tmp_path)


@pytest.fixture(scope="module")
def body_predictor(body_model):
    torch.manual_seed(0)
    network = random_network("feedback", body_model).eval()
    predictor = Predictor(network, body_model, SIZE, 0)
    return BodyPredictor(predictor, torch.device("cpu"), batch_size=2)


def _photo(number: int, person: str, tmp_path) -> Photo:
    generator = np.random.default_rng([number, ord(person)])
    silhouette = np.zeros((80, 60), bool)
    silhouette[10 : 60 + number, 20:40] = True
    joints = generator.uniform(10, 60, (17, 2)).astype(np.float32)
    box = np.array([20.0, 10, 40, 60 + number], np.float32)
    detection = Detection(silhouette, joints, np.ones(17, np.float32), box)
    path = tmp_path / f"{person}_{number}.png"
    return Photo(path, path.stem, people=(Person(detection),), person=person)


def _sharer(body_predictor, **known) -> ShapeSharer:
    dims = 12  # betas of the network
    eye = np.eye(dims)
    means = np.arange(3.0)[:, None].repeat(dims, axis=1) / 2
    prior = ShapePrior(means, np.tile(2.25 * eye, (3, 1, 1)), np.array([1.0, 0, 0]))
    errors = ShapeErrors(eye, np.zeros(dims), 0.1 * eye, 0.1 * eye, prior)
    return ShapeSharer(ShapeEstimator(body_predictor, errors, **known), keep_image=False)


def test_one_shape_for_a_person(body_predictor, tmp_path):
    photos = [_photo(number, person, tmp_path) for person in "ab" for number in range(3)]
    predicted = [
        Photo(
            photo.path,
            photo.name,
            people=tuple(body_predictor.predict(photo.people)),
            person=photo.person,
        )
        for photo in photos
    ]
    predicted.insert(1, Skipped("x.png", "x.png: no person found"))
    shared = list(_sharer(body_predictor).share(predicted))
    assert isinstance(shared[1], Skipped)
    assert [each.name for each in shared] == [each.name for each in predicted]
    done = [each for each in shared if isinstance(each, Photo)]
    before = [each for each in predicted if isinstance(each, Photo)]
    for person in (done[:3], done[3:]):
        for photo in person:
            arrays, shape = photo.people[0].arrays, photo.shape
            np.testing.assert_allclose(arrays["betas"], shape.betas, rtol=1e-6)
            assert shape.photos == tuple(each.path.name for each in person)
    assert not np.allclose(done[0].shape.betas, done[3].shape.betas)
    for old, new in zip(before, done, strict=True):
        old, new = old.people[0].arrays, new.people[0].arrays
        np.testing.assert_array_equal(old["pose_rotmats"], new["pose_rotmats"])
        # Fitted by least squares: the joints' mean does not move.
        coco = slice(24, 29)
        moved = np.abs(old["joints2d_px"][coco] - new["joints2d_px"][coco])
        assert moved.max() < 0.2 * old["crops"][2]


def test_the_same_shape_again_changes_nothing(body_predictor, tmp_path):
    (person,) = body_predictor.predict(_photo(0, "a", tmp_path).people)
    (again,) = body_predictor.reshape([person], person.arrays["betas"])
    for name, values in person.arrays.items():
        np.testing.assert_allclose(again.arrays[name], values, rtol=1e-3, atol=1e-3, err_msg=name)
    assert again.silhouette_iou == pytest.approx(person.silhouette_iou, abs=0.02)


def test_heights_and_genders_that_are_known_shape_people(body_predictor, tmp_path):
    (person,) = body_predictor.predict(_photo(0, "a", tmp_path).people)
    photo = Photo(tmp_path / "a.png", "a", people=(person,))
    (informed,) = _sharer(body_predictor, heights={"a.png": 1.9}).estimator.inform(photo).people
    assert np.ptp(informed.arrays["vertices_tpose"][:, 1]) == pytest.approx(1.9, abs=1e-3)
    assert "gender_given" not in informed.arrays
    assert _sharer(body_predictor, heights={"b.png": 1.9}).estimator.inform(photo) is photo
    estimator = _sharer(body_predictor, gender="female").estimator
    (woman,) = estimator.inform(photo).people
    assert woman.arrays["gender_given"] == "female"
    estimates = person.arrays["betas"][None].astype(np.float64)
    expected = combine_shapes(estimates, know_gender(estimator.errors, "female"))
    np.testing.assert_allclose(woman.arrays["betas"], expected.betas, rtol=1e-5)
    # Those whose gender a table tells are of it, the others of everybody's.
    both = _sharer(body_predictor, gender="male", genders={"a.png": "female"}).estimator
    (again,) = both.inform(photo).people
    np.testing.assert_array_equal(again.arrays["betas"], woman.arrays["betas"])
    assert (
        both.inform(replace(photo, path=tmp_path / "b.png")).people[0].arrays["gender_given"]
        == "male"
    )
    unknown = _sharer(body_predictor, genders={"b.png": "female"}).estimator
    assert unknown.inform(photo) is photo


def test_a_height_of_a_person_is_counted_with_all_photos(body_predictor, tmp_path):
    photos = [_photo(number, "a", tmp_path) for number in range(2)]
    people = [replace(each, people=tuple(body_predictor.predict(each.people))) for each in photos]
    shared = list(_sharer(body_predictor, heights={"a": 1.5}).share(people))
    for photo in shared:
        rows = photo.people[0].arrays["vertices_tpose"][:, 1]
        assert np.ptp(rows) == pytest.approx(1.5, abs=1e-3)
