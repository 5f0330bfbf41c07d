"""Training on a tiny network: every metric falls, resuming is exact, trouble stops it in words."""

import math
from dataclasses import replace

import pytest
import torch

from augmentation.options import AugmentationOptions
from data.synthesis import CameraOptions, Synthesiser
from losses.multi_task import LossOptions, MultiTaskLoss
from models.body_model import read_mean_parameters
from models.checkpoints import load_predictor
from models.regressor import Regressor
from train.checkpoints import BEST, LAST, resume, save_atomically, save_epoch
from train.export import ExportOptions, export
from train.logging import RunLog
from train.trainer import Trainer, TrainingOptions
from utils.errors import InputError

_OPTIONS = TrainingOptions(
    epochs=4,
    batch_size=4,
    lr=1e-3,
    metrics_every=1,
    log_every=1,
    precision="fp32",
    channels_last=False,
)


def _poses(count: int) -> torch.Tensor:
    poses = torch.randn(count, 72, generator=torch.Generator().manual_seed(1)) * 0.2
    poses[:, :3] = torch.tensor([math.pi, 0, 0])
    return poses


def _trainer(body_model, options=_OPTIONS, loss=None) -> Trainer:
    torch.manual_seed(0)
    mean = read_mean_parameters("open")
    synthesiser = Synthesiser(body_model, mean.betas, 32, CameraOptions())
    criterion = MultiTaskLoss(loss or LossOptions(100, 100, 100, 10, 1))
    return Trainer(Regressor(mean, 18), synthesiser, criterion, options, torch.device("cpu"))


def _run_epochs(trainer, folder, count, poses):
    for _ in range(count):
        train = trainer.train_epoch(poses, AugmentationOptions(), iter)
        val, sample = trainer.validate(poses[:4], torch.zeros(4, 10), iter)
        trainer.finish_epoch(train, val)
        save_epoch(trainer, {}, folder)
    return sample


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("unexpected pos")])
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch, error):
    path = tmp_path / LAST
    save_atomically({"epoch": 1}, path)

    def disk_full(content, file):
        file.write(b"half")
        raise error

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(InputError, match=r"cannot write .*last\.tar .*(No space|unexpected pos)"):
        save_atomically({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [each.name for each in tmp_path.iterdir()] == [LAST]


def test_an_epoch_records_the_learnt_loss_weights(tmp_path, body_model):
    trainer = _trainer(body_model, loss=LossOptions(vertices=100, joints2d=0, pose=10, betas=1))
    _run_epochs(trainer, tmp_path, 1, _poses(8))
    recorded = {name: v for name, v in trainer.history[0].items() if name.startswith("weight_")}
    assert set(recorded) == {"weight_vertices", "weight_joints3d", "weight_pose", "weight_betas"}
    # A few steps of Adam at a small rate: near the first weight, but no longer there.
    assert recorded["weight_vertices"] == pytest.approx(100, rel=0.1)
    assert recorded["weight_vertices"] != pytest.approx(100, rel=1e-9)


def test_four_epochs_are_two_and_two_resumed_bit_for_bit(tmp_path, body_model):
    poses = _poses(8)
    for name in ("whole", "halves"):
        (tmp_path / name).mkdir()
    whole = _trainer(body_model)
    _run_epochs(whole, tmp_path / "whole", 4, poses)

    _run_epochs(_trainer(body_model), tmp_path / "halves", 2, poses)
    torch.manual_seed(99)  # a new process starts with other random numbers
    halves = _trainer(body_model)
    resume(halves, tmp_path / "halves")
    assert halves.epoch == 2
    _run_epochs(halves, tmp_path / "halves", 2, poses)

    for name, values in whole.regressor.state_dict().items():
        assert torch.equal(values, halves.regressor.state_dict()[name]), name
    for name, values in whole.criterion.state_dict().items():
        assert torch.equal(values, halves.criterion.state_dict()[name]), name
    speeds = {"train_samples_per_second"}
    for row, other in zip(whole.history, halves.history, strict=True):
        assert {k: row[k] for k in row.keys() - speeds} == {
            k: other[k] for k in row.keys() - speeds
        }
    assert whole.best_epoch == halves.best_epoch


def test_a_short_run_lowers_the_loss_and_the_metrics(body_model):
    """A few people seen again and again, unaugmented: the network must come to know them."""
    nothing = AugmentationOptions(
        betas_std=0, cam_xy_std=0, cam_z_range=0, vertex_noise=0, crop_scale_range=0,
        crop_shift=0, remove_left_arm=0, remove_right_arm=0, remove_head=0, remove_left_leg=0,
        remove_right_leg=0, remove_torso=0, occlude=0, joint_noise=0,
    )  # fmt: skip
    poses = _poses(8)
    trainer = _trainer(body_model, replace(_OPTIONS, batch_size=8))
    first = trainer.train_epoch(poses, nothing, iter)
    trainer.train_epoch(poses.repeat(20, 1), nothing, iter)
    last = trainer.train_epoch(poses, nothing, iter)
    for name in ("loss", "pve", "pve_pa", "mpjpe", "mpjpe_pa", "pose_mse", "joints2d_l2"):
        assert last[name] < first[name], name
    assert last["mpjpe_pa"] < 0.7 * first["mpjpe_pa"]


def test_checkpoints_predict_and_logs_are_written(tmp_path, body_model):
    trainer = _trainer(body_model)
    sample = _run_epochs(trainer, tmp_path, 1, _poses(4))
    predictor = load_predictor(tmp_path / BEST, torch.device("cpu"))
    assert predictor.image_size == 32
    for name, values in trainer.regressor.state_dict().items():
        assert torch.equal(values, predictor.regressor.state_dict()[name]), name

    log = RunLog(tmp_path, 0)
    log.write_epoch(trainer.history, sample)
    log.close()
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(rows) == 2
    assert "val_pve_t_sc" in rows[0].split(",")
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert not list(tmp_path.glob("*.unfinished"))


def test_validation_leaves_the_mode_and_the_random_numbers_alone(body_model):
    trainer = _trainer(body_model)
    for mode in (True, False):
        trainer.regressor.train(mode)
        state = torch.get_rng_state()
        trainer.validate(_poses(3), torch.zeros(3, 10), iter)
        assert trainer.regressor.training == mode
        assert torch.equal(torch.get_rng_state(), state)


def test_every_validation_sample_counts_once(body_model):
    poses, betas = _poses(5), torch.zeros(5, 10)
    whole, _ = _trainer(body_model, replace(_OPTIONS, val_batch_size=5)).validate(
        poses, betas, iter
    )
    split, _ = _trainer(body_model, replace(_OPTIONS, val_batch_size=3)).validate(
        poses, betas, iter
    )
    for name, value in whole.items():
        if name not in ("loss", "loss_joints2d"):
            assert split[name] == pytest.approx(value, rel=1e-3), name


def test_a_loss_that_is_not_finite_stops_with_every_term(body_model):
    trainer = _trainer(body_model, replace(_OPTIONS, lr=1e30))
    with pytest.raises(InputError, match=r"no longer a finite number \(loss .*loss_vertices"):
        trainer.train_epoch(_poses(20), AugmentationOptions(), iter)


def test_learning_rate_warms_up_and_falls(body_model):
    trainer = _trainer(body_model, replace(_OPTIONS, lr=1.0, lr_schedule="cosine", warmup_steps=10))
    rates = []
    for trainer.step in (0, 9, 50, 100):
        trainer._set_learning_rate(100)
        rates.append(trainer.optimiser.param_groups[0]["lr"])
    # 1/10 of nearly 1; nearly 1; halfway 0.01 + 0.99 / 2; at the end 0.01.
    assert rates == pytest.approx([0.1, 0.98, 0.505, 0.01], abs=0.005)


def test_resuming_what_cannot_be_resumed(tmp_path, body_model):
    trainer = _trainer(body_model)
    with pytest.raises(InputError, match="nothing to resume"):
        resume(trainer, tmp_path)
    _run_epochs(trainer, tmp_path, 1, _poses(4))
    best = torch.load(tmp_path / BEST, weights_only=True)
    other = _trainer(body_model, loss=LossOptions(betas=0))
    with pytest.raises(InputError, match="does not fit the options of this run"):
        resume(other, tmp_path)
    torch.save(best, tmp_path / "last.tar")
    with pytest.raises(InputError, match=r"has no .*optimiser_state_dict"):
        resume(_trainer(body_model), tmp_path)


def test_an_exported_checkpoint_is_half_the_size_and_predicts_the_same(tmp_path, body_model):
    trainer = _trainer(body_model)
    _run_epochs(trainer, tmp_path, 1, _poses(4))
    state = torch.load(tmp_path / LAST, weights_only=True)
    state["options"] = {"output": str(tmp_path), "data": {"train_poses": [str(tmp_path / "a.npz")]}}
    torch.save(state, tmp_path / LAST)
    export(ExportOptions(output=tmp_path / "shared.tar", run=tmp_path))

    half, best = (tmp_path / name for name in ("shared.tar", BEST))
    assert half.stat().st_size < 0.55 * best.stat().st_size
    shared = torch.load(half, weights_only=True)
    assert shared["options"]["data"]["train_poses"] == ["a.npz"]
    assert str(tmp_path) not in str(shared["options"])
    proxy = torch.rand(2, 18, 64, 64)
    found, expected = (
        load_predictor(path, torch.device("cpu")).regressor(proxy) for path in (half, best)
    )
    torch.testing.assert_close(found.pose_rotmats, expected.pose_rotmats, atol=5e-3, rtol=0)


def test_a_compiled_network_is_the_same_network(body_model):
    poses, betas = _poses(3), torch.zeros(3, 10)
    plain = _trainer(body_model)
    # "eager" captures the graph without generating code, which would take minutes.
    compiled = _trainer(body_model, replace(_OPTIONS, compile="eager"))
    assert compiled.regressor.state_dict().keys() == plain.regressor.state_dict().keys()
    expected, _ = plain.validate(poses, betas, iter)
    found, _ = compiled.validate(poses, betas, iter)
    assert found == pytest.approx(expected, rel=1e-5)
    with pytest.raises(InputError, match="nonsense: torch has no such backend"):
        _trainer(body_model, replace(_OPTIONS, compile="nonsense"))
