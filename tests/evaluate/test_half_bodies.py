"""Photos that end at a part of the body."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.frames import Frame
from evaluate.half_bodies import cut_frames
from evaluate.open_benchmark import synthesise_people
from evaluate.true_people import TrueBodies
from tests.evaluation_sets import pose_body, upright_pose
from utils.errors import InputError
from utils.images import write_image
from utils.joints import SMPL_JOINTS

CAM_T = np.array([0, 0, 10], np.float32)
CAM_K = np.array([[800, 0, 100], [0, 800, 150], [0, 0, 1]], np.float32)


@pytest.fixture
def frame(tmp_path) -> Frame:
    write_image(tmp_path / "a.png", np.zeros((300, 200, 3), np.uint8))
    numbers = np.zeros(10, np.float32), upright_pose(0.2)
    return Frame("a", "a", tmp_path / "a.png", "neutral", *numbers, cam_t=CAM_T, cam_k=CAM_K)


@pytest.fixture
def truth(body_model) -> TrueBodies:
    return TrueBodies({"neutral": body_model}, torch.device("cpu"))


@pytest.mark.parametrize(("cut", "joint"), [("knees", "left_knee"), ("hips", "left_hip")])
def test_the_photo_ends_at_the_joints(frame, truth, body_model, cut, joint):
    (found,) = cut_frames([frame], cut, truth)
    output = pose_body(body_model, frame.betas, frame.pose)
    y, z = output.joints3d[0, SMPL_JOINTS.index(joint), 1:].numpy() + CAM_T[1:]
    assert found.window[:3] == (0, 0, 200)
    assert abs(found.window[3] - (800 * y / z + 150)) < 2  # px; the other side's joint is as high
    rows = output.vertices[0, :, 1].numpy()
    assert found.cut == pytest.approx((rows.max() - y) / np.ptp(rows), abs=0.02)
    assert found.read_photo().shape == (found.window[3], 200, 3)


def test_more_is_cut_off_higher_up_and_something_is_left(frame, truth):
    ends = [cut_frames([frame], cut, truth)[0].window[3] for cut in ("knees", "hips", "chest")]
    assert ends == sorted(ends, reverse=True)
    assert len(set(ends)) == 3
    upside_down = replace(frame, pose=np.zeros(72, np.float32))  # y up in a camera with y down
    assert cut_frames([upside_down], "knees", truth)[0].cut == pytest.approx(0.75, abs=0.05)


def test_unknown_cameras_are_refused(frame, truth):
    with pytest.raises(InputError, match="--cut hips needs photos whose camera is known"):
        cut_frames([replace(frame, cam_k=None)], "hips", truth)


def test_the_true_box_ends_with_the_photo(frame, truth):
    (found,) = cut_frames([frame], "hips", truth)
    _, whole = truth.look(frame, (300, 200))
    people, view = truth.look(found, found.photo_size())
    assert view.boxes[0, 3] == found.window[3] < whole.boxes[0, 3]
    assert torch.equal(view.crops, whole.crops)  # errors are measured in the same crop
    assert not view.visibility[0, -1]  # an ankle
    assert people.vertices.shape[0] == 1


def test_proxies_are_cut_as_photos_are():
    poses, betas = torch.from_numpy(upright_pose(0.0))[None], torch.zeros(1, 10)
    whole, half = (
        next(synthesise_people(poses, betas, 64, None, 0, cuts=cuts))
        for cuts in (None, torch.tensor([0.5]))
    )
    # The arms spread as wide as the person is tall, so both crops are as large.
    rows = [each.observation.silhouettes[0].any(dim=1).sum().item() for each in (whole, half)]
    assert rows[1] == pytest.approx(rows[0] / 2, abs=1.5)
    assert whole.observation.visibility.all()
    assert half.observation.visibility[0].tolist()[-2:] == [False, False]  # ankles
