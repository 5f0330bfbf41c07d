"""Writes training checkpoints and takes training up again from them."""

import os
from pathlib import Path
from typing import IO, Any

import torch

from models.checkpoints import check_same_body, read_checkpoint, read_network_options
from models.decoder import split_estimate
from train.build import check_same_network
from train.published import NEEDED_OF_PUBLISHED, is_published, read_published
from train.trainer import Trainer
from utils.conventions import NUM_BETAS
from utils.errors import InputError
from utils.files import check_writable, write_whole
from utils.options import flag, flatten

LAST = "last.tar"
BEST = "best.tar"
SNAPSHOT = "epoch_{:03d}.tar"  # of the epoch's weights

# What resuming needs of our own checkpoints.
_NEEDED = (
    "epoch", "step", "samples_seen", "history", "random_state", "body", "best_epoch",
    "best_epoch_val_metrics", "model_state_dict", "best_model_state_dict",
    "optimiser_state_dict", "criterion_state_dict",
)  # fmt: skip

# What the network of a run was made for: another value would train a different one.
_FIXED = (
    "data.image_size", "model.regressor", "model.resnet_layers", "model.ief_iterations",
    "model.proxy", "model.params_from", "model.feedback.width", "model.feedback.lifting_blocks",
    "model.feedback.correcting_blocks", "model.feedback.vertices",
)  # fmt: skip


def save_atomically(content: dict[str, Any], path: Path, legacy: bool = False) -> None:
    """Writes a checkpoint so that a crash leaves either the old file or the new one, never half.

    Args:
        content: of the checkpoint.
        path: of the file.
        legacy: write what torch before 1.6 reads too, with which the released code runs.

    Raises:
        InputError: it cannot be written.
    """

    def write(file: IO[bytes]) -> None:
        try:
            torch.save(content, file, _use_new_zipfile_serialization=not legacy)
        except RuntimeError as error:  # which torch makes of a full disk
            raise OSError(str(error).splitlines()[0]) from error
        file.flush()
        os.fsync(file.fileno())

    write_whole(path, write, "; a run goes on after its last whole epoch with --resume")


def without_training_state(checkpoint: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """What predicting needs of a training checkpoint, weights stored in `dtype`.

    Args:
        checkpoint: as `collect_state` gives it.
        dtype: of the stored floating-point weights; float16 halves the file.

    Returns:
        A checkpoint with the best weights alone, without optimiser, history or random state.
    """
    kept = (
        "best_epoch", "best_epoch_val_metrics", "options", "body", "mean_parameters", "rounds",
    )  # fmt: skip
    stored: dict[int, torch.Tensor] = {}

    def convert(tensor: torch.Tensor) -> torch.Tensor:
        # Layers with two names share one tensor; converted once, they still do on disk.
        if tensor.data_ptr() not in stored:
            stored[tensor.data_ptr()] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        return stored[tensor.data_ptr()]

    weights = {
        name: convert(values) for name, values in checkpoint["best_model_state_dict"].items()
    }
    return {
        **{key: checkpoint[key] for key in kept if key in checkpoint},
        "epoch": checkpoint["best_epoch"],
        "image_size": checkpoint["image_size"],
        "samples_seen": checkpoint["samples_seen"],
        "best_model_state_dict": weights,
    }


def collect_state(trainer: Trainer) -> dict[str, Any]:
    """Everything that resuming needs, in the format of the published checkpoints and more."""
    regressor, average = trainer.regressor, trainer.average
    mean = split_estimate(regressor.initial_estimate)
    return {
        **({} if average is None else {"ema_state_dict": average.state_dict()}),
        "epoch": trainer.epoch,
        "best_epoch": trainer.best_epoch,
        "best_epoch_val_metrics": trainer.best_metrics,
        "model_state_dict": regressor.state_dict(),
        "best_model_state_dict": trainer.best_weights,
        "optimiser_state_dict": trainer.optimiser.state_dict(),
        "criterion_state_dict": trainer.criterion.state_dict(),
        "body": trainer.synthesiser.body_model.identity,
        "rounds": int(trainer.best_metrics.get("best_rounds", regressor.rounds)),
        "image_size": trainer.synthesiser.image_size,
        "mean_parameters": {
            "pose": mean.pose.clone(),
            "betas": mean.betas[:NUM_BETAS].clone(),  # those after them start at 0
        },
        "history": trainer.history,
        "step": trainer.step,
        "samples_seen": trainer.samples_seen,
        "random_state": torch.get_rng_state(),
    }


def restore_state(trainer: Trainer, state: dict[str, Any]) -> None:
    """Takes over what `collect_state` gave; RuntimeError or ValueError when it does not fit."""
    if trainer.average is not None:
        if "ema_state_dict" not in state:
            raise ValueError("no averaged weights were kept; give --training.ema 0")
        trainer.average.load_state_dict(state["ema_state_dict"])
    trainer.regressor.load_state_dict(state["model_state_dict"])
    trainer.criterion.load_state_dict(state["criterion_state_dict"])
    settings = [
        {name: value for name, value in group.items() if name != "params"}
        for group in trainer.optimiser.param_groups
    ]
    trainer.optimiser.load_state_dict(state["optimiser_state_dict"])
    for group, setting in zip(trainer.optimiser.param_groups, settings, strict=True):
        group.update(setting)  # as this run's options say
    check_optimiser(trainer.optimiser)
    for name in ("epoch", "step", "samples_seen", "best_epoch"):
        setattr(trainer, name, state[name])
    trainer.history = list(state["history"])
    trainer.best_metrics = dict(state["best_epoch_val_metrics"])
    trainer.best_weights = state["best_model_state_dict"]
    torch.set_rng_state(state["random_state"])


def check_optimiser(optimiser: torch.optim.Optimizer) -> None:
    """Raises ValueError unless each parameter's averages have its shape and are finite numbers."""
    for parameter in (each for group in optimiser.param_groups for each in group["params"]):
        for name, values in optimiser.state[parameter].items():
            shape = () if name == "step" else parameter.shape
            if not isinstance(values, torch.Tensor) or values.shape != shape:
                raise ValueError(f"the optimiser's {name} is not a tensor of shape {tuple(shape)}")
            if not values.isfinite().all():
                raise ValueError(f"the optimiser's {name} has values that are not finite numbers")


def start_folder(output: Path, resume: bool) -> None:
    """Makes the output folder; a finished run in it is never overwritten.

    Every process looks before the first one writes: none has trained yet, and they train together.

    Raises:
        InputError: the folder cannot be written to, or holds a run and this one does not resume it.
    """
    check_writable(output)
    if (output / LAST).exists() and not resume:
        raise InputError(
            f"{output} already holds a run; add --resume to go on with it, or choose "
            "another folder with --output"
        )


def as_if_best(state: dict[str, Any], trainer: Trainer) -> dict[str, Any]:
    """A state in which the last epoch is the best one, whatever it is like."""
    row = trainer.history[-1]
    metrics = {name[4:]: value for name, value in row.items() if name.startswith("val_")}
    return {
        **state,
        "best_epoch": trainer.epoch,
        "best_epoch_val_metrics": metrics,
        "best_model_state_dict": trainer.validated.state_dict(),
        "rounds": int(metrics.get("best_rounds", trainer.regressor.rounds)),
    }


def save_epoch(trainer: Trainer, options: dict[str, Any], folder: Path) -> None:
    """Writes the last state, the best weights when this epoch made them, and snapshots."""
    state = {**collect_state(trainer), "options": options}
    every = trainer.options.save_every
    if every and trainer.epoch % every == 0:
        snapshot = without_training_state(as_if_best(state, trainer), torch.float32)
        save_atomically(snapshot, folder / SNAPSHOT.format(trainer.epoch))
    # The best first: a run stopped between the two repeats the epoch, and writes both again.
    if state["best_epoch"] == state["epoch"] or not (folder / BEST).exists():
        save_atomically(without_training_state(state, torch.float32), folder / BEST)
    save_atomically(state, folder / LAST)


def resume(trainer: Trainer, options: dict[str, Any], folder: Path) -> list[str]:
    """Puts a trainer where an earlier run stopped, be it one of the released code.

    Args:
        trainer: freshly built.
        options: of this run, as `storable` gives them.
        folder: where the earlier run wrote its checkpoints.

    Returns:
        What of the options differs, see `compare_options`, or what the released code did not save.

    Raises:
        InputError: no checkpoint, one without training state, or one of another body or network.
    """
    path = folder / LAST
    if not path.is_file():
        raise InputError(f"nothing to resume: no {LAST} in {folder}; run without --resume first")
    checkpoint = read_checkpoint(path)
    released = is_published(checkpoint)
    needed = NEEDED_OF_PUBLISHED if released else _NEEDED
    missing = [key for key in needed if key not in checkpoint]
    if missing:
        raise InputError(f"{path} has no {', '.join(missing)}; training cannot resume from it")
    if released:
        found = read_network_options(checkpoint, path)
        check_same_network(found, options.get("model", {}), path)
        checkpoint, told = read_published(checkpoint, trainer)
        changed = [f"{path.name} is {told}"]
    else:
        check_same_body(checkpoint["body"], trainer.synthesiser.body_model, path)
        changed = compare_options(checkpoint.get("options", {}), options)
        _check_counters(checkpoint, path)
    try:
        restore_state(trainer, checkpoint)
    except Exception as error:  # torch's optimisers believe what they are given
        problem = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} does not fit the options of this run: {problem}") from error
    return changed


def _check_counters(checkpoint: dict[str, Any], path: Path) -> None:
    """Raises InputError where epochs and history do not belong together."""
    epoch, history = checkpoint["epoch"], checkpoint["history"]
    # A run that began with a released checkpoint has no rows of that one's epochs.
    recorded = history[-1].get("epoch") if history else 0
    if not checkpoint["best_epoch"] <= epoch == recorded:
        raise InputError(
            f"{path} says that {epoch} epochs are finished, the best was {checkpoint['best_epoch']}"
            f" and the last one recorded {recorded}; it is damaged, start the run anew"
        )


def compare_options(saved: dict[str, Any], options: dict[str, Any]) -> list[str]:
    """What of a resumed run differs from how it ran so far, a line each.

    Args:
        saved: the options in its last checkpoint, as `storable` gave them.
        options: of this run, as `storable` gives them.

    Returns:
        Lines such as "training.lr is 0.001; it was 0.0001", without options that change no result.

    Raises:
        InputError: the difference would make another network of it.
    """
    before, now = flatten(saved), flatten(options)
    lines = []
    for name, value in now.items():
        # Those outside any group say where and whether to run.
        if "." not in name or name not in before or before[name] == value:
            continue
        if name in _FIXED:
            raise InputError(
                f"{flag(name)} is {value}, but the run to resume has {before[name]}; give "
                "the same, or start another run from its weights with --model.init-from"
            )
        lines.append(f"{name} is {value}; it was {before[name]}")
    return lines
