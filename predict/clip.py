"""A clip from its frames to its results: everybody is estimated, followed, smoothed and written.

The clip is read twice. First every frame's people are found and estimated, which is kept as numbers
(`predict.clip_estimates`). Then people are followed (`predict.tracks`), each gets one shape and a
smooth motion (`predict.motion`), and the clip is read again for the overlay.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from metrics.anatomy import Anatomy
from metrics.measurements import Measurements, measure
from models.body_model import BodyModel
from predict.bvh import write_bvh
from predict.clip_estimates import CHUNK, FOLDER_ENDING, EstimateFolder, Estimates
from predict.clip_overlay import write_overlay
from predict.detectors.interface import Detector
from predict.folder import QUEUE_DEPTH, Background
from predict.known_people import ShapeEstimator
from predict.motion import (
    MotionOptions,
    TrackedPerson,
    Trajectory,
    build_motion,
    describe,
    find_trajectory,
    pose_bodies,
    resample,
)
from predict.people import BodyPredictor, Person, Photo, predict_photos
from predict.records import ResultSource
from predict.results import make_person_names
from predict.rigged_mesh import Rig, write_glb
from predict.tracks import describe_colours, follow_people
from predict.video import Clip
from utils.errors import InputError, Skipped
from utils.files import write_npz
from utils.joints import BODY_MODEL_JOINTS, SMPL_JOINTS

POOR_FIT = 0.8  # of a person's median silhouette IoU; an estimate below it is not used
OVERLAY_ENDING = "_overlay.mp4"


@dataclass(frozen=True)
class _FramePhoto(Photo):
    """A frame on its way."""

    time: float = 0.0  # seconds
    colours: tuple[np.ndarray, ...] = ()  # of its people, `predict.tracks.describe_colours`
    failure: str = ""  # why it could not be searched


@dataclass(frozen=True)
class ClipOptions:
    """What is made of a clip."""

    everyone: bool  # all people, else the one who is most prominent in most frames
    visuals: bool  # whether an overlay is drawn
    renderer: str  # a backend of `renderers.shading.BodyRenderer`
    go_on: bool  # whether to use what a stopped run left
    motion: MotionOptions
    focal_px: float | None = None  # of the clip's camera; None: the frame's longer side
    common: Mapping[str, np.ndarray] = field(default_factory=dict)  # arrays that every npz has too


@dataclass(frozen=True)
class ClipPredictor:
    """Everything that predicts clips, loaded.

    Attributes:
        detector: finds people.
        body_predictor: estimates them.
        body_model: theirs, on the CPU.
        options: what is made of a clip.
        estimator: shapes people by how frames err and by what is known; heights by clips' files.
            None: their betas' mean.
    """

    detector: Detector
    body_predictor: BodyPredictor
    body_model: BodyModel
    options: ClipOptions
    estimator: ShapeEstimator | None = None

    def predict(self, clip: Clip, output: Path, name: str, key: dict[str, Any]) -> list[str]:
        """Predicts a clip and writes its files.

        Args:
            clip: to read.
            output: an existing folder.
            name: that the results go by.
            key: what estimates depend on, see `EstimateFolder`.

        Returns:
            Lines to print about it.

        Raises:
            InputError: nobody is found, a frame cannot be read or a file not written.
        """
        folder = EstimateFolder(output / (name + FOLDER_ENDING), key, self.options.go_on)
        with Background() as background:
            estimates = self.estimate(clip, folder, background)
        people, lines = self.follow(clip, estimates)
        names = make_person_names(name, len(people), self.options.everyone)
        if self.options.visuals:
            told = write_overlay(
                clip, people, self.body_model, self.options.renderer,
                output / (name + OVERLAY_ENDING), folder.path,
            )  # fmt: skip
            lines.append(f"{name}{OVERLAY_ENDING}" + (f", {told}" if told else ""))
        # The first person last, whose npz says that the clip is done.
        results = [
            self._write(output, *each, clip) for each in list(zip(names, people, strict=True))[::-1]
        ]
        folder.remove()
        return [*results[::-1], *lines]

    def estimate(self, clip: Clip, folder: EstimateFolder, background: Background) -> Estimates:
        """Estimates everybody in every frame, going on where the folder's chunks end."""
        chunks = folder.read()
        done = sum(len(chunk.times) for chunk in chunks)
        frames = self._estimate_frames(clip, done, background)
        total = clip.count or None
        with tqdm(frames, "estimating", total, initial=done, unit="frame") as progress:
            for chunk in _gather(progress, done):
                folder.add(len(chunks), chunk)
                chunks.append(chunk)
        return Estimates.join(chunks)

    def _estimate_frames(
        self, clip: Clip, start: int, background: Background
    ) -> Iterator[tuple[float, _FramePhoto | Skipped]]:
        """Every frame's time and people, from number `start` on."""
        photos = (
            _FramePhoto(clip.path, str(frame.index), frame.image, time=frame.time)
            for frame in clip.frames(start)
        )
        read = background.ahead(photos, QUEUE_DEPTH)
        found = background.ahead(map(self._find, read), self.body_predictor.batch_size)
        times: list[float] = []

        def noting(photos: Iterable[_FramePhoto]) -> Iterator[_FramePhoto]:
            for photo in photos:
                times.append(photo.time)
                yield photo

        for photo in predict_photos(noting(found), self.body_predictor):
            yield times.pop(0), photo

    def _find(self, photo: _FramePhoto) -> _FramePhoto:
        try:
            detections = self.detector.detect(photo.image)
            colours = [
                describe_colours(photo.image, each.silhouette, each.box) for each in detections
            ]
        except Exception as error:  # libraries fail in their own ways; the other frames go on
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return replace(photo, image=None, failure=f"the detector failed ({reason})")
        people = tuple(map(Person, detections))
        return replace(photo, image=None, people=people, colours=tuple(colours))

    def follow(self, clip: Clip, estimates: Estimates) -> tuple[list[TrackedPerson], list[str]]:
        """The people of a clip with their motions, and what there is to tell about it.

        Raises:
            InputError: there is nobody.
        """
        tracks, short = follow_people(estimates.sights, estimates.times)
        failed = [reason for reason in estimates.failures if reason]
        lines = []
        if failed:
            lines.append(f"{len(failed)} frames could not be searched: {failed[0]}")
        if not tracks:
            raise InputError(
                f"{clip.path}: no person found"
                + (f"; {lines[0]}" if lines else "")
                + (f"; {short} seen for a moment only" if short else "")
            )
        if short:
            lines.append(f"{short} seen for a moment only, and left out")
        kept = tracks if self.options.everyone else tracks[:1]
        if len(kept) < len(tracks):
            lines.append(f"{len(tracks) - 1} others were followed; --people all gives them too")
        return [self.move(estimates, rows, clip.path.name) for rows in kept], lines

    def move(self, estimates: Estimates, rows: np.ndarray, file: str = "") -> TrackedPerson:
        """The motion of the person whose estimates are in these rows; file: the clip's name.

        To be smoothed, those that fit their silhouette much worse than usual are left out, as where
        somebody else stands before the person; such gaps are bridged like others.
        """
        ious = estimates.rows["silhouette_iou"][rows]
        if self.options.motion.smoothing > 0:
            rows = rows[ious >= POOR_FIT * np.median(ious)]
        values = {name: torch.from_numpy(each[rows]) for name, each in estimates.rows.items()}
        frames = estimates.rows["frame"][rows]
        person = TrackedPerson(
            frames,
            torch.from_numpy(estimates.times[frames]),
            values["pose_rotmats"],
            values["betas"],
            values["cam_photo"],
            np.ones(len(rows), bool),
        )
        seen = (values["joint_confidence"] > 0.5).float().mean(dim=1)
        weights = values["silhouette_iou"].nan_to_num().square() * seen
        inform = None if self.estimator is None else partial(self._inform, file)
        return build_motion(person, weights, self.body_model, self.options.motion, inform)

    def _inform(self, file: str, betas: torch.Tensor) -> torch.Tensor:
        shape = self.estimator.estimate_clip(betas.numpy(), file)
        return torch.from_numpy(shape.betas).to(betas)

    def _write(self, output: Path, name: str, person: TrackedPerson, clip: Clip) -> str:
        """Writes a person's files; returns a line about them."""
        size = (clip.width, clip.height)
        focal = self.options.focal_px or float(max(size))
        joints3d = pose_bodies(person, self.body_model)
        trajectory = find_trajectory(person, joints3d[:, : len(SMPL_JOINTS)], focal, size)
        motion = resample(person, trajectory, clip.fps)
        rig = Rig.from_body_model(self.body_model)
        write_bvh(output / f"{name}.bvh", rig.skinning, motion)
        write_glb(output / f"{name}.glb", rig, motion)
        tpose = self.body_model.tpose(person.betas[:1])[0].numpy()
        measurements = measure(tpose, Anatomy.of(self.body_model))
        arrays = {
            **self.options.common,
            **_list_arrays(person, joints3d, trajectory, clip),
            "vertices_tpose": tpose,
            "measurements": np.array(measurements, np.float32),
        }
        if self.estimator is not None:
            arrays |= self.estimator.list_given(clip.path.name)
        write_npz(output / f"{name}.npz", arrays, compress=False)
        return _format(name, person, measurements)


def make_key(clip: Clip, options: Any, names: str, source: ResultSource) -> dict[str, list | str]:
    """What the estimates of a clip depend on: its files as they are now, what predicts, options.

    Args:
        clip: to read.
        options: of the program.
        names: of the options that count.
        source: what predicts.
    """
    files = [
        [each.name, each.stat().st_size, each.stat().st_mtime_ns]
        for each in clip.images or (clip.path,)
    ]
    chosen = {name: str(getattr(options, name)) for name in names.split()}
    return {"files": files, "source": repr(source), **chosen}


def _gather(
    frames: Iterable[tuple[float, _FramePhoto | Skipped]], start: int
) -> Iterator[Estimates]:
    """The people of frames, the first of which has number `start`, as chunks of `CHUNK` frames."""
    times: list[float] = []
    failures: list[str] = []
    people: list[dict[str, np.ndarray]] = []
    for number, (time, photo) in enumerate(frames, start):
        times.append(time)
        failures.append(photo.reason if isinstance(photo, Skipped) else photo.failure)
        if not isinstance(photo, Skipped):
            people += _list_people(number, photo)
        if len(times) == CHUNK:
            yield Estimates.of_people(times, failures, people)
            times, failures, people = [], [], []
    if times:
        yield Estimates.of_people(times, failures, people)


def _list_people(number: int, photo: _FramePhoto) -> list[dict[str, np.ndarray]]:
    """The rows of a frame's people."""
    return [
        {
            "frame": number,
            "rank": rank,
            "box": person.detection.box,
            "joints2d_px": person.detection.joints2d_px,
            "joint_confidence": person.detection.joint_confidence,
            "colours": colours,
            "silhouette_iou": person.silhouette_iou,
            **{name: person.arrays[name] for name in ("pose_rotmats", "betas", "cam_photo")},
        }
        for rank, (person, colours) in enumerate(zip(photo.people, photo.colours, strict=True))
    ]


def _list_arrays(
    person: TrackedPerson, joints3d: torch.Tensor, trajectory: Trajectory, clip: Clip
) -> dict[str, np.ndarray]:
    """What is written about a person."""
    scale, offset = person.cam_photo[:, None, :1], person.cam_photo[:, None, 1:]
    arrays = describe(person, (clip.width, clip.height))
    return {
        "frames": person.frames,
        "times": person.times.numpy(),
        "fps": np.float64(clip.fps),
        "estimated": person.estimated,
        **arrays,
        "betas": arrays["betas"][0],
        "joints3d": joints3d.numpy(),
        "joints2d_px": (scale * joints3d[..., :2] + offset).numpy(),
        "joint_names": np.array(BODY_MODEL_JOINTS),
        "trajectory_root": trajectory.root.numpy(),
        "trajectory_t": trajectory.cam_t.numpy(),
        "trajectory_k": trajectory.cam_k.numpy(),
    }


def _format(name: str, person: TrackedPerson, measurements: Measurements) -> str:
    bridged = int((~person.estimated).sum())
    stretches = 1 + int((np.diff(person.frames) > 1).sum())
    told = f"{len(person.frames)} frames ({person.times[0]:.1f} to {person.times[-1]:.1f} s"
    told += f", in {stretches} stretches)" if stretches > 1 else ")"
    return f"{name}: {told}{f', {bridged} of them bridged' if bridged else ''}, {measurements}"
