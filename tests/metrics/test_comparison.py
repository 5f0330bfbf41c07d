"""Errors of height and girths by hand."""

import numpy as np
import pytest
import torch

from metrics.anatomy import Anatomy
from metrics.comparison import measure_people, size_errors
from metrics.measurements import Measurements, measure


def test_by_hand():
    ones = Measurements(*[1.0] * len(Measurements._fields))
    true = torch.tensor([ones._replace(height_m=2.0, waist_m=0.9, hips_m=1.0, chest_m=1.1)])
    pred = torch.tensor([ones._replace(height_m=1.6, waist_m=0.8, hips_m=0.6, chest_m=0.88)])
    errors = {name: values.item() for name, values in size_errors(pred, true).items()}
    assert errors == pytest.approx(
        {
            "height_error": 40,
            "chest_error": 22,
            "chest_error_with_height": 0,  # 0.88 * 2.0 / 1.6 = 1.1
            "waist_error": 10,
            "waist_error_with_height": 10,  # 0.8 * 1.25 = 1.0
            "hips_error": 40,
            "hips_error_with_height": 25,  # 0.6 * 1.25 = 0.75
        },
        abs=1e-4,
    )


def test_a_body_that_is_the_true_one_scaled(body_model):
    """Each girth is wrong by 5 % freely, and right with the height given."""
    betas = torch.stack([torch.zeros(10), torch.full((10,), -0.8)])
    true = body_model.tpose(betas).double()
    anatomy = Anatomy.of(body_model)
    target = measure_people(true, anatomy)
    errors = size_errors(measure_people(1.05 * true, anatomy), target)
    for row in range(2):
        person = Measurements(*target[row].tolist())
        assert errors["height_error"][row].item() == pytest.approx(5 * person.height_m)
        for name in ("chest", "waist", "hips"):
            girth = getattr(person, f"{name}_m")
            assert errors[f"{name}_error"][row].item() == pytest.approx(5 * girth)  # 5 % in cm
            assert errors[f"{name}_error_with_height"][row].item() < 1e-6


def test_with_the_height_given_the_body_is_scaled_before_it_is_measured(body_model):
    pred, true = body_model.tpose(torch.tensor([[2.0] + [0.0] * 9, [0.0] * 9 + [1.5]])).double()
    anatomy = Anatomy.of(body_model)
    errors = size_errors(*(measure_people(body[None], anatomy) for body in (pred, true)))
    heights = [np.ptp(body[:, 1].numpy()) for body in (pred, true)]
    assert abs(heights[0] - heights[1]) > 0.01
    scaled, wanted = (
        measure(body.numpy(), anatomy) for body in (pred * heights[1] / heights[0], true)
    )
    for name in ("chest", "waist", "hips"):
        expected = 100 * abs(getattr(scaled, f"{name}_m") - getattr(wanted, f"{name}_m"))
        assert errors[f"{name}_error_with_height"].item() == pytest.approx(expected, abs=1e-6)


def test_nobody(body_model):
    nobody = measure_people(body_model.tpose(torch.zeros(0, 10)), Anatomy.of(body_model))
    assert nobody.shape == (0, len(Measurements._fields))
