import numpy as np
import pytest

from utils.errors import InputError
from utils.images import find_images, read_image, write_image


def test_png_round_trip_is_rgb(tmp_path):
    image = np.zeros((4, 6, 3), np.uint8)
    image[..., 0] = 255  # red
    write_image(tmp_path / "red.png", image)
    assert np.array_equal(read_image(tmp_path / "red.png"), image)


@pytest.mark.parametrize("suffix", ["png", "JPG", "jpeg", "bmp", "WebP", "tif"])
def test_every_format_and_case_is_found_and_read(tmp_path, suffix):
    image = np.full((8, 8, 3), 90, np.uint8)
    write_image(tmp_path / f"a.{suffix.lower()}", image)
    path = (tmp_path / f"a.{suffix.lower()}").rename(tmp_path / f"a.{suffix}")
    assert find_images(tmp_path) == [path]
    assert read_image(path).shape == (8, 8, 3)


def test_text_named_png_is_refused_by_name(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not a picture")
    with pytest.raises(InputError, match=r"notes\.png does not hold an image"):
        read_image(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"notes\.png"):
        read_image(path)


def test_folder_without_images_is_refused(tmp_path):
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(InputError, match="no images"):
        find_images(tmp_path)
    with pytest.raises(InputError, match="not an image by its name"):
        find_images(tmp_path / "readme.txt")
    with pytest.raises(InputError, match="no file or folder"):
        find_images(tmp_path / "absent")


def test_writing_where_there_is_no_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        write_image(tmp_path / "no" / "a.png", np.zeros((2, 2, 3), np.uint8))
