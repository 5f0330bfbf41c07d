"""Training on a tiny network: every metric falls, resuming is exact, trouble stops it in words."""

import math
from dataclasses import replace
from functools import partial
from typing import get_args

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from losses.multi_task import MultiTaskLoss
from losses.options import LossOptions
from models.body_model import read_mean_parameters
from models.checkpoints import load_predictor
from models.decoder import decode_in_crops
from synthesis.made_shapes import MadeShapes
from synthesis.observed_people import ObservedPairs
from synthesis.options import AugmentationOptions, CameraOptions
from synthesis.synthesiser import Synthesiser
from synthesis.variation import draw_betas, draw_variation
from tests.networks import NETWORKS, random_network, stored_options
from tests.observations import random_observation
from tests.observed import made_up_rows
from train.checkpoints import BEST, LAST, resume, save_atomically, save_epoch
from train.export import ExportOptions, export
from train.logging import RunLog
from train.options import SelectionMetric, TrainingOptions
from train.trainer import Trainer
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


def _trainer(
    body_model, options=_OPTIONS, loss=None, network="published", observed_share=None
) -> Trainer:
    mean = read_mean_parameters("open")
    synthesiser = Synthesiser(body_model, mean.betas, 32, CameraOptions())
    criterion = MultiTaskLoss(loss or LossOptions(100, 100, 100, 10, 1))
    regressor = random_network(network, body_model)
    observed = None
    if observed_share is not None:
        observed = ObservedPairs(made_up_rows(6, 32, body_model), 32, observed_share)
    device = torch.device("cpu")
    return Trainer(regressor, synthesiser, criterion, options, device, observed=observed)


def _run_epochs(trainer, folder, count, poses, network="published"):
    for _ in range(count):
        train = trainer.train_epoch(poses, AugmentationOptions(), iter)
        val, sample = trainer.validate(poses[:4], torch.zeros(4, 10), iter)
        trainer.finish_epoch(train, val)
        save_epoch(trainer, stored_options(network), folder)
    return sample


@pytest.fixture(params=NETWORKS)
def network(request) -> str:
    """The test is run with each of them."""
    return request.param


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("unexpected pos")])
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch, error):
    path = tmp_path / LAST
    save_atomically({"epoch": 1}, path)

    def disk_full(content, file, **_):
        file.write(b"half")
        raise error

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(InputError, match=r"cannot write .*last\.tar: (No space|unexpected pos)"):
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


@pytest.mark.parametrize(("ema", "observed_share"), [(0.0, None), (0.9, 0.5)])
def test_four_epochs_are_two_and_two_resumed_bit_for_bit(
    tmp_path, body_model, network, ema, observed_share
):
    poses, options = _poses(8), replace(_OPTIONS, ema=ema)
    for name in ("whole", "halves"):
        (tmp_path / name).mkdir()
    build = partial(_trainer, body_model, options, network=network, observed_share=observed_share)
    whole = build()
    _run_epochs(whole, tmp_path / "whole", 4, poses, network)

    first = build()
    _run_epochs(first, tmp_path / "halves", 2, poses, network)
    halves = build()
    torch.manual_seed(99)  # a new process starts with other random numbers
    for values in halves.regressor.parameters():
        torch.nn.init.uniform_(values)
    resume(halves, stored_options(network), tmp_path / "halves")
    assert halves.epoch == 2
    _run_epochs(halves, tmp_path / "halves", 2, poses, network)

    for part in ("regressor", "criterion", "validated"):
        expected, found = (getattr(each, part).state_dict() for each in (whole, halves))
        for name, values in expected.items():
            assert torch.equal(values, found[name]), name
    assert all(torch.equal(v, halves.best_weights[k]) for k, v in whole.best_weights.items())
    speeds = {"train_samples_per_second"}
    for row, other in zip(whole.history, halves.history, strict=True):
        assert {k: row[k] for k in row.keys() - speeds} == {
            k: other[k] for k in row.keys() - speeds
        }
    assert whole.best_epoch == halves.best_epoch


def test_a_share_of_a_batch_is_observed(body_model):
    """Of 7 people a share of 0.3 is 2.1; where there are none, batches are as ever."""
    poses, augmentation = _poses(7), AugmentationOptions()

    def batch_of(observed_share):
        trainer = _trainer(body_model, observed_share=observed_share)
        return trainer, trainer.make_batch(poses, augmentation, torch.Generator().manual_seed(5))

    trainer, mixed = batch_of(0.3)
    assert len(mixed.observation.silhouettes) == len(mixed.target["betas"]) == 7
    betas = mixed.target["betas"][:, None, :10]
    of_observed = (betas == trainer.observed.betas).all(dim=2).any(dim=1)
    assert of_observed.tolist() == [False] * 5 + [True] * 2
    _, terms = trainer.train_step(mixed)
    assert all(math.isfinite(value) for value in terms.values())
    generator, synthesiser = torch.Generator().manual_seed(5), trainer.synthesiser
    betas = draw_betas(augmentation, synthesiser.mean_betas, 7, generator)
    vertices = body_model.identity["vertices"]
    expected = synthesiser(poses, betas, draw_variation(augmentation, 7, vertices, generator))
    for share in (None, 0.0, 0.1):
        _, batch = batch_of(share)
        assert batch.target.keys() == expected.target.keys()
        assert torch.equal(batch.observation.proxy(), expected.observation.proxy())


def test_a_share_of_the_shapes_drawn_are_made_ones(body_model):
    trainer, made = _trainer(body_model), 5 + torch.rand(3, 12)
    trainer.made_shapes = MadeShapes(made, 0.5)
    batch = trainer.make_batch(_poses(40), AugmentationOptions(), torch.Generator().manual_seed(5))
    betas = batch.target["betas"]
    is_made = (betas[:, None, :12] == made).all(dim=2).any(dim=1)
    assert 10 <= is_made.sum() <= 30
    assert not betas[:, 12:].any()
    assert not betas[~is_made, 10:].any()
    expected = body_model.tpose(betas)
    torch.testing.assert_close(batch.target["vertices_tpose"], expected)


def test_validation_looks_at_no_observed_people(body_model):
    poses, betas = _poses(3), torch.zeros(3, 10)
    with_observed, without = (
        _trainer(body_model, observed_share=share).validate(poses, betas, iter)[0]
        for share in (0.5, None)
    )
    assert with_observed == without


def test_a_short_run_lowers_the_loss_and_the_metrics(body_model, network):
    """A few people seen again and again, unaugmented: the network must come to know them."""
    nothing = AugmentationOptions(
        betas_std=0, cam_xy_std=0, cam_z_range=0, vertex_noise=0, crop_scale_range=0,
        crop_shift=0, remove_left_arm=0, remove_right_arm=0, remove_head=0, remove_left_leg=0,
        remove_right_leg=0, remove_torso=0, occlude=0, joint_noise=0,
    )  # fmt: skip
    poses = _poses(8)
    trainer = _trainer(body_model, replace(_OPTIONS, batch_size=8), network=network)
    first = trainer.train_epoch(poses, nothing, iter)
    trainer.train_epoch(poses.repeat(20, 1), nothing, iter)
    last = trainer.train_epoch(poses, nothing, iter)
    for name in ("loss", "pve", "pve_pa", "mpjpe", "mpjpe_pa", "pose_mse", "joints2d_l2"):
        assert last[name] < first[name], name
    assert last["mpjpe_pa"] < 0.7 * first["mpjpe_pa"]


def test_checkpoints_predict_and_logs_are_written(tmp_path, body_model, network):
    trainer = _trainer(body_model, network=network)
    sample = _run_epochs(trainer, tmp_path, 1, _poses(4), network)
    predictor = load_predictor(tmp_path / BEST, torch.device("cpu"))
    assert predictor.image_size == 32
    for name, values in trainer.regressor.state_dict().items():
        assert torch.equal(values, predictor.regressor.state_dict()[name]), name

    log = RunLog(tmp_path, [])
    log.write_epoch(trainer.history, sample)
    log.close()
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(rows) == 2
    assert "val_pve_t_sc" in rows[0].split(",")
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_validation_leaves_the_mode_and_the_random_numbers_alone(body_model, network):
    trainer = _trainer(body_model, network=network)
    rounds = trainer.regressor.rounds
    for mode in (True, False):
        trainer.regressor.train(mode)
        state = torch.get_rng_state()
        trainer.validate(_poses(3), torch.zeros(3, 10), iter)
        assert trainer.regressor.training == mode
        assert trainer.regressor.rounds == rounds
        assert torch.equal(torch.get_rng_state(), state)


def test_every_validation_sample_counts_once(body_model, network):
    poses, betas = _poses(5), torch.zeros(5, 10)
    whole, split = (
        _trainer(body_model, replace(_OPTIONS, val_batch_size=size), network=network).validate(
            poses, betas, iter
        )[0]
        for size in (5, 3)
    )
    for name, value in whole.items():
        if name not in ("loss", "loss_joints2d"):
            assert split[name] == pytest.approx(value, rel=1e-3), name


def test_a_loss_that_is_not_finite_stops_with_every_term(body_model, network):
    trainer = _trainer(body_model, replace(_OPTIONS, lr=1e30), network=network)
    with pytest.raises(InputError, match=r"no longer a finite number \(loss .*loss_vertices"):
        trainer.train_epoch(_poses(20), AugmentationOptions(), iter)


def test_a_loss_that_the_last_step_spoils_stops_in_validation(body_model, network):
    trainer = _trainer(body_model, replace(_OPTIONS, lr=1e30), network=network)
    trainer.train_epoch(_poses(_OPTIONS.batch_size), AugmentationOptions(), iter)  # one step
    with pytest.raises(InputError, match=r"no longer a finite number \(loss .*loss_vertices"):
        trainer.validate(_poses(3), torch.zeros(3, 10), iter)


def test_a_log_is_brought_up_to_the_history_on_resuming(tmp_path):
    """The run was killed after its checkpoint and before its log; the third epoch was not saved."""
    history = [{"epoch": n, "val_pve_pa": 10.0 * n} for n in (1, 2, 3)]
    log = RunLog(tmp_path, [])
    for row in history[:1]:
        log._write_curves(row)
    log._write_csv(history[:1])
    log.close()
    RunLog(tmp_path, history[:2]).close()
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "epoch,val_pve_pa", "1,10.0", "2,20.0"
    ]  # fmt: skip
    RunLog(tmp_path, history[:2]).close()
    curves = EventAccumulator(str(tmp_path)).Reload().Scalars("val/pve_pa")
    assert [(each.step, each.value) for each in curves] == [(1, 10.0), (2, 20.0)]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda state: state.update(epoch=7), "says that 7 epochs are finished"),
        (lambda state: state.update(best_epoch=3), "the best was 3"),
        (lambda state: state.update(history=[]), "the last one recorded 0"),
        (lambda state: state.update(random_state=torch.zeros(3)), "does not fit the options"),
        (lambda state: state["optimiser_state_dict"].clear(), "does not fit the options"),
        (
            lambda state: state["optimiser_state_dict"]["state"][0].update(exp_avg=torch.ones(3)),
            "the optimiser's exp_avg is not a tensor of shape",
        ),
        (
            lambda state: state["optimiser_state_dict"]["state"][0]["exp_avg"].fill_(torch.nan),
            "the optimiser's exp_avg has values that are not finite",
        ),
    ],
)
def test_a_spoilt_checkpoint_is_not_resumed(tmp_path, body_model, spoil, told):
    trainer = _trainer(body_model)
    _run_epochs(trainer, tmp_path, 1, _poses(4))
    state = torch.load(tmp_path / LAST, weights_only=True)
    spoil(state)
    torch.save(state, tmp_path / LAST)
    with pytest.raises(InputError, match=told):
        resume(_trainer(body_model), {}, tmp_path)


def test_learning_rate_warms_up_and_falls(body_model):
    trainer = _trainer(body_model, replace(_OPTIONS, lr=1.0, lr_schedule="cosine", warmup_steps=10))
    rates = []
    for trainer.step in (0, 9, 50, 100):
        trainer._set_learning_rate(100)
        rates.append(trainer.optimiser.param_groups[0]["lr"])
    # 1/10 of nearly 1; nearly 1; halfway 0.01 + 0.99 / 2; at the end 0.01.
    assert rates == pytest.approx([0.1, 0.98, 0.505, 0.01], abs=0.005)


_VALIDATIONS = [
    {"pve_pa": 80.0, "mpjpe_pa": 60.0, "pve_t_sc": 12.0},
    {"pve_pa": 70.0, "mpjpe_pa": 61.0, "pve_t_sc": 11.0},  # a lower sum, but MPJPE-PA is worse
    {"pve_pa": 75.0, "mpjpe_pa": 60.0, "pve_t_sc": 13.0},  # none worse than in the first
]


@pytest.mark.parametrize(
    ("chosen", "best"),
    [
        ({}, 2),
        ({"select_rule": "all"}, 3),
        ({"select_by": ("mpjpe_pa",)}, 1),
        ({"select_by": ("pve_t_sc",)}, 2),
    ],
)
def test_the_best_epoch_is_the_one_that_the_options_choose(body_model, chosen, best):
    trainer = _trainer(body_model, replace(_OPTIONS, **chosen))
    for values in _VALIDATIONS:
        trainer.finish_epoch({"loss": 0.0}, values)
    assert trainer.best_epoch == best
    assert trainer.best_metrics == _VALIDATIONS[best - 1]


def test_some_metric_chooses_the_best_epoch(body_model):
    with pytest.raises(InputError, match=r"--training\.select-by names no metric"):
        _trainer(body_model, replace(_OPTIONS, select_by=()))


def test_every_selection_metric_is_one_of_validation(body_model):
    metrics, _ = _trainer(body_model).validate(_poses(2), torch.zeros(2, 10), iter)
    assert set(get_args(SelectionMetric)) <= metrics.keys()


def test_snapshots_are_kept_of_every_second_epoch(tmp_path, body_model):
    trainer, poses = _trainer(body_model, replace(_OPTIONS, save_every=2)), _poses(4)
    weights = []
    for _ in range(5):
        _run_epochs(trainer, tmp_path, 1, poses)
        weights.append({name: v.clone() for name, v in trainer.regressor.state_dict().items()})
        trainer.best_metrics = dict.fromkeys(trainer.best_metrics, 0.0)  # the first stays the best
    assert trainer.best_epoch == 1
    names = sorted(path.name for path in tmp_path.glob("*.tar"))
    assert names == [BEST, "epoch_002.tar", "epoch_004.tar", LAST]
    snapshot = tmp_path / "epoch_004.tar"
    predictor = load_predictor(snapshot, torch.device("cpu"))
    assert predictor.epoch == 4
    for name, values in predictor.regressor.state_dict().items():
        assert torch.equal(values, weights[3][name]), name
    stored = torch.load(snapshot, weights_only=True)
    assert stored["best_epoch_val_metrics"]["pve_pa"] == trainer.history[3]["val_pve_pa"]
    assert "optimiser_state_dict" not in stored


def test_people_may_keep_the_shapes_of_the_file(body_model):
    poses, betas = _poses(4), torch.arange(40.0).view(4, 10) / 40
    trainer, augmentation = _trainer(body_model), AugmentationOptions()
    kept, drawn = (
        trainer.make_batch(poses, augmentation, torch.Generator().manual_seed(5), each).target
        for each in (betas, None)
    )
    assert torch.equal(kept["betas"][:, :10], betas)
    assert not torch.equal(drawn["betas"][:, :10], betas)
    mixed = _trainer(body_model, observed_share=0.5)
    batch = mixed.make_batch(poses, augmentation, torch.Generator().manual_seed(5), betas)
    assert torch.equal(batch.target["betas"][:2, :10], betas[2:])


def test_an_epoch_trains_on_each_pose_with_its_own_shape(body_model, monkeypatch):
    poses, betas = _poses(8), torch.arange(80.0).view(8, 10) / 80
    trainer, seen = _trainer(body_model), []
    make_batch = trainer.make_batch

    def watched(some_poses, augmentation, generator, some_betas):
        seen.extend(zip(some_poses, some_betas, strict=True))
        return make_batch(some_poses, augmentation, generator, some_betas)

    monkeypatch.setattr(trainer, "make_batch", watched)
    trainer.train_epoch(poses, AugmentationOptions(), iter, betas)
    assert len(seen) == 8
    for pose, shape in seen:
        row = (poses == pose).all(dim=1).nonzero().item()
        assert torch.equal(shape, betas[row])


def test_resuming_what_cannot_be_resumed(tmp_path, body_model):
    trainer = _trainer(body_model)
    with pytest.raises(InputError, match="nothing to resume"):
        resume(trainer, {}, tmp_path)
    _run_epochs(trainer, tmp_path, 1, _poses(4))
    best = torch.load(tmp_path / BEST, weights_only=True)
    other = _trainer(body_model, loss=LossOptions(betas=0))
    with pytest.raises(InputError, match="does not fit the options of this run"):
        resume(other, {}, tmp_path)
    torch.save(best, tmp_path / "last.tar")
    with pytest.raises(InputError, match=r"has no .*optimiser_state_dict"):
        resume(_trainer(body_model), {}, tmp_path)


def test_an_exported_checkpoint_is_half_the_size_and_predicts_the_same(
    tmp_path, body_model, network
):
    trainer = _trainer(body_model, network=network)
    _run_epochs(trainer, tmp_path, 1, _poses(4), network)
    state = torch.load(tmp_path / LAST, weights_only=True)
    state["options"] |= {
        "output": str(tmp_path),
        "data": {"train_poses": [str(tmp_path / "a.npz")]},
    }
    torch.save(state, tmp_path / LAST)
    export(ExportOptions(output=tmp_path / "shared.tar", run=tmp_path))

    half, best = (tmp_path / name for name in ("shared.tar", BEST))
    assert half.stat().st_size < 0.55 * best.stat().st_size
    shared = torch.load(half, weights_only=True)
    assert shared["options"]["data"]["train_poses"] == ["a.npz"]
    assert str(tmp_path) not in str(shared["options"])
    observation = random_observation(2)
    found, expected = (
        load_predictor(path, torch.device("cpu")).regressor(observation) for path in (half, best)
    )
    torch.testing.assert_close(found.pose_rotmats, expected.pose_rotmats, atol=5e-3, rtol=0)


def test_a_compiled_network_is_the_same_network(body_model, network):
    poses, betas = _poses(3), torch.zeros(3, 10)
    plain = _trainer(body_model, network=network)
    # "eager" captures the graph without generating code, which would take minutes.
    compiled = _trainer(body_model, replace(_OPTIONS, compile="eager"), network=network)
    assert compiled.regressor.state_dict().keys() == plain.regressor.state_dict().keys()
    expected, _ = plain.validate(poses, betas, iter)
    found, _ = compiled.validate(poses, betas, iter)
    assert found == pytest.approx(expected, rel=1e-5)
    with pytest.raises(InputError, match="nonsense: torch has no such backend"):
        _trainer(body_model, replace(_OPTIONS, compile="nonsense"))


def test_validation_tells_after_how_many_rounds_estimates_are_best(tmp_path, body_model):
    """The first estimate is the mean, the first correction leads away from it, and so on."""
    trainer = _trainer(body_model, network="feedback")
    regressor, poses = trainer.regressor, torch.zeros(4, 72)
    poses[:, 0] = math.pi
    for perceptron in (regressor.lifting, regressor.correcting):
        torch.nn.init.zeros_(perceptron.last.weight)
    regressor.correcting.last.bias.data[3:] = 0.1  # the same wrong step in every round
    metrics, _ = trainer.validate(poses, torch.zeros(4, 10), iter)
    assert metrics["best_rounds"] == 0
    # From a mean that is two such steps away, two rounds are best; four are tried.
    regressor.initial_estimate[3:] -= 0.2
    metrics, _ = trainer.validate(poses, torch.zeros(4, 10), iter)
    assert metrics["best_rounds"] == 2
    regressor.initial_estimate[3:] -= 0.2
    metrics, _ = trainer.validate(poses, torch.zeros(4, 10), iter)
    assert metrics["best_rounds"] == 4
    trainer.finish_epoch({"loss": 0.0}, metrics)
    save_epoch(trainer, stored_options("feedback"), tmp_path)
    assert load_predictor(tmp_path / BEST, torch.device("cpu")).regressor.rounds == 4


def test_averaged_weights_by_hand(tmp_path, body_model, network):
    """After steps to w1, w2 and w3: 0.9 (0.9 w1 + 0.1 w2) + 0.1 w3; these are kept as the best."""
    trainer = _trainer(body_model, replace(_OPTIONS, ema=0.9), network=network)
    name, weights = next(iter(trainer.regressor.named_parameters()))
    seen = []
    for _ in range(3):
        trainer.train_epoch(_poses(4), AugmentationOptions(), iter)
        seen.append(weights.detach().clone())
    expected = 0.9 * (0.9 * seen[0] + 0.1 * seen[1]) + 0.1 * seen[2]
    averaged = trainer.validated.state_dict()[name]
    torch.testing.assert_close(averaged, expected)
    assert not torch.equal(averaged, weights)
    val, _ = trainer.validate(_poses(4), torch.zeros(4, 10), iter)
    trainer.finish_epoch({"loss": 0.0}, val)
    save_epoch(trainer, stored_options(network), tmp_path)
    best = load_predictor(tmp_path / BEST, torch.device("cpu")).regressor
    assert torch.equal(best.state_dict()[name], averaged)


def test_averaging_cannot_begin_on_resuming(tmp_path, body_model):
    _run_epochs(_trainer(body_model), tmp_path, 1, _poses(4))
    averaging = _trainer(body_model, replace(_OPTIONS, ema=0.9))
    with pytest.raises(InputError, match=r"no averaged weights .* give --training.ema 0"):
        resume(averaging, {}, tmp_path)


def test_weight_decay_shrinks_the_network_alone(body_model):
    """By decoupled decay w loses lr * decay of itself a step, beside Adam's step of at most lr."""
    options = replace(_OPTIONS, optimiser="adamw", lr=0.01, weight_decay=50.0)
    trainer = _trainer(body_model, options)
    weights = trainer.regressor.image_encoder.conv1.weight
    before = weights.detach().norm()
    trainer.train_epoch(_poses(4), AugmentationOptions(), iter)
    assert weights.norm() < 0.7 * before  # halved, and moved a little
    assert trainer.criterion.weights["vertices"].item() == pytest.approx(100, rel=0.02)


def test_a_resumed_run_decays_as_its_own_options_say(tmp_path, body_model):
    options = replace(_OPTIONS, optimiser="adamw", weight_decay=0.1)
    _run_epochs(_trainer(body_model, options), tmp_path, 1, _poses(4))
    again = _trainer(body_model, replace(options, weight_decay=0.2))
    resume(again, {}, tmp_path)
    assert [group["weight_decay"] for group in again.optimiser.param_groups] == [0.2, 0.0]


def test_the_loss_of_few_vertices_is_that_of_the_same_vertices_of_the_whole(body_model):
    trainer = _trainer(body_model, network="feedback")
    observation, target = trainer.synthesiser(_poses(3), torch.zeros(3, 10))
    loss_of, kept = trainer._loss_of, trainer.regressor.kept_vertices
    reduced = loss_of.compared_target(target)
    assert torch.equal(reduced["vertices"], target["vertices"][:, kept])
    parameters = trainer.regressor(observation)
    found = loss_of.compared_body(parameters)
    whole = decode_in_crops(parameters, body_model, 32)
    for name in ("vertices", "vertices_tpose"):
        torch.testing.assert_close(found[name], whole[name][:, kept], atol=1e-5, rtol=0)
    torch.testing.assert_close(found["joints3d"], whole["joints3d"], atol=1e-5, rtol=0)
