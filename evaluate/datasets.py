"""The datasets of an evaluation: their frames, and the bodies that their truth is given for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from data.frames import Frame
from data.ssp3d import load_ssp3d
from data.strangers import read_strangers
from data.threedpw import load_threedpw
from data.truth import read_truth, truth_path
from evaluate.open_benchmark import BenchmarkOptions, build_benchmark, count_missing
from models.body_model import BodyModel
from scenes.random_people import neutral_body
from utils.errors import InputError
from utils.paths import DATA, STRANGERS
from utils.readers import check_body_hash

OPEN_BENCHMARK = DATA / "open_benchmark"
RENDERED_STRANGERS = DATA / "rendered_strangers"
RENDERED = ("open", "strangers")  # datasets that are made here, of open bodies


def load_frames(
    dataset: str, path: Path | None, people: BenchmarkOptions, workers: int
) -> list[Frame]:
    """A dataset, every file of it checked.

    Args:
        dataset: open, strangers, ssp3d or 3dpw.
        path: of its folder; None, for those that are rendered here, is where they are kept.
        people: of those that are rendered here; who is not there yet is made.
        workers: processes that render.

    Raises:
        InputError: a file is missing, or is not as it should be.
    """
    if dataset == "open":
        return _load_rendered(path or OPEN_BENCHMARK, people, workers)
    if dataset == "strangers":
        return _load_strangers(path or RENDERED_STRANGERS, people, workers)
    if not path.is_dir():
        raise InputError(f"no folder {path}; data/README.md says what it should hold")
    return {"ssp3d": load_ssp3d, "3dpw": load_threedpw}[dataset](path)


def _load_strangers(folder: Path, people: BenchmarkOptions, workers: int) -> list[Frame]:
    genders = read_strangers().genders
    people = replace(people, strangers=STRANGERS, count=min(people.count, len(genders)))
    frames = _load_rendered(folder, people, workers)
    return [replace(each, gender=g) for each, g in zip(frames, genders[: len(frames)], strict=True)]


def _load_rendered(folder: Path, people: BenchmarkOptions, workers: int) -> list[Frame]:
    missing = count_missing(folder, people)
    if missing:
        print(f"rendering {missing} people into {folder}; they are kept for the next time")
    with tqdm(total=missing, unit="person", disable=None if missing else True) as progress:
        photos = build_benchmark(folder, people, workers, progress.update)
    return [_load_open_frame(photo) for photo in photos]


def _load_open_frame(photo: Path) -> Frame:
    path = truth_path(photo)
    truth, needed = read_truth(path), neutral_body().identity["hash"]
    advice = f"delete {photo.parent} to have it made again"
    check_body_hash(path, "holds the truth", truth.body_hash, needed, advice)
    numbers = {name: getattr(truth, name).numpy() for name in ("betas", "pose", "cam_t", "cam_k")}
    offsets = None if truth.offsets is None else truth.offsets.numpy()
    return Frame(photo.name, photo.name, photo, truth.gender, **numbers, offsets=offsets)


def check_own_proxies(path: Path, frame: Frame) -> None:
    """Raises InputError when the dataset at `path` has no silhouettes and joints of its own."""
    bare = frame.silhouette is None and frame.cam_k is None
    if bare or frame.joints2d_px is None:
        raise InputError(
            f"{path} has no joints2d, cam_t and cam_k of its own for --silh_from dataset; "
            "make it with tools/prepare_3dpw.py, or name a detector"
        )


def load_true_bodies(
    dataset: str, frames: Sequence[Frame], additional: Path
) -> dict[str, BodyModel]:
    """The bodies that the frames' truth is given for, by gender.

    Args:
        dataset: open, strangers, ssp3d or 3dpw.
        frames: of the dataset.
        additional: folder with the body-model files.

    Raises:
        InputError: one of the bodies is not there.
    """
    genders = sorted({frame.gender for frame in frames})
    if dataset in RENDERED:
        return dict.fromkeys(genders, neutral_body())
    try:
        return {gender: BodyModel.load("smpl", gender, additional) for gender in genders}
    except InputError as error:
        raise InputError(
            f"--dataset {dataset} is labelled with {' and '.join(genders)} SMPL bodies: {error}"
        ) from error
