"""What a detector finds in a window of a photo, put back into the photo."""

import numpy as np

from predict.detectors.interface import Detection
from predict.detectors.masks import tight_box
from tools.detecting import Window, pack_floats, put_back
from utils.joints import COCO17, COCO17_SWAP

LEFT_KNEE, RIGHT_KNEE = COCO17.index("left_knee"), COCO17.index("right_knee")


def test_a_detection_comes_back_from_a_mirrored_and_cut_window():
    # A photo 10 px wide of which columns 2 to 9 are seen, mirrored: column 2 is the window's sixth.
    window = Window(True, (2, 1, 9, 8))
    mask = np.zeros((7, 7), dtype=bool)
    mask[3, 6] = True
    joints = np.zeros((17, 2), dtype=np.float32)
    joints[LEFT_KNEE] = (6.5, 3.5)
    confidence = np.arange(17, dtype=np.float32)
    found = put_back(Detection(mask, joints, confidence, tight_box(mask)), window)
    assert np.argwhere(found.silhouette).tolist() == [[3, 0]]  # of the seen part
    np.testing.assert_allclose(found.joints2d_px[RIGHT_KNEE], (2.5, 4.5))
    np.testing.assert_allclose(found.joint_confidence, confidence[list(COCO17_SWAP)])
    np.testing.assert_allclose(found.box, (2, 4, 3, 5))


def test_what_is_stored_is_small_and_near():
    values = np.array([0.3, -0.1234, 0.9])
    stored = pack_floats(values)
    assert stored.dtype == np.float16
    np.testing.assert_allclose(stored, values, atol=1 / 4096)
    assert pack_floats(np.array([True])).dtype == bool
