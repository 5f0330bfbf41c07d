"""How sure a mean, a ratio of sums or a median is: percentile bootstrap intervals.

B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
NUMBERS_AT_ONCE = 4_000_000  # drawn together: 32 MB


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
    at_once: int = NUMBERS_AT_ONCE,
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
        at_once: numbers that are drawn together, which bounds memory.

    Raises:
        ValueError: values are no matrix, or there are not as many groups as rows.
    """
    values = np.asarray(values, dtype=np.float64)
    return bootstrap_ratios(values, np.ones_like(values), groups, seed, resamples, level, at_once)


def bootstrap_ratios(
    numerators: np.ndarray,
    denominators: np.ndarray,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    at_once: int = NUMBERS_AT_ONCE,
) -> Intervals:
    """Sums of numerators (N, M) over sums of denominators (N, M), with bootstrap intervals.

    A sample whose numerator is nan does not count; denominators are not negative. All else is as in
    `bootstrap_means`.
    """
    values, of_group = _check(numerators, groups)
    known = ~np.isnan(values)
    sums, weights = (
        _sum_by_group(np.where(known, each, 0), of_group) for each in (values, denominators)
    )
    if not len(values):
        return _make_unknown(values)
    with np.errstate(invalid="ignore"):  # a column without a number: 0 / 0
        ratio = sums.sum(axis=0) / weights.sum(axis=0)
        draws = _draw_resamples(len(sums), seed, resamples, at_once // len(sums))
        ratios = np.concatenate([(drawn @ sums) / (drawn @ weights) for drawn in draws])  # (R, M)
    return Intervals(ratio, *_find_quantiles(ratios, level), known.sum(axis=0))


def bootstrap_medians(
    values: np.ndarray,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    at_once: int = NUMBERS_AT_ONCE,
) -> Intervals:
    """Medians with bootstrap intervals; arguments and errors are those of `bootstrap_means`.

    The median of an even number of values is the mean of the two in the middle.
    """
    values, of_group = _check(values, groups)
    if not len(values):
        return _make_unknown(values)
    known = ~np.isnan(values)
    ascending = list(np.argsort(values, axis=0).T)  # (N,) rows of each column; nan comes last

    def find_medians(times: np.ndarray) -> np.ndarray:
        """(R, M) medians when the samples count so many times (R, N)."""
        columns = [
            _find_weighted_medians(values[rows, column], times[:, rows] * known[rows, column])
            for column, rows in enumerate(ascending)
        ]
        return np.stack(columns, axis=1)

    (median,) = find_medians(np.ones((1, len(values)), dtype=np.int64))
    draws = _draw_resamples(of_group.max() + 1, seed, resamples, at_once // len(values))
    medians = np.concatenate([find_medians(drawn[:, of_group]) for drawn in draws])
    return Intervals(median, *_find_quantiles(medians, level), known.sum(axis=0))


def _check(values: np.ndarray, groups: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Values (N, M) as float64, and the number of each row's group (N,)."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or (groups is not None and len(groups) != len(values)):
        raise ValueError(f"values has shape {values.shape}; (N, M) and N groups are needed")
    if groups is None:
        return values, np.arange(len(values))
    return values, np.unique(np.asarray(groups), return_inverse=True)[1]


def _make_unknown(values: np.ndarray) -> Intervals:
    unknown = np.full(values.shape[1], np.nan)
    return Intervals(unknown, unknown, unknown, np.zeros(values.shape[1], dtype=np.int64))


def _sum_by_group(values: np.ndarray, of_group: np.ndarray) -> np.ndarray:
    sums = np.zeros((of_group.max(initial=-1) + 1, values.shape[1]))
    np.add.at(sums, of_group, values)
    return sums


def _draw_resamples(number: int, seed: int, resamples: int, at_once: int) -> Iterator[np.ndarray]:
    """How often each of a number of groups is drawn (R, number), multinomial.

    Args:
        number: of groups.
        seed: of the resampling.
        resamples: how often, in all.
        at_once: R, how many resamples are drawn together, one at least.
    """
    generator = np.random.default_rng(seed)
    at_once = max(1, at_once)
    for start in range(0, resamples, at_once):
        rounds = min(at_once, resamples - start)
        yield generator.multinomial(number, np.full(number, 1 / number), size=rounds)


def _find_weighted_medians(ascending: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Medians of values (N,) in which each stands so many times (R, N): (R,); nan for none."""
    through = times.cumsum(axis=1)
    total = through[:, -1:]
    # The ranks of the two in the middle, from 1; of an odd number both are the one there.
    lower, upper = ((through >= (total + step) // 2).argmax(axis=1) for step in (1, 2))
    medians = (ascending[lower] + ascending[upper]) / 2
    return np.where(total[:, 0] > 0, medians, np.nan)


def _find_quantiles(estimates: np.ndarray, level: float) -> np.ndarray:
    """(2, M) the ends of the middle share of each column, without resamples that have no number."""
    shares = ((1 - level) / 2, 1 - (1 - level) / 2)
    columns = []
    for column in estimates.T:
        found = column[~np.isnan(column)]
        columns.append(np.quantile(found, shares) if len(found) else np.full(2, np.nan))
    return np.array(columns).reshape(-1, 2).T
