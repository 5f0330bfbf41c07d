"""Stages of work that run at the same time, each in a thread of its own."""

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

PATIENCE = 0.1  # s between looks at whether to stop


@dataclass(frozen=True)
class _End:
    """Comes after the last item."""

    error: BaseException | None


class _StoppedError(Exception):
    """Ends a stage whose source was stopped, which does not mean that it has no more items."""


class Background:
    """Runs iterators ahead of those who consume them; a context that ends all its threads.

    Reading, detecting, the network and drawing spend their time in libraries that let other Python
    threads run, so that stages in threads overlap.
    """

    def __init__(self) -> None:
        """Starts no thread yet."""
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Background":
        """Opens the context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stops every thread after the item that it works on."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def ahead(self, items: Iterable[Item], depth: int) -> Iterator[Item]:
        """The same items in the same order, made ahead in a thread that starts at once.

        Args:
            items: consumed in that thread alone. What it raises is raised here, in its place.
            depth: how many items may lie ready; then the thread waits, which bounds memory.
        """
        ready: queue.Queue[Item | _End] = queue.Queue(depth)
        thread = threading.Thread(target=self._produce, args=(items, ready), daemon=True)
        self._threads.append(thread)
        thread.start()
        return self._consume(ready)

    def _produce(self, items: Iterable[Item], ready: queue.Queue) -> None:
        error = None
        try:
            for item in items:
                if not self._put(ready, item):
                    return
        except BaseException as raised:  # whatever it is, it belongs to the consumer
            error = raised
        self._put(ready, _End(error))

    def _put(self, ready: queue.Queue, item: object) -> bool:
        """Whether the item found its place before all was stopped."""
        while not self._stop.is_set():
            try:
                ready.put(item, timeout=PATIENCE)
            except queue.Full:
                continue
            return True
        return False

    def _consume(self, ready: queue.Queue) -> Iterator:
        while not self._stop.is_set():
            try:
                item = ready.get(timeout=PATIENCE)
            except queue.Empty:
                continue
            if not isinstance(item, _End):
                yield item
            elif item.error is not None:
                raise item.error
            else:
                return
        raise _StoppedError
