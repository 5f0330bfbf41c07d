"""MP4 and QuickTime files as boxes: gives an encoded clip the times of its frames, and a sound.

OpenCV writes pictures at a constant rate and no sound. Both stand in the index at the file's end
(the box "moov"), which is written anew here: each picture keeps the time that it had in the clip
that it was made from, and that clip's sound is copied as it is, without decoding. ISO/IEC 14496-12
has the format.
"""

import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from utils.errors import InputError
from utils.files import write_whole
from utils.readers import open_file, read_bytes, reading

MP4_SUFFIXES = (".mp4", ".mov", ".m4v", ".3gp", ".qt")
PICTURES, SOUND = b"vide", b"soun"  # kinds of tracks
MAX_INDEX_BYTES = 2**28  # of the index; an hour has about 3 MB
CLOCK = 90_000  # ticks a second, in which the times of pictures are written
_FOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")  # boxes of boxes
_NOT_COPIED = (b"tref", b"udta", b"meta")  # of a track: they speak of other tracks


class Place(NamedTuple):
    """Where a box of a file is."""

    kind: bytes
    start: int  # of what is in it, bytes from the file's beginning
    size: int  # of what is in it


@dataclass
class Box:
    """A box in memory: its bytes, or the boxes in it."""

    kind: bytes
    content: bytearray = field(default_factory=bytearray)
    boxes: list["Box"] = field(default_factory=list)

    @classmethod
    def parse(cls, kind: bytes, content: bytes | bytearray) -> "Box":
        """A box of its bytes; ValueError where sizes in it do not fit."""
        if kind not in _FOLDERS:
            return cls(kind, bytearray(content))
        boxes, at = [], 0
        while at < len(content):
            size, name = struct.unpack_from(">I4s", content, at)
            if size < 8 or at + size > len(content):
                raise ValueError(
                    f"a box of {size} bytes does not fit into {kind.decode('latin-1')}"
                )
            boxes.append(cls.parse(name, content[at + 8 : at + size]))
            at += size
        return cls(kind, boxes=boxes)

    def to_bytes(self) -> bytes:
        """The box as it stands in a file."""
        content = b"".join(box.to_bytes() for box in self.boxes) or bytes(self.content)
        return struct.pack(">I4s", len(content) + 8, self.kind) + content

    def find(self, *kinds: bytes) -> "Box":
        """The first box at a path of kinds; ValueError where there is none."""
        box = self
        for kind in kinds:
            found = [each for each in box.boxes if each.kind == kind]
            if not found:
                raise ValueError(f"it has no {kind.decode('latin-1')}")
            box = found[0]
        return box

    def has(self, kind: bytes) -> bool:
        """Whether a box of this kind is directly in it."""
        return any(box.kind == kind for box in self.boxes)

    def remove(self, *kinds: bytes) -> None:
        """Takes out the boxes of these kinds."""
        self.boxes = [box for box in self.boxes if box.kind not in kinds]


def list_tracks(path: Path) -> list[bytes] | None:
    """The kinds of a clip's tracks, such as `SOUND`; None where it is no file of this format."""
    try:
        with _reading(path), open_file(path, None) as file:
            return [_kind_of(track) for track in _tracks(_read_index(file))]
    except InputError:
        return None


def write_clip(
    output: Path, encoded: Path, times: Sequence[float], sound_of: Path | None = None
) -> None:
    """Writes a clip whole or not at all: encoded pictures, their own times, another clip's sound.

    Args:
        output: of the mp4 file.
        encoded: an mp4 file with the pictures alone, as OpenCV writes it.
        times: of the pictures, seconds, increasing.
        sound_of: the clip whose sound is copied; None: the clip is silent.

    Raises:
        InputError: the output cannot be written, the encoded file has not as many pictures as there
            are times, or the sound cannot be read or copied.
    """
    with _reading(encoded), open_file(encoded, None) as file:
        places = list(_places(file))
        index = _read_index(file)
        _set_times(index, times, encoded)
        end = max(place.start + place.size for place in places if place.kind != b"moov")
        sound = None if sound_of is None else _Sound.read(sound_of)

        def copy_all(written: IO[bytes]) -> None:
            file.seek(0)
            shutil.copyfileobj(_Limited(file, end), written)
            if sound is not None:
                if sound.quicktime:  # its track is written as QuickTime has it: say so
                    _add_brand(places[0], written)
                _add_sound(index, sound, written)
            written.write(index.to_bytes())

        write_whole(output, copy_all)


def _reading(path: Path):
    return reading(path, "mp4 or QuickTime file", "convert it to mp4")


class _Limited:
    """The first bytes of an open file."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        piece = self._file.read(min(size, self._left))
        self._left -= len(piece)
        return piece


def _places(file: IO[bytes]) -> Iterator[Place]:
    """The boxes of a file, the last one perhaps cut off."""
    length = os.fstat(file.fileno()).st_size
    at = 0
    while at + 8 <= length:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        start = at + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            start = at + 16
        elif size == 0:  # to the end
            size = length - at
        if at + size < start:
            raise ValueError("a box is smaller than its header")
        yield Place(kind, start, min(at + size, length) - start)
        at += size


def _read_index(file: IO[bytes]) -> Box:
    for place in _places(file):
        if place.kind == b"moov":
            if place.size > MAX_INDEX_BYTES:
                raise ValueError(f"its index has {place.size / 1e6:.0f} MB")
            file.seek(place.start)
            return Box.parse(b"moov", read_bytes(file, place.size))
    raise ValueError("it has no index: it was not written to its end")


def _tracks(index: Box) -> list[Box]:
    return [box for box in index.boxes if box.kind == b"trak"]


def _kind_of(track: Box) -> bytes:
    return bytes(track.find(b"mdia", b"hdlr").content[8:12])


def _set_times(index: Box, times: Sequence[float], path: Path) -> None:
    """Gives the pictures of the only track their times; each lasts to the next one."""
    (track,) = _tracks(index)
    table = track.find(b"mdia", b"minf", b"stbl")
    count = struct.unpack_from(">I", table.find(b"stsz").content, 8)[0]
    if count != len(times):
        raise InputError(f"{path} has {count} of {len(times)} pictures; is the disk full?")
    ticks = np.round((np.asarray(times, float) - times[0]) * CLOCK).astype(np.int64)
    steps = np.maximum(np.diff(ticks), 1)
    steps = np.append(steps, round(float(np.median(steps))) if len(steps) else CLOCK // 25)
    changes = np.flatnonzero(np.diff(steps, prepend=-1))  # a run of equal steps is one entry
    runs = np.stack([np.diff(changes, append=count), steps[changes]], axis=1)
    table.find(b"stts").content = bytearray(
        struct.pack(">II", 0, len(runs)) + runs.astype(">u4").tobytes()
    )
    track.remove(b"edts")
    table.remove(b"ctts")
    _set_duration(track.find(b"mdia", b"mdhd"), int(steps.sum()), CLOCK)
    clock = _clock_of(index.find(b"mvhd"))
    length = int(steps.sum()) * clock // CLOCK
    _set_duration(index.find(b"mvhd"), length, clock)
    struct.pack_into(">I", track.find(b"tkhd").content, 20, length)


def _clock_of(header: Box) -> int:
    """Ticks a second of an mvhd or mdhd."""
    return struct.unpack_from(">I", header.content, 20 if header.content[0] else 12)[0]


def _set_duration(header: Box, duration: int, clock: int) -> None:
    """Of an mvhd or mdhd of version 0, as OpenCV writes them."""
    struct.pack_into(">II", header.content, 12, clock, min(duration, 2**32 - 1))


class _Sound(NamedTuple):
    """The first sound track of a clip."""

    path: Path
    track: Box
    clock: int  # ticks a second of the clip's own duration, and of the track's
    duration: int  # of the track, in these ticks
    quicktime: bool
    starts: np.ndarray  # (C,) of its chunks in the file, bytes
    sizes: np.ndarray  # (C,) bytes

    @classmethod
    def read(cls, path: Path) -> "_Sound":
        """Raises InputError where there is none, or none that can be copied."""
        with reading(path, "clip with a sound that can be copied", "convert it to mp4"):
            with open_file(path, None) as file:
                index = _read_index(file)
                first = next(place for place in _places(file))
                file.seek(first.start)
                quicktime = first.kind != b"ftyp" or b"qt  " in file.read(min(first.size, 256))
                length = os.fstat(file.fileno()).st_size
            found = [track for track in _tracks(index) if _kind_of(track) == SOUND]
            if not found:
                raise InputError(f"{path} has no sound")
            track = found[0]
            starts, sizes = _list_chunks(track.find(b"mdia", b"minf", b"stbl"))
            if not len(starts) or (starts + sizes).max() > length:
                raise ValueError("its sound is cut off or in pieces")
            track.remove(*_NOT_COPIED)
            header = track.find(b"tkhd").content
            duration = struct.unpack_from(
                ">Q" if header[0] else ">I", header, 28 if header[0] else 20
            )
            clock = _clock_of(index.find(b"mvhd"))
            return cls(path, track, clock, duration[0], quicktime, starts, sizes)


def _list_chunks(table: Box) -> tuple[np.ndarray, np.ndarray]:
    """Starts and sizes (C,) of a track's chunks in its file, bytes."""
    wide = table.has(b"co64")
    starts = _numbers(table.find(b"co64" if wide else b"stco"), 4, ">u8" if wide else ">u4")
    same, samples = struct.unpack_from(">II", table.find(b"stsz").content, 4)
    if same == 1:
        raise ValueError("its sound is of an old kind")
    runs = _numbers(table.find(b"stsc"), 4, ">u4").reshape(-1, 3)  # first chunk, samples in each
    firsts = np.append(runs[:, 0], len(starts) + 1)
    if not len(runs) or firsts[0] != 1 or (np.diff(firsts) < 1).any():
        raise ValueError("its chunks are not in order")
    counts = np.repeat(runs[:, 1], np.diff(firsts))
    if counts.sum() != samples:
        raise ValueError("its tables do not fit each other")
    if same:
        return starts, counts * same
    ends = np.append(0, np.cumsum(_numbers(table.find(b"stsz"), 8, ">u4")))
    lasts = np.cumsum(counts)
    return starts, ends[lasts] - ends[lasts - counts]


def _numbers(box: Box, at: int, dtype: str) -> np.ndarray:
    """The numbers of a table whose header ends with their count, and begins at byte `at`."""
    rows = {b"stsc": 3}.get(box.kind, 1)
    (count,) = struct.unpack_from(">I", box.content, at)
    return np.frombuffer(box.content, dtype, count * rows, at + 4).astype(np.int64)


def _add_brand(brands: Place, written: IO[bytes]) -> None:
    """Puts QuickTime in the place of the last of the formats that a file is said to be of."""
    if brands.kind == b"ftyp" and brands.size > 8:
        here = written.tell()
        written.seek(brands.start + brands.size - 4)
        written.write(b"qt  ")
        written.seek(here)


def _add_sound(index: Box, sound: _Sound, written: IO[bytes]) -> None:
    """Copies a sound's chunks to the end of the file and its track into the index."""
    total = int(sound.sizes.sum())
    written.write(struct.pack(">I4sQ", 1, b"mdat", total + 16))
    begin = written.tell()
    with open_file(sound.path, None) as file:
        for start, size in zip(sound.starts.tolist(), sound.sizes.tolist(), strict=True):
            file.seek(start)
            written.write(read_bytes(file, size))
    starts = begin + np.cumsum(sound.sizes) - sound.sizes
    table = sound.track.find(b"mdia", b"minf", b"stbl")
    table.remove(b"stco", b"co64")
    places = struct.pack(">II", 0, len(starts)) + starts.astype(">u8").tobytes()
    table.boxes.append(Box(b"co64", bytearray(places)))
    header = sound.track.find(b"tkhd").content
    struct.pack_into(">I", header, 20 if header[0] else 12, 2)  # its number
    pictures, movie = _tracks(index)[0], index.find(b"mvhd")
    before = _clock_of(movie)
    length = struct.unpack_from(">I", movie.content, 16)[0] * sound.clock // before
    struct.pack_into(">I", pictures.find(b"tkhd").content, 20, length)
    _set_duration(movie, max(length, sound.duration), sound.clock)
    struct.pack_into(">I", movie.content, len(movie.content) - 4, 3)  # the next track's number
    index.boxes.insert(index.boxes.index(pictures) + 1, sound.track)
