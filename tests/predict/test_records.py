"""A result stands alone: what its npz holds."""

import numpy as np
import pytest

from metrics.measurements import Measurements
from predict.detectors.interface import Detection
from predict.people import Person
from predict.records import ResultSource, describe_person, read_record, save_person
from utils.errors import InputError
from utils.joints import PARTS

SIZES = Measurements(1.8, 80.0, 0.9, 1.0, 1.1)


def make_source(**changes) -> ResultSource:
    """Of a body with 300 vertices and two faces."""
    words = {
        "body": "open", "gender": "female", "body_hash": "b0d1", "checkpoint": "best.tar",
        "checkpoint_hash": "c4ec", "detector": "maskrcnn", "rounds": 4,
        "faces": np.array([[0, 1, 2], [2, 1, 299]]), "face_parts": np.array([1, 6], np.uint8),
    }  # fmt: skip
    return ResultSource(**{**words, **changes})


def make_person() -> Person:
    """In a photo of 6 x 4 pixels."""
    box = np.array([1, 0, 5.5, 4], np.float32)
    detection = Detection(
        np.ones((4, 6), bool), np.ones((17, 2), np.float32), np.ones(17, np.float32), box
    )
    return Person(detection, {"betas": np.arange(10, dtype=np.float32)}, silhouette_iou=0.75)


def test_an_npz_stands_alone(tmp_path):
    person, path = make_person(), tmp_path / "a.b.npz"
    record = describe_person("a.b.jpg", 2, "a.b", person, SIZES)
    save_person(path, person, record, make_source())
    with np.load(path) as content:
        np.testing.assert_array_equal(content["betas"], np.arange(10.0))
        assert content["joint_names"].shape == (90,)
        assert content["detected_joint_names"][0] == "nose"
        assert content["detected_joints2d_px"].shape == (17, 2)
        np.testing.assert_array_equal(content["faces"], [[0, 1, 2], [2, 1, 299]])
        assert content["faces"].dtype == np.uint16
        assert tuple(content["part_names"][content["face_parts"]]) == (PARTS[1], PARTS[6])
        sizes = dict(zip(content["measurement_names"], content["measurements"], strict=True))
        assert sizes == SIZES._asdict()
        words = ("photo", "body", "gender", "body_hash", "checkpoint", "checkpoint_hash")
        found = [str(content[word]) for word in words]
        assert found == ["a.b.jpg", "open", "female", "b0d1", "best.tar", "c4ec"]
        assert content["detector"] == "maskrcnn"
        numbers = [content[name].item() for name in ("rounds", "person", "silhouette_iou")]
        assert numbers == [4, 2, 0.75]
        assert content["image_size"].tolist() == [6, 4]
    read, words = read_record(path, "a.b.jpg")
    assert read == record
    assert words["checkpoint_hash"] == "c4ec"


def test_an_npz_of_another_kind_is_refused(tmp_path):
    person, path = make_person(), tmp_path / "a.npz"
    record = describe_person("a.jpg", 1, "a", person, SIZES)
    save_person(path, person, record, None)
    with pytest.raises(InputError, match="has no measurement_names, body"):
        read_record(path, "a.jpg")
    np.savez(path, **{**np.load(path), **dict.fromkeys(make_source().__dict__, 1.5),
                      "measurement_names": "a", "image_size": 1})  # fmt: skip
    with pytest.raises(InputError, match="not a readable result"):
        read_record(path, "a.jpg")
