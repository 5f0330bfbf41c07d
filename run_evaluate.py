"""Measures how good a checkpoint is, on people whose shape and pose are known.

    python run_evaluate.py
    python run_evaluate.py --dataset ssp3d --path path/to/ssp_3d
    python run_evaluate.py --dataset 3dpw --path data/3dpw --silh_from mediapipe
    python run_evaluate.py --checkpoint old.tar new.tar

The open benchmark (default) needs no download: its people are rendered the first time, which takes
a while, and kept. Each source of proxies (perfect, corrupted, the dataset's own, each detector) is
a column of the table that is printed; of several checkpoints, each has its own columns. Into the
output folder go
    summary.md      that table: means with 95 % bootstrap intervals
    summary.json    the same and more, for programs
    per_frame.csv   every metric of every person
    worst_*.png     the worst cases of each source

Exit status: 0 done, 2 wrong use, 130 stopped.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.files import check_writable
from utils.paths import ADDITIONAL, CHECKPOINTS, DATA, DEFAULT_CHECKPOINT, OUTPUT

if TYPE_CHECKING:
    from data.frames import Frame
    from evaluate.evaluator import Evaluator
    from evaluate.report import Results
    from evaluate.sources import PhotoSource, ProxySource
    from models.checkpoints import Predictor

    Sources = dict[str, PhotoSource | ProxySource]

OPEN_BENCHMARK = DATA / "open_benchmark"
DATASET = "dataset"  # the source that is the dataset's own silhouettes and joints
MEAN = "mean pose and shape"
CORRUPTION_SEED = 0


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of run_evaluate.py."""

    dataset: Literal["open", "ssp3d", "3dpw"] = "open"
    path: Path | None = None  # the dataset's folder; None: data/open_benchmark, made if need be
    checkpoint: tuple[Path, ...] = (DEFAULT_CHECKPOINT,)  # weights of the regressor; or of several
    rounds: int | None = None  # of feedback, where networks have any; None: what validated best
    refine: bool = False  # estimates by a fit, where joints are exact; see models/README.md
    # "dataset" (its own silhouettes and joints) and names of detectors; none given: for open all
    # that there are, else "dataset"
    silh_from: tuple[str, ...] = ()
    detector_weights: Path = CHECKPOINTS  # folder with the weights of detectors that need some
    output: Path = OUTPUT / "evaluation"  # folder for the results, made if need be
    device: str = "auto"  # auto (CUDA if there is one), cpu, cuda or cuda:1 ...
    batch_size: int = 8  # photos at a time
    count: int = 300  # people of the open benchmark, 1000 at most
    workers: int = 1  # processes that render the open benchmark
    worst: int = 8  # people in each picture of the worst cases; 0 for no pictures
    worst_by: str = ""  # their metric, as in per_frame.csv; none given: pve_pa, else mpjpe_pa
    seed: int = 0  # of the bootstrap


def main() -> None:
    """Evaluates as the command line says."""
    evaluate(parse_options(EvaluateOptions, __doc__))


def evaluate(options: EvaluateOptions, additional: Path = ADDITIONAL) -> dict[str, Any]:
    """Evaluates checkpoints on the same people, writes the results and prints the table.

    Args:
        options: what to evaluate on what.
        additional: folder with the body-model files.

    Returns:
        What summary.json holds.

    Raises:
        InputError: something is missing or does not fit together.
    """
    # Imported here so that --help and mistakes in the options are answered at once.
    from evaluate.evaluator import Evaluator
    from evaluate.report import summarise
    from evaluate.true_people import Truth
    from utils.devices import choose_device

    check_options(options)
    device = choose_device(options.device)
    predictors = load_predictors(options, device, additional)
    detectors = build_detectors(options, device)
    frames = load_frames(options)
    check_own_proxies(options, detectors, frames)
    truth = Truth(true_bodies(options, frames, additional), device)
    evaluators = {name: Evaluator(each, truth, device) for name, each in predictors.items()}
    sources: dict[str, Sources] = {}
    results, seconds = {}, {}
    for name, evaluator in evaluators.items():
        if not evaluator.same_mesh:
            print(f"{name}'s body has another mesh than the truth's: joints alone are compared.")
        prefix = f"{name}, " if len(evaluators) > 1 else ""
        sources[name] = build_sources(options, evaluator, detectors, frames, prefix)
        found, took = run_sources(options, evaluator, sources[name], frames, prefix)
        results.update(found)
        seconds.update(took)
    bmis = truth.bmis(frames)
    summary = {
        "dataset": options.dataset,
        **describe_checkpoints(options, predictors),
        "seconds": seconds,
        "detectors_missing": {k: v for k, v in detectors.items() if isinstance(v, str)},
        **summarise(results, bmis, options.seed),
    }
    write_results(options, summary, results, bmis)
    for name, evaluator in evaluators.items():
        draw_worst_cases(options, evaluator, sources[name], results, frames)
    print(f"results are in {options.output}")
    return summary


def check_options(options: EvaluateOptions) -> None:
    """Raises InputError for values that no run can use; makes the output folder."""
    from evaluate.report import METRICS

    for name, least in (("batch_size", 1), ("count", 1), ("workers", 1), ("worst", 0)):
        if getattr(options, name) < least:
            raise InputError(
                f"--{name.replace('_', '-')} is {getattr(options, name)}; expected {least} or more"
            )
    if options.worst_by not in ("", *METRICS):
        raise InputError(f"--worst-by {options.worst_by}: expected one of {', '.join(METRICS)}")
    names = [path.stem for path in options.checkpoint]
    if not names:
        raise InputError("--checkpoint names no file; expected one or more")
    if len(set(names)) < len(names):
        raise InputError(
            f"--checkpoint names several files {max(names, key=names.count)}; columns are told "
            "apart by these names, so give each file its own"
        )
    if options.path is None and options.dataset != "open":
        raise InputError(f"--dataset {options.dataset} needs --path, the folder of the dataset")
    check_writable(options.output)


def load_predictors(
    options: EvaluateOptions, device: Any, additional: Path
) -> dict[str, "Predictor"]:
    """The checkpoints by the names of their files.

    Raises:
        InputError: a checkpoint cannot be read, or nothing could be compared.
    """
    from models.checkpoints import load_predictor

    predictors: dict[str, Predictor] = {}
    for path in options.checkpoint:
        predictor = load_predictor(
            path, device, additional=additional, rounds=options.rounds, refine=options.refine
        )
        body = predictor.body_model.identity["name"]
        if options.dataset == "open" and body != "open":
            raise InputError(
                f"{path} is for the body {body}, but the open benchmark shows open bodies; "
                "use --dataset ssp3d or 3dpw"
            )
        predictors[path.stem] = predictor
    return predictors


def describe_checkpoints(
    options: EvaluateOptions, predictors: dict[str, "Predictor"]
) -> dict[str, Any]:
    """What was evaluated, for summary.json; several checkpoints are told apart by their names."""
    described = {
        name: {
            "checkpoint": str(path),
            "epoch": predictor.epoch,
            "body": predictor.body_model.identity,
            "image_size": predictor.image_size,
        }
        for path, (name, predictor) in zip(options.checkpoint, predictors.items(), strict=True)
    }
    if len(described) == 1:
        (only,) = described.values()
        return only
    return {"checkpoints": described}


def build_detectors(options: EvaluateOptions, device: Any) -> dict[str, Any]:
    """Detectors by name; None is the dataset's own, a string says why there is none."""
    from predict.detectors.registry import available_detectors, build_detector

    if options.silh_from:
        return {
            name: (
                None if name == DATASET else build_detector(name, device, options.detector_weights)
            )
            for name in options.silh_from
        }
    if options.dataset != "open":
        return {DATASET: None}
    detectors = {DATASET: None, **available_detectors(device, options.detector_weights)}
    left_out: dict[str, list[str]] = {}  # detectors by the reason why they cannot be had
    for name, detector in detectors.items():
        if isinstance(detector, str):
            left_out.setdefault(detector, []).append(name)
    for reason, names in left_out.items():
        print(f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} left out: {reason}")
    return detectors


def load_frames(options: EvaluateOptions) -> list["Frame"]:
    """The dataset, every file of it checked."""
    if options.dataset == "open":
        return make_open_benchmark(options)
    from data.ssp3d import load_ssp3d
    from data.threedpw import load_threedpw

    if not options.path.is_dir():
        raise InputError(f"no folder {options.path}; data/README.md says what it should hold")
    return {"ssp3d": load_ssp3d, "3dpw": load_threedpw}[options.dataset](options.path)


def make_open_benchmark(options: EvaluateOptions) -> list["Frame"]:
    """Renders the people that are not there yet."""
    from tqdm import tqdm

    from data.truth import truth_path
    from evaluate.open_benchmark import BenchmarkOptions, build_benchmark, missing_people
    from evaluate.sources import open_frames
    from models.body_model import BodyModel

    folder, people = options.path or OPEN_BENCHMARK, BenchmarkOptions(options.count)
    missing = missing_people(folder, people)
    if missing:
        print(f"rendering {missing} people into {folder}; they are kept for the next time")
    with tqdm(total=missing, unit="person", disable=None if missing else True) as progress:
        photos = build_benchmark(folder, people, options.workers, progress.update)
    return open_frames(photos, truth_path, BodyModel.load().identity["hash"])


def check_own_proxies(
    options: EvaluateOptions, detectors: dict[str, Any], frames: list["Frame"]
) -> None:
    """Raises InputError when the dataset's own silhouettes and joints are wanted but not there."""
    bare = frames[0].silhouette is None and frames[0].cam_k is None
    if (
        DATASET in detectors
        and (bare or frames[0].joints2d_px is None)
        and options.dataset != "open"
    ):
        raise InputError(
            f"{options.path} has no joints2d, cam_t and cam_k of its own for --silh_from dataset; "
            "make it with tools/prepare_3dpw.py, or name a detector"
        )


def true_bodies(
    options: EvaluateOptions, frames: list["Frame"], additional: Path
) -> dict[str, Any]:
    """The bodies that the truth is given for, by gender."""
    from models.body_model import BodyModel

    name = "open" if options.dataset == "open" else "smpl"
    genders = sorted({frame.gender for frame in frames})
    try:
        return {gender: BodyModel.load(name, gender, additional) for gender in genders}
    except InputError as error:
        raise InputError(
            f"--dataset {options.dataset} is labelled with {' and '.join(genders)} SMPL bodies: "
            f"{error}"
        ) from error


def build_sources(
    options: EvaluateOptions,
    evaluator: "Evaluator",
    detectors: dict[str, Any],
    frames: list["Frame"],
    prefix: str,
) -> "Sources":
    """What the columns of the table are made from; a prefix tells the checkpoint."""
    from evaluate.sources import PhotoSource, ProxySource
    from synthesis.options import AugmentationOptions

    sources: Sources = {}
    for name, detector in detectors.items():
        if name == DATASET and options.dataset == "open":
            for kind, augmentation in (("perfect", None), ("corrupted", AugmentationOptions())):
                pictures = open_pictures(evaluator, frames, augmentation)
                sources[f"{prefix}{kind} proxies"] = ProxySource(evaluator, pictures)
        elif not isinstance(detector, str):
            sources[prefix + name] = PhotoSource(evaluator, detector)
    return sources


def open_pictures(evaluator: "Evaluator", frames: list["Frame"], augmentation: Any) -> Callable:
    """Starts the open benchmark's proxies, with targets of the same view at the reference size."""
    import numpy as np
    import torch

    from evaluate.open_benchmark import synthesised_people
    from utils.proxy import REFERENCE_SIZE

    poses, betas = (
        torch.from_numpy(np.stack([getattr(frame, name) for frame in frames]))
        for name in ("pose", "betas")
    )

    def pictures() -> Any:
        sizes = (evaluator.predictor.image_size, REFERENCE_SIZE)
        seen, true = (
            synthesised_people(poses, betas, size, augmentation, CORRUPTION_SEED) for size in sizes
        )
        return ((one.observation, other.target) for one, other in zip(seen, true, strict=True))

    return pictures


def run_sources(
    options: EvaluateOptions,
    evaluator: "Evaluator",
    sources: "Sources",
    frames: list["Frame"],
    prefix: str,
) -> tuple["Results", dict[str, float]]:
    """Outcomes and seconds by source, that of the mean body last."""
    from tqdm import tqdm

    results, seconds = {}, {}
    for name, source in sources.items():
        started = time.perf_counter()
        with tqdm(total=len(frames), desc=name, unit="person", disable=None) as progress:
            results[name] = source.evaluate(frames, options.batch_size, progress.update)
        seconds[name] = round(time.perf_counter() - started, 2)
    results[prefix + MEAN] = evaluator.evaluate_mean(frames, options.batch_size)
    return results, seconds


def write_results(
    options: EvaluateOptions, summary: dict[str, Any], results: "Results", bmis: list[float]
) -> None:
    """Writes summary.json, summary.md and per_frame.csv, and prints the table."""
    from evaluate.report import tables_of, write_frames

    tables = tables_of(summary)
    (options.output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    (options.output / "summary.md").write_text(tables + "\n")
    write_frames(options.output / "per_frame.csv", results, bmis)
    print(tables)


def draw_worst_cases(
    options: EvaluateOptions,
    evaluator: "Evaluator",
    sources: "Sources",
    results: "Results",
    frames: list["Frame"],
) -> None:
    """Writes a picture of each source's worst cases."""
    from evaluate.report import worst_rows
    from evaluate.worst_cases import WorstCaseDrawer
    from utils.images import write_image

    metric = options.worst_by or ("pve_pa" if evaluator.same_mesh else "mpjpe_pa")
    drawer = WorstCaseDrawer(evaluator)
    for name, source in sources.items():
        rows = worst_rows(results[name], metric, options.worst)
        if rows:
            prediction, photos = source.predict(frames, rows)
            outcomes = [results[name][row] for row in rows]
            picture = drawer.sheet(outcomes, prediction, photos)
            file = f"worst_{name.replace(', ', '_').replace(' ', '_')}.png"
            write_image(options.output / file, picture)


if __name__ == "__main__":
    sys.exit(run_script(main))
