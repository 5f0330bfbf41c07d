"""Begins and ends every script: reads its options, and prints a mistake of the user as one line."""

import atexit
import contextlib
import gc
import io
import itertools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tyro

from utils.errors import InputError

Options = TypeVar("Options")

WRONG_USE = 2  # exit status of bad options and bad input
BROKEN_PIPE = 141  # exit status when nobody reads the output any more: 128 + SIGPIPE's number
STOPPED = 130  # exit status after Ctrl-C: 128 + SIGINT's number
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
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
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


def run_script(main: Callable[[], int | None], stopped: str = "stopped") -> int:
    """Runs a script's main function and prints what the user can correct as one line on stderr.

    Each line begins with the program's name. Everything else that is raised is a fault of the
    program's, and passes with its traceback.

    Args:
        main: reads the options and does the work; returns the exit status, None for 0.
        stopped: what to say after Ctrl-C, such as how to go on from here.

    Returns:
        The exit status, for `sys.exit`: that of `main`, `WRONG_USE` after an InputError, `STOPPED`
        after Ctrl-C, `BROKEN_PIPE` where the output is a pipe that nobody reads any more.
    """
    # Python looks through everything that is loaded once more when it ends; with torch that takes
    # a second, and frees nothing that matters.
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that a terminal cannot show are spelt out
            stream.reconfigure(errors="backslashreplace")
    try:
        return main() or 0
    except InputError as error:
        _complain(str(error))
        return WRONG_USE
    except KeyboardInterrupt:
        _complain(stopped)
        return STOPPED
    except BrokenPipeError:
        # Python flushes once more when it ends, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _complain(text: str) -> None:
    print(f"{Path(sys.argv[0]).name}: {' '.join(text.split())}", file=sys.stderr)
