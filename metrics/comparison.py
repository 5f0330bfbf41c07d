"""The comparison of predicted people with the true ones: the same for predicting and evaluating.

3D metrics compare bodies that are put together at the Human3.6M pelvis, as is customary. From one
photo without a scale a body's size cannot be seen, only its proportions. So girths are compared
twice: as predicted, and with the true height given, which is how a tailor would use them.
"""

import numpy as np
import torch
from torch import Tensor

from metrics.anatomy import Anatomy
from metrics.measurements import Measurements, measure
from metrics.metrics import Metrics
from utils.joints import BODY_MODEL_JOINTS, LSP14_IN_90

CM_PER_METRE = 100.0
HEIGHT = "height_m"
GIRTHS = ("chest_m", "waist_m", "hips_m")  # of `Measurements`
_PELVIS = BODY_MODEL_JOINTS.index("h36m_pelvis")


def compare_people(pred: dict[str, Tensor], target: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every metric of B people that can be computed from what is known of both.

    Args:
        pred: predicted tensors by name: joints3d (B, 90, 3) metres, and of those that
            `metrics.metrics.Metrics` names, vertices and vertices_tpose where the meshes are the
            same, pose_rotmats, betas, joints2d_px and silhouettes of one crop; measurements (B, N)
            as `measure_people` returns them.
        target: the true ones, with the visibility of joints2d_px and, where it matters, which
            pixels of the silhouettes are counted.

    Returns:
        (B,) by metric, see `Metrics` and `size_errors`; nan for a sample that does not count.
    """
    values = Metrics().update(_centre(pred), _centre(target))
    if "measurements" in pred and "measurements" in target:
        values |= size_errors(pred["measurements"], target["measurements"])
    return values


def _centre(people: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same with the pelvis in the origin, and of the joints those that metrics compare."""
    pelvis = people["joints3d"][:, _PELVIS : _PELVIS + 1]
    centred = {"joints3d": people["joints3d"][:, LSP14_IN_90] - pelvis}
    if "vertices" in people:
        centred["vertices"] = people["vertices"] - pelvis
    return {**people, **centred}


def measure_people(vertices_tpose: Tensor, anatomy: Anatomy) -> Tensor:
    """Measures B bodies.

    Args:
        vertices_tpose: (B, V, 3) metres, y up.
        anatomy: of the same mesh.

    Returns:
        (B, N) float64 on the CPU, the fields of `Measurements`.
    """
    measured = [measure(body, anatomy) for body in vertices_tpose.cpu().numpy()]
    return torch.from_numpy(np.array(measured).reshape(-1, len(Measurements._fields)))


def size_errors(pred: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Absolute errors of height and girths, in cm.

    With the height given, the predicted body is scaled to the true height before it is measured.
    Its girths grow by the same factor, since they are taken at shares of the height.

    Args:
        pred: (B, N) the fields of `Measurements`, as `measure_people` returns them.
        target: (B, N) the true ones.

    Returns:
        (B,) by metric: "height_error", then for each girth, such as the chest, "chest_error" and
        "chest_error_with_height".
    """
    predicted, true = (
        dict(zip(Measurements._fields, each.unbind(dim=1), strict=True)) for each in (pred, target)
    )
    scale = true[HEIGHT] / predicted[HEIGHT]
    errors = {"height_error": _distance_cm(predicted[HEIGHT], true[HEIGHT])}
    for name in GIRTHS:
        metric = f"{name.removesuffix('_m')}_error"
        errors[metric] = _distance_cm(predicted[name], true[name])
        errors[f"{metric}_with_height"] = _distance_cm(scale * predicted[name], true[name])
    return errors


def _distance_cm(pred: Tensor, target: Tensor) -> Tensor:
    return CM_PER_METRE * (pred - target).abs()
