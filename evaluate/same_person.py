"""How shape gains from several photos of one person, on the shapes of the open benchmark.

    python -m evaluate.same_person

Each person is seen in 8 poses of validation, through exact silhouettes and joints ("perfect") and
through drawn errors of the default detector ("detector"), without photos. The shape is estimated
from the first 1, 2, 4 and 8 of them as `--same-person` of run_predict.py does, and, to compare, by
the plain mean of the betas. Prints PVE-T-SC and the errors of girths, and draws the curve.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.pose_dataset import load_poses
from evaluate.open_benchmark import BenchmarkOptions, draw_shapes
from evaluate.repeated_people import SOURCES, as_arrays, estimate_shapes
from metrics.anatomy import Anatomy
from metrics.comparison import measure_people, size_errors
from metrics.metrics import Metrics
from models.checkpoints import Predictor, load_predictor
from models.shape_errors import CombinedShape, combine_shapes, read_shape_errors
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.files import hash_file
from utils.paths import DEFAULT_CHECKPOINT, OPEN_POSES_VAL, OUTPUT

COUNTS = (1, 2, 4, 8)  # photos of one person


@dataclass(frozen=True)
class SamePersonOptions:
    """Which network is measured, and on whom."""

    checkpoint: Path = DEFAULT_CHECKPOINT  # of a network for the open body
    count: int = 300  # people
    seed: int = 23  # of poses and errors
    curve: Path = OUTPUT / "same_person.png"  # picture to write


def measure_same_person(options: SamePersonOptions) -> None:
    """Measures, prints and draws."""
    predictor = load_predictor(options.checkpoint, torch.device("cpu"))
    betas = draw_shapes(BenchmarkOptions(options.count))
    rows: dict[str, dict[int, dict[str, float]]] = {}
    for source in SOURCES:
        estimates = _estimate(predictor, betas, source, options.seed)
        means = {photos: estimates[:, :photos].mean(dim=1) for photos in COUNTS}
        combined = combine_estimates(options.checkpoint, estimates, source)
        combined = {photos: stack_betas(shapes) for photos, shapes in combined.items()}
        for label, shapes in (("plain mean", means), ("combined", combined)):
            rows[f"{source}, {label}"] = {
                photos: _compare_shapes(predictor, shapes[photos], betas) for photos in COUNTS
            }
    print(format_rows(rows))
    draw_curve(options.curve, rows)
    print(f"the curve is in {options.curve}")


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
    checkpoint: Path, estimates: Tensor, source: str
) -> dict[int, list[CombinedShape]]:
    """The same of what the network estimated, (P, K, N)."""
    errors = read_shape_errors(checkpoint, hash_file(checkpoint), source)
    (arrays,) = as_arrays(estimates)
    return {
        photos: [combine_shapes(person[:photos], errors) for person in arrays] for photos in COUNTS
    }


def stack_betas(shapes: Sequence[CombinedShape]) -> Tensor:
    """(P, N) betas of people, float32."""
    return torch.from_numpy(np.stack([shape.betas for shape in shapes])).float()


def _compare_shapes(predictor: Predictor, pred: Tensor, true: Tensor) -> dict[str, float]:
    """Means over people: PVE-T-SC in mm, and the errors of sizes in cm."""
    body, anatomy = predictor.body_model, Anatomy.of(predictor.body_model)
    rest = [body.tpose(betas) for betas in (pred, true)]
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
        style = "-o" if label.endswith("combined") else ":x"
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
