"""Shows rendered people to a detector and keeps what it observes, with the truth, to train on.

    python -m tools.observe_people --output data/observed_people.npz --count 5000 --workers 1

People are those of the open benchmark but of training poses and another seed, in smaller pictures.
Each is shown in their photo and in its mirror image. Person i depends on the seed and on i alone;
parts of the file lie in a folder beside it, and what is there is not made again. What the file
holds is said in `data/README.md`.
"""

import sys
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from evaluate.open_benchmark import (
    BenchmarkOptions,
    in_processes,
    make_manifest,
    photograph_person,
    read_manifest,
    write_manifest,
)
from predict.detectors.interface import Detection, Detector
from predict.detectors.registry import build_detector
from predict.people import observe_people
from scenes.picture_options import PictureOptions
from scenes.random_people import ShapeSpread, neutral_body
from tools.detecting import TruePerson, Window, find_in_window, pack_floats, project_person
from tools.pose_tools import round_poses
from utils.cameras import points_to_crops
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.files import LOCK, check_writable, lock_folder, write_npz
from utils.options import OneOrMore, check_ranges
from utils.paths import DATA, OPEN_POSES_TRAIN
from utils.readers import read_npz
from utils.rotations import rotmat_to_axis_angle

COARSE_PICTURES = PictureOptions(320, 400, supersampling=1, sky_directions=8, main_directions=2)
COLUMNS = ("betas", "poses", "silhouettes", "joints2d", "confidence", "true_joints2d")


@dataclass(frozen=True)
class Options:
    """Options of observe_people.py."""

    output: Path = DATA / "observed_people.npz"  # npz to write; its parts go beside it
    count: OneOrMore = 5000  # people
    seed: int = 20011  # of the people; those of other scripts are others
    detector: str = "mediapipe"  # one of predict.detectors.registry.DETECTORS
    image_size: OneOrMore = 128  # side of the network's crops, pixels
    poses: Path = OPEN_POSES_TRAIN  # to draw from
    spread: ShapeSpread = ShapeSpread()  # of the shapes
    workers: OneOrMore = 1  # processes
    picture: PictureOptions = COARSE_PICTURES
    part_size: OneOrMore = 25  # people in a part; a run that is stopped loses one part

    @property
    def people(self) -> BenchmarkOptions:
        """The people to render."""
        return BenchmarkOptions(
            self.count, self.seed, self.spread, self.poses, picture=self.picture
        )


def main(options: Options) -> None:
    """Observes the people that no part holds yet, and joins the parts in one file."""
    check_ranges(options)
    folder = options.output.with_name(options.output.stem + "_parts")
    check_writable(folder)
    with lock_folder(folder):
        check_parts(folder, options)
        parts = build_parts(folder, options)
    contents = [read_npz(part, ["lost"], COLUMNS) for part in parts]
    lost = sum(int(content["lost"]) for content in contents)
    contents = [content for content in contents if "betas" in content]
    if not contents:
        raise InputError(f"{options.detector} finds none of the {options.count} people")
    rows = {name: np.concatenate([each[name] for each in contents]) for name in COLUMNS}
    body_hash = neutral_body().identity["hash"]
    made_for = {"image_size": np.int64(options.image_size), "body_hash": body_hash}
    write_npz(options.output, {**rows, **made_for})
    print(f"{options.output}: {len(rows['betas'])} observations, {lost} times nobody was found")


def check_parts(folder: Path, options: Options) -> None:
    """Raises InputError for parts of another file; writes down what new ones are made from."""
    made_from: dict[str, Any] = {
        **make_manifest(options.people),
        "detector": options.detector,
        "image_size": options.image_size,
    }
    found = read_manifest(folder)
    if found is None:
        if any(path.name != LOCK for path in folder.iterdir()):
            raise InputError(f"{folder} holds other files than parts; choose another --output")
        write_manifest(folder, made_from)
    elif found != made_from:
        changed = [name for name in made_from if found.get(name) != made_from[name]]
        raise InputError(
            f"{folder} holds people made with another {', '.join(changed) or 'script'}; delete it, "
            "or choose another file with --output"
        )


def build_parts(folder: Path, options: Options) -> list[Path]:
    """Makes the parts that are not there; returns the files of all, in order."""
    starts = range(0, options.count, options.part_size)
    people = [range(start, min(start + options.part_size, options.count)) for start in starts]
    paths = [folder / f"people_{each.start:06d}_{each.stop:06d}.npz" for each in people]
    missing = [pair for pair in zip(paths, people, strict=True) if not pair[0].is_file()]
    done = options.count - sum(len(each) for _, each in missing)
    with tqdm(total=options.count, initial=done, desc="observing", unit="person") as bar:
        for count in in_processes(partial(build_part, options=options), missing, options.workers):
            bar.update(count)
    return paths


def build_part(part: tuple[Path, range], options: Options) -> int:
    """Observes some people and writes the file of them; returns their number."""
    path, people = part
    detector = load_detector(options.detector)
    found = [row for index in people for row in observe_person(index, options, detector)]
    rows = [row for row in found if row is not None]
    columns = {name: np.stack([row[name] for row in rows]) for name in COLUMNS} if rows else {}
    write_npz(path, {**columns, "lost": np.int64(len(found) - len(rows))})
    return len(people)


@lru_cache(maxsize=1)
def load_detector(name: str) -> Detector:
    """The detector of this process, which sees many parts."""
    return build_detector(name, torch.device("cpu"))


def observe_person(
    index: int, options: Options, detector: Detector
) -> list[dict[str, np.ndarray] | None]:
    """Rows of the photo and of its mirror image; None where the person is not found.

    The mirror image's detection is mirrored back: both rows are of the photo.
    """
    scene, image = photograph_person(index, options.people)
    figure = scene.figure
    cam_t, cam_k = (
        torch.from_numpy(each.astype(np.float32)) for each in (figure.cam_t, figure.camera.cam_k)
    )
    rotmats = figure.pose_rotmats.float()
    person = project_person(torch.from_numpy(figure.betas), rotmats, cam_t, cam_k)
    truth = {
        "betas": figure.betas,
        "poses": round_poses(rotmat_to_axis_angle(rotmats).flatten().numpy()),
    }
    windows = [Window(mirrored, (0, 0, *image.shape[1::-1])) for mirrored in (False, True)]
    detections = [find_in_window(detector, image, window, person) for window in windows]
    return [
        None if found is None else {**truth, **describe_detection(found, person, options)}
        for found in detections
    ]


def describe_detection(
    detection: Detection, person: TruePerson, options: Options
) -> dict[str, np.ndarray]:
    """What the network would see, and the true joints, in shares of the same crop's side."""
    size = options.image_size
    observation, crops, _ = observe_people([detection], size, torch.device("cpu"))
    silhouettes, joints2d_px, confidence = observation
    true_joints2d_px = torch.from_numpy(person.joints2d_px)[None]
    true_in_crop_px = points_to_crops(true_joints2d_px, crops, size)
    return {
        "silhouettes": np.packbits(silhouettes[0].numpy()),
        "joints2d": pack_floats(joints2d_px[0].numpy() / size),
        "confidence": pack_floats(confidence[0].numpy()),
        "true_joints2d": pack_floats(true_in_crop_px[0].numpy() / size),
    }


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(Options, __doc__))))
