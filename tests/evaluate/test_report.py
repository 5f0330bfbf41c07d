"""Summaries by hand: intervals, people not found, thirds, tables and the file of frames."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.frames import Frame
from evaluate.evaluator import Outcome
from evaluate.report import find_worst, format_tables, summarise, write_frames


def _outcome(name: str, problem: str = "", **values: float) -> Outcome:
    frame = Frame(name, name, Path(name), "male", np.zeros(10), np.zeros(72))
    return Outcome(frame, values, problem)


def _results() -> dict:
    """Six people; the detector misses the last two."""
    perfect = [_outcome(f"p{i}", pve_t_sc=10.0 + i, silhouette_iou=0.5) for i in range(6)]
    detector = [_outcome(f"p{i}", pve_t_sc=20.0 + i, silhouette_iou=0.4) for i in range(4)]
    lost = [_outcome("p4", "nobody found"), _outcome("p5", "nobody found")]
    return {"perfect": perfect, "detector": detector + lost}


BMIS = [30.0, 20.0, 25.0, 35.0, 22.0, 28.0]


def test_means_over_everybody_found_and_over_the_common_people():
    summary = summarise(_results(), BMIS, seed=0)
    assert summary["people"] == 6
    perfect, detector = summary["sources"]["perfect"], summary["sources"]["detector"]
    assert (perfect["found"], perfect["detection_rate"], perfect["problems"]) == (6, 1.0, {})
    assert detector["found"] == 4
    assert detector["detection_rate"] == pytest.approx(4 / 6)
    assert detector["problems"] == {"nobody found": 2}
    # (10 + ... + 15) / 6 and (20 + ... + 23) / 4
    assert perfect["metrics"]["pve_t_sc"]["mean"] == pytest.approx(12.5)
    assert detector["metrics"]["pve_t_sc"]["mean"] == pytest.approx(21.5)
    assert detector["metrics"]["pve_t_sc"]["count"] == 4
    common = summary["common"]
    assert common["people"] == 4
    # (10 + 11 + 12 + 13) / 4
    assert common["sources"]["perfect"]["metrics"]["pve_t_sc"]["mean"] == pytest.approx(11.5)
    for source in (perfect, detector):
        interval = source["metrics"]["pve_t_sc"]
        assert interval["low"] < interval["mean"] < interval["high"]
    json.dumps(summary, allow_nan=False)


def test_thirds_by_true_body_mass_index():
    summary = summarise(_results(), BMIS, seed=0)
    thirds = summary["sources"]["perfect"]["pve_t_sc_by_bmi"]
    # Sorted: 20 (p1) 22 (p4) | 25 (p2) 28 (p5) | 30 (p0) 35 (p3); errors 10 + number.
    assert [third["mean"] for third in thirds] == pytest.approx([12.5, 13.5, 11.5])
    assert [third["third"] for third in thirds] == ["thin", "average", "heavy"]
    assert thirds[0]["bmi_from"] is None
    assert thirds[0]["bmi_to"] == pytest.approx(24.0)  # a third of the way through 5 steps: 22..25
    assert thirds[2]["bmi_to"] is None
    # The detector lost p4 and p5: one thin and one average person remain.
    thirds = summary["sources"]["detector"]["pve_t_sc_by_bmi"]
    assert [third["mean"] for third in thirds] == pytest.approx([21.0, 22.0, 21.5])
    assert [third["count"] for third in thirds] == [1, 1, 2]


def test_frames_of_one_group_are_drawn_together():
    values = np.random.default_rng(0).normal(size=20).repeat(5)
    alone = [_outcome(str(row), mpjpe=float(value)) for row, value in enumerate(values)]
    grouped = [
        replace(outcome, frame=replace(outcome.frame, group=str(row // 5)))
        for row, outcome in enumerate(alone)
    ]
    summary = summarise({"alone": alone, "grouped": grouped}, [25.0] * 100, seed=0)
    widths = {
        name: source["metrics"]["mpjpe"]["high"] - source["metrics"]["mpjpe"]["low"]
        for name, source in summary["sources"].items()
    }
    # A fifth of the independent numbers: the interval is the square root of 5 times as wide.
    assert widths["grouped"] == pytest.approx(5**0.5 * widths["alone"], rel=0.1)


def test_nobody_found_anywhere():
    results = {"detector": [_outcome("a", "nobody found"), _outcome("b", "nobody found")]}
    summary = summarise(results, [20.0, 30.0], seed=0)
    assert summary["sources"]["detector"]["found"] == 0
    assert "0 of 2" in format_tables(summary)


def test_tables():
    text = format_tables(summarise(_results(), BMIS, seed=0))
    first, second = text.split("\n\n")[:2]
    assert first.splitlines()[0].replace(" ", "") == "|6people|perfect|detector|"
    assert "| 6 of 6 " in first
    assert "| 4 of 6 " in first
    assert "12.50 (" in first
    assert "the 4 people found by all" in second
    assert "11.50 (" in second
    assert "- detector: nobody found (2)" in text
    widths = {len(line) for line in first.splitlines()}
    assert len(widths) == 1  # columns stand under one another
    assert "thin: BMI up to 24.0" in first


def test_the_median_stands_below_the_mean():
    outcomes = [_outcome(str(row), mpjpe_pa=value) for row, value in enumerate((1.0, 2, 4, 93))]
    summary = summarise({"one": outcomes, "all": outcomes}, [20.0] * 4, seed=0)
    found = summary["sources"]["one"]["medians"]["mpjpe_pa"]
    assert (found["median"], found["count"]) == (3, 4)  # between 2 and 4; the mean is 25
    assert 1 <= found["low"] < 3 < found["high"] <= 93
    rows = [line.split("|")[1:3] for line in format_tables(summary).splitlines()]
    labels = [label.strip() for label, _ in rows]
    at = labels.index("MPJPE-PA (mm)")
    assert rows[at][1].startswith(" 25.0 (")
    assert labels[at + 1] == "MPJPE-PA, median (mm)"
    assert rows[at + 1][1].startswith(" 3.0 (")


def test_the_iou_of_all_pixels_stands_below_the_mean_of_each_persons():
    pixels = ((1.0, 2.0), (8.0, 8.0))  # of a small and of a large person
    outcomes = [
        _outcome(str(row), silhouette_iou=a / b, silhouette_intersection=a, silhouette_union=b)
        for row, (a, b) in enumerate(pixels)
    ] + [_outcome("nobody", "nobody found")]
    summary = summarise({"one": outcomes}, [20.0] * 3, seed=0)
    pooled = summary["sources"]["one"]["pooled"]["silhouette_iou"]
    assert pooled["ratio"] == pytest.approx(9 / 10)
    assert (pooled["low"], pooled["high"], pooled["count"]) == (0.5, 1.0, 2)
    rows = [line.split("|")[1:3] for line in format_tables(summary).splitlines() if "|" in line]
    labels = [label.strip() for label, _ in rows]
    at = labels.index("silhouette IoU")
    assert rows[at][1].startswith(" 0.750 (")
    assert labels[at + 1] == "silhouette IoU, of all pixels"
    assert rows[at + 1][1].startswith(" 0.900 (0.500 to 1.000)")


def test_a_metric_that_one_source_lacks():
    """As with checkpoints of two bodies, or a detector that finds nobody."""
    outcomes = [_outcome(str(row), mpjpe=10.0, pve_t_sc=5.0) for row in range(3)]
    joints_alone = [_outcome(str(row), mpjpe=20.0) for row in range(3)]
    summary = summarise({"joints": joints_alone, "mesh": outcomes}, [20.0, 21, 22], seed=0)
    rows = {
        cells[0]: cells[1:]
        for line in format_tables(summary).splitlines()
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    assert rows["MPJPE (mm)"] == ["20.0 (20.0 to 20.0)", "10.0 (10.0 to 10.0)"]
    assert rows["PVE-T-SC (mm)"] == ["-", "5.00 (5.00 to 5.00)"]
    assert rows["PVE-T-SC (mm), thin: BMI up to 20.7"] == ["-", "5.00 (5.00 to 5.00)"]


def test_one_table_where_everybody_was_found():
    results = {"perfect": _results()["perfect"]}
    text = format_tables(summarise(results, BMIS, seed=0))
    assert "found by all" not in text
    assert "Not found" not in text


def test_the_file_of_frames(tmp_path):
    write_frames(tmp_path / "frames.csv", _results(), BMIS)
    with (tmp_path / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert [row["source"] for row in rows] == ["perfect"] * 6 + ["detector"] * 6
    assert (rows[7]["name"], rows[7]["pve_t_sc"], rows[7]["bmi"]) == ("p1", "21", "20.000")
    assert (rows[11]["problem"], rows[11]["pve_t_sc"]) == ("nobody found", "")
    assert rows[0]["mpjpe"] == ""


def test_the_worst_come_first():
    outcomes = [
        _outcome("a", pve_pa=1.0, silhouette_iou=0.2),
        _outcome("b", "nobody found"),
        _outcome("c", pve_pa=3.0, silhouette_iou=0.9),
        _outcome("d", pve_pa=math.nan, silhouette_iou=0.5),
        _outcome("e", pve_pa=2.0, silhouette_iou=0.1),
    ]
    assert find_worst(outcomes, "pve_pa", 2) == [2, 4]
    assert find_worst(outcomes, "silhouette_iou", 9) == [4, 0, 3, 2]
    assert find_worst(outcomes, "mpjpe", 2) == []
