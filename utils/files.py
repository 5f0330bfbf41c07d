"""Writing files so that they are whole or not there, and the folders they go to."""

import contextlib
import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from utils.errors import InputError
from utils.signals import finishing

LOCK = ".lock"  # a file in the folders that one run at a time writes into


def write_whole(path: Path, content: bytes | Callable[[IO[bytes]], None], hint: str = "") -> None:
    """Writes a file at once: what is there already stays until all of the new one is.

    Args:
        path: of the file.
        content: its bytes, or what writes them into an open file.
        hint: what else to do when that fails, at the end of the message.

    Raises:
        InputError: it cannot be written.
    """
    # A short name: that of the file may be as long as names can be.
    unfinished = path.with_name(f".{os.getpid()}_{threading.get_ident()}.unfinished")
    try:
        with finishing():
            # What a killed process of this number left; made anew, so that no link is followed.
            unfinished.unlink(missing_ok=True)
            with unfinished.open("xb") as file:
                content(file) if callable(content) else file.write(content)
            unfinished.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; check the folder and the space on "
            f"its disk{hint}"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def round_to_steps(values: np.ndarray, step: float, dtype: type = np.float32) -> np.ndarray:
    """Floats as multiples of a step, a power of two, so that files of them compress well.

    Args:
        values: of any shape; what is not floats is given back as it is.
        step: in the values' own unit.
        dtype: of the result.
    """
    if values.dtype.kind != "f":
        return values
    return (np.round(values / step) * step).astype(dtype)


def write_npz(
    path: Path, arrays: Mapping[str, np.ndarray], compress: bool = True, start: bytes = b""
) -> None:
    """Writes arrays by name as an npz, see `pack_npz`; raises InputError where it cannot."""
    write_whole(path, pack_npz(arrays, compress, start))


def pack_npz(arrays: Mapping[str, np.ndarray], compress: bool = True, start: bytes = b"") -> bytes:
    """The content of an npz.

    Args:
        arrays: by name, in the order of the file.
        compress: whether to deflate them.
        start: content of another npz, whose arrays come first: what many files have in common is
            packed once.
    """
    file = io.BytesIO()
    file.write(start)
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "a", method) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    return file.getvalue()


def hash_file(path: Path) -> str:
    """The first 16 digits of a file's SHA-256, which `sha256sum` prints.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def lock_folder(folder: Path) -> IO:
    """Locks a folder for this program, until the file that is returned is closed.

    The system closes it whichever way the program ends. Where system or disk has no locks, nothing
    is locked.

    Raises:
        InputError: another program has the folder, or its lock cannot be opened.
    """
    path = folder / LOCK
    # What is in the file stays, and a link is not followed: it may lead to a file of the user's.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        file = os.fdopen(os.open(path, flags, 0o666), "rb+", buffering=0)
    except (OSError, ValueError) as error:
        reason = "it is a link" if path.is_symlink() else getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot lock {folder} by its file {path.name}: {reason}; remove that file, or choose "
            "another folder with --output"
        ) from error
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise InputError(
            f"another run is writing into {folder}; wait for its end, or choose another folder "
            "with --output"
        ) from error
    except (ImportError, OSError):
        pass
    return file


def check_writable(folder: Path) -> None:
    """Makes a folder if need be; raises InputError where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"the folder {folder} is not writable; choose another one with --output")
