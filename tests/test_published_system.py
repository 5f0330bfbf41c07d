"""With licensed files and a published checkpoint in place, the commands are those of STRAPS.

The files are made up (`tests.licensed`), the project is a copy that a user has added them to.
"""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from models.body_model import read_mean_parameters
from models.regressor import Regressor
from tests.evaluation_sets import write_ssp3d
from utils.paths import ADDITIONAL, DEMO, MEDIAPIPE_POSE, ROOT

_CODE = (
    "data", "evaluate", "kernels", "losses", "metrics", "models", "predict", "renderers", "scenes",
    "synthesis", "tools", "train", "utils",
)  # fmt: skip
_PUBLISHED = "checkpoints/straps_model_checkpoint.tar"


@pytest.fixture(scope="module")
def project(licensed_set, tmp_path_factory):
    """A copy of the project with everything that `README.md` says a user may add."""
    folder = tmp_path_factory.mktemp("user") / "STRAPS-3DHumanShapePose"
    skipped = shutil.ignore_patterns("__pycache__", "*.npz", "open_benchmark")
    for name in _CODE:
        shutil.copytree(ROOT / name, folder / name, ignore=skipped)
    for script in ROOT.glob("run_*.py"):
        shutil.copy(script, folder)
    shutil.copytree(licensed_set, folder / "additional")
    shutil.copytree(ADDITIONAL / "open_body", folder / "additional" / "open_body")
    (folder / "demo").mkdir()
    shutil.copy(sorted(DEMO.glob("*.jpg"))[0], folder / "demo" / "photo.jpg")
    (folder / "checkpoints").mkdir()
    shutil.copy(MEDIAPIPE_POSE, folder / "checkpoints")
    write_published_checkpoint(folder / _PUBLISHED)
    poses = np.zeros((8, 72), np.float32)
    poses[:, 0] = np.pi
    np.savez(folder / "data" / "poses.npz", poses=poses)
    return folder


def write_published_checkpoint(path):
    """Untrained weights in the form of the released code."""
    torch.manual_seed(0)
    weights = Regressor(read_mean_parameters("open")).state_dict()
    published = {
        "epoch": 99,
        "best_epoch": 98,
        "best_epoch_val_metrics": {"pves_pa": np.float64(70.1), "mpjpes_pa": np.float64(60.2)},
        "model_state_dict": weights,
        "best_model_state_dict": weights,
        "optimiser_state_dict": {},
        "criterion_state_dict": {},
    }
    torch.save(published, path)


def _run(project, command):
    script, *arguments = command.split()
    return subprocess.run(
        [sys.executable, script, *arguments],
        capture_output=True, text=True, cwd=project, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def _train(project, options):
    return _run(
        project,
        "run_train.py --data.train-poses data/poses.npz --data.val-poses data/poses.npz "
        "--data.image-size 32 --training.batch-size 4 --training.epochs 1 --device cpu "
        f"--threads 1 {options}",
    )


def test_the_published_checkpoint_predicts(project):
    result = _run(
        project,
        f"run_predict.py --input ./demo --checkpoint {_PUBLISHED} --silh_from mediapipe "
        "--vertex-scatter --output output/published",
    )
    assert result.returncode == 0, result.stderr
    arrays = np.load(project / "output" / "published" / "photo.npz")
    assert arrays["vertices"].shape == (6890, 3)
    for kind in ("overlay", "vertices"):
        assert (project / "output" / "published" / f"photo_{kind}.png").is_file()
    # Found in a picture of 512 x 512, of which a pixel is 800 / 512 of the photo's 640 x 800.
    box_side = arrays["crops"][2] / 1.2 * 512 / 800
    assert box_side == pytest.approx(round(box_side), abs=1e-3)


@pytest.mark.parametrize(
    "script", ["run_predict.py --input demo", "run_evaluate.py", "run_train.py"]
)
def test_a_gpu_is_named_as_in_the_released_commands(project, script):
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    result = _run(project, f"{script} --gpu {count}")  # the first that is not there
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert f"device cuda:{count} was asked for, but {count} CUDA devices" in result.stderr


def test_training_starts_from_the_published_checkpoint(project):
    options = f"--body smpl --proxy published --model.init-from {_PUBLISHED}"
    result = _train(project, f"{options} --output experiments/on")
    assert result.returncode == 0, result.stderr
    assert "body smpl (neutral)" in result.stdout
    assert "its weights alone are used" in result.stdout


def test_training_goes_on_from_the_published_checkpoint_and_back(project):
    run = project / "experiments" / "resumed"
    run.mkdir(parents=True)
    shutil.copy(project / _PUBLISHED, run / "last.tar")
    result = _run(
        project,
        "run_train.py --preset published --resume --output experiments/resumed "
        "--data.train-poses data/poses.npz --data.val-poses data/poses.npz --data.image-size 32 "
        "--training.batch-size 4 --training.epochs 101 --device cpu --threads 1",
    )
    assert result.returncode == 0, result.stderr
    assert "resumed after epoch 100" in result.stdout
    assert "last.tar is a checkpoint of the released code, without body" in result.stdout
    assert "epoch 101: loss" in result.stdout
    command = "-m train.export --format published --run experiments/resumed --output back.tar"
    exported = _run(project, command)
    assert exported.returncode == 0, exported.stderr
    assert torch.load(project / "back.tar", weights_only=True)["epoch"] == 100


def test_the_published_checkpoint_is_evaluated(project, licensed_set):
    write_ssp3d(project / "ssp_3d", licensed_set)
    result = _run(
        project,
        f"run_evaluate.py --dataset ssp3d --path ssp_3d --checkpoint {_PUBLISHED} "
        "--output output/ssp3d",
    )
    assert result.returncode == 0, result.stderr
    for row in ("PVE-T-SC", "silhouette IoU, of all pixels", "MPJPE-SC", "MPJPE-PA"):
        assert f"| {row}" in result.stdout
    summary = json.loads((project / "output" / "ssp3d" / "summary.json").read_text())
    assert summary["proxy"] == "published"
    assert (project / "output" / "ssp3d" / "per_frame.csv").is_file()


def test_a_gendered_run_is_remembered_by_its_checkpoint(project):
    result = _train(project, "--body smpl --gender female --output experiments/female")
    assert result.returncode == 0, result.stderr
    predict = (
        "run_predict.py --input demo --checkpoint experiments/female/best.tar --no-visuals "
        "--output output/female"
    )
    wrong = _run(project, f"{predict} --gender male")
    assert wrong.returncode == 2
    assert "smpl/female" in wrong.stderr
    right = _run(project, predict)
    assert right.returncode == 0, right.stderr
    assert (project / "output" / "female" / "photo.npz").is_file()


def test_without_the_licensed_files_one_line_names_them(project):
    (project / "additional" / "smpl").rename(project / "additional" / "kept")
    try:
        result = _run(project, f"run_predict.py --input demo --checkpoint {_PUBLISHED}")
    finally:
        (project / "additional" / "kept").rename(project / "additional" / "smpl")
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "SMPL_NEUTRAL.pkl" in result.stderr
    assert "smplify.is.tue.mpg.de" in result.stderr
