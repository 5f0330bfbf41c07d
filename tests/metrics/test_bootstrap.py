"""Bootstrap intervals against arithmetic, the normal approximation and scipy."""

import numpy as np
import pytest
import scipy.stats

from metrics.bootstrap import bootstrap_means, bootstrap_medians, bootstrap_ratios


def test_two_samples_by_hand():
    # Means of two draws out of {0, 1} are 0, 1/2 and 1 with probability 1/4, 1/2 and 1/4.
    found = bootstrap_means(np.array([[0.0], [1.0]]), level=0.4)
    assert found.estimate == pytest.approx([0.5])
    # 0.3 and 0.7 quantiles both fall on 1/2; with 60 % (0.2, 0.8) they are the ends.
    assert (found.low, found.high) == (pytest.approx([0.5]), pytest.approx([0.5]))
    wide = bootstrap_means(np.array([[0.0], [1.0]]), level=0.6)
    assert (wide.low, wide.high) == (pytest.approx([0.0]), pytest.approx([1.0]))


def test_it_is_about_1_96_standard_errors():
    values = np.random.default_rng(1).normal(50, 10, (400, 2))
    found = bootstrap_means(values)
    standard_error = values.std(axis=0) / np.sqrt(400)
    np.testing.assert_allclose(found.high - found.low, 2 * 1.96 * standard_error, rtol=0.05)
    assert ((found.low < found.estimate) & (found.estimate < found.high)).all()


def test_it_agrees_with_scipy():
    values = np.random.default_rng(2).exponential(3, 60)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", random_state=0
    ).confidence_interval
    found = bootstrap_means(values[:, None], resamples=20_000)
    assert found.low[0] == pytest.approx(expected.low, abs=0.03)
    assert found.high[0] == pytest.approx(expected.high, abs=0.03)


def test_a_ratio_of_sums_by_hand():
    # A small person seen by half and a large one seen wholly: 1 + 8 of 2 + 8 pixels; the mean of
    # the two ratios would be 3 / 4. Of two draws the ends are twice the same person.
    parts, wholes = np.array([[1.0], [8.0], [np.nan]]), np.array([[2.0], [8.0], [np.nan]])
    found = bootstrap_ratios(parts, wholes)
    assert found.estimate == pytest.approx([0.9])
    assert (found.low, found.high) == (pytest.approx([0.5]), pytest.approx([1.0]))
    assert found.count == [2]


def test_nan_does_not_count():
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    found = bootstrap_means(values)
    assert found.count.tolist() == [2, 0]
    assert found.estimate[0] == 2
    assert (found.low[0], found.high[0]) == (1, 3)
    assert np.isnan([found.estimate[1], found.low[1], found.high[1]]).all()


def test_repeating_every_sample_in_its_group_changes_nothing():
    values = np.random.default_rng(3).normal(size=(30, 1))
    alone = bootstrap_means(values)
    thrice = bootstrap_means(np.repeat(values, 3, axis=0), np.repeat(np.arange(30), 3).astype(str))
    taken_for_independent = bootstrap_means(np.repeat(values, 3, axis=0))
    width = alone.high - alone.low
    assert thrice.high - thrice.low == pytest.approx(width, rel=0.05)
    assert taken_for_independent.high - taken_for_independent.low < 0.7 * width


def test_the_seed_decides():
    values = np.random.default_rng(4).normal(size=(20, 3))
    one, same, other = (bootstrap_means(values, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.low, same.low)
    assert (one.low != other.low).all()


def test_many_samples_are_drawn_piecewise():
    values = np.random.default_rng(5).normal(size=(50, 1))
    whole = bootstrap_means(values, resamples=100)
    pieces = bootstrap_means(values, resamples=100, at_once=500)
    np.testing.assert_allclose(pieces.low, whole.low)


def test_medians_by_hand():
    found = bootstrap_medians(np.array([[1.0, 4], [9, np.nan], [2, 8], [4, np.nan]]))
    # The two in the middle of 1, 2, 4, 9 are 2 and 4; 6 lies between 4 and 8.
    assert found.estimate == pytest.approx([3, 6])
    assert found.count.tolist() == [4, 2]
    # Three draws out of 0, 0 and 1: the median is 1 where two or three draws are 1, with
    # probability 3 * (1/3)^2 * (2/3) + (1/3)^3 = 7/27 = 0.26.
    values = np.array([[0.0], [1], [0]])
    assert bootstrap_medians(values, level=0.5).high[0] == 1  # the quantile of 0.75
    assert bootstrap_medians(values, level=0.4).high[0] == 0  # 0.7


def test_medians_agree_with_scipy():
    values = np.random.default_rng(6).exponential(3, 60)
    expected = scipy.stats.bootstrap(
        (values,), np.median, n_resamples=20_000, method="percentile", random_state=0
    ).confidence_interval
    found = bootstrap_medians(values[:, None], resamples=20_000)
    assert found.estimate[0] == np.median(values)
    assert found.low[0] == pytest.approx(expected.low, abs=0.05)
    assert found.high[0] == pytest.approx(expected.high, abs=0.05)


def test_groups_of_medians_are_drawn_whole():
    values = np.random.default_rng(7).normal(size=(30, 1))
    alone = bootstrap_medians(values)
    names = [f"{row // 3:02d}" for row in range(90)]  # sorted as the rows are
    thrice = bootstrap_medians(np.repeat(values, 3, axis=0), names)
    for one, other in zip(alone, thrice._replace(count=thrice.count / 3), strict=True):
        np.testing.assert_allclose(one, other)
    np.testing.assert_array_equal(bootstrap_medians(values, at_once=500).low, alone.low)


def test_nothing_and_nonsense():
    for bootstrap in (bootstrap_means, bootstrap_medians):
        for nothing in (np.zeros((0, 2)), np.full((3, 2), np.nan)):
            empty = bootstrap(nothing)
            assert np.isnan([empty.estimate, empty.low, empty.high]).all()
            assert empty.count.tolist() == [0, 0]
    with pytest.raises(ValueError, match="N groups"):
        bootstrap_means(np.zeros((3, 1)), ["a"])
    with pytest.raises(ValueError, match="shape"):
        bootstrap_means(np.zeros(3))
