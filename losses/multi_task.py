"""The training loss: several mean squared errors whose weights are learnt."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from utils.alignment import scale_and_translation_align
from utils.tensors import pair_of, visibility_of

# What each term of the loss compares, by its name in the options.
_KEYS = {
    "vertices": "vertices",
    "joints2d": "joints2d_norm",
    "joints3d": "joints3d",
    "pose": "pose_rotmats",
    "betas": "betas",
    "tpose": "vertices_tpose",
}


SMALLEST_DISTANCE = 1e-6  # below it distances are rounded off, in their own unit


@dataclass(frozen=True)
class LossOptions:
    """Weight exp(-s) of every term when training begins; 0 leaves the term out."""

    vertices: float = 1.0  # posed vertices, metres
    joints2d: float = 0.1  # visible COCO joints, image coordinates in [-1, 1]
    joints3d: float = 1.0  # LSP joints, metres
    pose: float = 0.1  # rotation matrices
    betas: float = 0.1
    # Mean distance of T-posed vertices, metres, after aligning scale and place; published: 0.
    tpose: float = 0.0
    learn_weights: bool = True  # else they stay as they are here
    # Of vertices and joints: squared as published, or the distance itself, as metrics measure it.
    error: Literal["squared", "distance"] = "squared"


class MultiTaskLoss(nn.Module):
    """Sum over the terms of exp(-s) L + s, L a mean error, mostly squared, and s learnt.

    s is the logarithm of a task's variance: the loss is, but for constants, the negative
    log-likelihood of Gaussian errors. A. Kendall, Y. Gal, R. Cipolla, "Multi-Task Learning Using
    Uncertainty to Weigh Losses for Scene Geometry and Semantics", CVPR 2018, Eq. (7), in the form
    without its halves.

    Args:
        options: which terms there are and their first weights.
        mean_over_processes: of a tensor, where several share a batch in training; then the mean of
            their losses is the loss of the whole batch.

    Raises:
        ValueError: a weight is negative or not finite, or all are 0.
    """

    def __init__(
        self,
        options: LossOptions | None = None,
        mean_over_processes: Callable[[Tensor], Tensor] = lambda values: values,
    ) -> None:
        super().__init__()
        self._mean_over_processes = mean_over_processes
        options = LossOptions() if options is None else options
        self._of_points = _squared_distances if options.error == "squared" else _distances
        weights = {name: float(getattr(options, name)) for name in _KEYS}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"the loss weight of {name} is {weight}; 0 or more is needed")
        if not any(weights.values()):
            raise ValueError("all loss weights are 0; at least one must be above 0")
        self.log_variances = nn.ParameterDict(
            {
                name: nn.Parameter(
                    torch.tensor(-math.log(weight)), requires_grad=options.learn_weights
                )
                for name, weight in weights.items()
                if weight > 0
            }
        )

    def forward(
        self, pred: dict[str, Tensor], target: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weigh and add the terms of a batch.

        Args:
            pred: vertices and vertices_tpose (B, V, 3) and joints3d (B, 14, 3) in metres,
                joints2d_norm (B, 17, 2) in [-1, 1], pose_rotmats (B, 24, 3, 3), betas (B, 10);
                those of the terms in use.
            target: the same, and visibility (B, 17) bool of the 2D joints. What is not visible may
                hold anything, nan included.

        Returns:
            The loss, a scalar; and each term's own mean error, unweighted and detached, by name
            `loss_<term>`.

        Raises:
            ValueError: a tensor is missing, or predicted and true shapes differ.
        """
        total, terms = 0.0, {}
        for name, log_variance in self.log_variances.items():
            first, second = pair_of(pred, target, _KEYS[name])
            if name == "joints2d":
                term = self._mean_of_visible(first, second, target)
            elif name == "tpose":
                term = _distances(scale_and_translation_align(first, second) - second).mean()
            elif name in ("vertices", "joints3d"):
                term = self._of_points(first - second).mean()
            else:
                term = (first - second).square().mean()
            total = total + torch.exp(-log_variance) * term + log_variance
            terms[f"loss_{name}"] = term.detach()
        return total, terms

    def _mean_of_visible(self, pred: Tensor, true: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Mean error of all visible joints of the batch; 0 when there are none."""
        visibility = visibility_of(target, true)
        errors = self._of_points(torch.where(visibility[..., None], pred - true, 0))
        visible = visibility.sum().float()
        if self.training:
            visible = self._mean_over_processes(visible)
        return errors.sum() / (visible * errors.shape[2:].numel()).clamp(min=1)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The terms' present weights exp(-s), detached, by name."""
        return {name: torch.exp(-s.detach()) for name, s in self.log_variances.items()}


def _squared_distances(differences: Tensor) -> Tensor:
    """Squared differences (B, N, C), coordinate by coordinate."""
    return differences.square()


def _distances(differences: Tensor) -> Tensor:
    """Lengths (B, N) of differences (B, N, C), with a gradient at 0 too."""
    # Plane by plane: torch's norm over three numbers at a time takes many times longer.
    squared = differences.square().sum(dim=-1)
    return (squared + SMALLEST_DISTANCE**2).sqrt() - SMALLEST_DISTANCE
