"""Predicts body shape and pose of the people in each photo of a folder.

    python run_predict.py --input demo --output output/demo

For every photo `<name>` it writes into the output folder
    <name>_overlay.png  the predicted body on the photo
    <name>_tpose.png    the predicted shape in the T-pose, from the front and the side
    <name>_proxy.png    what the network saw: silhouette and joints
    <name>_people.png   everybody on the photo, with --people all
    <name>_views.png    the posed body from the side and from above, with --pictures views
    <name>_vertices.png the predicted vertices as points, with --pictures vertices
    <name>.npz          everything predicted (betas, pose, cameras, vertices, joints, ...)
    <name>.glb          a rigged body, with --save-meshes glb
and for the folder
    results.csv         a row a person: box, measurements, betas, IoU; why a photo was skipped
    results.json        the same
    index.html          a page with all of it, with --page
With `--people all` the names are `<name>_1`, `<name>_2` and so on, the most prominent person
first, also where there is but one.

A video, or with `--video` a folder of frames, gives a motion: `<name>.npz`, `.bvh` and `.glb` of
the main person, or of everybody with `--people all`, and `<name>_overlay.mp4`.

Several processes share a folder: `torchrun --nproc_per_node=4 run_predict.py --input photos`. Each
takes a part; all wait for the last one, print one summary and end with the same status, which
torchrun itself turns into 0 or 1.

Exit status: 0 all done, 1 none done, 2 wrong use, 3 some photos were skipped, 130 stopped.
"""

import sys

from utils.signals import end_on_signals

if __name__ == "__main__":
    end_on_signals()  # before the imports that take time

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.paths import CHECKPOINTS, DEFAULT_CHECKPOINT, DEMO, OUTPUT

if TYPE_CHECKING:
    from predict.folder import FolderPredictor
    from predict.loading import System
    from predict.people import Photo
    from predict.pictures import PictureKind

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
    # detector: mediapipe, maskrcnn, pointrend or densepose; files: your own --masks and --keypoints
    silh_from: str = "mediapipe"
    masks: Path | None = None  # with --silh_from files: folder of png masks
    keypoints: Path | None = None  # with --silh_from files: folder, or one COCO json of all photos
    detector_weights: Path = CHECKPOINTS  # folder with the weights of those that need some
    people: Literal["main", "all"] = "main"  # in each photo: the most prominent, or everybody
    device: str = "auto"  # auto (CUDA if there is one), cpu, cuda or cuda:1 ...
    gpu: int | None = None  # the same as --device cuda:N
    batch_size: int = 8  # people that pass through the network together
    visuals: bool = True  # pictures; without them parameters only
    # which; None: overlay, tpose and proxy, and with --people all also people
    pictures: (
        tuple[Literal["overlay", "tpose", "proxy", "views", "vertices", "people"], ...] | None
    ) = None
    vertex_scatter: bool = False  # the same as vertices among the pictures
    renderer: Literal["auto", "pyrender", "own"] = "auto"  # auto: own, which is the faster one
    # meshes too, in these formats (without a value obj). obj, ply: the posed and the T-posed body;
    # glb: one with skeleton, skin weights and pose. None: no meshes
    save_meshes: tuple[Literal["obj", "ply", "glb"], ...] | None = None
    video: bool = False  # the folder is a clip, its images the frames; a file tells by its name
    fps: float = 25.0  # frames a second of such a folder
    smoothing: float = 1.0  # strength, of the motion in a clip; 0: none
    focal_px: float | None = None  # of a clip's camera, pixels; None: the frame's longer side
    page: bool = False  # index.html in the output folder, which shows all results
    skip_done: bool = False  # leave out photos whose results are there: goes on where a run stopped


def main() -> int:
    """Parses the options and returns the exit status."""
    return predict(parse_options(PredictOptions, __doc__))


def predict(options: PredictOptions) -> int:
    """Predicts every photo, writes the results and prints a summary; returns the exit status."""
    # Imported here so that --help and mistakes in the options are answered at once.
    from tqdm import tqdm

    from predict.folder import Background
    from predict.people import Photo
    from predict.results import Report, make_output_folder, make_output_names
    from predict.tables import ResultTables
    from predict.video import is_clip
    from utils.devices import name_device
    from utils.images import find_images
    from utils.processes import Ranks

    check_options(options)
    if options.video or is_clip(options.input):
        return predict_clip(options)
    ranks = Ranks.from_environment()
    paths = find_images(options.input)
    make_output_folder(options.output, options.input)
    tables = ResultTables(options.output, ranks.rank)
    share = ranks.share_of(list(map(Photo, paths, make_output_names(paths))))
    photos, left_out = choose_photos(options, share)
    device = name_device(options.device, options.gpu)
    folder_predictor = load(options, ranks.device_name(device, shared=True))
    numbered = options.people == "all"
    tables.start(folder_predictor.writer.source, photos, left_out, numbered)
    report = Report(numbered)
    with (
        Background() as background,
        tqdm(total=len(photos), unit="photo", disable=None if ranks.is_first else True) as progress,
    ):
        for result in folder_predictor.predict(photos, background):
            tables.add(result)
            progress.write(report.add(result))
            sys.stdout.flush()  # whole lines, also where several processes write
            progress.update()
    reports, rows = zip(*ranks.gather((report, tables.rows)), strict=True)
    total = Report.combine(reports)
    if ranks.is_first:
        tables.finish(rows)
        if options.page:
            from predict.page import write_page  # here: others start sooner without it

            write_page(options.output, paths)
        print(total.summary(options.output))
    return choose_exit_status(total.done, total.skipped)


def choose_photos(
    options: PredictOptions, photos: "list[Photo]"
) -> "tuple[list[Photo], list[Photo]]":
    """Which photos to predict and to leave out; says what becomes of results that are there."""
    from predict.results import is_done

    numbered = options.people == "all"
    done: list[Photo] = []
    new: list[Photo] = []
    for photo in photos:
        (done if is_done(options.output, photo.name, numbered) else new).append(photo)
    if done:
        fate = "left out" if options.skip_done else "made again; --skip-done leaves them out"
        count = f"{len(done)} of {len(photos)} photos have results"
        print(f"{count} in {options.output} and are {fate}", flush=True)
    return (new, done) if options.skip_done else (photos, [])


def load(options: PredictOptions, device_name: str) -> "FolderPredictor":
    """Loads detector, network and renderers."""
    # Imported here for the reason that `predict` gives.
    from predict.folder import FolderPredictor
    from predict.meshes import MeshWriter
    from predict.results import ResultWriter
    from predict.truth_errors import TruthComparer

    system = load_networks(options, device_name)
    body = system.predictor.body_model
    everyone, formats = options.people == "all", options.save_meshes
    writer = ResultWriter(
        options.output,
        faces=system.source.faces,
        meshes=None if formats is None else MeshWriter.for_body(body, formats or ("obj",)),
        numbered=everyone,
        comparer=TruthComparer(body.faces, body.face_parts, system.predictor.image_size),
        source=system.source,
    )
    return FolderPredictor(
        system.detector,
        system.body_predictor,
        writer,
        everyone,
        choose_pictures(options),
        options.renderer,
    )


def load_networks(options: PredictOptions, device_name: str) -> "System":
    """Loads detector and network."""
    from predict.folder import leave_cores_to_other_stages
    from predict.loading import SystemOptions, load_system
    from utils.devices import choose_device

    device = choose_device(device_name)
    leave_cores_to_other_stages()
    names = [field.name for field in fields(SystemOptions)]
    return load_system(SystemOptions(**{name: getattr(options, name) for name in names}), device)


def predict_clip(options: PredictOptions) -> int:
    """Predicts a clip, writes the results and prints a summary; returns the exit status."""
    from predict.clip import ClipOptions, ClipPredictor, make_key
    from predict.motion import MotionOptions
    from predict.results import is_done, make_output_folder
    from predict.video import open_clip
    from utils.devices import name_device
    from utils.processes import Ranks

    if Ranks.from_environment().size > 1:
        raise InputError("a clip is predicted by one process; leave out torchrun")
    photos_alone = {
        "save-meshes": set(options.save_meshes or ()) - {"glb"},
        "vertex-scatter": options.vertex_scatter,
        "pictures": options.pictures,
        "page": options.page,
        "silh_from files": options.silh_from == "files",
    }
    for name in (name for name, given in photos_alone.items() if given):
        raise InputError(f"--{name} is for photos; leave it out for a clip")
    clip = open_clip(options.input, options.fps)
    make_output_folder(options.output, options.input)
    path, everyone = options.input.resolve(), options.people == "all"
    name = path.name if path.is_dir() else path.stem
    if options.skip_done and is_done(options.output, name, everyone):
        print(f"{clip.path} has results in {options.output} and is left out")
        return ALL_DONE
    system = load_networks(options, name_device(options.device, options.gpu))
    clip_options = ClipOptions(
        everyone,
        options.visuals,
        options.renderer,
        options.skip_done,
        MotionOptions(options.smoothing),
        options.focal_px,
        {name: each for name, each in system.source.arrays.items() if "detected" not in name},
    )
    clip_predictor = ClipPredictor(
        system.detector, system.body_predictor, system.predictor.body_on_cpu(), clip_options
    )
    key = make_key(clip, options, "refine proxy fps", system.source)
    for line in clip_predictor.predict(clip, options.output, name, key):
        print(line)
    print(f"results are in {options.output}")
    return ALL_DONE


def choose_pictures(options: PredictOptions) -> "tuple[PictureKind, ...]":
    """The kinds of pictures to draw."""
    from predict.pictures import STANDARD_PICTURES

    kinds = options.pictures
    if kinds is None:
        kinds = (*STANDARD_PICTURES, *(["people"] if options.people == "all" else []))
    if options.vertex_scatter and "vertices" not in kinds:
        kinds = (*kinds, "vertices")
    return kinds if options.visuals else ()


def check_options(options: PredictOptions) -> None:
    """Raises InputError for values that no run can use."""
    if options.batch_size < 1:
        raise InputError(f"--batch-size is {options.batch_size}; expected 1 or more")
    for name, value, least in (
        ("fps", options.fps, 0.1),
        ("smoothing", options.smoothing, 0.0),
        ("focal-px", 1.0 if options.focal_px is None else options.focal_px, 1.0),
    ):
        if not least <= value <= 1e6:
            raise InputError(f"--{name} is {value}; expected a number from {least:g} on")


def choose_exit_status(done: int, skipped: int) -> int:
    """0 when every photo was done, 1 when none was, else 3."""
    if not skipped:
        return ALL_DONE
    return SOME_SKIPPED if done else NONE_DONE


if __name__ == "__main__":
    sys.exit(run_script(main))
