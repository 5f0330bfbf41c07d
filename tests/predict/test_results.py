"""Names and contents of output files."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import predict.results
import utils.files
import utils.images
from metrics.measurements import Measurements
from predict.detectors.interface import Detection
from predict.people import Person, Photo
from predict.results import (
    ResultWriter,
    is_done,
    make_output_folder,
    make_output_names,
    make_person_names,
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
    assert make_output_names([Path("photos") / file for file in files]) == names


def test_files_of_different_photos_and_people_never_clash():
    """Every ending that is written, for awkward names, whether people have numbers or not."""
    stems = [
        "a",
        "a_1",
        "a_1_1",
        "a_tpose",
        "a_tpose_tpose",
        "a_1_tpose",
        "a_overlay",
        "A_proxy",
        "a_people",
    ]
    paths = [Path(f"{stem}.{suffix}") for stem in stems for suffix in ("png", "jpg")]
    endings = (
        ".npz",
        ".glb",
        ".obj",
        "_tpose.obj",
        "_overlay.png",
        "_tpose.png",
        "_proxy.png",
        "_views.png",
    )
    for some in (paths, paths[::2]):
        for count, numbered in ((1, False), (1, True), (12, True)):
            files = [
                f"{person}{ending}".casefold()
                for name in make_output_names(some)
                for person in make_person_names(name, count, numbered)
                for ending in endings
            ]
            if numbered:
                files += [f"{name}_people.png".casefold() for name in make_output_names(some)]
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


def test_a_photo_is_done_when_all_its_files_are(tmp_path, monkeypatch):
    """The run ends at any of its files: it counts as done with the last one alone."""
    detection = Detection(
        np.ones((4, 4), bool), np.ones((17, 2), np.float32), np.ones(17, np.float32), np.zeros(4)
    )
    picture = {"overlay": np.zeros((4, 4, 3), np.uint8)}
    arrays = {"vertices_tpose": np.zeros((3, 3)), "betas": np.zeros(10)}
    person = Person(detection, arrays, pictures=picture)
    photo = Photo(tmp_path / "a.png", "a", None, (person, person), {"people": picture["overlay"]})
    monkeypatch.setattr(predict.results, "measure", lambda *_: Measurements(1.8, 80, 0.9, 1, 1))
    comparer = SimpleNamespace(errors_beside=lambda *_: None)
    writer = ResultWriter(tmp_path, np.array([[0, 1, 2]]), None, True, comparer)
    write, written = utils.files.write_whole, []

    def check_and_write(path, content):
        assert not is_done(tmp_path, "a", True)
        write(path, content)
        written.append(path.name)

    for module in (utils.files, utils.images):
        monkeypatch.setattr(module, "write_whole", check_and_write)
    writer.write(photo)
    of_people = ["a_2_overlay.png", "a_2.npz", "a_1_overlay.png", "a_1.npz"]
    assert written == ["a_people.png", *of_people]
    assert is_done(tmp_path, "a", True)
