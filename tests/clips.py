"""Small clips for tests: with a sound, turned, with frames at uneven times, damaged."""

import struct
from pathlib import Path

import cv2
import numpy as np

from predict.video import keep_decoders_quiet
from utils.mp4 import Box

FPS = 25.0


def numbered_frames(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frames whose grey grows with their number, with a bright upper left corner."""
    frames = []
    for number in range(count):
        frame = np.full((height, width, 3), 20 + 8 * number % 160, np.uint8)
        frame[: height // 3, : width // 3] = 250
        frames.append(frame)
    return frames


def write_frames(path: Path, frames: list[np.ndarray]) -> Path:
    """A silent mp4 at `FPS`."""
    keep_decoders_quiet()  # before OpenCV loads them
    height, width = frames[0].shape[:2]
    code = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, FPS, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def split(path: Path) -> tuple[bytes, Box]:
    """What is before the index, and the index; the index is a file's last box here."""
    content = path.read_bytes()
    at = content.rindex(b"moov") - 4
    return content[:at], Box.parse(b"moov", content[at + 8 :])


def turn(path: Path, quarters: int) -> Path:
    """Says in the index that the pictures are to be shown turned, as phones do."""
    before, index = split(path)
    one, zero, minus = 1 << 16, 0, -(1 << 16)
    rows = {1: (zero, one, minus, zero), 2: (minus, zero, zero, minus), 3: (zero, minus, one, zero)}
    a, b, c, d = rows[quarters]
    header = index.find(b"trak", b"tkhd").content
    struct.pack_into(">9i", header, 40, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(before + index.to_bytes())
    return path


def add_tone(path: Path, samples: int = 4000, rate: int = 8000) -> bytes:
    """Adds a sound of raw 16-bit samples to a clip in two chunks; returns their bytes."""
    before, index = split(path)
    sound = (8000 * np.sin(np.arange(samples) / 5)).astype("<i2").tobytes()
    half = samples // 2
    start = len(before) + 8
    description = struct.pack(
        ">I4s6xH8xHHHHI", 36, b"sowt", 1, 1, 16, 0, 0, rate << 16
    )  # one channel of 16 bits
    table = [
        Box(b"stsd", bytearray(struct.pack(">II", 0, 1) + description)),
        Box(b"stts", bytearray(struct.pack(">IIII", 0, 1, samples, 1))),
        Box(b"stsc", bytearray(struct.pack(">IIIII", 0, 1, 1, half, 1))),
        Box(b"stsz", bytearray(struct.pack(">III", 0, 2, samples))),
        Box(b"stco", bytearray(struct.pack(">IIII", 0, 2, start, start + samples))),
    ]
    media = [
        Box(b"mdhd", bytearray(struct.pack(">IIIIIHH", 0, 0, 0, rate, samples, 0x55C4, 0))),
        Box(b"hdlr", bytearray(struct.pack(">II4s12xx", 0, 0, b"soun"))),
        Box(b"minf", boxes=[Box(b"smhd", bytearray(8)), Box(b"stbl", boxes=table)]),
    ]
    clock = struct.unpack_from(">I", index.find(b"mvhd").content, 12)[0]
    header = struct.pack(">IIIIII8xHHHH", 3, 0, 0, 2, 0, samples * clock // rate, 0, 0, 256, 0)
    header += struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30) + bytes(8)
    track = [Box(b"tkhd", bytearray(header)), Box(b"mdia", boxes=media)]
    index.boxes.append(Box(b"trak", boxes=track))
    data = struct.pack(">I4s", len(sound) + 8, b"mdat") + sound
    path.write_bytes(before + data + index.to_bytes())
    return sound


def read_sound(path: Path) -> bytes:
    """The bytes of a clip's sound, chunk after chunk, as its index says."""
    content = path.read_bytes()
    _, index = split(path)
    (track,) = [
        each for each in index.boxes if each.kind == b"trak"
        and each.find(b"mdia", b"hdlr").content[8:12] == b"soun"
    ]  # fmt: skip
    table = track.find(b"mdia", b"minf", b"stbl")
    kind, form = (b"co64", "Q") if table.has(b"co64") else (b"stco", "I")
    (count,) = struct.unpack_from(">I", table.find(kind).content, 4)
    starts = struct.unpack_from(f">{count}{form}", table.find(kind).content, 8)
    size, samples = struct.unpack_from(">II", table.find(b"stsz").content, 4)
    each = size * samples // count
    return b"".join(content[start : start + each] for start in starts)
