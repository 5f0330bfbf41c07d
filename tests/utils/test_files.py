"""Files that are whole or not there."""

import os
import threading

import numpy as np
import pytest

from utils.errors import InputError
from utils.files import check_writable, lock_folder, write_npz, write_whole
from utils.images import read_image, write_image


def test_a_file_is_written_and_nothing_beside_it(tmp_path):
    write_whole(tmp_path / "a.bin", b"old")
    write_whole(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_what_was_there_survives_a_failure(tmp_path):
    write_whole(tmp_path / "a.bin", b"old")

    def fill_disk(file):
        file.write(b"n")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"a\.bin: No space left on device; .* its disk; wait$"):
        write_whole(tmp_path / "a.bin", fill_disk, "; wait")
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("compress", [True, False])
def test_arrays_are_written_by_name(tmp_path, compress):
    path = tmp_path / "a.npz"
    write_npz(path, {"zeros": np.zeros(1000), "one": np.int64(1)}, compress)
    with np.load(path) as content:
        assert set(content.files) == {"zeros", "one"}
        assert (content["zeros"] == np.zeros(1000)).all()
    assert (path.stat().st_size < 8000) == compress
    assert os.listdir(tmp_path) == ["a.npz"]


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_names_that_are_not_utf8_and_as_long_as_can_be(tmp_path):
    image = np.full((4, 4, 3), 7, np.uint8)
    for name in (b"latin\xe9.png", b"x" * 251 + b".png"):
        path = tmp_path / os.fsdecode(name)
        write_image(path, image)
        np.testing.assert_array_equal(read_image(path), image)


@pytest.mark.skipif(os.name != "posix", reason="locks are POSIX's")
def test_a_folder_is_one_programs_at_a_time(tmp_path):
    first = lock_folder(tmp_path)
    with pytest.raises(InputError, match="another run is writing into"):
        lock_folder(tmp_path)
    first.close()
    lock_folder(tmp_path).close()


@pytest.mark.skipif(os.name != "posix", reason="links and their flags are POSIX's")
def test_a_lock_empties_no_file_of_the_users(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "thesis.txt").write_text("years of work")
    (folder / ".lock").symlink_to(tmp_path / "thesis.txt")
    with pytest.raises(InputError, match=r"cannot lock .* it is a link; remove that file"):
        lock_folder(folder)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    (folder / ".lock").unlink()
    (folder / ".lock").write_text("notes")
    lock_folder(folder).close()
    assert (folder / ".lock").read_text() == "notes"
    (folder / ".lock").unlink()
    (folder / ".lock").mkdir()
    with pytest.raises(InputError, match=r"cannot lock .* Is a directory"):
        lock_folder(folder)


def test_an_unfinished_file_follows_no_link(tmp_path):
    (tmp_path / "other.txt").write_text("kept")
    name = f".{os.getpid()}_{threading.get_ident()}.unfinished"
    (tmp_path / name).symlink_to(tmp_path / "other.txt")
    write_whole(tmp_path / "a.bin", b"new")
    assert (tmp_path / "other.txt").read_text() == "kept"
    assert sorted(os.listdir(tmp_path)) == ["a.bin", "other.txt"]


def test_folders_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder"):
        check_writable(tmp_path / "file")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="is not writable"):
        check_writable(tmp_path)
