"""A small valid file of every kind that users bring, and what reads it."""

import io
import json
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
import scipy.sparse
import torch

from data.frames import read_mask
from data.made_shapes import read_made_people
from data.pose_dataset import load_poses
from data.truth import read_truth
from evaluate.open_benchmark import BenchmarkOptions, make_manifest, read_manifest, write_manifest
from metrics.measurement_errors import (
    ErrorKey,
    MeasurementErrors,
    read_measurement_errors,
    write_measurement_errors,
)
from metrics.measurements import Measurements
from models.body_model import BodyModel
from models.checkpoints import load_regressor, read_checkpoint
from models.landmarks import _read_npy
from models.shape_errors import (
    ShapeErrors,
    ShapePrior,
    read_shape_errors,
    write_shape_errors,
)
from models.smpl_files import read_smpl_file
from predict.detectors.detectron_weights import WeightsFile, read_weights
from predict.detectors.keypoint_files import read_coco_table, read_keypoints
from predict.heights import read_heights
from predict.known_people import read_genders
from predict.people import Photo
from predict.records import describe_person, read_record, save_person
from predict.tables import ResultTables, read_rows
from predict.video import open_clip
from synthesis.observed_people import read_observed_people
from tests.clips import add_tone, numbered_frames, write_frames
from tests.evaluation_sets import python2_pickle, write_truth_file
from tests.licensed import chumpy_classes
from tests.networks import random_network, stored_options
from tests.observed import write_observed_people
from tests.predict.test_records import SIZES, make_person, make_source
from tests.tools.test_read_bvh import TINY
from tools.prepare_3dpw import read_sequence
from tools.read_bvh import read_bvh
from utils.images import read_image
from utils.joints import SMPL_PARENTS
from utils.mp4 import write_clip

_VERTICES = 20


class Sample(NamedTuple):
    """A valid file, and what reads it."""

    name: str  # of a file of that kind
    content: bytes
    read: Callable[[Path], object]


def make_samples(folder: Path) -> list[Sample]:
    """Samples of every kind; `folder` is for files on the way."""
    body = BodyModel.load("open", "neutral").eval()
    return [
        *_numbers(folder, body), *_pickles(), *_weights(body), *_pictures(), *_texts(folder),
        *_keypoints(folder), *_results(folder), _clip(folder),
    ]  # fmt: skip


def _numbers(folder: Path, body: BodyModel) -> list[Sample]:
    poses = np.random.default_rng(0).normal(0, 0.2, (4, 72)).astype(np.float32)
    poses[:, 0] = np.pi
    np.savez(folder / "poses.npz", poses=poses, fnames=np.array(list("abcd")))
    np.savez_compressed(folder / "packed.npz", poses=poses)
    np.savez(folder / "SMPL.npz", **_smpl_arrays())
    np.save(folder / "regressor.npy", np.ones((9, 10)))
    write_truth_file(folder)
    write_observed_people(folder / "observed.npz", 3, 16, body)
    body_hash = body.identity["hash"]
    observe = partial(read_observed_people, image_size=16, body_hash=body_hash, share=0.5)
    made = {"betas": poses[:, :12], "genders": np.ones(4), "body_hash": body_hash}
    np.savez(folder / "shapes.npz", **made)
    readers = {
        "poses.npz": load_poses, "packed.npz": load_poses, "SMPL.npz": read_smpl_file,
        "regressor.npy": _read_npy, "a_truth.npz": read_truth,
        "observed.npz": lambda path: observe([path]),
        "shapes.npz": lambda path: read_made_people([path], body_hash),
    }  # fmt: skip
    return [Sample(name, (folder / name).read_bytes(), read) for name, read in readers.items()]


def _keypoints(folder: Path) -> list[Sample]:
    people = np.random.default_rng(0).uniform(1, 99, (2, 17, 3))
    np.savez(folder / "keypoints.npz", keypoints=people)
    coco = [{"image_id": "a.jpg", "keypoints": each.ravel().tolist()} for each in people]
    labels = {"annotations": coco, "images": [{"id": 1, "file_name": "a.jpg"}]}
    openpose = {"people": [{"pose_keypoints_2d": list(range(75))}]}
    return [
        Sample("a.npz", (folder / "keypoints.npz").read_bytes(), read_keypoints),
        Sample("a.json", json.dumps(coco).encode(), read_keypoints),
        Sample("all.json", json.dumps(labels).encode(), read_coco_table),
        Sample("a_keypoints.json", json.dumps(openpose).encode(), read_keypoints),
    ]


def _results(folder: Path) -> list[Sample]:
    person = make_person()
    record = describe_person("a.jpg", 1, "a", person, SIZES)
    save_person(folder / "a.npz", person, record, make_source())
    photo = Photo(folder / "a.jpg", "a")
    tables = ResultTables(folder)
    tables.start(make_source(), [], [photo], numbered=False)
    return [
        Sample("a.npz", (folder / "a.npz").read_bytes(), lambda path: read_record(path, "a.jpg")),
        Sample("results.csv", (folder / "results.csv").read_bytes(),
               lambda path: read_rows(path.parent)),
    ]  # fmt: skip


def _smpl_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    parents = np.array(SMPL_PARENTS, np.int64)
    parents[0] = 2**32 - 1
    return {
        "v_template": rng.normal(size=(_VERTICES, 3)),
        "shapedirs": rng.normal(size=(_VERTICES, 3, 10)),
        "posedirs": rng.normal(size=(_VERTICES, 3, 207)),
        "J_regressor": rng.random((24, _VERTICES)),
        "weights": rng.random((_VERTICES, 24)),
        "kintree_table": np.stack([parents, np.arange(24)]).astype(np.uint32),
        "f": rng.integers(0, _VERTICES, (30, 3)).astype(np.uint32),
    }


def _pickles() -> list[Sample]:
    arrays = _smpl_arrays()
    with chumpy_classes() as chumpy:
        regressor = scipy.sparse.csc_matrix(arrays["J_regressor"] * (arrays["J_regressor"] > 0.7))
        template = chumpy.Ch(arrays["v_template"])
        smpl = {**arrays, "J_regressor": regressor, "v_template": template}
        published = {protocol: pickle.dumps(smpl, protocol) for protocol in (0, 2, 4)}
    sequence = {
        "sequence": "walk", "genders": ["m"], "cam_poses": np.tile(np.eye(4), (2, 1, 1)),
        "cam_intrinsics": np.eye(3), "img_frame_ids": np.arange(2), "poses": [np.zeros((2, 72))],
        "betas": [np.zeros(10)], "trans": [np.zeros((2, 3))], "poses2d": [np.ones((2, 3, 18))],
        "campose_valid": [np.ones(2, np.int64)], "jointPositions": [np.zeros((2, 72))],
    }  # fmt: skip
    weights = {"model": {"a.weight": np.ones((3, 4), np.float32), "b": np.arange(3)}}
    return [
        *(Sample("SMPL.pkl", content, read_smpl_file) for content in published.values()),
        Sample("walk.pkl", python2_pickle(sequence), read_sequence),
        Sample("network.pkl", pickle.dumps(weights, 2), _read_weights),
    ]


def _read_weights(path: Path) -> object:
    return read_weights(path, WeightsFile("a network", "network", "https://example.org"))


def _weights(body: BodyModel) -> list[Sample]:
    network = random_network("feedback", body)
    checkpoint = {
        "epoch": 2, "best_epoch": 1, "best_model_state_dict": network.state_dict(),
        "body": body.identity, "image_size": 64, "rounds": 2, "options": stored_options("feedback"),
        "history": [{"epoch": 1, "val_pve_pa": 90.5}], "samples_seen": 40,
        "mean_parameters": {"pose": torch.zeros(144), "betas": torch.zeros(10)},
    }  # fmt: skip

    def rebuild(path: Path) -> object:
        return load_regressor(read_checkpoint(path), body, path)

    few = {"model": {"a.weight": torch.ones(3, 4), "b": torch.arange(3)}}
    return [
        Sample("zip.tar", _saved(checkpoint, True), rebuild),
        Sample("old.tar", _saved(checkpoint, False), rebuild),
        *(Sample("network.pth", _saved(few, is_zip), _read_weights) for is_zip in (True, False)),
    ]


def _saved(content: object, is_zip: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    return file.getvalue()


def _pictures() -> list[Sample]:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 24, 3), np.uint8)
    picture, mask = PIL.Image.fromarray(pixels), PIL.Image.fromarray(pixels[..., 0])
    exif = PIL.Image.Exif()
    exif[PIL.ExifTags.Base.Orientation] = 6
    moving = {"save_all": True, "append_images": [picture.rotate(90)], "duration": 100}
    return [
        *(Sample(f"a{suffix}", _drawn(picture, suffix, exif=exif), read_image)
          for suffix in (".png", ".jpg", ".webp", ".tif")),
        Sample("a.bmp", _drawn(picture, ".bmp"), read_image),
        *(Sample(f"moving{suffix}", _drawn(picture, suffix, **moving), read_image)
          for suffix in (".png", ".webp")),
        Sample("mask.png", _drawn(mask, ".png"), read_mask),
    ]  # fmt: skip


def _drawn(picture: PIL.Image.Image, suffix: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, PIL.Image.registered_extensions()[suffix], **options)
    return file.getvalue()


def _clip(folder: Path) -> Sample:
    clip = write_frames(folder / "clip.mp4", numbered_frames(6, 32, 48))
    pictures = folder / "pictures.mp4"
    pictures.write_bytes(clip.read_bytes())
    add_tone(clip)

    def read(path: Path) -> object:
        write_clip(folder / "copy.mp4", pictures, np.arange(6) / 25, sound_of=path)
        return [frame.time for frame in open_clip(path).frames()]

    return Sample("clip.mp4", clip.read_bytes(), read)


def _texts(folder: Path) -> list[Sample]:
    write_manifest(folder, make_manifest(BenchmarkOptions()))
    ones = np.ones(len(Measurements._fields))
    errors = {ErrorKey("mediapipe"): MeasurementErrors(ones, ones)}
    write_measurement_errors(folder / "a_measurement_errors.json", errors, "12")
    eye = np.eye(10)
    prior = ShapePrior(eye[:1], eye[None], np.ones(1))
    shapes = ShapeErrors(eye, eye[0], eye, eye, prior)
    write_shape_errors(folder / "a_shape_errors.npz", {"detector": shapes}, "12")
    return [
        Sample("heights.csv", b"file,height_m\na.png,1.78\nb.png,1.65\n",
               lambda path: read_heights(str(path), ["a.png", "b.png"])),
        Sample("genders.csv", b"file,gender\na.png,male\nb.png,female\n",
               lambda path: read_genders(path, ["a.png", "b.png"])),
        Sample("a_measurement_errors.json", (folder / "a_measurement_errors.json").read_bytes(),
               lambda path: read_measurement_errors(path.with_name("a.tar"), "12")),
        Sample("a_shape_errors.npz", (folder / "a_shape_errors.npz").read_bytes(),
               lambda path: read_shape_errors(path.with_name("a.tar"), "12", "detector")),
        Sample("a.bvh", TINY.encode(), lambda path: read_bvh(path, 10)),
        Sample("manifest.json", (folder / "manifest.json").read_bytes(),
               lambda path: read_manifest(path.parent)),
    ]  # fmt: skip
