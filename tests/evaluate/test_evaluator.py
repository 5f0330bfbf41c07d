"""Predictions against the truth: every metric by hand, and what becomes of photos."""

import math

import numpy as np
import pytest
import torch
import trimesh

from data.frames import Frame
from evaluate.evaluator import Evaluator, Prediction
from evaluate.sources import PhotoSource, evaluate_mean
from evaluate.true_people import TrueBodies, TrueView
from metrics.anatomy import Anatomy
from metrics.measurements import measure
from models.body_model import BodyModel
from models.checkpoints import Predictor
from models.decoder import BodyParameters, decode_in_photos
from predict.detectors.interface import Detection
from tests.evaluation_sets import photo_of, picture_of, pose_body, upright_pose, write_picture
from utils.joints import BODY_MODEL_JOINTS, COCO17_IN_90, LSP14_IN_90, SMPL_JOINTS
from utils.rotations import pose_to_rotmats

CPU = torch.device("cpu")
PELVIS = BODY_MODEL_JOINTS.index("h36m_pelvis")
FOCAL, CAM_T = 4000.0, np.array([0.1, 0.2, 60], np.float32)


class Told(torch.nn.Module):
    """Says of everybody what it was told."""

    def __init__(self, pose: np.ndarray, betas: np.ndarray, cam_wp: tuple = (0.9, 0.0, 0.0)):
        super().__init__()
        rotmats = pose_to_rotmats(torch.from_numpy(pose)[None])
        self.said = BodyParameters(
            torch.tensor([cam_wp]), rotmats, torch.from_numpy(betas).float()[None]
        )
        estimate = torch.cat(
            [self.said.cam_wp[0], rotmats[0, :, :, :2].flatten(), self.said.betas[0]]
        )
        self.initial_estimate = estimate

    def forward(self, observation):
        count = len(observation.silhouettes)
        return BodyParameters(*(field.expand(count, *field.shape[1:]) for field in self.said))


def _evaluator(body, regressor, bodies=None) -> Evaluator:
    truth = TrueBodies(bodies or {"neutral": body}, CPU)
    return Evaluator(Predictor(regressor, body, 64, 1), truth, CPU)


def _frame(tmp_path, body, name="a", pose=None, betas=None, **changes) -> Frame:
    """Somebody on a photo with a camera."""
    pose = upright_pose(0) if pose is None else pose
    betas = np.zeros(10, np.float32) if betas is None else betas
    silhouette, _ = picture_of(body, betas, pose, CAM_T, FOCAL)
    path = tmp_path / f"{name}.png"
    write_picture(path, photo_of(silhouette))
    cam_k = np.array([[FOCAL, 0, 80], [0, FOCAL, 80], [0, 0, 1]], np.float32)
    camera = {"cam_t": CAM_T, "cam_k": cam_k}
    return Frame(name, name, path, "neutral", betas, pose, **{**camera, **changes})


def _whole_view(**known) -> TrueView:
    """One person whose photo is the reference crop; nothing else is known."""
    unknown = dict.fromkeys(("boxes", "silhouettes", "joints2d_px", "visibility"))
    everywhere = torch.ones(1, 256, 256, dtype=torch.bool)
    crops = torch.tensor([[128.0, 128, 256]])
    return TrueView(**{"crops": crops, "counted": everywhere, **unknown, **known})


def _measured(body, pred: tuple, true: tuple, view=None, cam_wp=(0.9, 0.0, 0.0)) -> dict:
    """Metrics of one person; pred and true are (pose, betas)."""
    told = Told(*pred, cam_wp)
    evaluator = _evaluator(body, told)
    frame = Frame("a", "a", None, "neutral", true[1], true[0])
    view = view or _whole_view()
    bodies = decode_in_photos(told.said, body, view.crops)
    people = evaluator.truth.pose([frame])
    return evaluator.measure(Prediction(None, bodies, people, view))[0]


def test_the_right_answer_has_no_error(body_model):
    same = (upright_pose(0.3, 0.5), np.full(10, 0.4, np.float32))
    values = _measured(body_model, same, same)
    assert values.keys() == {
        "pve", "pve_sc", "pve_pa", "pve_t", "pve_t_sc", "mpjpe", "mpjpe_sc", "mpjpe_pa",
        "pose_mse", "shape_mse", "height_error", "chest_error", "waist_error", "hips_error",
        "chest_error_with_height", "waist_error_with_height", "hips_error_with_height",
    }  # fmt: skip
    assert max(values.values()) < 1e-3


def test_a_body_turned_about_the_vertical(body_model):
    betas = np.zeros(10, np.float32)
    values = _measured(body_model, (upright_pose(math.pi), betas), (upright_pose(0), betas))
    # A half turn about the vertical through the pelvis carries (x, z) to (-x, -z).
    output = pose_body(body_model, betas, upright_pose(0))
    pelvis = output.joints3d[0, PELVIS]
    for name, points in (("pve", output.vertices[0]), ("mpjpe", output.joints3d[0, LSP14_IN_90])):
        offset = (points - pelvis)[:, [0, 2]].norm(dim=1)
        assert values[name] == pytest.approx(2000 * offset.mean().item(), rel=1e-4)
        assert values[f"{name}_pa"] < 0.02  # which takes the turn away
    assert values["pve_t"] < 1e-3
    # The root's matrix changes sign in four entries, none of the others does: two of size 1 in
    # the rows of x and z each change by 2.
    assert values["pose_mse"] == pytest.approx((2**2 + 2**2) / (24 * 9), rel=1e-4)


def test_a_bent_elbow(body_model):
    betas = np.zeros(10, np.float32)
    pred, true = upright_pose(0, math.pi / 2), upright_pose(0)
    values = _measured(body_model, (pred, betas), (true, betas))
    # A quarter turn against the identity: two entries differ by -1, two by 1.
    assert values["pose_mse"] == pytest.approx(4 / (24 * 9), rel=1e-4)
    straight, bent = (pose_body(body_model, betas, pose).joints3d[0] for pose in (true, pred))
    moved = (straight - bent)[list(LSP14_IN_90)].norm(dim=1)
    assert (moved > 0.2).sum() == 1  # the left wrist of 14
    assert values["mpjpe"] == pytest.approx(1000 * moved.sum().item() / 14, rel=1e-4)


def test_another_shape(body_model):
    pose, betas, more = upright_pose(0), np.zeros(10, np.float32), np.zeros(10, np.float32)
    more[0] = 2.0
    values = _measured(body_model, (pose, more), (pose, betas))
    assert values["shape_mse"] == pytest.approx(2**2 / 10)
    rest = [body_model.tpose(torch.from_numpy(each)[None])[0].numpy() for each in (betas, more)]
    assert values["pve_t"] == pytest.approx(
        1000 * np.linalg.norm(rest[1] - rest[0], axis=1).mean(), rel=1e-4
    )
    centred = [each - each.mean(axis=0) for each in rest]
    scale = np.linalg.norm(centred[0]) / np.linalg.norm(centred[1])
    expected = 1000 * np.linalg.norm(scale * centred[1] - centred[0], axis=1).mean()
    assert values["pve_t_sc"] == pytest.approx(expected, rel=1e-3)
    true, pred = (measure(each, Anatomy.of(body_model)) for each in rest)
    assert values["height_error"] == pytest.approx(100 * abs(pred.height_m - true.height_m))
    assert values["waist_error"] == pytest.approx(100 * abs(pred.waist_m - true.waist_m))


def test_joints_and_silhouette_of_a_shifted_camera(body_model):
    same = (upright_pose(0), np.zeros(10, np.float32))
    joints = pose_body(body_model, same[1], same[0]).joints3d[:, COCO17_IN_90]
    joints2d_px = (0.9 * joints[..., :2] + 1) * 128  # weak perspective, camera (0.9, 0, 0)
    visibility = torch.zeros(1, 17, dtype=torch.bool)
    visibility[0, :5] = True
    joints2d_px[0, 5:] = 1e4  # not visible: must not count
    left_half = torch.zeros(1, 256, 256, dtype=torch.bool)
    left_half[..., :128] = True
    view = _whole_view(joints2d_px=joints2d_px, visibility=visibility, silhouettes=left_half)
    values = _measured(body_model, same, same, view, cam_wp=(0.9, 0.1, 0.0))
    assert values["joints2d_l2"] == pytest.approx(0.9 * 0.1 * 128, rel=1e-3)

    told = Told(*same, (0.9, 0.1, 0.0))
    evaluator = _evaluator(body_model, told)
    bodies = decode_in_photos(told.said, body_model, view.crops)
    prediction = Prediction(None, bodies, evaluator.truth.pose([_bare(same)]), view)
    body = evaluator.render_silhouettes(prediction)
    both = body[..., :128].sum().item()
    union = 128 * 256 + body[..., 128:].sum().item()
    assert both > 1000
    assert values["silhouette_iou"] == pytest.approx(both / union, rel=1e-5)
    # What the photo does not cover does not count: here all but the left half.
    inside = view._replace(counted=left_half)
    values = _measured(body_model, same, same, inside, cam_wp=(0.9, 0.1, 0.0))
    assert values["silhouette_iou"] == pytest.approx(both / (128 * 256), rel=1e-5)


def _bare(person: tuple) -> Frame:
    return Frame("a", "a", None, "neutral", person[1], person[0])


def test_each_person_gets_the_body_of_their_gender():
    bodies = {gender: BodyModel.load("open", gender) for gender in ("male", "female")}
    truth = TrueBodies(bodies, CPU)
    betas = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)
    genders = ("female", "male", "female", "male")
    frames = [
        Frame("a", "a", None, gender, each, upright_pose(index))
        for index, (gender, each) in enumerate(zip(genders, betas, strict=True))
    ]
    people = truth.pose(frames)
    for row, frame in enumerate(frames):
        alone = pose_body(bodies[frame.gender], frame.betas, frame.pose)
        torch.testing.assert_close(people.vertices[row], alone.vertices[0])
        torch.testing.assert_close(people.joints3d[row], alone.joints3d[0])
    meshes = [
        trimesh.Trimesh(body, bodies["male"].faces, process=False)
        for body in people.vertices_tpose.numpy()
    ]
    expected = [1000 * mesh.volume / mesh.extents[1] ** 2 for mesh in meshes]
    assert truth.compute_bmis(frames, batch_size=2) == pytest.approx(expected, rel=1e-4)


def test_true_bodies_are_measured_once(body_model, monkeypatch):
    measured = []

    def counted(vertices, anatomy):
        measured.append(vertices)
        return measure(vertices, anatomy)

    monkeypatch.setattr("metrics.comparison.measure", counted)
    truth = TrueBodies({"neutral": body_model}, CPU)
    frames = [_bare((upright_pose(0), np.full(10, 0.1 * row, np.float32))) for row in range(3)]
    first = truth.pose(frames).measurements
    again = truth.pose(frames[::-1]).measurements
    assert torch.equal(first, again.flip(0))
    assert len(measured) == 3
    for row, vertices in enumerate(measured):
        assert first[row].tolist() == list(measure(vertices, Anatomy.of(body_model)))


def test_only_joints_are_compared_between_meshes(body_model, licensed_set, tmp_path):
    other = {"neutral": BodyModel.load("smpl", "neutral", licensed_set)}
    same = (upright_pose(0), np.zeros(10, np.float32))
    evaluator = _evaluator(body_model, Told(*same), other)
    (outcome,) = PhotoSource(evaluator, None).evaluate([_frame(tmp_path, body_model)], 1)
    assert outcome.values.keys() == {
        "mpjpe", "mpjpe_sc", "mpjpe_pa", "pose_mse", "joints2d_l2", "silhouette_iou",
        "silhouette_intersection", "silhouette_union",
    }  # fmt: skip
    assert outcome.values["mpjpe"] < 0.1  # the made-up set is the same body, renumbered


def test_the_datasets_own_proxies(body_model, tmp_path):
    """A camera that fits the crop gives the right place, and the proxy shows the person."""
    frame = _frame(tmp_path, body_model)
    evaluator = _evaluator(body_model, Told(frame.pose, frame.betas))
    seen = evaluator.see(frame, None)
    scale_px = FOCAL / CAM_T[2]  # of the photo, per metre
    crop = seen.view.crops[0].numpy()
    half = crop[2] / 2
    centre = 80 + scale_px * CAM_T[:2]  # where the body's origin is
    cam_wp = (scale_px / half, *((centre - crop[:2]) / scale_px))
    evaluator = _evaluator(body_model, Told(frame.pose, frame.betas, tuple(map(float, cam_wp))))
    (outcome,) = PhotoSource(evaluator, None).evaluate([frame], 1)
    assert outcome.problem == ""
    assert outcome.values["silhouette_iou"] > 0.94
    assert outcome.values["joints2d_l2"] < 1.5  # px of 256; boxes of silhouettes are whole pixels
    assert outcome.values["pve"] < 1e-3
    prediction = evaluator.predict_seen([seen])
    proxy = prediction.observation.proxy()
    assert proxy.shape == (1, 18, 64, 64)
    assert proxy[0, 1:].amax(dim=(1, 2)).min() > 0.5


def test_annotated_silhouettes_and_joints_go_before_the_camera(body_model, tmp_path):
    mask = np.zeros((160, 160), np.uint8)
    mask[40:120, 60:100] = 255
    write_picture(tmp_path / "mask.png", mask)
    joints2d_px = np.full((17, 2), 70, np.float32)
    frame = _frame(
        tmp_path, body_model, silhouette=tmp_path / "mask.png", joints2d_px=joints2d_px,
        visibility=np.arange(17) < 3, window=(10, 20, 150, 160),
    )  # fmt: skip
    evaluator = _evaluator(body_model, Told(frame.pose, frame.betas))
    seen = evaluator.see(frame, None)
    assert seen.photo.shape == (140, 140, 3)
    # The box is (60, 40, 100, 120) less the window's corner (10, 20); the crop's side 80 * 1.2.
    assert seen.view.boxes.tolist() == [[50, 20, 90, 100]]
    assert seen.view.crops.tolist() == [pytest.approx([70, 60, 96])]
    assert seen.detection.silhouette.sum() == 40 * 80
    assert seen.detection.joint_confidence.tolist() == [1] * 3 + [0] * 14
    # 40 of 96 columns and 80 of 96 rows of the crop.
    assert seen.view.silhouettes.float().mean().item() == pytest.approx(40 * 80 / 96**2, rel=0.02)


class FakeDetector:
    """Finds what it is told, or fails."""

    def __init__(self, *boxes: tuple, failure: str = "") -> None:
        self._boxes, self._failure = boxes, failure

    def detect(self, image: np.ndarray) -> list[Detection]:
        if self._failure:
            raise RuntimeError(self._failure)
        return [self._detection(image, box) for box in self._boxes]

    def _detection(self, image, box) -> Detection:
        silhouette = np.zeros(image.shape[:2], dtype=bool)
        x0, y0, x1, y1 = box
        silhouette[y0:y1, x0:x1] = True
        joints = np.full((17, 2), (x0 + x1) / 2, np.float32)
        return Detection(silhouette, joints, np.ones(17, np.float32), np.array(box, np.float32))


def test_the_right_one_of_several_people_is_taken(body_model, tmp_path):
    frame = _frame(tmp_path, body_model)
    evaluator = _evaluator(body_model, Told(frame.pose, frame.betas))
    x0, y0, x1, y1 = (round(number) for number in evaluator.see(frame, None).view.boxes[0].tolist())
    beside, nearly = (0, 0, 20, 150), (x0 + 2, y0, x1, y1 - 3)
    for boxes in ((beside, nearly), (nearly, beside)):
        seen = evaluator.see(frame, FakeDetector(*boxes))
        assert seen.detection.box.tolist() == list(nearly)
    assert evaluator.see(frame, FakeDetector(beside)).reason == "somebody else found"
    assert evaluator.see(frame, FakeDetector()).reason == "nobody found"


def test_nobody_is_dropped_silently(body_model, tmp_path):
    frames = [_frame(tmp_path, body_model, name) for name in "abc"]
    (tmp_path / "b.png").write_text("not an image")
    evaluator = _evaluator(body_model, Told(frames[0].pose, frames[0].betas))
    done = []
    outcomes = PhotoSource(evaluator, None).evaluate(frames, 2, done.append)
    assert done == [2, 1]
    assert [outcome.frame.name for outcome in outcomes] == ["a", "b", "c"]
    assert "b.png does not hold an image" in outcomes[1].problem
    assert outcomes[1].values == {}
    assert outcomes[0].values == pytest.approx(outcomes[2].values)
    assert [bool(o.problem) for o in evaluate_mean(evaluator, frames, 2)] == [False, True, False]
    for failing, problem in (
        (
            FakeDetector(failure="out of\nmemory"),
            "the detector failed: RuntimeError: out of memory",
        ),
        (FakeDetector(), "nobody found"),
    ):
        assert PhotoSource(evaluator, failing).evaluate(frames[:1], 1)[0].problem == problem


def test_the_mean_is_where_the_network_starts(body_model, tmp_path):
    frame = _frame(tmp_path, body_model, pose=upright_pose(0.4, 0.8))
    evaluator = _evaluator(body_model, Told(upright_pose(0), np.zeros(10, np.float32)))
    (mean,) = evaluate_mean(evaluator, [frame], 4)
    (told,) = PhotoSource(evaluator, None).evaluate([frame], 4)  # the same answer from the network
    for name in ("pve", "pve_pa", "mpjpe", "pose_mse"):
        assert mean.values[name] == pytest.approx(told.values[name], rel=1e-4)
    elbow = SMPL_JOINTS.index("left_elbow")
    assert frame.pose.reshape(24, 3)[elbow, 1] == pytest.approx(0.8)
    assert mean.values["pose_mse"] > 0.001
