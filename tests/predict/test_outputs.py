"""Names and contents of output files."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from predict.detectors.interface import Detection
from predict.outputs import (
    make_output_folder,
    output_names,
    person_names,
    save_meshes,
    save_person,
)
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
    assert output_names([Path("photos") / file for file in files]) == names


def test_files_of_different_photos_and_people_never_clash():
    """Every ending that is written, for awkward names, whether people have numbers or not."""
    stems = ["a", "a_1", "a_1_1", "a_tpose", "a_tpose_tpose", "a_1_tpose", "a_overlay", "A_proxy"]
    paths = [Path(f"{stem}.{suffix}") for stem in stems for suffix in ("png", "jpg")]
    endings = (".npz", ".obj", "_tpose.obj", "_overlay.png", "_tpose.png", "_proxy.png")
    for some in (paths, paths[::2]):
        for count, numbered in ((1, False), (1, True), (12, True)):
            files = [
                f"{person}{ending}".casefold()
                for name in output_names(some)
                for person in person_names(name, count, numbered)
                for ending in endings
            ]
            assert len(set(files)) == len(files)


def test_people_have_numbers_where_all_are_predicted():
    assert person_names("a", 1, numbered=False) == ["a"]
    assert person_names("a", 1, numbered=True) == ["a_1"]
    assert person_names("a", 3, numbered=True) == ["a_1", "a_2", "a_3"]
    with pytest.raises(ValueError, match="2 people"):
        person_names("a", 2, numbered=False)


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
    save_person(path, {"betas": np.arange(10.0)}, detection)
    with np.load(path) as content:
        np.testing.assert_array_equal(content["betas"], np.arange(10.0))
        assert content["joint_names"].shape == (90,)
        assert content["detected_joint_names"][0] == "nose"
        assert content["detected_joints2d_px"].shape == (17, 2)


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
