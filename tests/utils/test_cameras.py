import torch

from utils.cameras import (
    fit_weak_perspective,
    norm_to_pixels,
    perspective_intrinsics,
    pixels_to_norm,
    points_from_crops,
    project_perspective,
    project_weak_perspective,
    weak_perspective_to_pinhole,
)


def test_edges_of_the_image_are_minus_one_and_one():
    # Width 4: the left edge is pixel coordinate 0, the centre 2, the right edge 4.
    points = norm_to_pixels(torch.tensor([-1.0, 0, 1]), 4)
    assert points.tolist() == [0, 2, 4]
    assert pixels_to_norm(points, 4).tolist() == [-1, 0, 1]


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
