"""Shaded pictures of a mesh from pyrender, off-screen."""

import os
import sys
import warnings

import numpy as np
import torch

from renderers.shading import GAMMA, Lighting, vertex_normals

TO_GL = np.diag([1.0, -1.0, -1.0])  # GL looks along -z with y up
DEPTH_MARGIN = 0.5  # m before and behind the mesh
CLEAR = (0, 0, 0, 0)


class PyrenderBackend:
    """Draws with pyrender; must be used in the thread that made it.

    Args:
        faces: (F, 3) ints.
        lighting: the lights.

    Raises:
        Exception: of many kinds, when there is no usable GL on this machine.
    """

    def __init__(self, faces: np.ndarray, lighting: Lighting) -> None:
        """Loads pyrender and makes a GL context."""
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
        self, vertices_cam: np.ndarray, cam_k: np.ndarray, size: int, colours: np.ndarray
    ) -> np.ndarray:
        """See `renderers.overlay.Backend.render`."""
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
        for direction, strength in _lights(self._lighting):
            light = pyrender.DirectionalLight(color=np.ones(3), intensity=np.pi * strength)
            scene.add(light, pose=_pose_shining_from(TO_GL @ direction))
        self._renderer.viewport_width = self._renderer.viewport_height = size
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


def _lights(lighting: Lighting) -> list[tuple[np.ndarray, float]]:
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
