"""Reads checkpoints, ours and the published ones, and rebuilds what predicts from them."""

import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from models.body_model import BodyModel, MeanParameters, read_mean_parameters
from models.regressor import IEF_ITERATIONS, PARAMETER_DIMS, RESNET_LAYERS, Regressor
from utils.errors import InputError
from utils.paths import ADDITIONAL
from utils.proxy import REFERENCE_SIZE

# Metrics in a checkpoint may be numpy scalars; these are what pickling one refers to.
_NUMPY_SCALARS = [
    np.core.multiarray.scalar,
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_)),
]


class Predictor(NamedTuple):
    """A trained regressor with the body that it was trained for."""

    regressor: Regressor
    body_model: BodyModel
    image_size: int  # side of the crop, pixels
    epoch: int


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint to the CPU without running code from it.

    Raises:
        InputError: the file is missing, is not a checkpoint, or holds no weights.
    """
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; see 'Model checkpoints' in README.md")
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        size = path.stat().st_size  # torch's own words advise to run what is in the file
        raise InputError(
            f"{path} ({size} bytes) is not a readable checkpoint: it is damaged or a file of "
            "another kind; get or export it again"
        ) from error
    if not isinstance(checkpoint, dict) or not weights_of(checkpoint):
        raise InputError(
            f"{path} has neither best_model_state_dict nor model_state_dict; it is not a checkpoint"
            " of run_train.py or of the published STRAPS"
        )
    return checkpoint


def weights_of(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The best weights in a checkpoint, else the last ones, else an empty dictionary."""
    best, last = (checkpoint.get(f"{which}model_state_dict") for which in ("best_", ""))
    return best or last or {}


def regressor_of(
    checkpoint: dict[str, Any], path: Path, additional: Path = ADDITIONAL
) -> Regressor:
    """Rebuilds the regressor of a checkpoint, with its weights.

    Args:
        checkpoint: as `read_checkpoint` returns it.
        path: named in errors.
        additional: folder with SMPL's mean parameters, which published checkpoints do not hold.

    Raises:
        InputError: the weights are not those of this network.
    """
    weights = {name: values.float() if values.is_floating_point() else values
               for name, values in weights_of(checkpoint).items()}  # fmt: skip
    by_features = {512 + PARAMETER_DIMS: 18, 2048 + PARAMETER_DIMS: 50}
    first = weights.get("ief_module.fc1.weight")
    layers = by_features.get(first.shape[1]) if first is not None and first.ndim == 2 else None
    if layers not in RESNET_LAYERS:
        raise InputError(f"{path} does not hold a STRAPS regressor with a ResNet-18 or ResNet-50")
    stored = checkpoint.get("mean_parameters")
    mean = MeanParameters(**stored) if stored else read_mean_parameters("smpl", additional)
    model_options = checkpoint.get("options", {}).get("model", {})
    regressor = Regressor(mean, layers, model_options.get("ief_iterations", IEF_ITERATIONS))
    try:
        regressor.load_state_dict(weights)
    except RuntimeError as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{path} does not fit a ResNet-{layers} regressor: {problem}") from error
    return regressor


def load_predictor(
    path: Path,
    device: torch.device,
    body: str | None = None,
    gender: str | None = None,
    additional: Path = ADDITIONAL,
) -> Predictor:
    """Loads a checkpoint for predicting.

    Args:
        path: a checkpoint.
        device: where the network and the body go.
        body: name of the body to use; None takes the one that the checkpoint was trained for, and
            SMPL with a published checkpoint, which does not say.
        gender: of that body; None takes the checkpoint's, and neutral with a published one.
        additional: folder with the body-model files.

    Returns:
        Regressor and body model, both in evaluation mode.

    Raises:
        InputError: the checkpoint cannot be read or was trained for another body.
    """
    checkpoint = read_checkpoint(path)
    identity = checkpoint.get("body")
    trained_for = identity or {"name": "smpl", "gender": "neutral"}
    body_model = BodyModel.load(
        body or trained_for["name"], gender or trained_for["gender"], additional
    )
    if identity:
        check_same_body(identity, body_model, path)
    return Predictor(
        regressor_of(checkpoint, path, additional).eval().to(device),
        body_model.eval().to(device),
        checkpoint.get("image_size", REFERENCE_SIZE),
        checkpoint.get("best_epoch", checkpoint.get("epoch", 0)),
    )


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
