"""Clips of known truth: accuracy and jitter by what is done with the estimates; memory; speed.

python -m benchmarks.video --json video.json

Rendered people move and walk past each other (`scenes.clips`); the detector and the network see the
encoded clip as they would any other. What was rendered and estimated is kept in `--work`, so that
another run measures at once. Errors are means over all frames in which a person was followed:

- MPJPE-PA and PVE-T-SC as everywhere (mm), the latter of each frame's shape;
- acceleration error (mm/frame^2): of the joints relative to the pelvis, predicted minus true; it is
  jitter, and motion that was smoothed away;
- the joints' distance from where they truly are in the picture, pixels;
- delay (ms): the shift in time that explains most of the difference from the true joints.
"""

import itertools
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.timing import machine, write_json
from metrics.metrics import Metrics
from models.body_model import BodyModel
from models.checkpoints import load_predictor
from models.shape_errors import read_shape_errors
from predict.clip import ClipOptions, ClipPredictor
from predict.clip_estimates import EstimateFolder, Estimates
from predict.detectors.registry import build_detector
from predict.folder import Background, leave_cores_to_other_stages
from predict.known_people import ShapeEstimator
from predict.motion import MotionOptions, TrackedPerson, find_trajectory, pose_bodies
from predict.people import BodyPredictor, Person
from predict.tracks import follow_people
from predict.video import Clip, ClipWriter, open_clip
from scenes.clips import CLIP_PICTURE, ClipScene, make_scene
from utils.cameras import project_perspective
from utils.command_line import parse_options, run_script
from utils.files import hash_file
from utils.joints import COCO17_IN_90, LSP14_IN_90
from utils.paths import DEFAULT_CHECKPOINT, OUTPUT, ROOT

FPS = 25.0
MATCH_PX = 40.0  # mean distance of joints from a person's true ones, within which they are theirs
VARIANTS = {
    "frame by frame": MotionOptions(smoothing=0, one_shape=False),
    "one shape": MotionOptions(smoothing=0),
    "smooth, forwards only": MotionOptions(both_ways=False, one_shape=False),
    "smooth": MotionOptions(one_shape=False),
    "smooth, one shape": MotionOptions(),
    "smooth, one shape, strength 0.5": MotionOptions(smoothing=0.5),
    "smooth, one shape, strength 2": MotionOptions(smoothing=2),
}


@dataclass(frozen=True)
class VideoOptions:
    """What is measured."""

    scenes: tuple[str, ...] = ("one", "walker", "three")
    frames: int = 75  # of each scene's clip, at 25 a second
    work: Path = OUTPUT / "video_benchmark"  # folder for clips and estimates
    checkpoint: Path = DEFAULT_CHECKPOINT
    silh_from: str = "mediapipe"
    errors: bool = True  # measure accuracy, jitter and delay
    memory: tuple[float, ...] = ()  # seconds of clips whose peak memory is measured, such as 10 60
    memory_fps: float = 10.0  # frames a second of those
    speed: int = 0  # frames of a 1280 x 720 clip whose speed is measured; 0: not
    json: Path | None = None  # where the results are written too


class Followed(NamedTuple):
    """How well people were followed in a clip."""

    covered: float  # share of true people in frames that a track has
    switches: int  # times that a track went over to somebody else
    tracks: int


def main(options: VideoOptions) -> None:
    """Measures, prints and writes."""
    options.work.mkdir(parents=True, exist_ok=True)
    body = BodyModel.load().eval()
    results: dict[str, Any] = {"machine": machine(torch.device("cpu"))}
    if options.errors:
        predictor = load(options)
        for name in options.scenes:
            scene = make_scene(name, options.frames, FPS, body)
            results[name] = measure_scene(scene, name, predictor, options)
    for seconds in options.memory:
        key = f"peak memory (MB), {seconds:g} s at {options.memory_fps:g} frames/s"
        results[key] = measure_memory(seconds, options, body)
        print(f"{key}: {results[key]:.0f}", flush=True)
    if options.speed:
        results["speed"] = measure_speed(options, body)
        print("1280 x 720, without pictures:", results["speed"])
    write_json(options.json, results)


def load(options: VideoOptions) -> ClipPredictor:
    """Detector and network."""
    leave_cores_to_other_stages()
    device = torch.device("cpu")
    predictor = load_predictor(options.checkpoint, device)
    body_predictor = BodyPredictor(predictor, device, 8)
    errors = read_shape_errors(options.checkpoint, hash_file(options.checkpoint), "detector")
    return ClipPredictor(
        build_detector(options.silh_from, device),
        body_predictor,
        predictor.body_model,
        ClipOptions(True, False, "own", True, MotionOptions()),
        ShapeEstimator(body_predictor, errors),
    )


def render(scene: ClipScene, path: Path, count: int, fps: float = FPS) -> Clip:
    """A scene as a clip of `count` frames, to and fro where that is more than it has."""
    if not path.is_file():
        size = (scene.picture.width, scene.picture.height)
        drawn = path.with_suffix(".frames.npy")
        if not drawn.is_file():
            np.save(drawn, np.stack(list(scene.frames())))
        images = np.load(drawn, mmap_mode="r")
        turn = np.abs((np.arange(count) + len(scene) - 1) % (2 * len(scene) - 2) - len(scene) + 1)
        with ClipWriter(path, path.with_suffix(".unfinished.mp4"), size) as writer:
            for number, frame in enumerate(turn):
                writer.add(number / fps, np.array(images[frame]))
            writer.finish(None)
    return open_clip(path)


def measure_scene(
    scene: ClipScene, name: str, predictor: ClipPredictor, options: VideoOptions
) -> dict[str, Any]:
    """Every variant's errors in a scene; prints them."""
    stem = f"{name}_{options.frames}"
    clip = render(scene, options.work / f"{stem}.mp4", options.frames)
    folder = EstimateFolder(options.work / f"{stem}_{options.silh_from}", {}, go_on=True)
    with Background() as background:
        estimates = predictor.estimate(clip, folder, background)
    truth = [_true_motion(scene, actor) for actor in range(len(scene.actors))]
    tracks, _ = follow_people(estimates.sights, estimates.times)
    owners = [_find_owners(estimates, rows, truth) for rows in tracks]
    followed = _rate(owners, len(truth) * len(scene))
    print(f"\n{name}: {followed}")
    results: dict[str, Any] = {"followed": followed._asdict()}
    for variant, motion in VARIANTS.items():
        changed = replace(predictor, options=replace(predictor.options, motion=motion))
        errors = []
        for rows, mine in zip(tracks, owners, strict=True):
            if (mine >= 0).any():
                owner = truth[np.bincount(mine[mine >= 0]).argmax()]
                errors.append(measure_track(changed.move(estimates, rows), owner, scene))
        weights = [each.pop("frames") for each in errors]
        means = {
            key: float(np.average([each[key] for each in errors], weights=weights))
            for key in errors[0]
        }
        results[variant] = means
        shown = ", ".join(f"{key} {value:.2f}" for key, value in means.items())
        print(f"    {variant}: {shown}", flush=True)
    return results


class _Truth(NamedTuple):
    joints3d: torch.Tensor  # (T, 90, 3) metres, camera axes, body origin
    joints2d_px: torch.Tensor  # (T, 90, 2)
    betas: torch.Tensor  # (10,)
    vertices_tpose: torch.Tensor  # (V, 3)


@torch.inference_mode()
def _true_motion(scene: ClipScene, actor: int) -> _Truth:
    frames = [scene.truth(actor, frame) for frame in range(len(scene))]
    betas = torch.from_numpy(frames[0].betas)
    rotmats = torch.stack([frame.pose_rotmats for frame in frames])
    joints = torch.cat([scene.body(betas[None], each[None]).joints3d for each in rotmats])
    cam_t = torch.from_numpy(np.stack([frame.cam_t for frame in frames])).float()
    cam_k = torch.from_numpy(scene.camera.cam_k).float().expand(len(frames), 3, 3)
    joints2d_px = project_perspective(joints + cam_t[:, None], cam_k)
    return _Truth(joints, joints2d_px, betas, scene.body.tpose(betas[None])[0])


def _find_owners(estimates: Estimates, rows: np.ndarray, truth: list[_Truth]) -> np.ndarray:
    """(N,) which true person each row of a track shows; -1: none."""
    seen = estimates.rows["joints2d_px"][rows]  # (N, 17, 2)
    frames = estimates.rows["frame"][rows]
    true = np.stack([each.joints2d_px[frames][:, COCO17_IN_90].numpy() for each in truth])
    apart = np.median(np.linalg.norm(true - seen, axis=-1), axis=-1)  # (A, N)
    return np.where(apart.min(axis=0) < MATCH_PX, apart.argmin(axis=0), -1)


def _rate(owners: list[np.ndarray], total: int) -> Followed:
    switches = 0
    for mine in owners:
        known = mine[mine >= 0]
        switches += int((np.diff(known) != 0).sum())
    return Followed(sum(int((mine >= 0).sum()) for mine in owners) / total, switches, len(owners))


@torch.inference_mode()
def measure_track(person: TrackedPerson, truth: _Truth, scene: ClipScene) -> dict[str, float]:
    """A track's errors against the person whom it shows most."""
    joints = pose_bodies(person, scene.body)
    true = truth.joints3d[person.frames]
    scale, offset = person.cam_photo[:, None, :1], person.cam_photo[:, None, 1:]
    seen = scale * joints[..., :2] + offset
    apart = (seen - truth.joints2d_px[person.frames])[:, COCO17_IN_90].norm(dim=-1)
    shapes, index = torch.unique(person.betas, dim=0, return_inverse=True)
    tpose = scene.body.tpose(shapes)
    same = {"vertices_tpose": truth.vertices_tpose[None].expand_as(tpose)}
    shape = Metrics().update({"vertices_tpose": tpose}, same)["pve_t_sc"][index]
    size, focal = (scene.picture.width, scene.picture.height), float(scene.camera.cam_k[0, 0])
    turns = find_trajectory(person, joints[:, :24], focal, size).root @ person.pose_rotmats[:, 0].mT
    relative = (joints - joints[:, :1])[:, LSP14_IN_90] @ turns.mT
    true_relative = (true - true[:, :1])[:, LSP14_IN_90]
    pose = Metrics().update({"joints3d": relative}, {"joints3d": true_relative})
    starts = np.flatnonzero(person.frames[2:] - person.frames[:-2] == 2)  # of three in a row
    bent, true_bent = (
        each[starts + 2] - 2 * each[starts + 1] + each[starts] for each in (relative, true_relative)
    )
    return {
        "MPJPE-PA": float(pose["mpjpe_pa"].mean()),
        "PVE-T-SC": float(shape.mean()),
        "acceleration": 1000 * float((bent - true_bent).norm(dim=-1).mean()),
        "2D (px)": float(apart.mean()),
        "delay (ms)": _find_delay(relative, true_relative, person),
        "frames": len(person.frames),
    }


def _find_delay(joints: torch.Tensor, true: torch.Tensor, person: TrackedPerson) -> float:
    """Milliseconds that joints come late: the shift of the true ones that fits best."""
    velocity = torch.gradient(true, spacing=(person.times.float(),), dim=0)[0]
    errors = (joints - true) - (joints - true).mean(dim=0)  # a constant error is no delay
    return -1000 * float((errors * velocity).sum() / velocity.square().sum())


def measure_memory(seconds: float, options: VideoOptions, body: BodyModel) -> float:
    """MB that predicting a clip of this length takes at most, pictures included."""
    count = round(seconds * options.memory_fps)
    scene = make_scene("one", options.frames, FPS, body)
    shared = options.work / f"one_{options.frames}.frames.npy"
    path = options.work / f"memory_{count}.mp4"
    if shared.is_file() and not path.with_suffix(".frames.npy").is_file():
        path.with_suffix(".frames.npy").symlink_to(shared.resolve())
    render(scene, path, count, options.memory_fps)
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=2); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "run_predict.py", "--input", str(path.resolve()), "--output",
               str((options.work / "results").resolve()), "--device", "cpu"]  # fmt: skip
    told = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    return int(told.stdout) / 1024


def measure_speed(options: VideoOptions, body: BodyModel) -> dict[str, float]:
    """Frames a second of a 720p clip, without pictures, and CPU seconds a frame."""
    picture = replace(CLIP_PICTURE, width=1280, height=720)
    few = min(options.speed, 20)
    scene = make_scene("one", few, FPS, body, picture)
    path = options.work / f"speed_{options.speed}.mp4"
    clip = render(scene, path, options.speed)
    predictor = load(options)
    folder = EstimateFolder(options.work / "speed_estimates", {}, go_on=False)
    for frame in itertools.islice(clip.frames(), 3):  # the first ones compile and allocate
        people = [Person(each) for each in predictor.detector.detect(frame.image)]
        predictor.body_predictor.predict(people)
    start, before = time.perf_counter(), time.process_time()
    with Background() as background:
        estimates = predictor.estimate(clip, folder, background)
    predictor.follow(clip, estimates)
    seconds, cpu = time.perf_counter() - start, time.process_time() - before
    return {"frames/s": clip.count / seconds, "CPU s a frame": cpu / clip.count}


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(VideoOptions, __doc__))))
