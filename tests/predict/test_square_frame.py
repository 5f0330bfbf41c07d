"""The square frame of the released code: places by hand, there and back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from predict.detectors.framed import LEAST_CONFIDENCE, FramedDetector
from predict.detectors.interface import Detection
from predict.detectors.masks import tight_box
from predict.detectors.square_frame import SquareFrame
from predict.people import observe_people

CPU = torch.device("cpu")
# 60 x 100 px: padded by 20 px at the left and the right to 100 x 100, then halved.
TALL = SquareFrame(height=100, width=60, size=50)


def test_places_by_hand():
    assert TALL.scale == 0.5
    np.testing.assert_array_equal(TALL.shift, [20, 0])
    # (10, 40) in the photo: ((10 + 20) / 2, 40 / 2) in the frame.
    np.testing.assert_allclose(TALL.points_to_photo(np.array([[15.0, 20]])), [[10, 40]])
    # Centre (25, 25) and side 10 of the frame: (50 - 20, 50) and 20 of the photo.
    crops = TALL.crops_to_photo(torch.tensor([[25.0, 25, 10]]))
    torch.testing.assert_close(crops, torch.tensor([[30.0, 50, 20]]))
    wide = SquareFrame(height=2, width=5, size=10)  # 3 rows are missing: 1 above, 2 below
    np.testing.assert_array_equal(wide.shift, [0, 1])


def test_the_picture_is_padded_with_black_and_resized():
    photo = np.full((100, 60, 3), 90, np.uint8)
    photo[:50] = (200, 0, 0)
    picture = TALL.picture(photo)
    assert picture.shape == (50, 50, 3)
    assert not picture[:, :10].any()
    assert not picture[:, 40:].any()
    assert (picture[:25, 10:40] == (200, 0, 0)).all()
    assert (picture[25:, 10:40] == 90).all()
    np.testing.assert_array_equal(TALL.covered(), picture.any(axis=2))


@pytest.mark.parametrize("shape", [(100, 60), (40, 70), (33, 33), (7, 300)])
def test_a_mask_comes_back(shape):
    frame = SquareFrame(*shape, size=512)
    mask = np.random.default_rng(0).random(shape) < 0.5
    white = np.repeat(mask[..., None], 3, axis=2) * np.uint8(255)
    returned = frame.mask_to_photo(frame.picture(white)[..., 0] > 127)
    np.testing.assert_array_equal(returned, mask)  # the frame is finer than these photos


class _BoxDetector:
    """Finds somebody in columns 200 to 300, rows 100 to 400 of a frame, and remembers its shape."""

    def __init__(self) -> None:
        self.shapes = []

    def detect(self, image: np.ndarray) -> list[Detection]:
        self.shapes.append(image.shape)
        silhouette = np.zeros(image.shape[:2], bool)
        silhouette[100:400, 200:300] = True
        joints = np.linspace([200, 100], [300, 400], 17).astype(np.float32)
        confidence = np.linspace(0, 1, 17).astype(np.float32)
        return [Detection(silhouette, joints, confidence, tight_box(silhouette))]


def test_people_are_found_in_the_frame_and_carried_to_the_photo():
    detector = _BoxDetector()
    (person,) = FramedDetector(detector, 512).detect(np.zeros((256, 128, 3), np.uint8))
    assert detector.shapes == [(512, 512, 3)]
    # Twice as large and 64 px of the photo to the right: columns 36 to 86, rows 50 to 200.
    np.testing.assert_array_equal(person.box, [36, 50, 86, 200])
    assert person.silhouette.shape == (256, 128)
    assert person.silhouette[50:200, 36:86].all()
    assert person.silhouette.sum() == 150 * 50
    np.testing.assert_allclose(person.joints2d_px[[0, 16]], [[36, 50], [86, 200]])
    assert person.joint_confidence[0] == pytest.approx(LEAST_CONFIDENCE)
    assert person.joint_confidence[16] == 1


def test_the_network_is_given_the_frame_and_says_crops_of_the_photo():
    (person,) = FramedDetector(_BoxDetector(), 512).detect(np.zeros((256, 128, 3), np.uint8))
    observation, crops, inside = observe_people([person], 256, CPU, "published")
    # The frame's box has centre (250, 250) and side 300, of which 1.2 times is 360.
    torch.testing.assert_close(crops, torch.tensor([[125.0 - 64, 125, 180]]))
    torch.testing.assert_close(
        observation.joints2d_px[0, 0], torch.tensor([200.0 - 70, 100 - 70]) * 256 / 360
    )
    # Pixel i of the crop is read at the frame's pixel 70 + (i + 0.5) * 360 / 256, floored.
    columns = np.floor(70 + (np.arange(256) + 0.5) * 360 / 256)
    expected = ((columns >= 200) & (columns < 300), (columns >= 100) & (columns < 400))
    np.testing.assert_array_equal(
        observation.silhouettes[0].numpy(), expected[1][:, None] & expected[0]
    )
    # The photo covers columns 128 to 384 of the frame.
    np.testing.assert_array_equal(inside[0, 128].numpy(), (columns >= 128) & (columns < 384))
    assert (observation.proxy(rule="published")[0, 1:].flatten(1).amax(dim=1) > 0).all()


def test_a_person_of_the_padding_alone_is_nobody():
    class Padding(_BoxDetector):
        def detect(self, image):
            (person,) = super().detect(image)  # columns 400 to 500; the photo ends at 384
            return [replace(person, silhouette=np.roll(person.silhouette, 200, axis=1))]

    assert FramedDetector(Padding(), 512).detect(np.zeros((256, 128, 3), np.uint8)) == []
