"""Training and validation: one step serves both."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from losses.multi_task import MultiTaskLoss
from metrics.metrics import Metrics
from models.decoder import BodyParameters, decode_in_crops, split_estimate
from models.feedback import FeedbackRegressor
from models.regressor import Regressor
from renderers.rasteriser import render_silhouettes
from synthesis.observed_people import ObservedPairs
from synthesis.options import AugmentationOptions
from synthesis.synthesiser import Synthesiser, SyntheticBatch
from utils.devices import Precision, autocast, network_dtype
from utils.errors import InputError
from utils.processes import ALONE, Ranks
from utils.proxy import Observation

# The best epoch has the lowest sum of these, in millimetres.
SELECTION_METRICS = ("pve_pa", "mpjpe_pa")
EXTRA_ROUNDS = 2  # of feedback beyond those of training, which validation tries


@dataclass(frozen=True)
class TrainingOptions:
    """How the regressor is optimised; the defaults are those of the published system."""

    epochs: int = 100
    batch_size: int = 140
    samples_per_epoch: int = 0  # poses drawn an epoch without repeating; 0 takes all
    val_batch_size: int = 64
    optimiser: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0  # of the network, by adamw
    lr: float = 1e-4  # learning rate, after warm-up
    lr_schedule: Literal["constant", "cosine"] = "constant"  # cosine falls to 1 % at the last epoch
    warmup_steps: int = 0
    max_grad_norm: float = 0.0  # gradients are scaled down to this norm; 0 leaves them alone
    ema: float = 0.0  # decay of averaged weights, which validation and the best epoch use; 0: none
    precision: Precision = "auto"  # of the network: bf16 (by autocast), fp32, auto: the faster
    channels_last: bool = True
    compile: str = ""  # torch.compile's backend for the network: inductor, cudagraphs ...; "": none
    log_every: int = 50  # steps between readings of the loss, which wait for the device
    metrics_every: int = 10  # training metrics are measured on every n-th step
    seed: int = 0


class Trainer:
    """Owns the network, the loss, the optimiser and how far they have come.

    Args:
        regressor: trained in place.
        synthesiser: makes the batches.
        criterion: its weights are learnt with the network's.
        options: of the optimisation.
        device: where everything runs.
        ranks: which of several processes this one is.
        observed: people as a detector saw them, to be mixed into the batches of training.

    Raises:
        InputError: the processes cannot share a batch equally.
    """

    def __init__(
        self,
        regressor: Regressor | FeedbackRegressor,
        synthesiser: Synthesiser,
        criterion: MultiTaskLoss,
        options: TrainingOptions,
        device: torch.device,
        ranks: Ranks = ALONE,
        observed: ObservedPairs | None = None,
    ):
        """Moves everything to the device and makes the optimiser."""
        self.regressor = regressor.to(device=device, memory_format=_memory_format(options))
        self.synthesiser = synthesiser.to(device)
        self.observed = None if observed is None else observed.to(device)
        self.criterion = criterion.to(device)
        self.options = options
        self.device = device
        self.ranks = ranks
        ranks.check_batch(options.batch_size)
        if options.compile:
            compile_network(self.regressor, options.compile)
        self._loss_of = _LossOf(self.regressor, self.criterion, synthesiser, options)
        self._shared_loss_of = self._loss_of
        if ranks.size > 1:
            self._shared_loss_of = DistributedDataParallel(self._loss_of)
        self.optimiser = _build_optimiser(options, self.regressor, self.criterion)
        self._average: AveragedModel | None = None
        self.validated, self._validation_loss_of = self.regressor, self._loss_of
        if options.ema > 0:
            average = get_ema_multi_avg_fn(options.ema)
            self._average = AveragedModel(self.regressor, multi_avg_fn=average)
            self.validated = self._average.module
            self._validation_loss_of = _LossOf(self.validated, criterion, synthesiser, options)
        self.epoch = 0  # epochs finished
        self.step = 0  # optimiser steps taken
        self.samples_seen = 0
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.best_metrics: dict[str, float] = {}
        self.best_weights: dict[str, Tensor] = {}

    def train_epoch(
        self, poses: Tensor, augmentation: AugmentationOptions, progress: Callable
    ) -> dict[str, float]:
        """One pass over the training poses.

        Args:
            poses: (N, 72) on the device.
            augmentation: of the synthetic data.
            progress: wraps the iterable of batches, e.g. `tqdm`.

        Returns:
            Loss terms, metrics and speed of the epoch, by name.

        Raises:
            InputError: the loss is not a finite number.
        """
        options = self.options
        # The order is the same in all processes, what is drawn for a sample is each one's own.
        order_generator = self._generator(self.epoch, stream=0)
        generator = self._generator(self.epoch, stream=2 + self.ranks.rank)
        count = epoch_length(options, len(poses))
        if count < self.ranks.size:
            raise InputError(f"{count} training poses are too few for {self.ranks.size} processes")
        order = torch.randperm(len(poses), generator=order_generator, device=self.device)
        batches = order[:count].split(options.batch_size)
        total_steps = options.epochs * len(batches)
        readings, metrics = _Mean(), Metrics()
        self._loss_of.train()
        start = time.perf_counter()
        for number, index in enumerate(progress(batches)):
            self._set_learning_rate(total_steps)
            share = poses[self.ranks.share_of(index)]
            batch = self.make_batch(share, augmentation, generator)
            prediction, terms = self.train_step(batch)
            readings.add(terms)
            if number % options.metrics_every == 0:
                self._measure(metrics, prediction, batch)
            if (number + 1) % options.log_every == 0:
                readings.check(self.ranks)
        self.samples_seen += count
        readings.check(self.ranks)
        speed = count / (time.perf_counter() - start)
        return {
            **readings.compute(self.ranks),
            **metrics.compute(self.ranks.sum),
            "samples_per_second": speed,
        }

    def make_batch(
        self, poses: Tensor, augmentation: AugmentationOptions, generator: Generator
    ) -> SyntheticBatch:
        """People to train on: in these poses, or for a share of them observed ones instead.

        Args:
            poses: (B, 72) on the device.
            augmentation: of the synthetic people.
            generator: random numbers, on the device.
        """
        count = 0 if self.observed is None else int(self.observed.share * len(poses))
        batch = self.synthesiser(poses[count:], augmentation, generator)
        if count == 0:
            return batch
        drawn = self.observed.draw(count, generator)
        return batch.joined(self.observed.batch(drawn, self.synthesiser.body_model))

    def train_step(self, batch: SyntheticBatch) -> tuple[BodyParameters, dict[str, Tensor]]:
        """Predicts a batch and improves the network by it.

        Returns:
            The last estimate, and the loss terms by name.
        """
        prediction, loss, terms = self._shared_loss_of(*batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.options.max_grad_norm > 0:
            parameters = self.regressor.parameters()
            torch.nn.utils.clip_grad_norm_(parameters, self.options.max_grad_norm)
        self.optimiser.step()
        if self._average is not None:
            self._average.update_parameters(self.regressor)
        self.step += 1
        return prediction, {"loss": loss.detach(), **terms}

    @torch.no_grad()
    def validate(
        self, poses: Tensor, betas: Tensor, progress: Callable
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Measures the network on unaugmented people, every one of them.

        Args:
            poses: (N, 72) on the device.
            betas: (N, 10) their shapes.
            progress: wraps the iterable of batches.

        Returns:
            Loss terms and metrics by name; and the first batch's observation, target and predicted
            silhouettes, and joints, for pictures.

        Raises:
            InputError: there are fewer people than processes.
        """
        self.ranks.share_buffers(self.validated)
        was_training = self.regressor.training
        self._validation_loss_of.eval()
        generator = self._generator(0, stream=1)  # unused without augmentation
        readings, metrics, rounds = _Mean(), Metrics(), _Rounds(self.validated)
        sample: dict[str, Tensor] = {}
        size = self.options.val_batch_size
        if len(poses) < self.ranks.size:
            raise InputError(
                f"{len(poses)} validation poses are too few for {self.ranks.size} processes"
            )
        poses, betas = self.ranks.share_of(poses), self.ranks.share_of(betas)
        for pose, shape in progress(list(zip(poses.split(size), betas.split(size), strict=True))):
            batch = self.synthesiser(pose, None, generator, betas=shape)
            # Each process by itself: their shares may differ in length.
            parameters, loss, terms = self._validation_loss_of(*batch)
            readings.add({"loss": loss, **terms}, weight=len(pose))
            prediction = self._measure(metrics, parameters, batch, silhouettes=True)
            rounds.measure(batch, self._validation_loss_of)
            if not sample:
                sample = {
                    **batch.observation._asdict(),
                    "target_silhouettes": batch.target["silhouettes"],
                    "pred_silhouettes": prediction["silhouettes"],
                    "pred_joints2d_px": prediction["joints2d_px"],
                }
        self._loss_of.train(was_training)
        return {
            **readings.compute(self.ranks),
            **metrics.compute(self.ranks.sum),
            **rounds.compute(self.ranks),
        }, sample

    def finish_epoch(self, train: dict[str, float], val: dict[str, float]) -> dict[str, float]:
        """Records an epoch and keeps its weights when they are the best so far; returns the row."""
        self.epoch += 1
        row = {"epoch": self.epoch, "samples_seen": self.samples_seen}
        row.update({f"train_{name}": value for name, value in train.items()})
        row.update({f"val_{name}": value for name, value in val.items()})
        row.update({f"weight_{name}": w.item() for name, w in self.criterion.weights.items()})
        self.history.append(row)
        if not self.best_weights or _selection(val) < _selection(self.best_metrics):
            self.best_epoch, self.best_metrics = self.epoch, dict(val)
            self.best_weights = copy.deepcopy(self.validated.state_dict())
        return row

    def state(self) -> dict[str, Any]:
        """Everything that resuming needs, in the format of the published checkpoints and more."""
        mean = split_estimate(self.regressor.initial_estimate)
        averaged = {} if self._average is None else {"ema_state_dict": self._average.state_dict()}
        return {
            **averaged,
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_epoch_val_metrics": self.best_metrics,
            "model_state_dict": self.regressor.state_dict(),
            "best_model_state_dict": self.best_weights,
            "optimiser_state_dict": self.optimiser.state_dict(),
            "criterion_state_dict": self.criterion.state_dict(),
            "body": self.synthesiser.body_model.identity,
            "rounds": int(self.best_metrics.get("best_rounds", self.regressor.rounds)),
            "image_size": self.synthesiser.image_size,
            "mean_parameters": {"pose": mean.pose.clone(), "betas": mean.betas.clone()},
            "history": self.history,
            "step": self.step,
            "samples_seen": self.samples_seen,
            "random_state": torch.get_rng_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes over what `state` gave; raises RuntimeError or ValueError when it does not fit."""
        if self._average is not None and "ema_state_dict" not in state:
            raise ValueError("no averaged weights were kept; give --training.ema 0")
        self.regressor.load_state_dict(state["model_state_dict"])
        self.criterion.load_state_dict(state["criterion_state_dict"])
        decays = [group["weight_decay"] for group in self.optimiser.param_groups]
        self.optimiser.load_state_dict(state["optimiser_state_dict"])
        for group, decay in zip(self.optimiser.param_groups, decays, strict=True):
            group["weight_decay"] = decay  # as this run's options say; so is the learning rate
        if self._average is not None:
            self._average.load_state_dict(state["ema_state_dict"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.samples_seen = state["samples_seen"]
        self.history = list(state["history"])
        self.best_epoch = state["best_epoch"]
        self.best_metrics = dict(state["best_epoch_val_metrics"])
        self.best_weights = state["best_model_state_dict"]
        torch.set_rng_state(state["random_state"])

    @torch.no_grad()
    def _measure(
        self,
        metrics: Metrics,
        parameters: BodyParameters,
        batch: SyntheticBatch,
        silhouettes: bool = False,
    ) -> dict[str, Tensor]:
        """Adds a batch to the metrics; rendering the predictions is for validation alone.

        Returns:
            The prediction, as `models.decoder.decode_in_crops` gives it, perhaps with silhouettes.
        """
        synthesiser = self.synthesiser
        prediction = decode_in_crops(parameters, synthesiser.body_model, synthesiser.image_size)
        if silhouettes:
            prediction["silhouettes"] = render_silhouettes(
                prediction["vertices"], prediction["cam_wp"], synthesiser.rasteriser
            )
        metrics.update(prediction, batch.target)
        return prediction

    def _generator(self, epoch: int, stream: int) -> Generator:
        """Random numbers that depend on seed and epoch alone, so that resuming repeats them."""
        return Generator(self.device).manual_seed(
            (self.options.seed * 100_003 + epoch) * 100_003 + stream
        )

    def _set_learning_rate(self, total_steps: int) -> None:
        options = self.options
        factor = min(1.0, (self.step + 1) / max(options.warmup_steps, 1))
        if options.lr_schedule == "cosine":
            done = min(self.step / max(total_steps, 1), 1.0)
            factor *= 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = options.lr * factor


def epoch_length(options: TrainingOptions, available: int) -> int:
    """How many people an epoch trains on, of so many poses.

    Whole batches only (but for a lone one): batch normalisation suffers from small ones.
    """
    count = min(options.samples_per_epoch or available, available)
    return max(count - count % options.batch_size, min(count, options.batch_size))


def compile_network(regressor: Regressor | FeedbackRegressor, backend: str) -> None:
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


class _LossOf(nn.Module):
    """From a batch to its loss: what DistributedDataParallel wraps, learnt loss weights and all."""

    def __init__(
        self,
        regressor: Regressor | FeedbackRegressor,
        criterion: MultiTaskLoss,
        synthesiser: Synthesiser,
        options: TrainingOptions,
    ):
        super().__init__()
        self.regressor, self.criterion = regressor, criterion
        self._synthesiser = (synthesiser,)  # not a part: nothing of it is learnt
        self._dtype = network_dtype(options.precision, synthesiser.mean_betas.device)

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
        (synthesiser,) = self._synthesiser
        body = self.regressor.body
        return decode_in_crops(
            parameters, synthesiser.body_model if body is None else body, synthesiser.image_size
        )

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


class _Rounds:
    """Finds out in validation after how many rounds of feedback estimates are best."""

    def __init__(self, regressor: Regressor | FeedbackRegressor):
        self._regressor = regressor
        self._trained = regressor.rounds
        self._metrics = [Metrics() for _ in range(self._trained + EXTRA_ROUNDS + 1)]

    def measure(self, batch: SyntheticBatch, loss_of: _LossOf) -> None:
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
        errors = [_selection(metrics.compute(ranks.sum)) for metrics in self._metrics]
        return {"best_rounds": errors.index(min(errors))}


class _Mean:
    """Weighted means of scalars, summed on the device and read when asked."""

    def __init__(self):
        self.sums: dict[str, Tensor] = {}
        self.weight = 0

    def add(self, values: dict[str, Tensor], weight: int = 1) -> None:
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
        values = self.compute(ranks)
        if not all(map(math.isfinite, values.values())):
            terms = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            raise InputError(
                f"the loss is no longer a finite number ({terms}); lower the learning rate, or set "
                "max_grad_norm, and resume from the last checkpoint"
            )


def _build_optimiser(
    options: TrainingOptions, regressor: nn.Module, criterion: MultiTaskLoss
) -> torch.optim.Optimizer:
    learnt_weights = [each for each in criterion.parameters() if each.requires_grad]
    if options.optimiser == "adam":
        parameters = [*regressor.parameters(), *learnt_weights]
        return torch.optim.Adam(parameters, lr=options.lr, fused=True)
    groups = [
        {"params": [*regressor.parameters()], "weight_decay": options.weight_decay},
        {"params": learnt_weights, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=options.lr, fused=True)


def _memory_format(options: TrainingOptions) -> torch.memory_format:
    return torch.channels_last if options.channels_last else torch.contiguous_format


def _selection(metrics: dict[str, float]) -> float:
    return sum(metrics[name] for name in SELECTION_METRICS)
