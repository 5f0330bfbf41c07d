"""How sure a mean is: percentile bootstrap intervals.

B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
_NUMBERS_AT_ONCE = 4_000_000  # drawn together: 32 MB


class Intervals(NamedTuple):
    """Means of M columns and where they might as well lie."""

    mean: np.ndarray  # (M,) nan for a column without a number
    low: np.ndarray  # (M,)
    high: np.ndarray  # (M,)
    count: np.ndarray  # (M,) ints, numbers that the mean is over


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
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or (groups is not None and len(groups) != len(values)):
        raise ValueError(f"values has shape {values.shape}; (N, M) and N groups are needed")
    known = ~np.isnan(values)
    sums, counts = np.where(known, values, 0), known.astype(np.float64)
    count = known.sum(axis=0)
    if groups is not None:
        _, of_group = np.unique(np.asarray(groups), return_inverse=True)
        sums, counts = _sums_by_group(sums, of_group), _sums_by_group(counts, of_group)
    if not len(sums):
        unknown = np.full(values.shape[1], np.nan)
        return Intervals(unknown, unknown, unknown, count)
    with np.errstate(invalid="ignore"):  # a column without a number: 0 / 0
        mean = sums.sum(axis=0) / counts.sum(axis=0)
        means = _resampled_means(sums, counts, seed, resamples)  # (R, M)
    tail = (1 - level) / 2
    low, high = _quantiles(means, (tail, 1 - tail))
    return Intervals(mean, low, high, count)


def _sums_by_group(values: np.ndarray, of_group: np.ndarray) -> np.ndarray:
    sums = np.zeros((of_group.max(initial=-1) + 1, values.shape[1]))
    np.add.at(sums, of_group, values)
    return sums


def _resampled_means(sums: np.ndarray, counts: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Means of resampled groups: how often each is drawn is multinomial."""
    generator = np.random.default_rng(seed)
    number = len(sums)
    at_once = max(1, _NUMBERS_AT_ONCE // number)
    means = []
    for start in range(0, resamples, at_once):
        rounds = min(at_once, resamples - start)
        drawn = generator.multinomial(number, np.full(number, 1 / number), size=rounds)
        means.append((drawn @ sums) / (drawn @ counts))
    return np.concatenate(means)


def _quantiles(means: np.ndarray, shares: tuple[float, float]) -> np.ndarray:
    """(2, M) quantiles of each column; a resample in which a column has no number is left out."""
    columns = []
    for column in means.T:
        found = column[~np.isnan(column)]
        columns.append(np.quantile(found, shares) if len(found) else np.full(2, np.nan))
    return np.array(columns).reshape(-1, 2).T
