"""Compiling kernels where nothing can be kept on disk."""

import numba
import numpy as np

from kernels.numba_support import compiled


def test_kernels_compile_without_a_cache_folder(monkeypatch):
    """Numba refuses to cache where no folder can be written; then the kernel is not cached."""
    compile_with_numba = numba.njit

    def no_folder(function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compile_with_numba(function, **options)

    monkeypatch.setattr(numba, "njit", no_folder)
    kernel = compiled(lambda x: x / np.float32(0))
    assert np.isinf(kernel(np.float32(1)))
