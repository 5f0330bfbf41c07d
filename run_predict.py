"""Predicts body shape and pose of the people in each photo of a folder.

    python run_predict.py --input demo --output output/demo

For every photo `<name>` it writes into the output folder
    <name>_overlay.png  the predicted body on the photo
    <name>_tpose.png    the predicted shape in the T-pose, from the front and the side
    <name>_proxy.png    what the network saw: silhouette and joints
    <name>_vertices.png the predicted vertices as points, with --vertex-scatter
    <name>_measurements.png the T-posed body with tape lines, with --measurement-picture
    <name>.npz          everything predicted (betas, pose, cameras, vertices, joints, ...)
With `--people all` the names are `<name>_1`, `<name>_2` and so on, the most prominent person
first, also where there is but one. With `--same-person` all photos in a folder get one shape, and
<person>.npz holds it, called after the folder.

Several processes share a folder: `torchrun --nproc_per_node=4 run_predict.py --input photos`. Each
takes a part; all wait for the last one, print one summary and end with the same status, which
torchrun itself turns into 0 or 1.

Exit status: 0 all done, 1 none done, 2 wrong use, 3 some photos were skipped, 130 stopped.
"""

import sys

from utils.signals import end_on_signals

if __name__ == "__main__":
    end_on_signals()  # before the imports that take time

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.paths import CHECKPOINTS, DEFAULT_CHECKPOINT, DEMO, OUTPUT

if TYPE_CHECKING:
    from metrics.measurement_errors import KnownErrors
    from predict.folder import FolderPredictor
    from predict.people import BodyPredictor, Photo
    from predict.same_person import ShapeSharer

ALL_DONE, NONE_DONE, SOME_SKIPPED = 0, 1, 3


@dataclass(frozen=True)
class PredictOptions:
    """Options of run_predict.py."""

    input: Path = DEMO  # one image, or a folder of images (png, jpg, jpeg, bmp, webp, tif)
    output: Path = OUTPUT  # folder for the results, made if need be
    checkpoint: Path = DEFAULT_CHECKPOINT  # weights of the regressor
    body: Literal["open", "smpl"] | None = None  # body model; None: the checkpoint's
    # of the body; None: the checkpoint's
    gender: Literal["neutral", "male", "female"] | None = None
    rounds: int | None = None  # of feedback, where the network has any; None: what validated best
    refine: bool = False  # estimates by a fit, where joints are exact; see models/README.md
    # input as the network had it in training: "own", or "published" as in the released code; None:
    # what the checkpoint says
    proxy: Literal["own", "published"] | None = None
    silh_from: str = "mediapipe"  # detector: mediapipe, maskrcnn, pointrend or densepose
    detector_weights: Path = CHECKPOINTS  # folder with the weights of those that need some
    # metres, of the person in the photos, or a CSV file with the columns file,height_m: bodies are
    # scaled to it
    height: str | None = None
    same_person: bool = False  # one shape for all photos of the folder, and for each subfolder's
    people: Literal["main", "all"] = "main"  # in each photo: the most prominent, or everybody
    device: str = "auto"  # auto (CUDA if there is one), cpu, cuda or cuda:1 ...
    gpu: int | None = None  # the same as --device cuda:N
    batch_size: int = 8  # people that pass through the network together
    visuals: bool = True  # pictures; without them parameters only
    vertex_scatter: bool = False  # one picture more: the predicted vertices as points
    measurement_picture: bool = False  # one picture more: the body with labelled tape lines
    renderer: Literal["auto", "pyrender", "own"] = "auto"  # auto: pyrender where OpenGL works
    save_meshes: bool = False  # also write the posed and the T-posed body as .obj
    skip_done: bool = False  # leave out photos whose results are there: goes on where a run stopped


def main() -> int:
    """Parses the options and returns the exit status."""
    return predict(parse_options(PredictOptions, __doc__))


def predict(options: PredictOptions) -> int:
    """Predicts every photo, writes the results and prints a summary; returns the exit status."""
    # Imported here so that --help and mistakes in the options are answered at once.
    from tqdm import tqdm

    from predict.folder import Background
    from predict.results import Report, make_output_folder
    from utils.devices import name_device
    from utils.processes import Ranks

    check_options(options)
    ranks = Ranks.from_environment()
    people = list_photos(options)
    heights = find_heights(options, people)
    make_output_folder(options.output, options.input)
    photos = choose_photos(options, ranks.share_of(people))
    device = name_device(options.device, options.gpu)
    folder_predictor = load(options, ranks.device_name(device, shared=True), heights)
    report = Report(numbered=options.people == "all")
    with (
        Background() as background,
        tqdm(total=len(photos), unit="photo", disable=None if ranks.is_first else True) as progress,
    ):
        for result in folder_predictor.predict(photos, background):
            progress.write(report.add(result))
            sys.stdout.flush()  # whole lines, also where several processes write
            progress.update()
    total = Report.combine(ranks.gather(report))
    if ranks.is_first:
        print(total.summary(options.output))
    return choose_exit_status(total.done, total.skipped)


def list_photos(options: PredictOptions) -> "list[list[Photo]]":
    """The photos that are predicted together: each by itself, or all of a person."""
    from predict.people import Photo
    from predict.results import make_output_names
    from predict.same_person import list_people
    from utils.images import find_images

    if options.same_person:
        return list_people(options.input)
    paths = find_images(options.input)
    return [[Photo(*each)] for each in zip(paths, make_output_names(paths), strict=True)]


def find_heights(options: PredictOptions, people: "list[list[Photo]]") -> dict[str, float]:
    """Heights in metres, by the photos' file names, or with --same-person by the people's."""
    from predict.heights import read_heights

    if options.height is None:
        return {}
    names = [photo.person or photo.path.name for photos in people for photo in photos]
    return read_heights(options.height, names)


def choose_photos(options: PredictOptions, people: "list[list[Photo]]") -> "list[Photo]":
    """Which of the photos to predict; says what becomes of results that are there already.

    Photos that are predicted together are left out together.
    """
    from predict.results import is_done

    numbered = options.people == "all"
    photos = [photo for each in people for photo in each]
    left = [
        photo
        for each in people
        if not all(is_done(options.output, photo.name, numbered) for photo in each)
        for photo in each
    ]
    if len(left) < len(photos):
        fate = "left out" if options.skip_done else "made again; --skip-done leaves them out"
        done = f"{len(photos) - len(left)} of {len(photos)} photos have results"
        print(f"{done} in {options.output} and are {fate}", flush=True)
    return left if options.skip_done else photos


def load(options: PredictOptions, device_name: str, heights: dict[str, float]) -> "FolderPredictor":
    """Loads detector, network and renderers; heights are metres by the photos' file names."""
    # Imported here for the reason that `predict` gives.
    from metrics.anatomy import Anatomy
    from models.checkpoints import load_predictor
    from predict.detectors.registry import build_detector
    from predict.detectors.rules import RULES
    from predict.folder import FolderPredictor, leave_cores_to_other_stages
    from predict.people import BodyPredictor
    from predict.results import ResultWriter
    from predict.truth_errors import TruthComparer
    from utils.devices import choose_device

    device = choose_device(device_name)
    leave_cores_to_other_stages()
    predictor = load_predictor(
        options.checkpoint,
        device,
        options.body,
        options.gender,
        rounds=options.rounds,
        refine=options.refine,
        proxy=options.proxy,
    )
    body = predictor.body_model
    body_predictor = BodyPredictor(predictor, device, options.batch_size)
    everyone = options.people == "all"
    writer = ResultWriter(
        options.output,
        anatomy=Anatomy.of(body),
        meshes=options.save_meshes,
        numbered=everyone,
        comparer=TruthComparer(body, predictor.image_size),
        known_errors=load_known_errors(options),
    )
    return FolderPredictor(
        build_detector(
            options.silh_from, device, options.detector_weights, RULES[predictor.proxy_rule]
        ),
        body_predictor,
        writer,
        everyone,
        options.visuals,
        options.renderer,
        options.vertex_scatter,
        heights,
        options.measurement_picture,
        build_sharer(options, body_predictor) if options.same_person else None,
    )


def build_sharer(options: PredictOptions, body_predictor: "BodyPredictor") -> "ShapeSharer":
    """What gives a person's photos one shape; InputError where the network's errors are unknown."""
    from models.shape_errors import read_shape_errors
    from predict.same_person import ShapeSharer
    from utils.files import hash_file

    checkpoint = options.checkpoint
    errors = read_shape_errors(checkpoint, hash_file(checkpoint), "detector")
    return ShapeSharer(body_predictor, errors, keep_image=options.visuals)


def load_known_errors(options: PredictOptions) -> "KnownErrors":
    """How far measurements through this checkpoint and detector are from the truth, if known."""
    from metrics.measurement_errors import KnownErrors, read_measurement_errors
    from utils.files import hash_file

    checkpoint = options.checkpoint
    table = read_measurement_errors(checkpoint, hash_file(checkpoint))
    return KnownErrors(table, options.silh_from)


def check_options(options: PredictOptions) -> None:
    """Raises InputError for values that no run can use."""
    if options.batch_size < 1:
        raise InputError(f"--batch-size is {options.batch_size}; expected 1 or more")
    if options.height is not None and options.people == "all":
        raise InputError("--height is of one person a photo; leave out --people all")
    if options.same_person and options.people == "all":
        raise InputError("--same-person is of one person a photo; leave out --people all")


def choose_exit_status(done: int, skipped: int) -> int:
    """0 when every photo was done, 1 when none was, else 3."""
    if not skipped:
        return ALL_DONE
    return SOME_SKIPPED if done else NONE_DONE


if __name__ == "__main__":
    sys.exit(run_script(main))
