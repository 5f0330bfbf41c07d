"""Finding, reading and writing pictures."""

import io
from pathlib import Path

import cv2
import numpy as np
import PIL.ExifTags
import PIL.Image

from utils.errors import InputError
from utils.files import write_whole

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def find_images(path: Path) -> list[Path]:
    """The image files that `path` names: itself, or those directly in the folder, by name.

    Raises:
        InputError: `path` does not exist, cannot be read, is not an image file, or is a folder
            without images.
    """
    try:
        return _images_at(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


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
        if child.is_file() and child.suffix.lower() in IMAGE_SUFFIXES
    )
    if not images:
        raise InputError(f"no images in {path}; expected files ending in: {known}")
    return images


def read_image(path: Path) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Raises:
        InputError: the file cannot be read or does not hold an image.
    """
    try:
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    webp = path.suffix.lower() == ".webp"  # whose orientation some releases of OpenCV overlook
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if webp else 0)
    image = cv2.imdecode(content, flags) if content.size else None
    if image is None:
        raise InputError(f"{path} does not hold an image that can be decoded; convert it to png")
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if webp:
        image = _turned(image, content)
    return image


def _turned(image: np.ndarray, content: np.ndarray) -> np.ndarray:
    """A decoded image turned as the EXIF data in its file's content say."""
    try:
        with PIL.Image.open(io.BytesIO(content)) as file:
            orientation = file.getexif().get(PIL.ExifTags.Base.Orientation, 1)
    except (OSError, ValueError):  # OpenCV could read it, so there is a picture all the same
        return image
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
    return np.ascontiguousarray(np.flip(image, flips.get(orientation, ())))


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
