"""Clips frame by frame: reads them, with the time of every frame, and writes them.

A clip is a file that OpenCV's own FFmpeg decodes, or a folder of images. One frame is in memory at
a time, however long the clip is.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from utils.errors import InputError
from utils.images import IMAGE_SUFFIXES, MAX_PIXELS, find_images, read_image
from utils.mp4 import MP4_SUFFIXES, PICTURES, SOUND, list_tracks, write_clip

log = logging.getLogger(__name__)

VIDEO_SUFFIXES = (
    *MP4_SUFFIXES, ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts", ".mts", ".m2ts",
    ".ogv", ".flv", ".3g2",
)  # fmt: skip
DEFAULT_FPS = 25.0  # of folders, and of clips that do not say theirs
SHORT_SHARE = 0.97  # of the frames that a clip's header counts; with fewer it is cut off
_TURNS = {  # what shows a picture upright, by the degrees that a clip says
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_ENCODER = "mp4v"  # MPEG-4: what OpenCV can write into mp4 without libraries under GPL


class Frame(NamedTuple):
    """A picture of a clip."""

    index: int  # from 0
    time: float  # seconds from the first frame
    image: np.ndarray  # (H, W, 3) uint8 RGB, upright


@dataclass(frozen=True)
class Clip:
    """A clip that can be read.

    Attributes:
        path: of the file, or of the folder of frames.
        width: of its upright frames, pixels.
        height: of the same.
        fps: frames a second, the mean where they vary.
        count: of frames as the header says; 0 where it does not.
        images: the frames of a folder; empty for a file.
    """

    path: Path
    width: int
    height: int
    fps: float
    count: int
    images: tuple[Path, ...] = ()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """The frames from number `start` on.

        Raises:
            InputError: a frame cannot be read, or has another size than the first one.
        """
        frames = self._read_images(start) if self.images else self._decode(start)
        for frame in frames:
            height, width = frame.image.shape[:2]
            if (width, height) != (self.width, self.height):
                raise InputError(
                    f"{self.path}: frame {frame.index} has {width} x {height} pixels and the first "
                    f"one {self.width} x {self.height}; frames of a clip must have one size"
                )
            yield frame

    def _read_images(self, start: int) -> Iterator[Frame]:
        for index, path in enumerate(self.images[start:], start):
            yield Frame(index, index / self.fps, read_image(path))

    def _decode(self, start: int) -> Iterator[Frame]:
        capture = _open(self.path)
        index, time = 0, -1 / self.fps
        try:
            while capture.grab():
                told = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                # Times that do not grow are none: some files do not have any.
                time = told if told > time or index == 0 else time + 1 / self.fps
                if index >= start:
                    picture = _retrieve(capture)
                    if picture is None:
                        break
                    yield Frame(index, time, picture)
                index += 1
        finally:
            capture.release()
        if index < SHORT_SHARE * self.count:
            log.warning(
                "%s is cut off or damaged: %d of %d frames can be read",
                self.path,
                index,
                self.count,
            )


def is_clip(path: Path) -> bool:
    """Whether a path is a clip by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def open_clip(path: Path, fps: float = DEFAULT_FPS) -> Clip:
    """Opens a file, or a folder of frames, and reads its first frame.

    Args:
        path: of the clip; images of a folder are taken by name.
        fps: of the frames of a folder, and of a file that does not say.

    Raises:
        InputError: there is no such clip, it has no pictures or too large ones, or cannot be read.
    """
    if path.is_dir():
        images = tuple(find_images(path))
        height, width = read_image(images[0]).shape[:2]
        return Clip(path, width, height, fps, len(images), images)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise InputError(f"{path} is one image, no clip; give a video, or a folder of frames")
    capture = _open(path)
    try:
        pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if pixels > MAX_PIXELS:
            raise InputError(
                f"{path} has frames of {pixels / 1e6:.0f} megapixels; at most "
                f"{MAX_PIXELS / 1e6:.0f} can be read: make it smaller"
            )
        picture = _retrieve(capture) if capture.grab() else None
        if picture is None:
            raise InputError(f"{path} has no frame that can be decoded; get the file again")
        told = capture.get(cv2.CAP_PROP_FPS)
        count = int(max(capture.get(cv2.CAP_PROP_FRAME_COUNT), 0))
    finally:
        capture.release()
    height, width = picture.shape[:2]
    return Clip(path, width, height, told if 0.1 <= told <= 1000 else fps, count)


def _open(path: Path) -> cv2.VideoCapture:
    if not path.is_file():
        kind = "is a link to a file that is not there" if path.is_symlink() else "is not there"
        raise InputError(f"{path} {kind}; give a video file or a folder of frames")
    if not os.access(path, os.R_OK):
        raise InputError(f"cannot read {path}: Permission denied")
    keep_decoders_quiet()
    try:
        # Whole, since a colon in the first part of a relative name would be a protocol to FFmpeg.
        name = str(path.absolute()).encode("utf-8").decode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path} has a name that is no text; rename it") from error
    capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise InputError(_explain(path))
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # whether it is on differs; see `_retrieve`
    return capture


def _retrieve(capture: cv2.VideoCapture) -> np.ndarray | None:
    """The frame that was grabbed, (H, W, 3) uint8 RGB, upright; None where there is none."""
    ok, picture = capture.retrieve()
    if not ok or picture is None:
        return None
    turn = _TURNS.get(round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360)
    picture = picture if turn is None else cv2.rotate(picture, turn)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _explain(path: Path) -> str:
    """Why a file cannot be opened as a clip."""
    if path.stat().st_size == 0:
        return f"{path} is empty; get the file again"
    tracks = list_tracks(path)
    if tracks is not None and PICTURES not in tracks:
        return f"{path} has {'sound but ' if SOUND in tracks else ''}no pictures; give a video"
    return (
        f"{path} cannot be decoded as a video: it is damaged, not written to its end, or of an "
        "unknown kind; get it again, or convert it to mp4 (H.264)"
    )


def keep_decoders_quiet() -> None:
    """What FFmpeg prints about damaged files is said here, in a line."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging_of = getattr(cv2.utils, "logging", cv2)  # it moved between releases of OpenCV 4
    logging_of.setLogLevel(0)


class ClipWriter:
    """Writes frames into an mp4 file, which is there once it is finished; a context.

    Args:
        path: of the file.
        unfinished: where the pictures are kept until then, a path that ends in .mp4.
        size: width and height of the frames, pixels.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, path: Path, unfinished: Path, size: tuple[int, int]) -> None:
        keep_decoders_quiet()
        self._path, self._unfinished = path, unfinished
        self._times: list[float] = []
        code = cv2.VideoWriter_fourcc(*_ENCODER)
        # At a constant rate; the frames' own times are written in the end.
        self._writer = cv2.VideoWriter(
            str(unfinished.absolute()), cv2.CAP_FFMPEG, code, DEFAULT_FPS, size
        )
        if not self._writer.isOpened():
            raise InputError(
                f"cannot write {unfinished}; check the folder, or leave pictures out with "
                "--no-visuals"
            )

    def __enter__(self) -> "ClipWriter":
        """The writer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Removes what was not finished."""
        self._writer.release()
        self._unfinished.unlink(missing_ok=True)

    def add(self, time: float, image: np.ndarray) -> None:
        """Adds a frame.

        Args:
            time: seconds from the first frame.
            image: (H, W, 3) uint8 RGB.
        """
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self._times.append(time)

    def finish(self, sound_of: Path | None) -> str:
        """Writes the file, with the sound of another clip.

        Returns:
            What became of the sound, to be told; empty where there is nothing to tell.
        """
        self._writer.release()
        if not self._times:
            raise InputError(f"{self._path} would have no frame")
        if sound_of is not None and sound_of.suffix.lower() in MP4_SUFFIXES:
            if SOUND not in (list_tracks(sound_of) or []):
                sound_of = None
        elif sound_of is not None:
            write_clip(self._path, self._unfinished, self._times)
            return "without sound: it is copied from mp4 and mov files alone"
        try:
            write_clip(self._path, self._unfinished, self._times, sound_of)
        except InputError as error:
            if sound_of is None:
                raise
            write_clip(self._path, self._unfinished, self._times)
            return f"without sound: {error}"
        return "" if sound_of is None else "with the clip's sound"
