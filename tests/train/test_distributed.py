"""Several processes that share a batch do what one process does with all of it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from utils.paths import ROOT


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _results_of(processes: int, path: Path, network: str) -> dict:
    port = str(_free_port())
    workers = []
    for rank in range(processes):
        variables = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.train.distributed_worker", str(path), network]
        workers.append(subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}))
    assert [worker.wait(timeout=300) for worker in workers] == [0] * processes
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize(("network", "parameters"), [("published", 60), ("feedback", 40)])
def test_two_processes_have_the_gradients_of_one(tmp_path, network, parameters):
    one, two = (_results_of(count, tmp_path / f"{count}.pt", network) for count in (1, 2))
    assert len(one["gradients"]) > parameters
    assert all(gradient.any() for gradient in one["gradients"].values())
    for name, expected in one["gradients"].items():
        scale = expected.abs().max().item()
        torch.testing.assert_close(
            two["gradients"][name], expected, atol=1e-4 * scale, rtol=0, msg=lambda m, n=name: n + m
        )
    torch.testing.assert_close(two["loss_joints2d"], one["loss_joints2d"])
    assert two["metrics"] == pytest.approx(one["metrics"])
    assert one["metrics"]["shape_mse"] > 0
    # Everybody validates with the batch normalisation that the first process would write.
    assert two["validation"]["pve_pa"] == pytest.approx(one["validation"]["pve_pa"], rel=1e-3)
    assert two["validation"]["mpjpe"] == pytest.approx(one["validation"]["mpjpe"], rel=1e-3)
