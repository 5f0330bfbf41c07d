import shutil

import numpy as np
import pytest
import smplx
import torch

from models.body_model import BodyModel, Skinning, read_mean_parameters
from models.landmarks import read_open_landmarks, read_shape_details
from models.smpl_files import read_smpl_file
from utils.errors import InputError
from utils.joints import BODY_MODEL_JOINTS, LSP14_IN_90, PICKED_SMPLX_NAMES
from utils.paths import OPEN_BODY, SHAPE_DETAILS
from utils.rotations import axis_angle_to_rotmat, rot6d_to_rotmat


def _random_people(count: int):
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(count, 10, generator=generator)
    axis_angles = torch.randn(count, 24, 3, generator=generator) * 0.4
    return betas, axis_angles


def test_smplx_agrees_on_vertices_and_joints(body_model):
    """The SMPL class of smplx, fed axis-angle poses, is the oracle."""
    betas, axis_angles = _random_people(3)
    arrays = read_smpl_file(OPEN_BODY / "OPEN_NEUTRAL.npz")
    ids = read_open_landmarks(OPEN_BODY / "landmarks.npz").vertex_ids
    oracle = smplx.SMPL(
        "", data_struct=arrays, vertex_ids=dict(zip(PICKED_SMPLX_NAMES, ids, strict=True))
    )
    expected = oracle(
        betas=betas, global_orient=axis_angles[:, 0], body_pose=axis_angles[:, 1:].flatten(1)
    )
    found = body_model(betas, axis_angle_to_rotmat(axis_angles))
    torch.testing.assert_close(found.vertices, expected.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.joints3d[:, :45], expected.joints, atol=1e-5, rtol=0)


def test_smplx_takes_a_body_with_shape_details_as_its_template(body_model):
    betas, axis_angles = torch.randn(1, 40, generator=torch.Generator().manual_seed(4)), 0.3
    axis_angles = axis_angles * torch.randn(1, 24, 3, generator=torch.Generator().manual_seed(5))
    found = body_model(betas, axis_angle_to_rotmat(axis_angles))
    oracle = smplx.SMPL(
        "",
        data_struct=read_smpl_file(OPEN_BODY / "OPEN_NEUTRAL.npz"),
        v_template=found.vertices_tpose[0].numpy(),
        vertex_ids=dict.fromkeys(PICKED_SMPLX_NAMES, 0),
    )
    expected = oracle(
        betas=torch.zeros(1, 10),
        global_orient=axis_angles[:, 0],
        body_pose=axis_angles[:, 1:].flatten(1),
    )
    torch.testing.assert_close(found.vertices, expected.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.joints3d[:, :24], expected.joints[:, :24], atol=1e-5, rtol=0)


def test_betas_beyond_the_first_ten_are_its_shape_details(body_model):
    details = read_shape_details(SHAPE_DETAILS, body_model.identity["hash"])  # (V, 3, 30)
    assert body_model.num_betas == 10 + details.shape[2]
    betas, axis_angles = _random_people(2)
    more = torch.cat([betas, torch.randn(2, 5, generator=torch.Generator().manual_seed(1))], dim=1)
    offsets = torch.einsum("vck,bk->bvc", torch.from_numpy(details[..., :5]), more[:, 10:])
    rotmats = axis_angle_to_rotmat(axis_angles)
    for found, expected in zip(
        body_model(more, rotmats), body_model(betas, rotmats, offsets), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)
    assert BodyModel.load("open", "female").num_betas == 10


def test_details_lie_beside_their_own_body(tmp_path):
    folder = tmp_path / OPEN_BODY.name
    folder.mkdir()
    for name in ("OPEN_NEUTRAL.npz", "landmarks.npz"):
        shutil.copy(OPEN_BODY / name, folder)
    # Before they are built there are none.
    assert BodyModel.load("open", "neutral", tmp_path, details=False).num_betas == 10
    with pytest.raises(InputError, match=r"shape_details\.npz"):
        BodyModel.load("open", "neutral", tmp_path)
    np.savez(folder / SHAPE_DETAILS.name, shapedirs=np.zeros((6890, 3, 2)), body_hash="another")
    with pytest.raises(InputError, match="holds shape details of the body another, but"):
        BodyModel.load("open", "neutral", tmp_path)


def test_betas_are_found_again_from_vertices_wherever_they_are(body_model):
    betas = torch.randn(3, 14, generator=torch.Generator().manual_seed(2))
    moved = body_model.tpose(betas) + torch.tensor([0.3, -1.0, 2.0])
    torch.testing.assert_close(body_model.find_nearest_betas(moved, 14), betas, atol=1e-3, rtol=0)
    fewer = body_model.find_nearest_betas(moved)
    assert fewer.shape == (3, 10)
    told = [body_model.tpose(each) for each in (fewer, betas[:, :10], betas)]
    told = [each - each.mean(dim=1, keepdim=True) for each in told]
    nearest, cut_off = ((each - told[2]).square().sum(dim=(1, 2)) for each in told[:2])
    assert (nearest <= cut_off).all()


@pytest.mark.parametrize("dense", [False, True])
def test_fast_path_without_gradients_is_the_slow_path(dense):
    arrays = read_smpl_file(OPEN_BODY / "OPEN_NEUTRAL.npz")
    if dense:  # as SMPL's are
        noise = np.random.default_rng(0).standard_normal(arrays.posedirs.shape)
        arrays = arrays._replace(posedirs=(0.001 * noise).astype(np.float32))
    skinning = Skinning(arrays)
    assert (skinning._sparse_posedirs is None) == dense
    betas, axis_angles = _random_people(7)
    rotmats = axis_angle_to_rotmat(axis_angles)
    fast = skinning(betas, rotmats)
    slow = skinning(betas.requires_grad_(), rotmats)
    assert slow[0].requires_grad
    assert not fast[0].requires_grad
    for found, expected in zip(fast, slow, strict=True):
        torch.testing.assert_close(found, expected.detach(), atol=2e-6, rtol=0)
    one_by_one = [skinning(betas[i : i + 1].detach(), rotmats[i : i + 1])[0] for i in range(7)]
    torch.testing.assert_close(torch.cat(one_by_one), fast[0], atol=2e-6, rtol=0)


def test_pose_alone_may_need_gradients(body_model):
    betas, axis_angles = _random_people(2)
    rotmats = axis_angle_to_rotmat(axis_angles).requires_grad_()
    body_model(betas, rotmats).vertices.sum().backward()
    assert rotmats.grad.abs().amax(dim=(0, 2, 3)).min() > 0


def test_ninety_joints_and_their_regressors(body_model):
    betas, axis_angles = _random_people(2)
    body = body_model(betas, axis_angle_to_rotmat(axis_angles))
    assert body.joints3d.shape == (2, len(BODY_MODEL_JOINTS), 3)
    regressors = torch.from_numpy(read_open_landmarks(OPEN_BODY / "landmarks.npz").regressors)
    expected = torch.einsum("jv,bvc->bjc", regressors.float(), body.vertices)
    torch.testing.assert_close(body.joints3d[:, 45:], expected, atol=1e-5, rtol=0)


def test_tpose_is_the_body_in_no_pose(body_model):
    betas, _ = _random_people(2)
    identity = torch.eye(3).expand(2, 24, 3, 3)
    torch.testing.assert_close(
        body_model.tpose(betas), body_model(betas, identity).vertices, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("dense", [False, True])
def test_a_reduced_body_has_the_vertices_and_all_joints_of_the_whole(gradients, dense):
    arrays = read_smpl_file(OPEN_BODY / "OPEN_NEUTRAL.npz")
    if dense:  # as SMPL's are
        noise = np.random.default_rng(0).standard_normal(arrays.posedirs.shape)
        arrays = arrays._replace(posedirs=(0.001 * noise).astype(np.float32))
    landmarks = read_open_landmarks(OPEN_BODY / "landmarks.npz")
    body_model = BodyModel(arrays, landmarks, "open", "neutral")
    before = {name: values.clone() for name, values in body_model.named_buffers()}
    others = torch.tensor([6000, 17, 3])  # in no order
    needed = body_model.landmark_vertices
    kept = torch.cat([others, needed[~torch.isin(needed, others)].flip(0)])
    reduced = body_model.reduce_to(kept)

    betas, axis_angles = _random_people(3)
    rotmats = axis_angle_to_rotmat(axis_angles)
    betas.requires_grad_(gradients)
    expected, found = body_model(betas, rotmats), reduced(betas, rotmats)
    assert found.vertices.requires_grad == gradients
    assert found.vertices.shape == (3, len(kept), 3)
    assert found.joints3d.shape == (3, len(BODY_MODEL_JOINTS), 3)
    exact = {"atol": 2e-6, "rtol": 0}  # but for the order in which products are added
    torch.testing.assert_close(found.vertices, expected.vertices[:, kept], **exact)
    torch.testing.assert_close(found.vertices_tpose, expected.vertices_tpose[:, kept], **exact)
    torch.testing.assert_close(found.joints3d, expected.joints3d, **exact)
    assert torch.equal(found.bone_transforms, expected.bone_transforms)
    torch.testing.assert_close(reduced.tpose(betas), found.vertices_tpose, **exact)
    if gradients:
        gradient, wanted = (
            torch.autograd.grad(body.joints3d.square().sum(), betas)[0]
            for body in (found, expected)
        )
        torch.testing.assert_close(gradient, wanted, atol=1e-4, rtol=1e-5)

    assert reduced.identity == body_model.identity
    assert not reduced.state_dict()
    after = dict(body_model.named_buffers())
    assert all(torch.equal(values, after[name]) for name, values in before.items())


def test_a_reduced_body_must_keep_what_its_joints_need(body_model):
    with pytest.raises(ValueError, match="must keep the landmark vertices"):
        body_model.reduce_to(body_model.landmark_vertices[1:])


def test_gradients_reach_betas_and_pose(body_model):
    betas, axis_angles = _random_people(2)
    betas.requires_grad_()
    axis_angles.requires_grad_()
    body = body_model(betas, axis_angle_to_rotmat(axis_angles))
    (body.vertices.square().mean() + body.joints3d.square().mean()).backward()
    assert betas.grad.abs().min() > 0
    assert torch.isfinite(axis_angles.grad).all()


@pytest.mark.parametrize("gender", ["neutral", "male", "female"])
def test_every_gender_loads_and_is_told_apart(gender, body_model):
    other = BodyModel.load("open", gender)
    assert other.identity["gender"] == gender
    assert (other.identity["hash"] == body_model.identity["hash"]) == (gender == "neutral")


def test_mean_parameters_stand_upright_in_the_camera_frame(body_model):
    mean = read_mean_parameters("open")
    rotmats = rot6d_to_rotmat(mean.pose.view(1, 24, 6))
    joints = body_model(mean.betas[None], rotmats).joints3d[0, LSP14_IN_90, :]
    ankles, head = joints[[0, 5], 1], joints[13, 1]
    assert (head < ankles - 1.2).all()  # y points down
    assert joints[2, 0] < joints[3, 0]  # the right hip is on the left of a frontal picture


def test_unknown_names_and_missing_files(tmp_path):
    with pytest.raises(InputError, match="unknown gender"):
        BodyModel.load("open", "other")
    with pytest.raises(InputError, match="unknown body"):
        BodyModel.load("smplest", "neutral")
    with pytest.raises(InputError, match="no file at"):
        read_open_landmarks(tmp_path / "landmarks.npz")


def test_landmarks_of_another_body_are_refused():
    arrays = read_smpl_file(OPEN_BODY / "OPEN_NEUTRAL.npz")
    landmarks = read_open_landmarks(OPEN_BODY / "landmarks.npz")
    with pytest.raises(InputError, match="do not belong together"):
        BodyModel(arrays, landmarks._replace(face_parts=np.ones(5, np.uint8)), "open", "neutral")
