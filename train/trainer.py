"""Training and validation: one step serves both."""

import copy
import math
import time
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from losses.multi_task import MultiTaskLoss
from metrics.metrics import Metrics
from models.body_model import BodyModel
from models.decoder import BodyParameters, decode_in_crops
from models.networks import Network
from renderers.rasteriser import render_silhouettes
from synthesis.made_shapes import MadeShapes
from synthesis.observed_people import ObservedPairs
from synthesis.options import AugmentationOptions
from synthesis.synthesiser import Synthesiser, SyntheticBatch
from synthesis.variation import draw_betas, draw_variation
from train.options import TrainingOptions
from train.step import (
    LossOf,
    Means,
    RoundsTrial,
    check_finite,
    compile_network,
    is_better,
)
from utils.devices import network_dtype
from utils.errors import InputError
from utils.processes import ALONE, Ranks


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
        made_shapes: shapes of made people, to be mixed with those that are drawn.

    Raises:
        InputError: the processes cannot share a batch equally, or no metric chooses the best epoch.
    """

    def __init__(
        self,
        regressor: Network,
        synthesiser: Synthesiser,
        criterion: MultiTaskLoss,
        options: TrainingOptions,
        device: torch.device,
        ranks: Ranks = ALONE,
        observed: ObservedPairs | None = None,
        made_shapes: MadeShapes | None = None,
    ):
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self.regressor = regressor.to(device=device, memory_format=layout)
        self.synthesiser = synthesiser.to(device)
        self.observed = None if observed is None else observed.to(device)
        self.made_shapes = None if made_shapes is None else made_shapes.to(device)
        self.criterion = criterion.to(device)
        self.options = options
        self.device = device
        self.ranks = ranks
        ranks.check_batch(options.batch_size)
        if not options.select_by:
            raise InputError("--training.select-by names no metric; expected one or more")
        if options.compile:
            compile_network(self.regressor, options.compile)
        dtype = network_dtype(options.precision, device)
        self._loss_of = LossOf(self.regressor, self.criterion, self.decode, dtype)
        self._shared_loss_of = self._loss_of
        if ranks.size > 1:
            self._shared_loss_of = DistributedDataParallel(self._loss_of)
        self.optimiser = build_optimiser(options, self.regressor, self.criterion)
        self.average: AveragedModel | None = None
        self.validated, self._validation_loss_of = self.regressor, self._loss_of
        if options.ema > 0:
            decay = get_ema_multi_avg_fn(options.ema)
            self.average = AveragedModel(self.regressor, multi_avg_fn=decay)
            self.validated = self.average.module
            self._validation_loss_of = LossOf(self.validated, self.criterion, self.decode, dtype)
        self.epoch = 0  # epochs finished
        self.step = 0  # optimiser steps taken
        self.samples_seen = 0
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.best_metrics: dict[str, float] = {}
        self.best_weights: dict[str, Tensor] = {}

    def train_epoch(
        self,
        poses: Tensor,
        augmentation: AugmentationOptions,
        progress: Callable,
        betas: Tensor | None = None,
    ) -> dict[str, float]:
        """One pass over the training poses.

        Args:
            poses: (N, 72) on the device.
            augmentation: of the synthetic data.
            progress: wraps the iterable of batches, e.g. `tqdm`.
            betas: (N, 10) the shapes that go with the poses; None draws others in every batch.

        Returns:
            Loss terms, metrics and speed of the epoch, by name.

        Raises:
            InputError: the loss is not a finite number, or there are fewer poses than processes.
        """
        options = self.options
        # The order is the same in all processes, what is drawn for a sample is each one's own.
        order_generator = self._generator(self.epoch, stream=0)
        generator = self._generator(self.epoch, stream=2 + self.ranks.rank)
        count = epoch_length(options, len(poses))
        self._check_enough(count, "training")
        order = torch.randperm(len(poses), generator=order_generator, device=self.device)
        batches = order[:count].split(options.batch_size)
        total_steps = options.epochs * len(batches)
        readings, metrics = Means(), Metrics()
        self._loss_of.train()
        start = time.perf_counter()
        for number, index in enumerate(progress(batches)):
            self._set_learning_rate(total_steps)
            share = self.ranks.share_of(index)
            shapes = None if betas is None else betas[share]
            batch = self.make_batch(poses[share], augmentation, generator, shapes)
            prediction, terms = self.train_step(batch)
            readings.add(terms)
            if number % options.metrics_every == 0:
                metrics.update(self.decode(prediction), batch.target)
            if (number + 1) % options.log_every == 0:
                readings.check(self.ranks)
        self.samples_seen += count
        readings.check(self.ranks)
        speed = count / (time.perf_counter() - start)
        measured = {**readings.compute(self.ranks), **metrics.compute(self.ranks.sum)}
        return {**measured, "samples_per_second": speed}

    def make_batch(
        self,
        poses: Tensor,
        augmentation: AugmentationOptions,
        generator: Generator,
        betas: Tensor | None = None,
    ) -> SyntheticBatch:
        """People to train on: in these poses, or for a share of them observed ones instead.

        Args:
            poses: (B, 72) on the device.
            augmentation: of the synthetic people.
            generator: random numbers, on the device.
            betas: (B, 10) their shapes; None draws them.
        """
        count = 0 if self.observed is None else int(self.observed.share * len(poses))
        synthesiser, synthetic = self.synthesiser, len(poses) - count
        if betas is None:
            mean_betas, details = synthesiser.mean_betas, synthesiser.details
            betas = draw_betas(augmentation, mean_betas, synthetic, generator, details)
            if self.made_shapes is not None:
                betas = self.made_shapes.mix(betas, generator)
        else:
            betas = betas[count:]
        vertices = synthesiser.body_model.identity["vertices"]
        variation = draw_variation(augmentation, synthetic, vertices, generator)
        batch = synthesiser(poses[count:], betas, variation)
        if count == 0:
            return batch
        drawn = self.observed.draw(count, generator)
        return batch.joined(self.observed.batch(drawn, synthesiser.body_model))

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
        if self.average is not None:
            self.average.update_parameters(self.regressor)
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
            InputError: there are fewer people than processes, or the loss is not a finite number.
        """
        self._check_enough(len(poses), "validation")
        self.ranks.share_buffers(self.validated)
        was_training = self.regressor.training
        self._validation_loss_of.eval()
        readings, metrics, rounds = Means(), Metrics(), RoundsTrial(self.validated)
        sample: dict[str, Tensor] = {}
        pieces = [
            self.ranks.share_of(each).split(self.options.val_batch_size) for each in (poses, betas)
        ]
        for some_poses, some_betas in progress(list(zip(*pieces, strict=True))):
            batch = self.synthesiser(some_poses, some_betas)
            # Each process by itself: their shares may differ in length.
            parameters, loss, terms = self._validation_loss_of(*batch)
            losses = {"loss": loss, **terms}
            # The last step of training may have made them so; metrics fail on such bodies.
            check_finite({name: value.item() for name, value in losses.items()})
            readings.add(losses, weight=len(some_poses))
            prediction = self.decode(parameters)
            silhouettes = render_silhouettes(
                prediction["vertices"], prediction["cam_wp"], self.synthesiser.rasteriser
            )
            metrics.update({**prediction, "silhouettes": silhouettes}, batch.target)
            rounds.measure(batch, self._validation_loss_of)
            sample = sample or _to_look_at(batch, prediction, silhouettes)
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
        rule = self.options.select_by, self.options.select_rule
        if not self.best_weights or is_better(val, self.best_metrics, *rule):
            self.best_epoch, self.best_metrics = self.epoch, dict(val)
            self.best_weights = copy.deepcopy(self.validated.state_dict())
        return row

    def decode(
        self, parameters: BodyParameters, body_model: BodyModel | None = None
    ) -> dict[str, Tensor]:
        """Estimated bodies as losses and metrics compare them, see `models.decoder`.

        Args:
            parameters: of B people.
            body_model: a reduced one; None takes the whole one of the synthesiser.
        """
        if body_model is None:
            body_model = self.synthesiser.body_model
        return decode_in_crops(parameters, body_model, self.synthesiser.image_size)

    def _generator(self, epoch: int, stream: int) -> Generator:
        """Random numbers that depend on seed and epoch alone, so that resuming repeats them."""
        return Generator(self.device).manual_seed(
            (self.options.seed * 100_003 + epoch) * 100_003 + stream
        )

    def _check_enough(self, count: int, kind: str) -> None:
        if count < self.ranks.size:
            raise InputError(f"{count} {kind} poses are too few for {self.ranks.size} processes")

    def _set_learning_rate(self, total_steps: int) -> None:
        options = self.options
        factor = min(1.0, (self.step + 1) / max(options.warmup_steps, 1))
        if options.lr_schedule == "cosine":
            done = min(self.step / max(total_steps, 1), 1.0)
            factor *= 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = options.lr * factor


def _to_look_at(
    batch: SyntheticBatch, prediction: dict[str, Tensor], silhouettes: Tensor
) -> dict[str, Tensor]:
    """What `train.logging.proxy_grid` shows of a batch."""
    return {
        **batch.observation._asdict(),
        "target_silhouettes": batch.target["silhouettes"],
        "pred_silhouettes": silhouettes,
        "pred_joints2d_px": prediction["joints2d_px"],
    }


def epoch_length(options: TrainingOptions, available: int) -> int:
    """How many people an epoch trains on, of so many poses.

    Whole batches only (but for a lone one): batch normalisation suffers from small ones.
    """
    count = min(options.samples_per_epoch or available, available)
    return max(count - count % options.batch_size, min(count, options.batch_size))


def build_optimiser(
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
