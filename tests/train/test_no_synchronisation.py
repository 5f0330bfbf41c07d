"""A training step on a GPU never waits for the GPU.

Where there is one, CUDA itself watches. Everywhere, a step on the CPU is watched for the torch
operations that would wait on a GPU: reading a number, sizes that depend on values, tensors made
from Python numbers.
"""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kernels import distances
from losses.multi_task import MultiTaskLoss
from losses.options import LossOptions
from metrics.metrics import Metrics
from models.body_model import BodyModel, read_mean_parameters
from synthesis.detector_errors import read_detector_errors
from synthesis.observed_people import ObservedPairs
from synthesis.options import AugmentationOptions, CameraOptions
from synthesis.synthesiser import Synthesiser
from tests.networks import NETWORKS, random_network
from tests.observed import made_up_rows
from train.options import TrainingOptions
from train.trainer import Trainer
from utils import proxy
from utils.paths import DETECTOR_ERRORS

_EVERYTHING = AugmentationOptions(
    joint_dropout=0.1,
    truncate=0.5,
    turn=180,
    joint_angle_std=5,
    exchange_limbs=0.3,
    near=0.5,
    corrupt=0.7,
    detector="mediapipe",
    detector_share=0.4,
)
_WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "lift_fresh", "_unique2"}


class _Watch(TorchDispatchMode):
    """Refuses what would wait for a GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in _WAITING, f"{name} waits for the device"
        if name in ("index", "index_put", "index_put_"):
            masks = [index for index in args[1] if index is not None and index.dtype == torch.bool]
            assert not masks, f"{name} with a mask waits for the device"
        return func(*args, **(kwargs or {}))


def _stage(device: torch.device, precision: str, network: str):
    """A function that does all of a training step, metrics included."""
    body_model = BodyModel.load("open")
    mean_betas = read_mean_parameters("open").betas
    synthesiser = Synthesiser(
        body_model,
        mean_betas,
        32,
        CameraOptions(),
        detector_errors=read_detector_errors(DETECTOR_ERRORS),
    )
    observed = ObservedPairs(made_up_rows(4, 32, body_model), 32, 0.4)
    options = TrainingOptions(batch_size=8, precision=precision, max_grad_norm=1.0)
    criterion = MultiTaskLoss(LossOptions(100, 100, 100, 10, 1, tpose=1))
    regressor = random_network(network, body_model)
    trainer = Trainer(regressor, synthesiser, criterion, options, device, observed=observed)
    poses = torch.zeros(8, 72, device=device)
    poses[:, 0] = math.pi
    generator = torch.Generator(device).manual_seed(0)

    def step():
        batch = trainer.make_batch(poses, _EVERYTHING, generator)
        prediction, _ = trainer.train_step(batch)
        Metrics().update(trainer.decode(prediction), batch.target)

    return step


@pytest.mark.parametrize("network", NETWORKS)
def test_no_operation_of_a_step_would_wait(monkeypatch, network):
    # As on a GPU, where what is compiled for the CPU does not run.
    monkeypatch.setattr(proxy, "_write_on_cpu", proxy._write_anywhere)
    monkeypatch.setattr(distances, "_measure_on_cpu", distances._measure_anywhere)
    step = _stage(torch.device("cpu"), "fp32", network)
    step()  # makes the constants that are made once
    with _Watch():
        step()


def test_the_watch_sees_what_waits():
    values = torch.rand(4)
    waiting = (
        lambda: float(values.sum()),
        lambda: values[values > 0.5],
        lambda: torch.tensor([1.0, 2.0]),
        lambda: values.nonzero(),
    )
    for operation in waiting:
        with pytest.raises(AssertionError, match="waits"), _Watch():
            operation()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("network", NETWORKS)
def test_cuda_sees_no_synchronisation(network):
    step = _stage(torch.device("cuda"), "bf16", network)
    step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
