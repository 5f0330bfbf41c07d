"""Begins and ends every script: reads its options, and prints a mistake of the user as one line."""

import atexit
import contextlib
import errno
import gc
import io
import itertools
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from utils.errors import InputError
from utils.signals import STATUSES, end_on_signals

Options = TypeVar("Options")

WRONG_USE = 2  # exit status of bad options and bad input
BROKEN_PIPE = 141  # exit status when nobody reads the output any more: 128 + SIGPIPE's number
STOPPED = STATUSES[signal.SIGINT]  # exit status after Ctrl-C
NO_OUTPUT = 74  # exit status when the output cannot be written: EX_IOERR of sysexits.h
MIN_COLUMNS = 60  # of the text that is shown by --help, whatever the terminal has
_OUTPUT_FAILS = (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EBADF, errno.EDQUOT)
_FRAME = re.compile(r"[─│╭╮╰╯━┃┏┓┗┛]+")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def parse_options(
    options: type[Options], description: str, default: Options | None = None
) -> Options:
    """Reads the command line into a dataclass.

    A mistake ends the program with status 2 and one line on stderr, which offers the nearest name
    for a mistyped one; `--help` ends it with status 0.

    Args:
        options: a dataclass whose defaults are complete.
        description: shown by `--help`.
        default: what the command line starts from instead of the dataclass's own defaults.

    Raises:
        InputError: a value is empty.
    """
    import tyro  # here, where Ctrl-C already ends the program as it should

    for before, value in itertools.pairwise(sys.argv):
        if not value or (value.startswith("--") and value.endswith("=")):
            name = value.removesuffix("=") or before
            raise InputError(f"{name} has an empty value; leave it out to have its default")
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint), _enough_columns():
            if default is None:
                return tyro.cli(options, description=description)
            return tyro.cli(options, description=description, default=default)
    except SystemExit as end:
        if end.code == 0:
            raise
        lines = _COLOUR.sub("", complaint.getvalue()).splitlines()
        # The frame's upper edge holds a title that the text repeats.
        text = " ".join(_FRAME.sub(" ", line) for line in lines if not line.startswith("╭"))
        _complain(text)
        raise SystemExit(WRONG_USE) from None


def find_given(name: str) -> str | None:
    """What the command line gives for an option, looked up before it is parsed; None: nothing.

    Args:
        name: with its hyphens, such as "--preset".
    """
    given = None
    for argument, following in itertools.pairwise([*sys.argv[1:], None]):
        if argument == name:
            given = following
        elif argument.startswith(f"{name}="):
            given = argument.removeprefix(f"{name}=")
    return given


@contextlib.contextmanager
def _enough_columns() -> Iterator[None]:
    """A terminal of `MIN_COLUMNS` at least: in a narrow one tyro breaks lines for ever."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(max(shutil.get_terminal_size().columns, MIN_COLUMNS))
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def run_script(main: Callable[[], int | None], stopped: str = "stopped") -> int:
    """Runs a script's main function and prints what the user can correct as one line on stderr.

    Each line begins with the program's name. Everything else that is raised is a fault of the
    program's, and passes with its traceback. Ctrl-C and SIGTERM end it, see `utils.signals`.

    Args:
        main: reads the options and does the work; returns the exit status, None for 0.
        stopped: what to say after Ctrl-C, such as how to go on from here.

    Returns:
        The exit status, for `sys.exit`: that of `main`, `WRONG_USE` after an InputError or where a
        file or the memory fails, `BROKEN_PIPE` where the output is a pipe that nobody reads any
        more, `NO_OUTPUT` where it cannot be written.
    """
    _prepare_streams()
    if main.__module__ == "__main__":  # not where a test calls a script's function
        end_on_signals(stopped)
    # Python looks through everything that is loaded once more when it ends; with torch that takes
    # a second, and frees nothing that matters.
    atexit.register(gc.freeze)
    try:
        return _run_and_flush(main)
    except InputError as error:
        _complain(str(error))
        return WRONG_USE
    except KeyboardInterrupt:  # where signals do not end the program by themselves
        _complain(stopped)
        return STOPPED
    except _OutputError as error:
        # Python flushes once more when it ends, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error.reason, BrokenPipeError):
            return BROKEN_PIPE
        _complain(f"the output cannot be written: {error.reason.strerror}")
        return NO_OUTPUT
    except OSError as error:  # of a file that no reader or writer looks after, or of a stream
        about = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        _complain(f"{about}{error.strerror or error}")
        return WRONG_USE
    except MemoryError:
        _complain("there is not enough memory; take smaller batches or pictures")
        return WRONG_USE


class _OutputError(Exception):
    """stdout cannot be written."""

    def __init__(self, reason: OSError):
        self.reason = reason


def _run_and_flush(main: Callable[[], int | None]) -> int:
    try:
        try:
            return main() or 0
        finally:  # also of `SystemExit`, as after --help
            sys.stdout.flush()
    except OSError as error:
        if error.filename is None and error.errno in _OUTPUT_FAILS:
            raise _OutputError(error) from error
        raise


def _prepare_streams() -> None:
    """Gives the program all three streams, and lets them take every text."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        # Closed: the next file that is opened would take its place, and whatever is printed. The
        # lowest number is taken, which is this one.
        stream = os.open(os.devnull, os.O_RDWR)
        setattr(sys, name, os.fdopen(stream, "w" if number else "r"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that a terminal cannot show are spelt out
            stream.reconfigure(errors="backslashreplace")


def escape_controls(line: str) -> str:
    """A line as it can be printed: control characters, as names of files may have, are spelt out.

    Without that a name could move the cursor, or begin a line of its own.
    """
    return "".join(
        each if each.isprintable() or _is_surrogate(each) else ascii(each)[1:-1] for each in line
    )


def _is_surrogate(character: str) -> bool:
    """Whether it stands for a byte that is no text, which the streams spell out themselves."""
    return "\ud800" <= character <= "\udfff"


def _complain(text: str) -> None:
    line = escape_controls(f"{Path(sys.argv[0]).name}: {' '.join(text.split())}")
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:  # nobody hears it; nor may Python's own flush fail when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
