"""What a step is made of: the loss of a batch, and figures that are summed up over batches."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from losses.multi_task import MultiTaskLoss
from metrics.metrics import Metrics
from models.body_model import BodyModel
from models.decoder import BodyParameters
from models.networks import Network
from synthesis.synthesiser import SyntheticBatch
from train.options import SELECTION_METRICS, SelectionMetric, SelectionRule
from utils.errors import InputError
from utils.processes import Ranks
from utils.proxy import Observation
from utils.tensors import autocast

EXTRA_ROUNDS = 2  # of feedback beyond those of training, which validation tries


class LossOf(nn.Module):
    """From a batch to its loss: what DistributedDataParallel wraps, learnt loss weights and all.

    Args:
        regressor: makes the estimates.
        criterion: compares them.
        decode: from parameters, and the reduced body that a network keeps or None, to what is
            compared.
        dtype: of the network's computations.
    """

    def __init__(
        self,
        regressor: Network,
        criterion: MultiTaskLoss,
        decode: Callable[[BodyParameters, BodyModel | None], dict[str, Tensor]],
        dtype: torch.dtype,
    ):
        super().__init__()
        self.regressor, self.criterion = regressor, criterion
        self._decode, self._dtype = decode, dtype

    def forward(
        self, observation: Observation, target: dict[str, Tensor]
    ) -> tuple[BodyParameters, Tensor, dict[str, Tensor]]:
        """The last estimate, the loss summed over all estimates, and its terms' means over them."""
        estimates = self.estimates(observation)
        count = len(estimates)
        # All at once, as one large batch: posing many bodies takes hardly longer than few.
        together = BodyParameters(*map(torch.cat, zip(*estimates, strict=True)))
        compared = {
            name: values.repeat(count, *(1 for _ in values.shape[1:]))
            for name, values in self.compared_target(target).items()
            if name != "silhouettes"  # large, and nothing that the loss compares
        }
        mean_loss, terms = self.criterion(self.compared_body(together), compared)
        last = BodyParameters(*(values.detach() for values in estimates[-1]))
        return last, count * mean_loss, terms

    def estimates(self, observation: Observation) -> list[BodyParameters]:
        """Every estimate that the network makes."""
        with autocast(observation.silhouettes.device, self._dtype):
            return self.regressor.estimates(observation)

    def compared_body(self, parameters: BodyParameters) -> dict[str, Tensor]:
        """The estimated body, reduced to the vertices that the network keeps."""
        return self._decode(parameters, self.regressor.body)

    def compared_target(self, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """The target reduced likewise."""
        kept = self.regressor.kept_vertices
        if kept is None:
            return target
        reduced = {
            name: target[name].mT.index_select(2, kept).mT
            for name in ("vertices", "vertices_tpose")
        }
        return {**target, **reduced}


class Means:
    """Weighted means of scalars, summed on the device and read when asked."""

    def __init__(self):
        self.sums: dict[str, Tensor] = {}
        self.weight = 0

    def add(self, values: dict[str, Tensor], weight: int = 1) -> None:
        """Adds one reading of each."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0) + value * weight
        self.weight += weight

    def compute(self, ranks: Ranks) -> dict[str, float]:
        """Means over all processes, by name; waits for the device."""
        sums = torch.stack([*self.sums.values()]).double()
        totals = ranks.sum(torch.cat([sums, sums.new_full((1,), self.weight)]))
        return dict(zip(self.sums, (totals[:-1] / totals[-1]).tolist(), strict=True))

    def check(self, ranks: Ranks) -> None:
        """Raises InputError, naming every term, when a sum is not finite."""
        check_finite(self.compute(ranks))


def check_finite(losses: dict[str, float]) -> None:
    """Raises InputError, naming every term, when a loss is not finite."""
    if not all(map(math.isfinite, losses.values())):
        terms = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        raise InputError(
            f"the loss is no longer a finite number ({terms}); lower the learning rate, or set "
            "max_grad_norm, and resume from the last checkpoint"
        )


class RoundsTrial:
    """Finds out in validation after how many rounds of feedback estimates are best."""

    def __init__(self, regressor: Network):
        self._regressor = regressor
        self._trained = regressor.rounds
        self._metrics = [Metrics() for _ in range(self._trained + EXTRA_ROUNDS + 1)]

    def measure(self, batch: SyntheticBatch, loss_of: LossOf) -> None:
        """Adds a batch; nothing is done for a network without rounds."""
        if not self._trained:
            return
        self._regressor.rounds = self._trained + EXTRA_ROUNDS
        target = loss_of.compared_target(batch.target)
        keys = ("vertices", "vertices_tpose", "joints3d")
        for metrics, parameters in zip(
            self._metrics, loss_of.estimates(batch.observation), strict=True
        ):
            body = loss_of.compared_body(parameters)
            metrics.update({key: body[key] for key in keys}, target)
        self._regressor.rounds = self._trained

    def compute(self, ranks: Ranks) -> dict[str, float]:
        """`best_rounds`, by `SELECTION_METRICS`; nothing for a network without rounds."""
        if not self._trained:
            return {}
        computed = [metrics.compute(ranks.sum) for metrics in self._metrics]
        errors = [sum(values[name] for name in SELECTION_METRICS) for values in computed]
        return {"best_rounds": errors.index(min(errors))}


def is_better(
    found: dict[str, float],
    best: dict[str, float],
    names: tuple[SelectionMetric, ...],
    rule: SelectionRule,
) -> bool:
    """Whether an epoch is better than the best one so far.

    Args:
        found: the epoch's metrics by name.
        best: those of the best epoch.
        names: of the metrics that count.
        rule: "sum": their sum must be less; "all", the rule of the released code: none of them may
            be more.
    """
    if rule == "sum":
        return sum(found[name] for name in names) < sum(best[name] for name in names)
    return all(found[name] <= best[name] for name in names)


def compile_network(regressor: Network, backend: str) -> None:
    """Lets torch.compile run the network, in place; names of weights stay as they are.

    Raises:
        InputError: torch has no such backend.
    """
    import torch._dynamo  # takes seconds to load, and is hardly ever asked for

    if backend not in torch._dynamo.list_backends(exclude_tags=None):
        raise InputError(
            f"--training.compile {backend}: torch has no such backend; expected one of "
            f"{', '.join(torch._dynamo.list_backends())}, or nothing"
        )
    for network in regressor.networks:
        network.compile(backend=backend)
