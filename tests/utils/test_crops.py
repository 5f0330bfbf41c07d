import torch

from utils.cameras import (
    boxes_of_bodies,
    boxes_of_points,
    boxes_of_silhouettes,
    crop_intrinsics,
    cut_silhouettes,
    perspective_intrinsics,
    points_from_crops,
    points_to_crops,
    project_perspective,
    square_crops,
)


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
