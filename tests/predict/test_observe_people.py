"""What the network looks at, out of detections."""

import numpy as np
import torch

from metrics.metrics import silhouette_iou
from models.body_model import BodyModel
from models.decoder import BodyParameters, decode_in_photos
from predict.detectors.interface import Detection
from predict.detectors.masks import tight_box
from predict.people import observe_people
from renderers.rasteriser import Rasteriser, render_silhouettes
from tests.observations import made_up_estimates
from utils.cameras import (
    project_perspective,
)
from utils.joints import COCO17_IN_90

CPU = torch.device("cpu")
SIZE = 64
PHOTO = (720, 1280)  # height, width


def _detection(body_model: BodyModel, parameters: BodyParameters) -> tuple[Detection, torch.Tensor]:
    """A detection that is exactly right: rendered, in a photo; with the pinhole camera used."""
    output = body_model(parameters.betas, parameters.pose_rotmats)
    vertices_cam = output.vertices + torch.tensor([0.3, 0.1, 42.0])
    joints_cam = output.joints3d[:, COCO17_IN_90] + torch.tensor([0.3, 0.1, 42.0])
    cam_k = torch.tensor([[[13200.0, 0, 640], [0, 13200, 360], [0, 0, 1]]])
    rasteriser = Rasteriser(body_model.faces, body_model.face_parts, image_size=PHOTO)
    silhouette = (rasteriser.part_segmentation(vertices_cam, cam_k)[0] > 0).numpy()
    joints2d_px = project_perspective(joints_cam, cam_k)[0].numpy()
    return Detection(silhouette, joints2d_px, np.ones(17, np.float32), tight_box(silhouette)), cam_k


def test_undetected_joints_give_empty_channels(body_model):
    detection, _ = _detection(body_model, made_up_estimates(1))
    confidence = detection.joint_confidence.copy()
    confidence[3] = 0
    hidden = Detection(detection.silhouette, detection.joints2d_px, confidence, detection.box)
    proxy = observe_people([hidden], SIZE, CPU)[0].proxy()
    assert proxy[0, 1 + 3].max() == 0
    assert (proxy[0].flatten(1).amax(1) > 0).sum() == 17  # silhouette and 16 joints


def test_photos_of_several_sizes_go_in_one_batch():
    detections = []
    for height, width in ((100, 50), (60, 200)):
        silhouette = np.zeros((height, width), dtype=bool)
        silhouette[10:50, 20:40] = True
        joints = np.full((17, 2), 30, np.float32)
        detections.append(Detection(silhouette, joints, np.ones(17, np.float32), np.zeros(4)))
    observation, crops, inside_photo = observe_people(detections, SIZE, CPU)
    # The same 20 x 40 box in both photos: centre (30, 30), side 40 * 1.2.
    torch.testing.assert_close(crops, torch.tensor([[30.0, 30, 48], [30, 30, 48]]))
    proxy = observation.proxy()
    assert torch.equal(proxy[0], proxy[1])
    assert inside_photo[0].float().mean() < 1  # the crop reaches beyond y = 0 ... and x = 50
    assert not inside_photo[0][:, -1].any()


def test_a_perfect_network_covers_the_silhouette(body_model):
    parameters = BodyParameters(*(value[:1] for value in made_up_estimates(1)))
    detection, cam_k = _detection(body_model, parameters)
    observation, crops, inside_photo = observe_people([detection], SIZE, CPU)
    # The camera that pictures the body so: pixels per metre, and where the body's origin lands.
    scale_px = cam_k[0, 0, 0] / 42
    side = crops[0, 2]
    origin_px = torch.tensor([640.0, 360]) + scale_px * torch.tensor([0.3, 0.1])
    shift = (origin_px - crops[0, :2]) / scale_px
    cam_wp = torch.cat([(2 * scale_px / side)[None], shift])[None]
    bodies = decode_in_photos(parameters._replace(cam_wp=cam_wp), body_model, crops)
    rasteriser = Rasteriser(body_model.faces, body_model.face_parts, image_size=SIZE)
    found = render_silhouettes(bodies.vertices, bodies.cam_wp, rasteriser)
    assert silhouette_iou(found, observation.silhouettes, inside_photo).item() > 0.95
