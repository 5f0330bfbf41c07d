"""How far the measurements of predicted bodies are from the true ones.

From one photo without a scale a body's size cannot be seen, only its proportions. So girths are
compared twice: as predicted, and with the true height given, which is how a tailor would use them.
"""

import numpy as np
import torch
from torch import Tensor

from metrics.measurements import Measurements, measure

CM_PER_METRE = 100.0
HEIGHT = "height_m"
GIRTHS = ("chest_m", "waist_m", "hips_m")  # of `Measurements`


def measure_people(vertices_tpose: Tensor, faces: Tensor) -> Tensor:
    """Measures B bodies.

    Args:
        vertices_tpose: (B, V, 3) metres, y up.
        faces: (F, 3) of a closed mesh.

    Returns:
        (B, 5) float64 on the CPU, the fields of `Measurements`.
    """
    triangles = faces.cpu().numpy()
    measured = [measure(body, triangles) for body in vertices_tpose.cpu().numpy()]
    return torch.from_numpy(np.array(measured).reshape(-1, len(Measurements._fields)))


def size_errors(pred: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Absolute errors of height and girths, in cm.

    With the height given, the predicted body is scaled to the true height before it is measured.
    Its girths grow by the same factor, since they are taken at shares of the height.

    Args:
        pred: (B, 5) the fields of `Measurements`, as `measure_people` returns them.
        target: (B, 5) the true ones.

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
