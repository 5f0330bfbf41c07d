"""Turns a training checkpoint into one to share: the best weights alone, in half precision.

python -m train.export --run experiments/straps --output checkpoints/my_model.tar
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.checkpoints import read_checkpoint
from train.checkpoints import LAST, save_atomically, without_training_state
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.paths import EXPERIMENTS


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and where to."""

    output: Path  # the file to write, ending in .tar
    run: Path = EXPERIMENTS / "straps"  # output folder of run_train.py


def export(options: ExportOptions) -> None:
    """Writes the file; raises InputError when there is no whole checkpoint or no such folder."""
    checkpoint = read_checkpoint(options.run / LAST)
    if "best_model_state_dict" not in checkpoint or "body" not in checkpoint:
        raise InputError(f"{options.run / LAST} is not a checkpoint of run_train.py")
    if not options.output.parent.is_dir():
        raise InputError(f"no folder {options.output.parent}; make it first")
    shared = without_training_state(checkpoint, torch.float16)
    shared["options"] = without_folders(shared["options"])
    save_atomically(shared, options.output)
    size = options.output.stat().st_size / 1e6
    print(f"{options.output}: best epoch {shared['best_epoch']}, {size:.1f} MB")


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
