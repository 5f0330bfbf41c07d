"""Metrics against values by hand, and themselves one sample at a time."""

import math

import pytest
import torch

from metrics.metrics import Metrics, silhouette_iou

ALL = {
    *("pve", "pve_sc", "pve_pa", "pve_t", "pve_t_sc", "mpjpe", "mpjpe_sc", "mpjpe_pa"),
    *("pose_mse", "shape_mse", "joints2d_l2", "silhouette_iou"),
}


def random_points(seed, batch, count):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, count, 3, generator=generator) * torch.tensor([0.2, 0.5, 0.1])


def random_batch(seed, batch=5):
    generator = torch.Generator().manual_seed(seed)
    return {
        "vertices": random_points(seed, batch, 50),
        "vertices_tpose": random_points(seed + 1, batch, 50),
        "joints3d": random_points(seed + 2, batch, 14),
        "pose_rotmats": torch.randn(batch, 24, 3, 3, generator=generator),
        "betas": torch.randn(batch, 10, generator=generator),
        "joints2d_px": 256 * torch.rand(batch, 17, 2, generator=generator),
        "visibility": torch.rand(batch, 17, generator=generator) < 0.7,
        "silhouettes": torch.rand(batch, 8, 9, generator=generator) < 0.5,
    }


def test_distances_by_hand():
    """Both points off by (3, 4, 0) m: 5 m. Centred they agree, so SC and PA are 0."""
    target = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]])
    pred = target + torch.tensor([3.0, 4, 0])
    for key, prefix in (("vertices", "pve"), ("joints3d", "mpjpe")):
        values = Metrics().update({key: pred}, {key: target})
        assert set(values) == {prefix, prefix + "_sc", prefix + "_pa"}
        assert values[prefix].item() == pytest.approx(5000)
        assert values[prefix + "_sc"].item() == pytest.approx(0, abs=1e-3)
        assert values[prefix + "_pa"].item() == pytest.approx(0, abs=1e-3)
    values = Metrics().update({"vertices_tpose": 2 * target}, {"vertices_tpose": target})
    assert set(values) == {"pve_t", "pve_t_sc"}
    assert values["pve_t"].item() == pytest.approx(500)  # off by 0 and by 1 m
    assert values["pve_t_sc"].item() == pytest.approx(0, abs=1e-3)


def test_sc_and_pa_differ_by_the_rotation():
    """A quarter turn of (+-1, 0, 0): SC leaves a distance of sqrt(2), PA none."""
    target = torch.tensor([[[-1.0, 0, 0], [1, 0, 0]]])
    pred = 7 * torch.tensor([[[0.0, -1, 0], [0, 1, 0]]])
    values = Metrics().update({"vertices": pred}, {"vertices": target})
    assert values["pve_sc"].item() == pytest.approx(1000 * math.sqrt(2))
    assert values["pve_pa"].item() == pytest.approx(0, abs=1e-3)


def test_pose_and_shape_by_hand():
    """One entry of 24 * 9 = 216 off by 3: 9 / 216. Two betas of 10 off by 1 and 2: 5 / 10."""
    pose = torch.zeros(1, 24, 3, 3)
    off = pose.clone()
    off[0, 5, 1, 2] = 3
    betas = torch.zeros(1, 10)
    values = Metrics().update(
        {"pose_rotmats": off, "betas": torch.tensor([[1.0, -2, 0, 0, 0, 0, 0, 0, 0, 0]])},
        {"pose_rotmats": pose, "betas": betas},
    )
    assert values["pose_mse"].item() == pytest.approx(9 / 216)
    assert values["shape_mse"].item() == pytest.approx(0.5)


def test_joints2d_counts_visible_joints_only():
    """Visible joints off by 5 and 15 px: 10. The second sample has none and does not count."""
    target = torch.zeros(2, 3, 2)
    pred = torch.tensor([[[3.0, 4], [9, 12], [999, 999]], [[7, 7], [7, 7], [7, 7]]])
    target[0, 2] = torch.nan  # not visible: may be anything
    visibility = torch.tensor([[True, True, False], [False, False, False]])
    metrics = Metrics()
    values = metrics.update(
        {"joints2d_px": pred}, {"joints2d_px": target, "visibility": visibility}
    )["joints2d_l2"]
    assert values[0].item() == 10
    assert values[1].isnan()
    assert metrics.compute() == {"joints2d_l2": 10.0}


def test_nothing_visible_gives_nan_and_a_nan_prediction_is_not_hidden():
    target = {"joints2d_px": torch.zeros(1, 3, 2), "visibility": torch.zeros(1, 3)}
    metrics = Metrics()
    metrics.update({"joints2d_px": torch.ones(1, 3, 2)}, target)
    assert math.isnan(metrics.compute()["joints2d_l2"])
    metrics.reset()
    target["visibility"] = torch.ones(1, 3)
    metrics.update({"joints2d_px": torch.full((1, 3, 2), torch.nan)}, target)
    metrics.update({"joints2d_px": torch.ones(1, 3, 2)}, target)
    assert math.isnan(metrics.compute()["joints2d_l2"])


def test_silhouette_iou_by_hand():
    """2 px and 3 px sharing 1: 1 / 4. Both empty: 1. One empty: 0."""
    pred, target = torch.zeros(3, 2, 3, dtype=torch.bool), torch.zeros(3, 2, 3, dtype=torch.bool)
    pred[0, 0, :2] = True
    target[0, 0, 1], target[0, 1, :2] = True, True
    pred[2, 0, 0] = True
    values = Metrics().update({"silhouettes": pred}, {"silhouettes": target})["silhouette_iou"]
    assert values.tolist() == [0.25, 1, 0]


def test_pixels_that_do_not_count():
    predicted = torch.tensor([[[True, True], [False, False]]])
    detected = torch.tensor([[[True, False], [True, False]]])
    everything, left = torch.ones(1, 2, 2, dtype=torch.bool), torch.tensor([[[True, False]] * 2])
    assert silhouette_iou(predicted, detected, everything).item() == pytest.approx(1 / 3)
    assert silhouette_iou(predicted, detected, left).item() == pytest.approx(1 / 2)
    assert silhouette_iou(predicted, detected, ~left).item() == 0
    assert silhouette_iou(~everything, ~everything, everything).item() == 1
    masks = {"silhouettes": predicted}, {"silhouettes": detected, "counted": left}
    assert Metrics().update(*masks)["silhouette_iou"].item() == pytest.approx(1 / 2)


def test_batches_weigh_by_their_size():
    """Errors 1 m, 1 m, 1 m and then a last batch of one with 5 m: mean 2 m, not 3 m."""
    metrics = Metrics()
    for batch, error in ((3, 1.0), (1, 5.0)):
        zero = torch.zeros(batch, 4, 3)
        off = zero.clone()
        off[..., 2] = error
        metrics.update({"vertices": off}, {"vertices": zero})
    assert metrics.compute()["pve"] == pytest.approx(2000)


def test_one_batch_equals_one_by_one_and_per_sample_values_average_to_the_mean():
    pred, target = random_batch(20), random_batch(40)
    target["visibility"][3] = False
    together, apart = Metrics(), Metrics()
    values = together.update(pred, target)
    for i in range(5):
        apart.update(
            {k: v[i : i + 1] for k, v in pred.items()}, {k: v[i : i + 1] for k, v in target.items()}
        )
    assert set(values) == ALL
    for name, mean in together.compute().items():
        assert values[name].shape == (5,)
        assert values[name].nanmean().item() == pytest.approx(mean, rel=1e-5)
        assert apart.compute()[name] == pytest.approx(mean, rel=1e-5)


def test_perfect_predictions():
    batch = random_batch(60)
    metrics = Metrics()
    metrics.update(batch, batch)
    for name, value in metrics.compute().items():
        assert value == pytest.approx(1 if name == "silhouette_iou" else 0, abs=1e-3), name


def test_metrics_keep_no_gradient_and_leave_inputs_alone():
    pred, target = random_batch(80), random_batch(81)
    pred["vertices"].requires_grad_()
    kept = {name: tensor.clone() for name, tensor in pred.items()}
    values = Metrics().update(pred, target)
    assert not any(value.requires_grad for value in values.values())
    assert all(torch.equal(kept[name], pred[name]) for name in pred)


def test_reset_forgets():
    batch = random_batch(90)
    metrics = Metrics()
    metrics.update(batch, random_batch(91))
    metrics.reset()
    with pytest.raises(ValueError, match="no samples"):
        metrics.compute()
    metrics.update(batch, batch)
    assert metrics.compute()["pve"] == 0


@pytest.mark.parametrize(
    ("pred", "target", "message"),
    [
        ({}, {}, "no metric can be computed"),
        ({"vertices": torch.zeros(1, 4, 3)}, {"betas": torch.zeros(1, 10)}, "no metric"),
        (
            {"vertices": torch.zeros(2, 4, 3)},
            {"vertices": torch.zeros(1, 4, 3)},
            r"vertices: pred has shape \(2, 4, 3\), target \(1, 4, 3\)",
        ),
        (
            {"joints2d_px": torch.zeros(1, 17, 2)},
            {"joints2d_px": torch.zeros(1, 17, 2)},
            "no visibility",
        ),
        (
            {"joints2d_px": torch.zeros(1, 17, 2)},
            {"joints2d_px": torch.zeros(1, 17, 2), "visibility": torch.zeros(1, 17, 1)},
            r"visibility has shape \(1, 17, 1\); \(1, 17\) is needed",
        ),
    ],
)
def test_bad_input_is_refused(pred, target, message):
    with pytest.raises(ValueError, match=message):
        Metrics().update(pred, target)
