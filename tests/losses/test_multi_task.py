"""The loss against values by hand, its gradients against finite differences."""

import dataclasses
import math

import pytest
import torch

from losses.multi_task import MultiTaskLoss
from losses.options import LossOptions


def random_batch(seed, batch=3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "vertices": (batch, 6, 3),
        "vertices_tpose": (batch, 6, 3),
        "joints2d_norm": (batch, 17, 2),
        "joints3d": (batch, 14, 3),
        "pose_rotmats": (batch, 24, 3, 3),
        "betas": (batch, 10),
    }
    tensors = {k: torch.randn(s, generator=generator, dtype=dtype) for k, s in shapes.items()}
    return tensors | {"visibility": torch.rand(batch, 17, generator=generator) < 0.6}


def only(**weights):
    """Options with these terms alone."""
    fields = dataclasses.fields(LossOptions)
    off = {field.name: 0.0 for field in fields if isinstance(field.default, float)}
    return LossOptions(**(off | weights))


def test_total_by_hand():
    """Every entry of every prediction off by the same.

    Offsets 1, 2, 3, 4, 5 give squared errors 1, 4, 9, 16, 25. With the first weights
    1, 0.1, 1, 0.1, 0.1 and s = -ln(weight) = 0, 2.302585, 0, 2.302585, 2.302585 the total is
    1 + 0.4 + 9 + 1.6 + 2.5 + 3 * 2.302585 = 21.407755.
    """
    target = random_batch(0)
    keys = ("vertices", "joints2d_norm", "joints3d", "pose_rotmats", "betas")
    pred = {key: target[key] + offset for offset, key in enumerate(keys, start=1)}
    total, terms = MultiTaskLoss()(pred, target)
    assert total.item() == pytest.approx(21.407755, rel=1e-5)
    wanted = {"vertices": 1, "joints2d": 4, "joints3d": 9, "pose": 16, "betas": 25}
    assert {k: v.item() for k, v in terms.items()} == pytest.approx(
        {f"loss_{k}": v for k, v in wanted.items()}, rel=1e-4
    )
    assert total.shape == ()


def test_first_weights_are_the_options():
    weights = MultiTaskLoss().weights
    assert {name: weight.item() for name, weight in weights.items()} == pytest.approx(
        {"vertices": 1, "joints2d": 0.1, "joints3d": 1, "pose": 0.1, "betas": 0.1}
    )


def test_invisible_joints_do_not_count():
    """Two visible joints, off by (1, 0) and (0, 3): (1 + 9) / 4 coordinates = 2.5."""
    criterion = MultiTaskLoss(only(joints2d=1.0))
    pred = torch.zeros(2, 17, 2)
    pred[0, 0, 0], pred[1, 5, 1] = 1, 3
    pred.requires_grad_()
    target = torch.full((2, 17, 2), torch.nan)
    target[0, 0] = target[1, 5] = 0
    visibility = torch.zeros(2, 17, dtype=torch.bool)
    visibility[0, 0] = visibility[1, 5] = True
    total, terms = criterion(
        {"joints2d_norm": pred}, {"joints2d_norm": target, "visibility": visibility}
    )
    assert terms["loss_joints2d"].item() == 2.5
    total.backward()
    assert pred.grad.isfinite().all()
    assert (pred.grad[~visibility] == 0).all()
    assert pred.grad[1, 5, 1].item() == pytest.approx(2 * 3 / 4)


def test_nothing_visible_is_a_loss_of_zero():
    criterion = MultiTaskLoss(only(joints2d=1.0))
    pred = torch.ones(2, 17, 2, requires_grad=True)
    target = {"joints2d_norm": torch.full((2, 17, 2), torch.nan), "visibility": torch.zeros(2, 17)}
    total, _ = criterion({"joints2d_norm": pred}, target)
    total.backward()
    assert total.item() == 0
    assert (pred.grad == 0).all()


def test_tpose_by_hand():
    """Vertices at y = -1 and 1, the target at x = -2 and 2: scaled by 2, each is sqrt(8) away."""
    criterion = MultiTaskLoss(only(tpose=3.0))
    pred = torch.tensor([[[0.0, -1, 0], [0, 1, 0]]])
    target = torch.tensor([[[-2.0, 0, 0], [2, 0, 0]]])
    total, terms = criterion({"vertices_tpose": pred}, {"vertices_tpose": target})
    assert terms["loss_tpose"].item() == pytest.approx(math.sqrt(8))
    assert total.item() == pytest.approx(3 * math.sqrt(8) - math.log(3), rel=1e-5)


def test_a_scaled_and_shifted_body_has_the_same_tpose():
    body = random_batch(10)["vertices_tpose"]
    criterion = MultiTaskLoss(only(tpose=1.0))
    moved = 0.7 * body + torch.tensor([1.0, -2, 3])
    _, terms = criterion({"vertices_tpose": moved}, {"vertices_tpose": body})
    assert terms["loss_tpose"].item() == pytest.approx(0, abs=1e-5)
    _, terms = criterion({"vertices_tpose": moved.flip(1)}, {"vertices_tpose": body})
    assert terms["loss_tpose"].item() > 0.5


@pytest.mark.parametrize(("error", "expected"), [("squared", 25 / 6), ("distance", 5 / 2)])
@pytest.mark.parametrize("term", ["vertices", "joints3d"])
def test_errors_of_points_by_hand(error, expected, term):
    """One of two points off by (3, 4, 0): 25 over 6 coordinates, or a length of 5 over 2 points."""
    criterion = MultiTaskLoss(only(**{term: 1.0}, error=error))
    target = torch.zeros(1, 2, 3)
    pred = target + torch.tensor([[3.0, 4, 0], [0, 0, 0]])
    pred.requires_grad_()
    total, terms = criterion({term: pred}, {term: target})
    assert terms[f"loss_{term}"].item() == pytest.approx(expected)
    total.backward()
    assert pred.grad.isfinite().all()  # where there is no distance, too


def test_distances_of_visible_joints_by_hand():
    """Visible joints off by (3, 4) and (0, 1): (5 + 1) / 2. What is not visible does not count."""
    criterion = MultiTaskLoss(only(joints2d=1.0, error="distance"))
    pred = torch.zeros(1, 17, 2)
    pred[0, 0], pred[0, 5, 1], pred[0, 9, 0] = torch.tensor([3.0, 4]), 1, 99
    target = torch.zeros(1, 17, 2)
    visibility = torch.zeros(1, 17, dtype=torch.bool)
    visibility[0, 0] = visibility[0, 5] = True
    _, terms = criterion(
        {"joints2d_norm": pred}, {"joints2d_norm": target, "visibility": visibility}
    )
    assert terms["loss_joints2d"].item() == pytest.approx(3)


def test_weights_that_are_not_learnt_stay_as_they_are():
    criterion = MultiTaskLoss(LossOptions(vertices=5.0, tpose=2.0, learn_weights=False))
    before = {name: weight.clone() for name, weight in criterion.weights.items()}
    pred = {k: v.requires_grad_(v.is_floating_point()) for k, v in random_batch(11).items()}
    total, _ = criterion(pred, random_batch(12))
    total.backward()
    assert pred["vertices"].grad.any()
    assert all(parameter.grad is None for parameter in criterion.parameters())
    assert not any(parameter.requires_grad for parameter in criterion.parameters())
    assert criterion.weights == before
    assert before["vertices"].item() == pytest.approx(5)
    # They are still kept in checkpoints, by the same names as learnt ones.
    assert (
        criterion.state_dict().keys() == MultiTaskLoss(LossOptions(tpose=1.0)).state_dict().keys()
    )


def test_gradients_equal_finite_differences():
    criterion = MultiTaskLoss(LossOptions(tpose=0.5)).double()
    target = random_batch(1, batch=2, dtype=torch.float64)
    names = [name for name in target if name != "visibility"]
    inputs = [target[name] + 0.3 * torch.randn_like(target[name]) for name in names]
    parameters = [p.detach() for p in criterion.parameters()]

    def loss(*tensors):
        pred = dict(zip(names, tensors[: len(names)], strict=True))
        learnt = dict(zip(dict(criterion.named_parameters()), tensors[len(names) :], strict=True))
        return torch.func.functional_call(criterion, learnt, (pred, target))[0]

    tensors = [t.clone().requires_grad_() for t in (*inputs, *parameters)]
    assert torch.autograd.gradcheck(loss, tensors)


def test_weights_settle_where_the_likelihood_is_greatest():
    """exp(-s) L + s is least at s = ln L: a term of squared error 4 gets the weight 1 / 4."""
    criterion = MultiTaskLoss(only(betas=1.0))
    optimiser = torch.optim.SGD(criterion.parameters(), lr=0.2)
    for _ in range(200):
        optimiser.zero_grad()
        criterion({"betas": torch.full((1, 10), 2.0)}, {"betas": torch.zeros(1, 10)})[0].backward()
        optimiser.step()
    assert criterion.weights["betas"].item() == pytest.approx(0.25, rel=1e-4)


def test_terms_left_out_need_no_tensors():
    criterion = MultiTaskLoss(only(vertices=1.0, betas=0.5))
    pred, target = random_batch(2), random_batch(3)
    few = ("vertices", "betas")
    total, terms = criterion({k: pred[k] for k in few}, {k: target[k] for k in few})
    assert set(terms) == {"loss_vertices", "loss_betas"}
    assert len(list(criterion.parameters())) == 2
    wanted = (
        (pred["vertices"] - target["vertices"]).square().mean()
        + 0.5 * (pred["betas"] - target["betas"]).square().mean()
        + math.log(2)
    )
    torch.testing.assert_close(total, wanted)


def test_terms_carry_no_graph_but_the_total_does():
    pred = {k: v.requires_grad_(v.is_floating_point()) for k, v in random_batch(4).items()}
    total, terms = MultiTaskLoss()(pred, random_batch(5))
    assert total.requires_grad
    assert not any(term.requires_grad for term in terms.values())


def test_learnt_weights_survive_the_state_dict():
    trained, fresh = MultiTaskLoss(), MultiTaskLoss()
    with torch.no_grad():
        for i, parameter in enumerate(trained.parameters()):
            parameter.fill_(0.1 * i)
    fresh.load_state_dict(trained.state_dict())
    pred, target = random_batch(6), random_batch(7)
    assert torch.equal(fresh(pred, target)[0], trained(pred, target)[0])


def test_low_precision_predictions_meet_float32_targets():
    """Under autocast the network gives bfloat16: errors are still squared and added in float32."""
    pred, target = random_batch(8), random_batch(9)
    low = {k: v.bfloat16() if v.is_floating_point() else v for k, v in pred.items()}
    total, _ = MultiTaskLoss()(low, target)
    rounded = {k: v.float() if v.is_floating_point() else v for k, v in low.items()}
    assert torch.equal(total, MultiTaskLoss()(rounded, target)[0])
    assert total.item() == pytest.approx(MultiTaskLoss()(pred, target)[0].item(), rel=1e-2)


@pytest.mark.parametrize(
    ("pred", "target", "message"),
    [
        ({}, {"betas": torch.zeros(1, 10)}, r"needs betas, but pred has only \[\]"),
        ({"betas": torch.zeros(1, 10)}, {}, "needs betas, but target has only"),
        (
            {"betas": torch.zeros(2, 10)},
            {"betas": torch.zeros(1, 10)},
            r"betas: pred has shape \(2, 10\), target \(1, 10\)",
        ),
    ],
)
def test_missing_and_misshapen_tensors_are_refused(pred, target, message):
    with pytest.raises(ValueError, match=message):
        MultiTaskLoss(only(betas=1.0))(pred, target)


def test_missing_or_misshapen_visibility_is_refused():
    criterion = MultiTaskLoss(only(joints2d=1.0))
    joints = {"joints2d_norm": torch.zeros(1, 17, 2)}
    with pytest.raises(ValueError, match="needs visibility"):
        criterion(joints, joints)
    with pytest.raises(ValueError, match=r"visibility has shape \(1, 16\); \(1, 17\)"):
        criterion(joints, joints | {"visibility": torch.zeros(1, 16)})


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_impossible_weights_are_refused(weight):
    with pytest.raises(ValueError, match="loss weight of pose"):
        MultiTaskLoss(LossOptions(pose=weight))


def test_no_terms_at_all_are_refused():
    with pytest.raises(ValueError, match="all loss weights are 0"):
        MultiTaskLoss(only())
