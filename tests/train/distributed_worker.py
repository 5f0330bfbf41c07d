"""One of the processes of test_distributed.py: trains one step and writes its gradients.

Started as `python -m tests.train.distributed_worker FILE NETWORK`, alone or with torchrun's
variables in the environment; the networks are those of tests/networks.py.
"""

import math
import sys
from pathlib import Path

import torch

from losses.multi_task import MultiTaskLoss
from losses.options import LossOptions
from metrics.metrics import Metrics
from models.body_model import BodyModel, read_mean_parameters
from synthesis.options import CameraOptions
from synthesis.synthesiser import Synthesiser, SyntheticBatch
from tests.networks import random_network
from train.options import TrainingOptions
from train.trainer import Trainer
from utils.processes import Ranks, joined_ranks

BATCH = 6


def main(path: Path, network: str) -> None:
    """Trains on this process's share of a batch that is the same in all processes."""
    torch.set_num_threads(1)
    with joined_ranks(torch.device("cpu")) as ranks:
        trainer = build_trainer(ranks, network)
        batch = whole_batch(trainer.synthesiser)
        target = {name: ranks.share_of(values) for name, values in batch.target.items()}
        share = slice(ranks.rank, None, ranks.size)
        _, terms = trainer.train_step(SyntheticBatch(batch.observation.rows(share), target))
        metrics = Metrics()
        metrics.update({**target, "betas": target["betas"] * 0}, target)
        if not ranks.is_first:  # as if its share had been of other people
            for buffer in trainer.regressor.buffers():
                buffer.add_(1)
        poses, betas = torch.zeros(BATCH, 72), batch.target["betas"]
        poses[:, 0] = math.pi
        validation, _ = trainer.validate(poses, betas, progress=list)
        result = {
            "gradients": gradients_of(trainer),
            "loss_joints2d": ranks.mean(terms["loss_joints2d"]),
            "validation": validation,
            "metrics": metrics.compute(ranks.sum),
        }
        if ranks.is_first:
            torch.save(result, path)


def build_trainer(ranks: Ranks, network: str) -> Trainer:
    """A trainer whose batch normalisation is frozen: it alone looks at a process's own samples."""
    body_model = BodyModel.load("open")
    mean_betas = read_mean_parameters("open").betas
    synthesiser = Synthesiser(body_model, mean_betas, 32, CameraOptions())
    criterion = MultiTaskLoss(LossOptions(100, 100, 100, 10, 1), ranks.mean)
    options = TrainingOptions(batch_size=BATCH, precision="fp32")
    regressor = random_network(network, body_model)
    trainer = Trainer(regressor, synthesiser, criterion, options, torch.device("cpu"), ranks)
    trainer.regressor.eval()
    return trainer


def whole_batch(synthesiser: Synthesiser) -> SyntheticBatch:
    """Six people, of whom the first process's share sees far fewer joints than the second's."""
    generator = torch.Generator().manual_seed(1)
    poses = torch.randn(BATCH, 72, generator=generator) * 0.2
    poses[:, :3] = torch.tensor([math.pi, 0, 0])
    betas = torch.randn(BATCH, 10, generator=generator)
    batch = synthesiser(poses, betas)
    batch.target["visibility"][::2, 4:] = False
    return batch


def gradients_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Gradients of the network and of the loss weights, by name."""
    modules = {"regressor": trainer.regressor, "criterion": trainer.criterion}
    return {
        f"{of}.{name}": values.grad
        for of, module in modules.items()
        for name, values in module.named_parameters()
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
