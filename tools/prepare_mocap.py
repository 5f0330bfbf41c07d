"""Turns motion capture (ASF/AMC, BVH, animated glTF) into training poses.

    python -m tools.prepare_mocap --input FOLDER --output data/cmu_poses.npz

The folder and its subfolders are searched for `NN_MM.amc` files with their `NN.asf` (as
mocap.cs.cmu.edu has them), `.bvh` and `.glb` files; the bone names that are understood are in
`mocap_conversion.py`. Frames are thinned to `--fps`, near-duplicates and frames with lost markers
are dropped, and every pose gets a random heading and a small camera tilt. `--val-output` puts a
share of the sequences, never single frames, into a second file.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools.mocap_conversion import Recording, Sequence, convert_recording
from tools.pose_tools import mirror_poses, turn_to_cameras, write_poses
from tools.read_acclaim import read_acclaim
from tools.read_bvh import read_bvh
from tools.read_gltf import read_glb
from utils.command_line import parse_options, run_script
from utils.errors import InputError


@dataclass(frozen=True)
class Options:
    """What to read, how densely, and where to write."""

    input: Path  # folder searched, with its subfolders, for .amc (with .asf), .bvh and .glb files
    output: Path  # npz of training poses
    val_output: Path | None = None  # npz of validation poses; none: everything is for training
    val_share: float = 0.1  # of the sequences, drawn by the seed
    source_fps: float = 120.0  # frame rate of AMC files; the others say it themselves
    fps: float = 15.0  # frame rate kept
    min_change: float = 3.0  # degrees some joint must turn for a frame to be kept
    views: int = 1  # headings and tilts drawn per frame
    mirror: bool = False  # adds every pose with left and right swapped
    seed: int = 0


def main(options: Options) -> None:
    """Converts every sequence, splits by sequence, writes one or two files."""
    sequences = []
    for path in find_motions(options.input):
        for recording in read_recordings(path, options):
            sequence = convert_recording(recording, options.min_change)
            print(f"{path.name}, {sequence.name}: {len(sequence.frames)} poses")
            if len(sequence.frames):
                sequences.append(sequence)
    if not sequences:
        raise InputError(f"{options.input}: in every frame some joint is turned as no body can")
    generator = np.random.default_rng(options.seed)
    held_out = draw_val_sequences(len(sequences), options, generator)
    if options.val_output is not None:
        val = [sequence for k, sequence in enumerate(sequences) if k in held_out]
        write_sequences(options.val_output, val, options, generator)
    train = [sequence for k, sequence in enumerate(sequences) if k not in held_out]
    write_sequences(options.output, train, options, generator)


def find_motions(folder: Path) -> list[Path]:
    """Motion files of a folder and its subfolders, sorted by name.

    Raises:
        InputError: no such folder, or no motion in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with motion capture files")
    motions = [
        path for path in folder.rglob("*") if path.suffix.lower() in (".amc", ".bvh", ".glb")
    ]
    if not motions:
        raise InputError(f"{folder}: no .amc, .bvh or .glb file in it or its subfolders")
    return sorted(motions)


def read_recordings(path: Path, options: Options) -> list[Recording]:
    """The motions of one file, read by its extension."""
    extension = path.suffix.lower()
    if extension == ".glb":
        return read_glb(path, options.fps)
    if extension == ".bvh":
        return [read_bvh(path, options.fps)]
    return [read_acclaim(path, options.fps, options.source_fps)]


def draw_val_sequences(count: int, options: Options, generator: np.random.Generator) -> set[int]:
    """Indices of the sequences held out for validation; empty without `val_output`."""
    if options.val_output is None:
        return set()
    held_out = round(options.val_share * count)
    if not 0 < held_out < count:
        raise InputError(
            f"--val-share {options.val_share} of {count} sequences leaves {held_out} for "
            "validation; choose a share that leaves some on both sides"
        )
    return set(generator.permutation(count)[:held_out].tolist())


def write_sequences(
    path: Path, sequences: list[Sequence], options: Options, generator: np.random.Generator
) -> None:
    """Turns sequences to cameras and writes one npz in the training format."""
    names, poses = [], []
    for sequence in sequences:
        for view in range(options.views):
            poses.append(turn_to_cameras(sequence.poses, generator))
            names.append([f"{sequence.name}_f{frame:05d}_v{view}" for frame in sequence.frames])
            if options.mirror:
                poses.append(turn_to_cameras(mirror_poses(sequence.poses), generator))
                names.append([f"{name}_mirror" for name in names[-1]])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_poses(path, np.concatenate(names), np.concatenate(poses))
    print(f"{path}: {sum(map(len, poses))} poses of {len(sequences)} sequences")


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(Options, __doc__))))
