"""Our own shading: normals, interpolation and light, against values computed by hand."""

import numpy as np
import torch

from renderers.shading import (
    GAMMA,
    Lighting,
    barycentric_weights,
    pixel_rays,
    render_mesh,
    shade,
)

EVEN = Lighting(key_strength=0, fill_strength=0, sky=1, ground=1, gloss=0)  # no shading at all


def _wall(depth: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A square of 2 x 2 m that faces the camera."""
    corners = [[-1.0, -1, depth], [1, -1, depth], [1, 1, depth], [-1, 1, depth]]
    return torch.tensor(corners), torch.tensor([[0, 1, 2], [0, 2, 3]])


def test_barycentric_weights_are_those_of_the_point_that_is_hit():
    corners = torch.tensor([[[0.0, 0, 2], [2, 0, 4], [0, 3, 5]]], dtype=torch.float64)
    expected = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    point = (expected[..., None] * corners).sum(dim=1)
    rays = point / point.norm()
    torch.testing.assert_close(barycentric_weights(corners, rays), expected)
    torch.testing.assert_close(barycentric_weights(corners.flip(1), rays), expected.flip(1))


def test_rays_go_through_pixel_centres():
    cam_k = torch.tensor([[10.0, 0, 4], [0, 10, 3], [0, 0, 1]])
    ray = pixel_rays(torch.tensor([5]), torch.tensor([1]), cam_k)[0]
    # Column 1 has its centre at 1.5, row 5 at 5.5: ((1.5 - 4) / 10, (5.5 - 3) / 10, 1).
    torch.testing.assert_close(ray / ray[2], torch.tensor([-0.25, 0.25, 1.0]))


def test_colours_are_interpolated_to_pixel_centres():
    vertices, faces = _wall(5.0)
    colours = torch.zeros(4, 3)
    colours[:, 0] = (vertices[:, 0] + 1) / 2  # 0 at the left edge, 1 at the right
    cam_k = torch.tensor([[25.0, 0, 5], [0, 25, 5], [0, 0, 1]])  # 5 px a metre: just the wall
    picture = render_mesh(vertices, faces, cam_k, (10, 10), colours, EVEN)
    assert picture[..., 3].min() == 1
    expected = (np.arange(10) + 0.5) / 10
    np.testing.assert_allclose(picture[4, :, 0], expected, atol=1e-4)


def test_edges_are_covered_by_shares():
    vertices, faces = _wall(5.0)
    # The wall spans 2.5 to 12.5 px both ways.
    cam_k = torch.tensor([[25.0, 0, 7.5], [0, 25, 7.5], [0, 0, 1]])
    picture = render_mesh(vertices, faces, cam_k, (16, 16), torch.ones(4, 3), EVEN)
    np.testing.assert_allclose(picture[7, [1, 2, 3, 11, 12, 13], 3], [0, 0.5, 1, 1, 0.5, 0])
    np.testing.assert_allclose(picture[..., 0], picture[..., 3])  # white times alpha


def test_light_by_hand():
    lighting = Lighting(
        key=(0, 0, -1), fill=(0, -1, 0), key_strength=0.5, fill_strength=0.2, sky=0.3, ground=0.1,
        gloss=0,
    )  # fmt: skip
    # Towards the camera, up, and down: key, fill, and ambient half-way, of the sky, of the ground.
    normals = torch.tensor([[0.0, 0, -1], [0, -1, 0], [0, 1, 0]])
    rays = torch.tensor([[0.0, 0, 1]]).expand(3, 3)
    light = shade(normals, rays, torch.ones(3, 3), lighting)[:, 0] ** GAMMA
    torch.testing.assert_close(light, torch.tensor([0.5 + 0.2, 0.2 + 0.3, 0.1]))


def test_both_sides_of_a_face_are_lit_alike():
    vertices, faces = _wall(5.0)
    cam_k = torch.tensor([[25.0, 0, 5], [0, 25, 5], [0, 0, 1]])
    front, back = (
        render_mesh(vertices, winding, cam_k, (10, 10), torch.ones(4, 3)) for winding in
        (faces, faces.flip(1))
    )  # fmt: skip
    np.testing.assert_allclose(front, back, atol=1e-6)
