"""Photographs of a posed body: dressed, in a place, under its light.

The world has the camera at its origin, x right, y down and z away, and level ground
`CAMERA_HEIGHT` below the camera. The same input gives the same picture.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import trimesh
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from data.truth import Truth, truth_path, write_truth
from metrics.anatomy import Anatomy
from metrics.measurements import Measurements, measure
from models.body_model import BodyModel, BodyOutput
from renderers.rasteriser import Rasteriser
from renderers.shading import barycentric_weights, pixel_rays
from scenes.clothing import (
    HAIR,
    SHOES,
    SOLE,
    SOLE_HEIGHT,
    Marks,
    label_garments,
    measure_thickness,
    paint,
)
from scenes.lighting import Light, ShadowMaps, irradiance
from scenes.people import Person
from scenes.picture_options import PictureOptions
from scenes.scenery import Place, paint_landscape
from utils.images import write_image
from utils.joints import PARTS
from utils.normals import vertex_normals
from utils.rotations import rotmat_to_axis_angle

GAMMA = 2.2
CAMERA_HEIGHT = 1.3  # m
SHOE_THICKNESS = 0.006  # m
GRID_STEP = 0.05  # m between points where ground and walls are lit
GRID_REACH = 2.6  # m to each side of the person
JPEG_QUALITY = 90
BODY, BUN, STOOL, SHOE = range(4)


class Camera(NamedTuple):
    """A level or downward-looking pinhole camera; world and camera share their origin."""

    cam_k: np.ndarray  # (3, 3) pixels
    to_camera: np.ndarray  # (3, 3) world (y down, level) to camera frame
    distance: float  # metres from the person
    picture: PictureOptions


class Mesh(NamedTuple):
    """Everything solid in a scene, world frame with the camera at the origin."""

    vertices: np.ndarray  # (V, 3) metres
    faces: np.ndarray  # (F, 3)
    kinds: np.ndarray  # (F,) BODY, BUN, STOOL or SHOE
    parts: np.ndarray  # (F,) body part labels, 0 for what is no body
    rest: np.ndarray  # (V, 3) where a vertex is in the T-pose, for painting


class Figure(NamedTuple):
    """A posed body before it is dressed; everything that the truth holds."""

    betas: np.ndarray  # (10,)
    pose_rotmats: torch.Tensor  # (24, 3, 3) root in the camera frame
    cam_t: np.ndarray  # (3,) metres
    vertices: np.ndarray  # (V, 3) world
    rest: np.ndarray  # (V, 3) T-pose
    marks: Marks
    camera: Camera
    offsets: np.ndarray | None = None  # (V, 3) metres, of the T-pose, beyond what betas tell


@torch.inference_mode()
def stand_before_camera(
    body: BodyModel,
    betas: np.ndarray,
    level: torch.Tensor,
    distance: float,
    camera_for: Callable[[np.ndarray, float], Camera],
    offsets: np.ndarray | None = None,
) -> Figure:
    """Stands a body on the ground, `CAMERA_HEIGHT` below the camera.

    Args:
        body: of the betas.
        betas: (10,).
        level: (24, 3, 3) joint rotations in the frame of a level camera.
        distance: of the pelvis from the camera, metres.
        camera_for: from vertices (V, 3) in the world's frame and their distance to the camera.
        offsets: (V, 3) metres, added to the T-posed body; None for none.
    """
    output = pose_person(body, betas, level, offsets)
    vertices, pelvis = output.vertices[0].numpy(), output.joints3d[0, 0].numpy()
    middle = (vertices[:, 0].min() + vertices[:, 0].max()) / 2
    # The world: camera at the origin, the ground below it.
    shift = np.array([-middle, CAMERA_HEIGHT - vertices[:, 1].max(), distance - pelvis[2]])
    camera = camera_for(vertices + shift, distance)
    turn = torch.from_numpy(camera.to_camera.astype(np.float32))
    rotmats = torch.cat([(turn @ level[0])[None], level[1:]])
    # The root turns about the pelvis, the world about the camera.
    cam_t = camera.to_camera @ (shift + pelvis) - pelvis
    rest = output.vertices_tpose[0].numpy()
    still = pose_person(body, betas, torch.eye(3).expand(24, 3, 3), offsets).joints3d[0].numpy()
    marks = Marks.of(still, rest)
    return Figure(betas, rotmats, cam_t, vertices + shift, rest, marks, camera, offsets)


def pose_person(
    body: BodyModel, betas: np.ndarray, pose_rotmats: torch.Tensor, offsets: np.ndarray | None
) -> BodyOutput:
    """One person: betas (10,), rotations (24, 3, 3), and offsets (V, 3) metres or None."""
    own = None if offsets is None else torch.from_numpy(offsets)[None]
    return body(torch.from_numpy(betas)[None], pose_rotmats[None], own)


def photograph(
    person: Person, place: Place, figure: Figure, body: BodyModel, seed: int
) -> np.ndarray:
    """The finished picture, (H, W, 3) uint8 RGB."""
    mesh = dress(person, figure, body)
    shadows = ShadowMaps(mesh.vertices, mesh.faces, figure.camera.picture)
    background = draw_background(place, figure.camera, shadows, seed)
    people, alpha = draw_mesh(mesh, person, figure, shadows, place.light, seed)
    linear = people + background * (1 - alpha[..., None])
    return develop(linear * place.exposure, seed)


def dress(person: Person, figure: Figure, body: BodyModel) -> Mesh:
    """The body with clothes and hair standing off the skin, and what goes with it."""
    faces, parts = body.faces.numpy(), body.face_parts.numpy()
    vertex_parts = np.zeros(len(figure.rest), dtype=parts.dtype)
    vertex_parts[faces.ravel()] = np.repeat(parts, 3)
    garments = label_garments(figure.rest, vertex_parts, figure.marks, person.clothes)
    thickness = measure_thickness(garments, faces)
    vertices = figure.vertices + thickness[:, None] * _compute_normals(figure.vertices, faces)
    vertices[:, 1] = np.minimum(vertices[:, 1], CAMERA_HEIGHT + 0.005)  # soles stay on the ground
    mesh = Mesh(vertices, faces, np.full(len(faces), BODY), parts, figure.rest)
    for leg in ("left_leg", "right_leg"):
        mesh = _join(mesh, *_make_shoe(figure, vertex_parts == PARTS.index(leg)), SHOE)
    if person.clothes.bun:
        mesh = _join(mesh, *_make_bun(figure, vertex_parts), BUN)
    if person.stool:
        mesh = _join(mesh, *_make_stool(figure, vertex_parts), STOOL)
    return mesh


def _join(mesh: Mesh, thing: trimesh.Trimesh, rest: np.ndarray, kind: int) -> Mesh:
    count = len(thing.faces)
    return Mesh(
        np.concatenate([mesh.vertices, thing.vertices]),
        np.concatenate([mesh.faces, thing.faces + len(mesh.vertices)]),
        np.concatenate([mesh.kinds, np.full(count, kind)]),
        np.concatenate([mesh.parts, np.zeros(count, dtype=mesh.parts.dtype)]),
        np.concatenate([mesh.rest, rest]),
    )


def _make_shoe(figure: Figure, on_leg: np.ndarray) -> tuple[trimesh.Trimesh, np.ndarray]:
    """The convex hull of a foot, a little wider than the foot, and its place in the T-pose."""
    ankle = figure.marks["left_ankle"][1]
    foot = np.flatnonzero(on_leg & (figure.rest[:, 1] < ankle - 0.005))
    hull = ConvexHull(figure.vertices[foot])
    # The hull's triangles are wound either way; its plane equations know which way is out.
    corners = figure.vertices[foot][hull.simplices]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inwards = (normals * hull.equations[:, :3]).sum(axis=1) < 0
    faces = np.where(inwards[:, None], hull.simplices[:, ::-1], hull.simplices)
    shoe = trimesh.Trimesh(figure.vertices[foot], faces, process=False)
    shoe.vertices += SHOE_THICKNESS * _compute_normals(np.array(shoe.vertices), faces)
    shoe.vertices[:, 1] = np.minimum(shoe.vertices[:, 1], CAMERA_HEIGHT)
    return shoe, figure.rest[foot]


def _make_bun(figure: Figure, vertex_parts: np.ndarray) -> tuple[trimesh.Trimesh, np.ndarray]:
    """A knot of hair at the back of the head, and its place in the T-pose."""
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.05)
    ball.vertices *= [1.0, 0.9, 0.85]
    top, ear = figure.marks["extra_head_top"], figure.marks["left_ear"]
    rest = ball.vertices + np.array([0, top[1] - 0.035, ear[2] - 0.085])
    # The head is rigid: it carries the knot from the T-pose to the pose.
    on_head = (vertex_parts == PARTS.index("head")) & (figure.rest[:, 1] > ear[1])
    source, target = figure.rest[on_head], figure.vertices[on_head]
    turn, _ = Rotation.align_vectors(target - target.mean(0), source - source.mean(0))
    ball.vertices = turn.apply(rest - source.mean(0)) + target.mean(0)
    return ball, rest


def _make_stool(figure: Figure, vertex_parts: np.ndarray) -> tuple[trimesh.Trimesh, np.ndarray]:
    """A cube to sit on, from the ground to the seat."""
    torso = figure.vertices[vertex_parts == PARTS.index("torso")]
    seat = torso[:, 1].max() - 0.015
    height = CAMERA_HEIGHT - seat
    box = trimesh.creation.box(extents=(0.44, height, 0.40))
    for _ in range(4):
        box = box.subdivide()
    lowest = torso[torso[:, 1] > seat - 0.05].mean(axis=0)
    box.vertices += [lowest[0], seat + height / 2, lowest[2] + 0.03]
    return box, np.array(box.vertices)


def _compute_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, outwards."""
    found = vertex_normals(torch.from_numpy(vertices), torch.from_numpy(faces.astype(np.int64)))
    return found.numpy()


def draw_mesh(
    mesh: Mesh, person: Person, figure: Figure, shadows: ShadowMaps, light: Light, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws everything solid.

    Returns:
        (H, W, 3) linear RGB multiplied by alpha, and alpha (H, W).
    """
    lit = irradiance(mesh.vertices, _compute_normals(mesh.vertices, mesh.faces), shadows, light)
    picture = figure.camera.picture
    zoom = picture.supersampling
    fine = np.diag([zoom, zoom, 1.0]) @ figure.camera.cam_k
    cam_k = torch.from_numpy(fine.astype(np.float32))
    vertices_cam = torch.from_numpy((mesh.vertices @ figure.camera.to_camera.T).astype(np.float32))
    faces = torch.from_numpy(mesh.faces.astype(np.int64))
    size = (picture.height * zoom, picture.width * zoom)
    rasteriser = Rasteriser(faces, torch.ones(len(faces), dtype=torch.uint8), image_size=size)
    face_index = rasteriser(vertices_cam[None], cam_k[None]).face_index[0]
    rows, columns = torch.nonzero(face_index >= 0, as_tuple=True)
    hit = face_index[rows, columns].long()
    weights = barycentric_weights(vertices_cam[faces[hit]], pixel_rays(rows, columns, cam_k))

    def at_pixels(attributes: np.ndarray) -> np.ndarray:
        return np.einsum("nk,nkc->nc", weights.numpy(), attributes[mesh.faces[hit]])

    albedo = _paint(at_pixels(mesh.rest), mesh, hit.numpy(), person, figure.marks, seed)
    drawn = np.zeros((*size, 4))
    drawn[rows, columns, :3] = albedo * at_pixels(lit)
    drawn[rows, columns, 3] = 1
    small = cv2.resize(drawn, (picture.width, picture.height), interpolation=cv2.INTER_AREA)
    return small[..., :3], small[..., 3]


def _paint(
    rest: np.ndarray, mesh: Mesh, hit: np.ndarray, person: Person, marks: Marks, seed: int
) -> np.ndarray:
    garments = label_garments(rest, mesh.parts[hit], marks, person.clothes)
    garments[mesh.kinds[hit] == BUN] = HAIR
    on_shoe = mesh.kinds[hit] == SHOE
    garments[on_shoe] = np.where(rest[on_shoe, 1] < marks.floor + SOLE_HEIGHT, SOLE, SHOES)
    albedo = paint(rest, garments, marks, person.clothes, seed)
    albedo[mesh.kinds[hit] == STOOL] = np.array([0.55, 0.40, 0.26]) ** GAMMA
    return albedo


def draw_background(place: Place, camera: Camera, shadows: ShadowMaps, seed: int) -> np.ndarray:
    """Ground, wall and landscape with their shadows, (H, W, 3) linear RGB."""
    size = (camera.picture.height, camera.picture.width)
    rows, columns = torch.meshgrid(*map(torch.arange, size), indexing="ij")
    rays = pixel_rays(rows.flatten(), columns.flatten(), torch.from_numpy(camera.cam_k)).numpy()
    rays = rays @ camera.to_camera  # camera to world
    wall_z = camera.distance + place.wall_distance if place.wall else np.inf
    to_ground = np.where(rays[:, 1] > 1e-4, CAMERA_HEIGHT / np.maximum(rays[:, 1], 1e-4), np.inf)
    to_wall = wall_z / rays[:, 2]
    on_ground = to_ground < np.minimum(to_wall, 80)
    on_wall = ~on_ground & np.isfinite(to_wall)
    colour = np.zeros_like(rays)
    focal = camera.cam_k[0, 0]

    points = rays[on_ground] * to_ground[on_ground, None]
    footprint = 2.5 * to_ground[on_ground] / focal
    albedo = place.ground(points[:, [0, 2]], footprint, seed) ** GAMMA
    colour[on_ground] = albedo * _light_ground(points, camera, shadows, place.light)
    if place.wall:
        points = rays[on_wall] * to_wall[on_wall, None]
        flat = np.stack([points[:, 0], CAMERA_HEIGHT - points[:, 1]], axis=1)
        albedo = np.clip(place.wall(flat, to_wall[on_wall] / focal, seed + 50), 0, 1) ** GAMMA
        colour[on_wall] = albedo * _light_wall(points, wall_z, shadows, place.light)
    if place.landscape:
        far = ~on_ground & ~on_wall
        colour[far] = paint_landscape(rays[far], place.landscape, seed + 90) ** GAMMA
    depth = np.where(on_ground, to_ground, np.where(on_wall, to_wall, 80.0))
    return _blur_by_depth(colour.reshape(*size, 3), depth.reshape(size), camera.distance)


def _light_ground(
    points: np.ndarray, camera: Camera, shadows: ShadowMaps, light: Light
) -> np.ndarray:
    steps = np.arange(-GRID_REACH, GRID_REACH + GRID_STEP, GRID_STEP)
    grid_z, grid_x = np.meshgrid(steps + camera.distance, steps, indexing="ij")
    places = np.stack([grid_x, np.full_like(grid_x, CAMERA_HEIGHT), grid_z], axis=-1)
    return _look_up(
        points[:, [2, 0]], np.array([steps[0] + camera.distance, steps[0]]), places,
        np.array([0.0, -1, 0]), shadows, light,
    )  # fmt: skip


def _light_wall(points: np.ndarray, wall_z: float, shadows: ShadowMaps, light: Light) -> np.ndarray:
    steps = np.arange(-GRID_REACH, GRID_REACH + GRID_STEP, GRID_STEP)
    grid_y, grid_x = np.meshgrid(steps, steps, indexing="ij")
    places = np.stack([grid_x, grid_y, np.full_like(grid_x, wall_z)], axis=-1)
    return _look_up(
        points[:, [1, 0]], np.array([steps[0], steps[0]]), places, np.array([0.0, 0, -1]), shadows,
        light,
    )  # fmt: skip


def _look_up(
    points: np.ndarray,
    origin: np.ndarray,
    places: np.ndarray,
    normal: np.ndarray,
    shadows: ShadowMaps,
    light: Light,
) -> np.ndarray:
    """Light at (N, 2) points of a plane, computed on a grid; beyond it as at its border."""
    normals = np.broadcast_to(normal, places.shape)
    lit = irradiance(places.reshape(-1, 3), normals.reshape(-1, 3), shadows, light)
    lit = lit.reshape(places.shape)
    where = ((points - origin) / GRID_STEP).T
    return np.stack(
        [map_coordinates(lit[..., c], where, order=1, mode="nearest") for c in range(3)], axis=1
    )


def _blur_by_depth(picture: np.ndarray, depth: np.ndarray, distance: float) -> np.ndarray:
    """Blurs what is nearer or further than the person."""
    blurred = gaussian_filter(picture, (2.0, 2.0, 0))
    amount = np.clip(np.abs(1 / depth - 1 / distance) * 14 - 0.25, 0, 1)
    amount = gaussian_filter(amount, 2.0)[..., None]
    return picture * (1 - amount) + blurred * amount


def develop(linear: np.ndarray, seed: int) -> np.ndarray:
    """From linear light to a picture: vignette, soft highlights, encoding, a little blur, grain."""
    height, width = linear.shape[:2]
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    linear = linear * (1 - 0.12 * (rows**2 + columns**2) / 2)[..., None]
    soft = np.where(linear > 0.7, 0.7 + 0.3 * np.tanh((linear - 0.7) / 0.3), linear)
    encoded = np.clip(soft, 0, 1) ** (1 / GAMMA)
    encoded = gaussian_filter(encoded, (0.5, 0.5, 0))
    grain = np.random.default_rng(seed).normal(0, 1.6 / 255, encoded.shape)
    return np.clip(np.rint(255 * (encoded + grain)), 0, 255).astype(np.uint8)


def write_photo(path: Path, picture: np.ndarray, figure: Figure, body: BodyModel) -> Measurements:
    """Writes a photo and, before it and beside it, its truth; neither is ever half there.

    Args:
        path: of the jpg file.
        picture: (H, W, 3) uint8 RGB, as `photograph` returns it.
        figure: who is in it.
        body: of the figure.

    Returns:
        The measurements of the T-posed body.
    """
    measurements = measure(figure.rest, Anatomy.of(body))
    pose = rotmat_to_axis_angle(figure.pose_rotmats).flatten()
    cam_t, cam_k = (
        torch.from_numpy(each.astype(np.float32)) for each in (figure.cam_t, figure.camera.cam_k)
    )
    names = (body.identity[name] for name in ("name", "gender", "hash"))
    offsets = None if figure.offsets is None else torch.from_numpy(figure.offsets)
    truth = Truth(*names, torch.from_numpy(figure.betas), pose, cam_t, cam_k, offsets)
    write_truth(truth_path(path), truth, measurements.height_m, measurements.weight_kg)
    write_image(path, picture, JPEG_QUALITY)
    return measurements
