"""Shaded pictures of a mesh: by our own shading, or by pyrender where a GL context can be had.

Both draw the same mesh through the same pinhole camera, so that they differ in light alone. Our own
needs no GL: compiled kernels, smooth normals, soft lights.
"""

import logging
import os
import sys
import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels import shading_numba
from utils.errors import InputError
from utils.normals import vertex_normals

log = logging.getLogger(__name__)

BODY_COLOUR = (0.70, 0.80, 0.92)  # RGB in [0, 1]
ImageSize = tuple[int, int]  # height, width, pixels
BACKENDS = ("auto", "pyrender", "own")

GAMMA = 2.2  # between linear light and the values of pictures
MAX_RENDER_SIDE = 2048  # px; larger pictures are rendered at this side and enlarged
TO_GL = np.diag([1.0, -1.0, -1.0])  # GL looks along -z with y up
DEPTH_MARGIN = 0.5  # m before and behind the mesh
CLEAR = (0, 0, 0, 0)
CLIP = (np.float32(0.1), np.float32(1e4))  # m, nearer and farther nothing is drawn


@dataclass(frozen=True)
class Lighting:
    """Two directional lights, light from all around, a little gloss; in the camera frame.

    Strengths are in linear light: a white surface that all of them hit with 1 in sum is just white.

    Attributes:
        key: direction towards the main light (x right, y down, z away).
        fill: direction towards the weaker light from the other side.
        key_strength: of the main light.
        fill_strength: of the weaker light.
        sky: ambient light on a surface that faces up.
        ground: ambient light on a surface that faces down.
        gloss: strength of the highlight.
        sharpness: exponent of the highlight.
    """

    key: tuple[float, float, float] = (-0.6, -0.8, -0.8)
    fill: tuple[float, float, float] = (0.9, -0.1, -0.6)
    key_strength: float = 0.72
    fill_strength: float = 0.14
    sky: float = 0.30
    ground: float = 0.10
    gloss: float = 0.05
    sharpness: float = 24.0


def render_mesh(
    vertices_cam: Tensor,
    faces: Tensor,
    cam_k: Tensor,
    size: ImageSize,
    colours: Tensor,
    lighting: Lighting | None = None,
) -> np.ndarray:
    """A shaded picture of one mesh on nothing, its edges smooth; on the CPU.

    Vertices are lit and the colours blended across each face (Gouraud shading): a body's faces are
    a few pixels large.

    Args:
        vertices_cam: (V, 3) float32 metres, camera frame.
        faces: (F, 3) int64.
        cam_k: (3, 3) intrinsics, pixels of the picture.
        size: height and width of the picture, pixels.
        colours: (V, 3) RGB in [0, 1] of each vertex.
        lighting: None for the default.

    Returns:
        (H, W, 4) float32 RGBA in [0, 1], colour multiplied by alpha.
    """
    lighting = lighting or Lighting()
    normals, rays = vertex_normals(vertices_cam, faces), F.normalize(vertices_cam, dim=-1)
    sides = [shade(side * normals, rays, colours, lighting) for side in (1, -1)]
    samples = cam_k.new_tensor([shading_numba.SAMPLES, shading_numba.SAMPLES, 1])
    picture = np.empty((*size, 4), np.float32)
    shading_numba.draw_shaded(
        vertices_cam.contiguous().numpy(),
        (samples[:, None] * cam_k).numpy(),
        faces.numpy().astype(np.uint32),
        CLIP,
        torch.stack(sides).numpy(),
        picture,
    )
    return picture


def pixel_rays(rows: Tensor, columns: Tensor, cam_k: Tensor) -> Tensor:
    """(N, 3) unit vectors from the camera through the centres of the given pixels."""
    points = torch.stack([columns + 0.5, rows + 0.5, torch.ones_like(rows) * 1.0], dim=-1)
    return F.normalize(points.to(cam_k.dtype) @ torch.linalg.inv(cam_k).T, dim=-1)


def barycentric_weights(corners: Tensor, rays: Tensor) -> Tensor:
    """Where rays from the origin meet the planes of triangles, as weights of the corners.

    Args:
        corners: (N, 3, 3) one triangle for each ray.
        rays: (N, 3).

    Returns:
        (N, 3) weights that sum to one; clamped to the triangle, so that a ray through an edge-on
        triangle gives something usable.
    """
    # A ray d meets the triangle at sum_i w_i c_i = t d; w_i is proportional to the volume that d
    # spans with the other two corners.
    volumes = torch.stack(
        [
            (rays * torch.linalg.cross(corners[:, (i + 1) % 3], corners[:, (i + 2) % 3])).sum(-1)
            for i in range(3)
        ],
        dim=-1,
    )
    volumes = volumes * volumes.sum(-1, keepdim=True).sign()
    volumes = volumes.clamp(min=0) + 1e-20
    return volumes / volumes.sum(-1, keepdim=True)


def shade(normals: Tensor, rays: Tensor, albedo: Tensor, lighting: Lighting) -> Tensor:
    """Colours of lit surface points: Lambert, hemisphere ambient and Blinn-Phong highlights.

    Args:
        normals: (N, 3) float32 unit, of the side that is seen; on the CPU, as all here.
        rays: (N, 3) unit, from the camera.
        albedo: (N, 3) RGB in [0, 1], as in a picture.
        lighting: the lights.

    Returns:
        (N, 3) RGB in [0, 1], as in a picture.
    """
    directions = F.normalize(normals.new_tensor([lighting.key, lighting.fill]), dim=1)
    strengths = normals.new_tensor([[lighting.key_strength], [lighting.fill_strength]])
    numbers = (lighting.sky, lighting.ground, lighting.gloss, lighting.sharpness, GAMMA)
    colours = torch.empty_like(normals)
    shading_numba.shade_points(
        *(each.contiguous().numpy() for each in (normals, rays, albedo)),
        torch.cat([directions, strengths], dim=1).numpy(),
        *map(np.float32, numbers),
        colours.numpy(),
    )
    return colours


class Backend(Protocol):
    """Draws one mesh on nothing."""

    def render(
        self,
        vertices_cam: np.ndarray,
        cam_k: np.ndarray,
        size: ImageSize,
        colours: np.ndarray,
    ) -> np.ndarray:
        """Renders a picture.

        Args:
            vertices_cam: (V, 3) metres, camera frame (x right, y down, z away).
            cam_k: (3, 3) intrinsics, pixels of the picture.
            size: height and width of the picture, pixels.
            colours: (V, 3) RGB in [0, 1].

        Returns:
            (H, W, 4) float32 RGBA in [0, 1], colour multiplied by alpha.
        """
        ...


class OwnBackend:
    """Our rasteriser with simple shading; runs anywhere.

    Args:
        faces: (F, 3) ints.
        lighting: the lights.
    """

    def __init__(self, faces: np.ndarray, lighting: Lighting) -> None:
        self._faces = torch.from_numpy(np.asarray(faces, dtype=np.int64))
        self._lighting = lighting

    def render(
        self,
        vertices_cam: np.ndarray,
        cam_k: np.ndarray,
        size: ImageSize,
        colours: np.ndarray,
    ) -> np.ndarray:
        """See `Backend.render`."""
        vertices, intrinsics, colours = (
            torch.tensor(array, dtype=torch.float32) for array in (vertices_cam, cam_k, colours)
        )
        return render_mesh(vertices, self._faces, intrinsics, size, colours, self._lighting)


class PyrenderBackend:
    """Draws with pyrender; must be used in the thread that made it.

    Args:
        faces: (F, 3) ints.
        lighting: the lights.

    Raises:
        Exception: of many kinds, when there is no usable GL on this machine.
    """

    def __init__(self, faces: np.ndarray, lighting: Lighting) -> None:
        if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
            # PyOpenGL reads this once, at its first import; a choice of the user's stands.
            os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its dependencies' deprecations are not the user's
            import pyrender
        # pyrender 0.1.45 uses a name that numpy 2 dropped.
        vars(np).setdefault("infty", np.inf)
        self._pyrender = pyrender
        self._faces = np.asarray(faces)
        self._lighting = lighting
        self._renderer = pyrender.OffscreenRenderer(64, 64)

    def render(
        self,
        vertices_cam: np.ndarray,
        cam_k: np.ndarray,
        size: ImageSize,
        colours: np.ndarray,
    ) -> np.ndarray:
        """See `Backend.render`."""
        pyrender = self._pyrender
        scene = pyrender.Scene(bg_color=CLEAR, ambient_light=(self._lighting.ground,) * 3)
        scene.add(self._mesh(vertices_cam, colours))
        depth = vertices_cam[:, 2]
        camera = pyrender.IntrinsicsCamera(
            fx=cam_k[0, 0], fy=cam_k[1, 1], cx=cam_k[0, 2], cy=cam_k[1, 2],
            znear=max(0.05, float(depth.min()) - DEPTH_MARGIN),
            zfar=float(depth.max()) + DEPTH_MARGIN,
        )  # fmt: skip
        scene.add(camera)
        for direction, strength in _list_lights(self._lighting):
            light = pyrender.DirectionalLight(color=np.ones(3), intensity=np.pi * strength)
            scene.add(light, pose=_pose_shining_from(TO_GL @ direction))
        self._renderer.viewport_height, self._renderer.viewport_width = size
        picture, _ = self._renderer.render(scene, flags=pyrender.RenderFlags.RGBA)
        return picture.astype(np.float32) / 255

    def _mesh(self, vertices_cam: np.ndarray, colours: np.ndarray):
        normals = vertex_normals(
            torch.from_numpy(np.asarray(vertices_cam, dtype=np.float32)),
            torch.from_numpy(self._faces.astype(np.int64)),
        ).numpy()
        # A body is closed: nobody sees its faces from behind, and not shading them saves a third.
        material = self._pyrender.MetallicRoughnessMaterial(
            metallicFactor=0.0, roughnessFactor=0.75, doubleSided=False
        )
        primitive = self._pyrender.Primitive(
            positions=vertices_cam @ TO_GL,
            normals=normals @ TO_GL,
            indices=self._faces,
            # Pyrender takes linear colours, and encodes what it draws.
            color_0=np.concatenate([colours**GAMMA, np.ones_like(colours[:, :1])], axis=1),
            material=material,
        )
        return self._pyrender.Mesh([primitive])


def _list_lights(lighting: Lighting) -> list[tuple[np.ndarray, float]]:
    # The third one, from straight above, stands for the sky's share of the ambient light.
    return [
        (np.array(lighting.key), lighting.key_strength),
        (np.array(lighting.fill), lighting.fill_strength),
        (np.array((0.0, -1.0, 0.0)), lighting.sky - lighting.ground),
    ]


def _pose_shining_from(direction: np.ndarray) -> np.ndarray:
    """(4, 4) pose whose -z axis points against `direction`: a light that comes from there."""
    z_axis = direction / np.linalg.norm(direction)
    helper = np.array([1.0, 0, 0]) if abs(z_axis[0]) < 0.9 else np.array([0, 1.0, 0])
    x_axis = np.cross(helper, z_axis)
    x_axis /= np.linalg.norm(x_axis)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x_axis, np.cross(z_axis, x_axis), z_axis], axis=1)
    return pose


class BodyRenderer:
    """Draws bodies of one topology; falls back to our own rendering where GL is lost.

    Args:
        faces: (F, 3) ints.
        backend: "own", "pyrender", or "auto": our own, which takes a fifth of the time that
            pyrender takes on a machine without a graphics card, and draws the same everywhere.
        lighting: None for the default.

    Raises:
        InputError: another name of a backend, or "pyrender" was asked for and does not work.
    """

    def __init__(
        self, faces: np.ndarray, backend: str = "auto", lighting: Lighting | None = None
    ) -> None:
        if backend not in BACKENDS:
            raise InputError(f"unknown renderer {backend!r}; expected one of {', '.join(BACKENDS)}")
        self._own = OwnBackend(faces, lighting or Lighting())
        self._backend: Backend = self._own
        if backend != "pyrender":
            return
        # GL fails in as many ways as there are machines (libraries, drivers, contexts).
        try:
            self._backend = PyrenderBackend(faces, lighting or Lighting())
        except Exception as error:
            raise InputError(
                f"pyrender does not work here ({_format_error(error)}); install libegl1 and "
                "libgl1-mesa-dri, or choose --renderer own"
            ) from error

    @property
    def name(self) -> str:
        """Which backend is in use, "own" or "pyrender"."""
        return "own" if self._backend is self._own else "pyrender"

    def render(
        self,
        vertices_cam: np.ndarray,
        cam_k: np.ndarray,
        size: ImageSize,
        colours: np.ndarray | None = None,
    ) -> np.ndarray:
        """See `Backend.render`; without colours the body is pale blue."""
        if colours is None:
            colours = np.broadcast_to(np.float32(BODY_COLOUR), vertices_cam.shape)
        try:
            return self._backend.render(vertices_cam, cam_k, size, colours)
        except Exception as error:
            if self._backend is self._own:
                raise
            log.warning("OpenGL fails (%s): drawing with our own renderer", _format_error(error))
            self._backend = self._own
            return self._own.render(vertices_cam, cam_k, size, colours)


def _format_error(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text[:120]}"
