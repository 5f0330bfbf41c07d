"""What a checkpoint holds, and the checks of it when it is read: before anything long starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models.body_model import BODIES, POSE_DIMS
from models.networks import parse_network_options
from utils.conventions import NUM_BETAS
from utils.errors import InputError
from utils.torch_files import check_tensors

ERROR_COVARIANCE = "error_covariance"  # a checkpoint's key, of what `models.refinement` needs
_MAX_COUNT = 2**53  # of samples, steps and epochs
_IMAGE_SIZES = (8, 2048)  # pixels
_MAX_ROUNDS = 100
ADVICE = "get or export the checkpoint again"


def check_content(checkpoint: dict[str, Any], path: Path) -> None:
    """Raises InputError for the first thing in a checkpoint that is not what it should be."""
    for key, check in _CHECKS.items():
        if key in checkpoint:
            try:
                check(checkpoint[key])
            except (TypeError, ValueError, RuntimeError) as error:
                problem = " ".join(str(error).split())
                raise InputError(f"{path}: {key} is damaged: {problem}; {ADVICE}") from error


def _check_number(value: Any, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        found = value if type(value) in (int, float) and abs(value) < 1e18 else type(value).__name__
        raise ValueError(f"found {found}, expected a whole number from {least} to {most}")


def _check_count(value: Any) -> None:
    _check_number(value, 0, _MAX_COUNT)


def _check_named(values: Any) -> None:
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"found a {type(values).__name__}, expected values by name")


def _check_metrics(values: Any) -> None:
    _check_named(values)
    if not all(isinstance(value, int | float | np.number) for value in values.values()):
        raise ValueError("expected numbers by name")


def _check_history(rows: Any) -> None:
    if not isinstance(rows, list):
        raise ValueError(f"found a {type(rows).__name__}, expected a list")
    for row in rows:
        _check_metrics(row)


def _check_options(options: Any) -> None:
    _check_named(options)
    if options.get("model") is not None:
        parse_network_options(options["model"])


def _check_body(identity: Any) -> None:
    _check_named(identity)
    types = {"name": str, "gender": str, "vertices": int, "faces": int, "hash": str}
    if identity.keys() != types.keys() or not all(
        isinstance(identity[name], expected) for name, expected in types.items()
    ):
        raise ValueError(f"expected {', '.join(types)}")
    if identity["name"] not in BODIES:
        raise ValueError(f"{identity['name'][:40]!r} is none of {', '.join(BODIES)}")


def _check_mean_parameters(stored: Any) -> None:
    mean = check_tensors(stored)
    for name, expected in (("pose", (POSE_DIMS,)), ("betas", (NUM_BETAS,))):
        if name not in mean or mean[name].shape != expected or len(mean) != 2:
            raise ValueError(f"expected pose of shape ({POSE_DIMS},) and betas ({NUM_BETAS},)")


def _check_weights(weights: Any) -> None:
    if weights:  # a checkpoint may have the best weights alone
        check_tensors(weights)


# ValueError says what is wrong.
_CHECKS: dict[str, Callable[[Any], None]] = {
    **dict.fromkeys(("epoch", "best_epoch", "step", "samples_seen"), _check_count),
    "image_size": lambda size: _check_number(size, *_IMAGE_SIZES),
    "rounds": lambda rounds: _check_number(rounds, 0, _MAX_ROUNDS),
    "options": _check_options,
    "body": _check_body,
    "mean_parameters": _check_mean_parameters,
    "best_epoch_val_metrics": _check_metrics,
    "history": _check_history,
    "model_state_dict": _check_weights,
    "best_model_state_dict": _check_weights,
    "ema_state_dict": _check_weights,
    "criterion_state_dict": _check_weights,
    "optimiser_state_dict": _check_named,
    ERROR_COVARIANCE: lambda covariance: check_tensors({ERROR_COVARIANCE: covariance}),
}
