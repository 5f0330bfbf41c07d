"""The training loss: several mean squared errors whose weights are learnt."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from utils.pairs import pair_of, visibility_of

# What each term of the loss compares, by its name in the options.
_KEYS = {
    "vertices": "vertices",
    "joints2d": "joints2d_norm",
    "joints3d": "joints3d",
    "pose": "pose_rotmats",
    "betas": "betas",
}


@dataclass(frozen=True)
class LossOptions:
    """Weight exp(-s) of every term when training begins; 0 leaves the term out."""

    vertices: float = 1.0  # posed vertices, metres
    joints2d: float = 0.1  # visible COCO joints, image coordinates in [-1, 1]
    joints3d: float = 1.0  # LSP joints, metres
    pose: float = 0.1  # rotation matrices
    betas: float = 0.1


class MultiTaskLoss(nn.Module):
    """Sum over the terms of exp(-s) L + s, L a mean squared error and s learnt.

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
        weights = {field.name: float(getattr(options, field.name)) for field in fields(options)}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"the loss weight of {name} is {weight}; 0 or more is needed")
        if not any(weights.values()):
            raise ValueError("all loss weights are 0; at least one must be above 0")
        self.log_variances = nn.ParameterDict(
            {
                name: nn.Parameter(torch.tensor(-math.log(weight)))
                for name, weight in weights.items()
                if weight > 0
            }
        )

    def forward(
        self, pred: dict[str, Tensor], target: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weigh and add the terms of a batch.

        Args:
            pred: vertices (B, V, 3) and joints3d (B, 14, 3) in metres, joints2d_norm (B, 17, 2) in
                [-1, 1], pose_rotmats (B, 24, 3, 3), betas (B, 10); those of the terms in use.
            target: the same, and visibility (B, 17) bool of the 2D joints. What is not visible may
                hold anything, nan included.

        Returns:
            The loss, a scalar; and each term's own mean squared error, unweighted and detached, by
            name `loss_<term>`.

        Raises:
            ValueError: a tensor is missing, or predicted and true shapes differ.
        """
        total, terms = 0.0, {}
        for name, log_variance in self.log_variances.items():
            first, second = pair_of(pred, target, _KEYS[name])
            if name == "joints2d":
                term = self._visible_mean_squared_error(first, second, target)
            else:
                term = (first - second).square().mean()
            total = total + torch.exp(-log_variance) * term + log_variance
            terms[f"loss_{name}"] = term.detach()
        return total, terms

    def _visible_mean_squared_error(
        self, pred: Tensor, true: Tensor, target: dict[str, Tensor]
    ) -> Tensor:
        """Mean over the coordinates of all visible joints of the batch; 0 when there are none."""
        visibility = visibility_of(target, true)
        squared = torch.where(visibility[..., None], pred - true, 0).square()  # (B, J, 2)
        visible = visibility.sum().float()
        if self.training:
            visible = self._mean_over_processes(visible)
        return squared.sum() / (visible * squared.shape[-1]).clamp(min=1)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The terms' present weights exp(-s), detached, by name."""
        return {name: torch.exp(-s.detach()) for name, s in self.log_variances.items()}
