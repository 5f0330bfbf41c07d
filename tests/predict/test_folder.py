"""Stages that overlap give what one photo after the other gives."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.body_model import BodyModel
from models.checkpoints import Predictor
from predict.detectors.interface import Detection
from predict.folder import Background, FolderPredictor
from predict.meshes import MeshWriter
from predict.people import BodyPredictor, Photo
from predict.pictures import STANDARD_PICTURES
from predict.results import PhotoResult, ResultWriter
from predict.truth_errors import TruthComparer
from renderers import overlay
from tests.networks import NETWORKS, random_network
from utils.errors import InputError

SIZE = 64


class _Inline(Background):
    """Makes each item when it is asked for."""

    def ahead(self, items: Iterable, depth: int) -> Iterator:
        return iter(items)


class _Detector:
    """Finds as many people as the photo's first pixel says, each somewhere else."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        if image[0, 0, 0] == 255:
            raise RuntimeError("out of memory")
        height, width = image.shape[:2]
        return [self._person(index, height, width) for index in range(image[0, 0, 0])]

    def _person(self, index: int, height: int, width: int) -> Detection:
        silhouette = np.zeros((height, width), dtype=bool)
        silhouette[5 + index : -5 - 2 * index, 20 + 5 * index : 50] = True
        joints = np.linspace([20 + 5 * index, 5], [50, height - 5], 17, dtype=np.float32)
        return Detection(silhouette, joints, np.ones(17, np.float32), np.zeros(4, np.float32))


@pytest.fixture(scope="module", params=NETWORKS)
def predictor(request) -> Predictor:
    body = BodyModel.load().eval()
    return Predictor(random_network(request.param, body).eval(), body, SIZE, 0)


@pytest.fixture
def photos(tmp_path) -> list[Photo]:
    """People: 1, 2, none, a detector that fails, an unreadable file, 3, 1, 1."""
    found = []
    for index, people in enumerate((1, 2, 0, 255, None, 3, 1, 1)):
        path = tmp_path / f"{index}.png"
        image = np.random.default_rng(index).integers(0, 255, (90, 70, 3), dtype=np.uint8)
        image[0, 0] = people or 0
        assert cv2.imwrite(str(path), image)
        if people is None:
            path.write_text("not an image")
        found.append(Photo(path, path.stem))
    return found


def _folder(predictor: Predictor, output: Path, **changes) -> FolderPredictor:
    output.mkdir(exist_ok=True)
    body = predictor.body_model
    faces = body.faces.numpy()
    comparer = TruthComparer(body.faces, body.face_parts, SIZE)
    settings = {
        "detector": _Detector(),
        "body_predictor": BodyPredictor(predictor, torch.device("cpu"), batch_size=3),
        "writer": ResultWriter(
            output, faces, MeshWriter(("obj",), faces), changes.get("everyone", True), comparer
        ),
        "everyone": True,
        "pictures": STANDARD_PICTURES,
        "renderer": "own",
    }
    return FolderPredictor(**{**settings, **changes})


def test_overlapping_changes_nothing(predictor, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(overlay, "TPOSE_SIZE", 60)  # for speed
    results = []
    for background in (_Inline(), Background()):
        output = tmp_path / type(background).__name__
        with background:
            results.append(list(_folder(predictor, output).predict(photos, background)))
    assert results[0] == results[1]
    assert [result.name for result in results[0]] == [photo.path.name for photo in photos]
    names = sorted(path.name for path in (tmp_path / "_Inline").iterdir())
    assert len(names) == 6 * (1 + 2 + 3 + 1 + 1)
    for name in names:
        inline, overlapped = ((tmp_path / each / name) for each in ("_Inline", "Background"))
        assert inline.read_bytes() == overlapped.read_bytes(), name
    assert len(list((tmp_path / "Background").iterdir())) == len(names)


def test_bad_photos_are_told_in_their_place(predictor, photos, tmp_path):
    folder = _folder(predictor, tmp_path / "out", pictures=())
    with Background() as background:
        results = list(folder.predict(photos, background))
    reasons = [getattr(result, "reason", "") for result in results]
    assert [bool(reason) for reason in reasons] == [False, False, True, True, True] + [False] * 3
    assert "no person found" in reasons[2]
    assert "the detector failed (RuntimeError: out of memory)" in reasons[3]
    assert "does not hold an image" in reasons[4]


def test_pictures_that_cannot_be_drawn_skip_their_photo_alone(
    predictor, photos, tmp_path, monkeypatch
):
    def draw_tpose(renderer, vertices: np.ndarray) -> np.ndarray:
        draw_tpose.calls += 1
        if draw_tpose.calls == 2:
            raise RuntimeError("GL is lost")
        return np.zeros((4, 4, 3), np.uint8)

    draw_tpose.calls = 0
    monkeypatch.setattr("predict.pictures.draw_tpose", draw_tpose)
    folder = _folder(predictor, tmp_path / "out", everyone=False)
    with Background() as background:
        results = list(folder.predict(photos[5:], background))
    assert [isinstance(result, PhotoResult) for result in results] == [True, False, True]
    assert "drawing failed (RuntimeError: GL is lost)" in results[1].reason


def test_a_renderer_that_does_not_work_stops_all(predictor, photos, tmp_path):
    folder = _folder(predictor, tmp_path / "out", renderer="crayons")
    with Background() as background, pytest.raises(InputError, match="crayons"):
        list(folder.predict(photos, background))
