"""Speed of a training step beside that of the network alone, measured in one run.

python benchmarks/train_step.py --batch-size 32 --image-size 256

"Network alone" is forward, backward and optimiser on inputs that lie ready; the whole step adds
synthesis, the body model with its gradients, and the loss. The two are timed in turns, so that
other programs on the machine disturb both alike.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from augmentation.options import AugmentationOptions
from data.pose_dataset import load_poses
from data.synthesis import CameraOptions, Synthesiser
from losses.multi_task import MultiTaskLoss
from models.body_model import BodyModel, read_mean_parameters
from models.regressor import Regressor
from train.trainer import Trainer, TrainingOptions
from utils.command_line import parse_options
from utils.devices import choose_device
from utils.paths import OPEN_POSES_VAL


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is measured."""

    batch_size: int = 32
    image_size: int = 256  # pixels
    rounds: int = 10  # each times every stage once; the median counts
    bf16: bool = True
    device: str = "auto"
    threads: int = 0  # of the CPU; 0 takes all cores


def main(options: BenchmarkOptions) -> None:
    """Times the stages in turns and prints a table."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    stages = build_stages(options, device)
    for stage in stages.values():
        stage()  # compiles, allocates, warms up
    times: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(options.rounds):
        for name, stage in stages.items():
            times[name].append(seconds_of(stage, device))
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(
        f"batch {options.batch_size} at {options.image_size} x {options.image_size}, "
        f"{'bf16' if options.bf16 else 'fp32'}, {device}, {torch.get_num_threads()} CPU threads"
    )
    for name, seconds in medians.items():
        print(f"{name:15s} {1000 * seconds:9.1f} ms {options.batch_size / seconds:9.1f} samples/s")
    print(f"whole step / network alone: {medians['network alone'] / medians['whole step']:.2f}")


def build_stages(options: BenchmarkOptions, device: torch.device) -> dict[str, Callable]:
    """The things to time, by name."""
    torch.manual_seed(0)
    mean = read_mean_parameters("open")
    dtype = torch.bfloat16 if options.bf16 else torch.float32
    synthesiser = Synthesiser(
        BodyModel.load("open"), mean.betas, options.image_size, CameraOptions(), proxy_dtype=dtype
    )
    training = TrainingOptions(batch_size=options.batch_size, bf16=options.bf16, log_every=10**9)
    trainer = Trainer(Regressor(mean), synthesiser, MultiTaskLoss(), training, device)
    poses = torch.from_numpy(load_poses(OPEN_POSES_VAL).poses[: options.batch_size]).to(device)
    augmentation, generator = AugmentationOptions(), torch.Generator(device).manual_seed(0)
    ready = trainer.synthesiser(poses, augmentation, generator)
    proxy = ready.proxy.contiguous(memory_format=trainer.memory_format)

    def network_alone() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16):
            parameters = trainer.regressor(proxy)
        trainer.optimiser.zero_grad(set_to_none=True)
        sum(tensor.square().mean() for tensor in parameters).backward()
        trainer.optimiser.step()

    def synthesis() -> None:
        trainer.synthesiser(poses, augmentation, generator)

    def whole_step() -> None:
        trainer.train_step(trainer.synthesiser(poses, augmentation, generator))

    trainer.regressor.train()
    return {"network alone": network_alone, "synthesis": synthesis, "whole step": whole_step}


def seconds_of(stage: Callable, device: torch.device) -> float:
    """How long a stage takes, the device's unfinished work included."""
    start = time.perf_counter()
    stage()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main(parse_options(BenchmarkOptions, __doc__))
