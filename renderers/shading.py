"""Shaded pictures of a mesh from our own rasteriser: smooth normals, soft lights, no GL."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from renderers.rasteriser import Rasteriser

GAMMA = 2.2  # between linear light and the values of pictures
MAX_RENDER_SIDE = 2048  # px; larger pictures are rendered at this side and enlarged


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


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Area-weighted unit normals; the side they point to follows the faces' winding.

    Args:
        vertices: (V, 3).
        faces: (F, 3) int64.

    Returns:
        (V, 3); zero for a vertex without faces.
    """
    corners = vertices[faces]  # (F, 3, 3)
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    summed = torch.zeros_like(vertices)
    summed.index_add_(0, faces.flatten(), normals.repeat_interleave(3, dim=0))
    return F.normalize(summed, dim=-1)


def render_mesh(
    vertices_cam: Tensor,
    faces: Tensor,
    cam_k: Tensor,
    size: int,
    colours: Tensor,
    lighting: Lighting | None = None,
    supersampling: int = 2,
) -> Tensor:
    """A shaded picture of one mesh on nothing.

    Args:
        vertices_cam: (V, 3) float32 metres, camera frame.
        faces: (F, 3) int64.
        cam_k: (3, 3) intrinsics for a size x size picture.
        size: side of the picture, pixels.
        colours: (V, 3) RGB in [0, 1] of each vertex.
        lighting: None for the default.
        supersampling: samples per pixel and direction, averaged.

    Returns:
        (size, size, 4) float32 RGBA in [0, 1], colour multiplied by alpha.
    """
    fine = min(size * supersampling, max(MAX_RENDER_SIDE, size))
    zoom = cam_k.new_tensor([fine / size, fine / size, 1.0])
    picture = _render_sampled(
        vertices_cam, faces, zoom[:, None] * cam_k, fine, colours, lighting or Lighting()
    )
    resized = F.interpolate(
        picture.permute(2, 0, 1)[None], size=(size, size), mode="area"
    )  # (1, 4, size, size)
    return resized[0].permute(1, 2, 0).clamp(0, 1)


def _render_sampled(
    vertices_cam: Tensor,
    faces: Tensor,
    cam_k: Tensor,
    size: int,
    colours: Tensor,
    lighting: Lighting,
) -> Tensor:
    parts = torch.ones(len(faces), dtype=torch.uint8, device=faces.device)
    rasteriser = Rasteriser(faces, parts, image_size=size)
    face_index = rasteriser(vertices_cam[None], cam_k[None]).face_index[0]  # (size, size)
    rows, columns = torch.nonzero(face_index >= 0, as_tuple=True)
    hit = face_index[rows, columns].long()
    rays = pixel_rays(rows, columns, cam_k)
    corners = vertices_cam[faces[hit]]  # (N, 3, 3)
    weights = barycentric_weights(corners, rays)  # (N, 3)

    def at_pixels(attributes: Tensor) -> Tensor:
        return (weights[..., None] * attributes[faces[hit]]).sum(dim=1)

    # Which side is seen is the face's to say: a smooth normal may lean away at an outline.
    plane = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    side = torch.where((plane * rays).sum(-1, keepdim=True) > 0, -1.0, 1.0)
    normals = F.normalize(side * at_pixels(vertex_normals(vertices_cam, faces)), dim=-1)
    shaded = shade(normals, rays, at_pixels(colours), lighting)
    picture = vertices_cam.new_zeros(size, size, 4)
    picture[rows, columns, :3] = shaded
    picture[rows, columns, 3] = 1
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
        normals: (N, 3) unit, of the side that is seen.
        rays: (N, 3) unit, from the camera.
        albedo: (N, 3) RGB in [0, 1], as in a picture.
        lighting: the lights.

    Returns:
        (N, 3) RGB in [0, 1], as in a picture.
    """
    up = (1 - normals[:, 1:2]) / 2  # y points down
    light = lighting.ground + (lighting.sky - lighting.ground) * up
    highlight = torch.zeros_like(light)
    for direction, strength in (
        (lighting.key, lighting.key_strength),
        (lighting.fill, lighting.fill_strength),
    ):
        towards = F.normalize(normals.new_tensor(direction), dim=0)
        light = light + strength * (normals @ towards).clamp(min=0)[:, None]
        halfway = F.normalize(towards - rays, dim=-1)
        cosine = (normals * halfway).sum(-1, keepdim=True).clamp(min=0)
        highlight = highlight + strength * cosine**lighting.sharpness
    linear = albedo**GAMMA * light + lighting.gloss * highlight
    return linear.clamp(0, 1) ** (1 / GAMMA)
