"""Measures how good a checkpoint is, on people whose shape and pose are known.

    python run_evaluate.py
    python run_evaluate.py --dataset strangers
    python run_evaluate.py --dataset ssp3d --path path/to/ssp_3d
    python run_evaluate.py --dataset 3dpw --path data/3dpw --silh_from mediapipe
    python run_evaluate.py --checkpoint old.tar new.tar

The open benchmark (default) and the strangers, people whom betas cannot represent, need no
download: they are rendered the first time, which takes a while, and kept. Each source of proxies
(perfect, corrupted, the dataset's own, each detector) is a column of the table that is printed; of
several checkpoints, each has its own columns. Into the output folder go
    summary.md      that table: means with 95 % bootstrap intervals
    summary.json    the same and more, for programs
    per_frame.csv   every metric of every person
    worst_*.png     the worst cases of each source

Exit status: 0 done, 2 wrong use, 130 stopped.
"""

import sys

from utils.signals import end_on_signals

if __name__ == "__main__":
    end_on_signals()  # before the imports that take time

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scenes.picture_options import PictureOptions
from utils.command_line import parse_options, run_script
from utils.conventions import Cut, Mirror, ProxyRule
from utils.errors import InputError
from utils.files import check_writable
from utils.paths import ADDITIONAL, CHECKPOINTS, DEFAULT_CHECKPOINT, OUTPUT

if TYPE_CHECKING:
    import torch

    from data.frames import Frame
    from evaluate.true_people import TrueBodies
    from models.checkpoints import Predictor


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of run_evaluate.py."""

    dataset: Literal["open", "strangers", "ssp3d", "3dpw"] = "open"
    # the dataset's folder; None: data/open_benchmark or data/rendered_strangers, made if need be
    path: Path | None = None
    checkpoint: tuple[Path, ...] = (DEFAULT_CHECKPOINT,)  # weights of the regressor; or of several
    rounds: int | None = None  # of feedback, where networks have any; None: what validated best
    refine: bool = True  # estimates by a fit, where joints are nearly exact; see models/README.md
    # who looks at mirror images as well, so that two looks are averaged: nobody, a feedback
    # network, or the detector too, which takes as long again
    mirror: Mirror = "network"
    # input as the network had it in training: "own", or "published" as in the released code; None:
    # what each checkpoint says
    proxy: ProxyRule | None = None
    # "dataset" (its own silhouettes and joints) and names of detectors; none given: for open all
    # that there are, else "dataset"
    silh_from: tuple[str, ...] = ()
    detector_weights: Path = CHECKPOINTS  # folder with the weights of detectors that need some
    output: Path = OUTPUT / "evaluation"  # folder for the results, made if need be
    device: str = "auto"  # auto (CUDA if there is one), cpu, cuda or cuda:1 ...
    gpu: int | None = None  # the same as --device cuda:N
    batch_size: int = 8  # photos at a time
    # photos end at the knees, the hips or the chest of people who are rendered here; None: whole
    cut: Cut | None = None
    count: int = 300  # people of the open benchmark, 1000 at most; of the strangers, 200 at most
    workers: int = 1  # processes that render people
    worst: int = 8  # people in each picture of the worst cases; 0 for no pictures
    worst_by: str = ""  # their metric, as in per_frame.csv; none given: pve_pa, else mpjpe_pa
    seed: int = 0  # of the bootstrap


def main() -> None:
    """Evaluates as the command line says."""
    run(parse_options(EvaluateOptions, __doc__))


def run(
    options: EvaluateOptions,
    additional: Path = ADDITIONAL,
    picture: PictureOptions = PictureOptions(),
) -> dict[str, Any]:
    """Evaluates checkpoints on the same people, writes the results and prints the table.

    Args:
        options: what to evaluate on what.
        additional: folder with the body-model files.
        picture: how the people of the open benchmark are rendered.

    Returns:
        What summary.json holds.

    Raises:
        InputError: something is missing or does not fit together.
    """
    # Imported here so that --help and mistakes in the options are answered at once.
    from evaluate.evaluator import Evaluator, load_predictors
    from evaluate.report import describe_checkpoints, summarise, write_results
    from evaluate.sources import evaluate_all, list_missing
    from evaluate.worst_cases import write_worst_cases
    from utils.devices import choose_device, name_device

    check_options(options)
    dataset, device = options.dataset, choose_device(name_device(options.device, options.gpu))
    chosen = {name: getattr(options, name) for name in ("rounds", "refine", "proxy")}
    chosen["mirror"] = options.mirror != "none"
    predictors = load_predictors(options.checkpoint, dataset, device, additional, **chosen)
    detectors = build_all_detectors(options, predictors, device)
    frames, truth = load_people(options, additional, picture, device)
    evaluators = {name: Evaluator(each, truth, device) for name, each in predictors.items()}
    sources, results, seconds = evaluate_all(
        evaluators, detectors, frames, dataset, options.batch_size
    )
    bmis = truth.compute_bmis(frames)
    summary = {
        **{"dataset": dataset, "cut": options.cut},
        **describe_checkpoints(options.checkpoint, predictors),
        "seconds": seconds,
        "detectors_missing": list_missing(detectors.values()),
        **summarise(results, bmis, options.seed),
    }
    write_results(options.output, summary, results, bmis)
    write_worst_cases(options.output, sources, results, frames, options.worst_by, options.worst)
    print(f"results are in {options.output}")
    return summary


def build_all_detectors(
    options: EvaluateOptions, predictors: "dict[str, Predictor]", device: "torch.device"
) -> dict[ProxyRule, Any]:
    """Detectors by name, for the input that each of the networks wants."""
    from evaluate.sources import build_detectors
    from predict.detectors.rules import choose_rules

    weights = options.detector_weights
    return {
        proxy: build_detectors(
            options.silh_from, options.dataset, device, weights, choose_rules(proxy, options.mirror)
        )
        for proxy in sorted({predictor.proxy_rule for predictor in predictors.values()})
    }


def load_people(
    options: EvaluateOptions, additional: Path, picture: PictureOptions, device: "torch.device"
) -> "tuple[list[Frame], TrueBodies]":
    """The dataset and its true bodies, checked; people of the open benchmark may be made."""
    # Imported here for the reason that `run` gives.
    from evaluate.datasets import RENDERED, check_own_proxies, load_frames, load_true_bodies
    from evaluate.half_bodies import cut_frames
    from evaluate.open_benchmark import BenchmarkOptions
    from evaluate.sources import DATASET
    from evaluate.true_people import TrueBodies

    people = BenchmarkOptions(options.count, picture=picture)
    frames = load_frames(options.dataset, options.path, people, options.workers)
    if options.dataset not in RENDERED and DATASET in (options.silh_from or (DATASET,)):
        check_own_proxies(options.path, frames[0])
    truth = TrueBodies(load_true_bodies(options.dataset, frames, additional), device)
    return frames if options.cut is None else cut_frames(frames, options.cut, truth), truth


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
    if options.path is None and options.dataset in ("ssp3d", "3dpw"):
        raise InputError(f"--dataset {options.dataset} needs --path, the folder of the dataset")
    check_writable(options.output)


if __name__ == "__main__":
    sys.exit(run_script(main))
