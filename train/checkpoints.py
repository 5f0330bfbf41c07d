"""Writes training checkpoints and takes training up again from them."""

import os
from pathlib import Path
from typing import IO, Any

import torch

from models.checkpoints import check_same_body, read_checkpoint
from train.run_options import differences
from train.trainer import Trainer
from utils.errors import InputError
from utils.files import write_whole

LAST = "last.tar"
BEST = "best.tar"


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint so that a crash leaves either the old file or the new one, never half.

    Raises:
        InputError: it cannot be written.
    """

    def write(file: IO[bytes]) -> None:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # which torch makes of a full disk
            raise OSError(str(error).splitlines()[0]) from error
        file.flush()
        os.fsync(file.fileno())

    write_whole(path, write, "; a run goes on after its last whole epoch with --resume")


def without_training_state(checkpoint: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """What predicting needs of a training checkpoint, weights stored in `dtype`.

    Args:
        checkpoint: as `Trainer.state` gives it.
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


def save_epoch(trainer: Trainer, options: dict[str, Any], folder: Path) -> None:
    """Writes the last state, and the best weights when this epoch made them."""
    state = {**trainer.state(), "options": options}
    # The best first: a run stopped between the two repeats the epoch, and writes both again.
    if state["best_epoch"] == state["epoch"]:
        save_atomically(without_training_state(state, torch.float32), folder / BEST)
    save_atomically(state, folder / LAST)


def resume(trainer: Trainer, options: dict[str, Any], folder: Path) -> list[str]:
    """Puts a trainer where an earlier run stopped.

    Args:
        trainer: freshly built.
        options: of this run, as `storable` gives them.
        folder: where the earlier run wrote its checkpoints.

    Returns:
        What of the options differs, see `differences`.

    Raises:
        InputError: no checkpoint, one without training state, or one of another body or network.
    """
    path = folder / LAST
    if not path.is_file():
        raise InputError(f"nothing to resume: no {LAST} in {folder}; run without --resume first")
    checkpoint = read_checkpoint(path)
    needed = (
        "epoch", "step", "samples_seen", "history", "random_state", "body", "best_epoch",
        "best_epoch_val_metrics", "model_state_dict", "best_model_state_dict",
        "optimiser_state_dict", "criterion_state_dict",
    )  # fmt: skip
    missing = [key for key in needed if key not in checkpoint]
    if missing:
        raise InputError(f"{path} has no {', '.join(missing)}; training cannot resume from it")
    check_same_body(checkpoint["body"], trainer.synthesiser.body_model, path)
    changed = differences(checkpoint.get("options", {}), options)
    try:
        trainer.load_state(checkpoint)
    except (RuntimeError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{path} does not fit the options of this run: {problem}") from error
    return changed
