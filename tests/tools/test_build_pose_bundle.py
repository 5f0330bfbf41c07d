"""MediaPipe's networks: the wheel they come from, and the file that was made from it."""

import zipfile

import pytest

from tools.build_pose_bundle import FILES, LICENSE, read_wheel
from utils.errors import InputError
from utils.paths import MEDIAPIPE_POSE


def test_a_wheel_gives_both_networks_and_the_licence(tmp_path):
    with zipfile.ZipFile(tmp_path / "mediapipe.whl", "w") as archive:
        for name, path in FILES.items():
            archive.writestr(path, name)
        archive.writestr(LICENSE, "Apache")
    models, license_text = read_wheel(tmp_path / "mediapipe.whl")
    assert models == {"detector": b"detector", "landmarks": b"landmarks"}
    assert license_text == b"Apache"


def test_another_wheel_is_refused_with_where_to_get_the_right_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr("mediapipe/__init__.py", "")
    (tmp_path / "broken.whl").write_bytes(b"PK")
    for name in ("other.whl", "broken.whl", "missing.whl"):
        with pytest.raises(InputError, match=rf"{name} is not .*pip download mediapipe==0\.10\.21"):
            read_wheel(tmp_path / name)


def test_the_licence_lies_beside_the_networks():
    text = MEDIAPIPE_POSE.with_name("mediapipe_pose_LICENSE.txt").read_text()
    assert "Apache License" in text
