"""Many photos through all stages, which run at the same time, each in a thread of its own."""

import os
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from predict.detectors.interface import Detector
from predict.people import BodyPredictor, Photo, attempt, find_people, predict_photos, read_photo
from predict.pictures import PictureKind, draw_photos
from predict.results import PhotoResult, ResultWriter
from utils.errors import Skipped

Item = TypeVar("Item")

QUEUE_DEPTH = 2  # photos that lie ready between two stages
POLL_SECONDS = 0.1  # between looks at whether to stop


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
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Background":
        """The context itself."""
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
                ready.put(item, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def _consume(self, ready: queue.Queue) -> Iterator:
        while not self._stop.is_set():
            try:
                item = ready.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if not isinstance(item, _End):
                yield item
            elif item.error is not None:
                raise item.error
            else:
                return
        raise _StoppedError


@dataclass(frozen=True)
class FolderPredictor:
    """Everything that predicts a folder, loaded.

    Attributes:
        detector: finds people.
        body_predictor: predicts them.
        writer: writes the results.
        everyone: whether all people in a photo are predicted, else the most prominent one.
        pictures: kinds to draw, if any.
        renderer: a backend of `renderers.shading.BodyRenderer`.
    """

    detector: Detector
    body_predictor: BodyPredictor
    writer: ResultWriter
    everyone: bool
    pictures: tuple[PictureKind, ...]
    renderer: str

    def predict(
        self, photos: Sequence[Photo], background: Background
    ) -> Iterator[PhotoResult | Skipped]:
        """Predicts photos and writes their files.

        Reading, detecting, the network and drawing have a thread each; writing happens here.

        Args:
            photos: in the order in which results come.
            background: runs the stages.

        Raises:
            InputError: the renderer that was asked for does not work here.
        """
        read = (attempt(read_photo, photo, "reading") for photo in photos)
        read = background.ahead(read, QUEUE_DEPTH)
        found = (attempt(self._find, photo, "the detector") for photo in read)
        # As many as the network takes together: the detector works on them meanwhile.
        found = background.ahead(found, self.body_predictor.batch_size)
        predicted = background.ahead(predict_photos(found, self.body_predictor), QUEUE_DEPTH)
        if self.pictures:
            drawn = draw_photos(predicted, self.writer.faces, self.renderer, self.pictures)
            predicted = background.ahead(drawn, QUEUE_DEPTH)
        return (attempt(self.writer.write, photo, "writing") for photo in predicted)

    def _find(self, photo: Photo) -> Photo:
        return find_people(photo, self.detector, self.everyone, keep_image=bool(self.pictures))


def leave_cores_to_other_stages() -> None:
    """Lets torch use half of the cores: the detector and the pictures need the others.

    Its threads wait for each other, so that sharing a core with another stage slows down all.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(min(torch.get_num_threads(), max(1, (cores or 1) // 2)))
