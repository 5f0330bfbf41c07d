"""Pictures of the worst cases."""

import numpy as np
import pytest
import torch

from data.frames import Frame
from evaluate.evaluator import Evaluator, Outcome
from evaluate.sources import PhotoSource, ProxySource
from evaluate.true_people import TrueBodies
from evaluate.worst_cases import (
    BOTH_COLOUR,
    CAPTION_HEIGHT,
    EXTRA_COLOUR,
    GREY,
    MISSED_COLOUR,
    WorstCaseDrawer,
)
from models.checkpoints import load_predictor
from renderers.overlay import SILHOUETTE_COLOUR
from tests.evaluation_sets import (
    constant_checkpoint,
    photo_of,
    picture_of,
    upright_pose,
    write_picture,
)

CPU = torch.device("cpu")
CAM_T, FOCAL, ZERO = np.array([0.1, 0.2, 60], np.float32), 4000.0, np.zeros(10, np.float32)


@pytest.fixture(scope="module")
def evaluator(body_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "constant.tar"
    constant_checkpoint(path, body_model, upright_pose(0), ZERO)
    return Evaluator(load_predictor(path, CPU), TrueBodies({"neutral": body_model}, CPU), CPU)


def _frames(tmp_path, body) -> list[Frame]:
    frames = []
    for index in range(3):
        pose = upright_pose(0.5 * index)
        silhouette, _ = picture_of(body, ZERO, pose, CAM_T, FOCAL)
        write_picture(tmp_path / f"{index}.png", photo_of(silhouette))
        cam_k = np.array([[FOCAL, 0, 80], [0, FOCAL, 80], [0, 0, 1]], np.float32)
        path = tmp_path / f"{index}.png"
        frames.append(
            Frame(path.name, path.name, path, "neutral", ZERO, pose, cam_t=CAM_T, cam_k=cam_k)
        )
    return frames


def test_a_sheet_of_photos(evaluator, body_model, tmp_path):
    frames = _frames(tmp_path, body_model)
    source = PhotoSource(evaluator, None)
    outcomes = source.evaluate(frames, 2, lambda done: None)
    prediction, photos = source.predict(frames, [2, 0])
    torch.testing.assert_close(
        prediction.people.pose_rotmats[0], evaluator.truth.pose(frames[2:]).pose_rotmats[0]
    )
    sheet = WorstCaseDrawer(evaluator).draw([outcomes[2], outcomes[0]], prediction, photos)
    height = CAPTION_HEIGHT + 256
    assert sheet.shape == (2 * height, 5 * 256, 3)
    assert sheet.dtype == np.uint8
    row = sheet[CAPTION_HEIGHT:height]
    overlay, proxy, compared, true, pred = (row[:, 256 * i : 256 * (i + 1)] for i in range(5))
    assert (overlay == (120, 120, 120)).all(axis=-1).any()  # the photo's own grey
    assert (proxy == SILHOUETTE_COLOUR).all(axis=-1).any()
    silhouettes = evaluator.render_silhouettes(prediction)[0].numpy()
    truth = prediction.view.silhouettes[0].numpy()
    for colour, where in (
        (BOTH_COLOUR, silhouettes & truth),
        (MISSED_COLOUR, truth & ~silhouettes),
        (EXTRA_COLOUR, silhouettes & ~truth),
    ):
        np.testing.assert_array_equal((compared == colour).all(axis=-1), where)
    np.testing.assert_array_equal(true, pred)  # the same shape
    assert true.min() < 150  # somebody stands there


def test_proxies_without_photos(evaluator, body_model, tmp_path):
    frames = _frames(tmp_path, body_model)
    seen = [evaluator.see(frame, None) for frame in frames]
    observation = evaluator.predict_seen(seen).observation
    targets = {
        "silhouettes": torch.cat([person.view.silhouettes for person in seen]),
        "joints2d_px": torch.rand(3, 17, 2) * 256,
        "visibility": torch.ones(3, 17, dtype=torch.bool),
    }

    def pictures():
        for piece in (slice(0, 2), slice(2, 3)):
            yield observation.rows(piece), {name: value[piece] for name, value in targets.items()}

    source = ProxySource(evaluator, pictures)
    outcomes = source.evaluate(frames, 8, lambda done: None)
    assert [outcome.frame.name for outcome in outcomes] == ["0.png", "1.png", "2.png"]
    prediction, photos = source.predict(frames, [2, 0])
    assert photos == [None, None]
    chosen = observation.rows(torch.tensor([2, 0]))
    assert all(map(torch.equal, prediction.observation, chosen))
    again = evaluator.measure(prediction)
    assert again[0] == pytest.approx(outcomes[2].values, rel=1e-3, abs=1e-4)  # mm: noise
    assert again[1] == pytest.approx(outcomes[0].values, rel=1e-3, abs=1e-3)
    sheet = WorstCaseDrawer(evaluator).draw([Outcome(frames[2], again[0])] * 2, prediction, photos)
    assert (sheet[CAPTION_HEIGHT, 0] == GREY).all()
