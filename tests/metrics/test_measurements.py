"""Measurements of bodies whose sizes are known."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import ConvexHull

from metrics.measurements import compute_volume, find_edges, measure, measure_girths


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
    assert found.chest_m == pytest.approx(1.5)


def test_volume_does_not_depend_on_winding_or_place():
    vertices, faces = _box((1.0, 1.0, 1.0))
    assert compute_volume(vertices + 7.0, faces[:, ::-1]) == pytest.approx(1.0)


def test_girth_spans_hollows_as_a_tape_does():
    vertices, faces = _box((0.2, 1.0, 0.2))
    both = np.concatenate([vertices + offset for offset in np.array([[-0.4, 0, 0], [0.4, 0, 0]])])
    legs = find_edges(np.concatenate([faces, faces + len(vertices)]))
    assert measure_girths(both, legs, np.array([0.0, 0.6])) == pytest.approx([2 * (1.0 + 0.2), 0])


def test_girths_are_perimeters_of_convex_hulls(body_model):
    """The oracle: the hull of a slice that trimesh cuts."""
    vertices = body_model.tpose(torch.full((1, 10), 0.7))[0].double().numpy()
    faces = body_model.faces.numpy()
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    levels = vertices[:, 1].min() + np.ptp(vertices[:, 1]) * np.array([0.45, 0.61, 0.73, 0.8])
    expected = [
        ConvexHull(mesh.section([0, 1, 0], [0, level, 0]).vertices[:, [0, 2]]).area
        for level in levels
    ]
    assert measure_girths(vertices, find_edges(faces), levels) == pytest.approx(expected, abs=1e-7)


def _with_arms(underside: float) -> tuple[np.ndarray, np.ndarray]:
    """A trunk 2 m high that is wider from 1.44 m up, and arms of 0.1 m from an underside up."""
    parts = []
    for extents, centre in (
        ((0.4, 1.44, 0.2), (0, 0.72, 0)),
        ((0.5, 0.56, 0.2), (0, 1.72, 0)),
        ((2.0, 0.1, 0.1), (0, underside + 0.05, 0)),
    ):
        vertices, faces = _box(extents)
        parts.append((vertices + np.array(centre), faces))
    return (
        np.concatenate([vertices for vertices, _ in parts]),
        np.concatenate([faces + 8 * index for index, (_, faces) in enumerate(parts)]),
    )


def test_the_chest_is_the_widest_trunk_below_the_arms():
    # The range ends at 0.73 of 2 m, 1.46 m, where the trunk is 0.5 m by 0.2 m.
    assert measure(*_with_arms(underside=1.5)).chest_m == pytest.approx(2 * (0.5 + 0.2))
    # Arms from 1.45 m up: the last cut is at 1.43 m, 0.01 of 2 m below; it meets the lower trunk.
    assert measure(*_with_arms(underside=1.45)).chest_m == pytest.approx(2 * (0.4 + 0.2))


def test_no_chest_reaches_into_an_arm(body_model):
    betas = 1.5 * torch.randn(60, 10, generator=torch.Generator().manual_seed(0))
    for vertices in body_model.tpose(betas).numpy():
        found = measure(vertices, body_model.faces.numpy())
        # A tape around both arms is longer than the span of the arms there and back.
        assert found.waist_m / 2 < found.chest_m < 0.9 * found.height_m


def test_a_larger_body_has_larger_girths(body_model):
    vertices = body_model.tpose(torch.zeros(1, 10))[0].double().numpy()
    found, larger = (measure(scale * vertices, body_model.faces.numpy()) for scale in (1, 1.05))
    for name in ("height_m", "chest_m", "waist_m", "hips_m"):
        assert getattr(larger, name) == pytest.approx(1.05 * getattr(found, name), rel=1e-9)
    assert larger.weight_kg == pytest.approx(1.05**3 * found.weight_kg)


def test_every_edge_counts_once():
    _, faces = _box((1.0, 1.0, 1.0))
    edges = find_edges(faces)
    # 12 edges of the cube and a diagonal on each of its 6 sides.
    assert len({tuple(edge) for edge in edges.tolist()}) == len(edges) == 18


def test_open_body_has_the_size_of_a_person(body_model):
    vertices = body_model.tpose(torch.zeros(1, 10))[0].numpy()
    found = measure(vertices, body_model.faces.numpy())
    assert 1.5 < found.height_m < 1.9
    assert 45 < found.weight_kg < 100
    assert 0.6 < found.waist_m < found.hips_m < 1.3
    assert found.waist_m < found.chest_m < 1.2
    assert "height" in str(found)
