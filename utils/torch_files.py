"""Reads what `torch.save` wrote, without torch's own reader: see `utils.pickles`.

torch's reader believes what a file says about the sizes of its tensors, and its messages advise to
run what is in the file. Both of its formats are read here: the zip file, and the one of before 1.6.
"""

import math
import zipfile
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from utils.pickles import Known, PickleReader, find_numpy
from utils.readers import check_member, open_file, read_bytes, reading

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MAX_DIMS = 64


class _StorageType(NamedTuple):
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Of a number, bytes."""
        return torch.empty(0, dtype=self.dtype).element_size()


_STORAGE_TYPES = {
    f"{name}Storage": _StorageType(dtype)
    for name, dtype in {
        "Float": torch.float32, "Double": torch.float64, "Half": torch.float16,
        "BFloat16": torch.bfloat16, "Long": torch.int64, "Int": torch.int32, "Short": torch.int16,
        "Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool,
    }.items()
}  # fmt: skip


def read_torch(path: Path, kind: str, advice: str) -> Any:
    """What `torch.save` wrote into a file: tensors on the CPU, numbers, text, plain containers.

    Args:
        path: of the file.
        kind: what it should be, for messages.
        advice: what to do when it is not.

    Raises:
        InputError: the file cannot be read, or names something else.
    """
    with reading(path, kind, advice), open_file(path) as file:
        is_zip = file.read(2) == b"PK"
        size = file.seek(0, 2)
        file.seek(0)
        return _read_zip(file, size) if is_zip else _read_legacy(file, size)


def _read_zip(file: IO[bytes], size: int) -> Any:
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        (pickled,) = (
            name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")
        )
        folder = pickled.removesuffix("data.pkl")
        order = members.get(f"{folder}byteorder")
        if order is not None and archive.read(order) != b"little":
            raise ValueError("it was written on a machine with another byte order")
        storages = _Storages(size)

        def load(identity: Any) -> Tensor:
            kind, key, count = _check_identity(identity)
            if key not in storages.by_key:
                member = members[f"{folder}data/{key}"]
                _check_stored(member)
                if member.file_size != count * kind.size:
                    raise ValueError(f"{member.filename} has another size than it should")
                with archive.open(member) as stored:
                    storages.add(key, kind, count)
                    storages.fill(key, read_bytes(stored, member.file_size))
            return storages.by_key[key]

        _check_stored(members[pickled])
        with archive.open(pickled) as content:
            return PickleReader(find_torch, load).read(content)


def _check_stored(member: zipfile.ZipInfo) -> None:
    check_member(member)
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed, which torch does not do")


def _read_legacy(file: IO[bytes], size: int) -> Any:
    header = [PickleReader(find_numpy).read(file) for _ in range(3)]
    if header[:2] != [_LEGACY_MAGIC, _LEGACY_PROTOCOL]:
        raise ValueError("torch did not write it")
    storages = _Storages(size)

    def load(identity: Any) -> Tensor:
        kind, key, count = _check_identity(identity)
        if key not in storages.by_key:
            storages.add(key, kind, count)
        return storages.by_key[key]

    content = PickleReader(find_torch, load).read(file)
    for key in PickleReader(find_numpy).read(file):
        storage = storages.by_key[key]
        if int.from_bytes(read_bytes(file, 8), "little") != len(storage):
            raise ValueError("a tensor has another size than it should")
        storages.fill(key, read_bytes(file, storage.nbytes))
    return content


def check_tensors(weights: Any) -> dict[str, Tensor]:
    """Weights by name, as they are given; arrays become tensors.

    Raises:
        ValueError: they are something else, or have values that are not finite numbers.
    """
    if not isinstance(weights, dict) or not weights:
        raise ValueError("it holds no dictionary of arrays by name")
    tensors = {}
    for name, values in weights.items():
        if not isinstance(name, str) or not isinstance(values, np.ndarray | np.generic | Tensor):
            raise ValueError(f"{str(name)[:100]!r} names no array")
        tensors[name] = torch.as_tensor(values)
        if not tensors[name].isfinite().all():
            raise ValueError(f"{name} has values that are not finite numbers")
    return tensors


class _Storages:
    """The numbers of all tensors of a file, no more than fit into it."""

    def __init__(self, size: int):
        self._left = size
        self.by_key: dict[str, Tensor] = {}

    def add(self, key: str, kind: _StorageType, count: int) -> None:
        self._left -= count * kind.size
        if self._left < 0:
            raise ValueError("its tensors are larger than the file")
        self.by_key[key] = torch.zeros(count, dtype=kind.dtype)

    def fill(self, key: str, content: bytearray) -> None:
        storage = self.by_key[key]
        if not content:
            return
        if storage.dtype == torch.bool:  # true is 1: other bytes would be neither true nor false
            storage.copy_(torch.frombuffer(content, dtype=torch.uint8) != 0)
        else:
            storage.copy_(torch.frombuffer(content, dtype=storage.dtype))


def _check_identity(identity: Any) -> tuple[_StorageType, str, int]:
    """Type, key and number of values of a storage, as a pickle names it."""
    word, kind, key, _, count, *view = identity
    known = word == "storage" and isinstance(kind, _StorageType) and isinstance(key, str)
    if not known or not _is_count(count) or view not in ([], [None]):
        raise ValueError("it names a tensor's numbers in an unknown manner")
    return kind, key, count


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def find_torch(module: str, name: str) -> Any:
    """What tensors need, and arrays and plain containers."""
    if module == "torch" and name in _STORAGE_TYPES:
        return _STORAGE_TYPES[name]
    return _KNOWN.get((module, name)) or find_numpy(module, name)


def _make_tensor(
    storage: Tensor, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> Tensor:
    if not isinstance(storage, Tensor) or storage.ndim != 1:
        raise ValueError("a tensor has no numbers")
    if not (type(shape) is type(strides) is tuple and len(shape) == len(strides) <= _MAX_DIMS):
        raise ValueError("the shape of a tensor is damaged")
    if not all(map(_is_count, (offset, *shape, *strides))):
        raise ValueError("the shape of a tensor is damaged")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    # Nor may few numbers stand for many, which would fill the memory when they are copied.
    if math.prod(shape) > len(storage) or (math.prod(shape) and last >= len(storage)):
        raise ValueError("a tensor is larger than its numbers")
    return torch.as_strided(storage, shape, strides, offset)


_KNOWN = {
    ("torch._utils", "_rebuild_tensor"): Known(_make_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Known(_make_tensor),
    ("torch._utils", "_rebuild_parameter"): Known(lambda tensor, *_: tensor),
    ("torch", "Size"): Known(lambda sizes: tuple(sizes)),
}
