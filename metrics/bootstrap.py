"""How sure a mean or a median is: percentile bootstrap intervals.

B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
_NUMBERS_AT_ONCE = 4_000_000  # drawn together: 32 MB


class Intervals(NamedTuple):
    """Estimates for M columns and where they might as well lie."""

    estimate: np.ndarray  # (M,) nan for a column without a number
    low: np.ndarray  # (M,)
    high: np.ndarray  # (M,)
    count: np.ndarray  # (M,) ints, numbers that the estimate is of


def bootstrap_means(
    values: np.ndarray,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Intervals:
    """Means with bootstrap intervals; whole groups are drawn with replacement.

    All columns are resampled together.

    Args:
        values: (N, M) one row a sample; nan does not count.
        groups: (N,) names; samples of one group are not independent of each other. None makes
            each sample a group.
        seed: of the resampling.
        resamples: how often.
        level: share of the resampled means that an interval holds.

    Raises:
        ValueError: values are no matrix, or there are not as many groups as rows.
    """
    values, of_group = _checked(values, groups)
    known = ~np.isnan(values)
    sums = _sums_by_group(np.where(known, values, 0), of_group)
    counts = _sums_by_group(known.astype(np.float64), of_group)
    if not len(values):
        return _unknown(values)
    with np.errstate(invalid="ignore"):  # a column without a number: 0 / 0
        mean = sums.sum(axis=0) / counts.sum(axis=0)
        draws = _draws(len(sums), len(sums), seed, resamples)
        means = np.concatenate([(drawn @ sums) / (drawn @ counts) for drawn in draws])  # (R, M)
    return Intervals(mean, *_quantiles(means, level), known.sum(axis=0))


def bootstrap_medians(
    values: np.ndarray,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Intervals:
    """Medians with bootstrap intervals; arguments and errors are those of `bootstrap_means`.

    The median of an even number of values is the mean of the two in the middle.
    """
    values, of_group = _checked(values, groups)
    if not len(values):
        return _unknown(values)
    known = ~np.isnan(values)
    ascending = list(np.argsort(values, axis=0).T)  # (N,) rows of each column; nan comes last

    def medians_of(times: np.ndarray) -> np.ndarray:
        """(R, M) medians when the samples count so many times (R, N)."""
        columns = [
            _weighted_medians(values[rows, column], times[:, rows] * known[rows, column])
            for column, rows in enumerate(ascending)
        ]
        return np.stack(columns, axis=1)

    (median,) = medians_of(np.ones((1, len(values)), dtype=np.int64))
    draws = _draws(of_group.max() + 1, len(values), seed, resamples)
    medians = np.concatenate([medians_of(drawn[:, of_group]) for drawn in draws])
    return Intervals(median, *_quantiles(medians, level), known.sum(axis=0))


def _checked(values: np.ndarray, groups: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Values (N, M) as float64, and the number of each row's group (N,)."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or (groups is not None and len(groups) != len(values)):
        raise ValueError(f"values has shape {values.shape}; (N, M) and N groups are needed")
    if groups is None:
        return values, np.arange(len(values))
    return values, np.unique(np.asarray(groups), return_inverse=True)[1]


def _unknown(values: np.ndarray) -> Intervals:
    unknown = np.full(values.shape[1], np.nan)
    return Intervals(unknown, unknown, unknown, np.zeros(values.shape[1], dtype=np.int64))


def _sums_by_group(values: np.ndarray, of_group: np.ndarray) -> np.ndarray:
    sums = np.zeros((of_group.max(initial=-1) + 1, values.shape[1]))
    np.add.at(sums, of_group, values)
    return sums


def _draws(number: int, width: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """How often each of a number of groups is drawn (R, number), multinomial, piece by piece.

    Args:
        number: of groups.
        width: numbers a resample takes in memory.
        seed: of the resampling.
        resamples: how often, in all.
    """
    generator = np.random.default_rng(seed)
    at_once = max(1, _NUMBERS_AT_ONCE // width)
    for start in range(0, resamples, at_once):
        rounds = min(at_once, resamples - start)
        yield generator.multinomial(number, np.full(number, 1 / number), size=rounds)


def _weighted_medians(ascending: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Medians of values (N,) in which each stands so many times (R, N): (R,); nan for none."""
    through = times.cumsum(axis=1)
    total = through[:, -1:]
    # The ranks of the two in the middle, from 1; of an odd number both are the one there.
    lower, upper = ((through >= (total + step) // 2).argmax(axis=1) for step in (1, 2))
    medians = (ascending[lower] + ascending[upper]) / 2
    return np.where(total[:, 0] > 0, medians, np.nan)


def _quantiles(estimates: np.ndarray, level: float) -> np.ndarray:
    """(2, M) the ends of the middle share of each column, without resamples that have no number."""
    shares = ((1 - level) / 2, 1 - (1 - level) / 2)
    columns = []
    for column in estimates.T:
        found = column[~np.isnan(column)]
        columns.append(np.quantile(found, shares) if len(found) else np.full(2, np.nan))
    return np.array(columns).reshape(-1, 2).T
