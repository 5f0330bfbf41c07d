"""Stages in threads: order, errors, bounds, stopping."""

import threading
import time

import pytest

from predict.folder import Background


def test_items_keep_their_order_through_several_stages():
    with Background() as background:
        first = background.ahead(range(50), 3)
        second = background.ahead((10 * item for item in first), 1)
        assert list(second) == [10 * item for item in range(50)]


def test_nothing_in_nothing_out():
    with Background() as background:
        assert list(background.ahead([], 2)) == []


def test_stages_run_in_threads_of_their_own_at_the_same_time():
    """Each stage waits for the other, which in one thread would wait for ever."""
    meeting = threading.Barrier(2, timeout=10)
    threads = set()

    def stage(count: int):
        for item in range(count):
            meeting.wait()
            threads.add(threading.current_thread())
            yield item

    with Background() as background:
        stages = [background.ahead(stage(5), 1) for _ in range(2)]
        assert list(zip(*stages, strict=True)) == [(item, item) for item in range(5)]
    assert len(threads) == 2
    assert threading.current_thread() not in threads


def test_an_error_comes_where_it_happened():
    def items():
        yield 1
        yield 2
        raise ZeroDivisionError("third")

    with Background() as background:
        ahead = background.ahead((item for item in background.ahead(items(), 5)), 5)
        assert [next(ahead), next(ahead)] == [1, 2]
        with pytest.raises(ZeroDivisionError, match="third"):
            next(ahead)


def test_no_more_than_depth_lies_ready():
    made = []

    def items():
        for item in range(100):
            made.append(item)
            yield item

    with Background() as background:
        ahead = background.ahead(items(), 3)
        next(ahead)
        time.sleep(0.3)
        assert len(made) <= 1 + 3 + 1  # taken, ready, and one that found no place


def test_leaving_stops_threads_that_wait_for_a_place_or_for_an_item():
    before = threading.active_count()

    def endless():
        while True:
            yield 0

    start = time.monotonic()
    with Background() as background:
        ahead = background.ahead(background.ahead(endless(), 1), 1)
        next(ahead)
        held = threading.Event()
        waiting = background.ahead((held.wait(0.2) for _ in range(1000)), 1)
        next(waiting)
    assert threading.active_count() == before
    assert time.monotonic() - start < 5


def test_a_stage_does_not_take_stopping_for_the_end():
    """It would work on what it has gathered so far, for nobody."""
    finished = []
    held = threading.Event()

    def gather(items):
        finished.append(list(items))
        yield from finished

    def two_then_wait():
        yield from (1, 2)
        held.wait(10)

    with Background() as background:
        background.ahead(gather(background.ahead(two_then_wait(), 1)), 1)
        time.sleep(0.2)
        background._stop.set()
        held.set()
    assert finished == []
