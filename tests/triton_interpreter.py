"""Triton's kernels on the CPU: slow, so what they run on is small."""

import atexit
import functools
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest


def interpreted(function: Callable, *arguments) -> Any:
    """What a function returns when Triton's interpreter runs the kernels that it launches."""
    return _interpreter().submit(function, *arguments).result()


@functools.cache
def _interpreter() -> ProcessPoolExecutor:
    """A process where Triton interprets its kernels, which it must know before it is imported."""
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        patch.setenv("PYTHONWARNINGS", "ignore")  # numpy's, about divisions by zero
        pool.submit(int).result()  # starts the process
    atexit.register(pool.shutdown)
    return pool
