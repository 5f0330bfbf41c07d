"""Photos that end at the knees, the hips or the chest of the people in them."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from data.frames import Frame
from evaluate.true_people import TrueBodies
from utils.cameras import project_perspective
from utils.conventions import Cut
from utils.errors import InputError
from utils.joints import SMPL_JOINTS

# The photo ends at the mean height of these joints in it.
CUT_JOINTS: dict[Cut, tuple[str, ...]] = {
    "knees": ("left_knee", "right_knee"),
    "hips": ("left_hip", "right_hip"),
    "chest": ("left_shoulder", "right_shoulder", "left_hip", "right_hip"),
}
MIN_SEEN = 0.25  # share of the person's height in the photo that is left at least


@torch.inference_mode()
def cut_frames(frames: Sequence[Frame], cut: Cut, truth: TrueBodies) -> list[Frame]:
    """The same people in photos that end at a part of their body.

    Args:
        frames: whose cameras are known.
        cut: where photos end. Of people who stand on their heads, at least `MIN_SEEN` is left.
        truth: the bodies that the frames' truth is given for.

    Raises:
        InputError: a frame has no camera.
    """
    return [_cut_frame(frame, cut, truth) for frame in frames]


def _cut_frame(frame: Frame, cut: Cut, truth: TrueBodies) -> Frame:
    if frame.cam_k is None or frame.window is not None:
        raise InputError(f"{frame.name}: --cut {cut} needs photos whose camera is known")
    people = truth.pose([frame])
    cam_t, cam_k = torch.from_numpy(frame.cam_t), torch.from_numpy(frame.cam_k)[None]
    joints = [SMPL_JOINTS.index(name) for name in CUT_JOINTS[cut]]
    rows, ends = (
        project_perspective(points.cpu() + cam_t, cam_k)[0, :, 1]
        for points in (people.vertices, people.joints3d[:, joints])
    )
    top, bottom = rows.min().item(), rows.max().item()
    seen = max((ends.mean().item() - top) / (bottom - top), MIN_SEEN)
    height, width = frame.photo_size()
    end = min(max(round(top + seen * (bottom - top)), 1), height)
    return replace(frame, window=(0, 0, width, end), cut=1 - seen)
