"""Work on the items of a batch in threads, for compiled code that releases the interpreter lock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")

_PIECES_PER_THREAD = 4  # so that threads end together even when other programs delay one of them


def in_threads(work: Callable[[slice], Result], count: int) -> list[Result]:
    """`work(slice)` over pieces of range(count), in as many threads as torch uses.

    The threads live only during the call, so nothing competes with torch's own and calls from
    several threads are safe. Not numba's own parallel loops: one of its thread pools aborts the
    program when two Python threads enter it, another keeps spinning on the cores that torch needs
    next.
    """
    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        return [work(slice(0, count))] if count else []
    length = -(-count // (threads * _PIECES_PER_THREAD))
    pieces = [slice(start, min(start + length, count)) for start in range(0, count, length)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, pieces))
