"""Reads shapes of made people, to train on beside those that are drawn beta by beta.

`tools/open_body/build_shapes.py` writes such files; what they hold is said in `data/README.md`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.conventions import NUM_BETAS
from utils.errors import InputError
from utils.readers import check_body_hash, read_npz, read_rows
from utils.tensors import join_betas


class MadePeople(NamedTuple):
    """N people."""

    betas: np.ndarray  # (N, B) float32, 10 or more
    genders: np.ndarray  # (N,) float32, from 0, a man, to 1, a woman


def read_made_people(paths: Sequence[Path], body_hash: str) -> MadePeople:
    """Reads made people, of several files one after another.

    Args:
        paths: npz files of `tools/open_body/build_shapes.py`, one or more.
        body_hash: of the body that they are wanted for, which must be theirs.

    Raises:
        InputError: a file cannot be read, or holds something else, or people of another body.
    """
    files = [_read_file(path, body_hash) for path in paths]
    return MadePeople(
        join_betas([people.betas for people in files]),
        np.concatenate([people.genders for people in files]),
    )


def _read_file(path: Path, body_hash: str) -> MadePeople:
    found_hash = str(read_npz(path, ["body_hash"])["body_hash"])
    advice = "choose the open neutral body, or make shapes again by tools/open_body/build_shapes.py"
    check_body_hash(path, "holds shapes", found_hash, body_hash, advice)
    rows = read_rows(path, {"betas": (NUM_BETAS,), "genders": ()}, longer=["betas"])
    people = MadePeople(*(rows[name].astype(np.float32) for name in MadePeople._fields))
    if len(people.betas) == 0:
        raise InputError(
            f"{path} holds nobody; make shapes again by tools/open_body/build_shapes.py"
        )
    return people
