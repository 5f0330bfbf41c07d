"""3DPW's original files: read safely, carried into the camera frame, cut out."""

import pickle

import numpy as np
import pytest
import torch

from data.threedpw import load_threedpw
from models.body_model import BodyModel
from tests.evaluation_sets import pose_body, python2_pickle, threedpw_sequence, write_threedpw
from tools.prepare_3dpw import (
    COCO17_IN_18,
    OPENPOSE18,
    Options,
    find_window,
    main,
    read_sequence,
)
from utils.cameras import project_perspective
from utils.errors import InputError
from utils.images import read_image
from utils.joints import COCO17, COCO17_IN_90


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, licensed_set):
    """Folder of the originals, folder of the results, true vertices."""
    source, output = (tmp_path_factory.mktemp(name) for name in ("3dpw", "prepared"))
    truth = write_threedpw(source, licensed_set)
    main(Options(source, output))
    return source, output, truth


def test_joint_order():
    assert [OPENPOSE18[index] for index in COCO17_IN_18] == list(COCO17)


def test_bodies_are_where_the_original_camera_sees_them(prepared, licensed_set):
    _, output, truth = prepared
    labels = np.load(output / "test" / "3dpw_test.npz")
    assert {key: labels[key].shape for key in labels.files} == {
        "imgname": (7,), "pose": (7, 72), "shape": (7, 10), "gender": (7,),
        "joints2d": (7, 17, 3), "cam_t": (7, 3), "cam_k": (7, 3, 3),
    }  # fmt: skip
    assert labels["gender"].tolist() == ["f", "m", "f", "m", "m", "m", "m"]
    for row, name in enumerate(labels["imgname"]):
        sequence, person, frame = name.removesuffix(".jpg").rsplit("_", 2)
        gender = {"m": "male", "f": "female"}[labels["gender"][row]]
        body = BodyModel.load("smpl", gender, licensed_set)
        output_body = pose_body(body, labels["shape"][row], labels["pose"][row])
        vertices_cam = output_body.vertices[0].numpy() + labels["cam_t"][row]
        expected = truth[sequence][int(person), int(frame)]
        np.testing.assert_allclose(vertices_cam, expected, atol=1e-4)
        joints_cam = output_body.joints3d[:, COCO17_IN_90] + torch.from_numpy(labels["cam_t"][row])
        projected = project_perspective(joints_cam, torch.from_numpy(labels["cam_k"][row])[None])
        np.testing.assert_allclose(projected[0], labels["joints2d"][row, :, :2], atol=0.02)


def test_pictures_are_cut_from_the_right_frame(prepared):
    _, output, _ = prepared
    labels = np.load(output / "test" / "3dpw_test.npz")
    for row, name in enumerate(labels["imgname"]):
        picture = read_image(output / "test" / "cropped_frames" / name)
        frame = int(name.removesuffix(".jpg").rsplit("_", 1)[1])
        assert abs(int(picture.mean()) - (40 + 30 * frame)) <= 1
        points = labels["joints2d"][row, :, :2]
        inside = (points > 0) & (points < picture.shape[1::-1])
        assert inside.all()


def test_the_prepared_files_are_read_back(prepared):
    frames = load_threedpw(prepared[1])
    assert [frame.group for frame in frames] == [
        "hug_01_0", "hug_01_1", "hug_01_0", "hug_01_1", "walk_00_0", "walk_00_0", "walk_00_0"
    ]  # fmt: skip
    assert frames[0].visibility.all()
    assert frames[0].cam_k.shape == (3, 3)


def test_the_window_by_hand():
    joints2d = np.zeros((17, 3))
    joints2d[:2] = [[60, 40, 1], [90, 100, 1]]  # the rest was not seen
    # Centre (75, 70), longer side 60, margin 0.5: 45 to each side.
    assert find_window(joints2d, (200, 200, 3), 0.5) == (30, 25, 120, 115)
    assert find_window(joints2d, (80, 100, 3), 0.5) == (30, 25, 100, 80)
    joints2d[:2, 0] += 500
    assert find_window(joints2d, (80, 100, 3), 0.5) is None


def _rewrite(source, licensed_set, change) -> None:
    """One sequence, changed."""
    content, _ = threedpw_sequence(licensed_set, "walk_00", "m", 3)
    change(content)
    folder = source / "sequenceFiles" / "test"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "walk_00.pkl").write_bytes(python2_pickle(content))


def test_bad_frames_are_left_out(tmp_path, prepared, licensed_set):
    def change(content):
        content["campose_valid"][0][0] = 0
        content["poses2d"][0][1, 2, 5:] = 0  # 5 joints are left, the neck among them

    _rewrite(tmp_path, licensed_set, change)
    (tmp_path / "imageFiles").symlink_to(prepared[0] / "imageFiles")
    main(Options(tmp_path, tmp_path / "out"))
    labels = np.load(tmp_path / "out" / "test" / "3dpw_test.npz")
    assert labels["imgname"].tolist() == ["walk_00_0_00002.jpg"]
    main(Options(tmp_path, tmp_path / "more", min_joints=4))
    labels = np.load(tmp_path / "more" / "test" / "3dpw_test.npz")
    assert len(labels["imgname"]) == 2


def test_every_nth_frame(tmp_path, prepared):
    main(Options(prepared[0], tmp_path, every=2))
    names = np.load(tmp_path / "test" / "3dpw_test.npz")["imgname"].tolist()
    assert [name[-9:-4] for name in names] == ["00000", "00000", "00000", "00002"]


class _Evil:
    def __reduce__(self):
        return print, ("run",)


def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys):
    path = tmp_path / "walk.pkl"
    path.write_bytes(pickle.dumps({"poses": _Evil()}))
    with pytest.raises(InputError, match=r"print, which is refused"):
        read_sequence(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "not a readable 3DPW sequence"),
        (python2_pickle([1]), "holds a list"),
        (python2_pickle({"poses": []}), "has no sequence, betas"),
    ],
)
def test_files_that_are_no_sequence(tmp_path, content, message):
    path = tmp_path / "walk.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_sequence(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("poses", [np.zeros((3, 69))], r"poses has shapes \[\(3, 69\)\] for 1 people"),
        ("trans", [], "trans has shapes"),
        ("genders", ["x"], "genders are"),
        ("cam_intrinsics", np.zeros((2, 3)), "4 x 4 and 3 x 3"),
        ("poses2d", [np.zeros((3, 18))], "arrays are not those of 3DPW"),
    ],
)
def test_sequences_that_do_not_fit_together(tmp_path, licensed_set, key, value, message):
    _rewrite(tmp_path, licensed_set, lambda content: content.update({key: value}))
    with pytest.raises(InputError, match=message):
        read_sequence(tmp_path / "sequenceFiles" / "test" / "walk_00.pkl")


def test_wrong_use(tmp_path, prepared, licensed_set):
    with pytest.raises(InputError, match="is not 3DPW"):
        main(Options(tmp_path, tmp_path / "out"))
    with pytest.raises(InputError, match="--min-joints 0"):
        main(Options(tmp_path, tmp_path / "out", min_joints=0))

    def nobody(content):
        content["campose_valid"][0][:] = 0

    _rewrite(tmp_path, licensed_set, nobody)
    (tmp_path / "imageFiles").mkdir()
    with pytest.raises(InputError, match="no frame has a valid camera"):
        main(Options(tmp_path, tmp_path / "out"))
