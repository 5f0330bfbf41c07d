"""Predicting from Python: images in, people out.

    predictor = PhotoPredictor(device="cpu")
    for photo in predictor(["demo/standing.jpg", array]):
        for person in photo.people:
            print(person.sizes["height_m"], person.betas)

`hubconf.py` gives the same through `torch.hub`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np

from metrics.anatomy import Anatomy
from metrics.measurements import measure
from predict.loading import SystemOptions, build_estimator, load_system
from predict.people import Person, Photo, attempt, find_people, predict_photos, read_photo
from predict.records import add_margins, choose_margins, collect_arrays, describe_person
from renderers.overlay import draw_body
from renderers.shading import BodyRenderer
from utils.conventions import Mirror
from utils.devices import choose_device
from utils.errors import InputError, Skipped
from utils.files import write_npz
from utils.images import read_image
from utils.paths import CHECKPOINTS, DEFAULT_CHECKPOINT
from utils.readers import read_npz, reading

Image = np.ndarray | Path | str


@dataclass(frozen=True, eq=False)
class PersonResult:
    """A predicted person: what the npz files of run_predict.py hold, by the same names.

    Camera axes are x right, y down, z away; lengths are metres, positions in images pixels. V
    vertices and F faces are those of the body.
    """

    photo: str  # name of the image
    person: int  # in the image, the most prominent is 1
    image_size: np.ndarray  # (2,) width and height
    betas: np.ndarray  # (N,), 10 or more: those after the first ten are shape details
    pose: np.ndarray  # (72,) axis-angle, rad, root in the camera frame
    pose_rotmats: np.ndarray  # (24, 3, 3) the same pose
    cam_wp: np.ndarray  # (3,) weak-perspective camera of the crop: u = s (x + tx) in [-1, 1]
    crops: np.ndarray  # (3,) centre x, centre y, side of the crop
    cam_photo: np.ndarray  # (3,) the same camera in the image: pixel = scale * (x, y) + offset
    cam_t: np.ndarray  # (3,) translation for the pinhole camera cam_k
    cam_k: np.ndarray  # (3, 3) pinhole camera of the image
    vertices: np.ndarray  # (V, 3) camera axes, body origin
    vertices_tpose: np.ndarray  # (V, 3) body axes (y up)
    joints3d: np.ndarray  # (90, 3) camera axes, body origin
    joints2d_px: np.ndarray  # (90, 2)
    measurements: np.ndarray  # (M,) see `sizes`
    silhouette_iou: float  # predicted with detected silhouette
    detected_joints2d_px: np.ndarray  # (17, 2)
    detected_joint_confidence: np.ndarray  # (17,)
    detected_box: np.ndarray  # (4,) x0, y0, x1, y1 of the detected silhouette
    body: str
    gender: str
    body_hash: str
    checkpoint: str
    checkpoint_hash: str
    detector: str
    rounds: int  # of feedback; 0 where the network has none
    faces: np.ndarray  # (F, 3)
    face_parts: np.ndarray  # (F,) numbers in part_names
    part_names: np.ndarray
    joint_names: np.ndarray
    detected_joint_names: np.ndarray
    measurement_names: np.ndarray
    # Where they were measured for this checkpoint and detector: mean absolute errors of the
    # measurements, and what nine of ten people's are below; the latter of SMPL's joints, metres
    measurement_errors_mean: np.ndarray | None = None  # (M,)
    measurement_errors_p90: np.ndarray | None = None  # (M,)
    joint_errors_p90: np.ndarray | None = None  # (24,)
    # Where they were given, as with run_predict.py
    gender_given: str | None = None
    height_given_m: float | None = None
    scaled_by: float | None = None

    @classmethod
    def load(cls, path: Path | str) -> "PersonResult":
        """Reads an npz of run_predict.py or of `save`.

        Raises:
            InputError: it cannot be read, or holds something else.
        """
        needed = [field.name for field in fields(cls) if field.default is MISSING]
        others = [field.name for field in fields(cls) if field.default is not MISSING]
        arrays = read_npz(Path(path), needed, others)
        with reading(Path(path), "result", "make it again with run_predict.py"):
            return _make_result(arrays)

    def save(self, path: Path | str) -> None:
        """Writes an npz as run_predict.py does; raises InputError where it cannot."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: np.asarray(value) for name, value in known.items() if value is not None}
        write_npz(Path(path), arrays, compress=False)

    @property
    def sizes(self) -> dict[str, float]:
        """The measurements by name."""
        values = self.measurements.tolist()
        return dict(zip(self.measurement_names.tolist(), values, strict=True))


@dataclass(frozen=True)
class PhotoPrediction:
    """The people in an image, or why there are none."""

    name: str  # of the image file; "image 3" for an array
    people: tuple[PersonResult, ...] = ()  # the most prominent first
    reason: str | None = None  # why it was skipped


class PhotoPredictor:
    """Detector, network and body, loaded once, that predict people in images.

    Args:
        checkpoint: weights of the network.
        detector: mediapipe, maskrcnn, pointrend, densepose, or files, the user's own.
        device: auto (CUDA if there is one), cpu, cuda or cuda:1 ...
        people: "main", the most prominent person in each image, or "all".
        rounds: of feedback; None: what validated best.
        refine: whether a fit follows where joints are nearly exact, and the checkpoint allows it.
        batch_size: people that pass through the network together.
        body: "open" or "smpl"; None: the checkpoint's.
        gender: of the people, where it is known; None: the checkpoint's.
        mirror: who looks at mirror images as well: "none", "network" or "detector".
        proxy: "own" or "published" input; None: what the checkpoint says.
        detector_weights: folder with the weights of detectors that need some.
        masks: with the detector "files": folder of masks.
        keypoints: with the detector "files": folder, or one json file.

    Raises:
        InputError: an option or a file is not as it should be.
    """

    def __init__(
        self,
        checkpoint: Path | str = DEFAULT_CHECKPOINT,
        *,
        detector: str = "mediapipe",
        device: str = "auto",
        people: str = "main",
        rounds: int | None = None,
        refine: bool = True,
        mirror: str = "network",
        batch_size: int = 8,
        body: str | None = None,
        gender: str | None = None,
        proxy: str | None = None,
        detector_weights: Path | str = CHECKPOINTS,
        masks: Path | str | None = None,
        keypoints: Path | str | None = None,
    ) -> None:
        """Loads everything."""
        if people not in ("main", "all"):
            raise InputError(f"people is {people!r}; expected main or all")
        if mirror not in get_args(Mirror):
            raise InputError(f"mirror is {mirror!r}; expected {', '.join(get_args(Mirror))}")
        if proxy not in (None, "own", "published"):
            raise InputError(f"proxy is {proxy!r}; expected own, published or None")
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; expected 1 or more")
        options = SystemOptions(
            Path(checkpoint), body, gender, rounds, refine, proxy, mirror, detector,
            Path(detector_weights), masks and Path(masks), keypoints and Path(keypoints),
            batch_size,
        )  # fmt: skip
        self._system = load_system(options, choose_device(device))
        self._everyone = people == "all"
        self._estimator = build_estimator(self._system, options.checkpoint, {})

    def __call__(self, images: Iterable[Image]) -> list[PhotoPrediction]:
        """The people in each image.

        Args:
            images: arrays (H, W, 3) uint8 RGB, or image files.

        Returns:
            One for each image, in their order. A bad image has its reason and stops no other.
        """
        return list(self.stream(images))

    def stream(self, images: Iterable[Image]) -> Iterator[PhotoPrediction]:
        """The same one by one, for more images than memory holds."""
        names: list[str] = []  # of all images so far, which come back in their order
        found = (self._find(*each, names) for each in enumerate(images))
        for index, photo in enumerate(predict_photos(found, self._system.body_predictor)):
            if isinstance(photo, Skipped):
                yield PhotoPrediction(names[index], reason=photo.reason)
            else:
                photo = photo if self._estimator is None else self._estimator.inform(photo)
                people = enumerate(photo.people, start=1)
                yield PhotoPrediction(
                    names[index], tuple(self._describe(photo, *each) for each in people)
                )

    def draw(self, image: Image, people: Iterable[PersonResult]) -> np.ndarray:
        """An image with people drawn on it, (H, W, 3) uint8 RGB.

        Args:
            image: the one in which they were predicted.
            people: of it.
        """
        picture = image if isinstance(image, np.ndarray) else read_image(Path(image))
        for person in people:
            vertices_cam = person.vertices + person.cam_t
            picture = draw_body(picture, self._renderer, vertices_cam, person.cam_k)
        return picture

    @cached_property
    def _renderer(self) -> BodyRenderer:
        return BodyRenderer(self._system.source.faces)

    @cached_property
    def _anatomy(self) -> Anatomy:
        return Anatomy.of(self._system.predictor.body_model)

    def _find(self, index: int, image: Image, names: list[str]) -> Photo | Skipped:
        """An image with its people found; appends its name to `names`."""
        array = isinstance(image, np.ndarray)
        path = Path(f"image {index}") if array else Path(image)
        names.append(path.name)
        photo = Photo(path, path.stem, image if array else None)
        photo = attempt(_check_image if array else read_photo, photo, "reading")
        return attempt(self._find_people, photo, "the detector")

    def _find_people(self, photo: Photo) -> Photo:
        return find_people(photo, self._system.detector, self._everyone, keep_image=False)

    def _describe(self, photo: Photo, number: int, person: Person) -> PersonResult:
        source = self._system.source
        measurements = measure(person.arrays["vertices_tpose"], self._anatomy)
        person = add_margins(person, choose_margins(self._system.known_errors, person))
        record = describe_person(photo.file, number, photo.name, person, measurements)
        return _make_result({**source.arrays, **collect_arrays(person, record)})


def _make_result(arrays: dict[str, np.ndarray]) -> PersonResult:
    """A result of its arrays by name; words and single numbers are Python's own."""
    return PersonResult(
        **{name: array.item() if array.ndim == 0 else array for name, array in arrays.items()}
    )


def _check_image(photo: Photo) -> Photo:
    """Raises InputError for an array that is no picture."""
    image = photo.image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(
            f"{photo.path} is {image.dtype} of shape {image.shape}; expected uint8 (H, W, 3), RGB"
        )
    return photo
