import gc

import numpy as np
import torch

from kernels.buffers import BufferPool


def _address(array: np.ndarray) -> int:
    return array.ctypes.data


def test_memory_is_used_again_once_nobody_holds_it():
    pool = BufferPool()
    first = pool.empty((4, 5), np.float32)
    place = _address(first)
    del first
    again = pool.empty((4, 5), np.float32)
    assert _address(again) == place


def test_memory_that_a_tensor_or_autograd_holds_is_left_alone():
    pool = BufferPool()
    tensor = torch.from_numpy(pool.empty((3,), np.float32)).fill_(1).view(3, 1)
    weight = torch.ones(1, requires_grad=True)
    product = (tensor + 2) * 0 + tensor * weight  # backward needs the tensor
    place = tensor.data_ptr()
    del tensor
    gc.collect()
    other = pool.empty((3,), np.float32)
    assert _address(other) != place
    other += 7
    product.sum().backward()
    assert weight.grad.item() == 3
    del product
    gc.collect()
    assert _address(pool.empty((3,), np.float32)) == place


def test_other_shapes_and_types_do_not_mix_and_little_is_kept():
    pool = BufferPool(kept=1)
    held = [pool.empty((2, 2), np.float32), pool.empty((4,), np.float32)]
    del held
    gc.collect()
    assert len(pool._free) == 1
    assert pool.empty((4,), np.uint16).dtype == np.uint16
