"""Small motion capture files, written by hand or from rotations: ASF/AMC, BVH, binary glTF."""

import json
import struct
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

HEADER = """# comment
:version 1.10
:name VICON
:units
  mass 1.0
  length {length}
  angle deg
:documentation
   free text
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
"""
BONE = """  begin
     id {number}
     name {name}
     direction {direction}
     length {length}
     axis {axis} XYZ
{dof}  end
"""


def asf_text(bones, units=0.0254) -> str:
    """`bones`: (name, parent, direction, length, axis, dof); a unit is 1 m when units = 0.0254."""
    text = HEADER.format(length=units)
    for number, (name, _, direction, length, axis, dof) in enumerate(bones, 1):
        limits = "    limits (-160.0 20.0)\n" if dof else ""
        line = f"    dof {dof}\n{limits}" if dof else ""
        text += BONE.format(
            number=number, name=name, direction=direction, length=length, axis=axis, dof=line
        )
    text += ":hierarchy\n  begin\n"
    for parent in dict.fromkeys(bone[1] for bone in bones):
        children = " ".join(bone[0] for bone in bones if bone[1] == parent)
        text += f"    {parent} {children}\n"
    return text + "  end\n"


def amc_text(*frames: dict[str, str]) -> str:
    text = "#!OML:ASF test\n:FULLY-SPECIFIED\n:DEGREES\n"
    for number, frame in enumerate(frames, 1):
        text += f"{number}\n" + "".join(f"{name} {line}\n" for name, line in frame.items())
    return text


CMU_BONES = (
    ("lhipjoint", "root", "0.66 -0.71 0.25", 0.1, "0 0 0", ""),
    ("rhipjoint", "root", "-0.66 -0.71 0.25", 0.1, "0 0 0", ""),
    ("lowerback", "root", "0 1 0", 0.1, "0 0 0", "rx ry rz"),
    ("lfemur", "lhipjoint", "0.34202 -0.939693 0", 0.4, "0 0 20", "rx ry rz"),
    ("rfemur", "rhipjoint", "-0.34202 -0.939693 0", 0.4, "0 0 -20", "rx ry rz"),
    ("ltibia", "lfemur", "0.34202 -0.939693 0", 0.4, "0 0 20", "rx"),
    ("rtibia", "rfemur", "-0.34202 -0.939693 0", 0.4, "0 0 -20", "rx"),
    ("lfoot", "ltibia", "0.0886 -0.2434 0.9659", 0.13, "-90 0 20", "rx rz"),
    ("rfoot", "rtibia", "-0.0886 -0.2434 0.9659", 0.13, "-90 0 -20", "rx rz"),
    ("ltoes", "lfoot", "0 0 1", 0.06, "-90 0 20", "rx"),
    ("rtoes", "rfoot", "0 0 1", 0.06, "-90 0 -20", "rx"),
    ("upperback", "lowerback", "0 1 0", 0.1, "0 0 0", "rx ry rz"),
    ("thorax", "upperback", "0 1 0", 0.1, "0 0 0", "rx ry rz"),
    ("lowerneck", "thorax", "0 1 0", 0.1, "0 0 0", "rx ry rz"),
    ("lclavicle", "thorax", "0.97 0.24 0", 0.15, "0 0 0", "ry rz"),
    ("rclavicle", "thorax", "-0.97 0.24 0", 0.15, "0 0 0", "ry rz"),
    ("upperneck", "lowerneck", "0 1 0", 0.1, "0 0 0", "rx ry rz"),
    ("head", "upperneck", "0 1 0", 0.1, "0 0 0", "rx ry rz"),
    ("lhumerus", "lclavicle", "1 0 0", 0.3, "180 -30 -90", "rx ry rz"),
    ("rhumerus", "rclavicle", "-1 0 0", 0.3, "180 30 90", "rx ry rz"),
    ("lradius", "lhumerus", "1 0 0", 0.25, "180 -30 -90", "rx"),
    ("rradius", "rhumerus", "-1 0 0", 0.25, "180 30 90", "rx"),
    ("lwrist", "lradius", "1 0 0", 0.1, "0 90 90", "ry"),
    ("rwrist", "rradius", "-1 0 0", 0.1, "0 -90 -90", "ry"),
    ("lhand", "lwrist", "1 0 0", 0.05, "0 90 90", "rx rz"),
    ("rhand", "rwrist", "-1 0 0", 0.05, "0 -90 -90", "rx rz"),
)
CMU_PARENTS = {"root": None} | {bone[0]: bone[1] for bone in CMU_BONES}


def write_cmu(folder: Path, *frames: dict[str, str]) -> Path:
    """A skeleton laid out like CMU's, and a motion, whose path is returned; angles default to 0."""
    zero = {name: " ".join("0" * len(dof.split())) for name, *_, dof in CMU_BONES if dof}
    zero["root"] = "0 0 0 0 0 0"
    (folder / "07.asf").write_text(asf_text(CMU_BONES))
    (folder / "07_01.amc").write_text(amc_text(*(zero | frame for frame in frames)))
    return folder / "07_01.amc"


def bvh_text(
    parents: dict[str, str | None],
    starts: dict[str, np.ndarray],
    rotations: dict[str, np.ndarray],
    seconds: float,
) -> str:
    """A motion as BVH.

    Args:
        parents: joint -> its parent, the root's None first.
        starts: joint -> (3,) rest position.
        rotations: joint -> (N, 3, 3) global rotations.
        seconds: per frame.
    """
    columns: list[np.ndarray] = []

    def block(name: str) -> str:
        parent = parents[name]
        local = rotations[name]
        if parent is not None:
            local = np.swapaxes(rotations[parent], 1, 2) @ local
        columns.append(Rotation.from_matrix(local).as_euler("ZYX", degrees=True))
        offset = starts[name] - (starts[parent] if parent else 0)
        text = f"{'JOINT' if parent else 'ROOT'} {name}\n{{\n"
        text += f"OFFSET {' '.join(f'{value:.9f}' for value in offset)}\n"
        text += "CHANNELS 3 Zrotation Yrotation Xrotation\n"
        children = [child for child, above in parents.items() if above == name]
        text += "".join(map(block, children)) or "End Site\n{\nOFFSET 0 0 0\n}\n"
        return text + "}\n"

    text = f"HIERARCHY\n{block(next(iter(parents)))}"
    values = np.concatenate(columns, axis=1)
    text += f"MOTION\nFrames: {len(values)}\nFrame Time: {seconds}\n"
    return text + "".join(" ".join(f"{value:.9f}" for value in row) + "\n" for row in values)


def glb_bytes(description: dict, arrays: list[np.ndarray]) -> bytes:
    """A binary glTF file: accessor i is `arrays[i]`, float32."""
    binary = b"".join(array.astype("<f4").tobytes() for array in arrays)
    kinds = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
    views, accessors, place = [], [], 0
    for index, array in enumerate(arrays):
        size = 4 * array.size
        views.append({"buffer": 0, "byteOffset": place, "byteLength": size})
        kind = kinds[array.size // len(array)]
        accessors.append(
            {"bufferView": index, "componentType": 5126, "count": len(array), "type": kind}
        )
        place += size
    description = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": len(binary)}],
        "bufferViews": views,
        "accessors": accessors,
    } | description
    text = json.dumps(description).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def animated_glb(
    parents: dict[str, str | None],
    starts: dict[str, np.ndarray],
    rotations: dict[str, np.ndarray],
    seconds: float,
) -> bytes:
    """A motion as an animation called "test clip"; arguments as of `bvh_text`.

    Every joint's own axes are turned at random in the bind pose, as in rigs, where they follow
    the bones.
    """
    names = list(parents)
    axes = dict(zip(names, Rotation.random(len(names), random_state=0).as_matrix(), strict=True))
    count = len(rotations[names[0]])
    bind = np.tile(np.eye(4), (len(names), 1, 1))
    arrays = [np.arange(count)[:, None] * seconds]
    for index, name in enumerate(names):
        bind[index, :3, :3], bind[index, :3, 3] = axes[name], starts[name]
        local = rotations[name] @ axes[name]
        if parents[name] is not None:
            local = np.swapaxes(rotations[parents[name]] @ axes[parents[name]], 1, 2) @ local
        arrays.append(Rotation.from_matrix(local).as_quat())
    arrays.append(np.linalg.inv(bind).swapaxes(1, 2).reshape(-1, 16))  # column by column
    children = [[k for k, name in enumerate(names) if parents[name] == above] for above in names]
    samplers = [{"input": 0, "output": 1 + index} for index in range(len(names))]
    channels = [
        {"sampler": index, "target": {"node": index, "path": "rotation"}}
        for index in range(len(names))
    ]
    description = {
        "nodes": [
            {"name": name, "children": below} if below else {"name": name}
            for name, below in zip(names, children, strict=True)
        ],
        "skins": [{"joints": list(range(len(names))), "inverseBindMatrices": len(names) + 1}],
        "animations": [{"name": "test clip", "samplers": samplers, "channels": channels}],
    }
    return glb_bytes(description, arrays)
