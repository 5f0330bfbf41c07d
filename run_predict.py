"""Predicts body shape and pose of the people in each photo of a folder.

    python run_predict.py --input demo --output output/demo

For every photo `<name>` it writes into the output folder
    <name>_overlay.png  the predicted body on the photo
    <name>_tpose.png    the predicted shape in the T-pose, from the front and the side
    <name>_proxy.png    what the network saw: silhouette and joints
    <name>_people.png   everybody on the photo, with --people all
    <name>_views.png    the posed body from the side and from above, with --pictures views
    <name>_vertices.png the predicted vertices as points, with --pictures vertices
    <name>_measurements.png the T-posed body with tape lines, with --pictures measurements
    <name>.npz          everything predicted (betas, pose, cameras, vertices, joints, ...)
    <name>.glb          a rigged body, with --save-meshes glb
and for the folder
    results.csv         a row a person: box, measurements, betas, IoU; why a photo was skipped
    results.json        the same
    index.html          a page with all of it, with --page
With `--people all` the names are `<name>_1`, `<name>_2` and so on, the most prominent person
first, also where there is but one. With `--same-person` all photos in a folder get one shape, and
<person>.npz holds it, called after the folder.

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
    from metrics.measurement_errors import KnownErrors
    from predict.folder import FolderPredictor
    from predict.known_people import ShapeEstimator
    from predict.loading import System, SystemOptions
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
    # of the people, where it is known; None: the checkpoint's
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
    # metres, of the person in the photos, or a CSV file with the columns file,height_m: bodies are
    # scaled to it
    height: str | None = None
    same_person: bool = False  # one shape for all photos of the folder, and for each subfolder's
    people: Literal["main", "all"] = "main"  # in each photo: the most prominent, or everybody
    device: str = "auto"  # auto (CUDA if there is one), cpu, cuda or cuda:1 ...
    gpu: int | None = None  # the same as --device cuda:N
    batch_size: int = 8  # people that pass through the network together
    visuals: bool = True  # pictures; without them parameters only
    # which; None: overlay, tpose and proxy, and with --people all also people
    pictures: (
        tuple[
            Literal["overlay", "tpose", "proxy", "views", "vertices", "measurements", "people"], ...
        ]
        | None
    ) = None
    vertex_scatter: bool = False  # the same as vertices among the pictures
    renderer: Literal["auto", "pyrender", "own"] = "auto"  # auto: own, which is the faster one
    # meshes too, in these formats (without a value obj). obj, ply: the posed and the T-posed body;
    # glb: one with skeleton, skin weights and pose. None: no meshes
    save_meshes: tuple[Literal["obj", "ply", "glb"], ...] | None = None
    page: bool = False  # index.html in the output folder, which shows all results
    video: bool = False  # the folder is a clip, its images the frames; a file tells by its name
    fps: float = 25.0  # frames a second of such a folder
    smoothing: float = 1.0  # strength, of the motion in a clip; 0: none
    focal_px: float | None = None  # of a clip's camera, pixels; None: the frame's longer side
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
    from predict.tables import ResultTables
    from predict.video import is_clip
    from utils.devices import name_device
    from utils.processes import Ranks

    check_options(options)
    if options.video or is_clip(options.input):
        return predict_clip(options)
    ranks = Ranks.from_environment()
    people = list_photos(options)
    heights = find_heights(options, people)
    make_output_folder(options.output, options.input)
    tables = ResultTables(options.output, ranks.rank)
    photos, left_out = choose_photos(options, ranks.share_of(people))
    device = name_device(options.device, options.gpu)
    folder_predictor = load(options, ranks.device_name(device, shared=True), heights)
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


def choose_photos(
    options: PredictOptions, people: "list[list[Photo]]"
) -> "tuple[list[Photo], list[Photo]]":
    """Which photos to predict and to leave out; says what becomes of results that are there.

    Photos that are predicted together are left out together.
    """
    from predict.results import is_done

    numbered = options.people == "all"
    photos = [photo for each in people for photo in each]
    done: list[Photo] = []
    new: list[Photo] = []
    for each in people:
        whole = all(is_done(options.output, photo.name, numbered) for photo in each)
        (done if whole else new).extend(each)
    if done:
        fate = "left out" if options.skip_done else "made again; --skip-done leaves them out"
        count = f"{len(done)} of {len(photos)} photos have results"
        print(f"{count} in {options.output} and are {fate}", flush=True)
    return (new, done) if options.skip_done else (photos, [])


def load(options: PredictOptions, device_name: str, heights: dict[str, float]) -> "FolderPredictor":
    """Loads detector, network and renderers; heights are metres by the photos' file names."""
    # Imported here for the reason that `predict` gives.
    from metrics.anatomy import Anatomy
    from predict.folder import FolderPredictor, leave_cores_to_other_stages
    from predict.loading import load_system
    from predict.meshes import MeshWriter
    from predict.results import ResultWriter
    from predict.same_person import ShapeSharer
    from predict.truth_errors import TruthComparer
    from utils.devices import choose_device

    device = choose_device(device_name)
    leave_cores_to_other_stages()
    system = load_system(choose_system(options), device)
    body = system.predictor.body_model
    everyone, formats = options.people == "all", options.save_meshes
    writer = ResultWriter(
        options.output,
        anatomy=Anatomy.of(body),
        meshes=None if formats is None else MeshWriter.for_body(body, formats or ("obj",)),
        numbered=everyone,
        comparer=TruthComparer(body, system.predictor.image_size),
        source=system.source,
        known_errors=load_known_errors(options, system.source.checkpoint_hash),
    )
    estimator = build_estimator(options, system, heights)
    sharer = None
    if options.same_person:
        sharer, estimator = ShapeSharer(estimator, keep_image=options.visuals), None
    return FolderPredictor(
        system.detector,
        system.body_predictor,
        writer,
        everyone,
        choose_pictures(options),
        options.renderer,
        heights,
        sharer,
        estimator,
    )


def choose_system(options: PredictOptions) -> "SystemOptions":
    """Which detector and network predict."""
    from predict.loading import SystemOptions

    names = [field.name for field in fields(SystemOptions)]
    return SystemOptions(**{name: getattr(options, name) for name in names})


def choose_pictures(options: PredictOptions) -> "tuple[PictureKind, ...]":
    """The kinds of pictures to draw."""
    from predict.pictures import STANDARD_PICTURES

    kinds = options.pictures
    if kinds is None:
        kinds = (*STANDARD_PICTURES, *(["people"] if options.people == "all" else []))
    if options.vertex_scatter and "vertices" not in kinds:
        kinds = (*kinds, "vertices")
    return kinds if options.visuals else ()


def predict_clip(options: PredictOptions) -> int:
    """Predicts a clip, writes the results and prints a summary; returns the exit status."""
    from predict.clip import ClipOptions, ClipPredictor, make_key
    from predict.folder import leave_cores_to_other_stages
    from predict.loading import load_system
    from predict.motion import MotionOptions
    from predict.results import is_done, make_output_folder
    from predict.video import open_clip
    from utils.devices import choose_device, name_device
    from utils.processes import Ranks

    if Ranks.from_environment().size > 1:
        raise InputError("a clip is predicted by one process; leave out torchrun")
    if options.vertex_scatter or set(options.save_meshes or ()) - {"glb"}:
        raise InputError(
            "a clip gets a GLB, a BVH and an overlay; leave out --save-meshes and --vertex-scatter"
        )
    clip = open_clip(options.input, options.fps)
    make_output_folder(options.output, options.input)
    path, everyone = options.input.resolve(), options.people == "all"
    name = path.name if path.is_dir() else path.stem
    if options.skip_done and is_done(options.output, name, everyone):
        print(f"{clip.path} has results in {options.output} and is left out")
        return ALL_DONE
    device = choose_device(name_device(options.device, options.gpu))
    leave_cores_to_other_stages()
    system = load_system(choose_system(options), device)
    clip_options = ClipOptions(
        everyone,
        options.visuals,
        options.renderer,
        options.skip_done,
        MotionOptions(options.smoothing),
        options.focal_px,
    )
    clip_predictor = ClipPredictor(
        system.detector, system.body_predictor, system.predictor.body_on_cpu(), clip_options
    )
    key = make_key(clip, options, "checkpoint body gender rounds refine proxy silh_from fps")
    for line in clip_predictor.predict(clip, options.output, name, key):
        print(line)
    print(f"results are in {options.output}")
    return ALL_DONE


def build_estimator(
    options: PredictOptions, system: "System", heights: dict[str, float]
) -> "ShapeEstimator | None":
    """What shapes people by what is known of them, if anything is.

    Where it was not measured how the network errs, a height that is known scales people alone.

    Raises:
        InputError: it was not measured, and a gender or several photos cannot do without.
    """
    from models.body_model import BodyModel
    from models.shape_errors import know_gender, read_shape_errors, shape_errors_path
    from predict.known_people import ShapeEstimator

    gender, checkpoint = system.predictor.known_gender, options.checkpoint
    needed = options.same_person or gender is not None
    if not needed and not (heights and shape_errors_path(checkpoint).is_file()):
        return None
    errors = read_shape_errors(checkpoint, system.source.checkpoint_hash, "detector")
    if gender is not None:
        neutral = system.predictor.body_model
        errors = know_gender(errors, neutral, BodyModel.load(neutral.identity["name"], gender))
    return ShapeEstimator(system.body_predictor, errors, gender, heights)


def load_known_errors(options: PredictOptions, checkpoint_hash: str) -> "KnownErrors":
    """How far measurements through this checkpoint and detector are from the truth, if known."""
    from metrics.measurement_errors import KnownErrors, read_measurement_errors

    table = read_measurement_errors(options.checkpoint, checkpoint_hash)
    return KnownErrors(table, options.silh_from)


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
