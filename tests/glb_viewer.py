"""Reads GLB files as a viewer does, by the format's specification and without its library."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

_TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@dataclass(frozen=True)
class Glb:
    """A file's description and the bytes that it points into."""

    content: dict
    buffer: bytes

    @classmethod
    def read(cls, path: Path) -> "Glb":
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON"
        buffer_size, kind = struct.unpack_from("<I4s", data, 20 + size)
        assert kind == b"BIN\0"
        buffer = data[28 + size :]
        assert len(buffer) == buffer_size
        return cls(json.loads(data[20 : 20 + size]), buffer)

    def array(self, number: int) -> np.ndarray:
        """An accessor's numbers, one row an element."""
        accessor = self.content["accessors"][number]
        view = self.content["bufferViews"][accessor["bufferView"]]
        width = _WIDTHS[accessor["type"]]
        flat = np.frombuffer(
            self.buffer,
            _TYPES[accessor["componentType"]],
            accessor["count"] * width,
            view.get("byteOffset", 0) + accessor.get("byteOffset", 0),
        )
        rows = flat.reshape(-1, width)
        for bound, found in (("min", rows.min(axis=0)), ("max", rows.max(axis=0))):
            if bound in accessor:
                np.testing.assert_array_equal(accessor[bound], found)
        return rows / np.iinfo(rows.dtype).max if accessor.get("normalized") else rows

    def vertices(self, frame: int | None = None) -> np.ndarray:
        """(V, 3) the skinned mesh: as it is opened, or at a frame of the animation."""
        nodes = [dict(node) for node in self.content["nodes"]]
        (mesh_node,) = (node for node in nodes if "mesh" in node)
        mesh = self.content["meshes"][mesh_node["mesh"]]
        mesh_node.setdefault("weights", mesh["weights"])
        if frame is not None:
            self._animate(nodes, frame)
        (primitive,) = mesh["primitives"]
        attributes = primitive["attributes"]
        places = self.array(attributes["POSITION"]).astype(np.float64)
        for weight, target in zip(mesh_node["weights"], primitive["targets"], strict=True):
            places = places + weight * self.array(target["POSITION"])
        skin = self.content["skins"][mesh_node["skin"]]
        inverse = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        worlds = _find_worlds(nodes, self.content["scenes"][self.content["scene"]]["nodes"])
        moves = np.stack([worlds[joint] for joint in skin["joints"]]) @ inverse  # (24, 4, 4)
        bones = self.array(attributes["JOINTS_0"])
        weights = self.array(attributes["WEIGHTS_0"])
        blended = np.einsum("vm,vmij->vij", weights, moves[bones])
        return np.einsum("vij,vj->vi", blended[:, :3, :3], places) + blended[:, :3, 3]

    def _animate(self, nodes: list[dict], frame: int) -> None:
        (animation,) = self.content["animations"]
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            keys = len(self.array(sampler["input"]))
            values = self.array(sampler["output"])
            values = values.reshape(keys, -1)[frame]
            nodes[channel["target"]["node"]][channel["target"]["path"]] = values.tolist()


def _find_worlds(nodes: list[dict], roots: list[int]) -> dict[int, np.ndarray]:
    """(4, 4) of each node, to the scene's axes."""
    worlds = {}

    def walk(number: int, above: np.ndarray) -> None:
        node = nodes[number]
        local = np.eye(4)
        local[:3, :3] = Rotation.from_quat(node.get("rotation", (0, 0, 0, 1))).as_matrix()
        local[:3, 3] = node.get("translation", (0, 0, 0))
        worlds[number] = above @ local
        for child in node.get("children", ()):
            walk(child, worlds[number])

    for root in roots:
        walk(root, np.eye(4))
    return worlds
