"""How shape gains from several photos of one person, and from knowing their gender.

    python -m evaluate.same_person
    python -m evaluate.same_person --dataset strangers

People are those of the open benchmark, whose gender nobody knows, or the strangers. Each is seen in
8 poses of validation, through exact silhouettes and joints ("perfect") and through drawn errors of
the default detector ("detector"), without photos. The shape is estimated from the first 1, 2, 4 and
8 of them as `--same-person` of run_predict.py does, also with the gender known, and, to compare, by
the plain mean of the betas. Prints PVE-T-SC and the errors of girths, and draws the curve.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from data.pose_dataset import load_poses
from data.strangers import read_strangers
from evaluate.open_benchmark import BenchmarkOptions, draw_shapes
from evaluate.repeated_people import SOURCES, as_arrays, estimate_shapes
from metrics.anatomy import Anatomy
from metrics.comparison import measure_people, size_errors
from metrics.metrics import Metrics
from models.checkpoints import Predictor, load_predictor
from models.shape_errors import CombinedShape, combine_shapes, know_gender, read_shape_errors
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.files import hash_file
from utils.paths import DEFAULT_CHECKPOINT, OPEN_POSES_VAL, OUTPUT, STRANGERS

COUNTS = (1, 2, 4, 8)  # photos of one person


@dataclass(frozen=True)
class SamePersonOptions:
    """Which network is measured, and on whom."""

    checkpoint: Path = DEFAULT_CHECKPOINT  # of a network for the open body
    dataset: Literal["open", "strangers"] = "open"  # whose shapes
    people: Path = STRANGERS  # npz of the strangers, as tools/open_body/build_strangers.py makes it
    count: int = 300  # people, or as many as there are
    seed: int = 23  # of poses and errors
    curve: Path = OUTPUT / "same_person.png"  # picture to write


def measure_same_person(options: SamePersonOptions) -> None:
    """Measures, prints and draws."""
    predictor = load_predictor(options.checkpoint, torch.device("cpu"))
    betas, offsets, genders = _read_people(options)
    true = predictor.body_model.tpose(betas)
    true = true if offsets is None else true + offsets
    rows: dict[str, dict[int, dict[str, float]]] = {}
    for source in SOURCES:
        estimates = _estimate(predictor, betas, source, options.seed, offsets)
        found = {"plain mean": {photos: estimates[:, :photos].mean(dim=1) for photos in COUNTS}}
        known: dict[str, Sequence[str] | None] = {"combined": None}
        if genders is not None:
            known["gender known"] = genders
        for label, told in known.items():
            shapes = combine_estimates(options.checkpoint, estimates, source, told)
            found[label] = {photos: stack_betas(each) for photos, each in shapes.items()}
        for label, shapes in found.items():
            rows[f"{source}, {label}"] = {
                photos: _compare_shapes(predictor, shapes[photos], true) for photos in COUNTS
            }
    print(format_rows(rows))
    draw_curve(options.curve, rows)
    print(f"the curve is in {options.curve}")


def _read_people(
    options: SamePersonOptions,
) -> tuple[Tensor, Tensor | None, Sequence[str] | None]:
    """Betas (P, 10), offsets (P, V, 3) and genders (P,) of people, where they have any."""
    if options.dataset == "open":
        return draw_shapes(BenchmarkOptions(options.count)), None, None
    people = read_strangers(options.people)
    betas, offsets = (
        torch.from_numpy(each[: options.count]) for each in (people.betas, people.offsets)
    )
    return betas, offsets, people.genders[: options.count].tolist()


def combine_people(
    checkpoint: Path,
    predictor: Predictor,
    betas: Tensor,
    source: str,
    seed: int,
    offsets: Tensor | None = None,
) -> dict[int, list[CombinedShape]]:
    """Shapes of people from their first photos, by the number of photos in `COUNTS`.

    Args:
        checkpoint: the predictor's file, beside which the errors of its shapes lie.
        predictor: loaded from it.
        betas: (P, M) the true ones.
        source: a key of `SOURCES`.
        seed: of poses and errors.
        offsets: (P, V, 3) metres, what their T-posed bodies are beyond what betas tell.
    """
    estimates = _estimate(predictor, betas, source, seed, offsets)
    return combine_estimates(checkpoint, estimates, source)


def _estimate(
    predictor: Predictor, betas: Tensor, source: str, seed: int, offsets: Tensor | None = None
) -> Tensor:
    poses = torch.from_numpy(load_poses((OPEN_POSES_VAL,)).poses)
    return estimate_shapes(predictor, betas, poses, max(COUNTS), source, seed, offsets)


def combine_estimates(
    checkpoint: Path, estimates: Tensor, source: str, genders: Sequence[str] | None = None
) -> dict[int, list[CombinedShape]]:
    """The same of what the network estimated, (P, K, N); genders of the people, where known."""
    errors = read_shape_errors(checkpoint, hash_file(checkpoint), source)
    of_people = [errors] * len(estimates)
    if genders is not None:
        of_people = [know_gender(errors, gender) for gender in genders]
    (arrays,) = as_arrays(estimates)
    return {
        photos: [
            combine_shapes(person[:photos], errors)
            for person, errors in zip(arrays, of_people, strict=True)
        ]
        for photos in COUNTS
    }


def stack_betas(shapes: Sequence[CombinedShape]) -> Tensor:
    """(P, N) betas of people, float32."""
    return torch.from_numpy(np.stack([shape.betas for shape in shapes])).float()


def _compare_shapes(predictor: Predictor, betas: Tensor, true: Tensor) -> dict[str, float]:
    """Means over people whose T-posed vertices are known: PVE-T-SC in mm, errors of sizes in cm."""
    body, anatomy = predictor.body_model, Anatomy.of(predictor.body_model)
    rest = [body.tpose(betas), true]
    metrics = Metrics().update(*({"vertices_tpose": each} for each in rest))
    sizes = size_errors(*(measure_people(each, anatomy) for each in rest))
    return {
        "PVE-T-SC (mm)": metrics["pve_t_sc"].mean().item(),
        **{name.replace("_", " "): values.mean().item() for name, values in sizes.items()},
    }


def format_rows(rows: dict[str, dict[int, dict[str, float]]]) -> str:
    """A table for people: a row a number of photos and way of combining them."""
    names = list(next(iter(rows.values()))[COUNTS[0]])
    lines = [f"| | photos | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for label, by_count in rows.items():
        for photos, values in by_count.items():
            cells = " | ".join(f"{values[name]:.2f}" for name in names)
            lines.append(f"| {label} | {photos} | {cells} |")
    return "\n".join(lines)


def draw_curve(path: Path, rows: dict[str, dict[int, dict[str, float]]]) -> None:
    """Draws PVE-T-SC against the number of photos; raises InputError without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("the curve needs matplotlib: see requirements-dev.txt") from error
    matplotlib.use("agg")
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(figsize=(5, 3.2), layout="constrained")
    for label, by_count in rows.items():
        colour = "tab:blue" if label.startswith("perfect") else "tab:orange"
        style = {"combined": "-o", "plain mean": ":x"}.get(label.split(", ")[1], "--^")
        errors = [values["PVE-T-SC (mm)"] for values in by_count.values()]
        axes.plot(list(by_count), errors, style, color=colour, label=label)
    axes.set(xlabel="photos of one person", ylabel="PVE-T-SC (mm)", xscale="log", ylim=(0, None))
    axes.set_xticks(COUNTS, [str(count) for count in COUNTS], minor=False)
    axes.minorticks_off()
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(run_script(lambda: measure_same_person(parse_options(SamePersonOptions, __doc__))))
