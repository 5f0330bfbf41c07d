"""run_train.py as a user runs it: a process, its output and its exit status."""

import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch

import run_train
from tests.observed import write_observed_people
from train.build import load_training
from train.options import DataOptions
from utils.command_line import WRONG_USE, run_script
from utils.options import flag, flatten, storable
from utils.paths import DEFAULT_CHECKPOINT, ROOT


def _run(*arguments, launcher=()):
    return subprocess.run(
        [sys.executable, *launcher, str(ROOT / "run_train.py"), "--threads", "1",
         *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip


@pytest.fixture
def small(tmp_path):
    """Options of a run that takes seconds: few upright poses, tiny pictures."""
    poses = np.zeros((8, 72), np.float32)
    poses[:, 0] = np.pi
    poses[:, 3:] = np.random.default_rng(0).normal(0, 0.2, (8, 69))
    names = np.array([f"pose_{index}" for index in range(8)])
    np.savez(tmp_path / "poses.npz", fnames=names, poses=poses, shapes=np.zeros((8, 10)))
    return [
        "--data.train-poses", tmp_path / "poses.npz", "--data.val-poses", tmp_path / "poses.npz",
        "--data.image-size", "32", "--training.batch-size", "4", "--device", "cpu",
        "--output", tmp_path / "run",
    ]  # fmt: skip


# Options of a network, and what it cannot be resumed as.
_PUBLISHED = [], ["--model.ief-iterations", "2"], "the run to resume has 3"
_FEEDBACK = (
    ["--model.regressor", "feedback", "--model.feedback.rounds", "2", "--model.feedback.width",
     "32", "--model.feedback.vertices", "40", "--training.ema", "0.9", "--training.optimiser",
     "adamw", "--loss.tpose", "1", "--augmentation.exchange-limbs", "0.5"],
    ["--model.regressor", "published"],
    "--model.regressor is published, but the run to resume has feedback",
)  # fmt: skip


@pytest.mark.parametrize(
    ("network", "another", "refused"), [_PUBLISHED, _FEEDBACK], ids=["published", "feedback"]
)
def test_train_stop_and_resume(small, tmp_path, network, another, refused):
    small = [*small, *network]
    first = _run(*small, "--training.epochs", "1")
    assert first.returncode == 0, first.stderr
    again = _run(*small, "--training.epochs", "2")
    assert again.returncode == 2
    assert "already holds a run; add --resume" in again.stderr
    other = _run(*small, "--training.epochs", "2", "--resume", *another)
    assert other.returncode == 2
    assert refused in other.stderr
    assert len(other.stderr.strip().splitlines()) == 1
    second = _run(*small, "--training.epochs", "2", "--resume")
    assert second.returncode == 0, second.stderr
    assert "resumed after epoch 1" in second.stdout
    assert "training.epochs is 2; it was 1" in second.stdout
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3
    assert {"last.tar", "best.tar"} <= {path.name for path in (tmp_path / "run").iterdir()}


@pytest.mark.parametrize("network", [_PUBLISHED[0], _FEEDBACK[0]], ids=["published", "feedback"])
def test_two_processes_train_one_goes_on(small, tmp_path, body_model, network):
    observed = write_observed_people(tmp_path / "observed.npz", 3, 32, body_model)
    small = [*small, *network, "--data.observed-people", observed, "--data.observed-share", "0.5"]
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    first = _run(*small, "--training.epochs", "1", launcher=torchrun)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("epoch 1: loss") == 1
    assert "2 processes" in first.stdout
    assert "and 3 observed people for 50% of each batch" in first.stdout
    second = _run(*small, "--training.epochs", "2", "--resume")
    assert second.returncode == 0, second.stderr
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [["1", "8"], ["2", "16"]]


@pytest.mark.parametrize("network", [_PUBLISHED[0], _FEEDBACK[0]], ids=["published", "feedback"])
def test_dry_run_says_what_would_happen_and_keeps_nothing(small, tmp_path, network):
    result = _run(*small, *network, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "dry run: 20 steps" in result.stdout
    assert "nothing was written" in result.stdout
    assert not (tmp_path / "run").exists()


def _parsed(monkeypatch, *arguments) -> run_train.Options:
    monkeypatch.setattr(sys, "argv", ["run_train.py", *arguments])
    return run_train.read_options()


# What --preset published is, by dotted name, where our defaults differ from the released code.
_RELEASED = {
    "preset": "published",
    "data.val_shapes": "file",
    "model.proxy": "published",
    "model.body": "smpl",
    "camera.crop_border": "stretch",
    "camera.crop_shift_in": "frame",
    "augmentation.remove_right_leg": 0.05,
    "training.select_rule": "all",
    "training.precision": "fp32",
}


def test_the_published_preset_is_the_released_code(monkeypatch):
    own, published = (
        flatten(storable(asdict(_parsed(monkeypatch, *arguments))))
        for arguments in ([], ["--preset", "published"])
    )
    assert {name: v for name, v in published.items() if v != own[name]} == _RELEASED
    assert own["preset"] == "own"
    assert flatten(storable(asdict(_parsed(monkeypatch, "--preset", "own")))) == own


def test_every_deviation_from_the_released_code_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    for name, value in _RELEASED.items():
        if name != "preset":
            assert f"{flag(name).replace('model.', '')} {value}" in text, name


@pytest.mark.parametrize("preset", [["--preset", "published"], ["--preset=published"]])
def test_what_is_given_beside_a_preset_wins(monkeypatch, preset):
    given = ["--augmentation.remove-right-leg", "0.2", "--body", "open", "--training.lr", "0.001"]
    for arguments in ([*preset, *given], [*given, *preset]):
        options = _parsed(monkeypatch, *arguments)
        assert options.augmentation.remove_right_leg == 0.2
        assert options.model.body == "open"
        assert options.training.lr == 0.001
        assert options.camera.crop_border == "stretch"


def test_ranges_and_lists_are_read(monkeypatch):
    spreads = [str(number / 10) for number in range(10)]
    options = _parsed(
        monkeypatch, "--augmentation.crop-shift", "-3", "6", "--augmentation.cam-z-range", "4",
        "--augmentation.betas-std", *spreads, "--training.select-by", "pve_t_sc", "mpjpe_pa",
    )  # fmt: skip
    assert options.augmentation.crop_shift == (-3, 6)
    assert options.augmentation.cam_z_range == 4
    assert options.augmentation.betas_std == tuple(map(float, spreads))
    assert options.training.select_by == ("pve_t_sc", "mpjpe_pa")


def test_the_published_preset_trains(small, tmp_path, monkeypatch, capsys):
    published = ["--preset", "published", "--body", "open", "--training.epochs", "1",
                 "--training.save-every", "1"]  # fmt: skip
    assert _status([*small, *published, "--threads", "1"], monkeypatch) == 0
    told = capsys.readouterr().out
    assert "heatmaps as published" in told
    assert "(best by pve_pa and mpjpe_pa)" in told
    assert {"best.tar", "epoch_001.tar", "last.tar"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }


def test_shapes_of_the_file_are_trained_on(small, tmp_path, monkeypatch, capsys):
    own = ["--data.train-shapes", "file", "--dry-run", "--threads", "1"]
    assert _status([*small, *own], monkeypatch) == WRONG_USE
    assert "are missing or all 0; expected `shapes`" in capsys.readouterr().err
    arrays = dict(np.load(tmp_path / "poses.npz"))
    arrays["shapes"] = np.random.default_rng(0).normal(0, 1, (8, 10)).astype(np.float32)
    np.savez(tmp_path / "poses.npz", **arrays)
    assert _status([*small, *own], monkeypatch) == 0
    assert "dry run: 20 steps" in capsys.readouterr().out
    poses, shapes = load_training(
        DataOptions(train_poses=(tmp_path / "poses.npz",), train_shapes="file")
    )
    assert len(poses) == 8
    assert torch.equal(shapes, torch.from_numpy(arrays["shapes"]))


def _status(arguments, monkeypatch) -> int:
    """Exit status of the script in this process, which saves loading torch."""
    monkeypatch.setattr(sys, "argv", ["run_train.py", *map(str, arguments)])
    try:
        return run_script(run_train.main)
    except SystemExit as end:
        return end.code


def test_mistakes_are_one_line_each(small, tmp_path, body_model, monkeypatch, capsys):
    y_up = np.zeros((20, 72), np.float32)  # people who stand upright where y points up
    np.savez(tmp_path / "y_up.npz", poses=y_up)
    observed = write_observed_people(tmp_path / "observed.npz", 2, 64, body_model)
    mistakes = {
        "crops of 64 px, but the network takes 32": ["--data.observed-people", observed],
        "--data.observed-share is 1.0": ["--data.observed-share", 1],
        "--gpu 99 and --device cpu both name a device": ["--gpu", 99],
        "upside down": ["--data.train-poses", tmp_path / "y_up.npz"],
        "absent.npz": ["--data.val-poses", tmp_path / "absent.npz"],
        "nothing to resume": ["--resume"],
        "--training.val-batch-size is 0": ["--training.val-batch-size", 0],
        "--training.lr": ["--training.lrr", "1"],
        "smplest": ["--model.body", "smplest"],
        "draws on CUDA alone": ["--data.renderer", "nmr"],
        "holds a feedback regressor": ["--model.init-from", DEFAULT_CHECKPOINT],
        "give --model.feedback.width": [
            "--model.init-from",
            DEFAULT_CHECKPOINT,
            "--model.regressor",
            "feedback",
            "--model.feedback.width",
            32,
        ],
        "--model.feedback.vertices is 9000": ["--model.feedback.vertices", 9000],
        "--training.ema is 1.0": ["--training.ema", 1],
        "--augmentation.crop-shift is (6.0, -3.0)": ["--augmentation.crop-shift", 6, -3],
        "or 10 of them": ["--augmentation.betas-std", 1, 2],
        "people pictured from nearby do not fit": [
            "--camera.crop-border",
            "stretch",
            "--augmentation.near",
            0.5,
        ],
    }
    for told, arguments in mistakes.items():
        assert _status([*small, *arguments], monkeypatch) == WRONG_USE, told
        errors = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
        assert len(errors) == 1, errors
        assert told in errors[0]
