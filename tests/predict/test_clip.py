"""A clip from its file to its results: motions, the overlay, and runs that were stopped."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import run_predict
from models.body_model import BodyModel
from models.shape_errors import (
    ShapeErrors,
    ShapePrior,
    shape_errors_path,
    write_shape_errors,
)
from predict import clip as clips
from predict import clip_estimates
from predict.detectors import registry
from predict.detectors.interface import Detection
from predict.detectors.masks import tight_box
from predict.video import ClipWriter, open_clip
from run_predict import PredictOptions, predict
from scenes.clips import make_scene
from tests.clips import FPS, add_tone, read_sound, write_frames
from tests.networks import write_checkpoint
from utils.errors import InputError
from utils.files import hash_file
from utils.images import write_image

COUNT = 24


class _Detector:
    """Finds whatever is red, and whatever is blue; fails on frames whose first pixel is white."""

    calls = 0
    stop_at = -1  # the call in which the program ends

    def __init__(self, *_: object) -> None:
        pass

    def detect(self, image: np.ndarray) -> list[Detection]:
        type(self).calls += 1
        if self.calls == self.stop_at:
            raise SystemExit(130)
        if image[0, 0].min() > 200:
            raise RuntimeError("out of\nmemory")
        found = []
        for channel in (0, 2):
            silhouette = image[..., channel] > 140
            if silhouette.sum() > 100:
                box = tight_box(silhouette)
                joints = np.linspace(box[:2], box[2:], 17).astype(np.float32)
                found.append(Detection(silhouette, joints, np.ones(17, np.float32), box))
        return found


@pytest.fixture(autouse=True)
def _fake_detector(monkeypatch):
    monkeypatch.setitem(registry.DETECTORS, "fake", _Detector)
    monkeypatch.setattr(_Detector, "calls", 0)
    monkeypatch.setattr(_Detector, "stop_at", -1)
    monkeypatch.setattr(clips, "CHUNK", 7)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "untrained.tar", "feedback")


def _frames() -> list[np.ndarray]:
    """A red person walks to the right, a blue one stands; from frame 9 to 11 nobody is there."""
    frames = []
    for number in range(COUNT):
        frame = np.full((96, 128, 3), 60, np.uint8)
        if not 9 <= number <= 11:
            frame[20:80, 10 + 2 * number : 30 + 2 * number] = (220, 30, 30)
            frame[30:80, 100:116] = (30, 30, 220)
        frames.append(frame)
    return frames


def _options(tmp_path, checkpoint, **changes) -> PredictOptions:
    options = PredictOptions(
        tmp_path / "walk.mp4", tmp_path / "out", checkpoint, silh_from="fake", device="cpu",
        renderer="own", people="all", visuals=False,
    )  # fmt: skip
    return replace(options, **changes)


def _read(path) -> dict[str, np.ndarray]:
    with np.load(path) as content:
        return dict(content)


def test_everybody_in_a_clip_with_sound(tmp_path, checkpoint, capsys):
    sound = add_tone(write_frames(tmp_path / "walk.mp4", _frames()))
    assert predict(_options(tmp_path, checkpoint, visuals=True)) == run_predict.ALL_DONE
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    endings = ("bvh", "glb", "npz")
    assert written == [*(f"walk_{n}.{e}" for n in (1, 2) for e in endings), "walk_overlay.mp4"]
    printed = capsys.readouterr().out
    assert "walk_1: 24 frames (0.0 to 0.9 s), 3 of them bridged" in printed
    assert "walk_overlay.mp4, with the clip's sound" in printed

    person = _read(tmp_path / "out" / "walk_1.npz")
    shapes = {
        "frames": (24,), "times": (24,), "estimated": (24,), "pose": (24, 72), "betas": (12,),
        "pose_rotmats": (24, 24, 3, 3), "cam_photo": (24, 3), "cam_t": (24, 3),
        "cam_k": (24, 3, 3), "joints3d": (24, 90, 3), "joints2d_px": (24, 90, 2),
        "vertices_tpose": (6890, 3), "faces": (13776, 3), "joint_names": (90,),
        "trajectory_root": (24, 3, 3), "trajectory_t": (24, 3), "trajectory_k": (3, 3),
    }  # fmt: skip
    assert {name: person[name].shape for name in shapes} == shapes
    assert person["frames"].tolist() == list(range(24))
    assert np.flatnonzero(~person["estimated"]).tolist() == [9, 10, 11]
    np.testing.assert_allclose(person["times"], np.arange(24) / FPS, atol=1e-6)
    moved = person["joints2d_px"][-1, 0] - person["joints2d_px"][0, 0]
    assert moved[0] == pytest.approx(46, abs=5)  # two pixels a frame

    overlay = open_clip(tmp_path / "out" / "walk_overlay.mp4")
    frames = list(overlay.frames())
    assert (overlay.width, overlay.height, len(frames)) == (128, 96, 24)
    before = _frames()[0].astype(int)
    assert np.abs(frames[0].image - before).mean() > 1  # bodies are drawn
    assert read_sound(tmp_path / "out" / "walk_overlay.mp4") == sound


def test_the_main_person_alone(tmp_path, checkpoint, capsys):
    write_frames(tmp_path / "walk.mp4", _frames())
    assert predict(_options(tmp_path, checkpoint, people="main")) == run_predict.ALL_DONE
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["walk.bvh", "walk.glb", "walk.npz"]
    assert "1 others were followed" in capsys.readouterr().out
    assert predict(_options(tmp_path, checkpoint, people="main", skip_done=True)) == 0
    assert "is left out" in capsys.readouterr().out


def test_what_is_known_of_people_shapes_them(tmp_path, checkpoint):
    """Women's betas are 1 in the prior, and estimates tell little; a height is met."""
    write_frames(tmp_path / "walk.mp4", _frames())
    known = Path(shutil.copy(checkpoint, tmp_path))
    plain = _options(tmp_path, known, people="main", output=tmp_path / "plain")
    predict(plain)
    for asked in ({"gender": "female"}, {"height": "1.9"}):
        with pytest.raises(InputError, match=r"untrained_shape_errors.npz is missing"):
            predict(replace(plain, output=tmp_path / "out", **asked))
    eye, kinds = np.eye(12), np.arange(3.0)[:, None] / 2
    prior = ShapePrior(np.tile(kinds, (1, 12)), np.tile(0.01 * eye, (3, 1, 1)), np.ones(3) / 3)
    errors = ShapeErrors(eye, np.zeros(12), eye, eye, prior)
    write_shape_errors(shape_errors_path(known), {"detector": errors}, "of another version")
    predict(replace(plain, output=tmp_path / "mean"))
    before, after = (_read(tmp_path / each / "walk.npz")["betas"] for each in ("plain", "mean"))
    np.testing.assert_array_equal(after, before)
    write_shape_errors(shape_errors_path(known), {"detector": errors}, hash_file(known))
    predict(replace(plain, gender="female", height="1.9"))
    predict(replace(plain, gender="female", output=tmp_path / "woman"))
    both = _read(tmp_path / "plain" / "walk.npz")
    assert np.ptp(both["vertices_tpose"][:, 1]) == pytest.approx(1.9, abs=2e-3)
    assert (both["gender_given"], both["height_given_m"]) == ("female", np.float32(1.9))
    woman = _read(tmp_path / "woman" / "walk.npz")
    np.testing.assert_allclose(woman["betas"], 1, atol=0.1)
    assert "height_given_m" not in woman
    assert np.ptp(woman["vertices_tpose"][:, 1]) != pytest.approx(1.9, abs=0.02)


def test_a_run_that_was_stopped_goes_on(tmp_path, checkpoint, monkeypatch):
    write_frames(tmp_path / "walk.mp4", _frames())
    options = _options(tmp_path, checkpoint, batch_size=1)
    assert predict(replace(options, output=tmp_path / "whole")) == 0
    assert _Detector.calls == COUNT
    monkeypatch.setattr(_Detector, "stop_at", COUNT + 19)
    with pytest.raises(SystemExit):
        predict(options)
    left = tmp_path / "out" / f"walk{clip_estimates.FOLDER_ENDING}"
    assert len(list(left.glob("estimates_*.npz"))) == 2  # 14 frames
    monkeypatch.setattr(_Detector, "stop_at", -1)
    monkeypatch.setattr(_Detector, "calls", 0)
    assert predict(replace(options, skip_done=True)) == 0
    assert _Detector.calls == COUNT - 14
    assert not left.exists()
    for number in (1, 2):
        whole, rest = (_read(tmp_path / each / f"walk_{number}.npz") for each in ("whole", "out"))
        for name, values in whole.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(rest[name], values, atol=1e-4, rtol=1e-4, err_msg=name)


def test_what_was_estimated_otherwise_is_not_used(tmp_path, checkpoint, monkeypatch):
    write_frames(tmp_path / "walk.mp4", _frames())
    options = _options(tmp_path, checkpoint, skip_done=True)
    monkeypatch.setattr(_Detector, "stop_at", COUNT)
    with pytest.raises(SystemExit):
        predict(options)
    monkeypatch.setattr(_Detector, "stop_at", -1)
    monkeypatch.setattr(_Detector, "calls", 0)
    assert predict(replace(options, rounds=1)) == 0
    assert _Detector.calls == COUNT


def test_a_damaged_chunk_is_made_again(tmp_path):
    folder = clip_estimates.EstimateFolder(tmp_path / "a", {"file": "x"}, go_on=True)
    chunk = clip_estimates.Estimates.of_people([0.0, 0.04], ["", "dark"], [])
    for number in range(3):
        folder.add(number, chunk)
    (tmp_path / "a" / "estimates_000001.npz").write_bytes(b"damaged")
    again = clip_estimates.EstimateFolder(tmp_path / "a", {"file": "x"}, go_on=True)
    (read,) = again.read()
    assert read.failures.tolist() == ["", "dark"]
    assert read.rows["pose_rotmats"].shape == (0, 24, 3, 3)
    assert json.loads((tmp_path / "a" / "run.json").read_text()) == {"file": "x"}
    assert clip_estimates.EstimateFolder(tmp_path / "a", {"file": "y"}, go_on=True).read() == []


def test_frames_in_which_the_detector_fails_are_told(tmp_path, checkpoint, capsys):
    frames = _frames()
    for frame in frames[4:6]:
        frame[:8, :8] = 255
    write_frames(tmp_path / "walk.mp4", frames)
    assert predict(_options(tmp_path, checkpoint)) == 0
    told = "2 frames could not be searched: the detector failed (RuntimeError: out of memory)"
    assert told in capsys.readouterr().out


def test_nobody_is_one_line(tmp_path, checkpoint):
    write_frames(tmp_path / "walk.mp4", [np.full((48, 64, 3), 60, np.uint8)] * 5)
    with pytest.raises(InputError, match=r"walk.mp4: no person found$"):
        predict(_options(tmp_path, checkpoint))


def test_a_folder_of_frames(tmp_path, checkpoint):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(_frames()[:8]):
        write_image(folder / f"{number:03d}.png", frame)
    options = _options(tmp_path, checkpoint, input=folder, video=True, fps=10, visuals=True)
    assert predict(options) == 0
    person = _read(tmp_path / "out" / "frames_1.npz")
    np.testing.assert_allclose(person["times"], np.arange(8) / 10, atol=1e-6)
    assert len(list(open_clip(tmp_path / "out" / "frames_overlay.mp4").frames())) == 8


@pytest.mark.parametrize(
    ("changes", "told"), [({"fps": 0.0}, "--fps"), ({"smoothing": -1.0}, "--smoothing"),
                          ({"focal_px": 0.0}, "--focal-px")]
)  # fmt: skip
def test_wrong_values(tmp_path, checkpoint, changes, told):
    with pytest.raises(InputError, match=told):
        predict(_options(tmp_path, checkpoint, **changes))


def test_a_rendered_walker_through_the_detector(tmp_path):
    """The whole way, with what ships: true joints and the true walk are found."""
    body = BodyModel.load().eval()
    scene = make_scene("walker", 8, 4.0, body)
    scene = replace(scene, picture=replace(scene.picture, width=480, height=270))
    path = tmp_path / "walk.mp4"
    with ClipWriter(path, tmp_path / "unfinished.mp4", (480, 270)) as writer:
        for number, image in enumerate(scene.frames()):
            writer.add(number / 4, image)
        writer.finish(None)
    focal = float(scene.camera.cam_k[0, 0])
    options = PredictOptions(path, tmp_path / "out", device="cpu", visuals=False, focal_px=focal,
                             smoothing=0)  # fmt: skip
    assert predict(options) == 0
    person = _read(tmp_path / "out" / "walk.npz")
    assert len(person["frames"]) >= 6
    truth = [scene.truth(0, frame) for frame in person["frames"]]
    walked = np.stack([each.cam_t for each in truth])
    found = person["trajectory_t"]
    # To the right by 1.25 m/s. How far away is as uncertain as how tall, in single frames more so.
    slope = np.polyfit(walked[:, 0], found[:, 0], 1)[0]
    assert slope == pytest.approx(1, abs=0.15)
    off = np.abs(found[:, 2] / walked[:, 2] - 1)
    assert np.median(off) < 0.1
    assert off.max() < 0.3
