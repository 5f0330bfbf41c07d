"""Rigged people as GLB files, to open in Blender, Unity or a browser.

A file holds a person's shape in the T-pose, the 24 joints as nodes, skin weights, and the pose, or
the poses of a clip, as rotations of the nodes. Skinning alone is not quite our body: what the pose
does to the skin besides (SMPL's pose correctives) is stored as morph targets. One pose needs one
target and is exact. A clip gets a constant one and the principal components of all its correctives,
`MAX_COMPONENTS` at most, whose weights move with the pose.

glTF axes: x right, y up, z towards the viewer; metres.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from models.body_model import BodyModel, Skinning
from renderers.shading import BODY_COLOUR, GAMMA
from utils.files import write_whole
from utils.joints import SMPL_JOINTS, SMPL_PARENTS
from utils.normals import vertex_normals
from utils.rotations import rotmat_to_quaternion

CAMERA_TO_GLTF = np.diag([1.0, -1.0, -1.0])
INFLUENCES = 4  # bones that move a vertex, which is what every viewer reads
MAX_COMPONENTS = 8  # of the pose correctives of a clip
_MIN_COMPONENT = 1e-4  # m, root of a component's sum of squares over frames and vertices
_ROUGHNESS = 0.75
_WEIGHT_STEPS = 65535  # skin weights are whole numbers of this sum
_VERTEX_DATA, _INDEX_DATA = 34962, 34963  # glTF's numbers for what a buffer view is used for
_COMPONENT_TYPES = {"u1": 5121, "u2": 5123, "u4": 5125, "f4": 5126}  # and for types of numbers


@dataclass(frozen=True)
class Rig:
    """What is the same for every person of a body model.

    Attributes:
        skinning: the body model's.
        faces: (F, 3) ints.
        bones: (V, 4) uint8, joints that move each vertex; 0 where fewer do.
        bone_weights: (V, 4) uint16, theirs, in 65535ths; each row's sum is 65535.
    """

    skinning: Skinning
    faces: np.ndarray
    bones: np.ndarray
    bone_weights: np.ndarray

    @classmethod
    def from_body_model(cls, body_model: BodyModel) -> "Rig":
        """The rig of a body model on any device."""
        # A copy of its own in the CPU's memory: the other one may be on a GPU.
        skinning = body_model.skinning.reduce_to(torch.arange(len(body_model.skinning.weights)))
        skinning = skinning.cpu()
        count = min(INFLUENCES, skinning.bones.shape[1])
        weights, places = skinning.bone_weights.topk(count, dim=1)
        bones = skinning.bones.gather(1, places).numpy()
        missing = ((0, 0), (0, INFLUENCES - count))
        steps = np.pad(_share_steps(weights.double().numpy()), missing)
        bones = np.where(steps > 0, np.pad(bones, missing), 0).astype(np.uint8)
        return cls(skinning, body_model.faces.cpu().numpy(), bones, steps)


@dataclass(frozen=True)
class Motion:
    """The poses of a person in one frame or in many.

    Attributes:
        betas: (N,) shape.
        pose_rotmats: (T, 24, 3, 3) joint rotations, the root's in the camera frame.
        translations: (T, 3) metres, of the body's origin in the camera frame.
        fps: frames a second.
    """

    betas: np.ndarray
    pose_rotmats: np.ndarray
    translations: np.ndarray
    fps: float = 30.0

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "Motion":
        """The one pose of a predicted person, at the origin.

        Args:
            arrays: of `models.decoder.Bodies.person`.
        """
        return cls(arrays["betas"], arrays["pose_rotmats"][None], np.zeros((1, 3)))


def write_glb(path: Path, rig: Rig, motion: Motion, components: int = MAX_COMPONENTS) -> None:
    """Writes a person as GLB: shape, skeleton, skin, pose of the first frame, and the animation.

    Args:
        path: of the file; its stem names the person.
        rig: of the person's body model.
        motion: the person; one frame gives an animation of one key.
        components: morph targets for pose correctives besides the constant one, at most.

    Raises:
        InputError: the file cannot be written.
    """
    write_whole(path, build_glb(rig, motion, path.stem, components))


@torch.inference_mode()
def build_glb(rig: Rig, motion: Motion, name: str, components: int = MAX_COMPONENTS) -> bytes:
    """The content of `write_glb`'s file; `name` is the person's."""
    import pygltflib  # here, since predicting without it starts sooner

    betas = torch.from_numpy(np.asarray(motion.betas, np.float32))[None]
    vertices = rig.skinning.shape(betas)[0]  # (V, 3)
    resting = torch.eye(3).expand(1, len(SMPL_JOINTS), 3, 3)
    joints = rig.skinning.bone_transforms(betas, resting)[1][0].double().numpy()  # (24, 3)
    normals = vertex_normals(vertices, torch.from_numpy(rig.faces.astype(np.int64)))
    targets, weights = compress_correctives(rig.skinning, motion.pose_rotmats, components)
    file = _File(pygltflib)
    _add_body(file, rig, vertices.numpy(), normals.numpy(), targets, weights[0])
    _add_skeleton(file, name, joints, motion)
    _add_animation(file, motion, joints, weights)
    return file.to_bytes()


def compress_correctives(
    skinning: Skinning, pose_rotmats: np.ndarray, components: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pose correctives of T frames as few morph targets.

    They are linear in the pose's features (the rotations without the root's, minus the identity),
    so that principal components are found among these, never among all frames' vertices.

    Args:
        skinning: of the body.
        pose_rotmats: (T, 24, 3, 3).
        components: K, at most.

    Returns:
        Targets (1 + K, V, 3) float32 metres, and weights (T, 1 + K) in [0, 1], since some programs
        allow no others. The first target is constant, with weight 1.
    """
    rotmats = np.asarray(pose_rotmats, np.float64)
    features = (rotmats[:, 1:] - np.eye(3)).reshape(len(rotmats), -1)  # (T, 207)
    posedirs = skinning.posedirs.numpy()  # (207, 3 * V)
    constant, directions = features.mean(axis=0), features[:0]
    weights = np.ones((len(features), 1))
    if components and len(features) > 1:
        moving, directions = _find_components(features - constant, posedirs, components)
        low, span = moving.min(axis=0), np.ptp(moving, axis=0)
        constant, directions = constant + low @ directions, directions * span[:, None]
        weights = np.concatenate([weights, (moving - low) / span], axis=1)
    directions = np.concatenate([constant[None], directions]).astype(np.float32)
    planes = (directions @ posedirs).reshape(len(directions), 3, -1)
    return np.ascontiguousarray(planes.transpose(0, 2, 1)), weights.astype(np.float32)


def _find_components(
    features: np.ndarray, posedirs: np.ndarray, components: int
) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of the correctives that centred features (T, 207) make.

    Returns:
        Weights (T, K) and directions (K, 207), whose product is near to the features; K is
        `components` at most.
    """
    # A feature's length in these axes is that of what it does to all vertices.
    variances, axes = np.linalg.eigh((posedirs @ posedirs.T).astype(np.float64))
    metric = axes * np.sqrt(variances.clip(min=0))
    left, sizes, _ = np.linalg.svd(features @ metric, full_matrices=False)
    count = min(components, int((sizes > _MIN_COMPONENT).sum()))
    left, sizes = left[:, :count], sizes[:count]
    return left * sizes, (left / sizes).T @ features


def _share_steps(weights: np.ndarray) -> np.ndarray:
    """Skin weights (V, M), largest first, as whole numbers whose sum is `_WEIGHT_STEPS`."""
    steps = np.rint(weights / weights.sum(axis=1, keepdims=True) * _WEIGHT_STEPS).astype(np.int64)
    steps[:, 0] += _WEIGHT_STEPS - steps.sum(axis=1)
    return steps.astype(np.uint16)


class _File:
    """A glTF file that grows: its description, and the numbers that this points to.

    Args:
        pygltflib: the package, which is loaded when it is needed.
    """

    def __init__(self, pygltflib: ModuleType) -> None:
        self.lib = pygltflib
        self.gltf = pygltflib.GLTF2(
            asset=pygltflib.Asset(version="2.0", generator="STRAPS"), scene=0
        )
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, array: np.ndarray, kind: str, use: int | None = None, **fields: object) -> int:
        """Adds numbers; returns the number of their accessor.

        Args:
            array: (N, ...) of one of `_COMPONENT_TYPES`, in rows of a multiple of 4 bytes or of
                one number.
            kind: glTF's name of what a row is, such as "VEC3".
            use: `_VERTEX_DATA`, `_INDEX_DATA` or None.
            fields: more of the accessor.
        """
        content = np.ascontiguousarray(array).tobytes()
        view = self.lib.BufferView(
            buffer=0, byteOffset=self._size, byteLength=len(content), target=use
        )
        self.gltf.bufferViews.append(view)
        content += bytes(-len(content) % 4)
        self._chunks.append(content)
        self._size += len(content)
        accessor = self.lib.Accessor(
            bufferView=len(self.gltf.bufferViews) - 1,
            componentType=_COMPONENT_TYPES[array.dtype.str[1:]],
            count=len(array),
            type=kind,
            **fields,
        )
        self.gltf.accessors.append(accessor)
        return len(self.gltf.accessors) - 1

    def add_bounded(self, array: np.ndarray, kind: str, use: int | None = None) -> int:
        """Adds numbers whose range the format wants to know."""
        rows = array.reshape(len(array), -1)
        low, high = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
        return self.add(array, kind, use, min=low, max=high)

    def to_bytes(self) -> bytes:
        """The whole file."""
        self.gltf.buffers = [self.lib.Buffer(byteLength=self._size)]
        self.gltf.set_binary_blob(b"".join(self._chunks))
        return b"".join(self.gltf.save_to_bytes())


def _add_body(
    file: _File,
    rig: Rig,
    vertices: np.ndarray,
    normals: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Adds the mesh and its material; see `compress_correctives` for targets and weights."""
    lib = file.lib
    small = len(vertices) < 1 << 16
    indices = rig.faces.astype(np.uint16 if small else np.uint32).reshape(-1)
    primitive = lib.Primitive(
        attributes=lib.Attributes(
            POSITION=file.add_bounded(vertices, "VEC3", _VERTEX_DATA),
            NORMAL=file.add(normals, "VEC3", _VERTEX_DATA),
            JOINTS_0=file.add(rig.bones, "VEC4", _VERTEX_DATA),
            WEIGHTS_0=file.add(rig.bone_weights, "VEC4", _VERTEX_DATA, normalized=True),
        ),
        indices=file.add(indices, "SCALAR", _INDEX_DATA),
        material=0,
        targets=[{"POSITION": file.add_bounded(each, "VEC3", _VERTEX_DATA)} for each in targets],
    )
    names = ["pose_corrective", *(f"pose_corrective_{index}" for index in range(1, len(targets)))]
    file.gltf.meshes.append(
        lib.Mesh(
            name="body",
            primitives=[primitive],
            weights=weights.tolist(),
            extras={"targetNames": names},
        )
    )
    colour = [float(value**GAMMA) for value in BODY_COLOUR]  # glTF's colours are linear
    surface = lib.PbrMetallicRoughness(
        baseColorFactor=[*colour, 1.0], metallicFactor=0.0, roughnessFactor=_ROUGHNESS
    )
    file.gltf.materials.append(
        lib.Material(name="skin", pbrMetallicRoughness=surface, alphaMode="OPAQUE")
    )


def _add_skeleton(file: _File, name: str, joints: np.ndarray, motion: Motion) -> None:
    """Adds the joints as nodes in the pose of the first frame, and the skin and node of the mesh.

    Args:
        file: with the mesh.
        name: of the person.
        joints: (24, 3) metres, in the T-pose.
        motion: whose first frame is the pose that is shown.
    """
    lib, count = file.lib, len(SMPL_JOINTS)
    roots, rotations = _root_places(motion, joints)[0], _list_rotations(motion)[0]
    for index, joint in enumerate(SMPL_JOINTS):
        place = joints[index] - joints[SMPL_PARENTS[index]] if index else roots
        children = [child for child in range(count) if SMPL_PARENTS[child] == index]
        node = lib.Node(name=joint, translation=place.tolist(), rotation=rotations[index].tolist())
        node.children = children
        file.gltf.nodes.append(node)
    # From the T-posed body to each joint's own frame; stored column by column.
    to_joints = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    to_joints[:, 3, :3] = -joints
    inverse = file.add(to_joints.reshape(count, 16), "MAT4")
    file.gltf.skins.append(
        lib.Skin(name=name, joints=list(range(count)), skeleton=0, inverseBindMatrices=inverse)
    )
    file.gltf.nodes.append(lib.Node(name=name, mesh=0, skin=0))
    # The mesh's node stands beside the skeleton: what is above a skinned mesh does not move it.
    file.gltf.scenes.append(lib.Scene(name=name, nodes=[0, count]))


def _add_animation(file: _File, motion: Motion, joints: np.ndarray, weights: np.ndarray) -> None:
    """Adds the poses of all frames.

    Args:
        file: with mesh and skeleton.
        motion: the poses.
        joints: (24, 3) metres, in the T-pose.
        weights: (T, 1 + K) of the morph targets.
    """
    lib, count = file.lib, len(SMPL_JOINTS)
    rotations = _list_rotations(motion).astype(np.float32)  # (T, 24, 4)
    seconds = (np.arange(len(rotations)) / motion.fps).astype(np.float32)
    moves = [(0, "translation", _root_places(motion, joints).astype(np.float32), "VEC3")]
    moves += [(node, "rotation", rotations[:, node], "VEC4") for node in range(count)]
    moves.append((count, "weights", weights.reshape(-1), "SCALAR"))
    animation = lib.Animation(name="pose" if len(seconds) == 1 else "motion")
    clock = file.add_bounded(seconds, "SCALAR")
    for number, (node, path, values, kind) in enumerate(moves):
        sampler = lib.AnimationSampler(input=clock, output=file.add(values, kind))
        animation.samplers.append(sampler)
        target = lib.AnimationChannelTarget(node=node, path=path)
        animation.channels.append(lib.AnimationChannel(sampler=number, target=target))
    file.gltf.animations.append(animation)


def _root_places(motion: Motion, joints: np.ndarray) -> np.ndarray:
    """(T, 3) metres, places of the root joint in glTF's axes; our body turns around that joint."""
    return (joints[0] + np.asarray(motion.translations, np.float64)) @ CAMERA_TO_GLTF.T


def _list_rotations(motion: Motion) -> np.ndarray:
    """(T, 24, 4) unit quaternions x, y, z, w of every joint in its parent's frame, y up."""
    rotmats = np.array(motion.pose_rotmats, np.float64)
    rotmats[:, 0] = CAMERA_TO_GLTF @ rotmats[:, 0]
    quaternions = rotmat_to_quaternion(torch.from_numpy(rotmats)).numpy()
    quaternions = np.roll(quaternions, -1, axis=-1)  # w to the end
    # Of the two that are one rotation the one nearer to the frame before, for programs that blend
    # between frames number by number.
    same = (quaternions[1:] * quaternions[:-1]).sum(axis=-1, keepdims=True) >= 0
    quaternions[1:] *= np.cumprod(np.where(same, 1.0, -1.0), axis=0)
    return quaternions
