"""run_predict.py from its command line to its files and exit status."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import run_predict
from models import refinement
from models.shape_errors import shape_errors_path
from predict import truth_errors
from predict.detectors import registry
from predict.detectors.interface import Detection
from predict.detectors.masks import tight_box
from predict.detectors.rules import OWN, PUBLISHED, DetectorRules
from predict.setup import choose_pictures
from run_predict import PredictOptions, choose_exit_status, main, predict
from tests.networks import NETWORKS, write_checkpoint
from utils.command_line import STOPPED, WRONG_USE, run_script
from utils.errors import InputError
from utils.paths import CHECKPOINTS, DEMO, ROOT
from utils.proxy import Observation

FILES = ("{}_overlay.png", "{}_tpose.png", "{}_proxy.png", "{}.npz")
TABLES = ["results.csv", "results.json"]


class FakeDetector:
    """Finds a person wherever the photo's first pixel is not black; fails on a white one.

    Where that pixel is above 200 there is a second, smaller person.
    """

    def __init__(self, device: torch.device, checkpoints: Path, rules: DetectorRules) -> None:
        pass

    def detect(self, image: np.ndarray) -> list[Detection]:
        if image[0, 0].max() < 10:
            return []
        if image[0, 0].min() > 245:
            raise RuntimeError("out of\nmemory")
        height, width = image.shape[:2]
        silhouette = np.zeros((height, width), dtype=bool)
        silhouette[height // 10 : -height // 10, width // 3 : -width // 3] = True
        joints = np.linspace([width / 3, height / 10], [width / 2, height / 2], 17)
        people = [
            Detection(silhouette, joints.astype(np.float32), np.ones(17, np.float32), np.zeros(4))
        ]
        if image[0, 0].min() > 200:
            smaller = silhouette.copy()
            smaller[: height // 2] = False
            people.append(replace(people[0], silhouette=smaller))
        return people


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "untrained.tar", "published")


@pytest.fixture(scope="module", params=NETWORKS)
def any_checkpoint(request, tmp_path_factory) -> Path:
    """The test is run with a checkpoint of every network."""
    path = tmp_path_factory.mktemp("checkpoint") / f"{request.param}.tar"
    return write_checkpoint(path, request.param)


@pytest.fixture(autouse=True)
def _same_threads_afterwards():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def fake_detector(monkeypatch):
    monkeypatch.setitem(registry.DETECTORS, "fake", FakeDetector)


def _write_photo(path: Path, grey: int) -> None:
    path.parent.mkdir(exist_ok=True)
    assert cv2.imwrite(str(path), np.full((90, 70, 3), grey, dtype=np.uint8))


def _options(tmp_path: Path, checkpoint: Path, **changes) -> PredictOptions:
    defaults = {
        "input": tmp_path / "photos",
        "output": tmp_path / "out",
        "checkpoint": checkpoint,
        "silh_from": "fake",
        "device": "cpu",
        "renderer": "own",
    }
    return PredictOptions(**{**defaults, **changes})


def test_a_folder_with_good_and_bad_photos(tmp_path, any_checkpoint, fake_detector, capsys):
    photos = tmp_path / "photos"
    _write_photo(photos / "a.png", 120)
    _write_photo(photos / "a.JPG", 120)
    _write_photo(photos / "empty_room.bmp", 0)
    _write_photo(photos / "strange.png", 255)
    (photos / "text.png").write_text("not an image")
    (photos / "notes.txt").write_text("left alone")
    _write_photo(photos / "z.webp", 120)

    assert predict(_options(tmp_path, any_checkpoint, batch_size=2)) == run_predict.SOME_SKIPPED

    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    names = ("a.png", "a.JPG", "z")
    assert written == sorted([form.format(name) for name in names for form in FILES] + TABLES)
    printed = capsys.readouterr().out
    assert "3 of 6 photos done" in printed
    for reason in ("empty_room.bmp: no person found", "RuntimeError: out of memory", "text.png"):
        assert printed.count(reason) == 2  # when it happens and in the summary
    with np.load(tmp_path / "out" / "z.npz") as content:
        assert content["vertices"].shape[1] == content["vertices_tpose"].shape[1] == 3
        shapes = {name: content[name].shape for name in ("betas", "pose", "cam_wp", "crops")}
        betas = {"published": 10, "feedback": 12}[any_checkpoint.stem]
        assert shapes == {"betas": (betas,), "pose": (72,), "cam_wp": (3,), "crops": (3,)}
        assert content["joints3d"].shape == (90, 3)
        assert content["joints2d_px"].shape == (90, 2)
        assert all(np.isfinite(content[name]).all() for name in ("vertices", "joints2d_px"))
    overlay = cv2.imread(str(tmp_path / "out" / "z_overlay.png"))
    assert overlay.shape == (90, 70, 3)
    assert (overlay != 120).any()


@pytest.mark.parametrize(
    ("formats", "written"),
    [
        (None, ()),
        ((), ("a.obj", "a_tpose.obj")),  # as `--save-meshes` alone is read
        (("ply", "glb"), ("a.ply", "a_tpose.ply", "a.glb")),
    ],
)
def test_one_image_meshes_and_no_pictures(tmp_path, checkpoint, fake_detector, formats, written):
    _write_photo(tmp_path / "photos" / "a.png", 120)
    options = _options(
        tmp_path,
        checkpoint,
        input=tmp_path / "photos" / "a.png",
        visuals=False,
        save_meshes=formats,
    )
    assert predict(options) == run_predict.ALL_DONE
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {"a.npz", *written, *TABLES}


def test_pictures_are_chosen_and_a_page_shows_them(tmp_path, checkpoint, fake_detector):
    _write_photo(tmp_path / "photos" / "a.png", 120)
    chosen = {"pictures": ("views", "overlay"), "page": True, "people": "all"}
    assert predict(_options(tmp_path, checkpoint, **chosen)) == run_predict.ALL_DONE
    written = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert written == {"a_1_views.png", "a_1_overlay.png"}
    assert "a_1_overlay.png" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert {path.name for path in (tmp_path / "out" / "page").iterdir()} == {"a_1.jpg", "a_1.js"}


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, ("overlay", "tpose", "proxy")),
        ({"people": "all"}, ("overlay", "tpose", "proxy", "people")),
        ({"vertex_scatter": True, "pictures": ("tpose",)}, ("tpose", "vertices")),
        ({"vertex_scatter": True, "visuals": False}, ()),
    ],
)
def test_which_pictures_are_made(options, kinds):
    assert choose_pictures(run_predict.PredictOptions(**options)) == kinds


def test_a_demo_image_is_compared_with_its_truth(tmp_path, any_checkpoint, capsys):
    """With the real detector."""
    options = _options(
        tmp_path, any_checkpoint, input=DEMO / "standing.jpg", silh_from="mediapipe", visuals=False
    )
    assert predict(options) == run_predict.ALL_DONE
    printed = capsys.readouterr().out
    for name in ("PVE-T-SC (mm)", "MPJPE-PA (mm)", "silhouette IoU", "height error (cm)"):
        assert f"{name} " in printed.split("mean errors over 1 photos with truth")[1]


def test_a_truth_of_another_kind_is_left_out_with_a_warning(
    tmp_path, checkpoint, fake_detector, capsys, caplog
):
    _write_photo(tmp_path / "photos" / "a.png", 120)
    np.savez(tmp_path / "photos" / "a_truth.npz", betas=np.zeros(10))
    assert predict(_options(tmp_path, checkpoint, visuals=False)) == run_predict.ALL_DONE
    assert "a_truth.npz has no" in caplog.text
    assert "against the truth" not in capsys.readouterr().out


def test_any_truth_file_leaves_the_photo_done(
    tmp_path, checkpoint, fake_detector, monkeypatch, caplog
):
    """Whatever goes wrong in the comparison, it is left out with its reason."""
    _write_photo(tmp_path / "photos" / "a.png", 120)
    (tmp_path / "photos" / "a_truth.npz").write_bytes(b"PK\x03\x04 broken")
    options = _options(tmp_path, checkpoint, visuals=False)
    assert predict(options) == run_predict.ALL_DONE
    assert "a.png is not compared with its truth: " in caplog.text

    def fail(*_):
        raise RuntimeError("something\nunforeseen")

    monkeypatch.setattr(truth_errors, "read_truth", fail)
    assert predict(options) == run_predict.ALL_DONE
    assert "not compared with its truth: RuntimeError: something unforeseen" in caplog.text


def test_results_that_are_there_are_left_out_or_made_again_with_a_word(
    tmp_path, checkpoint, fake_detector, capsys
):
    for name in "ab":
        _write_photo(tmp_path / "photos" / f"{name}.png", 120)
    options = _options(tmp_path, checkpoint, visuals=False)
    assert predict(options) == run_predict.ALL_DONE
    assert "have results" not in capsys.readouterr().out
    (options.output / "b.npz").unlink()
    (options.output / "a.npz").write_text("kept")
    assert predict(replace(options, skip_done=True)) == run_predict.ALL_DONE
    assert "1 of 2 photos have results in" in capsys.readouterr().out
    assert (options.output / "a.npz").read_text() == "kept"
    assert (options.output / "b.npz").is_file()
    with (options.output / "results.csv").open() as table:
        assert [row["name"] for row in csv.DictReader(table)] == ["a", "b"]
    assert predict(options) == run_predict.ALL_DONE
    assert "are made again; --skip-done leaves them out" in capsys.readouterr().out
    assert (options.output / "a.npz").read_bytes()[:2] == b"PK"


def test_nobody_anywhere(tmp_path, checkpoint, fake_detector):
    _write_photo(tmp_path / "photos" / "a.png", 0)
    assert predict(_options(tmp_path, checkpoint)) == run_predict.NONE_DONE


def test_a_result_that_cannot_be_written_is_reported(tmp_path, checkpoint, fake_detector, capsys):
    _write_photo(tmp_path / "photos" / "a.png", 120)
    _write_photo(tmp_path / "photos" / "b.png", 120)
    (tmp_path / "out" / "a.npz").mkdir(parents=True)
    assert predict(_options(tmp_path, checkpoint)) == run_predict.SOME_SKIPPED
    assert "a.png" in capsys.readouterr().out.split("skipped:")[1]


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as content:
        return dict(content)


def test_everybody_gets_a_number(tmp_path, any_checkpoint, fake_detector, capsys):
    _write_photo(tmp_path / "photos" / "one.png", 120)
    _write_photo(tmp_path / "photos" / "two.png", 220)
    for people in ("main", "all"):
        options = _options(
            tmp_path, any_checkpoint, people=people, visuals=False, output=tmp_path / people
        )
        assert predict(options) == run_predict.ALL_DONE
    written = {path.stem: _arrays(path) for path in (tmp_path / "all").glob("*.npz")}
    assert sorted(written) == ["one_1", "two_1", "two_2"]
    main_person = _arrays(tmp_path / "main" / "two.npz")
    np.testing.assert_allclose(written["two_1"]["vertices"], main_person["vertices"], atol=1e-4)
    assert abs(written["two_2"]["crops"] - main_person["crops"]).max() > 1
    printed = capsys.readouterr().out
    assert "two.png, person 2: height" in printed
    assert "2 of 2 photos done, 3 people" in printed


def test_people_are_refined_unless_that_is_unwanted(tmp_path, fake_detector, monkeypatch):
    stored = torch.load(write_checkpoint(tmp_path / "plain.tar", "feedback"))
    torch.save({**stored, "error_covariance": 0.01 * torch.eye(87)}, tmp_path / "spread.tar")
    _write_photo(tmp_path / "photos" / "a.png", 120)
    refined_by = []
    monkeypatch.setattr(refinement, "MAX_MEDIAN_RESIDUAL", 1e6)
    original = refinement.Refiner.refine
    monkeypatch.setattr(
        refinement.Refiner, "refine", lambda *given: refined_by.append(given) or original(*given)
    )
    for refine, asked in ((False, {"refine": False}), (True, {})):
        options = _options(tmp_path, tmp_path / "spread.tar", visuals=False, **asked)
        assert predict(options) == run_predict.ALL_DONE
        assert len(refined_by) == refine


def test_how_shapes_err_is_read_only_where_something_is_known(tmp_path, fake_detector):
    checkpoint = write_checkpoint(tmp_path / "plain.tar", "feedback")
    shape_errors_path(checkpoint).write_text("damaged")
    _write_photo(tmp_path / "photos" / "a.png", 120)
    options = _options(tmp_path, checkpoint, visuals=False)
    assert predict(options) == run_predict.ALL_DONE
    with pytest.raises(InputError, match=r"plain_shape_errors.npz"):
        predict(replace(options, height="1.8"))


class FramedFakeDetector:
    """Finds a person in the middle of whatever it is shown, and remembers what that was."""

    def __init__(self) -> None:
        self.built: list[DetectorRules] = []
        self.shapes: list[tuple[int, ...]] = []

    def build(self, device, checkpoints, rules):
        self.built.append(rules)
        return self

    def detect(self, image: np.ndarray) -> list[Detection]:
        self.shapes.append(image.shape)
        height, width = image.shape[:2]
        silhouette = np.zeros((height, width), bool)
        silhouette[height // 4 : 3 * height // 4, 2 * width // 5 : 3 * width // 5] = True
        joints = np.full((17, 2), (width / 2, height / 2), np.float32)
        return [Detection(silhouette, joints, np.zeros(17, np.float32), tight_box(silhouette))]


def test_a_published_network_gets_its_own_input(tmp_path, checkpoint, monkeypatch):
    stored = torch.load(checkpoint)
    published = tmp_path / "published.tar"
    torch.save({**stored, "options": {"model": {"proxy": "published"}}}, published)
    _write_photo(tmp_path / "photos" / "a.JPEG", 120)  # 70 x 90 px
    detector = FramedFakeDetector()
    monkeypatch.setitem(registry.DETECTORS, "fake", detector.build)
    rules_used = []
    original = Observation.proxy

    def remember(observation, dtype, rule):
        rules_used.append(rule)
        return original(observation, dtype, rule)

    monkeypatch.setattr(Observation, "proxy", remember)
    runs = [(checkpoint, None), (published, None), (published, "own"), (checkpoint, "published")]
    crops, confidence = [], []
    for path, proxy in runs:
        assert predict(_options(tmp_path, path, proxy=proxy)) == run_predict.ALL_DONE
        arrays = _arrays(tmp_path / "out" / "a.npz")
        crops.append(arrays["crops"])
        confidence.append(arrays["detected_joint_confidence"])
    assert rules_used == ["own", "published", "own", "published"]
    assert detector.built == [OWN, PUBLISHED, OWN, PUBLISHED]
    assert detector.shapes == [(90, 70, 3), (512, 512, 3)] * 2
    assert [bool(each.any()) for each in confidence] == [False, True, False, True]
    # The photo's rows 22 to 67: centre (35, 44.5), side 1.2 * 45.
    np.testing.assert_allclose(crops[0], [35, 44.5, 54], rtol=1e-6)
    # The frame's rows 128 to 384 and columns 204 to 307: centre (255.5, 256), side 1.2 * 256. A
    # pixel of the photo is 512 / 90 of the frame, and the photo lies 10 of its pixels to the right.
    expected = np.array([255.5, 256, 1.2 * 256]) * 90 / 512 - [10, 0, 0]
    np.testing.assert_allclose(crops[1], expected, rtol=1e-5)
    np.testing.assert_allclose(crops[2:], crops[:2], rtol=1e-6)


def test_the_vertices_are_scattered_over_the_photo_when_asked(tmp_path, checkpoint, fake_detector):
    _write_photo(tmp_path / "photos" / "a.png", 120)
    assert predict(_options(tmp_path, checkpoint)) == run_predict.ALL_DONE
    assert not (tmp_path / "out" / "a_vertices.png").exists()
    assert predict(_options(tmp_path, checkpoint, vertex_scatter=True)) == run_predict.ALL_DONE
    assert cv2.imread(str(tmp_path / "out" / "a_vertices.png")).shape == (90, 70, 3)


class InterruptedDetector(FakeDetector):
    """Is there when Ctrl-C is pressed during the third photo."""

    def __init__(self) -> None:
        self.seen = []

    def detect(self, image: np.ndarray) -> list[Detection]:
        self.seen.append(1)
        if len(self.seen) == 3:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.05)
        return super().detect(image)


def test_detectors_look_for_weights_where_they_are_told(tmp_path, checkpoint, monkeypatch):
    asked = []

    def build(device, checkpoints, rules):
        asked.append(checkpoints)
        return FakeDetector(device, checkpoints, rules)

    monkeypatch.setitem(registry.DETECTORS, "fake", build)
    _write_photo(tmp_path / "photos" / "a.png", 120)
    options = _options(tmp_path, checkpoint, visuals=False)
    assert predict(options) == run_predict.ALL_DONE
    assert predict(replace(options, detector_weights=tmp_path)) == run_predict.ALL_DONE
    assert asked == [CHECKPOINTS, tmp_path]


@pytest.fixture
def ctrl_c():
    """Ctrl-C does what it does in Python, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_stops_soon(tmp_path, checkpoint, ctrl_c, monkeypatch, capsys):
    detector = InterruptedDetector()
    monkeypatch.setitem(registry.DETECTORS, "fake", lambda *_: detector)
    for index in range(40):
        _write_photo(tmp_path / "photos" / f"{index:02d}.png", 120)
    options = _options(tmp_path, checkpoint, visuals=False, batch_size=1)
    assert run_script(lambda: predict(options)) == STOPPED
    assert capsys.readouterr().err.endswith("stopped\n")
    assert len(detector.seen) < 20


RANK = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("fakes", sys.argv[1])
fakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fakes)
fakes.registry.DETECTORS["fake"] = fakes.FakeDetector
sys.argv = ["run_predict.py", *sys.argv[2:]]
sys.exit(fakes.run_script(fakes.main))
"""


def test_two_processes_write_what_one_writes(tmp_path, any_checkpoint, fake_detector, capsys):
    """As torchrun starts them; one photo is nobody's, so that both must answer 3."""
    for index, grey in enumerate((120, 220, 0, 90, 150)):
        _write_photo(tmp_path / "photos" / f"{index}.png", grey)
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    arguments = [
        "--input", str(tmp_path / "photos"), "--output", str(tmp_path / "two"),
        "--checkpoint", str(any_checkpoint), "--silh_from", "fake", "--people", "all",
        "--device", "cpu", "--renderer", "own", "--batch-size", "1",
    ]  # fmt: skip
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, __file__, *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
            env={
                **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
            },
        )
        for rank in range(2)
    ]  # fmt: skip
    torch.set_num_threads(1)  # as in the other processes, for the same rounding
    options = _options(
        tmp_path, any_checkpoint, people="all", batch_size=1, output=tmp_path / "one"
    )
    assert predict(options) == run_predict.SOME_SKIPPED
    alone = capsys.readouterr().out.splitlines()
    printed = [rank.communicate()[0].splitlines() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [run_predict.SOME_SKIPPED] * 2

    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == names
    assert len(names) == 5 * 4 + 4 + 2  # three photos with one person, one with two; the tables
    for name in names:
        one, two = ((tmp_path / folder / name) for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), name
    summary = next(index for index, line in enumerate(alone) if "of 5 photos" in line)
    # The first process has photos 0, 2 and 4, a line for each, then the summary of all five; the
    # last line names the folder.
    assert printed[0][3:-1] == alone[summary:-1]
    assert sorted(printed[0][:3] + printed[1]) == sorted(alone[:summary])


def test_batches_change_nothing(tmp_path, any_checkpoint, fake_detector):
    for index in range(3):
        _write_photo(tmp_path / "photos" / f"{index}.png", 100 + index)
    for batch_size in (1, 3):
        options = _options(
            tmp_path, any_checkpoint, batch_size=batch_size, visuals=False,
            output=tmp_path / str(batch_size),
        )  # fmt: skip
        assert predict(options) == run_predict.ALL_DONE
    with np.load(tmp_path / "1" / "2.npz") as one, np.load(tmp_path / "3" / "2.npz") as three:
        np.testing.assert_allclose(one["vertices"], three["vertices"], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "nowhere.tar"], "no checkpoint at nowhere.tar"),
        (["--input", "nowhere"], "no file or folder at nowhere"),
        (["--input", "photos/notes.txt"], "not an image by its name"),
        (["--input", "nothing"], "no images in nothing"),
        (["--silh_from", "pointrendd"], "expected one of: "),
        (["--gender", "female"], "which says how the shapes of"),
        (["--output", "photos"], "choose another folder"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--device", "abacus"], "unknown device 'abacus'"),
        (["--silh_from", "files"], "--silh_from files needs --masks FOLDER"),
        (["--masks", "photos"], "--masks and --keypoints are for --silh_from files"),
        (["--gpu", "99"], "device cuda:99 was asked for"),
        (["--gpu", "0", "--device", "cpu"], "--gpu 0 and --device cpu both name a device"),
    ],
)
def test_wrong_use_is_one_clear_line(
    tmp_path, checkpoint, fake_detector, capsys, monkeypatch, arguments, message
):
    _write_photo(tmp_path / "photos" / "a.png", 120)
    (tmp_path / "photos" / "notes.txt").write_text("not an image")
    (tmp_path / "nothing").mkdir()
    monkeypatch.chdir(tmp_path)
    defaults = ["--input", "photos", "--output", "out", "--checkpoint", str(checkpoint),
                "--silh_from", "fake"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["run_predict.py", *defaults, *arguments])
    assert run_script(main) == WRONG_USE
    error = capsys.readouterr().err.strip()
    assert error.startswith("run_predict.py: ")
    assert message in error
    assert "\n" not in error


def test_a_mistyped_option_offers_the_nearest(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_predict.py", "--inptu", "photos"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == WRONG_USE
    assert "--input" in capsys.readouterr().err


def test_exit_status():
    assert choose_exit_status(2, 0) == 0
    assert choose_exit_status(0, 2) == 1
    assert choose_exit_status(1, 1) == 3
