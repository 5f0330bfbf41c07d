"""From detections to bodies in the photo."""

import numpy as np
import pytest
import torch

from metrics.metrics import silhouette_iou
from models.body_model import BodyModel
from models.regressor import BodyParameters
from predict.detectors.interface import Detection
from predict.detectors.masks import tight_box
from predict.pipeline import (
    observe_people,
    place_in_photos,
    predict_bodies,
)
from renderers.rasteriser import Rasteriser
from renderers.silhouettes import regressed_silhouettes
from utils.cameras import (
    points_to_crops,
    project_perspective,
)
from utils.joints import COCO17_IN_90
from utils.rotations import axis_angle_to_rotmat

CPU = torch.device("cpu")
SIZE = 64
PHOTO = (720, 1280)  # height, width


@pytest.fixture(scope="module")
def body_model() -> BodyModel:
    return BodyModel.load().eval()


def _parameters(count: int) -> BodyParameters:
    generator = torch.Generator().manual_seed(0)
    pose = 0.2 * torch.randn(count, 24, 3, generator=generator)
    pose[:, 0] = torch.tensor([torch.pi, 0.0, 0.0])
    cam_wp = torch.tensor([[0.9, 0.05, 0.2], [0.7, -0.1, 0.3]])[:count]
    return BodyParameters(
        cam_wp, axis_angle_to_rotmat(pose), torch.randn(count, 10, generator=generator)
    )


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
    detection, _ = _detection(body_model, _parameters(1))
    confidence = detection.joint_confidence.copy()
    confidence[3] = 0
    hidden = Detection(detection.silhouette, detection.joints2d_px, confidence, detection.box)
    proxy = observe_people([hidden], SIZE, CPU).observation.proxy()
    assert proxy[0, 1 + 3].max() == 0
    assert (proxy[0].flatten(1).amax(1) > 0).sum() == 17  # silhouette and 16 joints


def test_photos_of_several_sizes_go_in_one_batch():
    detections = []
    for height, width in ((100, 50), (60, 200)):
        silhouette = np.zeros((height, width), dtype=bool)
        silhouette[10:50, 20:40] = True
        joints = np.full((17, 2), 30, np.float32)
        detections.append(Detection(silhouette, joints, np.ones(17, np.float32), np.zeros(4)))
    batch = observe_people(detections, SIZE, CPU)
    # The same 20 x 40 box in both photos: centre (30, 30), side 40 * 1.2.
    torch.testing.assert_close(batch.crops, torch.tensor([[30.0, 30, 48], [30, 30, 48]]))
    proxy = batch.observation.proxy()
    assert torch.equal(proxy[0], proxy[1])
    assert batch.inside_photo[0].float().mean() < 1  # the crop reaches beyond y = 0 ... and x = 50
    assert not batch.inside_photo[0][:, -1].any()


def test_bodies_land_where_the_crop_camera_puts_them(body_model):
    parameters = _parameters(2)
    crops = torch.tensor([[100.0, 80, 120], [300, 200, 90]])
    bodies = place_in_photos(parameters, crops, body_model)
    # By hand: u = s (x + tx) in [-1, 1]; the crop's pixel is centre + u * side / 2.
    x, y = bodies.joints3d[1, 7, :2]
    scale, tx, ty = parameters.cam_wp[1]
    expected = torch.stack([300 + scale * (x + tx) * 45, 200 + scale * (y + ty) * 45])
    torch.testing.assert_close(bodies.joints2d_px[1, 7], expected)
    # The weak-perspective camera of the photo says the same,
    flat = bodies.joints3d[..., :2] * bodies.cam_photo[:, None, :1] + bodies.cam_photo[:, None, 1:]
    torch.testing.assert_close(bodies.joints2d_px, flat)
    # the pinhole camera 42 m away almost,
    pinhole = project_perspective(bodies.joints3d + bodies.cam_t[:, None], bodies.cam_k)
    assert (pinhole - bodies.joints2d_px).norm(dim=-1).max() < 0.02 * 120
    # and so does the crop.
    in_crop = points_to_crops(bodies.joints2d_px, crops, 2) - 1
    torch.testing.assert_close(
        in_crop[1, 7], torch.stack([scale * (x + tx), scale * (y + ty)]), atol=1e-5, rtol=1e-5
    )


def test_batched_is_one_by_one(body_model):
    parameters, crops = _parameters(2), torch.tensor([[100.0, 80, 120], [300, 200, 90]])
    together = place_in_photos(parameters, crops, body_model)
    for index in range(2):
        single = BodyParameters(*(value[index : index + 1] for value in parameters))
        alone = place_in_photos(single, crops[index : index + 1], body_model)
        for name, values in together.person(index).items():
            np.testing.assert_allclose(values, alone.person(0)[name], atol=2e-4, rtol=1e-5)


def test_a_perfect_network_covers_the_silhouette(body_model):
    parameters = BodyParameters(*(value[:1] for value in _parameters(1)))
    detection, cam_k = _detection(body_model, parameters)
    batch = observe_people([detection], SIZE, CPU)
    # The camera that pictures the body so: pixels per metre, and where the body's origin lands.
    scale_px = cam_k[0, 0, 0] / 42
    side = batch.crops[0, 2]
    origin_px = torch.tensor([640.0, 360]) + scale_px * torch.tensor([0.3, 0.1])
    shift = (origin_px - batch.crops[0, :2]) / scale_px
    cam_wp = torch.cat([(2 * scale_px / side)[None], shift])[None]
    bodies = predict_bodies(
        lambda observation: parameters._replace(cam_wp=cam_wp), body_model, batch
    )
    rasteriser = Rasteriser(body_model.faces, body_model.face_parts, image_size=SIZE)
    found = regressed_silhouettes(bodies.vertices, bodies.cam_wp, rasteriser)
    assert silhouette_iou(found, batch.observation.silhouettes, batch.inside_photo).item() > 0.95


def test_a_camera_that_shrinks_the_body_to_nothing_is_survived(body_model):
    parameters = _parameters(1)._replace(cam_wp=torch.tensor([[-0.5, 0.0, 0.0]]))
    parameters = BodyParameters(*(value[:1] for value in parameters))
    bodies = place_in_photos(parameters, torch.tensor([[50.0, 50, 100]]), body_model)
    assert all(value.isfinite().all() for value in bodies)
    assert bodies.cam_wp[0, 0] > 0
