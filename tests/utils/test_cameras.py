"""Cameras, the pixel convention, and square crops."""

import math

import numpy as np
import pytest
import torch

from utils.cameras import (
    boxes_of_bodies,
    boxes_of_points,
    boxes_of_silhouettes,
    crop_intrinsics,
    cut_crops,
    cut_silhouettes,
    fit_weak_perspective,
    inside_image,
    norm_to_pixels,
    perspective_intrinsics,
    pixels_to_norm,
    points_from_crops,
    points_to_crops,
    project_perspective,
    project_weak_perspective,
    square_crops,
    weak_perspective_to_pinhole,
)


def test_edges_of_the_image_are_minus_one_and_one():
    # Width 4: the left edge is pixel coordinate 0, the centre 2, the right edge 4.
    points = norm_to_pixels(torch.tensor([-1.0, 0, 1]), 4)
    assert points.tolist() == [0, 2, 4]
    assert pixels_to_norm(points, 4).tolist() == [-1, 0, 1]


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_the_image_ends_before_its_far_edges(kind):
    points = kind([[0.0, 0], [9.9, 4.9], [10, 1], [1, 5], [-0.1, 1], [math.nan, 1]])
    assert inside_image(points, 10, 5).tolist() == [True, True, False, False, False, False]
    assert inside_image(points[:2], kind([10.0, 9]), 5).tolist() == [True, False]


def test_weak_perspective_by_hand():
    # u = 2 (1 + 0.5) = 3, v = 2 (-1 + 0.25) = -1.5; depth does not matter.
    found = project_weak_perspective(
        torch.tensor([[[1.0, -1, 7]]]), torch.tensor([[2.0, 0.5, 0.25]])
    )
    assert found.tolist() == [[[3.0, -1.5]]]


def test_the_camera_that_pictured_points_is_found():
    cam_wp = torch.tensor([[0.9, 0.1, -0.3], [1.4, 0.0, 0.2]])
    points = torch.rand(2, 17, 3)
    found = fit_weak_perspective(points, project_weak_perspective(points, cam_wp))
    torch.testing.assert_close(found, cam_wp)


def test_perspective_by_hand():
    # 100 px focal length, 64 px image: (1, 2, 10) m goes to 32 + 100 / 10, 32 + 200 / 10.
    cam_k = perspective_intrinsics(100, 64, torch.zeros(1))[None]
    found = project_perspective(torch.tensor([[[1.0, 2, 10]]]), cam_k)
    torch.testing.assert_close(found, torch.tensor([[[42.0, 52]]]))


def test_weak_perspective_and_its_pinhole_camera_agree():
    """For the whole 256 px picture, and for a crop of it carried to the picture."""
    points = torch.rand(2, 50, 3) - 0.5
    cam_wp = torch.tensor([[0.9, 0, 0], [1.3, 0.1, -0.2]])
    crops = torch.tensor([[128.0, 128, 256], [40, 70, 100]])
    weak = points_from_crops(
        norm_to_pixels(project_weak_perspective(points, cam_wp), 256), crops, 256
    )
    cam_t, cam_k = weak_perspective_to_pinhole(cam_wp, crops)
    strong = project_perspective(points + cam_t[:, None], cam_k)
    # At 42 m half a metre of depth changes the size by 1.2 %: 64 px from the centre 0.8 px.
    torch.testing.assert_close(strong, weak, atol=1.5, rtol=0)
    flat = points * torch.tensor([1.0, 1, 0])
    exact = project_perspective(flat + cam_t[:, None], cam_k)
    torch.testing.assert_close(exact, weak, atol=1e-2, rtol=0)


def test_box_of_a_silhouette_lies_on_pixel_edges():
    silhouettes = torch.zeros(2, 10, 12, dtype=torch.bool)
    silhouettes[0, 3:5, 7] = True  # rows 3 and 4, column 7
    boxes = boxes_of_silhouettes(silhouettes)
    assert boxes[0].tolist() == [7, 3, 8, 5]
    assert boxes[1, 2] < boxes[1, 0]  # nobody: inside out


def test_square_crop_by_hand():
    # Box 10 x 30 around (15, 35): side 30 * 1.2 = 36, centre moved by (1, -2).
    crops = square_crops(torch.tensor([[10.0, 20, 20, 50]]), 1.2, torch.tensor([[1.0, -2]]))
    torch.testing.assert_close(crops, torch.tensor([[16.0, 33, 36]]))


def test_points_round_trip_and_corners():
    crops = torch.tensor([[50.0, 40, 20], [3, 9, 64]])
    corners = torch.tensor([[[40.0, 30], [60, 50]], [[-29, -23], [35, 41]]])
    inside = points_to_crops(corners, crops, 256)
    torch.testing.assert_close(inside, torch.tensor([[[0.0, 0], [256, 256]]]).expand(2, -1, -1))
    torch.testing.assert_close(points_from_crops(inside, crops, 256), corners)


def test_projecting_with_crop_intrinsics_is_projecting_then_cropping():
    points = torch.rand(2, 30, 3) + torch.tensor([0, 0, 5.0])
    cam_k = perspective_intrinsics(300, 256, points)
    crops = torch.tensor([[100.0, 90, 50], [128, 128, 300]])
    direct = project_perspective(points, crop_intrinsics(cam_k, crops, 128))
    two_steps = points_to_crops(project_perspective(points, cam_k.expand(2, 3, 3)), crops, 128)
    torch.testing.assert_close(direct, two_steps, atol=1e-3, rtol=1e-5)


def test_cutting_the_whole_picture_changes_nothing():
    silhouettes = torch.rand(3, 32, 32) > 0.5
    crops = torch.tensor([[16.0, 16, 32]]).expand(3, -1)
    assert torch.equal(cut_silhouettes(silhouettes, crops, 32), silhouettes)


def test_outside_the_picture_is_background_and_nothing_is_stretched():
    silhouettes = torch.ones(1, 20, 40, dtype=torch.bool)
    crops = torch.tensor([[20.0, 10, 40]])  # square: 10 rows above and below the picture
    cut = cut_silhouettes(silhouettes, crops, 80)[0]
    assert cut[20:60].all()  # 20 rows at double size
    assert not cut[:20].any()
    assert not cut[60:].any()


def test_boxes_of_points():
    points = torch.tensor([[[1.0, 5], [3, 2], [2, 9]]])
    assert boxes_of_points(points).tolist() == [[1, 2, 3, 9]]


def test_boxes_of_bodies_are_those_of_their_projections():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(3, 50, 3, generator=generator) + torch.tensor([0.3, 0.1, 9])
    cam_k = torch.tensor([[500.0, 0, 130], [0, 450, 120], [0, 0, 1]])
    expected = boxes_of_points(project_perspective(points, cam_k))
    torch.testing.assert_close(boxes_of_bodies(points, cam_k), expected)


def test_cutting_crops_at_the_border_by_hand():
    # x 10 to 50 lies inside 0 to 40 up to 40; y -5 to 35 from 0 on.
    crops = torch.tensor([[30.0, 15, 40], [20, 20, 20]])
    expected = torch.tensor([[25.0, 17.5, 30, 35], [20, 20, 20, 20]])
    torch.testing.assert_close(cut_crops(crops, 40), expected)
    nowhere = cut_crops(torch.tensor([[100.0, 100, 10]]), 40)
    assert (nowhere[:, 2:] >= 1).all()


def test_a_stretched_crop_is_rendered_as_it_is_resized():
    points = torch.tensor([[[0.1, -0.2, 40.0], [-0.3, 0.5, 42.0]]])
    cam_k = perspective_intrinsics(5000.0, 256, points)
    crops = torch.tensor([[120.0, 130, 100, 200]])
    direct = project_perspective(points, crop_intrinsics(cam_k, crops, 128))
    torch.testing.assert_close(
        direct, points_to_crops(project_perspective(points, cam_k[None]), crops, 128)
    )
    # (128 + 12.5 - 70) * 128 / 100 and (128 - 25 - 30) * 128 / 200
    torch.testing.assert_close(direct[0, 0], torch.tensor([90.24, 46.72]))
