"""Reads BVH motion capture: a HIERARCHY of joints with offsets and channels, then the MOTION."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tools.mocap_conversion import Recording
from utils.errors import InputError


@dataclass(frozen=True)
class BvhJoint:
    """A joint and the bones that hang on it; at rest its axes are those of the world."""

    name: str
    parent: str | None
    offset: np.ndarray  # (3,) from the parent
    channels: tuple[str, ...]  # such as "Zrotation", in the order of the motion's columns


def read_bvh(path: Path, fps: float) -> Recording:
    """Reads a BVH file, thinned to about `fps` frames a second.

    Raises:
        InputError: not a BVH file, or its motion does not fit its hierarchy.
    """
    try:
        return _parse_bvh(path, path.read_text(encoding="latin-1"), fps)
    except (StopIteration, RuntimeError, ValueError, IndexError, OSError) as error:
        raise InputError(f"{path}: not a BVH motion ({error!r})") from error


def _parse_bvh(path: Path, text: str, fps: float) -> Recording:
    head, found, tail = text.partition("MOTION")
    if not found:
        raise ValueError("no MOTION")
    joints = list(_joints(iter(head.split())))
    width = sum(len(joint.channels) for joint in joints)
    lines = [line for line in tail.splitlines() if line.strip()]
    count = int(_after(lines[0], "Frames:"))
    seconds = float(_after(lines[1], "Frame Time:"))
    rows = [line.split() for line in lines[2:]]
    if len(rows) != count or count == 0 or seconds <= 0:
        raise ValueError(f"{len(rows)} frames of {seconds} s; its header says {count}")
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise ValueError(f"frame {number} has {len(row)} values for {width} channels")
    step = max(1, round(1 / seconds / fps))
    return Recording(
        file=path,
        name=path.stem,
        frames=np.arange(0, count, step) + 1,
        starts=_rest_positions(joints),
        rotations=_global_rotations(joints, np.array(rows[::step], float)),
    )


def _after(line: str, keyword: str) -> str:
    if not line.strip().startswith(keyword):
        raise ValueError(f"{line.strip()[:40]!r} instead of {keyword!r}")
    return line.strip().removeprefix(keyword)


def _joints(words: Iterator[str]) -> Iterator[BvhJoint]:
    """Joints in the order of their channels; end sites, which have none, are left out."""
    if next(words) != "HIERARCHY":
        raise ValueError("HIERARCHY is missing")
    open_joints: list[str | None] = [None]
    name = offset = None
    for word in words:
        if word in ("ROOT", "JOINT"):
            name = next(words)
        elif word == "End":
            name = next(words)  # "Site"
        elif word == "{":
            open_joints.append(name)
        elif word == "}":
            open_joints.pop()
        elif word == "OFFSET":
            offset = np.array([next(words), next(words), next(words)], float)
        elif word == "CHANNELS":
            channels = tuple(next(words) for _ in range(int(next(words))))
            yield BvhJoint(name, open_joints[-2], offset, channels)
        else:
            raise ValueError(f"unknown word {word!r}")
    if open_joints != [None]:
        raise ValueError("a brace is not closed")


def _rest_positions(joints: list[BvhJoint]) -> dict[str, np.ndarray]:
    positions: dict[str | None, np.ndarray] = {None: np.zeros(3)}
    for joint in joints:
        positions[joint.name] = positions[joint.parent] + joint.offset
    return {joint.name: positions[joint.name] for joint in joints}


def _global_rotations(joints: list[BvhJoint], values: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (N, 3, 3); channels "Z Y X" mean R = Rz Ry Rx."""
    world: dict[str | None, np.ndarray] = {None: np.broadcast_to(np.eye(3), (len(values), 3, 3))}
    column = 0
    for joint in joints:
        turns = [k for k, channel in enumerate(joint.channels) if channel.endswith("rotation")]
        world[joint.name] = world[joint.parent]
        if turns:
            order = "".join(joint.channels[k][0] for k in turns)
            angles = values[:, [column + k for k in turns]]
            local = Rotation.from_euler(order.upper(), angles, degrees=True).as_matrix()
            world[joint.name] = world[joint.parent] @ local
        column += len(joint.channels)
    return {joint.name: world[joint.name] for joint in joints}
