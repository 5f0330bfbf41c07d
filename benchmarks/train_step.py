"""Speed of a training step beside that of the network alone, measured in one run.

python -m benchmarks.train_step --batch-size 32 --image-size 256 --json train_step.json

"Network alone" is forward, backward and optimiser on inputs that lie ready; the whole step adds
synthesis, the body model with its gradients, and the loss.
"""

import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.timing import machine, time_in_turns, write_json
from data.pose_dataset import load_poses
from losses.multi_task import MultiTaskLoss
from models.body_model import BodyModel, read_mean_parameters
from models.networks import build_network, describe_network
from models.options import NetworkOptions
from synthesis.options import AugmentationOptions, CameraOptions
from synthesis.synthesiser import Synthesiser
from train.options import TrainingOptions
from train.trainer import Trainer
from utils.command_line import parse_options, run_script
from utils.conventions import Precision
from utils.devices import choose_device, network_dtype
from utils.paths import OPEN_POSES_VAL
from utils.tensors import autocast


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is measured."""

    batch_size: int = 32
    image_size: int = 256  # pixels
    network: NetworkOptions = NetworkOptions()  # --network.regressor feedback: the other one
    rounds: int = 10  # each times every stage once
    precision: Precision = "auto"  # of the network: bf16, fp32; auto: as in training
    compile: str = ""  # torch.compile's backend for the network; empty: none
    device: str = "auto"
    threads: int = 0  # of the CPU; 0 takes all cores
    json: Path | None = None  # where the results are written too


def main(options: BenchmarkOptions) -> None:
    """Times the stages in turns and prints a table."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    timings = time_in_turns(build_stages(options, device), options.rounds, device)
    on = machine(device)
    print(
        f"{describe_network(options.network)}, batch {options.batch_size} at "
        f"{options.image_size} x {options.image_size}, "
        f"{network_dtype(options.precision, device)}, {on['device']}, "
        f"{on['cpu_threads']} CPU threads"
    )
    for name, timing in timings.items():
        best, median = (options.batch_size / seconds for seconds in timing)
        print(f"{name:15s} samples/s: best {best:9.1f}, median {median:9.1f}")
    whole, network = timings["whole step"], timings["network alone"]
    ratios = [alone / all_of_it for alone, all_of_it in zip(network, whole, strict=True)]
    print(f"whole step / network alone: best {ratios[0]:.2f}, median {ratios[1]:.2f}")
    print(f"peak memory: {peak_memory_gb(device):.2f} GB")
    results = {
        "options": {name: str(value) for name, value in asdict(options).items()},
        "machine": on,
        "seconds": {name: timing._asdict() for name, timing in timings.items()},
        "ratio": {"best": ratios[0], "median": ratios[1]},
        "peak_memory_gb": peak_memory_gb(device),
    }
    write_json(options.json, results)


def build_stages(options: BenchmarkOptions, device: torch.device) -> dict[str, Callable]:
    """The things to time, by name."""
    torch.manual_seed(0)
    mean = read_mean_parameters("open")
    dtype = network_dtype(options.precision, device)
    synthesiser = Synthesiser(
        BodyModel.load("open"), mean.betas, options.image_size, CameraOptions()
    )
    training = TrainingOptions(
        batch_size=options.batch_size, precision=options.precision, compile=options.compile
    )
    body_model = synthesiser.body_model
    regressor = build_network(options.network, mean, body_model)
    trainer = Trainer(regressor, synthesiser, MultiTaskLoss(), training, device)
    poses = torch.from_numpy(load_poses(OPEN_POSES_VAL).poses[: options.batch_size]).to(device)
    augmentation, generator = AugmentationOptions(), torch.Generator(device).manual_seed(0)
    observation = trainer.make_batch(poses, augmentation, generator).observation

    def network_alone() -> None:
        with autocast(device, dtype):
            estimates = trainer.regressor.estimates(observation)
        trainer.optimiser.zero_grad(set_to_none=True)
        parameters = [tensor for estimate in estimates for tensor in estimate]
        sum(tensor.square().mean() for tensor in parameters).backward()
        trainer.optimiser.step()

    def synthesis() -> None:
        trainer.make_batch(poses, augmentation, generator)

    def whole_step() -> None:
        trainer.train_step(trainer.make_batch(poses, augmentation, generator))

    trainer.regressor.train()
    return {"network alone": network_alone, "synthesis": synthesis, "whole step": whole_step}


def peak_memory_gb(device: torch.device) -> float:
    """The most memory that was in use: of the GPU, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    per_unit = 1 if sys.platform == "darwin" else 1024  # bytes; Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * per_unit / 1e9


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(BenchmarkOptions, __doc__))))
