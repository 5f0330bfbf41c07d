"""Part segmentation, face index and depth of a batch of meshes.

The semantics are those of Neural Mesh Renderer 1.1.3, with which the published model was trained:

- A pixel is sampled at its centre. Faces are drawn whichever way they face, and a centre on an edge
  belongs to both faces: no gaps.
- Depth is perspective-correct: 1/z is linear in the image. A fragment counts when near < z < far,
  strictly; there is no other clipping. The nearest fragment wins, at equal depth the lowest face.
- A face with no area in the image draws nothing.
- A face with a vertex at or behind the camera plane (z <= 0) has no sensible projection and draws
  nothing. One that crosses the near plane with all z > 0 is drawn where its fragments are in range.

All of it is float32 arithmetic, the same on every device.
"""

import warnings
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from kernels import rasteriser_numba
from kernels.threads import in_threads
from kernels.triton_support import triton_problem
from renderers import torch_rasteriser
from utils.cameras import weak_perspective_to_pinhole
from utils.tensors import constant

Backend = Literal["auto", "numba", "triton", "torch"]


class Fragments(NamedTuple):
    """What is nearest at every pixel."""

    part_segmentation: Tensor  # (B, H, W) uint8, 0 = background
    face_index: Tensor  # (B, H, W) int32, -1 = background
    depth: Tensor  # (B, H, W) float32, metres, inf = background

    @property
    def silhouette(self) -> Tensor:
        """(B, H, W) bool, where any face was drawn."""
        return self.part_segmentation > 0


class Rasteriser(nn.Module):
    """Rasterises one mesh topology; the faces are buffers and move with `.to(device)`.

    On the CPU a kernel compiled by numba runs in at most `torch.get_num_threads()` threads that
    sleep between calls, so nothing competes with torch's own threads and calls from several
    threads are safe. On CUDA devices Triton kernels run, without synchronisation and, once a first
    call has compiled them, within CUDA graphs. Elsewhere plain torch operations run. All give the
    same pictures. Nothing is differentiable.

    Args:
        faces: (F, 3) integers, vertex numbers.
        face_parts: (F,) integers, label of every face, 1 to 255.
        image_size: pixels, one number for a square image or (height, width).
        near: metres, > 0.
        far: metres, > near; may be inf.
        backend: what draws, see `choose_backend`.

    Raises:
        ValueError: if an argument has another shape, type or range than these.
    """

    def __init__(
        self,
        faces: Tensor | np.ndarray,
        face_parts: Tensor | np.ndarray,
        image_size: int | tuple[int, int] = 256,
        near: float = 0.1,
        far: float = 100.0,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        faces, face_parts = _to_integers(faces, "faces"), _to_integers(face_parts, "face_parts")
        _check_topology(faces, face_parts)
        if not 0 < near < far:
            raise ValueError(f"near and far are {near} and {far}; 0 < near < far is needed")
        if backend not in get_args(Backend):
            raise ValueError(f"backend is {backend!r}; one of {get_args(Backend)} is needed")
        self.backend = backend
        self.image_size = _height_and_width(image_size)
        self.clip = (float(near), float(far))
        self.min_vertices = int(faces.max()) + 1 if len(faces) else 0
        # Not in the state dict: the topology belongs to the body model.
        self.register_buffer("faces", faces.to(torch.int32).contiguous(), persistent=False)
        self.register_buffer("face_parts", face_parts.to(torch.uint8), persistent=False)

    def forward(self, vertices_cam: Tensor, cam_k: Tensor) -> Fragments:
        """Rasterise a batch.

        Args:
            vertices_cam: (B, V, 3) float32, metres, camera frame (x right, y down, z away).
            cam_k: (B, 3, 3) float32 intrinsics in pixels, last row (0, 0, 1).

        Returns:
            Part segmentation, face index and depth.

        Raises:
            ValueError: on other shapes, types or devices, or where the backend cannot draw; on the
                CPU also if a number is not finite. (Elsewhere that would need a synchronisation:
                there the faces at such vertices are not drawn.)
        """
        return self._rasterise(vertices_cam, cam_k, with_fragments=True)

    def part_segmentation(self, vertices_cam: Tensor, cam_k: Tensor) -> Tensor:
        """Only the (B, H, W) uint8 part segmentation of `forward`, with less memory traffic."""
        return self._rasterise(vertices_cam, cam_k, with_fragments=False).part_segmentation

    def extra_repr(self) -> str:
        """Counts and settings, for printing the module."""
        near, far = self.clip
        return f"{len(self.faces)} faces, image_size={self.image_size}, near={near}, far={far}"

    def _check_inputs(self, vertices_cam: Tensor, cam_k: Tensor) -> None:
        _check_tensor(vertices_cam, "vertices_cam", (None, None, 3), self.faces.device)
        _check_tensor(cam_k, "cam_k", (len(vertices_cam), 3, 3), self.faces.device)
        if vertices_cam.shape[1] < self.min_vertices:
            raise ValueError(
                f"vertices_cam has {vertices_cam.shape[1]} vertices, but the faces need at least "
                f"{self.min_vertices}: mesh and rasteriser are of different bodies"
            )

    def _rasterise(self, vertices_cam: Tensor, cam_k: Tensor, with_fragments: bool) -> Fragments:
        """All pictures; face index and depth may be None without `with_fragments`."""
        self._check_inputs(vertices_cam, cam_k)
        backend = choose_backend(self.backend, vertices_cam.device)
        if backend == "triton":
            from kernels import rasteriser_triton  # not everywhere installed

            return Fragments(
                *rasteriser_triton.rasterise(
                    *(vertices_cam, cam_k, self.faces, self.face_parts),
                    *(self.image_size, self.clip, with_fragments),
                )
            )
        if backend == "torch":
            return self._rasterise_torch(vertices_cam, cam_k)
        if not with_fragments:
            return Fragments(self._rasterise_cpu(vertices_cam, cam_k), None, None)
        size = (len(vertices_cam), *self.image_size)
        face_index = torch.empty(size, dtype=torch.int32)
        depth = torch.empty(size, dtype=torch.float32)
        parts = self._rasterise_cpu(vertices_cam, cam_k, face_index, depth)
        return Fragments(parts, face_index, depth)

    def _rasterise_torch(self, vertices_cam: Tensor, cam_k: Tensor) -> Fragments:
        face_index, depth = torch_rasteriser.rasterise(
            vertices_cam, cam_k, self.faces.long(), self.image_size, self.clip
        )
        # Index -1 picks the background's label, which stands last.
        labels = torch.cat([self.face_parts, self.face_parts.new_zeros(1)])
        return Fragments(labels[face_index.long()], face_index, depth)

    def _rasterise_cpu(
        self,
        vertices_cam: Tensor,
        cam_k: Tensor,
        face_index: Tensor | None = None,
        depth: Tensor | None = None,
    ) -> Tensor:
        """The part segmentation; `face_index` and `depth` (B, H, W) are written when given."""
        vertices = vertices_cam.detach().contiguous().numpy()
        intrinsics = cam_k.detach().contiguous().numpy()
        if not np.isfinite(intrinsics).all():
            raise ValueError("cam_k holds numbers that are not finite (nan or inf)")
        mesh = (self.faces.numpy().view(np.uint32), self.face_parts.numpy())
        clip = (np.float32(self.clip[0]), np.float32(self.clip[1]))
        parts = torch.empty((len(vertices), *self.image_size), dtype=torch.uint8)
        if depth is None or face_index is None:  # an empty batch of them: not wanted
            depth = torch.empty((0, *self.image_size), dtype=torch.float32)
            face_index = torch.empty((0, *self.image_size), dtype=torch.int32)

        def rasterise_piece(piece: slice) -> int:
            images = (image[piece].numpy() for image in (depth, face_index, parts))
            return rasteriser_numba.rasterise_samples(
                vertices[piece], intrinsics[piece], *mesh, clip, *images
            )

        not_finite = sum(in_threads(rasterise_piece, len(vertices)))
        if not_finite:
            raise ValueError(
                f"vertices_cam has {not_finite} vertices (of {vertices.size // 3}) that are not "
                "finite (nan or inf)"
            )
        return parts


@torch.no_grad()
def render_silhouettes(vertices: Tensor, cam_wp: Tensor, rasteriser: Rasteriser) -> Tensor:
    """Silhouettes of estimated bodies as their weak-perspective cameras see them.

    Args:
        vertices: (B, V, 3) metres.
        cam_wp: (B, 3).
        rasteriser: of the body's faces, square.

    Returns:
        (B, S, S) bool.
    """
    size = rasteriser.image_size[0]
    whole = constant((size / 2, size / 2, float(size)), vertices.device).expand(len(vertices), -1)
    cam_t, cam_k = weak_perspective_to_pinhole(cam_wp, whole)
    return rasteriser.part_segmentation(vertices + cam_t[:, None], cam_k) > 0


def choose_backend(wanted: Backend, device: torch.device) -> Backend:
    """What draws on a device: "numba" on the CPU, "triton" on CUDA devices, "torch" elsewhere.

    Args:
        wanted: "auto" for that choice; another name is returned if it can draw there. "torch" can
            everywhere, "triton" also on the CPU in Triton's interpreter (TRITON_INTERPRET=1 in the
            environment).
        device: of the vertices.

    Raises:
        ValueError: if what is wanted cannot draw there.
    """
    if wanted == "numba" and device.type != "cpu":
        raise ValueError(f'backend "numba" draws on the CPU, but the tensors are on {device}')
    if wanted == "triton" and (problem := triton_problem(device.type)):
        raise ValueError(f'backend "triton" cannot draw on {device}: {problem}')
    if wanted != "auto":
        return wanted
    if device.type == "cpu":
        return "numba"
    if device.type != "cuda":
        return "torch"
    if problem := triton_problem(device.type):
        warnings.warn(
            f"rasterising on {device} by torch operations, which is slow: {problem}", stacklevel=2
        )
        return "torch"
    return "triton"


def _height_and_width(image_size: int | tuple[int, int]) -> tuple[int, int]:
    size = image_size if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(
            f"image_size is {image_size}; a positive whole number or (height, width) is needed"
        )
    return tuple(size)


def _to_integers(array: Tensor | np.ndarray, name: str) -> Tensor:
    """A tensor of int64; numpy's unsigned types, which torch mostly cannot compute with, too."""
    if isinstance(array, np.ndarray) and array.dtype.kind in "iu":
        array = torch.from_numpy(array.astype(np.int64))
    if not isinstance(array, Tensor) or array.is_floating_point() or array.dtype == torch.bool:
        raise ValueError(
            f"{name} must be a tensor or array of integers, but is {_describe_kind(array)}"
        )
    return array.detach().long()


def _check_topology(faces: Tensor, face_parts: Tensor) -> None:
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"faces has shape {tuple(faces.shape)}; (F, 3) is needed")
    if face_parts.shape != faces.shape[:1]:
        raise ValueError(
            f"face_parts has shape {tuple(face_parts.shape)}; ({len(faces)},) is needed, "
            "one label a face"
        )
    if len(faces) and (faces.min() < 0 or faces.max() > torch.iinfo(torch.int32).max):
        raise ValueError(
            f"faces holds vertex numbers from {faces.min()} to {faces.max()}; they must be "
            "0 or more and fit 32 bits"
        )
    if len(faces) and (face_parts.min() < 1 or face_parts.max() > 255):
        raise ValueError(
            f"face_parts holds labels from {face_parts.min()} to {face_parts.max()}; 1 to 255 "
            "are needed, 0 being the background"
        )


def _check_tensor(
    tensor: Tensor, name: str, shape: tuple[int | None, ...], device: torch.device
) -> None:
    """Raise unless `tensor` is float32 of `shape` (None: any length) on `device`."""
    wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    if not isinstance(tensor, Tensor) or tensor.dtype != torch.float32:
        raise ValueError(f"{name} must be a float32 tensor, but is {_describe_kind(tensor)}")
    fits = len(tensor.shape) == len(shape) and all(
        n is None or n == m for n, m in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; {wanted} is needed")
    if tensor.device != device:
        raise ValueError(f"{name} is on {tensor.device}, but the rasteriser is on {device}")


def _describe_kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, Tensor | np.ndarray) else type(value).__name__
