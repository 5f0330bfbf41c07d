"""True parameters that lie beside a photo, as with the images in demo/, and what they predict.

A file `<stem>_truth.npz` beside `<stem>.jpg` holds body (str), gender (str), body_hash (str),
betas (10,), pose (72,) axis-angle with the root in the camera frame, cam_t (3,) metres and
cam_k (3, 3), the pinhole camera of the whole photo in pixels. Other keys are ignored.
"""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metrics.measurements import measure
from metrics.metrics import Metrics
from models.body_model import BodyModel
from renderers.rasteriser import Rasteriser
from utils.cameras import crop_intrinsics
from utils.errors import InputError
from utils.joints import LSP14_IN_90
from utils.readers import read_npz
from utils.rotations import axis_angle_to_rotmat

log = logging.getLogger(__name__)

TRUTH_ENDING = "_truth.npz"
_SHAPES = {"betas": (10,), "pose": (72,), "cam_t": (3,), "cam_k": (3, 3)}
_WORDS = ("body", "gender", "body_hash")


class Truth(NamedTuple):
    """The person in a photo as they truly are."""

    body: str
    gender: str
    body_hash: str
    betas: Tensor  # (10,)
    pose: Tensor  # (72,) axis-angle, rad
    cam_t: Tensor  # (3,) metres
    cam_k: Tensor  # (3, 3) pixels of the photo


class Comparison(NamedTuple):
    """Prediction and truth as `metrics.metrics.Metrics.update` takes them, and sizes."""

    pred: dict[str, Tensor]
    target: dict[str, Tensor]
    height_error_m: float
    weight_error_kg: float


def truth_path(photo: Path) -> Path:
    """Where the truth of a photo lies, if there is one."""
    return photo.with_name(photo.stem + TRUTH_ENDING)


def read_truth(path: Path) -> Truth:
    """Reads a truth file.

    Raises:
        InputError: it cannot be read, or a key is missing or has another shape.
    """
    arrays = read_npz(path, (*_SHAPES, *_WORDS))
    for key, shape in _SHAPES.items():
        if arrays[key].shape != shape:
            raise InputError(f"{path}: {key} has shape {arrays[key].shape}, expected {shape}")
        if arrays[key].dtype.kind not in "fiu" or not np.isfinite(arrays[key]).all():
            raise InputError(f"{path}: {key} has values that are not finite numbers")
    numbers = {key: torch.from_numpy(arrays[key].astype(np.float32)) for key in _SHAPES}
    return Truth(**numbers, **{key: str(arrays[key]) for key in _WORDS})


class TruthComparer:
    """Compares predictions with true parameters.

    Args:
        faces: (F, 3) of the body that predicts.
        face_parts: (F,) its labels.
        size: side S of the crop in which silhouettes are compared, pixels.
    """

    def __init__(self, faces: Tensor, face_parts: Tensor, size: int) -> None:
        """Works on the CPU, one person at a time."""
        self._faces = faces.cpu()
        self._rasteriser = Rasteriser(self._faces, face_parts.cpu(), image_size=size)
        self._size = size
        self._bodies: dict[tuple[str, str], BodyModel] = {}

    def errors_beside(self, photo: Path, person: dict[str, np.ndarray]) -> dict[str, float] | None:
        """Errors of a prediction by name with unit, where its truth lies beside the photo.

        Args:
            photo: the image file.
            person: arrays of `predict.pipeline.Bodies.person`.

        Returns:
            None where there is no truth, or none that can be used, which is logged.
        """
        path = truth_path(photo)
        try:
            if not path.is_file():
                return None
            compared = self.compare(person, read_truth(path))
        except (InputError, OSError) as error:
            log.warning("%s is not compared with its truth: %s", photo.name, error)
            return None
        metrics = Metrics()
        metrics.update(compared.pred, compared.target)
        values = metrics.compute()
        return {
            "PVE-T-SC (mm)": values["pve_t_sc"],
            "PVE-PA (mm)": values["pve_pa"],
            "MPJPE-PA (mm)": values["mpjpe_pa"],
            "silhouette IoU": values["silhouette_iou"],
            "height error (cm)": 100 * abs(compared.height_error_m),
            "weight error (kg)": abs(compared.weight_error_kg),
        }

    @torch.inference_mode()
    def compare(self, person: dict[str, np.ndarray], truth: Truth) -> Comparison:
        """Sets a prediction against the truth.

        Args:
            person: arrays of `predict.pipeline.Bodies.person`.
            truth: of the same photo.

        Raises:
            InputError: the truth is of a body that is not here or has another mesh.
        """
        body = self._body_of(truth)
        predicted = {name: torch.from_numpy(value)[None] for name, value in person.items()}
        betas, rotmats = (
            truth.betas[None],
            axis_angle_to_rotmat(truth.pose.unflatten(0, (-1, 3)))[None],
        )
        output = body(betas, rotmats)
        true = {
            "vertices": output.vertices,
            "joints3d": output.joints3d,
            "vertices_tpose": output.tpose_vertices,
            "cam_t": truth.cam_t[None],
            "cam_k": truth.cam_k[None],
        }
        crops = predicted["crops"]
        pred, target = self._for_metrics(predicted, crops), self._for_metrics(true, crops)
        sizes = [
            measure(tensors["tpose_vertices"][0].numpy(), self._faces.numpy())
            for tensors in (pred, target)
        ]
        return Comparison(
            pred,
            target,
            height_error_m=sizes[0].height_m - sizes[1].height_m,
            weight_error_kg=sizes[0].weight_kg - sizes[1].weight_kg,
        )

    def _for_metrics(self, person: dict[str, Tensor], crops: Tensor) -> dict[str, Tensor]:
        vertices_cam = person["vertices"] + person["cam_t"][:, None]
        crop_k = crop_intrinsics(person["cam_k"], crops, self._size)
        return {
            "vertices": person["vertices"],
            "tpose_vertices": person["vertices_tpose"],
            "joints3d": person["joints3d"][:, LSP14_IN_90],
            "silhouettes": self._rasteriser.part_segmentation(vertices_cam, crop_k) > 0,
        }

    def _body_of(self, truth: Truth) -> BodyModel:
        key = (truth.body, truth.gender)
        if key not in self._bodies:
            self._bodies[key] = BodyModel.load(*key).eval()
        body = self._bodies[key]
        if body.identity["hash"] != truth.body_hash:
            raise InputError(
                f"the truth is of another version of the body {truth.body}/{truth.gender} "
                f"({truth.body_hash}) than the one here ({body.identity['hash']})"
            )
        if not torch.equal(body.faces, self._faces):
            raise InputError(
                f"the truth's body {truth.body} has another mesh than the prediction's"
            )
        return body
