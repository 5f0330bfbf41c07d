"""Pictures of predicted people."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from models.body_model import BodyModel
from predict.detectors.interface import Detection
from predict.people import Person, Photo
from predict.pictures import (
    PICTURE_SIDE,
    PictureKind,
    draw_people,
    draw_person,
    draw_photo,
    shrink_for_pictures,
)
from renderers.shading import BodyRenderer


@pytest.fixture(scope="module")
def body() -> tuple[np.ndarray, np.ndarray]:
    model = BodyModel.load()
    return model.tpose(torch.zeros(1, 10))[0].numpy(), model.faces.numpy()


def test_overlay_is_drawn_through_the_photos_camera(body):
    vertices, faces = body
    photo = np.zeros((120, 200, 3), dtype=np.uint8)
    person = _large_person(vertices, zoom=1)
    detection = replace(person.detection, silhouette=np.zeros((120, 200), dtype=bool))
    camera = {
        "cam_t": np.array([0.5, 0, 42], dtype=np.float32),
        "cam_k": np.array([[42 * 50.0, 0, 100], [0, 42 * 50.0, 60], [0, 0, 1]], dtype=np.float32),
    }
    person = replace(person, detection=detection, arrays={**person.arrays, **camera})
    drawn = draw_person(photo, person, BodyRenderer(faces), ["overlay"])["overlay"].any(axis=2)
    columns = np.flatnonzero(drawn.any(axis=0))
    # 50 px a metre: the body's middle is half a metre, 25 px, right of the picture's middle.
    assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(125, abs=1)


def test_a_large_photo_is_shown_reduced_with_everything_in_its_place(body):
    """Four times too large a photo gives the picture of one that fits."""
    vertices, faces = body
    photos = [np.zeros((zoom * 900, zoom * PICTURE_SIDE, 3), np.uint8) for zoom in (1, 4)]
    person, large_person = (_large_person(vertices, zoom) for zoom in (1, 4))
    image, (same,) = shrink_for_pictures(photos[0], [person])
    assert image is photos[0]
    assert same is person
    image, (shrunk,) = shrink_for_pictures(photos[1], [large_person])
    assert image.shape == photos[0].shape
    for name in ("cam_k", "cam_photo", "crops", "joints2d_px"):
        np.testing.assert_allclose(shrunk.arrays[name], person.arrays[name], rtol=1e-6)
    np.testing.assert_array_equal(shrunk.detection.silhouette, person.detection.silhouette)
    np.testing.assert_allclose(shrunk.detection.joints2d_px, person.detection.joints2d_px)
    np.testing.assert_allclose(shrunk.detection.box, person.detection.box)
    kinds = ("overlay", "proxy", "people")
    small, large = (
        draw_photo(Photo(Path("a.png"), "a", *pair), BodyRenderer(faces), kinds)
        for pair in zip(photos, ((person,), (large_person,)), strict=True)
    )
    for kind in ("overlay", "proxy"):
        np.testing.assert_array_equal(
            small.people[0].pictures[kind], large.people[0].pictures[kind]
        )
        assert small.people[0].pictures[kind].any()
    np.testing.assert_array_equal(small.pictures["people"], large.pictures["people"])


def test_only_what_is_asked_for_is_drawn(body):
    vertices, faces = body
    photo = np.zeros((900, PICTURE_SIDE, 3), np.uint8)
    person = _large_person(vertices, zoom=1)
    photo = Photo(Path("a.png"), "a", photo, (person,))
    drawn = draw_photo(photo, BodyRenderer(faces), ("views", "tpose"))
    assert list(drawn.people[0].pictures) == ["views", "tpose"]
    assert drawn.pictures == {}
    assert drawn.image is None
    everything = draw_photo(photo, BodyRenderer(faces), get_args(PictureKind))
    kinds = {*everything.people[0].pictures, *everything.pictures}
    assert kinds == set(get_args(PictureKind))


def test_the_nearer_person_covers_the_farther_one(body):
    """Both stand at the same place; one looks twice as large, whoever comes first."""
    vertices, faces = body
    photo = np.zeros((900, PICTURE_SIDE, 3), np.uint8)
    small, large = _large_person(vertices, zoom=1), _large_person(vertices, zoom=2)
    camera = {"cam_k": large.arrays["cam_k"].copy()}
    camera["cam_k"][:2, 2] = small.arrays["cam_k"][:2, 2]
    large = replace(large, arrays={**large.arrays, **camera})
    for people in ([small, large], [large, small]):
        picture = draw_people(photo, people, BodyRenderer(faces))
        # The chest of both, where the large one's colour is: blue is most for the first colour,
        # red for the second.
        assert picture[400, 450].argmax() == (2 if people[0] is large else 0)
    np.testing.assert_array_equal(photo, 0)


def _large_person(vertices: np.ndarray, zoom: int) -> Person:
    """A person in a photo of `PICTURE_SIDE` times `zoom` pixels."""
    silhouette = np.zeros((900, PICTURE_SIDE), dtype=bool)
    silhouette[100:700, 300:600] = True
    joints = np.linspace([310.0, 110], [590, 690], 17)
    box = np.array([300.0, 100, 600, 700])
    detection = Detection(
        silhouette.repeat(zoom, axis=0).repeat(zoom, axis=1),
        zoom * joints.astype(np.float32), np.ones(17, np.float32), zoom * box.astype(np.float32),
    )  # fmt: skip
    focal = 42 * 300.0
    arrays = {
        "vertices": vertices * np.array([1, -1, -1], dtype=np.float32),
        "vertices_tpose": vertices,
        "cam_photo": zoom * np.array([300, 450, 400], dtype=np.float32),
        "cam_t": np.array([0, 0, 42], dtype=np.float32),
        "cam_k": np.array(
            [[zoom * focal, 0, zoom * 450], [0, zoom * focal, zoom * 400], [0, 0, 1]],
            dtype=np.float32,
        ),
        "crops": zoom * np.array([450, 400, 720], dtype=np.float32),
        "joints2d_px": zoom * joints.astype(np.float32),
    }
    return Person(detection, arrays)
