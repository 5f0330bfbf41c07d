"""Every metric of training, validation and evaluation, in one class.

Values stay on the device they are computed on; the host reads them once, in `compute()`. Nothing
here waits for the device: the alignments have no SVD (torch's checks its result on the host).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from utils.pairs import pair_of, visibility_of

MM_PER_METRE = 1000.0
# Squarings in `_optimal_rotation`, each doubling the decimals of the answer: 20 are enough for
# points that lie on one line but for a 300th part of their spread.
_SQUARINGS = 20


def scale_and_translation_align(pred: Tensor, target: Tensor) -> Tensor:
    """Scale and shift points to another set's mean and size.

    Both are centred, the prediction is scaled to the target's root mean square distance from its
    mean, and the target's mean is added.

    Args:
        pred: (B, N, 3), any unit.
        target: (B, N, 3), row i belonging to row i of `pred`.

    Returns:
        (B, N, 3) the aligned prediction; the target's mean where all predicted points coincide.
    """
    pred_centred = pred - pred.mean(dim=1, keepdim=True)
    target_mean = target.mean(dim=1, keepdim=True)
    target_size = _squared_size(target - target_mean).sqrt()
    scale = target_size / _not_zero(_squared_size(pred_centred)).sqrt()
    return scale * pred_centred + target_mean


def procrustes_align(pred: Tensor, target: Tensor) -> Tensor:
    """Rotate, scale and shift points to lie closest to another set, in least squares.

    The rotation is proper, never a reflection. B. Horn, "Closed-form solution of absolute
    orientation using unit quaternions", JOSA A 1987.

    Args:
        pred: (B, N, 3), any unit.
        target: (B, N, 3), row i belonging to row i of `pred`.

    Returns:
        (B, N, 3) the aligned prediction; the target's mean where all predicted points coincide.
    """
    pred_mean, target_mean = pred.mean(dim=1, keepdim=True), target.mean(dim=1, keepdim=True)
    pred_centred, target_centred = pred - pred_mean, target - target_mean
    # Sums of products here and not matmul: autocast and TF32 would round those to 3 digits.
    covariance = (pred_centred[..., :, None] * target_centred[..., None, :]).sum(dim=1)  # (B, 3, 3)
    rotation = _optimal_rotation(covariance)
    rotated = (rotation[:, None] * pred_centred[..., None, :]).sum(dim=-1)
    overlap = (rotated * target_centred).sum(dim=(1, 2), keepdim=True)
    scale = overlap / _not_zero(_squared_size(pred_centred))
    return scale * rotated + target_mean


class Metrics:
    """Weighted means of all metrics over the samples seen since the last reset.

    A metric is computed when both dictionaries of an update hold what it is computed from:

    ==================== ====================================================================
    vertices             (B, V, 3) metres: pve, pve_sc, pve_pa (mm)
    tpose_vertices       (B, V, 3) metres: pve_t, pve_t_sc (mm)
    joints3d             (B, 14, 3) metres, LSP: mpjpe, mpjpe_sc, mpjpe_pa (mm)
    pose_rotmats         (B, 24, 3, 3): pose_mse
    betas                (B, 10): shape_mse
    joints2d_px          (B, 17, 2) pixels, and target's visibility (B, 17): joints2d_l2 (pixels)
    silhouettes          (B, H, W) bool: silhouette_iou, 1 where both are empty
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
            pair = tuple(map(_numbers, pair_of(pred, target, metric.key)))
            if metric.key == "joints2d_px":
                pair = (*pair, visibility_of(target, pair[1]))
            values = metric.function(*pair)  # (B,)
            counts = _counts(name, target, values)  # (B,) bool
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


def _squared_size(centred: Tensor) -> Tensor:
    """(B, N, 3) to (B, 1, 1), the sum of squares."""
    return centred.square().sum(dim=(1, 2), keepdim=True)


def _not_zero(values: Tensor) -> Tensor:
    return values.clamp(min=torch.finfo(values.dtype).tiny)


def _optimal_rotation(covariance: Tensor) -> Tensor:
    """The rotation R that maximises trace(R S): (B, 3, 3) to (B, 3, 3).

    Its quaternion is the eigenvector of Horn's symmetric 4 x 4 matrix with the largest eigenvalue.
    Shifted to have no negative eigenvalue and squared again and again, the matrix tends to the
    projection on that eigenvector, of which every column is a multiple. Where eigenvalues are
    equal (points on one line) it tends to the projection on a plane of equally good answers.
    """
    s = covariance.double()  # which also keeps autocast away from the products
    xx, xy, xz, yx, yy, yz, zx, zy, zz = s.flatten(1).unbind(1)
    rows = [
        torch.stack([xx + yy + zz, yz - zy, zx - xz, xy - yx], dim=-1),
        torch.stack([yz - zy, xx - yy - zz, xy + yx, zx + xz], dim=-1),
        torch.stack([zx - xz, xy + yx, yy - xx - zz, yz + zy], dim=-1),
        torch.stack([xy - yx, zx + xz, yz + zy, zz - xx - yy], dim=-1),
    ]
    horn = torch.stack(rows, dim=1)  # (B, 4, 4)
    power = horn / _not_zero(horn.norm(dim=(1, 2), keepdim=True))
    power = power + torch.eye(4, dtype=power.dtype, device=power.device)
    for _ in range(_SQUARINGS):
        power = power @ power
        power = power / power.norm(dim=(1, 2), keepdim=True)
    largest = power.diagonal(dim1=1, dim2=2).argmax(dim=1)  # the column furthest from zero
    quaternion = power.gather(2, largest[:, None, None].expand(-1, 4, 1))[..., 0]
    quaternion = quaternion / quaternion.norm(dim=1, keepdim=True)
    return _quaternion_to_rotmat(quaternion).to(covariance.dtype)


def _quaternion_to_rotmat(quaternion: Tensor) -> Tensor:
    """Unit quaternions (w, x, y, z) (B, 4) to (B, 3, 3)."""
    w, x, y, z = quaternion.unbind(-1)
    entries = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


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


def intersection_over_union(pred: Tensor, target: Tensor) -> Tensor:
    """Of masks (B, H, W) bool: (B,) in [0, 1], 1 where both are empty."""
    pred, target = pred.bool(), target.bool()
    intersection = (pred & target).sum(dim=(1, 2))
    union = (pred | target).sum(dim=(1, 2))
    return torch.where(union > 0, intersection / union.clamp(min=1), 1.0)


class _Metric(NamedTuple):
    key: str  # of what it compares
    function: Callable[..., Tensor]


_METRICS = {
    "pve": _Metric("vertices", _mean_distance_mm),
    "pve_sc": _Metric("vertices", _mean_distance_sc_mm),
    "pve_pa": _Metric("vertices", _mean_distance_pa_mm),
    "pve_t": _Metric("tpose_vertices", _mean_distance_mm),
    "pve_t_sc": _Metric("tpose_vertices", _mean_distance_sc_mm),
    "mpjpe": _Metric("joints3d", _mean_distance_mm),
    "mpjpe_sc": _Metric("joints3d", _mean_distance_sc_mm),
    "mpjpe_pa": _Metric("joints3d", _mean_distance_pa_mm),
    "pose_mse": _Metric("pose_rotmats", _mean_squared_error),
    "shape_mse": _Metric("betas", _mean_squared_error),
    "joints2d_l2": _Metric("joints2d_px", _visible_distance_px),
    "silhouette_iou": _Metric("silhouettes", intersection_over_union),
}


def _numbers(values: Tensor) -> Tensor:
    """Floats of any width as float32; masks and whole numbers as they are."""
    return values.float() if values.is_floating_point() else values


def _counts(name: str, target: dict[str, Tensor], values: Tensor) -> Tensor:
    """Which samples count: all, but for those without any visible joint to measure."""
    if name == "joints2d_l2":
        return target["visibility"].bool().any(dim=1)
    return torch.ones_like(values, dtype=torch.bool)
