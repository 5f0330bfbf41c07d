"""Damaged files of every kind, a few of each; CONTRIBUTING.md says how to read more."""

from tests.attack.mutate import OUTCOMES, watch

SHORT = 250  # files


def test_damaged_files_are_read_or_refused():
    outcomes = watch(SHORT, seed=1)
    read, refused, *faults = (outcomes[each] for each in OUTCOMES)
    assert faults == [0, 0, 0], outcomes
    assert read + refused == SHORT
    assert min(read, refused) > 10
