"""What is printed about the photos."""

from pathlib import Path

import numpy as np

from predict.measurements import Measurements
from predict.people import FoundPerson, Photo, PredictedPerson, Skipped
from predict.report import Report


def _person(name: str, iou: float) -> PredictedPerson:
    found = FoundPerson(Photo(Path("photos") / name, name), np.zeros((1, 1, 3), np.uint8), None)
    return PredictedPerson(found, {}, Measurements(1.801, 80.4, 0.9, 1.0), iou)


def test_lines_and_summary():
    report = Report()
    line = report.add(_person("a.png", 0.8))
    assert line.startswith("a.png: height 1.80 m, weight 80 kg, waist 90 cm, hips 100 cm")
    assert "against the truth: PVE-T-SC (mm) 12" in report.add(
        _person("b.png", 0.6), {"PVE-T-SC (mm)": 12.0}
    )
    report.add(_person("c.png", 0.7), {"PVE-T-SC (mm)": 20.0})
    assert "no person" in report.add(Skipped(Photo(Path("d.png"), "d"), "d.png: no person found"))
    assert (report.done, report.skipped) == (3, 1)
    summary = report.summary(Path("out"))
    assert "3 of 4 photos done" in summary
    assert "0.700" in summary  # the mean of 0.8, 0.6 and 0.7
    assert "over 2 photos with truth: PVE-T-SC (mm) 16" in summary
    assert "d.png: no person found" in summary
    assert summary.endswith("results are in out")


def test_nothing_done():
    report = Report()
    report.add(Skipped(Photo(Path("d.png"), "d"), "d.png: no person found"))
    assert "results" not in report.summary(Path("out"))
