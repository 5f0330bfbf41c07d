"""Builds the network that options ask for; run_train.py and the reader of checkpoints both do."""

from dataclasses import fields
from typing import Any, get_args, get_type_hints

from models.body_model import BodyModel, MeanParameters
from models.feedback import FeedbackRegressor
from models.options import FeedbackOptions, NetworkOptions
from models.regressor import Regressor
from utils.options import ranges_in

Network = Regressor | FeedbackRegressor


def build_network(
    options: NetworkOptions, mean_parameters: MeanParameters, body_model: BodyModel
) -> Network:
    """An untrained network.

    Args:
        options: which one.
        mean_parameters: where its estimates start.
        body_model: the body that it is trained for.
    """
    if options.regressor == "feedback":
        return FeedbackRegressor(mean_parameters, body_model, options.feedback)
    return Regressor(
        mean_parameters,
        options.resnet_layers,
        options.ief_iterations,
        options.proxy,
        options.params_from,
    )


def parse_network_options(stored: dict[str, Any]) -> NetworkOptions:
    """The options of a checkpoint's network.

    Args:
        stored: the checkpoint's options of the model; what is not there has its default.

    Raises:
        ValueError: an option is unknown, or its value is none that it can have.
    """
    known = {field.name for field in fields(NetworkOptions)}
    chosen = {name: value for name, value in _check_named(stored, "model").items() if name in known}
    sizes = _check_named(chosen.pop("feedback", {}), "feedback")
    unknown = set(sizes) - {field.name for field in fields(FeedbackOptions)}
    if unknown:
        raise ValueError(f"feedback has {', '.join(sorted(map(str, unknown)))}, which is unknown")
    options = NetworkOptions(**chosen, feedback=FeedbackOptions(**sizes))
    _check_values(options, NetworkOptions())
    _check_values(options.feedback, FeedbackOptions())
    return options


def _check_named(values: Any, group: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValueError(f"{group} is {_show(values)}, expected options by name")
    return values


def _show(value: Any) -> str:
    """A value of a checkpoint for a message; it may be anything, of any length and depth."""
    if type(value) is int and abs(value) > 1e18:
        return "a huge number"
    shown = isinstance(value, str | int | float | None)
    return repr(value)[:60] if shown else f"a {type(value).__name__}"


def _check_values(
    options: NetworkOptions | FeedbackOptions, defaults: NetworkOptions | FeedbackOptions
) -> None:
    ranges = ranges_in(type(options))
    for name, hint in get_type_hints(type(options)).items():
        value, default, choices = getattr(options, name), getattr(defaults, name), get_args(hint)
        if type(value) is not type(default):
            raise ValueError(f"{name} is {_show(value)}, expected a value like {default!r}")
        if name in ranges and not ranges[name].least <= value <= ranges[name].most:
            raise ValueError(f"{name} is {_show(value)}, expected {ranges[name]}")
        if choices and value not in choices:
            expected = ", ".join(map(str, choices))
            raise ValueError(f"{name} is {_show(value)}, expected one of {expected}")


def describe_network(options: NetworkOptions) -> str:
    """The network in a few words."""
    if options.regressor == "feedback":
        return f"feedback regressor with {options.feedback.rounds} rounds"
    seen = "" if options.params_from == "all" else f", from {options.params_from} alone"
    heatmaps = "" if options.proxy == "own" else ", heatmaps as published"
    network = f"ResNet-{options.resnet_layers} with {options.ief_iterations} IEF iterations"
    return network + seen + heatmaps
