"""Tiny evaluation datasets in their published layouts, of people of known shape and pose."""

from pathlib import Path

import cv2
import numpy as np
import torch

from models.body_model import BodyModel, BodyOutput, MeanParameters
from models.regressor import Regressor
from renderers.rasteriser import Rasteriser
from utils.cameras import perspective_intrinsics, project_perspective
from utils.joints import COCO17, COCO17_IN_90, SMPL_JOINTS
from utils.rotations import axis_angle_to_rotmat, pose_to_rotmats, rotmat_to_rot6d

SIZE = 160  # px, side of a photo
GENDERS = {"m": "male", "f": "female"}


def upright_pose(yaw: float, elbow: float = 0.0) -> np.ndarray:
    """(72,) of somebody who stands upright, turned by yaw, the left elbow bent; rad."""
    half_turn = np.array([np.cos(yaw / 2), 0, -np.sin(yaw / 2)]) * np.pi  # about x, after the yaw
    pose = np.zeros((24, 3), np.float32)
    pose[0] = half_turn
    pose[SMPL_JOINTS.index("left_elbow"), 1] = elbow
    return pose.ravel()


def pose_body(body: BodyModel, betas: np.ndarray, pose: np.ndarray) -> BodyOutput:
    """The body of one person."""
    rotmats = pose_to_rotmats(torch.from_numpy(pose).float()[None])
    with torch.inference_mode():
        return body(torch.from_numpy(betas).float()[None], rotmats)


def picture_of(
    body: BodyModel, betas: np.ndarray, pose: np.ndarray, cam_t: np.ndarray, focal: float
) -> tuple[np.ndarray, np.ndarray]:
    """Silhouette (SIZE, SIZE) bool and COCO joints (17, 2) of a person before a camera."""
    output = pose_body(body, betas, pose)
    shift = torch.from_numpy(cam_t).float()
    cam_k = perspective_intrinsics(focal, SIZE, shift)[None]
    rasteriser = Rasteriser(body.faces, body.face_parts, SIZE)
    silhouette = rasteriser.part_segmentation(output.vertices + shift, cam_k)[0].numpy() > 0
    joints = project_perspective(output.joints3d[:, COCO17_IN_90] + shift, cam_k)[0]
    return silhouette, joints.numpy()


def photo_of(silhouette: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: somebody red on grey."""
    return np.where(silhouette[..., None], (190, 60, 50), (120, 120, 120)).astype(np.uint8)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes (H, W, 3) RGB or (H, W) grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture)


def write_ssp3d(folder: Path, additional: Path) -> dict[str, np.ndarray]:
    """Three frames of SSP-3D: a man twice and a woman; returns the labels."""
    bodies = {key: BodyModel.load("smpl", name, additional) for key, name in GENDERS.items()}
    rng = np.random.default_rng(3)
    labels = {
        "fnames": np.array(["man_front.png", "woman.png", "man_aside.png"]),
        "genders": np.array(["m", "f", "m"]),
        "shapes": rng.normal(0, 1, (3, 10)).astype(np.float32),
        "poses": np.stack([upright_pose(0), upright_pose(0.9), upright_pose(-0.5, 1.0)]),
        "cam_trans": np.array([[0, 0.2, 60], [0.4, 0.25, 65], [-0.3, 0.1, 70]]),
    }
    joints2d, centres, sides = [], [], []
    for row, name in enumerate(labels["fnames"]):
        silhouette, joints = picture_of(
            bodies[labels["genders"][row]], labels["shapes"][row], labels["poses"][row],
            labels["cam_trans"][row], 4000.0,
        )  # fmt: skip
        write_picture(folder / "images" / name, photo_of(silhouette))
        write_picture(folder / "silhouettes" / name, silhouette.astype(np.uint8) * 255)
        joints2d.append(np.concatenate([joints, np.ones((len(COCO17), 1))], axis=1))
        rows, columns = np.nonzero(silhouette)
        centres.append([(rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2])
        sides.append(max(np.ptp(rows), np.ptp(columns)))
    labels |= {
        "joints2D": np.array(joints2d),
        "bbox_centres": np.array(centres),
        "bbox_whs": np.array(sides),
    }
    np.savez(folder / "labels.npz", **labels)
    return labels


def constant_checkpoint(path: Path, body: BodyModel, pose: np.ndarray, betas: np.ndarray) -> Path:
    """A checkpoint that says the same of everybody: this pose (72,), these betas, camera 0.9."""
    rotmats = pose_to_rotmats(torch.from_numpy(pose).float())
    mean = {
        "pose": rotmat_to_rot6d(rotmats).flatten(),
        "betas": torch.from_numpy(betas).float(),
    }
    regressor = Regressor(MeanParameters(**mean))
    torch.nn.init.zeros_(regressor.ief_module.fc3.weight)
    torch.save(
        {
            "model_state_dict": regressor.state_dict(),
            "body": body.identity,
            "image_size": 64,
            "mean_parameters": mean,
        },
        path,
    )
    return path


def write_truth_file(folder: Path, **changes) -> Path:
    """Writes the truth of `a.jpg`: somebody of the neutral open body; returns its path."""
    content = {
        "body": "open",
        "gender": "neutral",
        "body_hash": "0123",
        "betas": np.linspace(-1, 1, 10),
        "pose": np.concatenate([[np.pi, 0, 0], np.linspace(-0.2, 0.2, 69)]),
        "cam_t": np.array([0.0, 0.2, 42]),
        "cam_k": np.array([[5000.0, 0, 128], [0, 5000, 128], [0, 0, 1]]),
        **changes,
    }
    path = folder / "a_truth.npz"
    np.savez(path, **content)
    return path


def python2_pickle(value: object) -> bytes:
    """A pickle as Python 2 wrote it, protocol 2: byte strings, and arrays by their raw bytes."""
    return b"\x80\x02" + _emit(value) + b"."


def _emit(value: object) -> bytes:
    if isinstance(value, dict):
        items = b"".join(_emit(key) + _emit(each) for key, each in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_emit, value)) + b"e"
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode("latin1")
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return f"I{value}\n".encode()
    return _emit_array(np.ascontiguousarray(value))


def _emit_array(array: np.ndarray) -> bytes:
    kind = array.dtype.str[1:]  # without the byte order
    order = array.dtype.str[0] if array.dtype.itemsize > 1 else "|"
    dtype = (
        b"cnumpy\ndtype\n(" + _emit(kind) + b"I0\nI1\ntR(I3\n" + _emit(order)
        + b"NNNI-1\nI-1\nI0\ntb"
    )  # fmt: skip
    shape = b"(" + b"".join(f"I{side}\n".encode() for side in array.shape) + b"t"
    raw = array.tobytes()
    content = b"T" + len(raw).to_bytes(4, "little") + raw
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\nt" + _emit("b") + b"tR"
    return empty + b"(I1\n" + shape + dtype + b"I00\n" + content + b"tb"


def threedpw_sequence(
    additional: Path, name: str, genders: str, frames: int
) -> tuple[dict[str, object], np.ndarray]:
    """A sequence file's content and the true vertices in the camera frame.

    Args:
        additional: folder with the licensed files.
        name: of the sequence.
        genders: a letter for each person.
        frames: I.

    Returns:
        The dictionary, and (P, I, V, 3) metres.
    """
    rng = np.random.default_rng(len(name))
    cam_k = np.array([[900.0, 0, 120], [0, 900, 120], [0, 0, 1]])
    cam_poses = np.tile(np.eye(4), (frames, 1, 1))
    for frame in range(frames):
        turn = axis_angle_to_rotmat(torch.tensor([np.pi + 0.1 * frame, 0.1, 0.2 * frame]))
        cam_poses[frame, :3, :3] = turn.numpy()
        cam_poses[frame, :3, 3] = [0.05 * frame, 1.0, 9.0]
    people: dict[str, list] = {
        key: [] for key in ("poses", "betas", "trans", "poses2d", "campose_valid", "jointPositions")
    }
    vertices_cam = []
    for person, letter in enumerate(genders):
        body = BodyModel.load("smpl", GENDERS[letter], additional)
        betas, trans = rng.normal(0, 1, 10), np.array([1.2 * person - 0.4, 1.0, 0.3])
        poses = np.stack([upright_world_pose(0.4 * person + 0.1 * i) for i in range(frames)])
        posed = [pose_body(body, betas, pose) for pose in poses]
        joints = np.stack([each.joints3d[0].numpy() for each in posed]) + trans
        to_cam = [(cam_poses[i, :3, :3], cam_poses[i, :3, 3]) for i in range(frames)]
        vertices = np.stack([each.vertices[0].numpy() for each in posed]) + trans
        vertices_cam.append([v @ r.T + t for v, (r, t) in zip(vertices, to_cam, strict=True)])
        joints2d = [
            (j[list(OPENPOSE18_IN_90)] @ r.T + t) @ cam_k.T
            for j, (r, t) in zip(joints, to_cam, strict=True)
        ]
        poses2d = np.array([np.vstack([(p / p[:, 2:])[:, :2].T, np.ones(18)]) for p in joints2d])
        people["poses"].append(poses)
        people["betas"].append(np.append(betas, [0.0] * 290))  # some files have 300
        people["trans"].append(np.tile(trans, (frames, 1)))
        people["poses2d"].append(poses2d)
        people["campose_valid"].append(np.ones(frames, np.int64))
        people["jointPositions"].append(joints[:, :24].reshape(frames, 72))
    content = {
        "sequence": name, "genders": list(genders), "cam_poses": cam_poses,
        "cam_intrinsics": cam_k, "img_frame_ids": np.arange(frames) * 2, "texture_maps": [],
        **people,
    }  # fmt: skip
    return content, np.array(vertices_cam)


# OpenPose's 18 COCO joints among the body model's 90; SMPL has a neck of its own.
OPENPOSE18_IN_90 = (24, 12, 17, 19, 21, 16, 18, 20, 2, 5, 8, 1, 4, 7, 25, 26, 27, 28)


def upright_world_pose(yaw: float) -> np.ndarray:
    """(72,) of somebody who stands in a world whose y axis points up; rad."""
    pose = np.zeros(72)
    pose[1] = yaw
    return pose


def write_threedpw(folder: Path, additional: Path) -> dict[str, np.ndarray]:
    """Original 3DPW files: two sequences of one and two people; true vertices by sequence."""
    truth = {}
    for name, genders, frames in (("walk_00", "m", 3), ("hug_01", "fm", 2)):
        content, truth[name] = threedpw_sequence(additional, name, genders, frames)
        path = folder / "sequenceFiles" / "test" / f"{name}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(python2_pickle(content))
        for frame in range(frames):
            picture = np.full((280, 300, 3), 40 + 30 * frame, np.uint8)
            write_picture(folder / "imageFiles" / name / f"image_{frame:05d}.jpg", picture)
    return truth
