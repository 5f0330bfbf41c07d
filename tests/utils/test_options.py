"""Options, those of run_train.py for example: what cannot be used is refused."""

import math
from dataclasses import fields, replace
from typing import get_type_hints

import pytest

from run_train import Options
from synthesis.options import AugmentationOptions, CameraOptions, check_views
from utils.errors import InputError
from utils.options import check_ranges, ranges_in, storable

RANGES = ranges_in(Options)


def _with(name: str, value: float) -> Options:
    """The defaults, but for one option given by its dotted name."""
    return _replaced(Options(), name.split("."), value)


def _replaced(options, names: list[str], value: float):
    first, *rest = names
    value = _replaced(getattr(options, first), rest, value) if rest else value
    return replace(options, **{first: value})


def test_the_defaults_can_be_used():
    check_ranges(Options())


@pytest.mark.parametrize("name", RANGES)
def test_every_range_belongs_to_an_option_and_is_kept(name):
    with pytest.raises(InputError, match=name.replace("_", "-")):
        check_ranges(_with(name, -1))
    with pytest.raises(InputError, match="is nan"):
        check_ranges(_with(name, math.nan))


def test_every_number_of_the_augmentation_has_a_range():
    numbers = {
        f"augmentation.{name}"
        for name, kind in get_type_hints(AugmentationOptions).items()
        if kind is float
    }
    assert len(numbers) > 10
    assert numbers <= set(RANGES)


def test_every_size_of_the_feedback_regressor_has_a_range():
    assert {f"model.feedback.{f.name}" for f in fields(Options().model.feedback)} <= set(RANGES)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("augmentation.occlude", 1.5, "--augmentation.occlude is 1.5; expected a number from 0 to"),
        ("training.lr", 0.0, "--training.lr is 0.0; expected a number above 0"),
        ("training.lr", math.inf, "--training.lr is inf"),
        ("data.image_size", 31, "--data.image-size is 31; expected a number from 32 to 2048"),
    ],
)
def test_the_message_says_what_was_found_and_expected(name, value, told):
    with pytest.raises(InputError, match=told):
        check_ranges(_with(name, value))


def test_stored_options_are_plain():
    assert storable({"a": (1, 2.5), "b": {"c": Options().output}}) == {
        "a": [1, 2.5],
        "b": {"c": str(Options().output)},
    }


@pytest.mark.parametrize(
    ("distances", "message"),
    [((0.0, 5.0), "from 1 to 90"), ((5.0, 200.0), "from 1 to 90"), ((5.0, 2.0), "lower .* first")],
)
def test_distances_that_no_camera_can_have_are_refused(distances, message):
    augmentation = AugmentationOptions(near=0.5, near_distances=distances)
    with pytest.raises(InputError, match=rf"--augmentation.near-distances is .*{message}"):
        check_ranges(Options(augmentation=augmentation))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("crop_shift", (6.0, -3.0), "expected the lower number first"),
        ("crop_shift", (-math.inf, 3.0), "expected two numbers from"),
        ("crop_scale_range", (-2.0, 0.3), "expected two numbers from -1 to 1"),
        ("crop_scale_range", 1.5, "expected a number from 0 to 1"),
        ("betas_std", (1.0, 2.0), "expected a number of at least 0, or 10 of them"),
        ("betas_std", (*[1.0] * 9, -1.0), "expected a number of at least 0, or 10 of them"),
    ],
)
def test_extents_and_spreads_that_cannot_be_are_refused(name, value, message):
    with pytest.raises(InputError, match=message):
        check_ranges(_with(f"augmentation.{name}", value))


def test_extents_and_spreads_of_several_numbers():
    check_ranges(_with("augmentation.crop_shift", (-3.0, 6.0)))
    check_ranges(_with("augmentation.crop_scale_range", (0.1, 0.1)))
    check_ranges(_with("augmentation.betas_std", (*[1.0] * 9, 0.5)))


@pytest.mark.parametrize(
    ("camera", "augmentation", "message"),
    [
        ({}, {"cam_z_range": 42.0}, "--augmentation.cam-z-range is 42.0; expected less"),
        ({"crop_scale": 0.2}, {}, "--augmentation.crop-scale-range is 0.2; expected less"),
        ({"crop_border": "stretch"}, {"near": 0.1}, "--augmentation.near is 0.1; expected 0 with"),
    ],
)
def test_views_that_would_show_nobody_are_refused(camera, augmentation, message):
    check_views(CameraOptions(), AugmentationOptions())
    with pytest.raises(InputError, match=message):
        check_views(CameraOptions(**camera), AugmentationOptions(**augmentation))
