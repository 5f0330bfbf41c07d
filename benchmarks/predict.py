"""Speed of predicting: every stage by itself, the whole with its stages overlapping, start-up.

python -m benchmarks.predict --input demo --count 32 --json predict.json

All are timed in turns, so that other programs on the machine disturb them alike; the best of all
rounds counts. CPU time is the sum over all threads: no arrangement of the stages takes less time
than that over the number of cores.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from benchmarks.timing import machine, write_json
from models.decoder import BodyParameters, decode_in_photos
from predict.detectors.interface import Detection
from predict.folder import Background, FolderPredictor, leave_cores_to_other_stages
from predict.loading import SystemOptions, load_system
from predict.people import (
    Photo,
    attempt,
    find_people,
    observe_people,
    predict_photos,
    read_photo,
)
from predict.pictures import STANDARD_PICTURES, PictureKind, draw_photos
from predict.results import ResultWriter
from predict.tables import ResultTables
from predict.truth_errors import TruthComparer
from renderers.rasteriser import Rasteriser, render_silhouettes
from utils.command_line import parse_options, run_script
from utils.devices import choose_device
from utils.errors import InputError, Skipped
from utils.images import find_images
from utils.paths import DEFAULT_CHECKPOINT, DEMO, ROOT


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is measured."""

    input: Path = DEMO  # one image, or a folder of images
    count: int = 32  # photos; those of the input over and over
    checkpoint: Path = DEFAULT_CHECKPOINT
    silh_from: str = "mediapipe"
    device: str = "auto"
    batch_size: int = 8
    renderer: str = "auto"
    rounds: int = 3  # each times everything once; the best counts
    threads: int = 0  # of torch on the CPU; 0 chooses as run_predict.py does
    json: Path | None = None  # where the results are written too


class Times(NamedTuple):
    """How long a photo takes."""

    wall: float  # s
    cpu: float  # s, all threads


class OneByOne(Background):
    """No overlap: each item is made when it is asked for."""

    def ahead(self, items: Iterable, depth: int) -> Iterator:
        """The items themselves."""
        return iter(items)


class Stages:
    """The stages of predicting, each for all photos, and the whole.

    Args:
        options: what is measured.
        folder: for the results.
    """

    def __init__(self, options: BenchmarkOptions, folder: Path) -> None:
        """Loads everything, and runs each stage once to have input for the next."""
        self.device = choose_device(options.device)
        if not options.threads:
            leave_cores_to_other_stages()
        system = load_system(
            SystemOptions(
                options.checkpoint, silh_from=options.silh_from, batch_size=options.batch_size
            ),
            self.device,
        )
        self._detector, self._body_predictor, self._predictor, source = system
        self._tables = ResultTables(folder)
        self._tables.start(source, [], [], numbered=False)
        body, size = self._predictor.body_model, self._predictor.image_size
        self._rasteriser = Rasteriser(body.faces, body.face_parts, image_size=size)
        self._rasteriser.to(self.device)
        self._faces, self._renderer = body.faces.cpu().numpy(), options.renderer
        comparer = TruthComparer(body.faces, body.face_parts, size)
        self._writer = ResultWriter(folder, self._faces, None, False, comparer, source)

        found = [attempt(self._find, photo, "the detector") for photo in list_photos(options)]
        self._found = [photo for photo in found if not isinstance(photo, Skipped)]
        if not self._found:
            raise InputError(f"nobody found in {options.input}; choose other photos")
        self.photos = [replace(photo, image=None, people=()) for photo in self._found]
        people = [photo.people[0].detection for photo in self._found]
        starts = range(0, len(people), options.batch_size)
        self._batches = [people[start : start + options.batch_size] for start in starts]
        self._parameters = [self._regress(batch) for batch in self._batches]
        self._predicted = list(predict_photos(self._found, self._body_predictor))
        self._drawn = list(self._draw())

    def list_by_name(self) -> dict[str, Callable[[], object]]:
        """What to time."""
        return {
            "read": lambda: [read_photo(photo) for photo in self.photos],
            "detect": lambda: [self._detector.detect(photo.image) for photo in self._found],
            "network": lambda: [self._regress(batch) for batch in self._batches],
            "body": lambda: [self._pose(*parameters) for parameters in self._parameters],
            "draw": lambda: list(self._draw()),
            "write": lambda: [self._tables.add(self._writer.write(photo)) for photo in self._drawn],
            "one by one, no pictures": lambda: self._whole((), OneByOne()),
            "whole, no pictures": lambda: self._whole((), Background()),
            "one by one, pictures": lambda: self._whole(STANDARD_PICTURES, OneByOne()),
            "whole, pictures": lambda: self._whole(STANDARD_PICTURES, Background()),
        }

    def _find(self, photo: Photo) -> Photo:
        return find_people(read_photo(photo), self._detector, everyone=False, keep_image=True)

    @torch.inference_mode()
    def _regress(self, people: list[Detection]) -> tuple[BodyParameters, torch.Tensor]:
        size = self._predictor.image_size
        observation, crops, _ = observe_people(people, size, self.device)
        parameters = self._predictor.regressor(observation)
        parameters.cam_wp.cpu()  # waits for the device
        return parameters, crops

    @torch.inference_mode()
    def _pose(self, parameters: BodyParameters, crops: torch.Tensor) -> None:
        bodies = decode_in_photos(parameters, self._predictor.body_model, crops)
        render_silhouettes(bodies.vertices, bodies.cam_wp, self._rasteriser).cpu()

    def _draw(self) -> Iterator[Photo | Skipped]:
        return draw_photos(self._predicted, self._faces, self._renderer, STANDARD_PICTURES)

    def _whole(self, pictures: tuple[PictureKind, ...], background: Background) -> None:
        folder = FolderPredictor(
            self._detector, self._body_predictor, self._writer, False, pictures, self._renderer
        )
        with background:
            for result in folder.predict(self.photos, background):
                if isinstance(result, Skipped):
                    raise InputError(result.reason)
                self._tables.add(result)


def main() -> None:
    """Times everything and prints a table."""
    options = parse_options(BenchmarkOptions, __doc__)
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        stages = Stages(options, Path(folder))
        rounds: dict[str, list[Times]] = {name: [] for name in stages.list_by_name()}
        for _ in tqdm(range(options.rounds), unit="round", disable=None):
            for name, work in stages.list_by_name().items():
                rounds[name].append(measure_times(work, len(stages.photos)))
        seconds = time_start_up(options, Path(folder))
    best = {name: Times(*map(min, zip(*times, strict=True))) for name, times in rounds.items()}
    print(format_table(best, seconds))
    content = {
        **machine(stages.device),
        "cores": os.cpu_count(),
        "photos": len(stages.photos),
        "seconds_a_photo": {name: times._asdict() for name, times in best.items()},
        "seconds_after_start": seconds,
    }
    write_json(options.json, content)


def list_photos(options: BenchmarkOptions) -> list[Photo]:
    """`count` photos with different names."""
    paths = find_images(options.input)
    paths = [paths[index % len(paths)] for index in range(options.count)]
    return [Photo(path, f"{path.stem}_{index}") for index, path in enumerate(paths)]


def measure_times(work: Callable[[], object], photos: int) -> Times:
    """Times a call that handles so many photos."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Times((time.perf_counter() - wall) / photos, (time.process_time() - cpu) / photos)


def time_start_up(options: BenchmarkOptions, folder: Path) -> dict[str, float]:
    """Seconds from the start of run_predict.py to its first line."""
    program = [sys.executable, str(ROOT / "run_predict.py")]
    first = [
        "--input", str(find_images(options.input)[0]), "--output", str(folder), "--no-visuals",
        "--checkpoint", str(options.checkpoint), "--silh-from", options.silh_from,
        "--device", options.device,
    ]  # fmt: skip
    commands = {"--help": [*program, "--help"], "first result": program + first}
    return {
        name: min(time_first_line(command) for _ in range(options.rounds))
        for name, command in commands.items()
    }


def time_first_line(command: list[str]) -> float:
    """Seconds until a program has printed its first line."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        line = program.stdout.readline()
        seconds = time.perf_counter() - start
        program.stdout.read()
    if not line:
        raise InputError(f"{' '.join(command)} prints nothing; run it to see why")
    return seconds


def format_table(best: dict[str, Times], seconds: dict[str, float]) -> str:
    """The figures as text."""
    lines = [
        f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads",
        f"{'':25s}{'ms/photo':>10s}{'CPU ms':>10s}{'photos/s':>10s}",
    ]
    for name, times in best.items():
        lines.append(
            f"{name:25s}{1000 * times.wall:10.1f}{1000 * times.cpu:10.1f}{1 / times.wall:10.1f}"
        )
    lines += [f"{name:25s}{value:10.2f} s after the start" for name, value in seconds.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_script(main))
