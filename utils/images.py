"""Finding, reading and writing pictures."""

import functools
import io
import re
import warnings
from pathlib import Path

import cv2
import numpy as np
import PIL.ExifTags
import PIL.Image
from PIL import (
    BmpImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from utils.errors import InputError
from utils.files import write_whole

HEIF_SUFFIXES = (".heic", ".heif")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", *HEIF_SUFFIXES)
MAX_PIXELS = 100_000_000  # of a picture that is read; 1.5 GB are needed for one of this size
# The only decoders that a file reaches, whatever its name; those not imported, Pillow cannot find.
_FORMATS = [
    plugin.format
    for plugin in (
        PngImagePlugin.PngImageFile,
        JpegImagePlugin.JpegImageFile,
        BmpImagePlugin.BmpImageFile,
        WebPImagePlugin.WebPImageFile,
        TiffImagePlugin.TiffImageFile,
    )
]

_Turn = PIL.Image.Transpose
_TURNS = {  # what shows a picture upright, by its EXIF orientation
    2: _Turn.FLIP_LEFT_RIGHT,
    3: _Turn.ROTATE_180,
    4: _Turn.FLIP_TOP_BOTTOM,
    5: _Turn.TRANSPOSE,
    6: _Turn.ROTATE_270,
    7: _Turn.TRANSVERSE,
    8: _Turn.ROTATE_90,
}


def find_images(path: Path) -> list[Path]:
    """The image files that `path` names: itself, or those directly in the folder, by name.

    Links to nothing are among them, so that reading them says so.

    Raises:
        InputError: `path` does not exist, cannot be read, is not an image file, or is a folder
            without images.
    """
    try:
        return _images_at(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def has_images(folder: Path) -> bool:
    """Whether there is an image file directly in a folder."""
    return any(child.suffix.lower() in IMAGE_SUFFIXES for child in folder.iterdir())


def _images_at(path: Path) -> list[Path]:
    known = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    if path.is_file():
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise InputError(f"{path} is not an image by its name; expected one of: {known}")
        return [path]
    if not path.is_dir():
        raise InputError(f"no file or folder at {path}; give one image or a folder of images")
    images = sorted(
        child
        for child in path.iterdir()
        if child.suffix.lower() in IMAGE_SUFFIXES
        and (child.is_file() or (child.is_symlink() and not child.exists()))
    )
    if not images:
        raise InputError(f"no images in {path}; expected files ending in: {known}")
    return images


def read_image(path: Path) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Of several pictures in a file the first one is read. How large it is stands in the header, and
    is checked before anything is decoded.

    Raises:
        InputError: the file cannot be read, holds no picture, a damaged one, or one too large.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        kind = "is a link to a file that is not there" if path.is_symlink() else error.strerror
        raise InputError(f"cannot read {path}: {kind}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of files that it can read all the same
            return _decode(content, path)
    except PIL.UnidentifiedImageError as error:
        raise InputError(f"{path} does not hold an image that can be decoded") from error
    except (InputError, MemoryError):
        raise
    except Exception as error:  # decoders fail in many ways, each on a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} is damaged: {reason}; get the file again") from error


def _decode(content: bytes, path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a file's content."""
    formats = _FORMATS
    if path.suffix.lower() in HEIF_SUFFIXES:
        _know_heif()
        formats = [*formats, "HEIF"]
    try:
        file = PIL.Image.open(io.BytesIO(content), formats=formats)
    except PIL.Image.DecompressionBombError as error:  # beyond Pillow's own limit, larger than ours
        raise _too_large(path, int(re.search(r"\d+", str(error))[0])) from error
    with file:
        pixels = file.width * file.height
        if pixels > MAX_PIXELS:
            raise _too_large(path, pixels)
        file.load()
        # Without the rest of the metadata, which may be damaged.
        turn = _TURNS.get(_orientation_of(file))
        picture = file if turn is None else file.transpose(turn)
        if picture.mode.startswith("I;16"):  # Pillow would clip it to the darkest of its shades
            grey = (np.asarray(picture) >> 8).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        if picture.mode in ("I", "F"):
            raise InputError(f"{path} has pixels of 32 bits; convert it to 8 bits a channel")
        return np.array(picture.convert("RGB"))


def _orientation_of(file: PIL.Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where the metadata cannot be read."""
    try:
        return file.getexif().get(PIL.ExifTags.Base.Orientation, 1)
    except Exception:  # the picture itself could be read
        return 1


def _too_large(path: Path, pixels: int) -> InputError:
    return InputError(
        f"{path} has {pixels / 1e6:.0f} megapixels; at most {MAX_PIXELS / 1e6:.0f} can be read: "
        "make it smaller"
    )


@functools.cache
def _know_heif() -> None:
    """Teaches Pillow to read photos of phones in HEIF files; a large library, so only if needed."""
    try:
        import pi_heif  # the build that only reads: the one that writes brings an encoder under GPL
    except ImportError as error:
        raise InputError("HEIF files need a package: pip install pi-heif") from error
    pi_heif.register_heif_opener()


def write_image(path: Path, image: np.ndarray, jpeg_quality: int = 95) -> None:
    """Writes (H, W, 3) uint8 RGB to `path`, its format by the suffix.

    Args:
        path: of the file; one that is there already is replaced.
        image: (H, W, 3) uint8 RGB.
        jpeg_quality: 0 to 100, of jpg files alone.

    Raises:
        InputError: the file could not be written.
    """
    # Encoded here and written by Python: OpenCV crashes on names that are not UTF-8.
    quality = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if path.suffix == ".jpg" else []
    _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
    write_whole(path, encoded.tobytes())
