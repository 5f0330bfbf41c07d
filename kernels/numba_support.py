"""How the project's kernels are compiled for the CPU."""

from collections.abc import Callable

import numba


def compiled(function: Callable) -> Callable:
    """Compiles at the first call, and keeps the result on disk where a folder can be written.

    The compiled function lets other Python threads run, and divides as numpy does: x / 0 is inf or
    nan, not an error. numba keeps its results in `__pycache__` beside the function's file, else in
    the user's cache folder. Where neither can be written it refuses to compile at all, so then
    every process compiles anew (some seconds).
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:
        return numba.njit(function, **options)
