"""Pictures, and names and contents of output files."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

import utils.files
import utils.images
from models.body_model import BodyModel
from predict import results
from predict.detectors.interface import Detection
from predict.people import Person, Photo
from predict.results import (
    PICTURE_SIDE,
    ResultWriter,
    draw_person,
    is_done,
    make_output_folder,
    make_output_names,
    make_person_names,
    save_meshes,
    save_person,
    shrink_for_pictures,
)
from renderers.shading import BodyRenderer
from utils.errors import InputError


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.png", "b.jpg"], ["a", "b"]),
        (["a.png", "a.jpg", "b.jpg"], ["a.png", "a.jpg", "b"]),
        (["A.png", "a.jpg"], ["A.png", "a.jpg"]),
        (["a.png", "a.jpg", "a.jpg.png"], ["a.png", "a.jpg", "a.jpg.png"]),
        # The T-posed mesh of a.png would be the posed one of a_tpose.png.
        (["a.png", "A_Tpose.png", "b_tpose.png"], ["a", "A_Tpose.png", "b_tpose"]),
    ],
)
def test_no_two_images_share_a_name(files, names):
    assert make_output_names([Path("photos") / file for file in files]) == names


def test_files_of_different_photos_and_people_never_clash():
    """Every ending that is written, for awkward names, whether people have numbers or not."""
    stems = ["a", "a_1", "a_1_1", "a_tpose", "a_tpose_tpose", "a_1_tpose", "a_overlay", "A_proxy"]
    paths = [Path(f"{stem}.{suffix}") for stem in stems for suffix in ("png", "jpg")]
    endings = (".npz", ".obj", "_tpose.obj", "_overlay.png", "_tpose.png", "_proxy.png")
    for some in (paths, paths[::2]):
        for count, numbered in ((1, False), (1, True), (12, True)):
            files = [
                f"{person}{ending}".casefold()
                for name in make_output_names(some)
                for person in make_person_names(name, count, numbered)
                for ending in endings
            ]
            assert len(set(files)) == len(files)


def test_people_have_numbers_where_all_are_predicted():
    assert make_person_names("a", 1, numbered=False) == ["a"]
    assert make_person_names("a", 1, numbered=True) == ["a_1"]
    assert make_person_names("a", 3, numbered=True) == ["a_1", "a_2", "a_3"]
    with pytest.raises(ValueError, match="2 people"):
        make_person_names("a", 2, numbered=False)


def test_the_input_folder_is_refused(tmp_path):
    photo = tmp_path / "a.png"
    photo.touch()
    for source in (tmp_path, photo):
        with pytest.raises(InputError, match="choose another folder"):
            make_output_folder(tmp_path, source)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match="taken"):
        make_output_folder(tmp_path / "taken", tmp_path)


def test_everything_is_in_the_npz(tmp_path):
    detection = Detection(
        np.ones((4, 4), bool), np.ones((17, 2), np.float32), np.ones(17, np.float32), np.zeros(4)
    )
    path = tmp_path / "a.b.npz"
    save_person(path, Person(detection, {"betas": np.arange(10.0)}))
    with np.load(path) as content:
        np.testing.assert_array_equal(content["betas"], np.arange(10.0))
        assert content["joint_names"].shape == (90,)
        assert content["detected_joint_names"][0] == "nose"
        assert content["detected_joints2d_px"].shape == (17, 2)


def test_a_photo_is_done_when_all_its_files_are(tmp_path, monkeypatch):
    """The run ends at any of its files: it counts as done with the last one alone."""
    detection = Detection(
        np.ones((4, 4), bool), np.ones((17, 2), np.float32), np.ones(17, np.float32), np.zeros(4)
    )
    picture = {"overlay": np.zeros((4, 4, 3), np.uint8)}
    person = Person(detection, {"vertices_tpose": np.zeros((3, 3))}, pictures=picture)
    photo = Photo(tmp_path / "a.png", "a", people=(person, person))
    monkeypatch.setattr(results, "measure", lambda *_: None)
    comparer = SimpleNamespace(errors_beside=lambda *_: None)
    writer = ResultWriter(tmp_path, None, False, True, comparer)
    write, written = results.write_whole, []

    def check_and_write(path, content):
        assert not is_done(tmp_path, "a", True)
        write(path, content)
        written.append(path.name)

    for module in (results, utils.files, utils.images):
        monkeypatch.setattr(module, "write_whole", check_and_write)
    writer.write(photo)
    assert written == ["a_2_overlay.png", "a_2.npz", "a_1_overlay.png", "a_1.npz"]
    assert is_done(tmp_path, "a", True)


def test_meshes_stand_upright(tmp_path):
    person = {
        # Camera axes: the first vertex is the highest, since y points down.
        "vertices": np.array([[0, -2.0, 5], [1, 0, 5], [0, 0, 5]]),
        "vertices_tpose": np.array([[0, 2.0, 0], [1, 0, 0], [0, 0, 0]]),
    }
    save_meshes(tmp_path / "a.x", person, np.array([[0, 1, 2]]))
    posed = trimesh.load(tmp_path / "a.x.obj", process=False)
    np.testing.assert_allclose(posed.vertices[0], [0, 2, -5])
    assert (tmp_path / "a.x_tpose.obj").is_file()


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
    drawn = draw_person(photo, person, BodyRenderer(faces, "own"))["overlay"].any(axis=2)
    columns = np.flatnonzero(drawn.any(axis=0))
    # 50 px a metre: the body's middle is half a metre, 25 px, right of the picture's middle.
    assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(125, abs=1)


def test_a_large_photo_is_shown_reduced_with_everything_in_its_place(body):
    """Four times too large a photo gives the picture of one that fits."""
    vertices, faces = body
    photos = [np.zeros((zoom * 900, zoom * PICTURE_SIDE, 3), np.uint8) for zoom in (1, 4)]
    person, large_person = (_large_person(vertices, zoom) for zoom in (1, 4))
    image, same = shrink_for_pictures(photos[0], person)
    assert image is photos[0]
    assert same is person
    image, shrunk = shrink_for_pictures(photos[1], large_person)
    assert image.shape == photos[0].shape
    for name in ("cam_k", "crops", "joints2d_px"):
        np.testing.assert_allclose(shrunk.arrays[name], person.arrays[name], rtol=1e-6)
    np.testing.assert_array_equal(shrunk.detection.silhouette, person.detection.silhouette)
    np.testing.assert_allclose(shrunk.detection.joints2d_px, person.detection.joints2d_px)
    np.testing.assert_allclose(shrunk.detection.box, person.detection.box)
    renderer = BodyRenderer(faces, "own")
    small, large = (
        draw_person(*pair, renderer) for pair in zip(photos, (person, large_person), strict=True)
    )
    for kind in ("overlay", "proxy"):
        np.testing.assert_array_equal(small[kind], large[kind])
        assert small[kind].any()


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
        "cam_t": np.array([0, 0, 42], dtype=np.float32),
        "cam_k": np.array(
            [[zoom * focal, 0, zoom * 450], [0, zoom * focal, zoom * 400], [0, 0, 1]],
            dtype=np.float32,
        ),
        "crops": zoom * np.array([450, 400, 720], dtype=np.float32),
        "joints2d_px": zoom * joints.astype(np.float32),
    }
    return Person(detection, arrays)
