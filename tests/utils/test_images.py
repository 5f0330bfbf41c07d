import base64
import struct
import zlib

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


@pytest.mark.parametrize("suffix", ["png", "JPG", "JPEG", "jpeg", "bmp", "WebP", "tif"])
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


def _written(tmp_path, name, image, **options):
    path = tmp_path / name
    PIL.Image.fromarray(image).save(path, **options)
    return path


# A HEIC file of 48 x 64 px of the colour (200, 120, 40): what is installed reads such files only.
_HEIC = zlib.decompress(base64.b85decode(
    r"c-muNV30{GsVvAy%}izhg51nBLl8SRGck>Ufw49>wIq=N0u(b+a*CjAhJwuG5(YG&l$nzcHpIn&fe{FSfN>#&1"
    r"_C)CR?f`KO9S&jqM|@fDif5KQI>27V)7MamgK^f{LL&VDge@VGYgXQfpi&AnKL6ZNN57Y)DH}Q{{HyEz`)O(0M"
    r"sGjz{tb+|363pGe`w92+8eYa!3S9YB@17qRA{!Xk?xC>dCU5J2)~76o5j^Ac8?L38<XSh4EnVfli<$!pZqLMS0"
    r"0N6+ls52DS#EkVs~6K`PW|4p6L-oRbK0nE}-CATgk0{(k_{Oi;BTTA(1aA``@6=HTD}QWBX3xv)S6h8t@m6EkZ"
    r"Ikgb-Rk_ZZ9DGkQ;oDVFORrc+_x%mJ8{YpRi_a|$IS<O9v007*(Rr3"
))  # fmt: skip


def test_photos_of_phones_are_read(tmp_path):
    path = tmp_path / "a.HEIC"
    path.write_bytes(_HEIC)
    assert find_images(tmp_path) == [path]
    found = read_image(path)
    assert found.shape == (64, 48, 3)
    assert np.abs(found.astype(int) - (200, 120, 40)).max() < 12
    path.write_bytes(_HEIC[:300])
    with pytest.raises(InputError, match=r"a\.HEIC"):
        read_image(path)


def test_sixteen_bits_are_scaled(tmp_path):
    shades = np.array([[0, 256, 30000, 65535]], np.uint16)
    found = read_image(_written(tmp_path, "a.png", shades))
    assert found.tolist() == [[[0] * 3, [1] * 3, [117] * 3, [255] * 3]]  # 30000 / 256 = 117.2


def test_animated_pictures_give_their_first_frame(tmp_path):
    frames = [np.full((8, 8, 3), shade, np.uint8) for shade in (10, 100, 200)]
    first, *others = map(PIL.Image.fromarray, frames)
    for suffix in ("png", "webp"):
        path = tmp_path / f"a.{suffix}"
        first.save(path, save_all=True, append_images=others, lossless=True)
        assert np.array_equal(read_image(path), frames[0])


def test_size_is_checked_before_decoding(tmp_path):
    def png_header(width, height):
        chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        crc = struct.pack(">I", zlib.crc32(chunk))
        header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + crc
        return header + struct.pack(">I", 100) + b"IDAT"  # where the pixels would begin

    for side, megapixels in ((27000, 729), (12000, 144)):
        path = tmp_path / "huge.png"
        path.write_bytes(png_header(side, side))
        with pytest.raises(
            InputError, match=rf"huge\.png has {megapixels} megapixels; at most 100"
        ):
            read_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tif"])
def test_truncated_files_are_called_damaged(tmp_path, suffix):
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = _written(tmp_path, f"a.{suffix}", image)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match=rf"a\.{suffix} (is damaged|does not hold)"):
        read_image(path)


def test_broken_metadata_does_not_hide_a_picture(tmp_path):
    image = np.full((8, 8, 3), 90, np.uint8)
    path = _written(tmp_path, "a.webp", image, lossless=True, exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    assert np.array_equal(read_image(path), image)


def test_a_link_to_nothing_is_named(tmp_path):
    link = tmp_path / "a.png"
    link.symlink_to(tmp_path / "gone.png")
    assert find_images(tmp_path) == [link]
    with pytest.raises(InputError, match=r"a\.png: is a link to a file that is not there"):
        read_image(link)


def test_damaged_pictures_give_an_error_or_a_picture(tmp_path):
    """Bytes of small valid files are changed; nothing but InputError may leave the reader."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)
    frames = [PIL.Image.fromarray(image)] * 2
    refused = 0
    for suffix in ("png", "jpg", "bmp", "webp", "tif"):
        animated = {"save_all": True, "append_images": frames} if suffix in ("png", "webp") else {}
        path = _written(tmp_path, f"a.{suffix}", image, **animated)
        content = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(60):
            damaged = content.copy()
            damaged[generator.integers(0, len(content), 4)] = generator.integers(0, 256, 4)
            path.write_bytes(damaged.tobytes())
            try:
                assert read_image(path).dtype == np.uint8
            except InputError:
                refused += 1
    assert 20 < refused < 300


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
