"""People who are scaled to their height stand where they stood in the photo."""

import numpy as np
import pytest
import torch

from models.decoder import BodyParameters, decode_in_photos
from predict.heights import read_heights, scale_person
from predict.known_people import read_genders
from predict.people import Person
from utils.errors import InputError


def test_scaled_people_look_the_same(body_model):
    pose = torch.eye(3).repeat(1, 24, 1, 1)
    pose[:, 0] = torch.diag(torch.tensor([1.0, -1, -1]))
    parameters = BodyParameters(torch.tensor([[0.8, 0.1, 0.2]]), pose, torch.zeros(1, 10))
    bodies = decode_in_photos(parameters, body_model, torch.tensor([[150.0, 200, 300]]))
    before = bodies.person(0)
    after = scale_person(Person(None, before), 1.9).arrays
    assert np.ptp(after["vertices_tpose"][:, 1]) == pytest.approx(1.9, abs=1e-5)
    assert after["scaled_by"] == pytest.approx(1.9 / np.ptp(before["vertices_tpose"][:, 1]))
    assert after["height_given_m"] == pytest.approx(1.9)
    np.testing.assert_array_equal(after["betas"], before["betas"])

    def project(person):
        """By the pinhole, and by both weak-perspective cameras."""
        seen = (person["vertices"] + person["cam_t"]) @ person["cam_k"].T
        flat = person["vertices"][:, :2]
        scale, *shift = person["cam_wp"]
        return (
            seen[:, :2] / seen[:, 2:],
            person["cam_photo"][0] * flat + person["cam_photo"][1:],
            scale * (flat + np.array(shift)),
        )

    for found, expected in zip(project(after), project(before), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_heights_are_read(tmp_path):
    names = ["a.png", "b.png"]
    assert read_heights("1.78", names) == {"a.png": 1.78, "b.png": 1.78}
    table = tmp_path / "heights.csv"
    table.write_text("file,height_m\nb.png,1.65\n")
    assert read_heights(str(table), names) == {"b.png": 1.65}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("178", "no person's height"),
        ("nan", "no person's height"),
        ("tall", "no number of metres, and no file"),
        ("file,height_m\nc.png,1.7\n", "line 2: c.png is not among"),
        ("file,height_m\na.png,big\n", "line 2: big is no number"),
        ("file,height_m\na.png,17\n", "line 2: 17.0 m is no person's height"),
        ("file,size\na.png,1.7\n", "expected the columns file, height_m"),
    ],
)
def test_wrong_heights(tmp_path, given, problem):
    if "\n" in given:
        table = tmp_path / "heights.csv"
        table.write_text(given)
        given = str(table)
    with pytest.raises(InputError, match=problem):
        read_heights(given, ["a.png"])


def test_genders_are_read(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("file,height_m,gender\na.png,1.7,female\nb.png,1.8,male\n")
    assert read_genders(path, ["a.png", "b.png"]) == {"a.png": "female", "b.png": "male"}
    assert read_heights(str(path), ["a.png", "b.png"]) == {"a.png": 1.7, "b.png": 1.8}
    for text, complaint in (
        ("file,gender\na.png,f\n", "line 2: f is not among male, female"),
        ("file,gender\nc.png,male\n", "line 2: c.png is not among what is predicted"),
        ("file,sex\na.png,male\n", "line 2: expected the columns file, gender"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=complaint):
            read_genders(path, ["a.png", "b.png"])
    with pytest.raises(InputError, match="cannot read"):
        read_genders(tmp_path / "none.csv", [])
