"""The picture of tape lines: what it shows, and that labels do not overlap."""

import numpy as np
import pytest
import torch

from metrics.anatomy import Anatomy
from predict import tape_picture
from predict.tape_picture import LENGTH_COLOUR, ROW, TAPE_COLOUR, draw_measurements
from renderers.shading import BodyRenderer


def test_lines_and_labels(body_model, monkeypatch):
    written = []
    monkeypatch.setattr(tape_picture, "VIEW", 240)  # for speed
    monkeypatch.setattr(tape_picture, "_write", lambda _, text, place: written.append(text))
    vertices = body_model.tpose(torch.zeros(1, 10))[0].numpy()
    renderer = BodyRenderer(body_model.faces.numpy(), "own")
    picture = draw_measurements(renderer, vertices, Anatomy.of(body_model), {"waist_m": 0.044})
    assert picture.shape == (240, 240 + 2 * tape_picture.LABELS + 120, 3)
    assert picture.dtype == np.uint8
    for colour in (TAPE_COLOUR, LENGTH_COLOUR):
        assert (np.abs(picture.astype(int) - colour).sum(axis=2) < 60).any()
    assert "waist 91.8 (+-4.4)" in written
    assert any(text.startswith("height 1.75") for text in written)
    assert len(written) == len(set(written)) == 5 + 17  # of the title, and 13 girths and 4 lengths


def test_labels_are_spaced_out():
    wishes = [10.0, 11.0, 12.0, 500.0]
    assert tape_picture._space_out(wishes) == pytest.approx([10, 10 + ROW, 10 + 2 * ROW, 500])
    assert len(tape_picture._space_out([])) == 0
