"""Reads pickles as data: nothing that a file names is imported, called or built by its own class.

A pickle is a small program. Python's reader calls whatever it names, and numpy believes whatever
state it hands over, which runs code or crashes the process. Here the operations that hold data are
carried out one by one: they make plain containers, numbers and text, and of the few things that may
be named (`Known`) what `utils.readers.make_array` makes of checked bytes.
"""

import codecs
import pickletools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from utils.readers import make_array, open_file, plain_dtype, reading

MAX_OPERATIONS = 2_000_000  # in a file; those with bodies and weights have some thousands
_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_OPERATIONS = {operation.code.encode("latin-1"): operation for operation in pickletools.opcodes}
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


class Known(NamedTuple):
    """Something that a file may name: what calling it gives."""

    call: Callable[..., Any]


class Unbuilt:
    """What waits for its state, from which `build` makes a value."""

    def __init__(self, build: Callable[[Any], Any]):
        self.build = build
        self.places: list[int] = []  # in the memo


FindKnown = Callable[[str, str], Any]  # by module and name; ValueError for others


def read_pickle(path: Path, kind: str, advice: str, find: FindKnown | None = None) -> Any:
    """What a pickle holds: plain containers, numbers, text and arrays.

    Text of Python 2 is read as latin-1. Arrays of objects are None.

    Args:
        path: of the file.
        kind: what it should be, for messages.
        advice: what to do when it is not.
        find: what the file may name; None: what arrays and numbers need.

    Raises:
        InputError: the file cannot be read, or names something else.
    """
    with reading(path, kind, advice), open_file(path) as file:
        return PickleReader(find or find_numpy).read(file)


def read_operations(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """The operations of the next pickle in an open file, each with its argument.

    Raises:
        ValueError: the pickle is damaged, or has too many of them.
    """
    for _ in range(MAX_OPERATIONS):
        operation = _OPERATIONS.get(file.read(1))
        if operation is None:
            raise ValueError("it is cut off, or no pickle")
        if operation.name == "STOP":
            return
        if operation.name == "STRING":  # of Python 2, which pickletools takes for ASCII
            yield "STRING", codecs.escape_decode(file.readline().strip()[1:-1])[0].decode("latin-1")
        else:
            yield operation.name, operation.arg and operation.arg.reader(file)
    raise ValueError(f"it has more than {MAX_OPERATIONS} operations")


class PickleReader:
    """Carries out the operations of a pickle.

    Args:
        find: what the file may name.
        load_stored: what a file keeps outside of the pickle, by its identity.
    """

    def __init__(self, find: FindKnown, load_stored: Callable[[Any], Any] | None = None):
        self._find = find
        self._load_stored = load_stored
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._operations = {
            "POP": self._stack.pop,
            "POP_MARK": self._pop_to_mark,
            "DUP": lambda: self._stack.append(self._stack[-1]),
            "TUPLE": lambda: self._stack.append(tuple(self._pop_to_mark())),
            "LIST": lambda: self._stack.append(self._pop_to_mark()),
            "DICT": lambda: self._stack.append(_set_items({}, self._pop_to_mark())),
            "FROZENSET": lambda: self._stack.append(_add_items(set(), self._pop_to_mark())),
            "APPEND": lambda: self._append([self._stack.pop()]),
            "APPENDS": lambda: self._append(self._pop_to_mark()),
            "SETITEM": lambda: self._set_items([self._stack.pop(-2), self._stack.pop()]),
            "SETITEMS": lambda: self._set_items(self._pop_to_mark()),
            "ADDITEMS": lambda: self._add_items(self._pop_to_mark()),
            "STACK_GLOBAL": lambda: self._push_known(self._stack.pop(-2), self._stack.pop()),
            "REDUCE": self._call,
            "NEWOBJ": self._call,
            "BUILD": self._build,
            "BINPERSID": self._push_stored,
        }

    def read(self, file: IO[bytes]) -> Any:
        """What the next pickle in an open file holds; ValueError and others where it is damaged."""
        for name, argument in read_operations(file):
            if name in _VALUES:
                self._stack.append(argument)
            elif name in self._operations:
                self._operations[name]()
            else:
                self._carry_out(name, argument)
        return self._stack[-1]

    def _carry_out(self, name: str, argument: Any) -> None:
        stack, memo = self._stack, self._memo
        if name == "MARK":
            stack.append(_MARK)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            items = stack[-_TUPLES[name] :]
            del stack[-_TUPLES[name] :]
            stack.append(tuple(items))
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            place = len(memo) if name == "MEMOIZE" else argument
            memo[place] = stack[-1]
            if isinstance(stack[-1], Unbuilt):
                stack[-1].places.append(place)
        elif name == "GLOBAL":
            self._push_known(*argument.split(" ", 1))
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"the file asks for {name}, which is refused")

    def _pop_to_mark(self) -> list[Any]:
        items = []
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def _push_known(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("the file names something by no text")
        self._stack.append(self._find(module, name))

    def _append(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise ValueError("it appends to what is no list")
        self._stack[-1].extend(items)

    def _set_items(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not dict:
            raise ValueError("it sets items of what is no dictionary")
        _set_items(self._stack[-1], items)

    def _add_items(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not set:
            raise ValueError("it adds to what is no set")
        _add_items(self._stack[-1], items)

    def _call(self) -> None:
        arguments, known = self._stack.pop(), self._stack.pop()
        if not isinstance(known, Known) or not isinstance(arguments, tuple):
            raise ValueError("the file calls what it may not")
        self._stack.append(known.call(*arguments))

    def _build(self) -> None:
        state, built = self._stack.pop(), self._stack[-1]
        if isinstance(built, dict):  # an OrderedDict's attributes
            return
        if not isinstance(built, Unbuilt):
            raise ValueError("it gives a state to what has none")
        # Nothing but the stack and the memo knows it, as Python's own writer works.
        self._stack[-1] = value = built.build(state)
        self._memo |= dict.fromkeys(built.places, value)
        built.places.clear()

    def _push_stored(self) -> None:
        if self._load_stored is None:
            raise ValueError("the file asks for what lies outside of it")
        self._stack.append(self._load_stored(self._stack.pop()))


def _set_items(target: dict, items: list[Any]) -> dict:
    if len(items) % 2:
        raise ValueError("it has a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[_check_key(key)] = value
    return target


def _add_items(target: set, items: list[Any]) -> set:
    target.update(map(_check_key, items))
    return target


def _check_key(key: Any) -> Any:
    # Not tuples: Python's hash of those that are nested deeply ends the process.
    if not isinstance(key, str | bytes | int | float | None):
        raise ValueError(f"it has a {type(key).__name__} for a key")
    return key


def refuse(module: str, name: str) -> Known:
    """The end of every `FindKnown`: what is not known is refused."""
    raise ValueError(f"the file asks for {module}.{name}, which is refused"[:200])


def find_numpy(module: str, name: str) -> Known:
    """What arrays, numbers and plain containers need."""
    if module in ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric",
                  "numpy._core.numeric", "numpy", "_codecs", "collections"):  # fmt: skip
        known = _KNOWN.get(name)
        if known is not None:
            return known
    if module in ("__builtin__", "builtins") and name == "set":
        return Known(lambda items=(): _add_items(set(), list(items)))
    if module in ("__builtin__", "builtins") and name == "bytes":
        return Known(lambda: b"")  # as the protocols of Python 2 write it
    return refuse(module, name)


def _make_dtype(name: str, *_: Any) -> Unbuilt:
    def build(state: tuple) -> np.dtype | None:
        order, *inner = state[1:5]
        if any(part is not None for part in inner):
            raise ValueError("it holds arrays of records, expected plain numbers")
        return None if name[:1] == "O" else plain_dtype(order + name)

    return Unbuilt(build)


def _build_array(state: tuple) -> np.ndarray | None:
    shape, dtype, fortran, content = state[-4:]
    return None if dtype is None else make_array(_as_bytes(content), dtype, shape, fortran)


def _make_scalar(dtype: np.dtype, content: bytes | str) -> Any:
    return make_array(_as_bytes(content), dtype, (), False)[()]


def _make_from_buffer(content: bytes, dtype: np.dtype, shape: tuple, order: str) -> np.ndarray:
    return make_array(_as_bytes(content), dtype, shape, order == "F")


def _as_bytes(content: bytes | bytearray | str) -> bytes | bytearray:
    return content.encode("latin-1") if isinstance(content, str) else content


def _make_dict(items: list = ()) -> dict:
    return _set_items({}, [part for key, value in items for part in (key, value)])


_KNOWN = {
    "_reconstruct": Known(lambda *_: Unbuilt(_build_array)),
    "ndarray": Known(lambda *_: Unbuilt(_build_array)),
    "dtype": Known(_make_dtype),
    "scalar": Known(_make_scalar),
    "_frombuffer": Known(_make_from_buffer),
    "encode": Known(lambda text, _: _as_bytes(text)),
    "OrderedDict": Known(_make_dict),
}
