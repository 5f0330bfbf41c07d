"""Many photos through all stages, which run at the same time, each in a thread of its own."""

import os
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import torch

from predict.detectors.interface import Detector
from predict.heights import scale_photo
from predict.known_people import ShapeEstimator
from predict.options import PictureKind
from predict.people import BodyPredictor, Photo, attempt, find_people, predict_photos, read_photo
from predict.pictures import draw_photos
from predict.results import PhotoResult, ResultWriter
from predict.same_person import ShapeSharer
from predict.tape_picture import draw_tape_pictures
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
        heights: of the person in a photo, metres, by the photo's file name, where known; by the
            person's name, where several photos show one.
        sharer: gives the photos of a person one shape; None where each photo is by itself.
        estimator: shapes people by what is known of them, where each photo is by itself; None for
            as they are predicted.
    """

    detector: Detector
    body_predictor: BodyPredictor
    writer: ResultWriter
    everyone: bool
    pictures: tuple[PictureKind, ...]
    renderer: str
    heights: Mapping[str, float] = field(default_factory=dict)
    sharer: ShapeSharer | None = None
    estimator: ShapeEstimator | None = None

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
        if self.sharer is not None:
            predicted = self.sharer.share(predicted)
        elif self.estimator is not None:
            inform = self.estimator.inform
            predicted = (attempt(inform, photo, "shaping") for photo in predicted)
        scale = partial(scale_photo, heights=self.heights)
        predicted = (attempt(scale, photo, "scaling") for photo in predicted)
        if self.pictures:
            faces = self.writer.anatomy.faces
            drawn = draw_photos(predicted, faces, self.renderer, self.pictures)
            if "measurements" in self.pictures:
                drawn = draw_tape_pictures(drawn, self.writer.anatomy, self.writer.choose_margins)
            predicted = background.ahead(drawn, QUEUE_DEPTH)
        return (attempt(self.writer.write, photo, "writing") for photo in predicted)

    def _find(self, photo: Photo) -> Photo:
        # Photos of one person wait for each other, and are read again to be drawn.
        keep_image = bool(self.pictures) and self.sharer is None
        return find_people(photo, self.detector, self.everyone, keep_image)


def leave_cores_to_other_stages() -> None:
    """Lets torch use half of the cores: the detector and the pictures need the others.

    Its threads wait for each other, so that sharing a core with another stage slows down all.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(min(torch.get_num_threads(), max(1, (cores or 1) // 2)))
