"""Options of one run beside those of another: what differs is told, or refused."""

from dataclasses import replace

import pytest

from models.options import FeedbackOptions, NetworkOptions
from tests.networks import NETWORKS
from train.build import list_differences
from train.checkpoints import compare_options
from utils.errors import InputError


def test_what_changes_on_resuming_is_told():
    saved = {"data": {"image_size": 64}, "training": {"lr": 1e-3, "epochs": 2}, "output": "a"}
    now = {"data": {"image_size": 64}, "training": {"lr": 1e-4, "epochs": 2}, "output": "b"}
    assert compare_options(saved, saved) == []
    assert compare_options(saved, now) == ["training.lr is 0.0001; it was 0.001"]


def test_a_run_is_not_resumed_as_another_network():
    saved = {"data": {"image_size": 64}}
    with pytest.raises(InputError, match="is 128, but the run to resume has 64"):
        compare_options(saved, {"data": {"image_size": 128}})
    saved = {"model": {"regressor": "feedback", "feedback": {"rounds": 3, "width": 32}}}
    with pytest.raises(InputError, match=r"--model\.feedback\.width is 64, but .* has 32"):
        compare_options(saved, {"model": {"regressor": "feedback", "feedback": {"width": 64}}})
    now = {"model": {"regressor": "feedback", "feedback": {"rounds": 4, "width": 32}}}
    assert compare_options(saved, now) == ["model.feedback.rounds is 4; it was 3"]


def test_differing_options_are_named_as_on_the_command_line():
    assert list_differences(NETWORKS["feedback"], NETWORKS["feedback"]) == []
    found = NetworkOptions(resnet_layers=50, ief_iterations=2)
    assert list_differences(found, NetworkOptions()) == [
        "--model.resnet-layers 50", "--model.ief-iterations 2",
    ]  # fmt: skip
    wanted = replace(NETWORKS["feedback"], feedback=FeedbackOptions(rounds=2))
    assert list_differences(NETWORKS["feedback"], wanted) == [
        "--model.feedback.width 32", "--model.feedback.lifting-blocks 1",
        "--model.feedback.correcting-blocks 1", "--model.feedback.vertices 40",
        "--model.feedback.betas 12",
    ]  # fmt: skip
