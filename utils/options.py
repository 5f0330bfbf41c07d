"""Options as frozen dataclasses: the range of each number stands in the type of its field."""

import math
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from utils.errors import InputError

_ABOVE_0 = math.nextafter(0, 1)


@dataclass(frozen=True)
class Range:
    """What an option's number may be, ends included; infinity and nan never are.

    It is given beside the field: `turn: Annotated[float, Range(0, 180)] = 0.0`. Where an option is
    several numbers, all lie in the range, in ascending order.
    """

    least: float = 0
    most: float = math.inf

    def __str__(self) -> str:
        """As an error message says it."""
        if math.isfinite(self.most):
            return f"a number from {self.least} to {self.most}"
        return (
            "a number above 0" if self.least == _ABOVE_0 else f"a number of at least {self.least}"
        )

    def problem_of(self, value: Any) -> str | None:
        """What is expected instead of a value that is not allowed; None for one that is."""
        numbers = _numbers_of(value)
        if not all(self.allows(number) for number in numbers):
            return str(self)
        return None if numbers == sorted(numbers) else "the lower number first"

    def allows(self, number: float) -> bool:
        """Whether a number lies in the range."""
        return self.least <= number <= self.most and math.isfinite(number)


class ExtentRange(Range):
    """What an `Extent` may be: a number n in the range, or two from -most to most."""

    def problem_of(self, value: Any) -> str | None:
        """See `Range.problem_of`."""
        if not isinstance(value, tuple):
            return super().problem_of(value)
        if not all(-self.most <= each <= self.most and math.isfinite(each) for each in value):
            return f"two numbers from {-self.most} to {self.most}"
        return None if value[0] <= value[1] else "the lower number first"


@dataclass(frozen=True)
class EachRange(Range):
    """One number for all of `count` things, or one for each of them, in any order."""

    count: int = 1

    def problem_of(self, value: Any) -> str | None:
        """See `Range.problem_of`."""
        numbers = _numbers_of(value)
        if len(numbers) in (1, self.count) and all(map(self.allows, numbers)):
            return None
        return f"{self}, or {self.count} of them"


Share = Annotated[float, Range(0, 1)]  # a probability, or a part of a whole
PartialShare = Annotated[float, Range(0, math.nextafter(1, 0))]  # less than the whole
NotNegative = Annotated[float, Range()]
Positive = Annotated[float, Range(_ABOVE_0)]
Count = Annotated[int, Range()]
OneOrMore = Annotated[int, Range(1)]
# Where random numbers lie: n stands for -n to n; or the lowest and the highest.
Extent = float | tuple[float, float]
AnyExtent = Annotated[Extent, ExtentRange()]


def check_ranges(options: Any) -> None:
    """Raises InputError for the first number that lies outside the range of its field.

    Args:
        options: a dataclass; the dataclasses in it are checked as well.
    """
    for name, allowed in ranges_in(type(options)).items():
        value = options
        for part in name.split("."):
            value = getattr(value, part)
        problem = allowed.problem_of(value)
        if problem is not None:
            raise InputError(f"{flag(name)} is {value}; expected {problem}")


def ranges_in(options: type, prefix: str = "") -> dict[str, Range]:
    """The ranges of a dataclass's fields by dotted name, those of dataclasses in it included."""
    ranges = {}
    for name, hint in get_type_hints(options, include_extras=True).items():
        if is_dataclass(hint):
            ranges |= ranges_in(hint, f"{prefix}{name}.")
        for mark in getattr(hint, "__metadata__", ()):
            if isinstance(mark, Range):
                ranges[prefix + name] = mark
    return ranges


def ends_of(extent: Extent) -> tuple[float, float]:
    """The lowest and the highest number of an extent."""
    return extent if isinstance(extent, tuple) else (-extent, extent)


def _numbers_of(value: Any) -> list[float]:
    return list(value) if isinstance(value, tuple) else [value]


def storable(values: Any) -> Any:
    """Options as plain numbers, strings, lists and dictionaries, which a checkpoint may hold."""
    if isinstance(values, dict):
        return {name: storable(value) for name, value in values.items()}
    if isinstance(values, tuple | list):
        return [storable(value) for value in values]
    return str(values) if isinstance(values, Path) else values


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Options in nested dictionaries by dotted name."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def flag(name: str) -> str:
    """An option's dotted name as on the command line."""
    return f"--{name.replace('_', '-')}"
