"""run_evaluate.py on tiny datasets in their published layouts, from options to files."""

import csv
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import tools.prepare_3dpw
from data.truth import read_truth, truth_path
from evaluate.sources import BEST_BETAS, MEAN
from models.body_model import BodyModel
from predict.detectors import registry
from predict.detectors.interface import Detection
from predict.detectors.rules import OWN, PUBLISHED
from renderers.rasteriser import Rasteriser, render_silhouettes
from run_evaluate import EvaluateOptions, main, run
from tests.evaluation_sets import (
    constant_checkpoint,
    pose_body,
    upright_pose,
    write_ssp3d,
    write_threedpw,
)
from utils.command_line import WRONG_USE, run_script
from utils.errors import InputError
from utils.joints import COCO17_IN_90
from utils.paths import OPEN_BODY

SAID_POSE, SAID_BETAS = upright_pose(0.0), np.linspace(-0.5, 0.5, 10).astype(np.float32)


class RedDetector:
    """Finds somebody red, unless they stand at the photo's left border."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        red = image[..., 0].astype(int) - image[..., 1] > 40
        if not red.any():
            return []
        rows, columns = np.nonzero(red)
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
        joints = np.linspace(box[:2], box[2:], 17).astype(np.float32)
        return [Detection(red, joints, np.ones(17, np.float32), box)]


@pytest.fixture(autouse=True)
def only_the_red_detector(monkeypatch):
    def missing(device, checkpoints, rules):
        raise InputError("no library for it")

    detectors = {"red": lambda *_: RedDetector(), "missing": missing}
    monkeypatch.setattr(registry, "DETECTORS", detectors)


@pytest.fixture(scope="module")
def licensed_body(licensed_set):
    return BodyModel.load("smpl", "neutral", licensed_set).eval()


@pytest.fixture(scope="module")
def smpl_checkpoint(tmp_path_factory, licensed_body):
    path = tmp_path_factory.mktemp("checkpoint") / "constant.tar"
    return constant_checkpoint(path, licensed_body, SAID_POSE, SAID_BETAS)


@pytest.fixture(scope="module")
def open_checkpoint(tmp_path_factory, body_model):
    path = tmp_path_factory.mktemp("checkpoint") / "constant.tar"
    return constant_checkpoint(path, body_model, SAID_POSE, SAID_BETAS)


@pytest.fixture(scope="module")
def ssp3d(tmp_path_factory, licensed_set):
    folder = tmp_path_factory.mktemp("ssp3d")
    write_ssp3d(folder, licensed_set)
    return folder


@pytest.fixture(scope="module")
def threedpw(tmp_path_factory, licensed_set):
    source, output = (tmp_path_factory.mktemp(name) for name in ("original", "3dpw"))
    write_threedpw(source, licensed_set)
    tools.prepare_3dpw.main(tools.prepare_3dpw.Options(source, output))
    return output


def _options(tmp_path, **changes) -> EvaluateOptions:
    defaults = {"device": "cpu", "output": tmp_path / "out", "batch_size": 2}
    if "checkpoint" in changes:
        changes["checkpoint"] = (changes["checkpoint"],)
    return EvaluateOptions(**{**defaults, **changes})


def _rows(tmp_path, source: str = "") -> list[dict[str, str]]:
    with (tmp_path / "out" / "per_frame.csv").open() as file:
        return [row for row in csv.DictReader(file) if source in ("", row["source"])]


def _mean(summary: dict, source: str, metric: str) -> float:
    return summary["sources"][source]["metrics"][metric]["mean"]


def test_ssp3d_by_hand(tmp_path, ssp3d, licensed_set, smpl_checkpoint, licensed_body, capsys):
    options = _options(
        tmp_path, dataset="ssp3d", path=ssp3d, checkpoint=smpl_checkpoint, worst=2,
        silh_from=("dataset", "red"),
    )  # fmt: skip
    summary = run(options, licensed_set)
    labels = np.load(ssp3d / "labels.npz")
    said = licensed_body.tpose(torch.from_numpy(SAID_BETAS)[None])[0].numpy()
    expected = []
    for row in range(3):
        gender = {"m": "male", "f": "female"}[str(labels["genders"][row])]
        body = BodyModel.load("smpl", gender, licensed_set)
        true = body.tpose(torch.from_numpy(labels["shapes"][row])[None])[0].numpy()
        centred, target = said - said.mean(0), true - true.mean(0)
        scaled = centred * np.sqrt((target**2).sum() / (centred**2).sum())
        expected.append(1000 * np.linalg.norm(scaled - target, axis=1).mean())
    for source in ("dataset", "red", MEAN):
        found = [float(row["pve_t_sc"]) for row in _rows(tmp_path, source)]
        np.testing.assert_allclose(found, expected, rtol=1e-3)
        assert _mean(summary, source, "pve_t_sc") == pytest.approx(np.mean(expected), rel=1e-3)
    # The first man faces the camera as the network says of everybody, the others do not.
    pose_mse = [float(row["pose_mse"]) for row in _rows(tmp_path, "dataset")]
    assert pose_mse[0] < 1e-6 < 1e-3 < min(pose_mse[1:])
    # The betas of a man's body mean nothing to the neutral one.
    assert "shape_mse" not in summary["sources"]["dataset"]["metrics"]

    # Joints of the weak-perspective camera (0.9, 0, 0) in the crop around the silhouette.
    joints = pose_body(licensed_body, SAID_BETAS, SAID_POSE).joints3d[0, COCO17_IN_90, :2].numpy()
    for row, name in enumerate(labels["fnames"]):
        rows, columns = np.nonzero(cv2.imread(str(ssp3d / "silhouettes" / name), 0))
        low = np.array([columns.min(), rows.min()])
        high = np.array([columns.max(), rows.max()]) + 1
        side = 1.2 * (high - low).max()
        pixels = (low + high) / 2 + 0.9 * joints * side / 2
        misses = np.linalg.norm(pixels - labels["joints2D"][row, :, :2], axis=1) * 256 / side
        found = float(_rows(tmp_path, "dataset")[row]["joints2d_l2"])
        assert found == pytest.approx(misses.mean(), rel=1e-2)

    printed = capsys.readouterr().out
    assert "| found " in printed
    assert "3 of 3" in printed
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [
        "per_frame.csv", "summary.json", "summary.md", "worst_dataset.png", "worst_red.png"
    ]  # fmt: skip
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == json.loads(
        json.dumps(summary)
    )
    assert cv2.imread(str(tmp_path / "out" / "worst_red.png")).shape == (2 * 278, 5 * 256, 3)


def test_the_silhouette_iou_by_hand(tmp_path, ssp3d, licensed_set, smpl_checkpoint, licensed_body):
    """A true silhouette of 80 x 80 px: the crop has 96, in which it covers 8 / 96 to 88 / 96."""
    folder = _copied(ssp3d, tmp_path / "ssp3d")
    square = np.zeros((160, 160), np.uint8)
    square[50:130, 30:110] = 255
    cv2.imwrite(str(folder / "silhouettes" / "woman.png"), square)
    options = _options(tmp_path, dataset="ssp3d", path=folder, checkpoint=smpl_checkpoint, worst=0)
    summary = run(options, licensed_set)
    vertices = pose_body(licensed_body, SAID_BETAS, SAID_POSE).vertices
    rasteriser = Rasteriser(licensed_body.faces, licensed_body.face_parts, 256)
    said = render_silhouettes(vertices, torch.tensor([[0.9, 0, 0]]), rasteriser)[0].numpy()
    centres = (np.arange(256) + 0.5) / 256
    inside = (centres > 8 / 96) & (centres < 88 / 96)
    true = inside[:, None] & inside
    expected = (said & true).sum() / (said | true).sum()
    rows = _rows(tmp_path, "dataset")
    assert 0.1 < expected < 0.5
    assert float(rows[1]["silhouette_iou"]) == pytest.approx(expected, rel=0.01)
    # In pixels of the photo, of which the crop of 256 px has 96.
    union = (said | true).sum() * (96 / 256) ** 2
    assert float(rows[1]["silhouette_union"]) == pytest.approx(union, rel=0.01)
    shared, covered = (
        sum(float(row[f"silhouette_{name}"]) for row in rows) for name in ("intersection", "union")
    )
    pooled = summary["sources"]["dataset"]["pooled"]["silhouette_iou"]
    assert pooled["ratio"] == pytest.approx(shared / covered, rel=1e-4)


def _copied(ssp3d: Path, folder: Path) -> Path:
    """SSP-3D again, to be changed."""
    shutil.copytree(ssp3d, folder)
    return folder


def test_people_not_found_are_reported(tmp_path, ssp3d, licensed_set, smpl_checkpoint, capsys):
    folder = _copied(ssp3d, tmp_path / "ssp3d")
    grey = np.full((160, 160, 3), 120, np.uint8)
    cv2.imwrite(str(folder / "images" / "woman.png"), grey)
    options = _options(
        tmp_path, dataset="ssp3d", path=folder, checkpoint=smpl_checkpoint, worst=1,
        silh_from=("dataset", "red"),
    )  # fmt: skip
    summary = run(options, licensed_set)
    assert summary["sources"]["red"]["found"] == 2
    assert summary["sources"]["red"]["problems"] == {"nobody found": 1}
    assert summary["common"]["people"] == 2
    rows = _rows(tmp_path, "red")
    assert [row["problem"] for row in rows] == ["", "nobody found", ""]
    assert rows[1]["mpjpe"] == ""
    all_three = [float(row["pve"]) for row in _rows(tmp_path, "dataset")]
    common = summary["common"]["sources"]["dataset"]["metrics"]["pve"]["mean"]
    assert common == pytest.approx((all_three[0] + all_three[2]) / 2, rel=1e-4)
    printed = capsys.readouterr().out
    assert "the 2 people found by all" in printed
    assert "red: nobody found (1)" in printed


def test_threedpw_from_the_original_files(tmp_path, threedpw, licensed_set, smpl_checkpoint):
    options = _options(tmp_path, dataset="3dpw", path=threedpw, checkpoint=smpl_checkpoint, worst=1)
    summary = run(options, licensed_set)
    labels = np.load(threedpw / "test" / "3dpw_test.npz")
    regressor = np.load(licensed_set / "J_regressor_h36m.npy")
    lsp = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10]
    neutral = BodyModel.load("smpl", "neutral", licensed_set)
    pred = regressor @ pose_body(neutral, SAID_BETAS, SAID_POSE).vertices[0].numpy()
    rows = _rows(tmp_path, "dataset")
    assert [row["name"] for row in rows] == labels["imgname"].tolist()
    for row, name in enumerate(labels["imgname"]):
        gender = {"m": "male", "f": "female"}[str(labels["gender"][row])]
        body = BodyModel.load("smpl", gender, licensed_set)
        posed = pose_body(body, labels["shape"][row], labels["pose"][row])
        true = regressor @ posed.vertices[0].numpy()
        miss = (pred - pred[0])[lsp] - (true - true[0])[lsp]  # joint 0 is the pelvis
        expected = 1000 * np.linalg.norm(miss, axis=1).mean()
        assert float(rows[row]["mpjpe"]) == pytest.approx(expected, rel=1e-3), name
        assert rows[row]["problem"] == ""
    # Seven frames of three people, who are what is drawn with replacement.
    assert {row["group"] for row in rows} == {"walk_00_0", "hug_01_0", "hug_01_1"}
    interval = summary["sources"]["dataset"]["metrics"]["mpjpe"]
    assert interval["count"] == 7
    assert interval["low"] < interval["mean"] < interval["high"]
    assert (tmp_path / "out" / "worst_dataset.png").is_file()


def test_threedpw_as_others_prepare_it(tmp_path, threedpw, licensed_set, smpl_checkpoint):
    folder = tmp_path / "bare"
    (folder / "test").mkdir(parents=True)
    (folder / "test" / "cropped_frames").symlink_to(threedpw / "test" / "cropped_frames")
    labels = np.load(threedpw / "test" / "3dpw_test.npz")
    keys = ("imgname", "pose", "shape", "gender")
    np.savez(folder / "test" / "3dpw_test.npz", **{key: labels[key] for key in keys})
    options = {"dataset": "3dpw", "path": folder, "checkpoint": smpl_checkpoint}
    with pytest.raises(InputError, match=r"prepare_3dpw.py, or name a detector"):
        run(_options(tmp_path, **options), licensed_set)
    options = _options(tmp_path, **options, silh_from=("red",))
    summary = run(options, licensed_set)
    assert summary["sources"]["red"]["found"] == 0  # grey pictures
    assert _mean(summary, MEAN, "mpjpe") > 0
    assert "silhouette_iou" not in summary["sources"][MEAN]["metrics"]


def test_an_open_checkpoint_is_compared_by_joints(
    tmp_path, ssp3d, licensed_set, open_checkpoint, capsys
):
    both = tmp_path / "additional"
    shutil.copytree(licensed_set, both)
    (both / "open_body").symlink_to(OPEN_BODY)
    options = _options(tmp_path, dataset="ssp3d", path=ssp3d, checkpoint=open_checkpoint, worst=1)
    summary = run(options, both)
    assert "another mesh" in capsys.readouterr().out
    metrics = summary["sources"]["dataset"]["metrics"]
    assert metrics.keys() == {
        "mpjpe", "mpjpe_sc", "mpjpe_pa", "pose_mse", "joints2d_l2", "silhouette_iou"
    }  # fmt: skip


def test_the_open_benchmark(tmp_path, small_pictures, open_checkpoint, body_model, capsys):
    """With every detector that there is; the red one finds few of these people."""
    options = _options(
        tmp_path, path=tmp_path / "people", count=3, checkpoint=open_checkpoint, worst=1
    )
    summary = run(options, picture=small_pictures)
    printed = capsys.readouterr().out
    assert "missing is left out: no library for it" in printed
    assert "rendering 3 people" in printed
    assert list(summary["sources"]) == ["perfect proxies", "corrupted proxies", "red", MEAN]
    assert summary["detectors_missing"] == {"missing": "no library for it"}
    said = body_model.tpose(torch.from_numpy(SAID_BETAS)[None])[0]
    truths = [read_truth(truth_path(path)) for path in sorted((tmp_path / "people").glob("*.jpg"))]
    expected = [
        1000 * (said - body_model.tpose(truth.betas[None])[0]).norm(dim=1).mean().item()
        for truth in truths
    ]
    squared = [((truth.betas.numpy() - SAID_BETAS) ** 2).mean() for truth in truths]
    for source in ("perfect proxies", "corrupted proxies", MEAN):
        assert _mean(summary, source, "pve_t") == pytest.approx(np.mean(expected), rel=1e-3)
        assert _mean(summary, source, "shape_mse") == pytest.approx(np.mean(squared), rel=1e-3)
        thirds = summary["sources"][source]["pve_t_sc_by_bmi"]
        assert [third["count"] for third in thirds] == [1, 1, 1]
    again = run(options, picture=small_pictures)
    assert "rendering" not in capsys.readouterr().out
    for each in (summary, again):
        each.pop("seconds")
    assert again == summary


def test_strangers_and_what_ten_betas_could_reach(tmp_path, small_pictures, open_checkpoint):
    options = _options(tmp_path, dataset="strangers", checkpoint=open_checkpoint, count=2)
    options = replace(options, silh_from=("dataset",), path=tmp_path / "people")
    summary = run(options, picture=small_pictures)
    assert {"perfect proxies", "corrupted proxies", BEST_BETAS, MEAN} <= set(summary["sources"])
    # The untrained network predicts the mean body; the nearest betas are nearer.
    best, mean = (_mean(summary, source, "pve_t_sc") for source in (BEST_BETAS, MEAN))
    assert 1 < best < mean
    assert _mean(summary, BEST_BETAS, "mpjpe") < 60
    assert _mean(summary, BEST_BETAS, "pose_mse") == pytest.approx(0, abs=1e-9)


def test_people_cut_at_the_hips(tmp_path, small_pictures, open_checkpoint):
    options = _options(tmp_path, dataset="open", checkpoint=open_checkpoint, count=2)
    options = replace(options, path=tmp_path / "people", worst=2)
    whole = run(options, picture=small_pictures)
    cut = run(replace(options, cut="hips", output=tmp_path / "cut"), picture=small_pictures)
    perfect = [_mean(each, "perfect proxies", "mpjpe") for each in (whole, cut)]
    assert perfect[0] == pytest.approx(
        perfect[1]
    )  # untrained: it predicts the mean whatever it sees
    crops = [_mean(each, "perfect proxies", "silhouette_iou") for each in (whole, cut)]
    assert crops[0] != crops[1]
    assert cut["cut"] == "hips"


def test_two_checkpoints_in_one_table(
    tmp_path, ssp3d, licensed_set, licensed_body, smpl_checkpoint, capsys
):
    other = constant_checkpoint(tmp_path / "other.tar", licensed_body, SAID_POSE, 2 * SAID_BETAS)
    options = _options(tmp_path, dataset="ssp3d", path=ssp3d, silh_from=("dataset", "red"))
    both = run(replace(options, checkpoint=(smpl_checkpoint, other), worst=1), licensed_set)
    sources = ["dataset", "red", MEAN]
    names = [f"{stem}, {source}" for stem in ("constant", "other") for source in sources]
    assert list(both["sources"]) == list(both["common"]["sources"]) == names
    header = capsys.readouterr().out.split("| 3 people ")[1].splitlines()[0]
    assert [cell.strip() for cell in header.strip(" |").split("|")] == names
    assert {row["source"] for row in _rows(tmp_path)} == set(names)
    assert (tmp_path / "out" / "worst_other_dataset.png").is_file()
    # Each has the numbers that it has alone.
    alone = run(replace(options, checkpoint=(other,), worst=0), licensed_set)
    described = both["checkpoints"]["other"]
    assert alone.keys() == both.keys() - {"checkpoints"} | described.keys()
    assert {key: alone[key] for key in described} == described
    for source in sources:
        assert alone["sources"][source] == both["sources"][f"other, {source}"]
    assert _mean(both, names[0], "pve_t") != _mean(both, "other, dataset", "pve_t")
    assert _mean(both, names[0], "chest_error") != _mean(both, "other, dataset", "chest_error")


def test_each_checkpoint_gets_the_input_it_was_trained_with(
    tmp_path, ssp3d, licensed_set, smpl_checkpoint, monkeypatch
):
    published = tmp_path / "published.tar"
    stored = torch.load(smpl_checkpoint)
    torch.save({**stored, "options": {"model": {"proxy": "published"}}}, published)
    built, shapes = [], []

    class Remembering(RedDetector):
        def detect(self, image):
            shapes.append(image.shape)
            return super().detect(image)

    monkeypatch.setitem(
        registry.DETECTORS, "red", lambda *given: built.append(given[-1]) or Remembering()
    )
    options = _options(tmp_path, dataset="ssp3d", path=ssp3d, silh_from=("dataset", "red"), worst=0)
    summary = run(replace(options, checkpoint=(smpl_checkpoint, published)), licensed_set)
    assert built == [OWN, PUBLISHED]
    assert [shape == (512, 512, 3) for shape in shapes] == [False] * 3 + [True] * 3
    assert summary["checkpoints"]["constant"]["proxy"] == "own"
    assert summary["checkpoints"]["published"]["proxy"] == "published"
    # The same is said of everybody: what differs are crops, by less than a pixel of the frame.
    for metric in ("silhouette_iou", "joints2d_l2", "pve_t_sc"):
        own, other = (_mean(summary, f"{n}, red", metric) for n in ("constant", "published"))
        assert other == pytest.approx(own, rel=0.02)
    options = replace(options, checkpoint=(smpl_checkpoint,), proxy="published")
    assert run(options, licensed_set)["proxy"] == "published"
    assert built[2:] == [PUBLISHED]


def test_batches_change_nothing(tmp_path, small_pictures, open_checkpoint):
    found = []
    for batch_size in (1, 3):
        options = _options(
            tmp_path, path=tmp_path / "people", count=3, checkpoint=open_checkpoint, worst=0,
            silh_from=("dataset",), batch_size=batch_size,
        )  # fmt: skip
        found.append(
            run(options, picture=small_pictures)["sources"]["corrupted proxies"]["metrics"]
        )
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "ssp3d"], "--dataset ssp3d needs --path"),
        (["--dataset", "ssp3d", "--path", "nowhere"], "no folder nowhere"),
        (["--dataset", "3dpw", "--path", "."], "no 3dpw_test.npz in test"),
        (["--checkpoint", "nowhere.tar"], "no checkpoint at nowhere.tar"),
        (["--checkpoint", "a/best.tar", "b/best.tar"], "several files best;"),
        (["--checkpoint"], "--checkpoint names no file"),
        (["--silh_from", "telescope"], "telescope"),
        (["--silh_from", "missing"], "no library for it"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--count", "1001"], "count is 1001; expected 1 to 1000"),
        (["--worst-by", "beauty"], "--worst-by beauty: expected one of pve_t_sc"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--gpu", "99"], "device cuda:99 was asked for"),
        (["--gpu", "0", "--device", "cpu"], "--gpu 0 and --device cpu both name a device"),
    ],
)
def test_wrong_use_is_one_clear_line(
    tmp_path, open_checkpoint, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    defaults = ["--checkpoint", str(open_checkpoint), "--output", "out", "--path", "people"]
    if "--dataset" in arguments:
        defaults = defaults[:-2]
    monkeypatch.setattr(sys, "argv", ["run_evaluate.py", *defaults, *arguments])
    assert run_script(main) == WRONG_USE
    error = capsys.readouterr().err.strip()
    assert error.startswith("run_evaluate.py: ")
    assert message in error
    assert "\n" not in error


def test_without_the_licensed_files_it_says_which_and_where(
    tmp_path, ssp3d, open_checkpoint, smpl_checkpoint
):
    options = {"dataset": "ssp3d", "path": ssp3d}
    (tmp_path / "open_body").symlink_to(OPEN_BODY)
    with pytest.raises(InputError, match=r"male.*SMPL_(FE)?MALE.*is.tue.mpg.de"):
        run(_options(tmp_path, **options, checkpoint=open_checkpoint), tmp_path)
    with pytest.raises(InputError, match=r"SMPL_NEUTRAL.*is.tue.mpg.de"):
        run(_options(tmp_path, **options, checkpoint=smpl_checkpoint), tmp_path)


def test_a_checkpoint_of_another_body_on_the_open_benchmark(
    tmp_path, smpl_checkpoint, licensed_set
):
    with pytest.raises(InputError, match=r"for the body smpl.*use --dataset ssp3d or 3dpw"):
        run(_options(tmp_path, checkpoint=smpl_checkpoint), licensed_set)
