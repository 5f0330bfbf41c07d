"""Turns a training checkpoint into one to share: the best weights alone, in half precision.

    python -m train.export --run experiments/straps --output checkpoints/my_model.tar

With `--format published` the whole training state is written instead, as the released STRAPS code
writes and reads it, for networks that it has: the published regressor.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from models.checkpoints import read_checkpoint, read_network_options
from models.networks import describe_network
from models.options import IEF_ITERATIONS
from train.checkpoints import LAST, save_atomically, without_training_state
from train.published import write_published
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.paths import EXPERIMENTS
from utils.proxy import REFERENCE_SIZE


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and where to."""

    output: Path  # the file to write, ending in .tar
    run: Path = EXPERIMENTS / "straps"  # output folder of run_train.py
    format: Literal["own", "published"] = "own"  # whose code is to read it: ours, or the released


def export(options: ExportOptions) -> None:
    """Writes the file.

    Raises:
        InputError: there is no whole checkpoint, no such folder, or the released code has no such
            network.
    """
    checkpoint = read_checkpoint(options.run / LAST)
    if "best_model_state_dict" not in checkpoint or "body" not in checkpoint:
        raise InputError(f"{options.run / LAST} is not a checkpoint of run_train.py")
    if not options.output.parent.is_dir():
        raise InputError(f"no folder {options.output.parent}; make it first")
    if options.format == "published":
        warnings = check_publishable(checkpoint, options.run / LAST)
        save_atomically(write_published(checkpoint), options.output, legacy=True)
        print(f"{options.output}: epoch {checkpoint['epoch']}, for the released code{warnings}")
        return
    shared = without_training_state(checkpoint, torch.float16)
    shared["options"] = without_folders(shared["options"])
    save_atomically(shared, options.output)
    size = options.output.stat().st_size / 1e6
    print(f"{options.output}: best epoch {shared['best_epoch']}, {size:.1f} MB")


def check_publishable(checkpoint: dict[str, Any], path: Path) -> str:
    """What the released code would do otherwise with a checkpoint of ours, in words.

    Raises:
        InputError: it has no such network.
    """
    network = read_network_options(checkpoint, path)
    if network.regressor != "published" or network.ief_iterations != IEF_ITERATIONS:
        raise InputError(
            f"{path} holds a {describe_network(network)}; the released code has only a ResNet with "
            f"{IEF_ITERATIONS} IEF iterations (--model.regressor published)"
        )
    body, size = checkpoint["body"], checkpoint["image_size"]
    other = []
    if network.proxy != "published":
        other.append("draws other heatmaps (--proxy published)")
    if size != REFERENCE_SIZE:
        other.append(f"takes pictures of {REFERENCE_SIZE} px, not {size}")
    if (body["name"], body["gender"]) != ("smpl", "neutral"):
        other.append(f"has the body smpl (neutral), not {body['name']} ({body['gender']})")
    return "".join(f"; it {each}" for each in other)


def without_folders(value: Any) -> Any:
    """Options with absolute paths cut down to file names, which is all they tell elsewhere."""
    if isinstance(value, dict):
        return {name: without_folders(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


if __name__ == "__main__":
    sys.exit(run_script(lambda: export(parse_options(ExportOptions, __doc__))))
