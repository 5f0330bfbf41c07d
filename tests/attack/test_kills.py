"""Programs that are killed, stopped and continued: nothing is lost, nobody is left.

    STRAPS_KILLS=100 python -m pytest tests/attack/test_kills.py

kills more often than CI does.
"""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from tests.interrupts import start_program
from utils.paths import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")

KILLS = int(os.environ.get("STRAPS_KILLS", "1"))
EPOCHS = 4


def _command(script, *arguments):
    return [sys.executable, str(ROOT / script), *map(str, arguments)]


def _start(command):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return start_program(command, cwd=ROOT, env=environment)


@pytest.fixture(scope="module")
def poses(tmp_path_factory):
    """A file of eight poses."""
    path = tmp_path_factory.mktemp("poses") / "poses.npz"
    poses = np.zeros((8, 72), np.float32)
    poses[:, 0] = np.pi
    poses[:, 3:] = np.random.default_rng(0).normal(0, 0.2, (8, 69))
    np.savez(path, poses=poses, fnames=np.array([f"pose_{n}" for n in range(8)]))
    return path


def _train(poses, output, *more):
    return _command(
        "run_train.py", "--data.train-poses", poses, "--data.val-poses", poses, "--device", "cpu",
        "--data.image-size", 32, "--training.batch-size", 4, "--training.epochs", EPOCHS,
        "--threads", 1, "--output", output, "--model.regressor", "feedback",
        "--model.feedback.width", 32, "--model.feedback.vertices", 40, *more,
    )  # fmt: skip


def test_a_killed_training_goes_on_bit_for_bit(tmp_path, poses):
    whole = _start(_train(poses, tmp_path / "whole"))
    started = time.monotonic()
    assert whole.communicate()[1] is not None
    assert whole.returncode == 0
    seconds = time.monotonic() - started
    generator = random.Random(0)
    for kill in range(KILLS):
        folder = tmp_path / f"killed_{kill}"
        first = _start(_train(poses, folder))
        with_time = generator.uniform(0.5, 0.95) * seconds
        try:
            first.wait(with_time)
        except subprocess.TimeoutExpired:
            first.kill()
        first.communicate()
        resume = ["--resume"] if (folder / "last.tar").exists() else []
        second = _start(_train(poses, folder, *resume))
        _, complaint = second.communicate()
        assert second.returncode == 0, complaint
        _assert_same_run(tmp_path / "whole", folder)


def _assert_same_run(expected, found):
    states = [torch.load(each / "last.tar", weights_only=True) for each in (expected, found)]
    weights, others = (state["model_state_dict"] for state in states)
    assert all(torch.equal(values, others[name]) for name, values in weights.items())
    rows = [(each / "metrics.csv").read_text().splitlines() for each in (expected, found)]
    assert [row.split(",")[0] for row in rows[1]] == [row.split(",")[0] for row in rows[0]]
    assert len(rows[1]) == EPOCHS + 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("script", ["run_train.py", "run_predict.py", "run_evaluate.py"])
def test_signals_end_every_script_in_one_line(tmp_path, script, number, status):
    """At moments of the imports and of the work, from when Python itself has started."""
    for wait in (0.3, 2):
        process = _start(_command(script, "--output", tmp_path / f"output_{wait}"))
        time.sleep(wait)
        process.send_signal(number)
        try:
            _, complaint = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == status, complaint
        # Bars of progress may stand before it.
        last = complaint.strip().splitlines()[-1]
        assert last.split("\r")[-1].startswith(f"{script}: stopped"), complaint
        assert "Traceback" not in complaint


def test_workers_end_with_the_program(tmp_path):
    """SIGKILL of the parent alone: its workers notice by themselves."""
    folder = tmp_path / "people"
    process = _start(
        _command("run_evaluate.py", "--path", folder, "--workers", 2, "--count", 4,
                 "--output", tmp_path / "output", "--silh-from", "dataset")
    )  # fmt: skip
    children = []
    for _ in range(600):
        children = _children_of(process.pid)
        if len(children) >= 2 or process.poll() is not None:
            break
        time.sleep(0.1)
    assert len(children) >= 2, process.poll()
    process.kill()
    process.communicate()
    for _ in range(300):
        if not any(os.path.exists(f"/proc/{child}") for child in children):
            return
        time.sleep(0.1)
    pytest.fail("workers are left")


def _children_of(number):
    path = f"/proc/{number}/task/{number}/children"
    if not os.path.exists(path):
        pytest.skip("no /proc here")
    with open(path) as file:
        return [int(each) for each in file.read().split()]
