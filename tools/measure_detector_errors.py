"""Measures how a detector errs: for training that draws such errors (`synthesis.detector_errors`).

    python -m tools.measure_detector_errors

Renders people as the open benchmark does, but of training poses and another seed, lets the
detector find each of them in the photo and its mirror image, both whole and cut off by the photo's
border, and writes one row for every time that somebody was found. Photos are kept: what is there
is not made again. What a row holds is said in `data/README.md`.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from data.truth import read_truth, truth_path
from evaluate.open_benchmark import BenchmarkOptions, build_benchmark
from predict.detectors.interface import Detection
from predict.detectors.registry import build_detector
from renderers.rasteriser import Rasteriser
from scenes.picture_options import PictureOptions
from scenes.random_people import neutral_body
from synthesis.detector_errors import BUMP_RADIUS, OUTLINE_IN_COCO17
from tools.detecting import (
    MIN_IOU,
    TruePerson,
    Window,
    clip_box,
    find_in_window,
    pack_floats,
    project_person,
)
from utils.cameras import crop_intrinsics, cut_silhouettes, inside_image, square_crops
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.files import write_npz
from utils.images import read_image
from utils.joints import COCO17, COCO17_SWAP, PARTS
from utils.paths import DATA, DETECTOR_ERRORS, OPEN_POSES_TRAIN
from utils.proxy import REFERENCE_SIZE
from utils.rotations import pose_to_rotmats

CUTS = ("knee", "hip", "chest", "side")  # where the photo ends, in turn
CUT_SPREAD = 0.05  # of the person's height, +-, around the joint
SIDE_CUTS = (0.1, 0.35)  # of the person's width
MAX_OFFSET = 0.05  # of the crop's side; what is further away is a missing or an added piece
MAX_BUMP_OFFSET = 0.012  # the same for bumps, and from the level: hair and clothes reach so far
BUMP_PENALTY = 0.03  # on the bumps' squares: bumps of which little outline is seen stay near 0
MISSED_SHARE = 0.2  # of the body about a joint; where more is missing, a piece is
PIECE_DEPTH = 0.06  # of the crop's side; a bump so deep takes all of a limb about its joint
MAD_TO_STD = 1.4826  # of normally distributed numbers
MAX_SWAPPED_ERROR = 0.5  # a pair is swapped when that at least halves its error
MIN_SWAP_ERROR = 8 / REFERENCE_SIZE  # of the crop's side, error of a pair that is worth a swap
BORDER = 2.0  # px of the crop: an outline this near to the photo's border is the border's


# Finds a person in a window of a photo, see `tools.detecting.find_in_window`.
Find = Callable[[np.ndarray, Window, TruePerson], Detection | None]


@dataclass(frozen=True)
class Options:
    """Options of measure_detector_errors.py."""

    output: Path = DETECTOR_ERRORS  # npz to write
    photos: Path = DATA / "detector_errors_photos"  # folder of the rendered people
    count: int = 500  # people
    seed: int = 10007  # of the people; the open benchmark's is another
    detector: str = "mediapipe"  # one of predict.detectors.registry.DETECTORS
    workers: int = 1  # processes that render
    picture: PictureOptions = PictureOptions()
    min_iou: float = MIN_IOU  # of the detected and the true box of a person


def main(options: Options) -> None:
    """Renders, measures and writes."""
    detector = build_detector(options.detector, torch.device("cpu"))
    find = partial(find_in_window, detector, min_iou=options.min_iou)
    people = BenchmarkOptions(
        options.count, options.seed, poses=OPEN_POSES_TRAIN, picture=options.picture
    )
    with tqdm(total=options.count, desc="rendering") as bar:
        photos = build_benchmark(options.photos, people, options.workers, bar.update)
    rows, lost = [], 0
    for index, photo in enumerate(tqdm(photos, desc="measuring")):
        for row in measure_photo(photo, find, np.random.default_rng([options.seed, index])):
            if row is None:
                lost += 1
            else:
                rows.append({"person": np.uint16(index), **row})
    if not rows:
        raise InputError(
            f"{options.detector} finds nobody in {options.photos}; look at the photos there"
        )
    columns = {key: pack_floats(np.stack([row[key] for row in rows])) for key in rows[0]}
    write_npz(options.output, columns)
    print(f"{options.output}: {len(rows)} detections, {lost} times nobody was found")


def measure_photo(
    photo: Path, find: Find, generator: np.random.Generator
) -> Iterator[dict[str, np.ndarray] | None]:
    """The rows of a photo, one for each window of it; None where the person is not found."""
    image, person = read_image(photo), read_person(photo)
    for cut in draw_windows(person, image.shape[:2], generator):
        windows = (Window(cut.mirrored, (0, 0, *image.shape[1::-1])), cut)
        found = [find(image, window, person) for window in windows]
        whole, part = (
            None if detection is None else measure_detection(detection, person, window)
            for detection, window in zip(found, windows, strict=True)
        )
        yield whole
        yield part if part is None or whole is None else complete(part, whole, person, cut.frame)


def complete(
    cut: dict[str, np.ndarray],
    whole: dict[str, np.ndarray],
    person: TruePerson,
    frame: tuple[int, int, int, int],
) -> dict[str, np.ndarray]:
    """The row of a cut photo; joints that it does not show are taken from the whole one.

    A row goes to samples that are cut elsewhere, and whose own joints say which are not seen.
    """
    x0, y0, x1, y1 = frame
    seen = inside_image(person.joints2d_px - (x0, y0), x1 - x0, y1 - y0)
    names = ("confidences", "offsets", "swapped")
    return {
        **cut,
        **{
            name: np.where(seen.reshape(-1, *[1] * (cut[name].ndim - 1)), cut[name], whole[name])
            for name in names
        },
    }


def read_person(photo: Path) -> TruePerson:
    """The person whose truth lies beside the photo."""
    truth = read_truth(truth_path(photo))
    rotmats = pose_to_rotmats(truth.pose)
    return project_person(truth.betas, rotmats, truth.cam_t, truth.cam_k)


def draw_windows(
    person: TruePerson, size: tuple[int, int], generator: np.random.Generator
) -> list[Window]:
    """The photo and its mirror image, each cut off in its own way.

    Args:
        person: in the photo.
        size: of the photo, height and width in pixels.
        generator: of the cuts.
    """
    first = generator.integers(len(CUTS))
    cuts = (CUTS[first], CUTS[(first + 2) % len(CUTS)])
    frames = [draw_frame(person, size, cut, generator) for cut in cuts]
    return [Window(False, frames[0]), Window(True, frames[1])]


def draw_frame(
    person: TruePerson, size: tuple[int, int], cut: str, generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """A photo that ends at a joint's height, or that cuts off one side."""
    (height, width), (x0, y0, x1, y1) = size, person.box
    if cut == "side":
        share = generator.uniform(*SIDE_CUTS)
        if generator.random() < 0.5:
            return int(x0 + share * (x1 - x0)), 0, width, height
        return 0, 0, int(x1 - share * (x1 - x0)), height
    shift = generator.uniform(-CUT_SPREAD, CUT_SPREAD) * (y1 - y0)
    heights = {joint: _mean_height(person, joint) for joint in ("shoulder", "hip", "knee")}
    heights["chest"] = (heights["shoulder"] + heights["hip"]) / 2
    bottom = np.clip(heights[cut] + shift, y0 + 0.2 * (y1 - y0), height)
    return 0, 0, width, int(bottom)


def _mean_height(person: TruePerson, joint: str) -> float:
    both = [COCO17.index(f"{side}_{joint}") for side in ("left", "right")]
    return person.joints2d_px[both, 1].mean()


def measure_detection(
    detection: Detection, person: TruePerson, window: Window
) -> dict[str, np.ndarray]:
    """One row of the file; lengths are shares of the crop's side."""
    box = clip_box(person.box, window.frame)
    crop = square_crops(torch.from_numpy(box)[None].float())
    extent = (person.box[2:] - person.box[:2])[[0, 1, 0, 1]]
    return {
        "confidences": detection.joint_confidence,
        **measure_joints(detection.joints2d_px, person.joints2d_px, crop[0, 2].item()),
        "facing": np.float32(person.facing),
        "truncation": np.abs(box - person.box) / extent,
        **measure_mask(detection.silhouette, person, window.frame, crop),
    }


def measure_joints(found_px: np.ndarray, true_px: np.ndarray, side: float) -> dict[str, np.ndarray]:
    """Offsets of joints, against the other side's where left and right were mistaken.

    Args:
        found_px: (17, 2) the detector's joints, pixels of the photo.
        true_px: (17, 2) the true ones.
        side: of the crop, pixels.
    """
    swap = list(COCO17_SWAP)
    as_found, exchanged = (found_px - true_px) / side, (found_px - true_px[swap]) / side
    # A pair at a time: in profile, shoulders may be mistaken and elbows not.
    errors, others = (
        lengths + lengths[swap]
        for lengths in (np.linalg.norm(each, axis=1) for each in (as_found, exchanged))
    )
    swapped = (others < MAX_SWAPPED_ERROR * errors) & (errors > MIN_SWAP_ERROR)
    return {"offsets": np.where(swapped[:, None], exchanged, as_found), "swapped": swapped}


def measure_mask(
    silhouette: np.ndarray, person: TruePerson, frame: tuple[int, int, int, int], crop: Tensor
) -> dict[str, np.ndarray]:
    """How a mask departs from the bare body's silhouette, in the crop of 256 x 256 px.

    Args:
        silhouette: (h, w) bool, the frame's part of the photo.
        person: the true one.
        frame: what the detector saw of the photo.
        crop: (1, 3) of the person.
    """
    corner = torch.tensor([[*frame[:2], 0.0]])
    seen = torch.from_numpy(silhouette)[None]
    found, frame_mask = (
        cut_silhouettes(mask, crop - corner, REFERENCE_SIZE)[0].numpy()
        for mask in (seen, torch.ones_like(seen))
    )
    cam_k = crop_intrinsics(person.cam_k, crop, REFERENCE_SIZE)
    parts = (
        reference_rasteriser().part_segmentation(person.vertices_cam, cam_k)[0].numpy() * frame_mask
    )
    true = parts > 0
    labels = np.arange(1, len(PARTS))[:, None, None]
    visible = (parts == labels).sum(axis=(1, 2))
    missed = ((parts == labels) & ~found).sum(axis=(1, 2)) / np.maximum(visible, 1)
    outline_joints = person.joints2d_px[list(OUTLINE_IN_COCO17)]
    joints = (outline_joints - (crop[0, :2] - crop[0, 2] / 2).numpy()) / crop[0, 2].item()
    return {
        "iou": (true & found).sum() / (true | found).sum(),
        "area": found.sum() / true.sum(),
        "missed": (true & ~found).sum() / true.sum(),
        "added": (found & ~true).sum() / true.sum(),
        "missed_parts": missed,
        **measure_outline(true, found, frame_mask, joints),
    }


@cache
def reference_rasteriser() -> Rasteriser:
    """Draws the neutral open body in crops of the reference size; built once."""
    body = neutral_body()
    return Rasteriser(body.faces, body.face_parts, REFERENCE_SIZE)


def measure_outline(
    true: np.ndarray, found: np.ndarray, frame_mask: np.ndarray, joints: np.ndarray
) -> dict[str, np.ndarray]:
    """How far the outline is off: mean and spread; and as a level, bumps at joints and a rest.

    Args:
        true: (S, S) bool silhouette.
        found: (S, S) bool, the detector's.
        frame_mask: (S, S) bool, what the detector saw.
        joints: (13, 2) true joints, shares of the crop's side.
    """
    size = len(true)
    contours, _ = cv2.findContours(true.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    contours = sorted(contours, key=len, reverse=True)
    to_border = cv2.distanceTransform(np.pad(frame_mask, 1).astype(np.uint8), cv2.DIST_L2, 5)
    x, y = np.concatenate([contour[:, 0] for contour in contours]).T  # (P,) each, pixels
    kept = to_border[1 + y, 1 + x] > BORDER
    offsets = (signed_distance(true) - signed_distance(found))[y, x] / size
    clipped = offsets[kept].clip(-MAX_OFFSET, MAX_OFFSET)
    level = np.median(offsets[kept])
    points = (np.stack([x, y], axis=1) + 0.5) / size
    bumps = fit_bumps(offsets[kept] - level, points[kept], joints)
    rest = np.where(kept, offsets - level - bump_heights(points, joints) @ bumps, 0)
    missed = missed_about(joints, true, found)
    pieces = -PIECE_DEPTH * np.sqrt(missed)  # the root: measured to miss as much as the detector
    return {
        "outline_mean": clipped.mean(),
        "outline_std": clipped.std(),
        "outline_level": level,
        "outline_bumps": np.where(missed > MISSED_SHARE, pieces, bumps),
        # The median's: a few pieces that are missing are not what the outline does elsewhere.
        "outline_rest": MAD_TO_STD * np.median(np.abs(rest[kept])),
        "outline_length": correlation_length(contours[0], rest) / size,
    }


def bump_heights(points: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(P, J) how high at points (P, 2) the bumps at joints (J, 2) are, each 1 at its own joint."""
    squares = ((points[:, None] - joints) ** 2).sum(axis=2)
    return np.exp(-squares / (2 * BUMP_RADIUS**2))


def fit_bumps(offsets: np.ndarray, points: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The bumps (J,) at joints (J, 2) that best explain offsets (P,) at points (P, 2)."""
    offsets = offsets.clip(-MAX_BUMP_OFFSET, MAX_BUMP_OFFSET)
    heights = bump_heights(points, joints)
    penalty = BUMP_PENALTY * len(points) * np.eye(len(joints))
    return np.linalg.solve(heights.T @ heights + penalty, heights.T @ offsets)


def missed_about(joints: np.ndarray, true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(J,) share of the body about each joint (J, 2) that the mask `found` lacks."""
    points = (np.argwhere(true)[:, ::-1] + 0.5) / len(true)  # (P, 2) x, y
    weights = bump_heights(points, joints)
    # A joint that no body is near to, cut off or hidden by the frame, is not missed.
    return ~found[true] @ weights / (weights.sum(axis=0) + 1e-3)


def correlation_length(contour: np.ndarray, values: np.ndarray) -> float:
    """Pixels along a closed contour (P, 1, 2) over which values (P or more,) lose 1 - 1 / e."""
    values = values[: len(contour)].clip(-MAX_OFFSET, MAX_OFFSET)
    spectrum = np.abs(np.fft.rfft(values)) ** 2
    correlation = np.fft.irfft(spectrum)
    steps = np.argmax(correlation < correlation[0] / np.e)
    return steps * cv2.arcLength(contour, closed=True) / len(contour)


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """(S, S) pixels from each pixel's centre to the mask's outline, negative inside."""
    outside, inside = (
        cv2.distanceTransform(each.astype(np.uint8), cv2.DIST_L2, 5) for each in (~mask, mask)
    )
    return np.where(mask, 0.5 - inside, outside - 0.5)


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(Options, __doc__))))
