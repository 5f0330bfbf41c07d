"""Writing files so that they are whole or not there."""

import contextlib
import os
import threading
from pathlib import Path
from typing import IO

from utils.errors import InputError


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file at once: what is there already stays until all of the new one is.

    Raises:
        InputError: it cannot be written.
    """
    # A short name: that of the file may be as long as names can be.
    unfinished = path.with_name(f".{os.getpid()}_{threading.get_ident()}.unfinished")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {path}: {error.strerror}; check the folder and the space on its disk"
        ) from error


def lock_folder(folder: Path) -> IO:
    """Keeps a folder for this program alone, until the file that is returned is closed.

    The system closes it whichever way the program ends. Systems and disks that know no locks let
    everybody in.

    Raises:
        InputError: another program has the folder.
    """
    file = (folder / ".lock").open("w")
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
