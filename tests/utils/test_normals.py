"""Normals of meshes, against values computed by hand."""

import torch

from utils.normals import vertex_normals


def test_vertex_normals_are_weighted_by_area():
    # Two triangles share the edge on the x axis: area 0.5 with normal z, area 1 with normal -y.
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 2]])
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2], [0, 1, 3]]))
    torch.testing.assert_close(normals[0], torch.tensor([0.0, -2, 1]) / 5**0.5)
    torch.testing.assert_close(normals[2], torch.tensor([0.0, 0, 1]))
    lonely = vertex_normals(torch.zeros(1, 3), torch.zeros(0, 3, dtype=torch.long))
    assert lonely.tolist() == [[0, 0, 0]]
