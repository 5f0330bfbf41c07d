"""From the options of run_predict.py to what predicts a folder of photos."""

from collections.abc import Mapping
from dataclasses import fields
from typing import NamedTuple

from metrics.anatomy import Anatomy
from models.shape_errors import has_shape_errors
from predict.folder import FolderPredictor, leave_cores_to_other_stages
from predict.heights import read_heights
from predict.known_people import ShapeEstimator, read_genders
from predict.loading import System, SystemOptions, build_estimator, load_system
from predict.meshes import MeshWriter
from predict.options import PictureKind, PredictOptions
from predict.people import Photo
from predict.pictures import STANDARD_PICTURES
from predict.results import ResultWriter, is_done, make_output_names
from predict.same_person import ShapeSharer, list_people
from predict.truth_errors import TruthComparer
from utils.devices import choose_device
from utils.images import find_images


def list_photos(options: PredictOptions) -> list[list[Photo]]:
    """The photos that are predicted together: each by itself, or all of a person."""
    if options.same_person:
        return list_people(options.input)
    paths = find_images(options.input)
    return [[Photo(*each)] for each in zip(paths, make_output_names(paths), strict=True)]


class Known(NamedTuple):
    """What is known of people, by the photos' file names, or with --same-person by theirs."""

    heights: Mapping[str, float]  # metres
    genders: Mapping[str, str]  # male or female


def find_known(options: PredictOptions, people: list[list[Photo]]) -> Known:
    """What the options tell of the people in photos, but for a gender of them all."""
    names = [photo.subject for photos in people for photo in photos]
    return Known(
        {} if options.height is None else read_heights(options.height, names),
        {} if options.genders is None else read_genders(options.genders, names),
    )


def choose_photos(
    options: PredictOptions, people: list[list[Photo]]
) -> tuple[list[Photo], list[Photo]]:
    """Which photos to predict and to leave out; says what becomes of results that are there.

    Photos that are predicted together are left out together.
    """
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


def load_folder_predictor(
    options: PredictOptions, device_name: str, known: Known
) -> FolderPredictor:
    """Loads detector, network and renderers, for people of whom this is known."""
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
        known_errors=system.known_errors,
    )
    estimator = build_estimator(
        system, options.checkpoint, known.heights, options.same_person, known.genders
    )
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
        known.heights,
        sharer,
        estimator,
    )


def build_clip_estimator(
    options: PredictOptions, system: System, file: str
) -> ShapeEstimator | None:
    """What shapes a clip's people; None where it was not measured how the network errs.

    Raises:
        InputError: it was not measured, and a height or a gender is known.
    """
    heights = read_heights(options.height, [file]) if options.height else {}
    checkpoint = options.checkpoint
    # A height scales photos' people without it, but here it is betas that are changed.
    several = bool(heights) or has_shape_errors(checkpoint, system.source.checkpoint_hash)
    return build_estimator(system, checkpoint, heights, several)


def choose_system(options: PredictOptions) -> SystemOptions:
    """Which detector and network predict."""
    names = [field.name for field in fields(SystemOptions)]
    return SystemOptions(**{name: getattr(options, name) for name in names})


def choose_pictures(options: PredictOptions) -> tuple[PictureKind, ...]:
    """The kinds of pictures to draw."""
    kinds = options.pictures
    if kinds is None:
        kinds = (*STANDARD_PICTURES, *(["people"] if options.people == "all" else []))
    if options.vertex_scatter and "vertices" not in kinds:
        kinds = (*kinds, "vertices")
    return kinds if options.visuals else ()
