"""Reads the files that users bring, without running anything in them."""

import pickle
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from utils.errors import InputError


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
    try:
        content = np.load(path, allow_pickle=False)
        if not isinstance(content, np.lib.npyio.NpzFile):
            raise InputError(f"{path} holds a single array; expected an npz with {required[0]}")
        with content:
            missing = [name for name in required if name not in content.files]
            if missing:
                found = ", ".join(content.files) or "nothing"
                raise InputError(f"{path} has no {', '.join(missing)}; it holds {found}")
            names = [name for name in (*required, *optional) if name in content.files]
            return {name: content[name] for name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is not a readable npz file of plain arrays ({reason}); expected one as "
            "numpy.savez writes it"
        ) from error


def read_rows(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Reads arrays of finite numbers that have a row for each of the same N things.

    Args:
        path: of the npz file.
        shapes: of one row, by the array's name.

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
        if found.shape != expected:
            raise InputError(f"{path}: {name} has shape {found.shape}; expected {expected}")
        if found.dtype.kind not in "bfiu" or not np.isfinite(found).all():
            raise InputError(f"{path}: {name} has values that are not finite numbers")
    return rows


class PlainUnpickler(pickle.Unpickler):
    """Knows numpy arrays and numbers and plain containers; refuses every other global.

    A refusal is a `pickle.UnpicklingError`. What Python 2 wrote needs `encoding="latin1"`.
    """

    # "_codecs.encode" is how Python 3 pickles bytes for Python 2.
    _KNOWN = frozenset(
        {("numpy", "ndarray"), ("numpy", "dtype"), ("collections", "OrderedDict")}
        | {("_codecs", "encode")}
        | {
            (f"numpy.{core}.{module}", name)
            for core in ("core", "_core")
            for module, name in (
                ("multiarray", "_reconstruct"),
                ("multiarray", "scalar"),
                ("numeric", "_frombuffer"),
            )
        }
    )

    def find_class(self, module: str, name: str):
        """The global of that name, if it is one of the few that are known."""
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which is refused")
        return super().find_class(module, name)
