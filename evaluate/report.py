"""What an evaluation leaves behind: a summary with intervals, a table and a line per frame."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluate.evaluator import OVERLAP, Outcome
from metrics.bootstrap import Intervals, bootstrap_means, bootstrap_medians, bootstrap_ratios
from models.checkpoints import Predictor
from utils.files import write_whole

# Metrics in the order of the table: what they are called and how many decimals are shown.
METRICS = {
    "pve_t_sc": ("PVE-T-SC (mm)", 2),
    "pve_t": ("PVE-T (mm)", 1),
    "pve_pa": ("PVE-PA (mm)", 1),
    "pve_sc": ("PVE-SC (mm)", 1),
    "pve": ("PVE (mm)", 1),
    "mpjpe_pa": ("MPJPE-PA (mm)", 1),
    "mpjpe_sc": ("MPJPE-SC (mm)", 1),
    "mpjpe": ("MPJPE (mm)", 1),
    "height_error": ("height error (cm)", 1),
    "chest_error": ("chest girth error (cm)", 1),
    "waist_error": ("waist girth error (cm)", 1),
    "hips_error": ("hip girth error (cm)", 1),
    "chest_error_with_height": ("chest girth error, with height (cm)", 1),
    "waist_error_with_height": ("waist girth error, with height (cm)", 1),
    "hips_error_with_height": ("hip girth error, with height (cm)", 1),
    "silhouette_iou": ("silhouette IoU", 3),
    "joints2d_l2": ("joints 2D (px of 256)", 2),
    "pose_mse": ("pose MSE", 4),
    "shape_mse": ("shape MSE", 3),
}
# Whose median stands in a row of its own below the mean: a few people turned round by a detector
# move the mean a lot.
MEDIANS = {"mpjpe_pa": ("MPJPE-PA, median (mm)", 1)}
# Over the pixels of all people together, as papers report it: large people count for more.
POOLED_IOU = ("silhouette_iou", "silhouette IoU, of all pixels")
SHAPE_METRIC = "pve_t_sc"
THIRDS = ("thin", "average", "heavy")
HIGHER_IS_BETTER = frozenset({"silhouette_iou"})

Results = dict[str, Sequence[Outcome]]  # by source of proxies; all of the same frames in order


def summarise(results: Results, bmis: Sequence[float], seed: int) -> dict[str, Any]:
    """Means, medians and the IoU of all pixels, with 95 % bootstrap intervals.

    Over all whom a source found, and over those whom every source found.

    Args:
        results: outcomes by source.
        bmis: true body-mass index of each frame.
        seed: of the bootstrap.

    Returns:
        Numbers, strings, lists and dictionaries. `sources` holds for each source how many were
        found and why others were not, and the metrics over those found. `common` holds the same
        metrics over the frames in which every source found the person.
    """
    count = len(bmis)
    common = [row for row in range(count) if not any(r[row].problem for r in results.values())]
    return {
        "people": count,
        "sources": {
            name: {
                **_count_found(outcomes),
                **_average(outcomes, bmis, range(count), seed),
            }
            for name, outcomes in results.items()
        },
        "common": {
            "people": len(common),
            "sources": {
                name: _average(outcomes, bmis, common, seed) for name, outcomes in results.items()
            },
        },
    }


def _count_found(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    problems = Counter(outcome.problem for outcome in outcomes if outcome.problem)
    found = len(outcomes) - problems.total()
    return {
        "found": found,
        "detection_rate": found / len(outcomes),
        "problems": dict(problems.most_common()),
    }


def _average(
    outcomes: Sequence[Outcome], bmis: Sequence[float], rows: Sequence[int], seed: int
) -> dict[str, Any]:
    """Metrics over some rows, and the shape metric over thirds of ALL rows by true BMI."""
    names = [name for name in METRICS if any(name in outcome.values for outcome in outcomes)]
    values = np.array(
        [[outcomes[row].values.get(name, math.nan) for name in names] for row in rows]
    ).reshape(len(rows), len(names))
    groups = [outcomes[row].frame.group for row in rows]
    means = _describe_intervals(bootstrap_means(values, groups, seed), "mean")
    averages: dict[str, Any] = {"metrics": dict(zip(names, means, strict=True))}
    medians = [name for name in MEDIANS if name in names]
    if medians:
        columns = values[:, [names.index(name) for name in medians]]
        found = _describe_intervals(bootstrap_medians(columns, groups, seed), "median")
        averages["medians"] = dict(zip(medians, found, strict=True))
    if POOLED_IOU[0] in names:
        averages["pooled"] = {POOLED_IOU[0]: _pool_iou([outcomes[row] for row in rows], seed)}
    if SHAPE_METRIC in names and len(bmis) >= len(THIRDS):
        column = values[:, names.index(SHAPE_METRIC)]
        averages[f"{SHAPE_METRIC}_by_bmi"] = _average_by_bmi(column, groups, bmis, rows, seed)
    return averages


def _pool_iou(outcomes: Sequence[Outcome], seed: int) -> dict[str, Any]:
    """Shared pixels of all people together over all their pixels."""
    intersections, unions = (
        np.array([outcome.values.get(name, math.nan) for outcome in outcomes]).reshape(-1, 1)
        for name in OVERLAP
    )
    groups = [outcome.frame.group for outcome in outcomes]
    (interval,) = _describe_intervals(
        bootstrap_ratios(intersections, unions, groups, seed), "ratio"
    )
    return interval


def _average_by_bmi(
    values: np.ndarray,
    groups: Sequence[str],
    bmis: Sequence[float],
    rows: Sequence[int],
    seed: int,
) -> list[dict[str, Any]]:
    """Means of values and groups (N,) of some rows, by the thirds of ALL rows."""
    limits = np.quantile(bmis, [1 / 3, 2 / 3])
    third = np.searchsorted(limits, [bmis[row] for row in rows])
    thirds = []
    for index, name in enumerate(THIRDS):
        inside = np.flatnonzero(third == index)
        found = bootstrap_means(values[inside, None], [groups[row] for row in inside], seed)
        (interval,) = _describe_intervals(found, "mean")
        bounds = (None, *(round(float(limit), 2) for limit in limits), None)
        thirds.append(
            {"third": name, "bmi_from": bounds[index], "bmi_to": bounds[index + 1], **interval}
        )
    return thirds


def _describe_intervals(found: Intervals, average: str) -> list[dict[str, Any]]:
    """One dictionary a column; unknown numbers are None, which JSON knows."""
    return [
        {
            average: _make_json(found.estimate[column]),
            "low": _make_json(found.low[column]),
            "high": _make_json(found.high[column]),
            "count": int(found.count[column]),
        }
        for column in range(len(found.estimate))
    ]


def _make_json(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def format_tables(summary: dict[str, Any]) -> str:
    """The summary in Markdown: everybody found, and, where some were not, the common people too."""
    people, sources = summary["people"], summary["sources"]
    found = [f"{source['found']} of {people}" for source in sources.values()]
    text = _format_table(f"{people} people", sources, [("found", found)])
    common = summary["common"]
    if common["people"] == people:
        return text
    problems = "\n".join(
        f"- {name}: {reason} ({count})"
        for name, source in sources.items()
        for reason, count in source["problems"].items()
    )
    if common["people"]:
        title = f"the {common['people']} people found by all"
        text += f"\n\n{_format_table(title, common['sources'], [])}"
    return f"{text}\n\nNot found:\n{problems}"


def _format_table(
    title: str, sources: dict[str, dict[str, Any]], first_rows: list[tuple[str, list[str]]]
) -> str:
    rows = [(title, list(sources)), *first_rows]
    averages = list(sources.values())
    for name, wording in METRICS.items():
        rows += _format_row(*wording, [source["metrics"].get(name) for source in averages], "mean")
        if name in MEDIANS:
            medians = [source.get("medians", {}).get(name) for source in averages]
            rows += _format_row(*MEDIANS[name], medians, "median")
        if name == POOLED_IOU[0]:
            pooled = [source.get("pooled", {}).get(name) for source in averages]
            rows += _format_row(POOLED_IOU[1], wording[1], pooled, "ratio")
    label, digits = METRICS[SHAPE_METRIC]
    for index in range(len(THIRDS)):
        thirds = [source.get(f"{SHAPE_METRIC}_by_bmi", {index: None})[index] for source in averages]
        bounds = next((_format_bounds(third) for third in thirds if third), "")
        rows += _format_row(f"{label}, {bounds}", digits, thirds, "mean")
    return _format_markdown([[name, *cells] for name, cells in rows])


def _format_row(
    label: str, digits: int, intervals: list[dict[str, Any] | None], average: str
) -> list[tuple[str, list[str]]]:
    """The row of a metric, none where no source has it."""
    if not any(intervals):
        return []
    return [(label, [_format_cell(interval, digits, average) for interval in intervals])]


def _format_bounds(third: dict[str, Any]) -> str:
    name, low, high = (third[key] for key in ("third", "bmi_from", "bmi_to"))
    if low is None:
        return f"{name}: BMI up to {high:.1f}"
    return f"{name}: BMI " + (f"over {low:.1f}" if high is None else f"{low:.1f} to {high:.1f}")


def _format_cell(interval: dict[str, Any] | None, digits: int, average: str) -> str:
    if interval is None or interval[average] is None:
        return "-"
    middle, low, high = (f"{interval[key]:.{digits}f}" for key in (average, "low", "high"))
    return f"{middle} ({low} to {high})"


def _format_markdown(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def describe_checkpoints(
    paths: Sequence[Path], predictors: Mapping[str, Predictor]
) -> dict[str, Any]:
    """What was evaluated, for summary.json; several checkpoints are told apart by their names."""
    described = {
        name: {
            "checkpoint": str(path),
            "epoch": predictor.epoch,
            "body": predictor.body_model.identity,
            "image_size": predictor.image_size,
            "proxy": predictor.proxy_rule,
        }
        for path, (name, predictor) in zip(paths, predictors.items(), strict=True)
    }
    if len(described) == 1:
        (only,) = described.values()
        return only
    return {"checkpoints": described}


def write_results(
    folder: Path, summary: dict[str, Any], results: Results, bmis: Sequence[float]
) -> None:
    """Writes summary.json, summary.md and per_frame.csv, and prints the table."""
    tables = format_tables(summary)
    write_whole(folder / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
    write_whole(folder / "summary.md", (tables + "\n").encode())
    write_frames(folder / "per_frame.csv", results, bmis)
    print(tables)


def write_frames(path: Path, results: Results, bmis: Sequence[float]) -> None:
    """Writes a CSV file with a line for every frame and source."""
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    columns = [*METRICS, *OVERLAP]
    writer.writerow(["source", "name", "group", "gender", "bmi", "problem", *columns])
    for source, outcomes in results.items():
        for outcome, bmi in zip(outcomes, bmis, strict=True):
            frame = outcome.frame
            values = [outcome.values.get(name, math.nan) for name in columns]
            writer.writerow(
                [source, frame.name, frame.group, frame.gender, f"{bmi:.3f}", outcome.problem]
                + ["" if math.isnan(value) else f"{value:.6g}" for value in values]
            )
    write_whole(path, table.getvalue().encode(errors="surrogateescape"))


def find_worst(outcomes: Sequence[Outcome], metric: str, count: int) -> list[int]:
    """Rows of the frames with the worst values of a metric, the worst first."""
    known = [
        row
        for row, each in enumerate(outcomes)
        if not math.isnan(each.values.get(metric, math.nan))
    ]
    better = 1 if metric in HIGHER_IS_BETTER else -1
    return sorted(known, key=lambda row: better * outcomes[row].values[metric])[:count]
