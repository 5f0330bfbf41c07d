"""Large arrays that are used again.

Fresh memory comes from the operating system page by page, which for a batch of proxies takes many
times longer than writing to it.
"""

import weakref

import numpy as np


class BufferPool:
    """Hands out arrays, and hands them out again when nobody holds them any more.

    "Holds" is meant exactly: a tensor that shares an array's memory, or anything that autograd
    keeps of it, keeps the array. Used from one thread at a time.

    Args:
        kept: how many arrays that nobody holds stay allocated.
    """

    def __init__(self, kept: int = 2) -> None:
        self._kept = kept
        # By identity, as every change must be one step: arrays come back whenever one dies.
        self._free: dict[int, np.ndarray] = {}

    def empty(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """An array that holds anything."""
        for key, array in list(self._free.items()):
            fits = array.shape == shape and array.dtype == dtype
            if fits and self._free.pop(key, None) is not None:
                break
        else:
            array = np.empty(shape, dtype)
        # The view is what is held; when it dies, the array beneath it is free.
        view = array[...]
        weakref.finalize(view, self._take_back, array)
        return view

    def _take_back(self, array: np.ndarray) -> None:
        self._free[id(array)] = array
        for key in list(self._free)[: -self._kept]:
            self._free.pop(key, None)
