"""Speed of the rasteriser beside that of its plain torch path, measured in one run.

python -m benchmarks.rasteriser --json rasteriser.json

The people are those of training: validation poses, random shapes, ragged vertices, cropped. Around
one setting (batch 32, 256 x 256, the open body) the batch, the picture's size and the number of
faces are varied one at a time. All backends of a device are timed in turns, so that other programs
on the machine disturb them alike; only the part segmentation is drawn, as training does.
"""

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from benchmarks.timing import machine, write_json
from data.pose_dataset import load_poses
from models.body_model import BodyModel, read_mean_parameters
from renderers.rasteriser import Rasteriser, choose_backend
from synthesis.body import draw_betas, draw_vertex_noise
from synthesis.options import AugmentationOptions
from synthesis.synthesiser import CameraOptions
from utils.cameras import (
    boxes_of_bodies,
    crop_intrinsics,
    perspective_intrinsics,
    square_crops,
)
from utils.command_line import parse_options, run_script
from utils.devices import choose_device
from utils.paths import OPEN_POSES_VAL
from utils.rotations import pose_to_rotmats

REFERENCE = "torch"


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is measured."""

    batch_sizes: tuple[int, ...] = (1, 32, 140)
    image_sizes: tuple[int, ...] = (128, 256, 512)  # pixels
    batch_size: int = 32  # while another thing is varied
    image_size: int = 256  # pixels, likewise
    rounds: int = 7  # each times every backend once
    min_seconds: float = 0.05  # of one timing; quick calls are repeated until it lasts so long
    devices: tuple[str, ...] = ()  # of cpu, cuda, cuda:N; empty: the CPU, and a GPU if there is one
    threads: int = 0  # of the CPU; 0 takes all cores
    json: Path | None = None  # where the results are written too


class Mesh(NamedTuple):
    """A finer or coarser version of the body."""

    name: str
    pairs: Tensor  # (V, 2) int64: each vertex is the middle of two of the body's, maybe the same
    faces: np.ndarray  # (F, 3)
    face_parts: np.ndarray  # (F,)


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    mesh: Mesh
    batch_size: int
    image_size: int


@dataclass(frozen=True)
class Result:
    """What one backend did in one setting."""

    device: str
    backend: str
    mesh: str
    faces: int
    batch_size: int
    image_size: int
    best_images_per_s: float
    median_images_per_s: float
    best_ratio: float  # to the reference, best against best
    median_ratio: float  # to the reference of the same round


@torch.no_grad()
def main(options: BenchmarkOptions) -> None:
    """Times every setting on every device, and prints a table."""
    if options.threads:
        torch.set_num_threads(options.threads)
    body = BodyModel.load("open")
    devices = [choose_device(name) for name in options.devices or _list_devices()]
    print(
        f"part segmentation, images/s, {torch.get_num_threads()} CPU threads, "
        f"{', '.join(machine(device)['device'] for device in devices)}\n"
        f"device  backend  mesh         faces  batch  pixels      best    median"
        f"  times the {REFERENCE} path (best, median)"
    )
    results = []
    for device in devices:
        for setting in settings(options, body):
            for result in measure(setting, body, device, options):
                results.append(result)
                print(
                    f"{result.device:7s} {result.backend:8s} {result.mesh:10s} {result.faces:7d}"
                    f" {result.batch_size:6d} {result.image_size:7d}"
                    f" {result.best_images_per_s:9.1f} {result.median_images_per_s:9.1f}"
                    f" {result.best_ratio:9.2f} {result.median_ratio:8.2f}",
                    flush=True,
                )
    rows = [asdict(result) for result in results]
    machines = {str(device): machine(device) for device in devices}
    write_json(options.json, {"machines": machines, "results": rows})


def settings(options: BenchmarkOptions, body: BodyModel) -> Iterator[Setting]:
    """The settings, each varying one thing."""
    whole = open_body(body)
    for batch_size in options.batch_sizes:
        yield Setting(whole, batch_size, options.image_size)
    for image_size in options.image_sizes:
        if image_size != options.image_size:
            yield Setting(whole, options.batch_size, image_size)
    for mesh in (decimate(whole, body), subdivide(whole)):
        yield Setting(mesh, options.batch_size, options.image_size)


def measure(
    setting: Setting, body: BodyModel, device: torch.device, options: BenchmarkOptions
) -> Iterator[Result]:
    """Times the device's own backend and the reference in turns."""
    mesh = setting.mesh
    vertices, cam_k = people(body, mesh, setting.batch_size, setting.image_size)
    vertices, cam_k = vertices.to(device), cam_k.to(device)
    backends = [REFERENCE, choose_backend("auto", device)]
    times: dict[str, list[float]] = {name: [] for name in dict.fromkeys(backends)}
    calls, pictures = {}, {}
    for name in times:
        rasteriser = Rasteriser(mesh.faces, mesh.face_parts, setting.image_size, backend=name)
        rasteriser = rasteriser.to(device)
        calls[name] = lambda rasteriser=rasteriser: rasteriser.part_segmentation(vertices, cam_k)
        pictures[name] = calls[name]()  # compiles, allocates, warms up
    if not all(torch.equal(picture, pictures[REFERENCE]) for picture in pictures.values()):
        raise RuntimeError(f"backends drew different pictures of {mesh.name} on {device}")
    repeats = {
        name: max(1, math.ceil(options.min_seconds / measure_seconds(call, 1, device)))
        for name, call in calls.items()
    }
    for _ in range(options.rounds):
        for name, call in calls.items():
            times[name].append(measure_seconds(call, repeats[name], device))
    reference = times[REFERENCE]
    for name, seconds in times.items():
        ratios = [slow / quick for slow, quick in zip(reference, seconds, strict=True)]
        yield Result(
            *(str(device), name, mesh.name, len(mesh.faces)),
            *(setting.batch_size, setting.image_size),
            best_images_per_s=setting.batch_size / min(seconds),
            median_images_per_s=setting.batch_size / statistics.median(seconds),
            best_ratio=min(reference) / min(seconds),
            median_ratio=statistics.median(ratios),
        )


def measure_seconds(call: Callable, repeats: int, device: torch.device) -> float:
    """Mean seconds of a call when several follow one another, the device's work included."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / repeats


def people(body: BodyModel, mesh: Mesh, count: int, image_size: int) -> tuple[Tensor, Tensor]:
    """Vertices (B, V, 3) in the camera frame and intrinsics (B, 3, 3) of the crops around them."""
    generator = torch.Generator().manual_seed(0)
    augmentation, camera = AugmentationOptions(), CameraOptions()
    val_poses = torch.from_numpy(load_poses(OPEN_POSES_VAL).poses)
    poses = val_poses[torch.randint(len(val_poses), (count,), generator=generator)]
    mean_betas = read_mean_parameters("open").betas
    betas = draw_betas(augmentation, mean_betas, count, generator)
    vertices = body(betas, pose_to_rotmats(poses)).vertices
    vertices = vertices + torch.tensor(camera.mean_translation)
    vertices[..., :2] += draw_vertex_noise(augmentation, *vertices.shape[:2], generator)
    cam_k = perspective_intrinsics(camera.focal_length, camera.frame_size, vertices)
    crops = square_crops(boxes_of_bodies(vertices, cam_k))
    return vertices[:, mesh.pairs].mean(dim=2), crop_intrinsics(cam_k, crops, image_size)


def open_body(body: BodyModel) -> Mesh:
    """The body as it is."""
    faces, face_parts = np.asarray(body.faces), np.asarray(body.face_parts)
    return Mesh("open body", torch.arange(faces.max() + 1)[:, None].repeat(1, 2), faces, face_parts)


def decimate(mesh: Mesh, body: BodyModel, keep: float = 0.25) -> Mesh:
    """Every vertex moved to the nearest of those kept; faces that shrink to nothing are dropped."""
    template = body.tpose(torch.zeros(1, 10))[0].numpy()
    kept = np.random.default_rng(0).permutation(len(template))[: int(keep * len(template))]
    nearest = cKDTree(template[kept]).query(template)[1]
    faces = nearest[mesh.faces]
    whole = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return Mesh("decimated", mesh.pairs[kept], faces[whole], mesh.face_parts[whole])


def subdivide(mesh: Mesh) -> Mesh:
    """Each face cut into four at the middles of its edges."""
    edges = np.sort(np.stack([mesh.faces, np.roll(mesh.faces, -1, axis=1)], axis=-1), axis=-1)
    pairs, middle = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True)
    ab, bc, ca = (middle.reshape(-1, 3) + len(mesh.pairs)).T
    a, b, c = mesh.faces.T
    faces = np.stack([[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]])  # (4, 3, F)
    return Mesh(
        "subdivided",
        torch.cat([mesh.pairs, torch.from_numpy(pairs)]),
        faces.transpose(2, 0, 1).reshape(-1, 3),
        mesh.face_parts.repeat(4),
    )


def _list_devices() -> list[str]:
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(BenchmarkOptions, __doc__))))
