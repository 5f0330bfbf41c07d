"""What is special about Triton's kernels: queue, tiles, exact arithmetic, and real CUDA devices.

In the interpreter they are compared with numba's kernel, which `test_rasteriser.py` holds against
brute force, as it does them.
"""

import re

import numpy as np
import pytest
import torch
import trimesh

pytest.importorskip("triton", reason="triton is not installed")

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels import rasteriser_triton
from kernels.rasteriser_triton import DRAW_OPTIONS, EXACT, PREPARE_OPTIONS, RESOLVE_OPTIONS
from renderers.rasteriser import Rasteriser
from tests.renderers.test_rasteriser import (
    SIZE,
    camera,
    closed_mesh,
    labels_of,
    square,
)
from tests.triton_interpreter import interpreted
from utils.cameras import (
    boxes_of_points,
    crop_intrinsics,
    perspective_intrinsics,
    project_perspective,
    square_crops,
)
from utils.rotations import axis_angle_to_rotmat

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def assert_interpreted_equals_numba(vertices, faces, size, cam_k=None, **clip):
    """Compare all pictures of a batch (B, V, 3), or one sample (V, 3); returns the fragments."""
    vertices = torch.as_tensor(np.asarray(vertices, np.float32))
    vertices = vertices if vertices.ndim == 3 else vertices[None]
    cam_k = torch.from_numpy(camera(size)) if cam_k is None else cam_k
    cam_k = cam_k.expand(len(vertices), 3, 3)
    arguments = (np.asarray(faces), labels_of(faces), size)
    wanted = Rasteriser(*arguments, **clip, backend="numba")(vertices, cam_k)
    rasteriser = Rasteriser(*arguments, **clip, backend="triton")
    out = interpreted(Rasteriser.forward, rasteriser, vertices, cam_k)
    for name, picture, expected in zip(wanted._fields, out, wanted, strict=True):
        assert torch.equal(picture, expected), name
    return out


@pytest.mark.parametrize("size", [(40, 70), (17, 65), (70, 40)])
def test_large_faces_across_tiles(size):
    """Tiles are 16 x 64 pixels; the last ones hang over the edge, and boxes end in any of them."""
    rng = np.random.default_rng(0)
    vertices = rng.uniform([-1.2, -0.7, 1], [1.2, 0.7, 3], (12, 3))
    out = assert_interpreted_equals_numba(vertices, np.arange(12).reshape(4, 3), size)
    assert len(out.face_index.unique()) >= 4


def test_large_and_small_faces_share_pixels():
    """A ball of small faces pushed through a large sheet: both sides win somewhere."""
    ball = trimesh.creation.icosphere(subdivisions=1, radius=0.3)
    sheet, sheet_faces = square(half=0.8)
    vertices = np.concatenate([ball.vertices + np.array([0.1, 0, 2.0]), sheet])
    faces = np.concatenate([ball.faces[:40], sheet_faces + len(ball.vertices), ball.faces[40:]])
    out = assert_interpreted_equals_numba(vertices, faces, (48, 48))
    seen = out.face_index.unique()
    assert 40 in seen
    assert ((seen >= 0) & (seen < 40)).any()
    assert (seen > 41).any()


@pytest.mark.parametrize("pixels", [16, 17])
def test_box_at_the_limit_of_the_queue(pixels):
    """16 x 16 pixels, the largest box that a lane walks over itself, and 16 x 17.

    Focal 16 px and depth 2 m: 8 px a metre, from pixel 4 on.
    """
    assert DRAW_OPTIONS["LARGEST_BOX"] == 16 * 16
    corners_px = np.array([[0, 0], [pixels, 0], [pixels, 16], [0, 16]]) + 4.0
    vertices = np.column_stack([(corners_px - SIZE / 2) / 8, np.full(4, 2.0)])
    cam_k = torch.from_numpy(camera(focal=16))
    out = assert_interpreted_equals_numba(vertices, square()[1], (SIZE, SIZE), cam_k)
    assert out.silhouette.sum() == 16 * pixels
    assert out.silhouette[0, 4:20, 4 : 4 + pixels].all()


def test_samples_keep_apart():
    """Several blocks of faces, more vertices than pixels, own intrinsics."""
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=0.5)  # 2562 vertices
    faces = mesh.faces[::40]  # 128, all over the ball
    assert len(mesh.vertices) > 2 * PREPARE_OPTIONS["BLOCK"]
    assert len(faces) > DRAW_OPTIONS["FACES"]
    distance = torch.tensor([1.1, 3.0, 0.55])[:, None, None] * torch.tensor([0, 0, 1.0])
    batch = torch.tensor(mesh.vertices, dtype=torch.float32) + distance
    cam_k = torch.from_numpy(np.stack([camera((28, 36), focal=f) for f in (30, 60, 20)]))
    out = assert_interpreted_equals_numba(batch, faces, (28, 36), cam_k)
    assert out.silhouette.flatten(1).any(dim=1).all()


def test_samples_have_their_own_queues():
    """Two squares: the first is large in the first sample, none in the second, the other one last.

    Focal 24 px, middle 10: at 2 m a half side of 0.8 m is 9.6 px, from 0.4 to 19.6, all 20 centres;
    at 9 m 2.13 px, 4 centres. The other lies at 1.9 m from -0.6 to 1 m: 2.42 to 22.6, 18 centres.
    """
    near, faces = square(depth=2.0, half=0.8)
    far, _ = square(depth=9.0, half=0.8)
    other = near + np.array([0.2, 0, -0.1])
    batch = np.stack([np.concatenate(pair) for pair in ((near, far), (far, far), (far, other))])
    both = np.concatenate([faces, faces + 4])
    out = assert_interpreted_equals_numba(batch, both, (20, 20))
    assert out.silhouette.sum(dim=(1, 2)).tolist() == [20 * 20, 4 * 4, 20 * 18]


def test_one_face_of_one_pixel():
    """All counts are 1, which Triton treats as constants."""
    vertices = [[-9, -9, 2], [9, -9, 2], [0, 9, 2]]
    assert assert_interpreted_equals_numba(vertices, [[0, 1, 2]], (1, 1)).silhouette.all()


def test_clip_range():
    vertices, faces = closed_mesh("box")
    size = (12, 12)
    away = vertices + np.array([0, 0, 1.2])
    out = assert_interpreted_equals_numba(away, faces, size, near=0.9, far=1.3)
    assert 0 < out.silhouette.sum() < 12 * 12
    out = assert_interpreted_equals_numba(vertices, faces, size, near=0.01, far=float("inf"))
    assert out.silhouette.any()


def test_part_segmentation_alone_is_the_same():
    vertices, faces = closed_mesh("box")
    vertices = torch.tensor(vertices + np.array([0, 0, 1.2]), dtype=torch.float32)[None]
    cam_k = torch.from_numpy(camera((12, 12)))[None]
    rasteriser = Rasteriser(faces, labels_of(faces), 12, backend="triton")
    parts = interpreted(Rasteriser.part_segmentation, rasteriser, vertices, cam_k)
    everything = interpreted(Rasteriser.forward, rasteriser, vertices, cam_k)
    assert torch.equal(parts, everything.part_segmentation)
    assert parts.any()


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_faces_at_non_finite_vertices_draw_nothing(number, axis):
    """The other face of the square is drawn as if alone."""
    vertices, faces = square()
    vertices = torch.tensor(vertices, dtype=torch.float32)[None]
    cam_k = torch.from_numpy(camera())[None]
    broken = vertices.clone()
    broken[0, 1, axis] = number
    rasteriser = Rasteriser(faces, torch.tensor([1, 2]), SIZE, backend="triton")
    out = interpreted(Rasteriser.forward, rasteriser, broken, cam_k)
    alone = Rasteriser(faces[1:], torch.tensor([2]), SIZE)(vertices, cam_k)
    assert torch.equal(out.part_segmentation, alone.part_segmentation)
    assert torch.equal(out.depth, alone.depth)


TYPES = {
    **dict.fromkeys(("vertices", "cam_k", "projected", "depth"), "*fp32"),
    **dict.fromkeys(("faces", "face_index", "queue", "queue_length"), "*i32"),
    **dict.fromkeys(("parts", "face_parts"), "*u8"),
    **dict.fromkeys(("n_vertices", "n_pixels", "n_faces", "height", "width"), "i32"),
    **dict.fromkeys(("near", "far"), "fp32"),
    "z_buffer": "*i64",
}
KERNELS = {
    "_prepare": PREPARE_OPTIONS,
    "_draw_faces": DRAW_OPTIONS,
    "_resolve": RESOLVE_OPTIONS,
}


def machine_code(name, constants=None):
    """PTX of a kernel for Hopper GPUs; compiling needs no GPU."""
    kernel = getattr(rasteriser_triton, name)
    options = KERNELS[name] | EXACT
    launch = {key: options[key] for key in ("num_warps", "enable_fp_fusion")}
    fixed = {key: value for key, value in options.items() if key not in launch}
    fixed |= {key: value for key, value in (constants or {}).items() if key in kernel.arg_names}
    names = kernel.arg_names
    signature = {key: "constexpr" if key in fixed else TYPES[key] for key in names}
    values = {(names.index(key),): value for key, value in fixed.items()}
    source = ASTSource(kernel, signature, values)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=launch).asm["ptx"]


@pytest.mark.parametrize("name", KERNELS)
def test_compiled_arithmetic_is_exact(name):
    """Nothing fused, no approximate division, nothing flushed to zero but in ceil and floor.

    Those two round `coordinate - 0.5`, which in float32 is 0 or far from the subnormal numbers.
    """
    code = machine_code(name)
    assert not re.findall(r"\bfma\.", code)
    assert set(re.findall(r"\bdiv\.\w+\.f32|\bdiv\.\w+\.ftz\.f32", code)) == {"div.rn.f32"}
    assert "rcp." not in code
    assert set(re.findall(r"[\w.]*\.ftz[\w.]*", code)) <= {
        "cvt.rpi.ftz.f32.f32",
        "cvt.rmi.ftz.f32.f32",
    }


def test_z_buffer_is_one_relaxed_atomic_minimum():
    """Any stronger memory order would fence every fragment."""
    atomics = re.findall(r"atom\.[\w.]+", machine_code("_draw_faces"))
    minima = {atomic for atomic in atomics if "min" in atomic}
    assert minima == {"atom.global.gpu.relaxed.min.s64"}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_compile_for_counts_of_one_and_without_fragments(name):
    """Triton turns arguments that are 1 or None into constants, in the compiler alone."""
    counts = dict.fromkeys(("n_vertices", "n_pixels", "n_faces", "height", "width"), 1)
    assert machine_code(name, counts | {"face_index": None, "depth": None})


def people(body_model, batch, size, device, seed=0):
    """Random bodies as training sees them: (B, V, 3) in the camera frame, cam_k of their crops."""
    random = torch.Generator().manual_seed(seed)
    rotations = 0.3 * torch.randn(batch, 24, 3, generator=random)
    rotations[:, 0] = torch.tensor([torch.pi, 0, 0]) + 0.2 * rotations[:, 0]
    betas = 1.5 * torch.randn(batch, 10, generator=random)
    vertices = body_model(betas, axis_angle_to_rotmat(rotations)).vertices
    vertices = vertices + torch.tensor([0, 0.2, 42.0])
    cam_k = perspective_intrinsics(5000.0, 256, vertices)
    crops = square_crops(boxes_of_points(project_perspective(vertices, cam_k)))
    return vertices.to(device), crop_intrinsics(cam_k, crops, size).to(device)


@NEEDS_CUDA
@pytest.mark.parametrize("size", [256, 64, (200, 333), 1024])
@torch.no_grad()
def test_people_on_cuda_equal_numba(body_model, size):
    """In large pictures and close up, many faces take the queue."""
    side = size if isinstance(size, int) else size[0]
    vertices, cam_k = people(body_model, 140 if size == 256 else 8, side, "cuda")
    rasteriser = Rasteriser(body_model.faces, body_model.face_parts, size)
    wanted = rasteriser(vertices.cpu(), cam_k.cpu())
    out = rasteriser.cuda()(vertices, cam_k)
    for name, picture, expected in zip(wanted._fields, out, wanted, strict=True):
        assert torch.equal(picture.cpu(), expected), name
    parts = rasteriser.part_segmentation(vertices, cam_k)
    assert torch.equal(parts, out.part_segmentation)
    assert parts.any()


@NEEDS_CUDA
def test_soup_on_cuda_equals_numba():
    """Faces of all sizes and places, across the camera plane and the clip range."""
    rng = np.random.default_rng(5)
    vertices = torch.tensor(rng.uniform([-2, -2, -0.5], [2, 2, 4], (5, 900, 3))).float()
    faces = rng.permuted(np.tile(np.arange(900), (3000, 1)), axis=1)[:, :3]
    cam_k = torch.from_numpy(camera((150, 210))).expand(5, 3, 3)
    rasteriser = Rasteriser(faces, labels_of(faces), (150, 210), near=0.5, far=3.0)
    wanted = rasteriser(vertices, cam_k)
    out = rasteriser.cuda()(vertices.cuda(), cam_k.cuda())
    for name, picture, expected in zip(wanted._fields, out, wanted, strict=True):
        assert torch.equal(picture.cpu(), expected), name


@NEEDS_CUDA
@torch.no_grad()
def test_no_synchronisation_on_cuda(body_model):
    vertices, cam_k = people(body_model, 4, 256, "cuda")
    rasteriser = Rasteriser(body_model.faces, body_model.face_parts).cuda()
    rasteriser.part_segmentation(vertices, cam_k)  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        rasteriser.part_segmentation(vertices, cam_k)
        rasteriser(vertices, cam_k)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@NEEDS_CUDA
@torch.no_grad()
def test_cuda_graph(body_model):
    """Captured with one batch, replayed with another."""
    vertices, cam_k = people(body_model, 4, 256, "cuda")
    rasteriser = Rasteriser(body_model.faces, body_model.face_parts).cuda()
    rasteriser.part_segmentation(vertices, cam_k)  # compiles
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        parts = rasteriser.part_segmentation(vertices, cam_k)
    other_vertices, other_cam_k = people(body_model, 4, 256, "cuda", seed=1)
    vertices.copy_(other_vertices)
    cam_k.copy_(other_cam_k)
    graph.replay()
    assert torch.equal(parts, rasteriser.part_segmentation(other_vertices, other_cam_k))
    assert parts.any()
