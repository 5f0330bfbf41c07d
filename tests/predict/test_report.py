"""What is printed about the photos."""

from pathlib import Path

from metrics.measurements import Measurements
from predict.results import PhotoResult, Report
from utils.errors import Skipped


def _photo(name: str, *ious: float, errors: dict[str, float] | None = None) -> PhotoResult:
    sizes = Measurements(1.801, 80.4, 0.9, 1.0, 0.951, *[0.0] * (len(Measurements._fields) - 5))
    return PhotoResult(name, [sizes] * len(ious), list(ious), errors)


NOBODY = Skipped("d.png", "d.png: no person found")


def test_lines_and_summary():
    report = Report()
    line = report.add(_photo("a.png", 0.8))
    assert line.startswith(
        "a.png: height 1.80 m, weight 80 kg, waist 90 cm, hips 100 cm, chest 95 cm"
    )
    lines = report.add(_photo("b.png", 0.6, errors={"PVE-T-SC (mm)": 12.0}))
    assert lines.splitlines()[1] == "    against the truth: PVE-T-SC (mm) 12"
    report.add(_photo("c.png", 0.7, errors={"PVE-T-SC (mm)": 20.0}))
    assert "no person" in report.add(NOBODY)
    assert (report.done, report.skipped) == (3, 1)
    summary = report.summary(Path("out"))
    assert summary.startswith("3 of 4 photos done\n")
    assert "0.700" in summary  # the mean of 0.8, 0.6 and 0.7
    assert "over 2 photos with truth: PVE-T-SC (mm) 16" in summary
    assert "d.png: no person found" in summary
    assert summary.endswith("results are in out")


def test_people_with_numbers():
    report = Report(numbered=True)
    lines = report.add(_photo("a.png", 0.8, 0.6, errors={"PVE-PA (mm)": 50.0})).splitlines()
    assert lines[0].startswith("a.png, person 1: height")
    assert lines[1] == "    against the truth: PVE-PA (mm) 50"  # it belongs to the first person
    assert lines[2].startswith("a.png, person 2: height")
    report.add(NOBODY)
    assert report.summary(Path("out")).startswith("1 of 2 photos done, 2 people\n")


def test_reports_of_several_processes_make_one():
    first, second = Report(), Report()
    first.add(_photo("a.png", 0.8, errors={"PVE-PA (mm)": 50.0}))
    second.add(_photo("b.png", 0.6, errors={"PVE-PA (mm)": 70.0}))
    second.add(NOBODY)
    total = Report.combine([first, second])
    assert (total.done, total.skipped) == (2, 1)
    summary = total.summary(Path("out"))
    assert "2 of 3 photos done\nmean IoU of predicted and detected silhouette: 0.700" in summary
    assert "over 2 photos with truth: PVE-PA (mm) 60" in summary


def test_nothing_done():
    report = Report()
    report.add(NOBODY)
    assert "results" not in report.summary(Path("out"))
