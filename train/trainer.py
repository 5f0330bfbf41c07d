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

from augmentation.options import AugmentationOptions
from data.synthesis import Synthesiser, SyntheticBatch
from losses.multi_task import MultiTaskLoss
from metrics.metrics import Metrics
from models.regressed_body import regressed_body, regressed_silhouettes
from models.regressor import Regressor
from train.distributed import ALONE, Ranks
from utils.devices import Precision, autocast, network_dtype
from utils.errors import InputError

# The best epoch has the lowest sum of these, in millimetres.
SELECTION_METRICS = ("pve_pa", "mpjpe_pa")


@dataclass(frozen=True)
class TrainingOptions:
    """How the regressor is optimised; the defaults are those of the published system."""

    epochs: int = 100
    batch_size: int = 140
    samples_per_epoch: int = 0  # poses drawn an epoch without repeating; 0 takes all
    val_batch_size: int = 64
    lr: float = 1e-4  # Adam's learning rate, after warm-up
    lr_schedule: Literal["constant", "cosine"] = "constant"  # cosine falls to 1 % at the last epoch
    warmup_steps: int = 0
    max_grad_norm: float = 0.0  # gradients are scaled down to this norm; 0 leaves them alone
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

    Raises:
        InputError: the processes cannot share a batch equally.
    """

    def __init__(
        self,
        regressor: Regressor,
        synthesiser: Synthesiser,
        criterion: MultiTaskLoss,
        options: TrainingOptions,
        device: torch.device,
        ranks: Ranks = ALONE,
    ):
        """Moves everything to the device and makes the optimiser."""
        self.regressor = regressor.to(device=device, memory_format=_memory_format(options))
        self.synthesiser = synthesiser.to(device)
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
        parameters = [*self.regressor.parameters(), *self.criterion.parameters()]
        self.optimiser = torch.optim.Adam(parameters, lr=options.lr, fused=True)
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
            batch = self.synthesiser(share, augmentation, generator)
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

    def train_step(self, batch: SyntheticBatch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Predicts a batch and improves the network by it.

        Returns:
            The prediction, as `models.regressed_body` gives it, and the loss terms by name.
        """
        prediction, loss, terms = self._shared_loss_of(*batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.options.max_grad_norm > 0:
            parameters = self.regressor.parameters()
            torch.nn.utils.clip_grad_norm_(parameters, self.options.max_grad_norm)
        self.optimiser.step()
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
            Loss terms and metrics by name; and the first batch's proxy, target and predicted
            silhouettes, and joints, for pictures.

        Raises:
            InputError: there are fewer people than processes.
        """
        self.ranks.share_buffers(self.regressor)
        was_training = self.regressor.training
        self._loss_of.eval()
        generator = self._generator(0, stream=1)  # unused without augmentation
        readings, metrics = _Mean(), Metrics()
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
            prediction, loss, terms = self._loss_of(*batch)
            readings.add({"loss": loss, **terms}, weight=len(pose))
            self._measure(metrics, prediction, batch, silhouettes=True)
            if not sample:
                sample = {
                    "proxy": batch.proxy,
                    "target_silhouettes": batch.target["silhouettes"],
                    "pred_silhouettes": prediction["silhouettes"],
                    "pred_joints2d_px": prediction["joints2d_px"],
                }
        self._loss_of.train(was_training)
        return {**readings.compute(self.ranks), **metrics.compute(self.ranks.sum)}, sample

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
            self.best_weights = copy.deepcopy(self.regressor.state_dict())
        return row

    def state(self) -> dict[str, Any]:
        """Everything that resuming needs, in the format of the published checkpoints and more."""
        estimate = self.regressor.ief_module.initial_estimate
        return {
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_epoch_val_metrics": self.best_metrics,
            "model_state_dict": self.regressor.state_dict(),
            "best_model_state_dict": self.best_weights,
            "optimiser_state_dict": self.optimiser.state_dict(),
            "criterion_state_dict": self.criterion.state_dict(),
            "body": self.synthesiser.body_model.identity,
            "image_size": self.synthesiser.image_size,
            "mean_parameters": {"pose": estimate[3:-10].clone(), "betas": estimate[-10:].clone()},
            "history": self.history,
            "step": self.step,
            "samples_seen": self.samples_seen,
            "random_state": torch.get_rng_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes over what `state` gave; raises RuntimeError or ValueError when it does not fit."""
        self.regressor.load_state_dict(state["model_state_dict"])
        self.criterion.load_state_dict(state["criterion_state_dict"])
        self.optimiser.load_state_dict(state["optimiser_state_dict"])
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
        prediction: dict[str, Tensor],
        batch: SyntheticBatch,
        silhouettes: bool = False,
    ) -> None:
        """Adds a batch to the metrics; rendering the predictions is for validation alone."""
        synthesiser = self.synthesiser
        if silhouettes:
            prediction["silhouettes"] = regressed_silhouettes(
                prediction["vertices"], prediction["cam_wp"], synthesiser.rasteriser
            )
        metrics.update(prediction, batch.target)

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


def compile_network(regressor: Regressor, backend: str) -> None:
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
    regressor.compile(backend=backend)


class _LossOf(nn.Module):
    """From a batch to its loss: what DistributedDataParallel wraps, learnt loss weights and all."""

    def __init__(
        self,
        regressor: Regressor,
        criterion: MultiTaskLoss,
        synthesiser: Synthesiser,
        options: TrainingOptions,
    ):
        super().__init__()
        self.regressor, self.criterion = regressor, criterion
        self._synthesiser = (synthesiser,)  # not a part: nothing of it is learnt
        self._dtype = network_dtype(options.precision, synthesiser.mean_betas.device)
        self._memory_format = _memory_format(options)

    def forward(
        self, proxy: Tensor, target: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """The prediction, the loss and its terms."""
        (synthesiser,) = self._synthesiser
        proxy = proxy.contiguous(memory_format=self._memory_format)
        with autocast(proxy.device, self._dtype):
            parameters = self.regressor(proxy)
        prediction = regressed_body(parameters, synthesiser.body_model, synthesiser.image_size)
        return prediction, *self.criterion(prediction, target)


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


def _memory_format(options: TrainingOptions) -> torch.memory_format:
    return torch.channels_last if options.channels_last else torch.contiguous_format


def _selection(metrics: dict[str, float]) -> float:
    return sum(metrics[name] for name in SELECTION_METRICS)
