"""Observed people: read, drawn, mirrored, and made into batches."""

import numpy as np
import pytest
import torch

from models.body_model import read_mean_parameters
from synthesis.observed_people import DrawnPairs, ObservedPairs, read_observed_people
from synthesis.options import CameraOptions
from synthesis.synthesiser import Synthesiser
from tests.observed import made_up_rows, write_observed_people
from utils.errors import InputError
from utils.joints import COCO17, LSP14, indices_of, mirrored

SIZE = 36
STRAIGHT = torch.zeros(5, dtype=torch.bool)
LSP14_SWAP = list(indices_of(tuple(map(mirrored, LSP14)), LSP14))
LEFT_KNEE, RIGHT_KNEE = COCO17.index("left_knee"), COCO17.index("right_knee")


@pytest.fixture(scope="module")
def rows(body_model):
    return made_up_rows(5, SIZE, body_model)


@pytest.fixture(scope="module")
def observed(rows) -> ObservedPairs:
    return ObservedPairs(rows, SIZE, 0.4)


def test_a_batch_is_its_rows(observed, rows, body_model):
    order = torch.tensor([4, 0, 0])
    observation, target = observed.batch(DrawnPairs(order, STRAIGHT[:3]), body_model)
    masks = np.unpackbits(rows["silhouettes"], axis=1)[order, : SIZE * SIZE]
    assert torch.equal(observation.silhouettes, torch.from_numpy(masks).bool().view(3, SIZE, SIZE))
    np.testing.assert_array_equal(observation.confidence, rows["confidence"][order])
    np.testing.assert_allclose(observation.joints2d_px, SIZE * rows["joints2d"][order], rtol=2e-3)
    true = rows["true_joints2d"][order].astype(np.float32)
    np.testing.assert_allclose(target["joints2d_px"], SIZE * true, rtol=1e-6)
    np.testing.assert_allclose(target["joints2d_norm"], 2 * true - 1, atol=1e-6)
    seen = ((true >= 0) & (true < 1)).all(axis=-1)
    assert 0 < seen.mean() < 1
    np.testing.assert_array_equal(target["visibility"], seen)
    np.testing.assert_array_equal(target["betas"][:, :10], rows["betas"][order])
    assert not target["betas"][:, 10:].any()
    alone = observed.batch(DrawnPairs(order[:1], STRAIGHT[:1]), body_model).target
    for name, values in alone.items():
        torch.testing.assert_close(values, target[name][:1], atol=1e-5, rtol=0)


def test_targets_are_those_of_the_synthesiser(observed, body_model):
    mean_betas = read_mean_parameters("open").betas
    synthesiser = Synthesiser(body_model, mean_betas, SIZE, CameraOptions())
    found = observed.batch(observed.draw(3, torch.Generator()), body_model)
    expected = synthesiser(observed.poses[:2], mean_betas.expand(2, -1))
    assert found.target.keys() == expected.target.keys() - {"silhouettes"}
    joined = expected.joined(found)
    assert joined.target.keys() == found.target.keys()
    for one, two, both in zip(
        [*(expected.target[name] for name in found.target), *expected.observation],
        [*found.target.values(), *found.observation],
        [*joined.target.values(), *joined.observation],
        strict=True,
    ):
        assert one.dtype == two.dtype
        assert torch.equal(both[:2], one)
        assert torch.equal(both[2:], two)


def test_mirroring_twice_changes_nothing(observed):
    pairs = observed.pairs_of(DrawnPairs(torch.arange(5), STRAIGHT))
    again = pairs.mirrored().mirrored()
    for name, values in pairs._asdict().items():
        torch.testing.assert_close(getattr(again, name), values, atol=1e-6, rtol=0)
        assert name == "betas" or not torch.equal(getattr(pairs.mirrored(), name), values)


def test_only_those_drawn_are_mirrored(observed):
    flags = torch.tensor([False, True, False, True, True])
    straight = observed.pairs_of(DrawnPairs(torch.arange(5), STRAIGHT))
    found = observed.pairs_of(DrawnPairs(torch.arange(5), flags))
    for values, mirror, both in zip(straight, straight.mirrored(), found, strict=True):
        assert torch.equal(both[flags], mirror[flags])
        assert torch.equal(both[~flags], values[~flags])


def test_a_mirrored_target_is_the_mirrored_body(observed, body_model):
    order = torch.arange(5)
    straight, mirror = (
        observed.batch(DrawnPairs(order, flags), body_model) for flags in (STRAIGHT, ~STRAIGHT)
    )
    reflection = torch.tensor([-1.0, 1.0, 1.0])
    expected = straight.target["joints3d"][:, LSP14_SWAP] * reflection
    torch.testing.assert_close(mirror.target["joints3d"], expected, atol=1e-4, rtol=0)
    # The mesh is symmetric: its mirror image has the same extent, with left and right exchanged.
    for name in ("vertices", "vertices_tpose"):
        vertices = straight.target[name] * reflection
        for extreme in (torch.amin, torch.amax):
            found = extreme(mirror.target[name], 1)
            torch.testing.assert_close(found, extreme(vertices, 1), atol=1e-4, rtol=0)
    for found, given in (
        (mirror.observation.joints2d_px, straight.observation.joints2d_px),
        (mirror.target["joints2d_px"], straight.target["joints2d_px"]),
    ):
        torch.testing.assert_close(found[:, LEFT_KNEE, 0], SIZE - given[:, RIGHT_KNEE, 0])
        torch.testing.assert_close(found[:, LEFT_KNEE, 1], given[:, RIGHT_KNEE, 1])
    assert torch.equal(
        mirror.observation.silhouettes[:, :, 0], straight.observation.silhouettes[:, :, -1]
    )


def test_everybody_is_drawn_either_way(observed):
    drawn = observed.draw(1000, torch.Generator().manual_seed(0))
    assert torch.bincount(drawn.rows).min() > 150  # of 200
    assert drawn.mirrored.float().mean().item() == pytest.approx(0.5, abs=0.05)
    again = observed.draw(1000, torch.Generator().manual_seed(0))
    assert all(map(torch.equal, drawn, again))


def test_files_are_read_one_after_another(tmp_path, body_model, rows):
    paths = [write_observed_people(tmp_path / f"{n}.npz", n, SIZE, body_model) for n in (2, 5)]
    observed = read_observed_people(paths, SIZE, body_model.identity["hash"], 0.25)
    assert (len(observed), observed.share, observed.image_size) == (7, 0.25, SIZE)
    np.testing.assert_array_equal(observed.betas[2:], rows["betas"])


def test_people_with_shape_details_may_lie_beside_those_without(tmp_path, body_model, rows):
    detailed = {**rows, "betas": np.pad(rows["betas"], ((0, 0), (0, 3)), constant_values=2)}
    np.savez(tmp_path / "detailed.npz", **detailed)
    paths = [write_observed_people(tmp_path / "plain.npz", 5, SIZE, body_model)]
    paths.append(tmp_path / "detailed.npz")
    observed = read_observed_people(paths, SIZE, body_model.identity["hash"], 0.25)
    assert observed.betas[:, 10:].tolist() == [[0.0] * 3] * 5 + [[2.0] * 3] * 5
    target = observed.batch(observed.draw(64, torch.Generator().manual_seed(0)), body_model).target
    assert target["betas"].shape == (64, body_model.num_betas)
    expected = body_model.tpose(target["betas"])
    torch.testing.assert_close(target["vertices_tpose"], expected)
    assert set(target["betas"][:, 12].tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"image_size": np.int64(128)}, "crops of 128 px, but the network takes 36"),
        ({"body_hash": np.array("abc")}, "holds people of the body abc, but "),
        ({"joints2d": np.zeros((5, 16, 2))}, r"joints2d has shape \(5, 16, 2\); expected \(5, 17"),
        ({"poses": np.zeros((4, 72))}, r"poses has shape \(4, 72\); expected \(5, 72"),
        ({"confidence": np.full((5, 17), np.nan)}, "confidence has values that are not finite"),
        ({"silhouettes": np.zeros((5, 162))}, "silhouettes is float64; expected bits packed"),
        ({"betas": None}, "has no betas"),
        ({"betas": np.zeros((5, 9))}, r"betas has shape \(5, 9\); expected \(5, 10"),
        ({"betas": np.zeros(())}, r"betas has shape \(\); expected"),
    ],
)
def test_unfit_files_are_refused(tmp_path, body_model, rows, change, complaint):
    changed = {name: values for name, values in {**rows, **change}.items() if values is not None}
    np.savez(tmp_path / "people.npz", **changed)
    with pytest.raises(InputError, match=complaint) as raised:
        read_observed_people([tmp_path / "people.npz"], SIZE, body_model.identity["hash"], 0.4)
    assert "\n" not in str(raised.value)


def test_a_file_of_nobody_is_refused(tmp_path, body_model):
    path = write_observed_people(tmp_path / "people.npz", 0, SIZE, body_model)
    with pytest.raises(InputError, match="holds nobody"):
        read_observed_people([path], SIZE, body_model.identity["hash"], 0.4)
