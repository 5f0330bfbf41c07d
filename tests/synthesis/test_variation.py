"""Draws keep to their options; applying is deterministic and does what was drawn."""

import pytest
import torch

from synthesis.options import AugmentationOptions
from synthesis.variation import (
    Corruption,
    NearCamera,
    Variation,
    apply_near_camera,
    apply_truncation,
    corrupt_joints,
    corrupt_silhouettes,
    count_errors,
    draw_betas,
    draw_camera_shift,
    draw_corruption,
    draw_crop_variation,
    draw_near_camera,
    draw_truncation,
    draw_variation,
    draw_vertex_noise,
)
from utils.joints import COCO17, PARTS

_MANY = 20_000


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_normal_betas_have_the_mean_and_spread_asked_for(generator):
    mean = torch.linspace(-2, 2, 10)
    betas = draw_betas(AugmentationOptions(betas_std=1.5), mean, _MANY, generator)
    torch.testing.assert_close(betas.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(betas.std(0), torch.full((10,), 1.5), atol=0.05, rtol=0)


def test_uniform_betas_fill_their_range(generator):
    options = AugmentationOptions(betas_distribution="uniform", betas_range=3.0)
    betas = draw_betas(options, torch.ones(10), _MANY, generator)
    assert -2 <= betas.min() < -1.99
    assert 3.99 < betas.max() <= 4


def test_every_beta_may_have_its_own_spread(generator):
    stds = tuple(0.5 * number for number in range(10))
    betas = draw_betas(AugmentationOptions(betas_std=stds), torch.zeros(10), _MANY, generator)
    torch.testing.assert_close(betas.std(0), torch.tensor(stds), atol=0.1, rtol=0)
    assert (betas[:, 0] == 0).all()


def test_extents_may_have_two_ends(generator):
    options = AugmentationOptions(
        betas_distribution="uniform", betas_range=(-1, 4), cam_z_range=(-2, 8),
        crop_scale_range=(0, 0.3), crop_shift=(-3, 6),
    )  # fmt: skip
    crop = draw_crop_variation(options, _MANY, generator)
    drawn = {
        (-1, 4): draw_betas(options, torch.zeros(10), _MANY, generator),
        (-2, 8): draw_camera_shift(options, _MANY, generator)[:, 2],
        (0, 0.3): crop.scale,
        (-3, 6): crop.shift * 256,
    }
    for (low, high), numbers in drawn.items():
        near = (high - low) / 1000
        assert low <= numbers.min() < low + near
        assert high - near < numbers.max() <= high


def test_one_number_and_its_two_ends_draw_the_same():
    one, two = (
        draw_variation(options, 10, 5, torch.Generator().manual_seed(0))
        for options in (
            AugmentationOptions(crop_shift=5.0, cam_z_range=5.0, crop_scale_range=0.2),
            AugmentationOptions(
                crop_shift=(-5.0, 5.0), cam_z_range=(-5.0, 5.0), crop_scale_range=(-0.2, 0.2)
            ),
        )
    )
    assert torch.equal(one.camera_shift, two.camera_shift)
    assert all(torch.equal(*pair) for pair in zip(one.crop, two.crop, strict=True))
    assert all(torch.equal(*pair) for pair in zip(one.corruption, two.corruption, strict=True))


def test_vertex_noise_is_in_the_image_plane(generator):
    noise = draw_vertex_noise(AugmentationOptions(vertex_noise=0.01), 4, 1000, generator)
    assert noise.shape == (4, 1000, 2)
    assert 0.0099 < noise.abs().max() <= 0.01


def test_camera_and_crop_ranges(generator):
    options = AugmentationOptions()
    shift = draw_camera_shift(options, _MANY, generator)
    assert shift[:, :2].std().item() == pytest.approx(0.05, abs=0.002)
    assert 4.99 < shift[:, 2].abs().max() <= 5
    variation = draw_crop_variation(options, _MANY, generator)
    assert 0.199 < variation.scale.abs().max() <= 0.2
    assert 4.99 / 256 < variation.shift.abs().max() <= 5 / 256


def test_truncation_cuts_one_side_as_often_as_asked(generator):
    options = AugmentationOptions(truncate=0.3, truncate_most=0.5)
    cuts = draw_truncation(options, _MANY, generator)
    assert ((cuts > 0).sum(1) <= 1).all()
    assert (cuts > 0).any(1).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert 0.49 < cuts.max() <= 0.5
    assert not draw_truncation(AugmentationOptions(), 100, generator).any()


def test_applying_truncation_by_hand():
    # A quarter off the bottom of a box 40 high: y1 goes from 60 to 50.
    boxes = apply_truncation(torch.tensor([[10.0, 20, 30, 60]]), torch.tensor([[0, 0, 0, 0.25]]))
    assert boxes.tolist() == [[10, 20, 30, 50]]


def test_corruption_happens_as_often_as_asked(generator):
    options = AugmentationOptions(joint_dropout=0.2)
    drawn = draw_corruption(options, _MANY, generator)
    expected = torch.tensor([0] + [getattr(options, f"remove_{part}") for part in PARTS[1:]])
    torch.testing.assert_close(drawn.removed_parts.float().mean(0), expected, atol=0.01, rtol=0)
    assert drawn.dropped_joints.float().mean().item() == pytest.approx(0.2, abs=0.01)
    sides = drawn.boxes[:, 2:] - drawn.boxes[:, :2]
    occluded = sides[:, 0] > 0
    assert occluded.float().mean().item() == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(sides[occluded], torch.full_like(sides[occluded], 48 / 256))
    centres = (drawn.boxes[:, 2:] + drawn.boxes[:, :2]) / 2
    assert centres.min() >= 0.35
    assert centres.max() <= 0.65
    assert 0.99 * 8 / 256 < drawn.joint_shift.abs().max() <= 8 / 256


def test_hips_may_be_moved_further_than_other_joints():
    plain, noisy = (
        draw_corruption(
            AugmentationOptions(joint_noise=8, hip_noise=hip_noise),
            _MANY,
            torch.Generator().manual_seed(0),
        ).joint_shift
        * 256
        for hip_noise in (0, 4)
    )
    more = (noisy - plain).abs().amax(dim=(0, 2))  # (17,)
    hips = torch.tensor([name.endswith("hip") for name in COCO17])
    assert hips.sum() == 2
    assert (more[~hips] == 0).all()
    assert more[hips].min() > 3.99
    assert more.max() <= 4 + 1e-4


def _nothing(batch: int) -> Corruption:
    return Corruption(
        torch.zeros(batch, 7, dtype=torch.bool),
        torch.full((batch, 4), 0.5),
        torch.zeros(batch, 17, 2),
        torch.zeros(batch, 17, dtype=torch.bool),
    )


def test_removing_parts_and_clearing_a_box_by_hand():
    parts = torch.tensor([1, 2, 0, 6], dtype=torch.uint8).repeat(2, 4, 1)  # (2, 4, 4) columns
    corruption = _nothing(2)
    corruption.removed_parts[0, 2] = True
    corruption.boxes[1] = torch.tensor([0.5, 0.25, 1.0, 0.75])  # columns 2, 3 of rows 1, 2
    found = corrupt_silhouettes(parts, corruption).int()
    assert found[0].tolist() == [[1, 0, 0, 1]] * 4
    assert found[1].tolist() == [[1, 1, 0, 1], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 1]]
    assert torch.equal(corrupt_silhouettes(parts, _nothing(2)), parts > 0)


def test_moving_and_losing_joints_leaves_the_originals_alone():
    joints, visibility = torch.full((1, 17, 2), 10.0), torch.ones(1, 17, dtype=torch.bool)
    corruption = _nothing(1)
    corruption.joint_shift[0, 3] = torch.tensor([0.01, -0.02])
    corruption.dropped_joints[0, 5] = True
    moved, visible = corrupt_joints(joints, visibility, corruption, 200)
    torch.testing.assert_close(moved[0, 3], torch.tensor([12.0, 6]))
    assert not visible[0, 5]
    assert visible.sum() == 16
    assert (joints == 10).all()
    assert visibility.all()


def test_near_cameras_keep_to_their_distances(generator):
    options = AugmentationOptions(near=0.3, near_distances=(2.0, 8.0))
    camera = draw_near_camera(options, _MANY, generator)
    assert camera.near.float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert 2 <= camera.distance.min() < 2.01
    assert 7.9 < camera.distance.max() <= 8 + 1e-4
    # The inverse is uniform from 1/8 to 1/2: half of the people lie nearer than 1 / (5 / 16).
    assert camera.distance.median().item() == pytest.approx(3.2, rel=0.02)


def test_a_near_camera_changes_the_distance_alone():
    cam_t = torch.tensor([[0.1, 0.2, 42.0], [0.3, 0.4, 40.0]])
    moved = apply_near_camera(
        cam_t, NearCamera(torch.tensor([True, False]), torch.tensor([3.0, 4.0]))
    )
    assert torch.equal(moved, torch.tensor([[0.1, 0.2, 3.0], [0.3, 0.4, 40.0]]))


def test_wide_people_have_up_to_twice_the_betas_of_others():
    """The same numbers are drawn first; then each wide person's are stretched as a whole."""
    mean = torch.ones(10)
    plain, all_wide, half = (
        draw_betas(
            AugmentationOptions(betas_wide=share), mean, 400, torch.Generator().manual_seed(5)
        )
        - mean
        for share in (0.0, 1.0, 0.5)
    )
    factors = all_wide / plain  # (400, 10)
    torch.testing.assert_close(factors, factors[:, :1].expand(-1, 10), atol=1e-3, rtol=1e-3)
    assert factors.min() >= 1 - 1e-3
    assert factors.max() <= 2 + 1e-3
    assert factors.mean() == pytest.approx(1.5, abs=0.05)
    stretched = (half / plain)[:, 0] > 1 + 1e-4
    assert stretched.float().mean() == pytest.approx(0.5, abs=0.08)


def test_details_of_the_shape_are_drawn_after_the_betas():
    def draw(**options):
        generator = torch.Generator().manual_seed(5)
        options = AugmentationOptions(**options)
        return draw_betas(options, torch.ones(10), _MANY, generator, details=3)

    plain, detailed = draw(), draw(shape_details=2.2)
    assert plain.shape == (_MANY, 10)
    assert torch.equal(detailed[:, :10], plain)
    details = detailed[:, 10:]
    torch.testing.assert_close(details.mean(0), torch.zeros(3), atol=0.05, rtol=0)
    torch.testing.assert_close(details.std(0), torch.full((3,), 2.2), atol=0.05, rtol=0)


def test_errors_are_shared_out_in_order():
    """Of 10 people the first 4 have measured errors, 3 more the published ones, the last none."""
    assert count_errors(AugmentationOptions(), 10) == (0, 10)
    options = AugmentationOptions(corrupt=0.7, detector="mediapipe", detector_share=0.4)
    assert count_errors(options, 10) == (4, 7)
    drawn = draw_variation(options, 10, 5, torch.Generator())
    assert (drawn.measured_people, drawn.published_people) == (slice(4), slice(4, 7))
    assert len(drawn.measured.aside) == 4
    assert len(drawn.corruption.boxes) == len(drawn.vertex_noise) == 3
    # Who has measured errors has some, even where fewer people should have any.
    few = AugmentationOptions(corrupt=0.2, detector="mediapipe", detector_share=0.4)
    assert count_errors(few, 10) == (4, 4)


def test_nothing_is_drawn_for_people_without_errors(generator):
    drawn = draw_variation(AugmentationOptions(corrupt=0), 10, 5, generator)
    assert drawn.measured is drawn.corruption is drawn.vertex_noise is None
    assert drawn.near_camera is drawn.truncation is None
    assert drawn.camera_shift.shape == (10, 3)
    assert drawn.crop.scale.shape == (10,)


def test_the_plain_variation_is_of_nobody():
    assert all(value is None for value in (*Variation()[1:], *Variation().pose))
    assert Variation().published_people == slice(0, 0)


def test_the_seed_decides_all(generator):
    options = AugmentationOptions(
        turn=90, joint_angle_std=5, exchange_limbs=0.3, near=0.5, truncate=0.5, corrupt=0.8,
        detector="mediapipe",
    )  # fmt: skip
    first, same, other = (
        draw_variation(options, 10, 5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    for one, two, three in zip(*map(_tensors, (first, same, other)), strict=True):
        assert torch.equal(one, two)
        assert one.dtype == torch.bool or not torch.equal(one, three)


def _tensors(variation) -> list[torch.Tensor]:
    """All that was drawn, which must be something of everything."""
    if isinstance(variation, torch.Tensor):
        return [variation]
    assert variation is not None
    return [tensor for part in variation for tensor in _tensors(part)]
