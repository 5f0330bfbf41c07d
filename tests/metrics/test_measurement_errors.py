"""Errors of measurements: by hand, their file, and how they are printed."""

import numpy as np
import pytest

from metrics.measurement_errors import (
    KnownErrors,
    MeasurementErrors,
    compute_measurement_errors,
    measurement_errors_path,
    read_measurement_errors,
    write_measurement_errors,
)
from metrics.measurements import Measurements
from utils.errors import InputError

COUNT = len(Measurements._fields)


def test_by_hand():
    ones = Measurements(*[1.0] * COUNT)
    true = np.array([ones._replace(height_m=2.0, waist_m=0.9, weight_kg=80)] * 2)
    pred = np.array([
        ones._replace(height_m=1.6, waist_m=0.8, weight_kg=50),
        ones._replace(height_m=2.0, waist_m=1.2, weight_kg=80),
    ])  # fmt: skip
    free = compute_measurement_errors(pred, true, with_height=False)
    named = free.named()
    assert named["height_m"] == pytest.approx(0.2)  # 0.4 and 0
    assert named["waist_m"] == pytest.approx(0.2)  # 0.1 and 0.3
    assert free.p90[Measurements._fields.index("waist_m")] == pytest.approx(0.28)  # 0.1 + 0.9 * 0.2
    named = compute_measurement_errors(pred, true, with_height=True).named()
    assert named["height_m"] == pytest.approx(0)
    assert named["waist_m"] == pytest.approx(0.2)  # 0.8 * 1.25 - 0.9 = 0.1, and 0.3
    assert named["weight_kg"] == pytest.approx((50 * 1.25**3 - 80) / 2)


def _made_up(value: float) -> MeasurementErrors:
    return MeasurementErrors(np.full(COUNT, value), np.full(COUNT, 2 * value))


def test_files(tmp_path):
    checkpoint = tmp_path / "a.tar"
    path = measurement_errors_path(checkpoint)
    assert read_measurement_errors(checkpoint, "12") == {}
    table = {("mediapipe", 1, False): _made_up(0.04), ("mediapipe", 4, True): _made_up(0.02)}
    write_measurement_errors(path, table, "12")
    found = read_measurement_errors(checkpoint, "12")
    assert found.keys() == table.keys()
    np.testing.assert_array_equal(found["mediapipe", 4, True].p90, np.full(COUNT, 0.04))
    assert read_measurement_errors(checkpoint, "34") == {}  # of another version: not known
    for damaged in (path.read_text()[:-20], path.read_text().replace("0.04", "NaN"), "[]"):
        path.write_text(damaged)
        with pytest.raises(InputError, match=r"evaluate\.measurement_errors"):
            read_measurement_errors(checkpoint, "12")


def test_the_errors_of_as_many_photos_are_chosen():
    table = {("mediapipe", count, False): _made_up(1 / count) for count in (1, 4)}
    known = KnownErrors(table, "mediapipe")
    assert known.choose(1).mean[0] == known.choose(3).mean[0] == 1
    assert known.choose(9).mean[0] == 0.25
    assert known.choose(1, with_height=True) is None
    assert KnownErrors(table, "maskrcnn").choose(1) is None
    assert KnownErrors().choose(1) is None


def test_errors_are_printed():
    person = Measurements(1.75, 80.4, 0.84, 1.0, 0.95, *[0.0] * (COUNT - 5))
    errors = {"height_m": 0.07, "waist_m": 0.044, "weight_kg": 9.96, "hips_m": 1e-17}
    assert person.describe(errors) == (
        "height 1.75 m (±0.07), weight 80 kg (±10.0), waist 84 cm (±4.4), hips 100 cm, chest 95 cm"
    )
