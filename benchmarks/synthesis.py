"""Speed of making training batches, whole and stage by stage, measured in one run.

python -m benchmarks.synthesis --batch-size 32 --image-size 256 --json synthesis.json
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.timing import machine, time_in_turns, write_json
from data.pose_dataset import load_poses
from models.body_model import BodyModel, read_mean_parameters
from synthesis.options import AugmentationOptions, CameraOptions
from synthesis.synthesiser import Framing, Synthesiser
from synthesis.variation import (
    Variation,
    corrupt_joints,
    corrupt_silhouettes,
    draw_betas,
    draw_corruption,
    draw_crop_variation,
    draw_variation,
    draw_vertex_noise,
)
from utils.cameras import crop_intrinsics
from utils.command_line import parse_options, run_script
from utils.conventions import Precision
from utils.devices import choose_device, network_dtype
from utils.paths import OPEN_POSES_VAL
from utils.proxy import make_proxy
from utils.rotations import pose_to_rotmats


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is measured."""

    batch_size: int = 32
    image_size: int = 256  # pixels
    rounds: int = 20  # each times every stage once
    precision: Precision = "auto"  # of the proxies: bf16, fp32; auto: what training takes here
    device: str = "auto"
    threads: int = 0  # of the CPU; 0 takes all cores
    json: Path | None = None  # where the results are written too


@torch.no_grad()
def main(options: BenchmarkOptions) -> None:
    """Times the whole and its stages in turns and prints a table."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    timings = time_in_turns(build_stages(options, device), options.rounds, device)
    on = machine(device)
    dtype = network_dtype(options.precision, device)
    print(
        f"batch {options.batch_size} at {options.image_size} x {options.image_size}, {dtype}, "
        f"{on['device']}, {on['cpu_threads']} CPU threads"
    )
    for name, timing in timings.items():
        print(f"{name:22s} best {1000 * timing.best:8.2f} ms, median {1000 * timing.median:8.2f}")
    best, median = (options.batch_size / seconds for seconds in timings["whole"])
    print(f"samples/s: best {best:.0f}, median {median:.0f}")
    results = {
        "options": {name: str(value) for name, value in asdict(options).items()},
        "machine": on,
        "seconds": {name: timing._asdict() for name, timing in timings.items()},
        "samples_per_second": {"best": best, "median": median},
    }
    write_json(options.json, results)


def build_stages(options: BenchmarkOptions, device: torch.device) -> dict[str, Callable]:
    """The whole synthesis, and the stages that take most of it."""
    augmentation, generator = AugmentationOptions(), torch.Generator(device).manual_seed(0)
    mean_betas = read_mean_parameters("open").betas
    dtype = network_dtype(options.precision, device)
    batch, size = options.batch_size, options.image_size
    synthesiser = Synthesiser(BodyModel.load("open"), mean_betas, size, CameraOptions()).to(device)
    poses = torch.from_numpy(load_poses(OPEN_POSES_VAL).poses[:batch]).to(device)

    def whole() -> None:
        drawn = draw_betas(augmentation, synthesiser.mean_betas, batch, generator)
        vertices = synthesiser.body_model.identity["vertices"]
        synthesiser(poses, drawn, draw_variation(augmentation, batch, vertices, generator))

    def frame() -> Framing:
        crop = draw_crop_variation(augmentation, batch, generator)
        return synthesiser.frame_people(vertices_cam, Variation(crop=crop))

    # What each stage starts from.
    betas = draw_betas(augmentation, synthesiser.mean_betas, batch, generator)
    pose_rotmats = pose_to_rotmats(poses)
    vertices = synthesiser.body_model(betas, pose_rotmats).vertices
    vertices_cam = vertices + synthesiser.mean_cam_t
    vertices_cam[..., :2] += draw_vertex_noise(augmentation, *vertices.shape[:2], generator)
    cam_k = crop_intrinsics(synthesiser.cam_k, frame().crops, size)
    parts = synthesiser.rasteriser.part_segmentation(vertices_cam, cam_k)
    joints2d_px = size * torch.rand(batch, 17, 2, device=device)
    visibility = torch.ones(batch, 17, dtype=torch.bool, device=device)

    def noise() -> None:
        # Added to what is new each time: in place the bodies would grow more ragged every round.
        ragged = vertices + synthesiser.mean_cam_t
        ragged[..., :2] += draw_vertex_noise(augmentation, *vertices.shape[:2], generator)

    def corruption() -> None:
        drawn = draw_corruption(augmentation, batch, generator)
        corrupt_silhouettes(parts, drawn)
        corrupt_joints(joints2d_px, visibility, drawn, size)

    return {
        "whole": whole,
        "body model": lambda: synthesiser.body_model(betas, pose_rotmats),
        "ragged vertices": noise,
        "crop": frame,
        "rasteriser": lambda: synthesiser.rasteriser.part_segmentation(vertices_cam, cam_k),
        "corruption": corruption,
        "proxy representation": lambda: make_proxy(parts > 0, joints2d_px, visibility, dtype),
    }


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(BenchmarkOptions, __doc__))))
