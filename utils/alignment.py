"""Alignment of corresponding point sets, without anything that waits for the device.

There is no SVD here: torch's checks its result on the host.
"""

import torch
from torch import Tensor

from utils.rotations import quaternion_to_rotmat

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
    return quaternion_to_rotmat(quaternion).to(covariance.dtype)
