"""The run scripts' command line: options from a dataclass, mistakes told in one line."""

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import TypeVar

import tyro

Options = TypeVar("Options")

WRONG_USE = 2  # exit status of bad options and bad input
_FRAME = re.compile(r"[─│╭╮╰╯━┃┏┓┗┛]+")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def parse_options(options: type[Options], description: str) -> Options:
    """Reads the command line into a dataclass.

    A mistake ends the program with status 2 and one line on stderr, which offers the nearest name
    for a mistyped one; `--help` ends it with status 0.

    Args:
        options: a dataclass whose defaults are complete.
        description: shown by `--help`.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(options, description=description)
    except SystemExit as end:
        if end.code == 0:
            raise
        lines = _COLOUR.sub("", complaint.getvalue()).splitlines()
        # The frame's upper edge holds a title that the text repeats.
        text = " ".join(_FRAME.sub(" ", line) for line in lines if not line.startswith("╭"))
        print(f"{Path(sys.argv[0]).name}: {' '.join(text.split())}", file=sys.stderr)
        raise SystemExit(WRONG_USE) from None
