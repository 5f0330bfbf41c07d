import numpy as np
import PIL.ExifTags
import PIL.Image
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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_photos_are_turned_as_their_exif_data_say(tmp_path, suffix, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 250  # a light corner
    # How the picture is stored, by orientation: the inverse of the turn that shows it.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = PIL.Image.Exif()
    exif[PIL.ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"a.{suffix}"
    PIL.Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=100)
    found = read_image(path).astype(int)
    assert found.shape == upright.shape
    assert np.abs(found - upright).mean() < 5


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
