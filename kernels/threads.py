"""Work on the items of a batch in threads, for compiled code that releases the interpreter lock."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")

_PIECES_PER_THREAD = 4  # so that threads end together even when other programs delay one of them


def in_threads(work: Callable[[slice], Result], count: int) -> list[Result]:
    """`work(slice)` over pieces of range(count), in as many threads as torch uses.

    The threads sleep between calls, so nothing competes with torch's own, and calls from several
    threads are safe. Not numba's own parallel loops: one of its thread pools aborts the program
    when two Python threads enter it, another keeps spinning on the cores that torch needs next.
    """
    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        return [work(slice(0, count))] if count else []
    length = -(-count // (threads * _PIECES_PER_THREAD))
    pieces = [slice(start, min(start + length, count)) for start in range(0, count, length)]
    return list(_pool_of(threads).map(work, pieces))


@functools.cache
def _pool_of(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="batch")


# A forked process has none of its parent's threads, and needs a pool of its own.
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_pool_of.cache_clear)
