"""The training loss: several mean squared errors whose weights are learnt."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from losses.options import LossOptions
from utils.alignment import scale_and_translation_align
from utils.tensors import pair_of, visibility_of

SMALLEST_DISTANCE = 1e-6  # below it distances are rounded off, in their own unit


class Comparison(NamedTuple):
    """What a term may need beside the two tensors that it compares."""

    target: dict[str, Tensor]
    point_errors: Callable[[Tensor], Tensor]  # of differences (B, N, C), as the options choose
    mean_over_processes: Callable[[Tensor], Tensor]


def mean_square(pred: Tensor, true: Tensor, _: Comparison) -> Tensor:
    """Mean squared error of numbers of any shape."""
    return (pred - true).square().mean()


def mean_point_error(pred: Tensor, true: Tensor, given: Comparison) -> Tensor:
    """Mean error of points (B, N, 3)."""
    return given.point_errors(pred - true).mean()


def mean_visible_error(pred: Tensor, true: Tensor, given: Comparison) -> Tensor:
    """Mean error of all visible joints (B, 17, 2) of the batch; 0 when there are none."""
    visibility = visibility_of(given.target, true)
    errors = given.point_errors(torch.where(visibility[..., None], pred - true, 0))
    visible = given.mean_over_processes(visibility.sum().float())
    return errors.sum() / (visible * errors.shape[2:].numel()).clamp(min=1)


def mean_aligned_distance(pred: Tensor, true: Tensor, _: Comparison) -> Tensor:
    """Mean distance of points (B, V, 3) after aligning scale and place."""
    return _distances(scale_and_translation_align(pred, true) - true).mean()


# What each term of the loss compares, and how; by the name of its weight in the options.
_TERMS = {
    "vertices": ("vertices", mean_point_error),
    "joints2d": ("joints2d_norm", mean_visible_error),
    "joints3d": ("joints3d", mean_point_error),
    "pose": ("pose_rotmats", mean_square),
    "betas": ("betas", mean_square),
    "tpose": ("vertices_tpose", mean_aligned_distance),
}


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
        self._point_errors = _squared_distances if options.error == "squared" else _distances
        weights = {name: float(getattr(options, name)) for name in _TERMS}
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
                joints2d_norm (B, 17, 2) in [-1, 1], pose_rotmats (B, 24, 3, 3), betas (B, N);
                those of the terms in use.
            target: the same, and visibility (B, 17) bool of the 2D joints. What is not visible may
                hold anything, nan included.

        Returns:
            The loss, a scalar; and each term's own mean error, unweighted and detached, by name
            `loss_<term>`.

        Raises:
            ValueError: a tensor is missing, or predicted and true shapes differ.
        """
        # In validation each process by itself: their shares may differ in length.
        mean = self._mean_over_processes if self.training else lambda values: values
        given = Comparison(target, self._point_errors, mean)
        total, terms = 0.0, {}
        for name, log_variance in self.log_variances.items():
            key, error_of = _TERMS[name]
            term = error_of(*pair_of(pred, target, key), given)
            total = total + torch.exp(-log_variance) * term + log_variance
            terms[f"loss_{name}"] = term.detach()
        return total, terms

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
