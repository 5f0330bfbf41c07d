"""The committed open-body files: format, mesh, symmetry, regressors, landmarks and spread."""

from collections import Counter

import numpy as np
import pytest
import smplx
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from smplx.utils import Struct

from utils.joints import (
    COCOPLUS_JOINTS,
    EXTRA_JOINTS,
    H36M_JOINTS,
    PARTS,
    PARTS_SWAP,
    PICKED_JOINTS,
    PICKED_SMPLX_NAMES,
    SMPL_JOINTS,
    SMPL_PARENTS,
    SMPL_SWAP,
    mirrored,
)
from utils.paths import OPEN_BODY

GENDERS = ("NEUTRAL", "MALE", "FEMALE")
VERTICES, FACES = 6890, 13776
BETAS_STD = 1.5  # of the betas that training draws
FLIP = np.array([-1, 1, 1])


@pytest.fixture(scope="module")
def bodies():
    return {gender: _read(f"OPEN_{gender}.npz") for gender in GENDERS}


@pytest.fixture(scope="module")
def neutral(bodies):
    return bodies["NEUTRAL"]


@pytest.fixture(scope="module")
def landmarks():
    return _read("landmarks.npz")


@pytest.fixture(scope="module")
def mirror(neutral):
    """Number of every vertex's mirror image."""
    distance, image = cKDTree(neutral["v_template"]).query(neutral["v_template"] * FLIP)
    assert distance.max() < 1e-6
    return image


def _read(name):
    with np.load(OPEN_BODY / name) as file:
        return {key: file[key] for key in file.files}


def _draw(body, count, seed=0, betas_std=BETAS_STD):
    betas = betas_std * np.random.default_rng(seed).standard_normal((count, 10))
    offsets = np.tensordot(betas, body["shapedirs"], ([1], [2]))
    return (body["v_template"] + offsets).astype(np.float32)


def _volumes(vertices, faces):
    a, b, c = (vertices[:, faces[:, i]] for i in range(3))
    return np.einsum("bfi,bfi->b", np.cross(a, b), c) / 6


def _normals(vertices, faces):
    a, b, c = (vertices[..., faces[:, i], :] for i in range(3))
    normals = np.cross(b - a, c - a)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def _layer(body, landmarks):
    ids = dict(zip(PICKED_SMPLX_NAMES, landmarks["vertex_ids"].tolist(), strict=True))
    return smplx.SMPL("", data_struct=Struct(**body), vertex_ids=ids)


def _posed(body, landmarks, pose):
    """Vertices and 45 joints of the mean body in an axis-angle pose {joint: angles}."""
    angles = np.zeros((24, 3), np.float32)
    for joint, value in pose.items():
        angles[SMPL_JOINTS.index(joint)] = value
    angles = torch.from_numpy(angles)
    with torch.no_grad():
        output = _layer(body, landmarks)(
            global_orient=angles[:1].reshape(1, 3), body_pose=angles[1:].reshape(1, 69)
        )
    return output.vertices[0].numpy(), output.joints[0].numpy()


@pytest.mark.parametrize("gender", GENDERS)
def test_format_is_smpls(bodies, gender):
    shapes = {
        "v_template": (VERTICES, 3),
        "shapedirs": (VERTICES, 3, 10),
        "posedirs": (VERTICES, 3, 207),
        "J_regressor": (24, VERTICES),
        "weights": (VERTICES, 24),
        "kintree_table": (2, 24),
        "f": (FACES, 3),
    }
    body = bodies[gender]
    assert {name: array.shape for name, array in body.items()} == shapes
    assert all(np.isfinite(array).all() for array in body.values())
    assert body["f"].dtype == np.int32
    assert body["kintree_table"].dtype == np.int64
    assert body["kintree_table"][0, 0] == 4294967295
    assert tuple(body["kintree_table"][0, 1:]) == SMPL_PARENTS[1:]
    floats = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights")
    assert all(body[name].dtype == np.float32 for name in floats)


def test_genders_share_the_mesh(bodies):
    for gender in ("MALE", "FEMALE"):
        for name in ("f", "weights", "posedirs"):
            np.testing.assert_array_equal(bodies[gender][name], bodies["NEUTRAL"][name])


def test_mesh_is_closed_and_of_genus_0(neutral):
    faces = neutral["f"]
    edges = Counter(map(tuple, faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).tolist()))
    assert max(edges.values()) == 1  # every directed edge once, and once the other way
    assert all((b, a) in edges for a, b in edges)
    assert len(np.unique(faces)) == VERTICES
    assert VERTICES - len(edges) // 2 + FACES == 2  # Euler: one closed surface without a handle
    assert _volumes(neutral["v_template"][None], faces)[0] > 0.04  # m^3; normals point outwards


@pytest.mark.parametrize("gender", GENDERS)
def test_body_is_mirror_symmetric(bodies, mirror, gender):
    body, swap = bodies[gender], list(SMPL_SWAP)
    np.testing.assert_allclose(body["v_template"][mirror] * FLIP, body["v_template"], atol=2e-6)
    flip = FLIP[None, :, None]
    np.testing.assert_allclose(body["shapedirs"][mirror] * flip, body["shapedirs"], atol=2e-6)
    np.testing.assert_allclose(body["weights"][mirror][:, swap], body["weights"], atol=2e-6)
    np.testing.assert_allclose(body["J_regressor"][swap][:, mirror], body["J_regressor"], atol=2e-6)
    directed = {tuple(np.roll(f, -f.argmin())) for f in body["f"].tolist() for f in [np.array(f)]}
    images = {tuple(np.roll(f, -f.argmin())) for f in mirror[body["f"]][:, ::-1]}
    assert directed == images


def test_correctives_are_mirror_symmetric_and_rest_on_the_t_pose(neutral, mirror):
    posedirs = neutral["posedirs"].reshape(VERTICES, 3, 23, 3, 3)
    swap = [joint - 1 for joint in SMPL_SWAP[1:]]
    signs = FLIP[:, None, None, None] * np.outer(FLIP, FLIP)
    np.testing.assert_allclose(posedirs[mirror][:, :, swap] * signs, posedirs, atol=2e-6)
    assert 0 < np.abs(posedirs).max() < 0.03  # m per unit of a rotation matrix
    assert (posedirs != 0).mean() < 0.05


def test_weights_are_convex_with_at_most_four_joints(neutral):
    weights = neutral["weights"]
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    assert (weights > 0).sum(1).max() <= 4
    assert (weights.max(0) > 0.5).all()  # every joint has skin that it moves most


def test_regressors_are_convex_and_sparse(bodies, landmarks):
    regressors = [body["J_regressor"] for body in bodies.values()]
    sizes = {"cocoplus_regressor": 19, "J_regressor_h36m": 17, "J_regressor_extra": 9}
    for name, rows in sizes.items():
        assert landmarks[name].shape == (rows, VERTICES)
        regressors.append(landmarks[name])
    for regressor in regressors:
        assert regressor.min() >= 0
        np.testing.assert_allclose(regressor.sum(1), 1, atol=1e-5)
        assert (regressor > 0).sum(1).max() <= 50


def test_t_pose(neutral):
    joints = dict(zip(SMPL_JOINTS, neutral["J_regressor"] @ neutral["v_template"], strict=True))
    arm = [joints[f"left_{name}"] for name in ("shoulder", "elbow", "wrist")]
    assert np.ptp(arm, axis=0)[1:].max() < 0.015  # arms straight out sideways
    assert arm[0][0] < arm[1][0] < arm[2][0]  # left is +x
    assert joints["head"][1] > joints["neck"][1] > joints["pelvis"][1] > joints["left_knee"][1]
    assert joints["left_foot"][2] > joints["left_ankle"][2] + 0.05  # toes point forwards, +z
    assert 0.08 < joints["left_hip"][0] < 0.095
    np.testing.assert_allclose(joints["pelvis"], [0, -0.22, 0], atol=0.01)


def test_picked_vertices_are_where_their_names_say(neutral, landmarks, mirror):
    assert landmarks["vertex_ids"].dtype == np.int64
    ids = dict(zip(PICKED_JOINTS, landmarks["vertex_ids"].tolist(), strict=True))
    points = {name: neutral["v_template"][vertex] for name, vertex in ids.items()}
    for name, vertex in ids.items():
        assert mirror[vertex] == ids[mirrored(name)]
    assert points["left_eye"][0] > 0.02
    assert points["nose"][2] > points["left_eye"][2] > points["left_ear"][2]
    assert points["left_ear"][0] > 0.06
    assert points["left_eye"][1] > points["nose"][1]
    assert points["left_big_toe"][2] > points["left_small_toe"][2] > points["left_heel"][2]
    assert points["left_small_toe"][0] > points["left_big_toe"][0]
    order = [points[f"left_{name}"][2] for name in ("thumb", "index", "middle", "ring", "pinky")]
    assert order == sorted(order, reverse=True)  # palm down: the thumb is in front
    assert points["left_middle"][0] > 0.8


def test_face_parts_cover_the_body_symmetrically(neutral, landmarks, mirror):
    parts, faces = landmarks["face_parts"], neutral["f"]
    assert parts.dtype == np.uint8
    assert set(parts) == set(range(1, len(PARTS)))
    label = {tuple(sorted(face)): part for face, part in zip(faces.tolist(), parts, strict=True)}
    for face, part in zip(mirror[faces].tolist(), parts, strict=True):
        assert label[tuple(sorted(face))] == PARTS_SWAP[part]
    centres = neutral["v_template"][faces].mean(1)
    assert (centres[parts == PARTS.index("left_arm"), 0] > 0.1).all()
    assert (centres[parts == PARTS.index("right_leg"), 0] <= 0).all()
    assert centres[parts == PARTS.index("head"), 1].min() > 0.2


POSES = {
    "sitting": {"left_hip": (-1.5, 0, 0), "right_hip": (-1.5, 0, 0), "left_knee": (1.5, 0, 0)},
    "arm down": {"left_shoulder": (0, 0, -1.2), "left_elbow": (0, -1.0, 0)},
    "arm up": {"left_shoulder": (0, 0, 1.1), "left_elbow": (0, -1.8, 0)},
}


@pytest.mark.parametrize("pose", POSES)
def test_landmarks_follow_posed_joints(neutral, landmarks, pose):
    vertices, joints = _posed(neutral, landmarks, POSES[pose])
    cocoplus = dict(zip(COCOPLUS_JOINTS, landmarks["cocoplus_regressor"] @ vertices, strict=True))
    h36m = dict(zip(H36M_JOINTS, landmarks["J_regressor_h36m"] @ vertices, strict=True))
    extra = dict(zip(EXTRA_JOINTS, landmarks["J_regressor_extra"] @ vertices, strict=True))
    limits = {"hip": 20, "knee": 15, "ankle": 6, "shoulder": 15, "elbow": 15, "wrist": 6}  # mm
    for limb, limit in limits.items():
        for side in ("left", "right"):
            joint = joints[SMPL_JOINTS.index(f"{side}_{limb}")]
            for found in (cocoplus[f"cocoplus_{side}_{limb}"], h36m[f"h36m_{side}_{limb}"]):
                assert 1000 * np.linalg.norm(found - joint) < limit, (pose, side, limb)
    nose = joints[len(SMPL_JOINTS) + PICKED_JOINTS.index("nose")]
    np.testing.assert_allclose(cocoplus["cocoplus_nose"], nose, atol=1e-5)
    head = neutral["weights"][:, SMPL_JOINTS.index("head")] > 0.9
    assert extra["extra_head_top"][1] == pytest.approx(vertices[head, 1].max(), abs=0.005)


def test_smplx_layer_runs_on_the_arrays(bodies, landmarks):
    for body in bodies.values():
        vertices, joints = _posed(body, landmarks, {})
        assert joints.shape == (45, 3)
        np.testing.assert_allclose(vertices, body["v_template"], atol=1e-5)
        picked = vertices[landmarks["vertex_ids"]]
        np.testing.assert_allclose(joints[24:], picked, atol=1e-5)


def test_sitting_keeps_its_volume(neutral, landmarks):
    sitting = dict(POSES["sitting"], right_knee=(1.5, 0, 0))
    vertices, _ = _posed(neutral, landmarks, sitting)
    faces = neutral["f"]
    rest = _volumes(neutral["v_template"][None], faces)[0]
    assert 0.94 < _volumes(vertices[None], faces)[0] / rest < 1.02


def test_spread_of_what_training_draws(neutral):
    heights, volumes = [], []
    for seed in range(12):
        drawn = _draw(neutral, 100, seed)
        heights.append(np.ptp(drawn[..., 1], axis=1))
        volumes.append(_volumes(drawn, neutral["f"]))
    height = np.concatenate(heights)
    bmi = 1000 * np.concatenate(volumes) / height**2  # 1000 kg/m^3
    low, high = np.percentile(height, (0.5, 99.5))
    assert low == pytest.approx(1.45, abs=0.04)
    assert high == pytest.approx(2.05, abs=0.04)
    low, high = np.percentile(bmi, (0.5, 99.5))
    assert low == pytest.approx(15, abs=1.2)
    assert high == pytest.approx(45, abs=2.5)


@pytest.mark.parametrize("gender", GENDERS)
def test_no_freaks_in_what_training_draws(bodies, gender):
    body = bodies[gender]
    drawn, faces = _draw(body, 200, seed=1), body["f"]
    turned = (_normals(drawn, faces) * _normals(body["v_template"], faces)).sum(2) < 0
    assert turned.mean(1).max() < 0.02  # skin is not turned inside out
    joints = np.matmul(body["J_regressor"], drawn)
    bones = np.linalg.norm(joints[:, 1:] - joints[:, SMPL_PARENTS[1:]], axis=2)
    mean = body["J_regressor"] @ body["v_template"]
    ratio = bones / np.linalg.norm(mean[1:] - mean[list(SMPL_PARENTS[1:])], axis=1)
    assert ratio.min() > 0.45
    assert ratio.max() < 1.7
    thigh = bones[:, SMPL_JOINTS.index("left_knee") - 1]
    height = np.ptp(drawn[..., 1], axis=1)
    assert (thigh / height).min() > 0.19
    assert (thigh / height).max() < 0.28


def test_mean_parameters_are_an_upright_person_facing_the_camera():
    params = _read("neutral_smpl_mean_params_6dpose.npz")
    assert params["pose"].shape == (144,)
    assert params["shape"].shape == (10,)
    np.testing.assert_array_equal(params["shape"], 0)
    columns = params["pose"].reshape(24, 3, 2)
    gram = np.einsum("jik,jil->jkl", columns, columns)
    np.testing.assert_allclose(gram, np.tile(np.eye(2), (24, 1, 1)), atol=1e-5)
    third = np.cross(columns[..., 0], columns[..., 1])
    rotmats = np.concatenate([columns, third[..., None]], 2)
    # Camera frame: y down, z away. The body's up (y) must become -y, its front (z) -z.
    np.testing.assert_allclose(rotmats[0], np.diag([1, -1, -1]), atol=1e-5)
    left = Rotation.from_matrix(rotmats[SMPL_JOINTS.index("left_shoulder")]).as_rotvec()
    right = Rotation.from_matrix(rotmats[SMPL_JOINTS.index("right_shoulder")]).as_rotvec()
    np.testing.assert_allclose(left * [1, -1, -1], right, atol=1e-5)
    assert -1.4 < left[2] < -0.8  # arms hang
