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
        """Starts empty."""
        self._kept = kept
        self._free: list[np.ndarray] = []

    def empty(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """An array that holds anything."""
        for index, array in enumerate(self._free):
            if array.shape == shape and array.dtype == dtype:
                del self._free[index]
                break
        else:
            array = np.empty(shape, dtype)
        # The view is what is held; when it dies, the array beneath it is free.
        view = array[...]
        weakref.finalize(view, self._take_back, array)
        return view

    def _take_back(self, array: np.ndarray) -> None:
        self._free.append(array)
        del self._free[: -self._kept]
