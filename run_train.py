"""Trains the regressor on synthetic people.

Edit the options below, then run `python run_train.py`. Every option can also be given on the
command line, for example `--training.batch-size 64`; `--help` lists them all. On several GPUs:
`torchrun --nproc_per_node=4 run_train.py`; the batch is shared among them.
"""

import sys

from utils.signals import end_on_signals

if __name__ == "__main__":
    end_on_signals()  # before the imports that take time

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from losses.options import LossOptions
from synthesis.options import AugmentationOptions, CameraOptions
from train.options import DataOptions, ModelOptions, TrainingOptions
from utils.command_line import find_given, parse_options, run_script
from utils.options import Count, check_ranges, storable
from utils.paths import EXPERIMENTS

if TYPE_CHECKING:
    import torch

    from train.trainer import Trainer
    from utils.processes import Ranks

DRY_RUN_STEPS = 20
DRY_RUN_POSES = 64


@dataclass(frozen=True)
class Options:
    """Everything that can be chosen about a training run.

    Each group's class lists its other fields, with units and the published values as defaults; any
    of them can be given here as well.
    """

    # Which defaults all other options have: those listed here, or, as far as they differ, those of
    # the released code (`PUBLISHED` below). What is given beside it wins.
    preset: Literal["own", "published"] = "own"
    data: DataOptions = DataOptions(
        image_size=256,  # side of the network's input, pixels
    )
    model: ModelOptions = ModelOptions(
        regressor="published",  # or "feedback", as the shipped checkpoint
    )
    camera: CameraOptions = CameraOptions()
    augmentation: AugmentationOptions = AugmentationOptions(
        betas_std=1.5,  # per component, around the mean shape
    )
    loss: LossOptions = LossOptions()
    training: TrainingOptions = TrainingOptions(
        epochs=100,
        batch_size=140,
        lr=1e-4,  # learning rate, after warm-up
    )
    output: Path = EXPERIMENTS / "straps"  # folder for checkpoints, metrics.csv, TensorBoard logs
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    gpu: int | None = None  # the same as --device cuda:N
    resume: bool = False  # go on from the last checkpoint in the output folder
    # train 20 steps on 64 samples, say what a real run would do, keep nothing
    dry_run: bool = False
    threads: Count = 0  # of the CPU; 0 takes all cores


# The released code's options where ours differ; README.md tells why they do.
PUBLISHED = Options(
    preset="published",
    data=DataOptions(image_size=256, val_shapes="file"),
    model=ModelOptions(regressor="published", proxy="published", body="smpl"),
    camera=CameraOptions(crop_border="stretch", crop_shift_in="frame"),
    augmentation=AugmentationOptions(remove_right_leg=0.05),
    training=TrainingOptions(select_rule="all", precision="fp32"),
)


def main() -> None:
    """Reads the options and trains, alone or as one of the processes that torchrun started."""
    options = read_options()
    # Imported here, as in the functions below, so that --help and mistakes in the options are
    # answered at once: torch takes seconds to load.
    import torch

    from utils.devices import choose_device, name_device
    from utils.processes import Ranks, joined_ranks

    if options.threads > 0:
        torch.set_num_threads(options.threads)
    name = name_device(options.device, options.gpu)
    device = choose_device(Ranks.from_environment().device_name(name))
    with joined_ranks(device) as ranks:
        train(options, device, ranks)


def read_options() -> Options:
    """The command line's options, on top of the preset that it names."""
    preset = PUBLISHED if find_given("--preset") == "published" else None
    options = parse_options(Options, __doc__, preset)
    check_ranges(options)
    return options


def train(options: Options, device: "torch.device", ranks: "Ranks") -> None:
    """Trains, validates and saves, epoch by epoch."""
    import torch
    from tqdm import tqdm

    from models.body_model import read_mean_parameters
    from train.build import load_training, load_validation
    from train.checkpoints import resume, save_epoch, start_folder
    from train.logging import RunLog
    from train.published import describe_init

    torch.manual_seed(options.training.seed)
    trainer = build_trainer(options, device, ranks)
    poses, betas = load_training(options.data)
    mean_betas = read_mean_parameters(options.model.body).betas
    val_poses, val_betas = load_validation(options.data, options.augmentation, mean_betas)
    describe(options, trainer, len(poses), len(val_poses))
    if options.model.init_from is not None:
        say(ranks, describe_init(options.model.init_from, trainer))
    poses, betas = poses.to(device), None if betas is None else betas.to(device)
    if options.dry_run:
        dry_run(options, trainer, poses, betas)
        return

    start_folder(options.output, options.resume)
    if options.resume:
        changed = resume(trainer, storable(asdict(options)), options.output)
        say(ranks, f"resumed after epoch {trainer.epoch}")
        for line in changed:
            say(ranks, line)
    log = RunLog(options.output, trainer.history) if ranks.is_first else None
    bar = partial(tqdm, dynamic_ncols=True, disable=not ranks.is_first)
    for epoch in range(trainer.epoch + 1, options.training.epochs + 1):
        training_bar = partial(bar, desc=f"epoch {epoch}/{options.training.epochs}")
        train_metrics = trainer.train_epoch(poses, options.augmentation, training_bar, betas)
        val_bar = partial(bar, desc="validation", leave=False)
        val_metrics, sample = trainer.validate(val_poses.to(device), val_betas.to(device), val_bar)
        row = trainer.finish_epoch(train_metrics, val_metrics)
        if ranks.is_first:
            save_epoch(trainer, storable(asdict(options)), options.output)
            log.write_epoch(trainer.history, sample)
        say(ranks, summary(row, trainer))
    if ranks.is_first:
        log.close()
    say(ranks, f"done; the best epoch was {trainer.best_epoch}; see {options.output}")


def build_trainer(
    options: Options, device: "torch.device", ranks: "Ranks | None" = None
) -> "Trainer":
    """Body model, network, synthesis and loss, put together."""
    from models.body_model import BodyModel, read_mean_parameters
    from train.build import (
        build_criterion,
        build_regressor,
        build_synthesiser,
        load_made_shapes,
        load_observed,
    )
    from train.trainer import Trainer
    from utils.processes import ALONE

    ranks = ranks or ALONE
    body_model = BodyModel.load(options.model.body, options.model.gender)
    mean = read_mean_parameters(options.model.body)
    return Trainer(
        build_regressor(options.model, body_model, mean),
        build_synthesiser(options.data, options.camera, options.augmentation, body_model, device),
        build_criterion(options.loss, ranks),
        options.training,
        device,
        ranks,
        load_observed(options.data, body_model),
        load_made_shapes(options.data, body_model),
    )


def describe(options: Options, trainer: "Trainer", train_count: int, val_count: int) -> None:
    """Says what is about to happen."""
    from models.networks import describe_network
    from train.trainer import epoch_length

    training, identity = options.training, trainer.synthesiser.body_model.identity
    samples = epoch_length(training, train_count)
    observed = ""
    if trainer.observed is not None:
        share = trainer.observed.share
        observed = f" and {len(trainer.observed)} observed people for {share:.0%} of each batch"
    made = ""
    if trainer.made_shapes is not None:
        share = trainer.made_shapes.share
        made = f", {share:.0%} of the shapes drawn from {len(trainer.made_shapes)} made ones"
    devices = f"{trainer.ranks.size} processes" if trainer.ranks.size > 1 else trainer.device
    say(
        trainer.ranks,
        f"{train_count} training and {val_count} validation poses{observed}{made}; "
        f"body {identity['name']} ({identity['gender']}); {describe_network(options.model)} at "
        f"{options.data.image_size} x {options.data.image_size} on {devices}; "
        f"{training.epochs} epochs of {samples} samples in batches of {training.batch_size}; "
        f"output to {options.output}",
    )


def dry_run(
    options: Options, trainer: "Trainer", poses: "torch.Tensor", betas: "torch.Tensor | None"
) -> None:
    """Trains a little to show that everything works and how fast, and keeps nothing."""
    from tqdm import tqdm

    from train.trainer import epoch_length

    size = trainer.ranks.size
    count = max(DRY_RUN_POSES // size, 1) * size  # a batch that the processes can share
    few, shapes = poses[:count], None if betas is None else betas[:count]
    trainer.options = replace(options.training, batch_size=len(few), samples_per_epoch=0, epochs=1)
    quiet = partial(tqdm, disable=True)
    trainer.train_epoch(few, options.augmentation, quiet, shapes)  # the first step also compiles
    bar = partial(tqdm, desc="dry run", disable=not trainer.ranks.is_first)
    many = few.repeat(DRY_RUN_STEPS, 1)
    shapes = None if shapes is None else shapes.repeat(DRY_RUN_STEPS, 1)
    metrics = trainer.train_epoch(many, options.augmentation, bar, shapes)
    samples = epoch_length(options.training, len(poses))
    hours = samples * options.training.epochs / metrics["samples_per_second"] / 3600
    say(
        trainer.ranks,
        f"dry run: {DRY_RUN_STEPS} steps, loss {metrics['loss']:.4g}, "
        f"{metrics['samples_per_second']:.1f} samples/s; the whole run of "
        f"{options.training.epochs} epochs would take about {hours:.1f} hours; nothing was written",
    )


def say(ranks: "Ranks", text: str | None) -> None:
    """Prints a line, if there is something to say, once for all processes."""
    if ranks.is_first and text is not None:
        print(text, flush=True)


def summary(row: dict[str, float], trainer: "Trainer") -> str:
    """One line on an epoch."""
    shown = ("pve_pa", "mpjpe_pa", "pve_t_sc", "silhouette_iou")
    values = ", ".join(f"{name} {row[f'val_{name}']:.4g}" for name in shown)
    joint = " + " if trainer.options.select_rule == "sum" else " and "
    by = joint.join(trainer.options.select_by)
    star = f" (best by {by})" if trainer.best_epoch == row["epoch"] else ""
    return f"epoch {row['epoch']}: loss {row['train_loss']:.4g}; validation {values}{star}"


if __name__ == "__main__":
    sys.exit(run_script(main, "stopped; go on after the last whole epoch with --resume"))
