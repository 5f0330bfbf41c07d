"""Many photos through all stages, which run at the same time."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from predict.background import Background
from predict.detectors.interface import Detector
from predict.people import (
    BodyPredictor,
    FoundPeople,
    Photo,
    ReadPhoto,
    Skipped,
    attempt,
    find_people,
    predict_photos,
    read_photo,
)
from predict.results import FinishedPhoto, ResultWriter, draw_photos, write_photos

FEW = 2  # photos that lie ready between two stages


@dataclass(frozen=True)
class FolderPredictor:
    """Everything that predicts a folder, loaded.

    Attributes:
        detector: finds people.
        body_predictor: predicts them.
        writer: writes the results.
        everyone: whether all people in a photo are predicted, else the most prominent one.
        visuals: whether pictures are drawn.
        renderer: a backend of `renderers.overlay.BodyRenderer`.
    """

    detector: Detector
    body_predictor: BodyPredictor
    writer: ResultWriter
    everyone: bool
    visuals: bool
    renderer: str

    def predict(
        self, photos: Sequence[Photo], background: Background
    ) -> Iterator[FinishedPhoto | Skipped]:
        """Predicts photos and writes their files.

        Reading, detecting, the network and drawing have a thread each; writing happens here.

        Args:
            photos: in the order in which results come.
            background: runs the stages.

        Raises:
            InputError: the renderer that was asked for does not work here.
        """
        read = background.ahead((attempt(read_photo, photo, "reading") for photo in photos), FEW)
        found = (attempt(self._find, photo, "the detector") for photo in read)
        # As many as the network takes together: the detector works on them meanwhile.
        found = background.ahead(found, self.body_predictor.batch_size)
        predicted = background.ahead(predict_photos(found, self.body_predictor), FEW)
        drawn = draw_photos(predicted, self.writer.faces, self.visuals, self.renderer)
        return write_photos(background.ahead(drawn, FEW), self.writer)

    def _find(self, photo: ReadPhoto) -> FoundPeople:
        return find_people(photo, self.detector, self.everyone, keep_image=self.visuals)


def leave_cores_to_other_stages() -> None:
    """Lets torch use half of the cores: the detector and the pictures need the others.

    Its threads wait for each other, so that sharing a core with another stage slows down all.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(min(torch.get_num_threads(), max(1, (cores or 1) // 2)))
