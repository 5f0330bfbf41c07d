"""The open benchmark: rendered photos of people whose shape and pose training has never seen.

Poses come from `open_poses_val.npz`, shapes are drawn as training draws them, with another seed;
clothes, skin, place, light and camera vary. Pictures are made by `scenes.random_people`. Person
number i depends on the seed and on i alone, so that a larger benchmark begins with the smaller one,
and the same code on the same machine makes the same files.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.pose_dataset import PoseData, load_poses
from data.strangers import Strangers, read_strangers
from data.truth import TRUTH_ENDING, truth_path
from models.body_model import read_mean_parameters
from scenes.photograph import write_photo
from scenes.picture_options import PictureOptions
from scenes.random_people import (
    Scene,
    Shape,
    ShapeSpread,
    draw_betas,
    draw_scene,
    neutral_body,
    photograph_scene,
)
from synthesis.options import AugmentationOptions, CameraOptions
from synthesis.synthesiser import Synthesiser, SyntheticBatch
from synthesis.variation import Variation, draw_variation
from utils.errors import InputError
from utils.files import check_writable, hash_file, write_whole
from utils.paths import OPEN_POSES_VAL
from utils.readers import check_body_hash
from utils.signals import end_with_parent, started_processes_ignore_ctrl_c

VERSION = 1  # to be raised when the pictures change: older folders are then made anew
MANIFEST = "manifest.json"
_MANIFEST_KEYS = {"version", "seed", "betas_std", "picture", "body_hash", "poses_hash"}
_MAX_MANIFEST_BYTES = 100_000
_OURS = re.compile(rf"person_\d{{4}}(\.jpg|{re.escape(TRUTH_ENDING)})")  # the files made here
MAX_PEOPLE = 1000  # more would repeat poses often
SYNTHESIS_BATCH = 50  # people synthesised together, so that numbers do not depend on options


@dataclass(frozen=True)
class BenchmarkOptions:
    """Which people are made."""

    count: int = 300  # people
    seed: int = 7919  # of everything; training and validation draw from others
    spread: ShapeSpread = ShapeSpread()  # of the shapes, as in training
    poses: Path = OPEN_POSES_VAL  # to draw from
    strangers: Path | None = None  # npz of people to photograph instead, see `data.strangers`
    picture: PictureOptions = PictureOptions()


def build_benchmark(
    folder: Path,
    options: BenchmarkOptions = BenchmarkOptions(),
    workers: int = 1,
    progress: Callable[[], Any] = lambda: None,
) -> list[Path]:
    """Makes the people that are not in the folder yet.

    Args:
        folder: for photos (`person_0000.jpg`), truths (`person_0000_truth.npz`, see
            `data.truth`) and the manifest, which says what they were made from. A folder made
            from something else is made anew.
        options: which people.
        workers: processes that render; 1 renders in this one.
        progress: called after each person who had to be made.

    Returns:
        The photos of `count` people, in order.

    Raises:
        InputError: `count` is out of range, or the folder holds other files.
    """
    most = MAX_PEOPLE if options.strangers is None else len(_read_strangers(options.strangers))
    if not 1 <= options.count <= most:
        raise InputError(f"count is {options.count}; expected 1 to {most} people")
    _prepare_folder(folder, make_manifest(options))
    photos = [folder / f"person_{index:04d}.jpg" for index in range(options.count)]
    missing = [index for index, photo in enumerate(photos) if not _is_whole(photo)]
    for _ in in_processes(partial(make_person, folder, options=options), missing, workers):
        progress()
    return photos


def in_processes(make: Callable, items: Sequence, workers: int) -> Iterator:
    """What `make` gives for each item, in order; one worker is this process itself."""
    if workers == 1 or len(items) < 2:
        yield from map(make, items)
        return
    # Spawned, not forked: torch's threads do not survive a fork.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
        with started_processes_ignore_ctrl_c():
            made = pool.map(make, items)
        yield from made


def count_missing(folder: Path, options: BenchmarkOptions) -> int:
    """How many people `build_benchmark` would have to make; InputError where it would refuse."""
    if _read_own_manifest(folder) != make_manifest(options):
        return options.count
    photos = (folder / f"person_{index:04d}.jpg" for index in range(options.count))
    return sum(not _is_whole(photo) for photo in photos)


def make_manifest(options: BenchmarkOptions) -> dict[str, Any]:
    """What the pictures depend on, but for their number."""
    # Files are told by what they hold.
    left_out, spread = {"made_shapes"}, options.spread
    if spread.made_shapes is None:
        left_out.add("made_share")
    unless_used = ("betas_wide", "shape_details")  # older manifests do not have them
    drawn_from = {
        name: value
        for name, value in asdict(spread).items()
        if name not in left_out and (value or name not in unless_used)
    }
    files = {"poses_hash": options.poses}
    if options.strangers is not None:
        files["strangers_hash"] = options.strangers
    if spread.made_shapes is not None:
        files["made_shapes_hash"] = spread.made_shapes
    return {
        "version": VERSION,
        "seed": options.seed,
        **drawn_from,
        **_describe_picture(options.picture),
        "body_hash": neutral_body().identity["hash"],
        **{key: hash_file(path) for key, path in files.items()},
    }


def _describe_picture(picture: PictureOptions) -> dict[str, Any]:
    """A picture's size, and its effort only where it is not the usual, as in older manifests."""
    size = [picture.width, picture.height]
    usual = asdict(PictureOptions(*size))
    return {"picture": size, **{n: v for n, v in asdict(picture).items() if v != usual[n]}}


def _prepare_folder(folder: Path, manifest: dict[str, Any]) -> None:
    found = _read_own_manifest(folder)
    if found == manifest:
        return
    check_writable(folder)
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name):
            path.unlink()
    write_manifest(folder, manifest)


def _read_own_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest; None where the folder is empty or not there, InputError where it is another."""
    found = read_manifest(folder)
    if found is None and folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} holds other files than a benchmark; choose another folder")
    return found


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Says in the folder what its files are made from."""
    write_whole(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What the folder's files were made from; None where no manifest of ours says so.

    Raises:
        InputError: there is a file of that name that cannot be read.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MAX_MANIFEST_BYTES))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None  # whatever it is, it is not ours
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    ours = isinstance(content, dict) and content.keys() >= _MANIFEST_KEYS
    return content if ours else None


def _is_whole(photo: Path) -> bool:
    return photo.is_file() and truth_path(photo).is_file()


def make_person(folder: Path, index: int, options: BenchmarkOptions) -> None:
    """Renders a person and writes photo and truth; neither is ever half there."""
    scene, picture = photograph_person(index, options)
    write_photo(folder / f"person_{index:04d}.jpg", picture, scene.figure, neutral_body())


def photograph_person(index: int, options: BenchmarkOptions) -> tuple[Scene, np.ndarray]:
    """A person by number and their photo, (H, W, 3) uint8 RGB."""
    generator = _start_person(index, options)
    poses = _read_once(options.poses)
    shape = None
    if options.strangers is not None:
        people = _read_strangers(options.strangers)
        shape = Shape(people.betas[index], people.offsets[index])
    scene = draw_scene(poses, options.spread, generator, options.picture, shape)
    return scene, photograph_scene(scene, options.seed + 1000 * index)


def draw_shapes(options: BenchmarkOptions) -> torch.Tensor:
    """(P, 10) betas of the people, who need not be rendered for it."""
    people = range(options.count)
    shapes = [draw_betas(options.spread, _start_person(index, options)) for index in people]
    return torch.from_numpy(np.stack(shapes))


def _start_person(index: int, options: BenchmarkOptions) -> np.random.Generator:
    return np.random.default_rng([options.seed, index])


@lru_cache(maxsize=1)
def _read_strangers(path: Path) -> Strangers:
    people, needed = read_strangers(path), neutral_body().identity["hash"]
    advice = "make it again by tools/open_body/build_strangers.py"
    check_body_hash(path, "holds people", people.body_hash, needed, advice)
    return people


@lru_cache(maxsize=1)
def _read_once(poses: Path) -> PoseData:
    return load_poses(poses)


def synthesise_people(
    poses: torch.Tensor,
    betas: torch.Tensor,
    image_size: int,
    augmentation: AugmentationOptions | None,
    seed: int,
    batch_size: int = SYNTHESIS_BATCH,
    offsets: torch.Tensor | None = None,
    cuts: torch.Tensor | None = None,
) -> Iterator[SyntheticBatch]:
    """The people's proxies straight from their truth, as training makes them; always on the CPU.

    Args:
        poses: (N, 72) axis-angle, camera frame, rad.
        betas: (N, 10) of the neutral open body.
        image_size: side of the crop, pixels; the views drawn do not depend on it.
        augmentation: detector errors and varied views; None for perfect proxies.
        seed: of the augmentation.
        batch_size: people synthesised together.
        offsets: (N, V, 3) metres, what their T-posed bodies are beyond what betas tell.
        cuts: (N,) shares of the people below the picture's lower end; None for none.

    Yields:
        Batches of `batch_size` people.
    """
    synthesiser = Synthesiser(
        neutral_body(), read_mean_parameters("open").betas, image_size, CameraOptions()
    )
    for start in range(0, len(poses), batch_size):
        piece = slice(start, start + batch_size)
        count, variation = len(poses[piece]), Variation()
        if augmentation is not None:
            generator = torch.Generator().manual_seed(seed + start)
            vertices = neutral_body().identity["vertices"]
            variation = draw_variation(augmentation, count, vertices, generator)
        own = None if offsets is None else offsets[piece]
        if cuts is not None:
            nothing = torch.zeros(count, 3)
            variation = variation._replace(
                truncation=torch.cat([nothing, cuts[piece, None]], dim=1)
            )
        yield synthesiser(poses[piece], betas[piece], variation, own)
