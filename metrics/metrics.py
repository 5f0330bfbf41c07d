"""Every metric of training, validation and evaluation, in one class.

Values stay on the device they are computed on; the host reads them once, in `compute()`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from utils.alignment import procrustes_align, scale_and_translation_align
from utils.tensors import pair_of, visibility_of

MM_PER_METRE = 1000.0


class Metrics:
    """Weighted means of all metrics over the samples seen since the last reset.

    A metric is computed when both dictionaries of an update hold what it is computed from:

    ==================== ====================================================================
    vertices             (B, V, 3) metres: pve, pve_sc, pve_pa (mm)
    vertices_tpose       (B, V, 3) metres: pve_t, pve_t_sc (mm)
    joints3d             (B, 14, 3) metres, LSP: mpjpe, mpjpe_sc, mpjpe_pa (mm)
    pose_rotmats         (B, 24, 3, 3): pose_mse
    betas                (B, N), as many as both have: shape_mse
    joints2d_px          (B, 17, 2) pixels, and target's visibility (B, 17): joints2d_l2 (pixels)
    silhouettes          (B, H, W) bool: silhouette_iou, of those pixels that target's counted
                         (B, H, W) bool counts, if it is given
    ==================== ====================================================================

    `_sc` is after aligning scale and translation, `_pa` after aligning rotation too (Procrustes).
    Every sample weighs the same, whatever the size of its batch; a sample without any visible joint
    does not count in joints2d_l2.
    """

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}  # by metric: (sum, number of samples), float64

    def reset(self) -> None:
        """Forget all samples."""
        self.totals = {}

    @torch.no_grad()
    def update(self, pred: dict[str, Tensor], target: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add a batch.

        Args:
            pred: predicted tensors by name, see the class; other names are ignored.
            target: the true ones.

        Returns:
            The samples' own values by metric, (B,) float32, on the device; nan for a sample that
            does not count.

        Raises:
            ValueError: predicted and true shapes differ, visibility is missing, or there is
                nothing to compute.
        """
        per_sample = {}
        for name, metric in _METRICS.items():
            if metric.key not in pred or metric.key not in target:
                continue
            pair = tuple(map(_to_float32, pair_of(pred, target, metric.key)))
            if metric.key == "joints2d_px":
                pair = (*pair, visibility_of(target, pair[1]))
            if metric.key == "silhouettes":
                pair = (*pair, target.get("counted"))
            values = metric.function(*pair)  # (B,)
            counts = _find_counted(name, target, values)  # (B,) bool
            self._add(name, values, counts)
            per_sample[name] = torch.where(counts, values, torch.nan)
        if not per_sample:
            keys = sorted({metric.key for metric in _METRICS.values()})
            raise ValueError(
                f"no metric can be computed from pred {sorted(pred)} and target {sorted(target)}: "
                f"both need at least one of {keys}"
            )
        return per_sample

    def compute(
        self, sum_over_processes: Callable[[Tensor], Tensor] = lambda values: values
    ) -> dict[str, float]:
        """Means by metric, nan where no sample counted; the only place that waits for the device.

        Args:
            sum_over_processes: of a tensor, where several have seen samples of their own.

        Raises:
            ValueError: if there was no update since the last reset.
        """
        if not self.totals:
            raise ValueError("no samples: update() must be called before compute()")
        totals = sum_over_processes(torch.stack(list(self.totals.values())))
        sums, counts = totals.unbind(dim=1)
        return dict(zip(self.totals, (sums / counts).tolist(), strict=True))

    def _add(self, name: str, values: Tensor, counts: Tensor) -> None:
        """Add a batch's values, 0 for the samples that do not count."""
        total = torch.stack([values.sum(dtype=torch.float64), counts.sum(dtype=torch.float64)])
        self.totals[name] = self.totals[name] + total if name in self.totals else total


def _mean_distance_mm(pred: Tensor, target: Tensor) -> Tensor:
    """Mean distance of corresponding points: (B, N, 3) metres to (B,) mm."""
    return (pred - target).norm(dim=-1).mean(dim=1) * MM_PER_METRE


def _mean_distance_sc_mm(pred: Tensor, target: Tensor) -> Tensor:
    return _mean_distance_mm(scale_and_translation_align(pred, target), target)


def _mean_distance_pa_mm(pred: Tensor, target: Tensor) -> Tensor:
    return _mean_distance_mm(procrustes_align(pred, target), target)


def _mean_squared_error(pred: Tensor, target: Tensor) -> Tensor:
    return (pred - target).square().flatten(1).mean(dim=1)


def _visible_distance_px(pred: Tensor, target: Tensor, visibility: Tensor) -> Tensor:
    """Mean distance of the visible joints: (B, J, 2) pixels to (B,); 0 where none is visible."""
    distance = torch.where(visibility, (pred - target).norm(dim=-1), 0)
    return distance.sum(dim=1) / visibility.sum(dim=1).clamp(min=1)


def silhouette_overlap(
    pred: Tensor, target: Tensor, counted: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(B,) pixels of the intersection and of the union; arguments are those of `silhouette_iou`."""
    pred, target = pred.bool(), target.bool()
    if counted is not None:
        pred, target = pred & counted, target & counted
    return (pred & target).sum(dim=(1, 2)), (pred | target).sum(dim=(1, 2))


def silhouette_iou(pred: Tensor, target: Tensor, counted: Tensor | None = None) -> Tensor:
    """Intersection over union of masks of the same crop.

    Args:
        pred: (B, H, W) bool.
        target: (B, H, W) bool.
        counted: (B, H, W) bool, pixels that count: outside the photo nothing can be seen. None
            counts all.

    Returns:
        (B,) in [0, 1]; 1 where both are empty.
    """
    intersection, union = silhouette_overlap(pred, target, counted)
    return torch.where(union > 0, intersection / union.clamp(min=1), 1.0)


class _Metric(NamedTuple):
    key: str  # of what it compares
    function: Callable[..., Tensor]


_METRICS = {
    "pve": _Metric("vertices", _mean_distance_mm),
    "pve_sc": _Metric("vertices", _mean_distance_sc_mm),
    "pve_pa": _Metric("vertices", _mean_distance_pa_mm),
    "pve_t": _Metric("vertices_tpose", _mean_distance_mm),
    "pve_t_sc": _Metric("vertices_tpose", _mean_distance_sc_mm),
    "mpjpe": _Metric("joints3d", _mean_distance_mm),
    "mpjpe_sc": _Metric("joints3d", _mean_distance_sc_mm),
    "mpjpe_pa": _Metric("joints3d", _mean_distance_pa_mm),
    "pose_mse": _Metric("pose_rotmats", _mean_squared_error),
    "shape_mse": _Metric("betas", _mean_squared_error),
    "joints2d_l2": _Metric("joints2d_px", _visible_distance_px),
    "silhouette_iou": _Metric("silhouettes", silhouette_iou),
}


def _to_float32(values: Tensor) -> Tensor:
    """Floats of any width as float32; masks and whole numbers as they are."""
    return values.float() if values.is_floating_point() else values


def _find_counted(name: str, target: dict[str, Tensor], values: Tensor) -> Tensor:
    """Which samples count: all, but for those without any visible joint to measure."""
    if name == "joints2d_l2":
        return target["visibility"].bool().any(dim=1)
    return torch.ones_like(values, dtype=torch.bool)
