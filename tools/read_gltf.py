"""Reads the animations of a rigged person from a binary glTF file (.glb, version 2)."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from tools.mocap_conversion import Recording
from utils.errors import InputError

_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_COUNTS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_JSON, _BINARY = 0x4E4F534A, 0x004E4942
SLACK = 1e-3  # of a frame: keys are stored as float32


@dataclass(frozen=True)
class Gltf:
    """The two chunks of a file: its description and its numbers."""

    description: dict
    binary: bytes

    def array(self, index: int) -> np.ndarray:
        """An accessor's numbers, (count, values), float64; normalised integers in [-1, 1]."""
        accessor = self.description["accessors"][index]
        view = self.description["bufferViews"][accessor["bufferView"]]
        kind = np.dtype(_TYPES[accessor["componentType"]])
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        values = _COUNTS[accessor["type"]]
        numbers = np.frombuffer(self.binary, kind, accessor["count"] * values, start).astype(float)
        scale = np.iinfo(kind).max if accessor.get("normalized") else 1
        return np.maximum(numbers.reshape(-1, values) / scale, -1 if scale > 1 else -np.inf)


def read_glb(path: Path, fps: float) -> list[Recording]:
    """Reads every animation of the first skin, sampled `fps` times a second.

    Raises:
        InputError: not a binary glTF file, or it holds no animated skeleton.
    """
    try:
        gltf = _read_chunks(path.read_bytes())
        missing = [part for part in ("skins", "animations") if not gltf.description.get(part)]
        if missing:
            raise InputError(f"{path}: no {' and no '.join(missing)}; expected an animated person")
        return list(_recordings(path, gltf, fps))
    except (
        KeyError,
        IndexError,
        ValueError,
        TypeError,
        OSError,
        RecursionError,
        struct.error,
    ) as error:
        raise InputError(f"{path}: not an animated binary glTF file ({error!r})") from error


def _read_chunks(content: bytes) -> Gltf:
    magic, version, _ = struct.unpack_from("<4sII", content)
    if magic != b"glTF" or version != 2:
        raise ValueError(f"it begins with {magic!r}, version {version}")
    chunks, place = {}, 12
    while place < len(content):
        length, kind = struct.unpack_from("<II", content, place)
        chunks.setdefault(kind, content[place + 8 : place + 8 + length])
        place += 8 + length
    return Gltf(json.loads(chunks[_JSON]), chunks[_BINARY])


def _recordings(path: Path, gltf: Gltf, fps: float) -> Iterator[Recording]:
    skin = gltf.description["skins"][0]
    nodes = gltf.description["nodes"]
    bound = np.linalg.inv(gltf.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2))
    bind = {nodes[index]["name"]: pose for index, pose in zip(skin["joints"], bound, strict=True)}
    at_rest = {
        name: Rotation.from_matrix(pose[:3, :3]).as_matrix().T for name, pose in bind.items()
    }
    for animation in gltf.description["animations"]:
        turns = {
            channel["target"]["node"]: animation["samplers"][channel["sampler"]]
            for channel in animation["channels"]
            if channel["target"]["path"] == "rotation" and "node" in channel["target"]
        }
        if not turns:
            continue
        count, local = _sample(gltf, turns, fps)
        world = _global_rotations(nodes, local, count)
        yield Recording(
            file=path,
            name=animation["name"].replace(" ", "_"),
            frames=np.arange(count),
            starts={name: pose[:3, 3] for name, pose in bind.items()},
            rotations={
                nodes[i]["name"]: world[i] @ at_rest[nodes[i]["name"]] for i in skin["joints"]
            },
        )


def _sample(gltf: Gltf, turns: dict[int, dict], fps: float) -> tuple[int, dict[int, np.ndarray]]:
    """Number of frames N, and for each node that turns its local rotations (N, 3, 3)."""
    keys = {node: gltf.array(sampler["input"])[:, 0] for node, sampler in turns.items()}
    first, last = min(key[0] for key in keys.values()), max(key[-1] for key in keys.values())
    times = first + np.arange(int((last - first) * fps + SLACK) + 1) / fps
    local = {}
    for node, sampler in turns.items():
        quaternions, key = gltf.array(sampler["output"]), keys[node]
        if sampler.get("interpolation") == "CUBICSPLINE":
            quaternions = quaternions[1::3]  # without the tangents: straight from key to key
        rotations = Rotation.from_quat(quaternions)
        if sampler.get("interpolation") == "STEP" or len(key) == 1:
            latest = np.searchsorted(key, times + SLACK / fps, side="right") - 1
            local[node] = rotations[np.maximum(latest, 0)].as_matrix()
        else:
            local[node] = Slerp(key, rotations)(times.clip(key[0], key[-1])).as_matrix()
    return len(times), local


def _global_rotations(
    nodes: list[dict], local: dict[int, np.ndarray], count: int
) -> dict[int, np.ndarray]:
    """Global rotations (`count`, 3, 3) of all nodes."""
    parents = {
        child: index for index, node in enumerate(nodes) for child in node.get("children", ())
    }
    world: dict[int, np.ndarray] = {}

    def place(index: int) -> np.ndarray:
        if index not in world:
            own = local[index] if index in local else _still_rotation(nodes[index])
            above = place(parents[index]) if index in parents else np.eye(3)
            world[index] = np.broadcast_to(above @ own, (count, 3, 3))
        return world[index]

    return {index: place(index) for index in range(len(nodes))}


def _still_rotation(node: dict) -> np.ndarray:
    """(3, 3) rotation of a node that no animation turns."""
    if "matrix" in node:
        matrix = np.array(node["matrix"], float).reshape(4, 4).T
        return Rotation.from_matrix(matrix[:3, :3]).as_matrix()
    return Rotation.from_quat(node.get("rotation", (0, 0, 0, 1))).as_matrix()
