"""Options of a run: what cannot be used is refused, what changes on resuming is told."""

import math
from dataclasses import fields, replace

import pytest

from models.feedback import FeedbackOptions
from models.networks import NetworkOptions
from run_train import Options
from synthesis.options import AugmentationOptions
from tests.networks import NETWORKS
from train.run_options import _RANGES, check_ranges, differences, differing_options, storable
from utils.errors import InputError


def _with(name: str, value: float) -> Options:
    """The defaults, but for one option given by its dotted name."""
    return _replaced(Options(), name.split("."), value)


def _replaced(options, names: list[str], value: float):
    first, *rest = names
    value = _replaced(getattr(options, first), rest, value) if rest else value
    return replace(options, **{first: value})


def test_the_defaults_can_be_used():
    check_ranges(Options())


@pytest.mark.parametrize("name", _RANGES)
def test_every_range_belongs_to_an_option_and_is_kept(name):
    with pytest.raises(InputError, match=name.replace("_", "-")):
        check_ranges(_with(name, -1))
    with pytest.raises(InputError, match="is nan"):
        check_ranges(_with(name, math.nan))


def test_every_number_of_the_augmentation_has_a_range():
    numbers = {
        f"augmentation.{field.name}"
        for field in fields(Options().augmentation)
        if field.type in ("float", float)
    }
    assert len(numbers) > 10
    assert numbers <= set(_RANGES)


def test_every_size_of_the_feedback_regressor_has_a_range():
    assert {f"model.feedback.{f.name}" for f in fields(Options().model.feedback)} <= set(_RANGES)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("augmentation.occlude", 1.5, "--augmentation.occlude is 1.5; expected a number from 0 to"),
        ("training.lr", 0.0, "--training.lr is 0.0; expected a number above 0"),
        ("training.lr", math.inf, "--training.lr is inf"),
        ("data.image_size", 31, "--data.image-size is 31; expected a number of at least 32"),
    ],
)
def test_the_message_says_what_was_found_and_expected(name, value, told):
    with pytest.raises(InputError, match=told):
        check_ranges(_with(name, value))


def test_what_changes_on_resuming_is_told():
    saved = {"data": {"image_size": 64}, "training": {"lr": 1e-3, "epochs": 2}, "output": "a"}
    now = {"data": {"image_size": 64}, "training": {"lr": 1e-4, "epochs": 2}, "output": "b"}
    assert differences(saved, saved) == []
    assert differences(saved, now) == ["training.lr is 0.0001; it was 0.001"]


def test_a_run_is_not_resumed_as_another_network():
    saved = {"data": {"image_size": 64}}
    with pytest.raises(InputError, match="is 128, but the run to resume has 64"):
        differences(saved, {"data": {"image_size": 128}})
    saved = {"model": {"regressor": "feedback", "feedback": {"rounds": 3, "width": 32}}}
    with pytest.raises(InputError, match=r"--model\.feedback\.width is 64, but .* has 32"):
        differences(saved, {"model": {"regressor": "feedback", "feedback": {"width": 64}}})
    now = {"model": {"regressor": "feedback", "feedback": {"rounds": 4, "width": 32}}}
    assert differences(saved, now) == ["model.feedback.rounds is 4; it was 3"]


def test_stored_options_are_plain():
    assert storable({"a": (1, 2.5), "b": {"c": Options().output}}) == {
        "a": [1, 2.5],
        "b": {"c": str(Options().output)},
    }


def test_differing_options_are_named_as_on_the_command_line():
    assert differing_options(NETWORKS["feedback"], NETWORKS["feedback"]) == []
    found = NetworkOptions(resnet_layers=50, ief_iterations=2)
    assert differing_options(found, NetworkOptions()) == [
        "--model.resnet-layers 50", "--model.ief-iterations 2",
    ]  # fmt: skip
    wanted = replace(NETWORKS["feedback"], feedback=FeedbackOptions(rounds=2))
    assert differing_options(NETWORKS["feedback"], wanted) == [
        "--model.feedback.width 32", "--model.feedback.lifting-blocks 1",
        "--model.feedback.correcting-blocks 1", "--model.feedback.vertices 40",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("distances", "message"),
    [((0.0, 5.0), "from 1 to 90"), ((5.0, 200.0), "from 1 to 90"), ((5.0, 2.0), "lower .* first")],
)
def test_distances_that_no_camera_can_have_are_refused(distances, message):
    augmentation = AugmentationOptions(near=0.5, near_distances=distances)
    with pytest.raises(InputError, match=rf"--augmentation.near-distances is .*{message}"):
        check_ranges(Options(augmentation=augmentation))
