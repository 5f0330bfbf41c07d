"""Reads the files of arrays that users bring: whatever is in them, nothing of it is run.

Every reader is one door: what is wrong inside a file, or with it, leaves as one `InputError`. Sizes
are taken from headers and added up before anything is loaded.
"""

import contextlib
import math
import os
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from utils.errors import InputError

MAX_BYTES = 4 * 2**30  # of a file, and of the arrays that are read from it
_MAX_DIMS = 32
_MAX_HEADER_BYTES = 10_000
_CHUNK_BYTES = 2**22  # read at a time
_PLAIN_DTYPE = re.compile(r"[<>|=]?(b1|\?|[iu][1248]|f[248]|[SU]\d{1,6})")
_HEADER = re.compile(
    r"\{\s*'descr'\s*:\s*(?P<dtype>'[^']*'|\[.*\])\s*,\s*'fortran_order'\s*:\s*(?P<fortran>True|False)"
    r"\s*,\s*'shape'\s*:\s*\((?P<shape>[\d,L\s]*)\)\s*,?\s*\}\s*",
    re.DOTALL,
)
# Bits of a zip file's entries: what is encrypted, by its own header or in the strong manner.
_ENCRYPTED = 0b1000001


class ArrayHeader(NamedTuple):
    """What an array is, before its numbers are read."""

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool  # the first index varies fastest

    @property
    def size(self) -> int:
        """Of the numbers, bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


@contextlib.contextmanager
def reading(path: Path, kind: str, advice: str) -> Iterator[None]:
    """Turns whatever goes wrong while a file is read into one InputError.

    Args:
        path: of the file.
        kind: what it should be, such as "npz file of plain arrays".
        advice: what to do when it is not.
    """
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise InputError(f"{path} needs more memory than there is") from error
    except Exception as error:  # libraries fail in many ways, each on a damaged file
        lines = str(error).splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise InputError(f"{path} is not a readable {kind} ({reason}); {advice}") from error


def open_file(path: Path, max_bytes: int | None = MAX_BYTES) -> IO[bytes]:
    """Opens a file of data; a context.

    Args:
        path: of the file.
        max_bytes: that it may have; None: any number, for files that are read piece by piece.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no file, but a pipe or a device, or too large.
    """
    # Without waiting for who writes into a pipe.
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY), "rb")
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and (max_bytes is None or status.st_size <= max_bytes):
        return file
    file.close()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no file, but a folder, pipe or device")
    raise too_much(status.st_size)


_BINARY = getattr(os, "O_BINARY", 0)  # of Windows


def read_npz(
    path: Path, required: Iterable[str], optional: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """Reads arrays by name; nothing in the file is run.

    Args:
        path: of the file.
        required: names of arrays that must be there.
        optional: names of arrays that are read where they are there.

    Returns:
        The arrays by name, others of the file left out.

    Raises:
        InputError: there is no such file, it is no npz of plain arrays, or a required one is
            missing.
    """
    required = list(required)
    advice = "expected one as numpy.savez writes it"
    with reading(path, "npz file of plain arrays", advice), open_file(path) as file:
        if file.read(6) == np.lib.format.MAGIC_PREFIX:
            raise InputError(f"{path} holds a single array; expected an npz with {required[0]}")
        with zipfile.ZipFile(file) as archive:
            files = [name.removesuffix(".npy") for name in archive.namelist()]
            missing = [name for name in required if name not in files]
            if missing:
                found = ", ".join(files) or "nothing"
                raise InputError(f"{path} has no {', '.join(missing)}; it holds {found}")
            names = [name for name in (*required, *optional) if name in files]
            return _read_members(archive, names)


def _read_members(archive: zipfile.ZipFile, names: Iterable[str]) -> dict[str, np.ndarray]:
    there = set(archive.namelist())
    members = {
        name: archive.getinfo(f"{name}.npy" if f"{name}.npy" in there else name) for name in names
    }
    for member in members.values():
        check_member(member)
    headers = {}
    for name, member in members.items():
        with archive.open(member) as file:
            headers[name] = _read_header(file, name)
            if member.file_size != file.tell() + headers[name].size:
                raise ValueError(f"{name} has another size than its header says")
    total = sum(header.size for header in headers.values())
    if total > MAX_BYTES:
        raise too_much(total)
    arrays = {}
    for name, member in members.items():
        with archive.open(member) as file:
            _read_header(file, name)
            arrays[name] = make_array(read_bytes(file, headers[name].size), *headers[name])
    return arrays


def check_member(member: zipfile.ZipInfo) -> None:
    """Raises ValueError for a member of a zip file that is encrypted or compressed otherwise."""
    if member.flag_bits & _ENCRYPTED:
        raise ValueError(f"{member.filename} is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is compressed by the unknown method"
                         f" {member.compress_type}")  # fmt: skip
    if member.file_size > MAX_BYTES:
        raise too_much(member.file_size)


def too_much(size: int) -> ValueError:
    """The error for what is too large."""
    return ValueError(f"{size / 1e9:.3g} GB; at most {MAX_BYTES / 1e9:.3g} GB are read")


def read_npy(path: Path) -> np.ndarray:
    """Reads a file with one array of plain numbers; nothing in the file is run.

    Raises:
        InputError: there is no such file, or none of that kind.
    """
    advice = "expected one as numpy.save writes it"
    with reading(path, "npy file", advice), open_file(path) as file:
        header = _read_header(file, "it")
        if os.fstat(file.fileno()).st_size < file.tell() + header.size:
            raise ValueError("it is shorter than its header says")
        return make_array(read_bytes(file, header.size), *header)


def _read_header(file: IO[bytes], name: str) -> ArrayHeader:
    start = file.read(8)
    if start[:6] != np.lib.format.MAGIC_PREFIX:
        raise ValueError(f"{name} is not an array")
    width = 2 if start[6:7] == b"\x01" else 4
    length = int.from_bytes(file.read(width), "little")
    if length > _MAX_HEADER_BYTES:
        raise ValueError(f"the header of {name} has {length} bytes")
    match = _HEADER.fullmatch(file.read(length).decode("latin-1"))
    if match is None:
        raise ValueError(f"the header of {name} is damaged")
    shape = tuple(int(part.rstrip("L ")) for part in match["shape"].split(",") if part.strip())
    if len(shape) > _MAX_DIMS or any(n > MAX_BYTES for n in shape):
        raise ValueError(f"{name} has a shape that no array has")
    return ArrayHeader(plain_dtype(match["dtype"].strip("'")), shape, match["fortran"] == "True")


def plain_dtype(name: str) -> np.dtype:
    """A dtype of plain numbers or text by its name; ValueError for any other."""
    if not _PLAIN_DTYPE.fullmatch(name):
        raise ValueError(f"it holds {name[:40]}, expected plain numbers")
    return np.dtype(name)


def make_array(
    content: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], fortran: bool
) -> np.ndarray:
    """An array of its bytes, in this machine's byte order.

    Args:
        content: as many bytes as the shape has.
        dtype: of `plain_dtype`.
        shape: of the array.
        fortran: whether the first index varies fastest.

    Raises:
        ValueError: the bytes are not those of such an array.
    """
    # Not printed: a shape from a hostile pickle can be of any length and depth.
    if len(shape) > _MAX_DIMS or not all(type(n) is int and 0 <= n <= MAX_BYTES for n in shape):
        raise ValueError("the shape of an array is damaged")
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(content)} bytes are not those of {dtype} of shape {shape}")
    if not content:
        return np.empty(shape, dtype.newbyteorder("="))
    if dtype.kind == "b":  # true is 1: other bytes would be neither true nor false
        flat = np.frombuffer(content, np.uint8) != 0
    else:
        flat = np.frombuffer(content, dtype)
    if dtype.kind == "U" and flat.view(dtype.byteorder + "u4").max() > 0x10FFFF:
        raise ValueError("it holds text that is none")
    if not flat.flags.writeable or not dtype.isnative:
        flat = flat.astype(dtype.newbyteorder("="))
    return flat.reshape(shape, order="F" if fortran else "C")


def read_bytes(file: IO[bytes], size: int) -> bytearray:
    """The next bytes of a file, as many as asked for; ValueError where there are fewer."""
    content = bytearray()
    while len(content) < size:
        piece = file.read(min(size - len(content), _CHUNK_BYTES))
        if not piece:
            raise ValueError("it is cut off")
        content += piece
    return content


def check_body_hash(path: Path, holds: str, found: str, needed: str, advice: str) -> None:
    """Raises InputError for a file that was made for another body.

    Args:
        path: of the file.
        holds: what is in it, such as "holds people".
        found: hash of the body that it was made for.
        needed: hash of the body that it is wanted for.
        advice: what to do when they differ.
    """
    if found != needed:
        raise InputError(f"{path} {holds} of the body {found}, but {needed} is needed; {advice}")


def read_rows(
    path: Path, shapes: dict[str, tuple[int, ...]], longer: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """Reads arrays of finite numbers that have a row for each of the same N things.

    Args:
        path: of the npz file.
        shapes: of one row, by the array's name.
        longer: names of arrays whose rows may be longer than their shape says.

    Returns:
        The arrays by name, (N, ...) each.

    Raises:
        InputError: the file cannot be read, or an array is missing, has another shape or other
            values.
    """
    rows = read_npz(path, shapes)
    count = len(np.atleast_1d(next(iter(rows.values()))))
    for name, shape in shapes.items():
        found, expected = rows[name], (count, *shape)
        if name in longer and found.ndim > 1:
            expected = (*expected[:-1], max(expected[-1], found.shape[-1]))
        if found.shape != expected:
            raise InputError(f"{path}: {name} has shape {found.shape}; expected {expected}")
        if found.dtype.kind not in "bfiu" or not np.isfinite(found).all():
            raise InputError(f"{path}: {name} has values that are not finite numbers")
    return rows
