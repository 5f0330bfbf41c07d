"""The options of a run by dotted name: stored, checked, and compared on resuming."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from utils.errors import InputError

_ANY = (0, math.inf)
_PROBABILITY = (0, 1)
_MANY = (1, math.inf)
_ABOVE_0 = (math.nextafter(0, 1), math.inf)

# What a run can use, ends included; infinity itself and nan are always refused.
_RANGES = {
    "data.image_size": (32, math.inf),  # a ResNet halves it five times
    "data.observed_share": (0, math.nextafter(1, 0)),  # the others are synthetic
    "model.ief_iterations": _MANY,
    "model.feedback.rounds": _MANY,
    "model.feedback.width": _MANY,
    "model.feedback.lifting_blocks": _ANY,
    "model.feedback.correcting_blocks": _ANY,
    "model.feedback.vertices": (1, 5000),
    "training.weight_decay": _ANY,
    "training.ema": (0, math.nextafter(1, 0)),
    "camera.focal_length": _ABOVE_0,
    "camera.frame_size": _MANY,
    "augmentation.turn": (0, 180),
    "augmentation.joint_angle_std": _ANY,
    "augmentation.exchange_limbs": _PROBABILITY,
    "augmentation.betas_std": _ANY,
    "augmentation.betas_range": _ANY,
    "augmentation.cam_xy_std": _ANY,
    "augmentation.cam_z_range": _ANY,
    "augmentation.near": _PROBABILITY,
    "augmentation.near_distances": (1, 90),  # people in full, within what the renderer draws
    "augmentation.vertex_noise": _ANY,
    "augmentation.crop_scale_range": (0, 1),  # around 1.2: the crop must keep a side
    "augmentation.crop_shift": _ANY,
    "augmentation.corrupt": _PROBABILITY,
    "augmentation.detector_share": _PROBABILITY,
    "augmentation.remove_left_arm": _PROBABILITY,
    "augmentation.remove_right_arm": _PROBABILITY,
    "augmentation.remove_head": _PROBABILITY,
    "augmentation.remove_left_leg": _PROBABILITY,
    "augmentation.remove_right_leg": _PROBABILITY,
    "augmentation.remove_torso": _PROBABILITY,
    "augmentation.occlude": _PROBABILITY,
    "augmentation.occlude_side": _ANY,
    "augmentation.occlude_centre": _PROBABILITY,
    "augmentation.joint_noise": _ANY,
    "augmentation.joint_dropout": _PROBABILITY,
    "augmentation.truncate": _PROBABILITY,
    "augmentation.truncate_most": _PROBABILITY,
    "training.epochs": _MANY,
    "training.batch_size": _MANY,
    "training.samples_per_epoch": _ANY,
    "training.val_batch_size": _MANY,
    "training.lr": _ABOVE_0,
    "training.warmup_steps": _ANY,
    "training.max_grad_norm": _ANY,
    "training.log_every": _MANY,
    "training.metrics_every": _MANY,
    "training.seed": (0, 2**29),  # seeds of epochs and streams are made from it, within 63 bits
    "threads": _ANY,
}

# What the network of a run was made for: another value would train a different one.
_FIXED = (
    "data.image_size", "model.regressor", "model.ief_iterations", "model.feedback.width",
    "model.feedback.lifting_blocks", "model.feedback.correcting_blocks", "model.feedback.vertices",
)  # fmt: skip


def storable(values: Any) -> Any:
    """Options as plain numbers, strings, lists and dictionaries, which a checkpoint may hold."""
    if isinstance(values, dict):
        return {name: storable(value) for name, value in values.items()}
    if isinstance(values, tuple | list):
        return [storable(value) for value in values]
    return str(values) if isinstance(values, Path) else values


def check_ranges(options: Any) -> None:
    """Raises InputError for the first number that no run can use.

    Args:
        options: the dataclass of run_train.py.
    """
    for name, value in _flat(asdict(options)).items():
        if name not in _RANGES:
            continue
        least, most = _RANGES[name]
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(least <= number <= most and math.isfinite(number) for number in numbers):
            raise InputError(f"--{_dashed(name)} is {value}; expected {_told(least, most)}")
        if list(numbers) != sorted(numbers):
            raise InputError(f"--{_dashed(name)} is {value}; expected the lower number first")


def differences(saved: dict[str, Any], options: dict[str, Any]) -> list[str]:
    """What of a resumed run differs from how it ran so far, a line each.

    Args:
        saved: the options in its last checkpoint, as `storable` gave them.
        options: of this run, as `storable` gives them.

    Returns:
        Lines such as "training.lr is 0.001; it was 0.0001", without options that change no result.

    Raises:
        InputError: the difference would make another network of it.
    """
    before, now = _flat(saved), _flat(options)
    lines = []
    for name, value in now.items():
        # Those outside any group say where and whether to run.
        if "." not in name or name not in before or before[name] == value:
            continue
        if name in _FIXED:
            raise InputError(
                f"--{_dashed(name)} is {value}, but the run to resume has {before[name]}; give "
                "the same, or start another run from its weights with --model.init-from"
            )
        lines.append(f"{name} is {value}; it was {before[name]}")
    return lines


def differing_options(found: Any, wanted: Any) -> list[str]:
    """The options of run_train.py that would ask for one network where now they ask for another.

    Args:
        found: `NetworkOptions` of the one that is there.
        wanted: of the one that the options ask for.
    """
    now = _flat(asdict(wanted), "model.")
    there = _flat(asdict(found), "model.")
    return [f"--{_dashed(name)} {value}" for name, value in there.items() if value != now[name]]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _told(least: float, most: float) -> str:
    if math.isfinite(most):
        return f"a number from {least} to {most}"
    return "a number above 0" if (least, most) == _ABOVE_0 else f"a number of at least {least}"
