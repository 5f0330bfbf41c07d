"""Measurements of bodies whose sizes are known."""

import numpy as np
import pytest
import torch
import trimesh

from models.body_model import BodyModel
from predict.measurements import edges_of, girth_at, measure, volume_of


def _box(extents: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.box(extents=extents)
    return np.array(mesh.vertices), np.array(mesh.faces)


def test_box():
    vertices, faces = _box((0.5, 2.0, 0.25))
    found = measure(vertices + np.array([0.3, 5.0, -1.0]), faces)
    assert found.height_m == pytest.approx(2.0)
    assert found.weight_kg == pytest.approx(250.0)  # 0.5 * 2 * 0.25 m^3 of 1000 kg / m^3
    assert found.waist_m == pytest.approx(1.5)  # 2 * (0.5 + 0.25)
    assert found.hips_m == pytest.approx(1.5)


def test_volume_does_not_depend_on_winding_or_place():
    vertices, faces = _box((1.0, 1.0, 1.0))
    assert volume_of(vertices + 7.0, faces[:, ::-1]) == pytest.approx(1.0)


def test_girth_spans_hollows_as_a_tape_does():
    vertices, faces = _box((0.2, 1.0, 0.2))
    both = np.concatenate([vertices + offset for offset in np.array([[-0.4, 0, 0], [0.4, 0, 0]])])
    legs = edges_of(np.concatenate([faces, faces + len(vertices)]))
    assert girth_at(both, legs, 0.0) == pytest.approx(2 * (1.0 + 0.2))
    assert girth_at(both, legs, 0.6) == 0


def test_every_edge_counts_once():
    _, faces = _box((1.0, 1.0, 1.0))
    edges = edges_of(faces)
    # 12 edges of the cube and a diagonal on each of its 6 sides.
    assert len({tuple(edge) for edge in edges.tolist()}) == len(edges) == 18


def test_open_body_has_the_size_of_a_person():
    body = BodyModel.load()
    vertices = body.tpose(torch.zeros(1, 10))[0].numpy()
    found = measure(vertices, body.faces.numpy())
    assert 1.5 < found.height_m < 1.9
    assert 45 < found.weight_kg < 100
    assert 0.6 < found.waist_m < found.hips_m < 1.3
    assert "height" in str(found)
