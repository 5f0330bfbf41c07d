"""The demo images, and the script that makes them."""

import numpy as np
import pytest
import torch

from data.truth import read_truth, truth_path
from metrics.anatomy import Anatomy
from metrics.measurements import measure
from models.body_model import BodyModel
from predict.detectors.mediapipe_pose import MediaPipeDetector
from renderers.rasteriser import Rasteriser
from scenes.clothing import HAIR, SHIRT, SHOES, SKIN, TROUSERS, Marks, label_garments
from scenes.lighting import Light, ShadowMaps, irradiance
from scenes.noise import value_noise
from scenes.people import PEOPLE
from tools.build_demo import pose_figure
from utils.cameras import project_perspective
from utils.images import find_images, read_image
from utils.joints import COCO17_IN_90, PARTS
from utils.paths import DEMO
from utils.rotations import pose_to_rotmats

MAX_FILE_SIZE = 300_000  # bytes


@pytest.fixture(scope="module")
def detector() -> MediaPipeDetector:
    return MediaPipeDetector()


def test_every_person_has_an_image_with_truth_and_nothing_else():
    images = find_images(DEMO)
    assert sorted(path.stem for path in images) == sorted(person.name for person in PEOPLE)
    for path in images:
        assert path.stat().st_size <= MAX_FILE_SIZE
        assert 640 <= max(read_image(path).shape) <= 800
        assert truth_path(path).is_file()


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
def test_the_detector_finds_the_person_where_the_truth_says(person, detector):
    path = DEMO / f"{person.name}.jpg"
    image, truth = read_image(path), read_truth(truth_path(path))
    body = BodyModel.load(truth.body, truth.gender).eval()
    assert truth.body_hash == body.identity["hash"], "rebuild: python -m tools.build_demo"
    (detection,) = detector.detect(image)

    rotmats = pose_to_rotmats(truth.pose)[None]
    output = body(truth.betas[None], rotmats)
    rasteriser = Rasteriser(body.faces, body.face_parts, image_size=image.shape[:2])
    vertices_cam = output.vertices + truth.cam_t
    silhouette = rasteriser.part_segmentation(vertices_cam, truth.cam_k[None])[0].numpy() > 0
    found = detection.silhouette
    assert (silhouette & found).sum() / (silhouette | found).sum() > 0.8
    joints_cam = output.joints3d[:, COCO17_IN_90] + truth.cam_t
    joints2d_px = project_perspective(joints_cam, truth.cam_k[None])[0].numpy()
    miss = np.linalg.norm(joints2d_px - detection.joints2d_px, axis=1)
    assert np.median(miss) < 0.03 * image.shape[0]


def test_bodies_have_the_sizes_that_were_asked_for():
    for person in PEOPLE:
        truth = read_truth(truth_path(DEMO / f"{person.name}.jpg"))
        body = BodyModel.load("open", person.gender)
        found = measure(body.tpose(truth.betas[None])[0].numpy(), Anatomy.of(body))
        assert found.height_m == pytest.approx(person.height, abs=0.02)
        assert found.weight_kg == pytest.approx(person.weight, abs=3)
        assert truth.betas.abs().max() < 4  # within what training draws


def test_the_truth_pictures_the_body_that_was_drawn():
    person = PEOPLE[1]
    body = BodyModel.load("open", person.gender).eval()
    figure = pose_figure(person, body)
    shipped = read_truth(truth_path(DEMO / f"{person.name}.jpg"))
    np.testing.assert_allclose(figure.betas, shipped.betas, atol=1e-2)
    np.testing.assert_allclose(figure.cam_t, shipped.cam_t, atol=1e-3)
    output = body(torch.from_numpy(figure.betas)[None], figure.pose_rotmats[None])
    by_truth = output.vertices[0].numpy() + figure.cam_t
    drawn = figure.vertices @ figure.camera.to_camera.T
    np.testing.assert_allclose(by_truth, drawn, atol=1e-4)
    # The ground is level and 1.3 m below the camera.
    assert figure.vertices[:, 1].max() == pytest.approx(1.3, abs=1e-5)


def test_clothes_are_where_clothes_are():
    person = PEOPLE[0]
    body = BodyModel.load("open", person.gender).eval()
    zero = torch.zeros(1, 10)
    still = body(zero, torch.eye(3).expand(1, 24, 3, 3))
    rest = body.tpose(zero)[0].numpy()
    marks = Marks.of(still.joints3d[0].numpy(), rest)
    points = np.stack(
        [
            marks["nose"], marks["extra_head_top"], (marks["spine2"] + marks["spine3"]) / 2,
            marks["left_wrist"], marks["left_knee"], marks["left_ankle"] - [0, 0.03, 0],
        ]
    )  # fmt: skip
    parts = [PARTS.index(name) for name in ("head", "head", "torso", "left_arm", "left_leg")]
    labels = label_garments(points, np.array([*parts, parts[-1]]), marks, person.clothes)
    assert labels.tolist() == [SKIN, HAIR, SHIRT, SKIN, TROUSERS, SHOES]


def test_what_stands_over_the_ground_shades_it():
    lid = np.array([[-0.5, 0, -0.5], [0.5, 0, -0.5], [0.5, 0, 0.5], [-0.5, 0, 0.5]])
    shadows = ShadowMaps(lid, np.array([[0, 1, 2], [0, 2, 3]]))
    light = Light((0, -1, 0), (1, 1, 1), 2, (0.5, 0.5, 0.5), (0, 0, 0))
    points = np.array([[0.0, 0.2, 0], [2.0, 0.2, 0], [0, -0.3, 0]])
    below, beside, above = irradiance(points, np.tile([0.0, -1, 0], (3, 1)), shadows, light)
    assert below.max() < 0.25 * beside.max()
    np.testing.assert_allclose(above, 1.5, rtol=0.01)  # all of the sky and the main light
    assert beside.max() == pytest.approx(1.5, rel=0.1)


def test_noise_is_smooth_and_repeatable():
    points = np.stack([np.linspace(0, 20, 2000)] * 2, axis=1)
    values = value_noise(points, 3)
    np.testing.assert_array_equal(values, value_noise(points, 3))
    assert not np.allclose(values, value_noise(points, 4))
    assert abs(values.mean()) < 0.2
    assert 0.1 < values.std() < 0.6
    assert np.abs(np.diff(values)).max() < 0.2
    assert np.abs(value_noise(points, 3, footprint=9.0)).max() == 0  # too fine for such pixels
