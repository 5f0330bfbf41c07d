"""Errors of measurements: by hand, their file, and how they are printed."""

import numpy as np
import pytest

from metrics.measurement_errors import (
    ErrorKey,
    KnownErrors,
    MeasurementErrors,
    compute_measurement_errors,
    measurement_errors_path,
    read_measurement_errors,
    tell_seen,
    write_measurement_errors,
)
from metrics.measurements import Measurements
from utils.errors import InputError
from utils.joints import COCO17, SMPL_JOINTS

COUNT = len(Measurements._fields)


def test_by_hand():
    ones = Measurements(*[1.0] * COUNT)
    true = np.array([ones._replace(height_m=2.0, waist_m=0.9, weight_kg=80)] * 2)
    pred = np.array([
        ones._replace(height_m=1.6, waist_m=0.8, weight_kg=50),
        ones._replace(height_m=2.0, waist_m=1.2, weight_kg=80),
    ])  # fmt: skip
    free = compute_measurement_errors(pred, true, with_height=False)
    mean = Measurements(*free.mean)
    assert mean.height_m == pytest.approx(0.2)  # 0.4 and 0
    assert mean.waist_m == pytest.approx(0.2)  # 0.1 and 0.3
    assert free.named()["waist_m"] == pytest.approx(0.28)  # 0.1 + 0.9 * 0.2
    mean = Measurements(*compute_measurement_errors(pred, true, with_height=True).mean)
    assert mean.height_m == pytest.approx(0)
    assert mean.waist_m == pytest.approx(0.2)  # 0.8 * 1.25 - 0.9 = 0.1, and 0.3
    assert mean.weight_kg == pytest.approx((50 * 1.25**3 - 80) / 2)


def _made_up(value: float) -> MeasurementErrors:
    return MeasurementErrors(np.full(COUNT, value), np.full(COUNT, 2 * value))


def test_files(tmp_path):
    checkpoint = tmp_path / "a.tar"
    path = measurement_errors_path(checkpoint)
    assert read_measurement_errors(checkpoint, "12") == {}
    joints = np.full(len(SMPL_JOINTS), 0.06)
    several = ErrorKey("mediapipe", 4, True)
    table = {
        ErrorKey("mediapipe", seen="hips"): _made_up(0.04)._replace(joints_p90=joints),
        several: _made_up(0.02),
    }
    write_measurement_errors(path, table, "12")
    found = read_measurement_errors(checkpoint, "12")
    assert found.keys() == table.keys()
    np.testing.assert_array_equal(found[several].p90, np.full(COUNT, 0.04))
    assert found[several].joints_p90 is None
    np.testing.assert_array_equal(found[ErrorKey("mediapipe", seen="hips")].joints_p90, joints)
    assert read_measurement_errors(checkpoint, "34") == {}  # of another version: not known
    whole = path.read_text()
    for damaged in (whole[:-20], whole.replace("0.04", "NaN"), whole.replace("hips", "?"), "[]"):
        path.write_text(damaged)
        with pytest.raises(InputError, match=r"evaluate\.measurement_errors"):
            read_measurement_errors(checkpoint, "12")


def test_the_errors_of_as_many_photos_are_chosen():
    table = {ErrorKey("mediapipe", count): _made_up(1 / count) for count in (1, 4)}
    table[ErrorKey("mediapipe", seen="chest")] = _made_up(2)
    known = KnownErrors(table, "mediapipe")
    assert known.choose(1).mean[0] == known.choose(3).mean[0] == 1
    assert known.choose(9).mean[0] == 0.25
    assert known.choose(1, with_height=True) is None
    assert known.choose(1, seen="chest").mean[0] == 2
    assert known.choose(4, seen="chest").mean[0] == 0.25  # photos differ in what they show
    assert known.choose(1, seen="hips") is None
    assert KnownErrors(table, "maskrcnn").choose(1) is None
    assert KnownErrors().choose(1) is None


def test_what_is_seen_of_people():
    confidence, silhouette = np.ones(len(COCO17)), np.zeros((200, 9), bool)
    silhouette[20:198, 4] = True
    assert tell_seen(silhouette, confidence) == "whole"
    silhouette[198] = True  # of the last hundredth of the rows
    assert tell_seen(silhouette, confidence) == "knees"
    for part, seen in (("ankle", "knees"), ("knee", "hips"), ("hip", "chest")):
        confidence[COCO17.index(f"left_{part}")] = 0
        confidence[COCO17.index(f"right_{part}")] = 0
        assert tell_seen(silhouette, confidence) == seen
    assert tell_seen(np.zeros_like(silhouette), confidence) == "whole"


def test_errors_are_printed():
    person = Measurements(1.75, 80.4, 0.84, 1.0, 0.95, *[0.0] * (COUNT - 5))
    errors = {"height_m": 0.07, "waist_m": 0.044, "weight_kg": 9.96, "hips_m": 1e-17}
    assert person.describe(errors) == (
        "height 1.75 m (±0.07), weight 80 kg (±10.0), waist 84 cm (±4.4), hips 100 cm, chest 95 cm"
    )
