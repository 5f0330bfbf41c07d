"""The user's own masks and keypoints: what is read, what is refused, who is who."""

import json
from pathlib import Path

import numpy as np
import pytest

from predict.detectors.keypoint_files import (
    BODY_18,
    BODY_25,
    find_in_table,
    read_coco_table,
    read_keypoints,
)
from predict.detectors.own_files import OwnFiles, OwnFilesDetector, check_own_files
from predict.detectors.registry import build_detector
from predict.detectors.rules import OWN, PUBLISHED
from predict.people import Photo, find_people
from utils.errors import InputError
from utils.images import write_image
from utils.joints import COCO17

HEIGHT, WIDTH = 60, 80
IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
PHOTO = Path("photos/a.jpg")


def _keypoints(left: int) -> np.ndarray:
    """(17, 3) of a person who stands in columns `left` to `left + 20`, rows 5 to 55."""
    x = np.linspace(left + 2, left + 18, 17)
    y = np.linspace(9, 52, 17)
    return np.column_stack([x, y, np.linspace(0.2, 1, 17)])


def _write_mask(path: Path, left: int, shade: int = 1, size=(HEIGHT, WIDTH)) -> None:
    mask = np.zeros((*size, 3), np.uint8)
    mask[5:55, left : left + 20] = shade
    write_image(path, mask)


@pytest.fixture
def files(tmp_path) -> OwnFiles:
    """One person in photo a."""
    for name in ("masks", "keypoints"):
        (tmp_path / name).mkdir()
    _write_mask(tmp_path / "masks" / "a.png", 10)
    np.savez(tmp_path / "keypoints" / "a.npz", keypoints=_keypoints(10))
    return OwnFiles(tmp_path / "masks", tmp_path / "keypoints")


def test_a_person_is_what_the_files_say(files):
    photo = Photo(PHOTO, "a", IMAGE)
    for rules in (OWN, PUBLISHED):
        detector = build_detector("files", None, rules=rules, own_files=files)
        (person,) = find_people(photo, detector, everyone=True, keep_image=False).people
        detection = person.detection
        assert detection.silhouette[5:55, 10:30].all()
        assert detection.silhouette.sum() == 50 * 20
        np.testing.assert_allclose(detection.joints2d_px, _keypoints(10)[:, :2], rtol=1e-6)
        np.testing.assert_allclose(detection.joint_confidence, _keypoints(10)[:, 2], rtol=1e-6)
        np.testing.assert_array_equal(detection.box, [10, 5, 30, 55])
        assert detection.framed is None


def test_masks_find_their_keypoints(files):
    """Keypoints come in another order, with a person more whom nobody masked."""
    (files.masks / "a.png").unlink()
    for number, left in ((1, 5), (2, 50)):
        _write_mask(files.masks / f"a_{number}.png", left)
    people = np.stack([_keypoints(50), _keypoints(28), _keypoints(5)])
    np.savez(files.keypoints / "a.npz", keypoints=people)
    found = OwnFilesDetector(files, OWN).detect_in(IMAGE, PHOTO)
    lefts = {each.box[0]: each.joints2d_px[0, 0] for each in found}
    assert lefts == {5: 7, 50: 52}


def _coco(keypoints: np.ndarray, **more) -> dict:
    return {"keypoints": keypoints.ravel().tolist(), "category_id": 1, **more}


def _openpose(names: tuple[str, ...]) -> dict:
    rows = np.full((len(names), 3), 99.0)
    rows[[names.index(name) for name in COCO17]] = _keypoints(10)
    return {"version": 1.3, "people": [{"pose_keypoints_2d": rows.ravel().tolist()}]}


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        (".json", [_coco(_keypoints(10), image_id=7), _coco(np.ones((2, 3)), category_id=18)]),
        (".json", {"annotations": [_coco(_keypoints(10))]}),
        ("_keypoints.json", _openpose(BODY_25)),
        ("_keypoints.json", _openpose(BODY_18)),
    ],
)
def test_json_of_other_programs(files, ending, content):
    (files.keypoints / "a.npz").unlink()
    path = files.keypoints / f"a{ending}"
    path.write_text(json.dumps(content))
    (keypoints,) = read_keypoints(path)
    np.testing.assert_allclose(keypoints, _keypoints(10), rtol=1e-6)
    assert len(OwnFilesDetector(files, OWN).detect_in(IMAGE, PHOTO)) == 1


@pytest.mark.parametrize("named", ["file_name", "image_id", "stem", "number", "images"])
def test_one_json_of_all_photos(tmp_path, named):
    name = "000042.jpg" if named == "number" else "a.jpg"
    key, value = {
        "file_name": ("file_name", f"folder/{name}"), "image_id": ("image_id", name),
        "stem": ("image_id", "a"), "number": ("image_id", 42), "images": ("image_id", 3),
    }[named]  # fmt: skip
    people = [_coco(_keypoints(left), **{key: value}) for left in (10, 40)]
    people.append(_coco(_keypoints(0), image_id=77))
    images = [{"id": 3, "file_name": f"folder/{name}"}]
    table = {"annotations": people, "images": images} if named == "images" else people
    path = tmp_path / "all.json"
    path.write_text(json.dumps(table))
    found = find_in_table(read_coco_table(path), Path("photos") / name)
    np.testing.assert_allclose(found, [_keypoints(10), _keypoints(40)], rtol=1e-6)
    assert find_in_table(read_coco_table(path), Path("photos/b.jpg")) == []


def test_unseen_joints_may_be_anywhere_and_confidence_ends_at_1(tmp_path):
    keypoints = _keypoints(10)
    keypoints[0] = np.nan, np.nan, 0
    keypoints[1, 2] = 2
    np.savez(tmp_path / "a.npz", keypoints=keypoints)
    (found,) = read_keypoints(tmp_path / "a.npz")
    assert found[:2, 2].tolist() == [0, 1]
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: (files.masks / "a.png").unlink(), r"no mask a\.png in .*, and no a_1\.png"),
        (lambda files: (files.keypoints / "a.npz").unlink(),
         r"no keypoints of a\.jpg .* one of: a\.npz, a\.json, a_keypoints\.json"),
        (lambda files: _write_mask(files.masks / "a.png", 10, size=(40, 30)),
         r"a\.png has 30 x 40 pixels, expected the 80 x 60 of a\.jpg"),
        (lambda files: _write_mask(files.masks / "a.png", 10, shade=0), r"a\.png is black"),
        (lambda files: (files.masks / "a.png").write_text("no"), r"a\.png does not hold an image"),
        (lambda files: (files.keypoints / "a.npz").write_text("no"), r"a\.npz is not a readable"),
        (lambda files: np.savez(files.keypoints / "a.npz", keypoints=_keypoints(40)),
         r"0% of the joints lie in the mask of a\.jpg"),
        (lambda files: np.savez(files.keypoints / "a.npz", keypoints=np.ones((16, 3))),
         r"keypoints of shape \(16, 3\), expected \(17, 3\)"),
        (lambda files: np.savez(files.keypoints / "a.npz", keypoints=np.zeros((0, 17, 3))),
         r"keypoints of 0 people for a\.jpg, expected one for each of 1 masks"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(files, change, message):
    change(files)
    with pytest.raises(InputError, match=message):
        OwnFilesDetector(files, OWN).detect_in(IMAGE, PHOTO)


def test_masks_of_people_without_keypoints_are_named(files):
    (files.masks / "a.png").unlink()
    for number, left in ((1, 5), (2, 50)):
        _write_mask(files.masks / f"a_{number}.png", left)
    np.savez(files.keypoints / "a.npz", keypoints=np.stack([_keypoints(5), _keypoints(25)]))
    with pytest.raises(InputError, match=r"1 of 2 masks of a\.jpg fit keypoints"):
        OwnFilesDetector(files, OWN).detect_in(IMAGE, PHOTO)


@pytest.mark.parametrize("content", ["[", "3", "[3]", '[{"keypoints": "a"}]', '{"people": 1}',
                                     '{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}',
                                     "[" * 100_000])  # fmt: skip
def test_json_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content)
    for read in (read_keypoints, read_coco_table):
        with pytest.raises(InputError, match=r"a\.json"):
            read(path)


def test_folders_are_asked_for_where_they_are_needed(files, tmp_path):
    assert check_own_files("mediapipe", None, None) is None
    assert check_own_files("files", *files) == files
    for given, message in (
        (("mediapipe", *files), "for --silh_from files, not for mediapipe"),
        (("files", files.masks, None), "needs --masks FOLDER and --keypoints"),
        (("files", tmp_path / "no", files.keypoints), "no is not a folder"),
        (("files", files.masks, tmp_path / "no"), "no is not there"),
    ):
        with pytest.raises(InputError, match=message):
            check_own_files(*given)
    with pytest.raises(InputError, match="needs photos in files"):
        OwnFilesDetector(files, OWN).detect(IMAGE)
