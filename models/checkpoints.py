"""Reads checkpoints, ours and the published ones, and rebuilds what predicts from them."""

import copy
from pathlib import Path
from typing import Any, NamedTuple

import torch

from models.body_model import BodyModel, MeanParameters, read_mean_parameters
from models.checkpoint_content import ADVICE, ERROR_COVARIANCE, check_content
from models.decoder import PARAMETER_DIMS, split_estimate
from models.feedback import FeedbackRegressor
from models.networks import Network, build_network, describe_network, parse_network_options
from models.options import NetworkOptions
from models.refinement import Refiner, count_changes
from models.regressor import CHANNELS, Regressor
from utils.conventions import ProxyRule
from utils.errors import InputError
from utils.paths import ADDITIONAL
from utils.proxy import PROXY_CHANNELS, REFERENCE_SIZE
from utils.readers import reading
from utils.torch_files import read_torch


class Predictor(NamedTuple):
    """A trained regressor with the body that it was trained for."""

    regressor: Network | Refiner
    body_model: BodyModel
    image_size: int  # side of the crop, pixels
    epoch: int
    known_gender: str | None = None  # of the people, where the body is the neutral one

    def body_on_cpu(self) -> BodyModel:
        """The body model, or a copy of it where it is elsewhere."""
        on_cpu = self.body_model.faces.device.type == "cpu"
        return self.body_model if on_cpu else copy.deepcopy(self.body_model).cpu()

    @property
    def mean_betas(self) -> torch.Tensor:
        """(N,) of as many betas as the network estimates."""
        return split_estimate(self.regressor.initial_estimate).betas

    @property
    def proxy_rule(self) -> ProxyRule:
        """Whose input the network wants: heatmaps, crops and detectors of ours, or the released."""
        return self.regressor.proxy_rule if isinstance(self.regressor, Regressor) else "own"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint to the CPU, and checks everything in it; nothing of it is run.

    Raises:
        InputError: the file is missing, is not a checkpoint, holds no weights, or something in it
            is not what it should be.
    """
    if not path.exists():
        raise InputError(f"no checkpoint at {path}; see 'Model checkpoints' in README.md")
    advice = f"it is damaged or a file of another kind; {ADVICE}"
    checkpoint = read_torch(path, "checkpoint", advice)
    if not isinstance(checkpoint, dict) or not _has_weights(checkpoint):
        raise InputError(
            f"{path} has neither best_model_state_dict nor model_state_dict; it is not a checkpoint"
            " of run_train.py or of the published STRAPS"
        )
    check_content(checkpoint, path)
    return checkpoint


def _has_weights(checkpoint: dict[str, Any]) -> bool:
    return any(checkpoint.get(f"{which}model_state_dict") for which in ("best_", ""))


def select_weights(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The best weights in a checkpoint, else the last ones, else an empty dictionary."""
    best, last = (checkpoint.get(f"{which}model_state_dict") for which in ("best_", ""))
    return best or last or {}


def load_regressor(
    checkpoint: dict[str, Any], body_model: BodyModel, path: Path, additional: Path = ADDITIONAL
) -> Network:
    """Rebuilds the network of a checkpoint, with its weights.

    Args:
        checkpoint: as `read_checkpoint` returns it.
        body_model: the body that it was trained for.
        path: named in errors.
        additional: folder with SMPL's mean parameters, which published checkpoints do not hold.

    Raises:
        InputError: the weights are not those of the network that the checkpoint names.
    """
    weights = {name: values.float() if values.is_floating_point() else values
               for name, values in select_weights(checkpoint).items()}  # fmt: skip
    options = read_network_options(checkpoint, path)
    stored = checkpoint.get("mean_parameters")
    mean = MeanParameters(**stored) if stored else read_mean_parameters("smpl", additional)
    with reading(path, f"checkpoint of a {describe_network(options)}", ADVICE):
        network = build_network(options, mean, body_model)
        _check_names(weights, network.state_dict())
        network.load_state_dict(weights)
    if "rounds" in checkpoint:
        network.rounds = checkpoint["rounds"]
    return network


def _check_names(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Raises ValueError unless the weights are those expected, by name and shape."""
    for names, problem in (
        (expected.keys() - weights.keys(), "are missing"),
        (weights.keys() - expected.keys(), "are not part of it"),
    ):
        if names:
            raise ValueError(f"{len(names)} of its weights {problem}, {min(names)} for one")
    for name, values in expected.items():
        if weights[name].shape != values.shape:
            found, wanted = tuple(weights[name].shape), tuple(values.shape)
            raise ValueError(f"{name} is {found}, expected {wanted}")


def read_network_options(checkpoint: dict[str, Any], path: Path) -> NetworkOptions:
    """What network a checkpoint holds: as its options say, or guessed where it has none.

    Checkpoints of the released code have no options: the shapes of their weights tell the layers
    and the channels, and their heatmaps are the released ones.

    Raises:
        InputError: the options cannot be read, or the weights are not a STRAPS regressor's.
    """
    options = checkpoint.get("options", {}).get("model")
    if options is not None:
        try:
            return parse_network_options(options)
        except ValueError as error:
            raise InputError(f"{path} has options that fit no network: {error}") from error
    by_features = {512 + PARAMETER_DIMS: 18, 2048 + PARAMETER_DIMS: 50}
    by_channels = {len(range(PROXY_CHANNELS)[seen]): name for name, seen in CHANNELS.items()}
    weights = select_weights(checkpoint)
    layers = by_features.get(_second_size(weights.get("ief_module.fc1.weight")))
    channels = _second_size(weights.get("image_encoder.conv1.weight"))
    if layers is None:
        raise InputError(f"{path} does not hold a STRAPS regressor with a ResNet-18 or ResNet-50")
    return NetworkOptions(
        resnet_layers=layers,
        proxy="own" if "body" in checkpoint else "published",
        params_from=by_channels.get(channels, "all"),
    )


def _second_size(weight: Any) -> int | None:
    """How many numbers a layer takes, by its weight; None where there is no such layer."""
    return weight.shape[1] if isinstance(weight, torch.Tensor) and weight.ndim >= 2 else None


def load_predictor(
    path: Path,
    device: torch.device,
    body: str | None = None,
    gender: str | None = None,
    additional: Path = ADDITIONAL,
    rounds: int | None = None,
    refine: bool = False,
    proxy: ProxyRule | None = None,
    mirror: bool = True,
) -> Predictor:
    """Loads a checkpoint for predicting.

    Args:
        path: a checkpoint.
        device: where the network and the body go.
        body: name of the body to use; None takes the one that the checkpoint was trained for, and
            SMPL with a published checkpoint, which does not say.
        gender: of the body; None takes the checkpoint's, and neutral with a published one. Of a
            checkpoint for the neutral body it is what is known of the people.
        additional: folder with the body-model files.
        rounds: of feedback; None takes what validation found best.
        refine: whether `models.refinement` follows, where the checkpoint says how its network errs.
        proxy: whose input the network is given; None for what it was trained with.
        mirror: whether a feedback regressor averages its estimate with that of the mirror image.

    Returns:
        Regressor and body model, both in evaluation mode.

    Raises:
        InputError: the checkpoint cannot be read, or is not fit for what is asked for.
    """
    checkpoint = read_checkpoint(path)
    body_model, known_gender = load_body(checkpoint.get("body"), body, gender, additional, path)
    regressor = load_regressor(checkpoint, body_model, path, additional)
    if isinstance(regressor, FeedbackRegressor):
        regressor.mirror = mirror
    if rounds is not None:
        set_rounds(regressor, rounds, path)
    if proxy is not None:
        set_proxy_rule(regressor, proxy, path)
    if refine and ERROR_COVARIANCE in checkpoint and isinstance(regressor, FeedbackRegressor):
        regressor = build_refiner(regressor, checkpoint[ERROR_COVARIANCE], path)
    return Predictor(
        regressor.eval().to(device),
        body_model.eval().to(device),
        checkpoint.get("image_size", REFERENCE_SIZE),
        checkpoint.get("best_epoch", checkpoint.get("epoch", 0)),
        known_gender,
    )


def load_body(
    identity: dict[str, Any] | None,
    body: str | None,
    gender: str | None,
    additional: Path,
    path: Path,
) -> tuple[BodyModel, str | None]:
    """The body that a checkpoint was trained for, or the one that was asked for.

    A checkpoint for the neutral body keeps it where a gender is given: that is then known of the
    people, and comes back beside the body.

    Args:
        identity: of the former; None where the checkpoint does not say: the neutral SMPL.
        body: name of the latter, if any.
        gender: of it or of the people, if any.
        additional: folder with the body-model files.
        path: of the checkpoint.

    Raises:
        InputError: its files are missing, or it is another than the checkpoint's.
    """
    trained_for = identity or {"name": "smpl", "gender": "neutral"}
    known = bool(identity) and identity["gender"] == "neutral" and gender in ("male", "female")
    wanted = trained_for["gender"] if known or not gender else gender
    loaded = BodyModel.load(body or trained_for["name"], wanted, additional)
    if identity:
        check_same_body(identity, loaded, path)
    return loaded, gender if known else None


def set_rounds(regressor: Network, rounds: int, path: Path) -> None:
    """Chooses the rounds of feedback; raises InputError for a network without any, or below 0."""
    if not isinstance(regressor, FeedbackRegressor):
        raise InputError(f"{path} holds a network without rounds of feedback; leave out --rounds")
    if rounds < 0:
        raise InputError(f"--rounds is {rounds}; expected 0 or more")
    regressor.rounds = rounds


def set_proxy_rule(regressor: Network, rule: ProxyRule, path: Path) -> None:
    """Chooses whose input it is given; raises InputError for a network without any heatmaps."""
    if isinstance(regressor, Regressor):
        regressor.proxy_rule = rule
    elif rule != "own":
        raise InputError(
            f"{path} holds a network that reads joints as numbers, not as heatmaps; leave out "
            f"--proxy {rule}"
        )


def build_refiner(regressor: FeedbackRegressor, covariance: Any, path: Path) -> Refiner:
    """A checkpoint's network with refinement after it.

    Raises:
        InputError: the covariance of its errors is none.
    """
    expected = (count_changes(regressor),) * 2
    if not isinstance(covariance, torch.Tensor) or covariance.shape != expected:
        raise InputError(f"{path}: {ERROR_COVARIANCE} is not a tensor of shape {expected}")
    return Refiner(regressor, covariance)


def check_same_body(identity: dict[str, Any], body_model: BodyModel, path: Path) -> None:
    """Raises InputError when a checkpoint was trained for another body than `body_model`."""
    found = body_model.identity
    if identity == found:
        return

    def words(of: dict[str, Any]) -> str:
        return (
            f"{of['name']}/{of['gender']} ({of['vertices']} vertices, {of['faces']} faces, "
            f"{of['hash']})"
        )

    raise InputError(
        f"{path} was trained for the body {words(identity)} but the body at hand is {words(found)};"
        " use a checkpoint trained for this body, or bring back that body's files"
    )
