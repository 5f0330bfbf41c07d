"""Trains the regressor on synthetic people.

Edit the options below, then run `python run_train.py`. Every option can also be given on the
command line, for example `--training.batch-size 64`; `--help` lists them all. On several GPUs:
`torchrun --nproc_per_node=4 run_train.py`; the batch is shared among them.
"""

import sys
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import torch
from tqdm import tqdm
from tyro.conf import arg

from data.pose_dataset import load_poses
from losses.multi_task import LossOptions, MultiTaskLoss
from models.body_model import BodyModel, MeanParameters, read_mean_parameters
from models.checkpoints import (
    check_same_body,
    load_regressor,
    read_checkpoint,
    read_network_options,
)
from models.networks import (
    Network,
    NetworkOptions,
    build_network,
    describe_network,
    parse_network_options,
)
from synthesis.body import draw_betas
from synthesis.detector_errors import read_detector_errors
from synthesis.observed_people import ObservedPairs, read_observed_people
from synthesis.options import AugmentationOptions
from synthesis.synthesiser import CameraOptions, Synthesiser
from train.checkpoints import LAST, resume, save_epoch
from train.logging import RunLog
from train.run_options import check_ranges, differing_options, storable
from train.trainer import SELECTION_METRICS, Trainer, TrainingOptions, epoch_length
from utils.command_line import parse_options, run_script
from utils.devices import choose_device
from utils.errors import InputError
from utils.files import check_writable
from utils.paths import DETECTOR_ERRORS, EXPERIMENTS, OPEN_POSES_TRAIN, OPEN_POSES_VAL
from utils.processes import ALONE, Ranks, joined_ranks

DRY_RUN_STEPS = 20
DRY_RUN_POSES = 64

# Asked for as in run_predict.py too: `--body`, `--gender`.
Body = Annotated[Literal["open", "smpl"], arg(aliases=["--body"])]
Gender = Annotated[Literal["neutral", "male", "female"], arg(aliases=["--gender"])]


@dataclass(frozen=True)
class DataOptions:
    """Where poses come from, people that a detector saw, and how large the pictures are."""

    train_poses: tuple[Path, ...] = (OPEN_POSES_TRAIN,)  # npz files, concatenated
    val_poses: tuple[Path, ...] = (OPEN_POSES_VAL,)
    val_shapes: Literal["drawn", "file"] = "drawn"  # drawn as in training (once), or the npz's own
    observed_people: tuple[Path, ...] = ()  # npz files of tools/observe_people.py to train on too
    observed_share: float = 0.4  # of each batch that is taken from them, if there are any
    image_size: int = 256  # side of the network's input, pixels
    renderer: Literal["own", "nmr"] = "own"  # nmr: neural_renderer, if you have it; same rules


@dataclass(frozen=True)
class ModelOptions(NetworkOptions):
    """The body and the network; which networks there are is said in models/networks.py."""

    body: Body = "open"  # open is shipped; smpl takes your licensed files
    gender: Gender = "neutral"  # of the body, and so of everybody trained on
    init_from: Path | None = None  # checkpoint whose weights training starts from


@dataclass(frozen=True)
class Options:
    """Everything that can be chosen about a training run.

    Each group's class lists its fields, with units and the published values as defaults. Edit here
    like this: `augmentation: AugmentationOptions = AugmentationOptions(betas_std=1.0)`.
    """

    data: DataOptions = DataOptions()
    model: ModelOptions = ModelOptions()
    camera: CameraOptions = CameraOptions()
    augmentation: AugmentationOptions = AugmentationOptions()
    loss: LossOptions = LossOptions()
    training: TrainingOptions = TrainingOptions()
    output: Path = EXPERIMENTS / "straps"  # folder for checkpoints, metrics.csv, TensorBoard logs
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    resume: bool = False  # go on from the last checkpoint in the output folder
    dry_run: bool = (
        False  # train 20 steps on 64 samples, say what a real run would do, keep nothing
    )
    threads: int = 0  # of the CPU; 0 takes all cores


def main() -> None:
    """Reads the options and trains, alone or as one of the processes that torchrun started."""
    options = parse_options(Options, __doc__)
    check_ranges(options)
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    device = choose_device(Ranks.from_environment().device_name(options.device))
    with joined_ranks(device) as ranks:
        train(options, device, ranks)


def train(options: Options, device: torch.device, ranks: Ranks) -> None:
    """Trains, validates and saves, epoch by epoch."""
    torch.manual_seed(options.training.seed)
    trainer = build_trainer(options, device, ranks)
    train_poses = load_poses(options.data.train_poses)
    val_poses, val_betas = load_validation(options)
    describe(options, trainer, len(train_poses), len(val_poses))
    poses = torch.from_numpy(train_poses.poses).to(device)
    if options.dry_run:
        dry_run(options, trainer, poses)
        return

    start_folder(options)
    if options.resume:
        changed = resume(trainer, storable(asdict(options)), options.output)
        say(ranks, f"resumed after epoch {trainer.epoch}")
        for line in changed:
            say(ranks, line)
    log = RunLog(options.output, trainer.epoch) if ranks.is_first else None
    bar = partial(tqdm, dynamic_ncols=True, disable=not ranks.is_first)
    for epoch in range(trainer.epoch + 1, options.training.epochs + 1):
        training_bar = partial(bar, desc=f"epoch {epoch}/{options.training.epochs}")
        train_metrics = trainer.train_epoch(poses, options.augmentation, training_bar)
        val_bar = partial(bar, desc="validation", leave=False)
        val_metrics, sample = trainer.validate(val_poses.to(device), val_betas.to(device), val_bar)
        row = trainer.finish_epoch(train_metrics, val_metrics)
        if ranks.is_first:
            save_epoch(trainer, storable(asdict(options)), options.output)
            log.write_epoch(trainer.history, sample)
        say(ranks, summary(row, trainer.best_epoch))
    if ranks.is_first:
        log.close()
    say(ranks, f"done; the best epoch was {trainer.best_epoch}; see {options.output}")


def load_validation(options: Options) -> tuple[torch.Tensor, torch.Tensor]:
    """Validation poses (N, 72) and the shapes (N, 10) that go with them."""
    data = load_poses(options.data.val_poses)
    poses, betas = torch.from_numpy(data.poses), torch.from_numpy(data.shapes)
    if options.data.val_shapes == "drawn":
        # Fixed numbers, whatever the seed of the run: runs can be compared.
        generator = torch.Generator().manual_seed(0)
        mean_betas = read_mean_parameters(options.model.body).betas
        betas = draw_betas(options.augmentation, mean_betas, len(poses), generator)
    return poses, betas


def build_trainer(options: Options, device: torch.device, ranks: Ranks = ALONE) -> Trainer:
    """Body model, network and loss, put together."""
    model = options.model
    body_model = BodyModel.load(model.body, model.gender)
    mean = read_mean_parameters(model.body)
    if model.init_from is None:
        regressor = build_network(model, mean, body_model)
    else:
        regressor = starting_regressor(model, body_model, mean)
    data = options.data
    if data.renderer == "nmr" and device.type != "cuda":
        raise InputError(
            f"--data.renderer nmr draws on CUDA alone, and this run is on {device}; "
            "choose --data.renderer own"
        )
    errors = None
    if options.augmentation.detector != "published":
        errors = read_detector_errors(DETECTOR_ERRORS)
    synthesiser = Synthesiser(
        body_model, mean.betas, data.image_size, options.camera, data.renderer, errors
    )
    try:
        criterion = MultiTaskLoss(options.loss, ranks.mean)
    except ValueError as error:
        raise InputError(str(error)) from error
    observed = load_observed(data, body_model)
    return Trainer(regressor, synthesiser, criterion, options.training, device, ranks, observed)


def load_observed(data: DataOptions, body_model: BodyModel) -> ObservedPairs | None:
    """People as a detector saw them, if the options name any."""
    if not data.observed_people:
        return None
    body_hash = body_model.identity["hash"]
    return read_observed_people(
        data.observed_people, data.image_size, body_hash, data.observed_share
    )


def starting_regressor(model: ModelOptions, body_model: BodyModel, mean: MeanParameters) -> Network:
    """The network of an earlier checkpoint, which must have been trained for the same body."""
    checkpoint = read_checkpoint(model.init_from)
    if "body" in checkpoint:
        check_same_body(checkpoint["body"], body_model, model.init_from)
    checkpoint.setdefault("mean_parameters", mean._asdict())
    found = read_network_options(checkpoint, model.init_from)
    wanted = parse_network_options(storable(asdict(model)))
    if found != wanted:
        raise InputError(
            f"{model.init_from} holds a {describe_network(found)}, but the options ask for a "
            f"{describe_network(wanted)}; give {' '.join(differing_options(found, wanted))}"
        )
    regressor = load_regressor(checkpoint, body_model, model.init_from)
    if model.regressor == "feedback":
        regressor.rounds = model.feedback.rounds
    return regressor


def start_folder(options: Options) -> None:
    """Makes the output folder; a finished run in it is never overwritten.

    Every process looks before the first one writes: none has trained yet, and they train together.
    """
    check_writable(options.output)
    if (options.output / LAST).exists() and not options.resume:
        raise InputError(
            f"{options.output} already holds a run; add --resume to go on with it, or choose "
            "another folder with --output"
        )


def describe(options: Options, trainer: Trainer, train_count: int, val_count: int) -> None:
    """Says what is about to happen."""
    training, identity = options.training, trainer.synthesiser.body_model.identity
    samples = epoch_length(training, train_count)
    observed = ""
    if trainer.observed is not None:
        share = trainer.observed.share
        observed = f" and {len(trainer.observed)} observed people for {share:.0%} of each batch"
    devices = f"{trainer.ranks.size} processes" if trainer.ranks.size > 1 else trainer.device
    say(
        trainer.ranks,
        f"{train_count} training and {val_count} validation poses{observed}; "
        f"body {identity['name']} ({identity['gender']}); {describe_network(options.model)} at "
        f"{options.data.image_size} x {options.data.image_size} on {devices}; "
        f"{training.epochs} epochs of {samples} samples in batches of {training.batch_size}; "
        f"output to {options.output}",
    )


def dry_run(options: Options, trainer: Trainer, poses: torch.Tensor) -> None:
    """Trains a little to show that everything works and how fast, and keeps nothing."""
    size = trainer.ranks.size
    few = poses[: max(DRY_RUN_POSES // size, 1) * size]  # a batch that the processes can share
    trainer.options = replace(options.training, batch_size=len(few), samples_per_epoch=0, epochs=1)
    quiet = partial(tqdm, disable=True)
    trainer.train_epoch(few, options.augmentation, quiet)  # the first step also compiles
    bar = partial(tqdm, desc="dry run", disable=not trainer.ranks.is_first)
    metrics = trainer.train_epoch(few.repeat(DRY_RUN_STEPS, 1), options.augmentation, bar)
    samples = epoch_length(options.training, len(poses))
    hours = samples * options.training.epochs / metrics["samples_per_second"] / 3600
    say(
        trainer.ranks,
        f"dry run: {DRY_RUN_STEPS} steps, loss {metrics['loss']:.4g}, "
        f"{metrics['samples_per_second']:.1f} samples/s; the whole run of "
        f"{options.training.epochs} epochs would take about {hours:.1f} hours; nothing was written",
    )


def say(ranks: Ranks, text: str) -> None:
    """Prints a line, once for all processes."""
    if ranks.is_first:
        print(text, flush=True)


def summary(row: dict[str, float], best_epoch: int) -> str:
    """One line on an epoch."""
    shown = ("pve_pa", "mpjpe_pa", "pve_t_sc", "silhouette_iou")
    values = ", ".join(f"{name} {row[f'val_{name}']:.4g}" for name in shown)
    star = f" (best by {' + '.join(SELECTION_METRICS)})" if best_epoch == row["epoch"] else ""
    return f"epoch {row['epoch']}: loss {row['train_loss']:.4g}; validation {values}{star}"


if __name__ == "__main__":
    sys.exit(run_script(main, "stopped; go on after the last whole epoch with --resume"))
