"""Errors of a prediction where the truth lies beside the photo, as with the images in demo/."""

import logging
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.truth import Truth, read_truth, truth_path
from metrics.anatomy import Anatomy
from metrics.comparison import compare_people, measure_people
from metrics.measurements import Measurements
from models.body_model import BodyModel
from renderers.rasteriser import Rasteriser
from utils.cameras import crop_intrinsics
from utils.command_line import escape_controls
from utils.errors import InputError
from utils.rotations import pose_to_rotmats

log = logging.getLogger(__name__)

_WEIGHT = Measurements._fields.index("weight_kg")
_PRINTED = {
    "PVE-T-SC (mm)": "pve_t_sc",
    "PVE-PA (mm)": "pve_pa",
    "MPJPE-PA (mm)": "mpjpe_pa",
    "silhouette IoU": "silhouette_iou",
    "height error (cm)": "height_error",
    "weight error (kg)": "weight_error",
}
_COMPARED = ("vertices", "vertices_tpose", "joints3d", "cam_t", "cam_k", "crops")


class TruthComparer:
    """Compares predictions with true parameters, on the CPU and one person at a time.

    Args:
        body: that predicts.
        size: side S of the crop in which silhouettes are compared, pixels.
    """

    def __init__(self, body: BodyModel, size: int) -> None:
        self._faces, self._anatomy = body.faces.cpu(), Anatomy.of(body)
        self._rasteriser = Rasteriser(self._faces, body.face_parts.cpu(), image_size=size)
        self._size = size
        self._bodies: dict[tuple[str, str], BodyModel] = {}

    def errors_beside(
        self, photo: Path, person: dict[str, np.ndarray], measurements: Measurements
    ) -> dict[str, float] | None:
        """Errors of a prediction by name with unit, where its truth lies beside the photo.

        Args:
            photo: the image file.
            person: arrays of `models.decoder.Bodies.person`.
            measurements: of the same person.

        Returns:
            None where there is no truth, or none that can be used, which is logged.
        """
        try:
            path = truth_path(photo)
            if not path.is_file():
                return None
            return self._compare(person, measurements, read_truth(path))
        except Exception as error:  # the photo is done all the same, whatever is in that file
            known = isinstance(error, InputError | OSError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            text = f"{photo.name} is not compared with its truth: {' '.join(reason.split())}"
            log.warning("%s", escape_controls(text))
            return None

    def _compare(
        self, person: dict[str, np.ndarray], measurements: Measurements, truth: Truth
    ) -> dict[str, float]:
        pred, target = self.pair_with(person, measurements, truth)
        weights = [each["measurements"][:, _WEIGHT] for each in (pred, target)]
        errors = {**compare_people(pred, target), "weight_error": (weights[0] - weights[1]).abs()}
        shown = {label: errors[name].item() for label, name in _PRINTED.items()}
        if not all(map(math.isfinite, shown.values())):
            raise InputError("its values are those of no person")
        return shown

    @torch.inference_mode()
    def pair_with(
        self, person: dict[str, np.ndarray], measurements: Measurements, truth: Truth
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Prediction and truth as `metrics.comparison.compare_people` takes them.

        Args:
            person: arrays of `models.decoder.Bodies.person`.
            measurements: of the same person.
            truth: of the same photo.

        Raises:
            InputError: the truth is of a body that is not here or has another mesh.
        """
        predicted = {name: torch.from_numpy(person[name])[None] for name in _COMPARED}
        offsets = None if truth.offsets is None else truth.offsets[None]
        body = self._load_body(truth)(truth.betas[None], pose_to_rotmats(truth.pose)[None], offsets)
        true = {**body._asdict(), "cam_t": truth.cam_t[None], "cam_k": truth.cam_k[None]}
        crops = predicted["crops"]
        sizes = torch.tensor([measurements], dtype=torch.float64)
        true_sizes = measure_people(body.vertices_tpose, self._anatomy)
        return self._describe(predicted, sizes, crops), self._describe(true, true_sizes, crops)

    def _describe(
        self, person: dict[str, Tensor], measurements: Tensor, crops: Tensor
    ) -> dict[str, Tensor]:
        vertices_cam = person["vertices"] + person["cam_t"][:, None]
        crop_k = crop_intrinsics(person["cam_k"], crops, self._size)
        return {
            **{name: person[name] for name in ("vertices", "vertices_tpose", "joints3d")},
            "measurements": measurements,
            "silhouettes": self._rasteriser.part_segmentation(vertices_cam, crop_k) > 0,
        }

    def _load_body(self, truth: Truth) -> BodyModel:
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
