"""What is estimated of everybody in every frame of a clip, kept on disk while a run is under way.

A row for each person in each frame: some hundred numbers, no pictures. Every `CHUNK` frames the
rows are written into a folder, so that a run that was stopped goes on where it was.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from predict.tracks import Sights
from utils.conventions import NUM_BETAS
from utils.errors import InputError
from utils.files import check_writable, write_npz, write_whole
from utils.readers import read_npz

CHUNK = 100  # frames
FOLDER_ENDING = "_unfinished"
_KEY_FILE = "run.json"
_BETAS = "betas"
_SHAPES: dict[str, tuple[int, ...]] = {
    "frame": (),
    "rank": (),
    "box": (4,),
    "joints2d_px": (17, 2),
    "joint_confidence": (17,),
    "colours": (9,),
    "silhouette_iou": (),
    "pose_rotmats": (24, 3, 3),
    _BETAS: (NUM_BETAS,),  # or more
    "cam_photo": (3,),
}


@dataclass(frozen=True)
class Estimates:
    """Everybody in F frames.

    Attributes:
        times: (F,) seconds.
        failures: (F,) str, why the frame could not be searched; empty where it could.
        rows: arrays (P, ...) by name, see `_SHAPES`; `frame` grows.
    """

    times: np.ndarray
    failures: np.ndarray
    rows: dict[str, np.ndarray]

    @classmethod
    def of_people(
        cls, times: list[float], failures: list[str], people: list[dict[str, np.ndarray]]
    ) -> "Estimates":
        """From the rows of people one by one."""
        shapes = _SHAPES | {_BETAS: people[0][_BETAS].shape} if people else _SHAPES
        rows = {
            name: np.array([person[name] for person in people], np.float32).reshape(-1, *shape)
            for name, shape in shapes.items()
        }
        for name in ("frame", "rank"):
            rows[name] = np.array([person[name] for person in people], np.int64)
        return cls(np.array(times, float), np.array(failures, str), rows)

    @classmethod
    def join(cls, parts: list["Estimates"]) -> "Estimates":
        """One after the other."""
        parts = parts or [cls.of_people([], [], [])]
        # Parts without people do not know how many betas there are.
        rows = [part.rows for part in parts if len(part.rows["frame"])] or [parts[0].rows]
        return cls(
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.failures for part in parts]),
            {name: np.concatenate([each[name] for each in rows]) for name in _SHAPES},
        )

    @property
    def sights(self) -> Sights:
        """What people are followed by."""
        return Sights(*(self.rows[name] for name in Sights._fields))


class EstimateFolder:
    """Where estimates of a clip are kept until its results are written.

    Args:
        path: of the folder.
        key: what the estimates depend on; with another one they are made anew.
        go_on: whether to use what a stopped run left.

    Raises:
        InputError: the folder cannot be made.
    """

    def __init__(self, path: Path, key: dict[str, Any], go_on: bool) -> None:
        self.path = path
        written = json.dumps(key, sort_keys=True).encode()
        same = False
        if go_on:
            try:
                same = (path / _KEY_FILE).read_bytes() == written
            except OSError:  # there is none
                same = False
        if not same:
            self.remove()
        check_writable(path)
        if not same:
            write_whole(path / _KEY_FILE, written)

    def read(self) -> list[Estimates]:
        """The chunks that are there, from the first one without a gap."""
        chunks: list[Estimates] = []
        while self._chunk(len(chunks)).is_file():
            try:
                chunk = _read_chunk(self._chunk(len(chunks)))
            except InputError:  # damaged: from here on anew
                break
            chunks.append(chunk)
        return chunks

    def add(self, number: int, chunk: Estimates) -> None:
        """Writes a chunk; raises InputError where it cannot be written."""
        arrays = {"times": chunk.times, "failures": chunk.failures, **chunk.rows}
        write_npz(self._chunk(number), arrays, compress=False)

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _chunk(self, number: int) -> Path:
        return self.path / f"estimates_{number:06d}.npz"


def _read_chunk(path: Path) -> Estimates:
    arrays = read_npz(path, ["times", "failures", *_SHAPES])
    count = len(arrays["frame"])
    betas = arrays[_BETAS].shape[1:]
    shapes = _SHAPES | {_BETAS: betas} if betas > _SHAPES[_BETAS] else _SHAPES
    for name, shape in shapes.items():
        if arrays[name].shape != (count, *shape):
            raise InputError(f"{path}: {name} has shape {arrays[name].shape}")
    rows = {name: arrays[name] for name in _SHAPES}
    return Estimates(arrays["times"], arrays["failures"], rows)
