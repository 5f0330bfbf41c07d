"""Reads Acclaim motion capture, CMU's own format: a skeleton (.asf) and its motions (.amc)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tools.mocap_conversion import Recording
from utils.errors import InputError


@dataclass(frozen=True)
class Bone:
    """One bone of an ASF skeleton; rotations about the rest pose are axis @ motion @ axis^-1."""

    name: str
    direction: np.ndarray  # (3,) unit vector in the rest pose, body frame
    length: float  # in the file's unit
    axis: np.ndarray  # (3, 3)
    dof: tuple[str, ...]  # of "rx", "ry", "rz", in the order of the AMC values


@dataclass(frozen=True)
class Skeleton:
    """An ASF skeleton."""

    bones: dict[str, Bone]
    parents: dict[str, str]  # bone -> parent bone, "root" at the top; parents come first
    root_order: tuple[str, ...]  # of "tx", ..., "rz", in the order of the AMC values
    root_axis: np.ndarray  # (3, 3)
    degrees: bool = True
    metres_per_unit: float = 0.0254  # CMU's lengths are inches times the file's scale


def read_acclaim(path: Path, fps: float, source_fps: float) -> Recording:
    """Reads a motion and its subject's skeleton beside it, thinned to about `fps` frames a second.

    Args:
        path: `NN_MM.amc`; its skeleton is `NN.asf` in the same folder.
        fps: frames a second to keep.
        source_fps: frames a second of the file, which does not say it.

    Raises:
        InputError: the skeleton is not there, or one of the two is malformed.
    """
    skeleton_file = path.with_name(path.stem.split("_")[0] + ".asf")
    if not skeleton_file.is_file():
        raise InputError(f"{path}: its skeleton {skeleton_file.name} is not beside it")
    skeleton = read_asf(skeleton_file)
    frames, values = read_amc(path, skeleton, max(1, round(source_fps / fps)))
    at_rest = bone_ends(skeleton, {name: np.eye(3)[None] for name in ("root", *skeleton.bones)})
    starts = {name: at_rest[parent][0] for name, parent in skeleton.parents.items()}
    hinges = {bone.name: bone.axis[:, 0] for bone in skeleton.bones.values() if bone.dof == ("rx",)}
    return Recording(
        file=path,
        name=path.stem,
        frames=frames,
        starts={"root": np.zeros(3)} | starts,
        rotations=bone_rotations(skeleton, values),
        hinges=hinges,
    )


def read_asf(path: Path) -> Skeleton:
    """Reads an Acclaim skeleton.

    Raises:
        InputError: a section or a value is missing or malformed.
    """
    try:
        return _parse_asf(path.read_text(encoding="latin-1"))
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not an Acclaim skeleton ({error!r})") from error


def _parse_asf(text: str) -> Skeleton:
    sections: dict[str, list[list[str]]] = {}
    current: list[list[str]] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith(":"):
            current = sections.setdefault(words[0], [])
            words = words[1:]
        if words:
            current.append(words)
    units = {words[0]: words[1] for words in sections[":units"]}
    degrees = units["angle"].startswith("deg")
    bones = {bone.name: bone for bone in _parse_bones(sections[":bonedata"], degrees)}
    parents = {
        child: words[0]
        for words in sections[":hierarchy"]
        if words[0] not in ("begin", "end")
        for child in words[1:]
    }
    root = {words[0]: words[1:] for words in sections[":root"]}
    orientation = np.array([float(number) for number in root["orientation"][:3]])
    return Skeleton(
        bones=bones,
        parents=parents,
        root_order=tuple(word.lower() for word in root["order"]),
        root_axis=euler_rotation(root["axis"][0].lower(), orientation, degrees),
        degrees=degrees,
        metres_per_unit=0.0254 / float(units.get("length", 1.0)),
    )


def _parse_bones(lines: list[list[str]], degrees: bool) -> Iterator[Bone]:
    for words in lines:
        if words[0] == "begin":
            values = {}
        elif words[0] == "end":
            direction = np.array([float(number) for number in values["direction"]])
            angles = np.array([float(number) for number in values["axis"][:3]])
            yield Bone(
                name=values["name"][0],
                direction=direction / np.linalg.norm(direction),
                length=float(values["length"][0]),
                axis=euler_rotation(values["axis"][3].lower(), angles, degrees),
                dof=tuple(word.lower() for word in values.get("dof", [])),
            )
        else:
            values[words[0]] = words[1:]


def euler_rotation(order: str, angles: np.ndarray, degrees: bool) -> np.ndarray:
    """Acclaim's Euler angles: "xyz" turns about x first, then y, then z, all fixed axes."""
    if angles.shape[-1] == 0:
        return np.broadcast_to(np.eye(3), (*angles.shape[:-1], 3, 3))
    flat = Rotation.from_euler(order, angles.reshape(-1, len(order)), degrees=degrees)
    return flat.as_matrix().reshape(*angles.shape[:-1], 3, 3)


def read_amc(
    path: Path, skeleton: Skeleton, step: int = 1
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Reads every `step`-th frame of an Acclaim motion.

    Returns:
        Frame numbers (N,) and, per bone with degrees of freedom (and "root"), values (N, D).

    Raises:
        InputError: a frame lacks a bone, has another number of values, or is not a number.
    """
    wanted = {name: len(bone.dof) for name, bone in skeleton.bones.items() if bone.dof}
    wanted["root"] = len(skeleton.root_order)
    numbers: list[int] = []
    values: dict[str, list[list[float]]] = {name: [] for name in wanted}
    position, keep = -1, False
    for line in path.read_text(encoding="latin-1").splitlines():
        words = line.split()
        if not words or words[0][0] in "#:":
            continue
        if len(words) == 1 and words[0].isdigit():
            position += 1
            keep = position % step == 0
            if keep:
                numbers.append(int(words[0]))
        elif keep and words[0] in wanted:
            values[words[0]].append(_amc_values(path, words, wanted[words[0]]))
    for name, rows in values.items():
        if len(rows) != len(numbers) or not numbers:
            raise InputError(
                f"{path}: {len(numbers)} frames but {len(rows)} lines for {name}; "
                "expected one line per bone and frame"
            )
    return np.array(numbers), {name: np.array(rows) for name, rows in values.items()}


def _amc_values(path: Path, words: list[str], count: int) -> list[float]:
    try:
        numbers = [float(word) for word in words[1:]]
    except ValueError as error:
        raise InputError(f"{path}: {' '.join(words)!r} is not a bone with numbers") from error
    if len(numbers) != count:
        raise InputError(
            f"{path}: {words[0]} has {len(numbers)} values in a frame; its skeleton says {count}"
        )
    return numbers


def bone_rotations(skeleton: Skeleton, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Global rotation of every bone from its rest pose, "root" included: name -> (N, 3, 3)."""
    columns = [k for k, name in enumerate(skeleton.root_order) if name.startswith("r")]
    order = "".join(skeleton.root_order[k][1] for k in columns)
    motion = euler_rotation(order, values["root"][:, columns], skeleton.degrees)
    world = {"root": skeleton.root_axis @ motion @ skeleton.root_axis.T}
    for name, parent in skeleton.parents.items():
        bone = skeleton.bones[name]
        rotation = np.eye(3)
        if bone.dof:
            order = "".join(dof[1] for dof in bone.dof)
            motion = euler_rotation(order, values[name], skeleton.degrees)
            rotation = bone.axis @ motion @ bone.axis.T
        world[name] = world[parent] @ rotation
    return world


def bone_ends(skeleton: Skeleton, world: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Far end of every bone relative to the root, metres: name -> (N, 3)."""
    ends = {"root": np.zeros((len(world["root"]), 3))}
    for name, parent in skeleton.parents.items():
        bone = skeleton.bones[name]
        offset = bone.direction * bone.length * skeleton.metres_per_unit
        ends[name] = ends[parent] + world[name] @ offset
    return ends
