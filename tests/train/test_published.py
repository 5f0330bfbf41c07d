"""Checkpoints of the released code: training goes on from them, and writes what that code reads."""

import math
import zipfile

import pytest
import torch
from torch import nn

from losses.multi_task import MultiTaskLoss
from losses.options import LossOptions
from models.body_model import read_mean_parameters
from models.checkpoints import load_regressor, read_checkpoint
from models.regressor import Regressor
from synthesis.options import AugmentationOptions, CameraOptions
from synthesis.synthesiser import Synthesiser
from tests.networks import random_network, stored_options
from tests.observations import random_observation
from train.checkpoints import BEST, LAST, resume, save_epoch
from train.export import ExportOptions, export
from train.options import TrainingOptions
from train.published import LOG_VARIANCES, describe_init
from train.trainer import Trainer
from utils.errors import InputError

_OPTIONS = TrainingOptions(
    epochs=4, batch_size=4, lr=1e-3, metrics_every=1, log_every=1, precision="fp32",
    channels_last=False,
)  # fmt: skip
_STORED = {"model": {"proxy": "published"}, "training": {}, "loss": {}}


class ReleasedLoss(nn.Module):
    """The parameters of the released code's loss, in its order."""

    def __init__(self, values=(0.0, 0.0, 0.0, 0.0, 0.0)):
        super().__init__()
        for name, value in zip(LOG_VARIANCES.values(), values, strict=True):
            setattr(self, name, nn.Parameter(torch.tensor(value)))


def _poses(count: int) -> torch.Tensor:
    poses = torch.randn(count, 72, generator=torch.Generator().manual_seed(1)) * 0.2
    poses[:, :3] = torch.tensor([math.pi, 0, 0])
    return poses


def _trainer(body_model, loss=None, options=_OPTIONS) -> Trainer:
    mean = read_mean_parameters("open")
    torch.manual_seed(0)
    return Trainer(
        Regressor(mean, proxy_rule="published"),
        Synthesiser(body_model, mean.betas, 32, CameraOptions()),
        MultiTaskLoss(loss or LossOptions()),
        options,
        torch.device("cpu"),
    )


def _run_epoch(trainer: Trainer, folder, stored=_STORED) -> None:
    poses = _poses(8)
    train = trainer.train_epoch(poses, AugmentationOptions(), iter)
    val, _ = trainer.validate(poses[:4], torch.zeros(4, 10), iter)
    trainer.finish_epoch(train, val)
    save_epoch(trainer, stored, folder)


def _released_checkpoint(epoch: int = 6) -> dict:
    """As the released code writes it, after a step of Adam whose moments tell parameters apart.

    Old versions of torch name parameters by their addresses and store steps as plain numbers.
    """
    torch.manual_seed(3)
    network = Regressor(read_mean_parameters("open"))
    loss = ReleasedLoss((0.1, 0.2, 0.3, 0.4, 0.5))
    parameters = [*network.parameters(), *loss.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=1e-4)
    for number, parameter in enumerate(parameters):
        parameter.grad = torch.full_like(parameter, 10.0 * (number + 1))
    optimiser.step()
    state = optimiser.state_dict()
    addresses = [1000 + 8 * number for number in range(len(parameters))]
    state["state"] = {
        addresses[number]: {**moments, "step": 1} for number, moments in state["state"].items()
    }
    group = state["param_groups"][0]
    kept = {name: group[name] for name in ("lr", "betas", "eps", "weight_decay", "amsgrad")}
    state["param_groups"] = [{**kept, "params": addresses}]
    return {
        "epoch": epoch,
        "best_epoch": epoch - 1,
        "best_epoch_val_metrics": {"pves_pa": 0.0701, "mpjpes_pa": 0.0602},  # metres
        "model_state_dict": network.state_dict(),
        "best_model_state_dict": network.state_dict(),
        "optimiser_state_dict": state,
        "criterion_state_dict": loss.state_dict(),
    }


def test_training_resumes_from_a_released_checkpoint(tmp_path, body_model):
    released = _released_checkpoint()
    torch.save(released, tmp_path / LAST)
    trainer = _trainer(body_model)
    (told,) = resume(trainer, _STORED, tmp_path)
    assert "last.tar is a checkpoint of the released code, without body, options, history" in told
    assert "the body open (neutral)" in told
    # It counts from 0: epoch 6 is the seventh, the best was the sixth.
    assert (trainer.epoch, trainer.best_epoch, trainer.step) == (7, 6, 1)
    assert trainer.best_metrics == pytest.approx({"pve_pa": 70.1, "mpjpe_pa": 60.2})
    found = trainer.regressor.state_dict()
    for name, values in released["model_state_dict"].items():
        assert torch.equal(found[name], values), name
    learnt = {name: value.item() for name, value in trainer.criterion.log_variances.items()}
    loss = released["criterion_state_dict"]
    assert learnt == {ours: float(loss[theirs]) for ours, theirs in LOG_VARIANCES.items()}


def test_adams_moments_go_to_the_parameters_that_they_are_of(tmp_path, body_model):
    """After a step with gradient g the first moment is 0.1 g; here g is 10 times the place."""
    torch.save(_released_checkpoint(), tmp_path / LAST)
    trainer = _trainer(body_model)
    resume(trainer, _STORED, tmp_path)
    names = [name for name, _ in trainer.regressor.named_parameters()]
    places = {name: number + 1 for number, name in enumerate([*names, *LOG_VARIANCES])}
    of_network = dict(trainer.regressor.named_parameters())
    for name, parameter in {**of_network, **dict(trainer.criterion.log_variances)}.items():
        moment = trainer.optimiser.state[parameter]["exp_avg"]
        torch.testing.assert_close(moment, torch.full_like(parameter, float(places[name])))


def test_the_run_goes_on_and_writes_checkpoints_of_ours(tmp_path, body_model):
    torch.save(_released_checkpoint(), tmp_path / LAST)
    trainer = _trainer(body_model)
    resume(trainer, _STORED, tmp_path)
    _run_epoch(trainer, tmp_path)
    assert trainer.history[-1]["epoch"] == 8
    # No epoch of these is better than what the checkpoint says, but its best weights are kept.
    best = read_checkpoint(tmp_path / BEST)
    assert best["best_epoch"] == 6
    again = _trainer(body_model)
    assert resume(again, _STORED, tmp_path) == []
    assert again.epoch == 8


def test_what_a_released_checkpoint_lacks_is_told(tmp_path, body_model):
    released = _released_checkpoint()
    released |= {
        "optimiser_state_dict": {}, "criterion_state_dict": {}, "best_epoch_val_metrics": {},
    }  # fmt: skip
    torch.save(released, tmp_path / LAST)
    trainer = _trainer(body_model)
    (told,) = resume(trainer, _STORED, tmp_path)
    assert "random state, loss weights, optimiser, metrics to tell the best epoch by" in told
    assert trainer.best_weights == {}
    _run_epoch(trainer, tmp_path)
    assert trainer.best_epoch == 8


def test_first_weights_from_a_released_checkpoint_are_told(tmp_path, body_model):
    trainer, path = _trainer(body_model), tmp_path / "released.tar"
    torch.save(_released_checkpoint(), path)
    told = describe_init(path, trainer)
    assert told.startswith("released.tar is a checkpoint of the released code, without body, opt")
    assert "its weights alone are used" in told
    torch.save({**_released_checkpoint(), "body": body_model.identity}, path)
    assert describe_init(path, trainer) is None


def test_a_released_checkpoint_is_not_resumed_as_another_network(tmp_path, body_model):
    released = _released_checkpoint()
    torch.save(released, tmp_path / LAST)
    with pytest.raises(InputError, match=r"heatmaps as published, but .* --model.proxy published"):
        resume(_trainer(body_model), {"model": {"proxy": "own"}}, tmp_path)
    moments = next(iter(released["optimiser_state_dict"]["state"].values()))
    moments["exp_avg"] = torch.zeros(3)
    torch.save(released, tmp_path / LAST)
    with pytest.raises(InputError, match=r"exp_avg has shape \(3,\) .* another network"):
        resume(_trainer(body_model), _STORED, tmp_path)
    del released["model_state_dict"]
    torch.save(released, tmp_path / LAST)
    with pytest.raises(InputError, match="has no model_state_dict"):
        resume(_trainer(body_model), _STORED, tmp_path)


def _exported(tmp_path, trainer, stored=_STORED):
    """The file that the released code is to read, of a run of one epoch."""
    (tmp_path / "run").mkdir()
    _run_epoch(trainer, tmp_path / "run", stored)
    path = tmp_path / "published.tar"
    export(ExportOptions(output=path, run=tmp_path / "run", format="published"))
    return path


def test_the_released_code_reads_what_is_exported(tmp_path, body_model, capsys):
    trainer = _trainer(body_model)
    path = _exported(tmp_path, trainer)
    told = capsys.readouterr().out
    assert "takes pictures of 256 px, not 32" in told
    assert "not open (neutral)" in told
    assert "heatmaps" not in told
    assert not zipfile.is_zipfile(path)  # which torch 1.4 cannot read
    written = torch.load(path, weights_only=True)
    assert written.keys() == _released_checkpoint().keys()
    assert (written["epoch"], written["best_epoch"]) == (0, 0)
    assert written["best_epoch_val_metrics"].keys() == {"pves_pa", "mpjpes_pa"}
    weights = written["model_state_dict"]
    assert {name.split(".")[0] for name in weights} == {"image_encoder", "ief_module"}
    assert not any("image_encoder.fc" in name for name in weights)
    for layer, number in (("fc1", 0), ("fc2", 2), ("fc3", 4)):
        twice = (weights[f"ief_module.{name}.weight"] for name in (layer, f"ief_layers.{number}"))
        assert torch.equal(*twice)
    network, loss = Regressor(read_mean_parameters("open")), ReleasedLoss()
    network.load_state_dict(weights)
    loss.load_state_dict(written["criterion_state_dict"])
    optimiser = torch.optim.Adam([*network.parameters(), *loss.parameters()])
    optimiser.load_state_dict(written["optimiser_state_dict"])
    expected = trainer.optimiser.state[trainer.criterion.log_variances["joints2d"]]["exp_avg"]
    assert torch.equal(optimiser.state[loss.joints2D_log_var]["exp_avg"], expected)
    assert loss.joints2D_log_var == trainer.criterion.log_variances["joints2d"]


def test_a_round_trip_through_the_released_format_trains_on_alike(tmp_path, body_model):
    path = _exported(tmp_path, _trainer(body_model))
    (tmp_path / LAST).write_bytes(path.read_bytes())
    ours, theirs = _trainer(body_model), _trainer(body_model)
    resume(ours, _STORED, tmp_path / "run")
    resume(theirs, _STORED, tmp_path)
    for trainer, folder in ((ours, tmp_path / "run"), (theirs, tmp_path)):
        _run_epoch(trainer, folder)
    for part in ("regressor", "criterion"):
        expected, found = (getattr(each, part).state_dict() for each in (ours, theirs))
        for name, values in expected.items():
            assert torch.equal(values, found[name]), name
    assert ours.best_epoch == theirs.best_epoch
    assert ours.step == theirs.step


def test_what_is_exported_predicts_as_the_run_does(tmp_path, body_model):
    path = _exported(tmp_path, _trainer(body_model))
    observation = random_observation(2)
    networks = []
    for each in (path, tmp_path / "run" / BEST):
        checkpoint = read_checkpoint(each)
        checkpoint.setdefault("mean_parameters", read_mean_parameters("open")._asdict())
        networks.append(load_regressor(checkpoint, body_model, each).eval())
    found, expected = (network(observation) for network in networks)
    assert torch.equal(found.pose_rotmats, expected.pose_rotmats)


def test_terms_that_were_left_out_are_written_as_they_begin(tmp_path, body_model):
    loss = LossOptions(betas=0, tpose=1.0, learn_weights=False)
    stored = {**_STORED, "loss": {"learn_weights": False}}
    written = torch.load(_exported(tmp_path, _trainer(body_model, loss), stored), weights_only=True)
    # exp(-s) = 0.1 is what the published loss gives betas first.
    log_variance = written["criterion_state_dict"]["shape_params_log_var"]
    assert float(log_variance) == pytest.approx(-math.log(0.1))
    assert list(written["criterion_state_dict"]) == list(LOG_VARIANCES.values())
    count = len([*Regressor(read_mean_parameters("open")).parameters()])
    optimiser = written["optimiser_state_dict"]
    assert len(optimiser["param_groups"][0]["params"]) == count + 5
    assert optimiser["state"].keys() == set(range(count))


def test_the_released_code_has_no_feedback_regressor(tmp_path, body_model):
    trainer = _trainer(body_model)
    trainer.regressor = trainer.validated = random_network("feedback", body_model)
    trainer.finish_epoch({"loss": 0.0}, {"pve_pa": 1.0, "mpjpe_pa": 1.0})
    save_epoch(trainer, stored_options("feedback"), tmp_path)
    output = tmp_path / "published.tar"
    with pytest.raises(InputError, match=r"feedback regressor .*; the released code has only"):
        export(ExportOptions(output=output, run=tmp_path, format="published"))
    assert not output.exists()
