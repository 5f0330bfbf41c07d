"""Checkpoints of the released STRAPS code: training goes on from them, and they are written.

They hold weights under our names, but no body, options, history or random state; the learnt weights
of the loss under names of their own; the optimiser's state in another order; and they count epochs
from 0.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from losses.options import LossOptions
from models.checkpoints import read_checkpoint
from train.trainer import Trainer
from utils.errors import InputError

# The released names of the logarithms of variances that the loss learns, in the order in which its
# optimiser has them.
LOG_VARIANCES = {
    "vertices": "verts_log_var",
    "joints2d": "joints2D_log_var",
    "joints3d": "joints3D_log_var",
    "pose": "pose_params_log_var",
    "betas": "shape_params_log_var",
}
METRICS = {"pve_pa": "pves_pa", "mpjpe_pa": "mpjpes_pa"}  # those of the best epoch
NEEDED_OF_PUBLISHED = ("epoch", "best_epoch", "model_state_dict", "best_model_state_dict")
_CRITERION_PREFIX = "log_variances."
_MOMENTS = ("exp_avg", "exp_avg_sq")  # of Adam, each of the shape of its parameter


def is_published(checkpoint: dict[str, Any]) -> bool:
    """Whether the released code wrote it: ours say which body they are for."""
    return "body" not in checkpoint


def read_published(checkpoint: dict[str, Any], trainer: Trainer) -> tuple[dict[str, Any], str]:
    """A state that training goes on from, of a checkpoint of the released code.

    Args:
        checkpoint: with the keys of `NEEDED_OF_PUBLISHED`.
        trainer: freshly built; what the checkpoint lacks stays as it is there.

    Returns:
        The state, as `train.checkpoints.restore_state` takes it; and what is lacking, in words.

    Raises:
        InputError: the optimiser's state is of another network.
    """
    lacking = ["body", "options", "history", "random state"]
    criterion = _read_criterion(checkpoint.get("criterion_state_dict") or {}, trainer)
    optimiser = _read_optimiser(checkpoint.get("optimiser_state_dict") or {}, trainer)
    metrics = _read_metrics(checkpoint.get("best_epoch_val_metrics") or {})
    if criterion is None:
        lacking.append("loss weights")
    if optimiser is None:
        lacking.append("optimiser")
    if not metrics.keys() >= set(trainer.options.select_by):
        lacking.append("metrics to tell the best epoch by")
        best_weights: dict[str, Tensor] = {}
    else:
        best_weights = checkpoint["best_model_state_dict"]
    step = 0 if optimiser is None else _count_steps(optimiser)
    state = {
        "epoch": int(checkpoint["epoch"]) + 1,
        "best_epoch": int(checkpoint["best_epoch"]) + 1,
        "best_epoch_val_metrics": metrics,
        "model_state_dict": checkpoint["model_state_dict"],
        "best_model_state_dict": best_weights,
        "criterion_state_dict": criterion or trainer.criterion.state_dict(),
        "optimiser_state_dict": optimiser or trainer.optimiser.state_dict(),
        "history": [],
        "step": step,
        "samples_seen": step * trainer.options.batch_size,
        "random_state": torch.get_rng_state(),
    }
    return state, _describe(lacking, trainer)


def describe_init(path: Path, trainer: Trainer) -> str | None:
    """What a checkpoint that gave a trainer its first weights lacks, in words; None: it is ours."""
    if not is_published(read_checkpoint(path)):
        return None
    return f"{path.name} is {_describe(['body', 'options'], trainer)}; its weights alone are used"


def _describe(lacking: list[str], trainer: Trainer) -> str:
    """What a checkpoint of the released code lacks, and what is taken instead."""
    identity = trainer.synthesiser.body_model.identity
    return (
        f"a checkpoint of the released code, without {', '.join(lacking)}: this run's are taken, "
        f"and the body {identity['name']} ({identity['gender']})"
    )


def _read_criterion(stored: dict[str, Tensor], trainer: Trainer) -> dict[str, Tensor] | None:
    """Our loss's state with the released one's weights where both have the term; None: none."""
    state = trainer.criterion.state_dict()
    found = {
        _CRITERION_PREFIX + ours: stored[theirs].reshape(())
        for ours, theirs in LOG_VARIANCES.items()
        if theirs in stored and _CRITERION_PREFIX + ours in state
    }
    return {**state, **found} if found else None


def _read_metrics(stored: dict[str, Any]) -> dict[str, float]:
    """The best epoch's metrics, millimetres; errors below 1 can only be metres."""
    found = {ours: float(stored[theirs]) for ours, theirs in METRICS.items() if theirs in stored}
    return {name: value * 1000 if value < 1 else value for name, value in found.items()}


def _read_optimiser(stored: dict[str, Any], trainer: Trainer) -> dict[str, Any] | None:
    """Adam's state in our order of parameters; None where there is none for all of them."""
    groups = stored.get("param_groups") or [{"params": []}]
    keys = [key for group in groups for key in group["params"]]
    states = stored.get("state") or {}
    count = len([*trainer.regressor.parameters()])
    if not states or len(keys) != count + len(LOG_VARIANCES):
        return None
    of_network, of_loss = keys[:count], dict(zip(LOG_VARIANCES, keys[count:], strict=True))
    own = trainer.optimiser.state_dict()
    ordered = [*of_network, *(of_loss.get(name) for name in _learnt_terms(trainer.criterion))]
    parameters = [p for group in trainer.optimiser.param_groups for p in group["params"]]
    own["state"] = {
        number: _read_moments(states[key], parameter)
        for number, (key, parameter) in enumerate(zip(ordered, parameters, strict=True))
        if key in states
    }
    return own


def _learnt_terms(criterion: nn.Module) -> list[str]:
    """Terms of the loss whose weights are learnt, in the order of the optimiser."""
    return [
        name.removeprefix(_CRITERION_PREFIX)
        for name, parameter in criterion.named_parameters()
        if parameter.requires_grad
    ]


def _read_moments(state: dict[str, Any], parameter: Tensor) -> dict[str, Tensor]:
    """Adam's state of one parameter; older versions of torch stored the step as a plain number."""
    for name in _MOMENTS:
        if state[name].numel() != parameter.numel():
            raise InputError(
                f"the optimiser's {name} has shape {tuple(state[name].shape)} where the network "
                f"has {tuple(parameter.shape)}: it is of another network; start from the weights "
                "alone with --model.init-from"
            )
    moments = {name: state[name].reshape(parameter.shape) for name in _MOMENTS}
    return {"step": torch.tensor(float(state["step"])), **moments}


def _count_steps(optimiser: dict[str, Any]) -> int:
    return max((int(state["step"]) for state in optimiser["state"].values()), default=0)


def write_published(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint as the released code reads it, of one of run_train.py's `last.tar`.

    Args:
        checkpoint: of a published regressor, with its training state.
    """
    weights, best = (
        {name: values.contiguous() for name, values in checkpoint[key].items()}
        for key in ("model_state_dict", "best_model_state_dict")
    )
    return {
        "epoch": checkpoint["epoch"] - 1,
        "best_epoch": checkpoint["best_epoch"] - 1,
        "best_epoch_val_metrics": {
            theirs: checkpoint["best_epoch_val_metrics"][ours] for ours, theirs in METRICS.items()
        },
        "model_state_dict": weights,
        "best_model_state_dict": best,
        "optimiser_state_dict": _write_optimiser(checkpoint),
        "criterion_state_dict": _write_criterion(checkpoint["criterion_state_dict"]),
    }


def _write_criterion(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The loss's state under the released names; terms that were left out as they begin there."""
    first = LossOptions()
    return {
        theirs: state.get(
            _CRITERION_PREFIX + ours, torch.tensor(-math.log(getattr(first, ours)))
        ).clone()
        for ours, theirs in LOG_VARIANCES.items()
    }


def _write_optimiser(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Adam's state in the released order, with the settings that every version of torch has."""
    stored = checkpoint["optimiser_state_dict"]
    keys = [key for group in stored["param_groups"] for key in group["params"]]
    options = checkpoint["options"].get("loss", {})
    learnt = [
        name.removeprefix(_CRITERION_PREFIX)
        for name in checkpoint["criterion_state_dict"]
        if options.get("learn_weights", True)
    ]
    count = len(keys) - len(learnt)
    of_loss = dict(zip(learnt, keys[count:], strict=True))
    ordered = [*keys[:count], *(of_loss.get(name) for name in LOG_VARIANCES)]
    states = {
        number: {
            "step": int(stored["state"][key]["step"]),
            **{name: stored["state"][key][name].contiguous() for name in _MOMENTS},
        }
        for number, key in enumerate(ordered)
        if key in stored["state"]
    }
    group = stored["param_groups"][0]
    settings = {name: group[name] for name in ("lr", "betas", "eps", "weight_decay", "amsgrad")}
    return {
        "state": states,
        "param_groups": [{**settings, "params": [*range(len(ordered))]}],
    }
