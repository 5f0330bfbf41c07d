"""Shows how widely the joints of one set of training poses move beside those of another.

python -m tools.compare_poses --poses data/open_poses_train.npz --reference cmu_poses.npz
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from scipy.spatial.transform import Rotation

from data.pose_dataset import load_poses
from tools.pose_arms import measure_upper_arm
from tools.pose_tools import (
    JOINT,
    JOINT_COUNT,
    MIRROR,
    REST_LEG_OUT,
    REST_SHANK_BACK,
    SIDES,
    global_from_local,
    measure_twist,
    to_axis_angle,
    to_rotmats,
    transpose,
)
from utils.command_line import parse_options, run_script

LIMBS = (
    "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "spine3", "neck",
    "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What to compare with what."""

    poses: tuple[Path, ...]  # npz files of training poses
    reference: tuple[Path, ...]  # npz files to compare them with
    plot: Path | None = None  # png of the distributions
    labels: tuple[str, str] = ("open poses", "CMU")
    neighbours: int = 500  # poses of the reference whose nearest neighbours are sought


def main(options: Options) -> None:
    """Prints a table in Markdown and the distance to nearest neighbours; draws the plot."""
    ours = load_poses(options.poses).poses
    reference = load_poses(options.reference).poses
    angles, others = measure_angles(ours), measure_angles(reference)
    print(format_spread_table(angles, others, options.labels))
    step = max(1, len(reference) // options.neighbours)
    distance = find_nearest_neighbours(reference[::step], ours)
    print(
        f"\nnearest of ours to a reference pose, mean turn of {len(LIMBS)} joints: median "
        f"{np.median(distance):.1f}, 90 % {np.percentile(distance, 90):.1f} degrees"
    )
    if options.plot is not None:
        draw_plot(options.plot, angles, others, options.labels)


def measure_angles(poses: np.ndarray) -> dict[str, np.ndarray]:
    """Clinical joint angles, left and right pooled.

    Args:
        poses: (N, 72) axis-angle.

    Returns:
        Name -> (N,) or (2 N,) degrees.
    """
    local = to_rotmats(poses.reshape(-1, JOINT_COUNT, 3).astype(float))
    world = global_from_local(local)
    sides = [_limb_angles(local, world, side, sign) for side, sign in SIDES]
    angles = {name: np.concatenate([side[name] for side in sides]) for name in sides[0]}
    chest = world[:, JOINT["spine3"]]
    spine = to_axis_angle(transpose(world[:, JOINT["pelvis"]]) @ chest)
    head = to_axis_angle(transpose(chest) @ world[:, JOINT["head"]])
    for name, vectors in (("spine", spine), ("head", head)):
        for part, values in zip(("bend", "twist", "side bend"), vectors.T, strict=True):
            angles[f"{name} {part}"] = values
    return {name: np.degrees(values) for name, values in angles.items()}


def _limb_angles(
    local: np.ndarray, world: np.ndarray, side: str, sign: float
) -> dict[str, np.ndarray]:
    def as_left(rotmats: np.ndarray) -> np.ndarray:
        return rotmats if sign > 0 else to_rotmats(to_axis_angle(rotmats) * MIRROR)

    x_axis = np.array([1.0, 0.0, 0.0])
    hip = Rotation.from_matrix(as_left(local[:, JOINT[f"{side}_hip"]])).as_euler("XZY")
    ankle = to_axis_angle(as_left(local[:, JOINT[f"{side}_ankle"]]))
    chest = world[:, JOINT["spine3"]]
    upper = as_left(transpose(chest) @ world[:, JOINT[f"{side}_shoulder"]])
    elevation, plane, rotation = measure_upper_arm(upper)
    forearm = as_left(local[:, JOINT[f"{side}_elbow"]])[:, :, 0]
    wrist = as_left(local[:, JOINT[f"{side}_wrist"]])
    knee = as_left(local[:, JOINT[f"{side}_knee"]])
    return {
        "hip flexion": -hip[:, 0],
        "hip abduction": hip[:, 1] + REST_LEG_OUT,
        "hip outward rotation": hip[:, 2],
        "knee flexion": measure_twist(knee, x_axis) + REST_SHANK_BACK,
        "ankle plantar flexion": ankle[:, 0],
        "arm flexion": elevation * np.sin(plane),
        "arm abduction": elevation * np.cos(plane),
        "arm inward rotation": rotation,
        "elbow flexion": np.arccos(np.clip(forearm[:, 0], -1, 1)),
        "pronation": 2 * measure_twist(wrist, x_axis),
    }


def format_spread_table(
    angles: dict[str, np.ndarray], others: dict[str, np.ndarray], labels: tuple[str, str]
) -> str:
    """Markdown: mean, standard deviation, 1st and 99th percentile of both, degrees."""
    lines = [
        "| degrees | "
        + " | ".join(f"{label}: mean ± std | 1 % to 99 %" for label in labels)
        + " |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in angles:
        cells = [name]
        for values in (angles[name], others[name]):
            low, high = np.percentile(values, (1, 99))
            cells += [f"{values.mean():.0f} ± {values.std():.0f}", f"{low:.0f} to {high:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines).replace("-0 ", "0 ")


def find_nearest_neighbours(queries: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Distance of each query (Q, 72) to the nearest of poses (N, 72).

    Returns:
        (Q,) degrees: angle between the rotations of a joint, averaged over `LIMBS`.
    """
    joints = [JOINT[name] for name in LIMBS]
    query_rotmats, rotmats = (
        to_rotmats(array.reshape(-1, JOINT_COUNT, 3)[:, joints].astype(float)).astype(np.float32)
        for array in (queries, poses)
    )
    distances = []
    for query in query_rotmats:
        trace = np.einsum("njab,jab->nj", rotmats, query)
        turn = np.arccos(np.clip((trace - 1) / 2, -1, 1))
        distances.append(np.degrees(turn.mean(axis=1).min()))
    return np.array(distances)


def draw_plot(
    path: Path,
    angles: dict[str, np.ndarray],
    others: dict[str, np.ndarray],
    labels: tuple[str, str],
) -> None:
    """Writes a png with one pair of histograms per angle."""
    matplotlib.use("agg")
    from matplotlib import pyplot

    columns = 4
    rows = -(-len(angles) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(11, 2 * rows), layout="constrained")
    for axis, name in zip(axes.flat, angles, strict=True):
        both = np.concatenate([angles[name], others[name]])
        bins = np.linspace(*np.percentile(both, (0.3, 99.7)), 45)
        axis.hist(angles[name], bins, density=True, color="tab:blue", alpha=0.45, label=labels[0])
        axis.hist(others[name], bins, density=True, histtype="step", color="k", label=labels[1])
        axis.set_title(name, fontsize=9)
        axis.set_yticks([])
        axis.tick_params(labelsize=7)
    axes.flat[0].legend(fontsize=7)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(Options, __doc__))))
