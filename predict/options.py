"""Options of run_predict.py, without what predicts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils.conventions import Mirror, ProxyRule
from utils.paths import CHECKPOINTS, DEFAULT_CHECKPOINT, DEMO, OUTPUT

PictureKind = Literal[
    "overlay", "tpose", "proxy", "views", "vertices", "measurements", "people"
]  # fmt: skip
MeshFormat = Literal["obj", "ply", "glb"]


@dataclass(frozen=True)
class PredictOptions:
    """Options of run_predict.py."""

    input: Path = DEMO  # one image, or a folder of images (png, jpg, jpeg, bmp, webp, tif)
    output: Path = OUTPUT  # folder for the results, made if need be
    checkpoint: Path = DEFAULT_CHECKPOINT  # weights of the regressor
    body: Literal["open", "smpl"] | None = None  # body model; None: the checkpoint's
    # of the people, where it is known; None: the checkpoint's
    gender: Literal["neutral", "male", "female"] | None = None
    # CSV file with the columns file,gender (male or female), where people in photos differ
    genders: Path | None = None
    rounds: int | None = None  # of feedback, where the network has any; None: what validated best
    refine: bool = True  # estimates by a fit, where joints are nearly exact; see models/README.md
    # who looks at mirror images as well, so that two looks are averaged: nobody, a feedback
    # network, or the detector too, which takes as long again
    mirror: Mirror = "network"
    # input as the network had it in training: "own", or "published" as in the released code; None:
    # what the checkpoint says
    proxy: ProxyRule | None = None
    # detector: mediapipe, maskrcnn, pointrend or densepose; files: your own --masks and --keypoints
    silh_from: str = "mediapipe"
    masks: Path | None = None  # with --silh_from files: folder of png masks
    keypoints: Path | None = None  # with --silh_from files: folder, or one COCO json of all photos
    detector_weights: Path = CHECKPOINTS  # folder with the weights of those that need some
    # metres, of the person in the photos or the clip, or a CSV file with the columns file,height_m:
    # bodies are scaled to it
    height: str | None = None
    same_person: bool = False  # one shape for all photos of the folder, and for each subfolder's
    people: Literal["main", "all"] = "main"  # in each photo: the most prominent, or everybody
    device: str = "auto"  # auto (CUDA if there is one), cpu, cuda or cuda:1 ...
    gpu: int | None = None  # the same as --device cuda:N
    batch_size: int = 8  # people that pass through the network together
    visuals: bool = True  # pictures; without them parameters only
    # which; None: overlay, tpose and proxy, and with --people all also people
    pictures: tuple[PictureKind, ...] | None = None
    vertex_scatter: bool = False  # the same as vertices among the pictures
    renderer: Literal["auto", "pyrender", "own"] = "auto"  # auto: own, which is the faster one
    # meshes too, in these formats (without a value obj). obj, ply: the posed and the T-posed body;
    # glb: one with skeleton, skin weights and pose. None: no meshes
    save_meshes: tuple[MeshFormat, ...] | None = None
    page: bool = False  # index.html in the output folder, which shows all results
    video: bool = False  # the folder is a clip, its images the frames; a file tells by its name
    fps: float = 25.0  # frames a second of such a folder
    smoothing: float = 1.0  # strength, of the motion in a clip; 0: none
    focal_px: float | None = None  # of a clip's camera, pixels; None: the frame's longer side
    skip_done: bool = False  # leave out photos whose results are there: goes on where a run stopped
