"""The rasteriser's backends against a brute-force reference, pixel by pixel.

Triton's kernels run in its interpreter here, in a process of their own: it is slow, so meshes are
small. `tests/kernels/test_rasteriser_triton.py` has what is special about them.
"""

import importlib.util
import itertools
import sys

import numpy as np
import pytest
import torch
import trimesh

from kernels.triton_support import triton_problem
from renderers import rasteriser as rasteriser_module
from renderers import torch_rasteriser
from renderers.rasteriser import Fragments, Rasteriser, choose_backend
from tests.triton_interpreter import interpreted

SIZE = 32
TRITON = pytest.param(
    "triton",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("triton") is None, reason="triton is not installed"
    ),
)
QUICK_PATHS = ["numba", "torch"]
PATHS = [*QUICK_PATHS, TRITON]


def brute_force(vertices, cam_k, faces, face_parts, size, near, far):
    """One sample: every face against every pixel, in float32. Returns (parts, face_index, depth).

    In exact arithmetic the edge test implies the box test; in float32 a face of almost no area
    may seem to hold a far-away pixel, so the box belongs to the definition.
    """
    height, width = size
    x, y, z = vertices.T
    with np.errstate(all="ignore"):
        u = (cam_k[0, 0] * (x / z) + cam_k[0, 1] * (y / z)) + cam_k[0, 2]
        v = (cam_k[1, 0] * (x / z) + cam_k[1, 1] * (y / z)) + cam_k[1, 2]
    column, row = np.meshgrid(
        np.arange(width, dtype=np.float32) + np.float32(0.5),
        np.arange(height, dtype=np.float32) + np.float32(0.5),
    )
    parts = np.zeros(size, np.uint8)
    face_index = np.full(size, -1, np.int32)
    depth = np.full(size, np.inf, np.float32)
    for index, (a, b, c) in enumerate(faces):
        if min(z[a], z[b], z[c]) <= 0:
            continue
        xa, xb, xc = u[a] - column, u[b] - column, u[c] - column
        ya, yb, yc = v[a] - row, v[b] - row, v[c] - row
        wa, wb, wc = xb * yc - yb * xc, xc * ya - yc * xa, xa * yb - ya * xb
        inside = ((wa >= 0) & (wb >= 0) & (wc >= 0)) | ((wa <= 0) & (wb <= 0) & (wc <= 0))
        inside &= (np.minimum(np.minimum(xa, xb), xc) <= 0) & (
            np.maximum(np.maximum(xa, xb), xc) >= 0
        )
        inside &= (np.minimum(np.minimum(ya, yb), yc) <= 0) & (
            np.maximum(np.maximum(ya, yb), yc) >= 0
        )
        one = np.float32(1)
        with np.errstate(all="ignore"):
            weighted = (wa * (one / z[a]) + wb * (one / z[b])) + wc * (one / z[c])
            fragment = ((wa + wb) + wc) / weighted
            drawn = inside & (near < fragment) & (fragment < far) & (fragment < depth)
        depth[drawn], face_index[drawn], parts[drawn] = fragment[drawn], index, face_parts[index]
    return parts, face_index, depth


def camera(size=(SIZE, SIZE), focal=None):
    """Intrinsics in pixels: 45 degrees or so of view, principal point in the middle."""
    height, width = size
    focal = 1.2 * max(size) if focal is None else focal
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], np.float32)


def labels_of(faces):
    return np.arange(len(faces)) % 6 + 1


def render(path, vertices, cam_k, faces, image_size=SIZE, face_parts=None, **clip) -> Fragments:
    """One picture or a batch by one of the backends; `vertices` (V, 3) or (B, V, 3)."""
    vertices = torch.as_tensor(np.asarray(vertices, np.float32))
    vertices = vertices if vertices.ndim == 3 else vertices[None]
    cam_k = torch.as_tensor(np.asarray(cam_k, np.float32)).expand(len(vertices), 3, 3)
    faces = np.asarray(faces)
    face_parts = labels_of(faces) if face_parts is None else face_parts
    rasteriser = Rasteriser(faces, np.asarray(face_parts), image_size, **clip, backend=path)
    if path == "triton":
        return interpreted(Rasteriser.forward, rasteriser, vertices, cam_k)
    return rasteriser(vertices, cam_k)


def assert_equals_brute_force(path, vertices, cam_k, faces, size=(SIZE, SIZE), near=0.1, far=100.0):
    """Compare all three pictures; returns the fragments."""
    vertices = np.asarray(vertices, np.float32)
    out = render(path, vertices, cam_k, faces, size, near=near, far=far)
    expected = brute_force(
        vertices, cam_k, faces, labels_of(faces), size, np.float32(near), np.float32(far)
    )
    for name, picture, wanted in zip(Fragments._fields, out, expected, strict=True):
        np.testing.assert_array_equal(picture[0].numpy(), wanted, err_msg=name)
    return out


def square(depth=2.0, half=0.5):
    """A square facing the camera, two faces that share the edge 0-2, and four corners."""
    x = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    return np.column_stack([x, np.full(4, depth)]), np.array([[0, 1, 2], [0, 2, 3]])


def closed_mesh(name):
    if name == "icosphere":
        mesh = trimesh.creation.icosphere(subdivisions=2, radius=0.5)
    elif name == "torus":
        mesh = trimesh.creation.torus(0.45, 0.18, major_sections=24, minor_sections=12)
    else:
        mesh = trimesh.creation.box((0.7, 0.9, 0.5))
    turn = trimesh.transformations.euler_matrix(0.7, 0.4, 0.2)[:3, :3]
    return mesh.vertices @ turn.T, mesh.faces


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *itertools.product(QUICK_PATHS, ["icosphere", "torus", "box"]),
        pytest.param("triton", "torus", marks=TRITON.marks),
    ],
)
@pytest.mark.parametrize("offset", [(0, 0, 1.6), (0.5, -0.4, 1.5), (0.1, 0.05, 0.9)])
def test_closed_meshes_equal_brute_force(path, name, offset):
    """Whole in the picture, cut by its border, and larger than the picture."""
    vertices, faces = closed_mesh(name)
    out = assert_equals_brute_force(path, vertices + offset, camera(), faces)
    assert 0.05 < out.silhouette.float().mean() <= 1


@pytest.mark.parametrize("path", QUICK_PATHS)
def test_closed_mesh_has_no_holes(path):
    """A sphere's silhouette is the disc that its contour bounds, and its depth the sphere's."""
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=0.5)
    size, distance = 96, 2.0
    cam_k = camera((size, size), focal=160.0)
    out = render(path, mesh.vertices + np.array([0, 0, distance]), cam_k, mesh.faces, size)
    # The cone touching the sphere has half angle asin(r / d): radius f tan(asin(r / d)) px.
    radius = 160 * np.tan(np.arcsin(0.5 / distance))  # 41.3 px of the 48 to the border
    centre = np.arange(size) + 0.5 - size / 2
    from_middle = np.hypot(*np.meshgrid(centre, centre))
    silhouette = out.silhouette[0].numpy()
    assert silhouette[from_middle < radius - 0.5].all()
    assert not silhouette[from_middle > radius].any()
    assert out.depth[0, size // 2, size // 2].item() == pytest.approx(1.5, abs=2e-3)


@pytest.mark.parametrize("path", PATHS)
def test_shared_edges_leave_no_gap(path):
    """A fan of slivers around a random point covers its square wholly, wherever the edges fall."""
    rng = np.random.default_rng(0)
    for _ in range(1 if path == "triton" else 20):
        rim = np.sort(rng.uniform(0, 2 * np.pi, 40))
        rim = np.concatenate([rim, np.arange(4) * np.pi / 2])
        rim.sort()
        around = (
            np.column_stack([np.cos(rim), np.sin(rim)])
            / np.maximum(abs(np.cos(rim)), abs(np.sin(rim)))[:, None]
        )
        points = np.concatenate([rng.uniform(-0.6, 0.6, (1, 2)), around * 2])
        n = len(around)
        faces = np.column_stack([np.zeros(n, int), 1 + np.arange(n), 1 + (np.arange(n) + 1) % n])
        vertices = np.column_stack([points, np.full(n + 1, 1.7)])
        assert render(path, vertices, camera(), faces).silhouette.all()


@pytest.mark.parametrize("path", PATHS)
def test_pixels_of_a_square_by_hand(path):
    """Focal 16 px, depth 2 m, half side 0.5 m: 16 * 0.5 / 2 = 4 px about the middle, 16.

    Its edges lie at 12 and 20, between the centres: columns and rows 12 to 19.
    """
    vertices, faces = square()
    out = render(path, vertices, camera(focal=16), faces)
    wanted = np.zeros((SIZE, SIZE), bool)
    wanted[12:20, 12:20] = True
    np.testing.assert_array_equal(out.silhouette[0].numpy(), wanted)
    np.testing.assert_array_equal(out.depth[0].numpy(), np.where(wanted, 2.0, np.inf))
    # The first face holds the upper right triangle and, being the lower index, the shared edge.
    row, column = np.indices((SIZE, SIZE))
    faces_wanted = np.where(wanted, np.where(column >= row, 0, 1), -1)
    np.testing.assert_array_equal(out.face_index[0].numpy(), faces_wanted)


@pytest.mark.parametrize("path", PATHS)
def test_edges_are_inclusive(path):
    """Focal 16, depth 2, half side 0.4375: 3.5 px, so edges pass through centres 12 and 19."""
    vertices, faces = square(half=0.4375)
    silhouette = render(path, vertices, camera(focal=16), faces).silhouette[0]
    assert silhouette.sum() == 8 * 8
    assert silhouette[12:20, 12:20].all()


@pytest.mark.parametrize("path", PATHS)
def test_both_windings_are_drawn(path):
    vertices, faces = closed_mesh("torus")
    vertices = vertices + np.array([0.1, 0, 1.5])
    out = assert_equals_brute_force(path, vertices, camera(), faces)
    turned = assert_equals_brute_force(path, vertices, camera(), faces[:, ::-1])
    assert torch.equal(out.silhouette, turned.silhouette)


@pytest.mark.parametrize("path", PATHS)
def test_edge_on_faces(path):
    """Planes seen exactly along themselves and almost so."""
    rng = np.random.default_rng(1)
    vertices = rng.uniform([-0.4, -0.4, 1], [0.4, 0.4, 2], (60, 3))
    vertices[::2, 0] = 0  # on the plane x = 0, which holds the camera
    vertices[1::4, 0] = rng.uniform(-1e-6, 1e-6, 15)
    n_faces = 70 if path == "triton" else 200
    faces = rng.permuted(np.tile(np.arange(60), (n_faces, 1)), axis=1)[:, :3]
    assert_equals_brute_force(path, vertices, camera(), faces)
    edge_on = np.array([[0, 2, 4], [6, 8, 10]])  # u = 16 for all: on a pixel border, no centre
    assert not render(path, vertices, camera(), edge_on).silhouette.any()


@pytest.mark.parametrize("path", PATHS)
def test_degenerate_faces_draw_nothing(path):
    """A point, a face with two equal corners, corners on one line through pixel centres."""
    cam_k = camera(focal=16)
    at = lambda u, v: [(u - 16) * 2 / 16, (v - 16) * 2 / 16, 2.0]  # noqa: E731
    vertices = np.array([at(8.5, 8.5), at(24.5, 24.5), at(16.5, 16.5), at(8.5, 20.5)])
    faces = np.array([[0, 0, 0], [0, 1, 1], [0, 1, 0], [0, 1, 2], [2, 0, 1]])
    out = assert_equals_brute_force(path, vertices, cam_k, faces)
    assert not out.silhouette.any()
    assert render(path, vertices, cam_k, np.array([[0, 1, 3]])).silhouette.any()


@pytest.mark.parametrize("path", PATHS)
def test_equal_depth_goes_to_the_lowest_face(path):
    vertices, faces = square()
    twice = np.concatenate([faces[::-1], faces])
    out = assert_equals_brute_force(path, vertices, camera(), twice)
    assert set(out.face_index.unique().tolist()) == {-1, 0, 1}
    parts = render(path, vertices, camera(), twice, face_parts=[1, 1, 2, 2]).part_segmentation
    assert set(parts.unique().tolist()) == {0, 1}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("small_first", [False, True])
def test_equal_depth_goes_to_the_lowest_face_whatever_its_size(path, small_first):
    """At 2 m, 1/z is exact, so all depths are equal: small squares on a large one."""
    vertices = np.concatenate([square(half=0.9)[0], square(half=0.1)[0], square(half=0.3)[0]])
    faces = np.concatenate([square()[1] + offset for offset in (0, 4, 8)])
    faces = faces[::-1] if small_first else faces
    out = assert_equals_brute_force(path, vertices, camera(focal=16), faces)
    # Reversed, the squares have the faces 0-1 (half side 0.3), 2-3 (0.1, hidden) and 4-5 (0.9).
    wanted = {-1, 0, 1, 4, 5} if small_first else {-1, 0, 1}
    assert set(out.face_index.unique().tolist()) == wanted


@pytest.mark.parametrize("path", PATHS)
def test_nearest_face_wins_whatever_the_order(path):
    far_away, faces = square(depth=3.0, half=1.0)
    close, _ = square(depth=2.0, half=0.3)
    vertices = np.concatenate([close, far_away])
    for order in ([0, 1], [1, 0]):
        both = np.concatenate([[faces, faces + 4][i] for i in order])
        out = assert_equals_brute_force(path, vertices, camera(), both)
        depths = out.depth.unique().numpy()
        expected = np.where(depths < 2.5, 2, np.where(depths < 9, 3, np.inf))
        np.testing.assert_allclose(depths, expected, rtol=1e-6)
        assert out.depth[0, SIZE // 2, SIZE // 2].item() == pytest.approx(2)


@pytest.mark.parametrize("path", PATHS)
def test_depth_is_perspective_correct(path):
    """A floor 1 m below the camera: depth of row v is f / (v - cy), by similar triangles."""
    vertices = np.array([[-50, 1, 1], [50, 1, 1], [50, 1, 50], [-50, 1, 50]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    out = assert_equals_brute_force(path, vertices, camera(focal=16), faces)
    rows = np.arange(17, SIZE) + 0.5
    wanted = np.float32(16 / (rows - 16))
    np.testing.assert_allclose(out.depth[0, 17:, 16].numpy(), wanted, rtol=1e-5)


@pytest.mark.parametrize("path", PATHS)
def test_near_and_far_cut_fragments_and_not_faces(path):
    """The floor again: rows nearer than 2 m and farther than 4 m are empty, strictly."""
    vertices = np.array([[-50, 1, 0.5], [50, 1, 0.5], [50, 1, 50], [-50, 1, 50]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    out = assert_equals_brute_force(path, vertices, camera(focal=16), faces, near=2.0, far=4.0)
    # 2 < 16 / (row + 0.5 - 16) < 4: 4 < row - 15.5 < 8, rows 20 to 23 (row 23: 16 / 7.5 = 2.13).
    drawn_rows = out.silhouette[0].any(dim=1).nonzero().flatten().tolist()
    assert drawn_rows == [20, 21, 22, 23]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("depth", "drawn"), [(0.5, False), (0.5001, True), (4, False), (3.99, True)]
)
def test_near_and_far_are_strict(path, depth, drawn):
    vertices, faces = square(depth=depth)
    out = render(path, vertices, camera(focal=16), faces, near=0.5, far=4.0)
    assert out.silhouette.any() == drawn


@pytest.mark.parametrize("path", PATHS)
def test_faces_behind_the_camera_draw_nothing(path):
    """One vertex at or behind the camera plane is enough; other faces are not touched by it."""
    for depth in (0.0, -0.0, -1.0):
        vertices = np.array([[-1, -1, 2], [1, -1, 2], [0.2, 1, depth], [0, 1, 2]])
        faces = np.array([[0, 1, 2], [0, 1, 3]])
        out = assert_equals_brute_force(path, vertices, camera(), faces)
        assert set(out.face_index.unique().tolist()) == {-1, 1}


@pytest.mark.parametrize("path", PATHS)
def test_coordinates_beyond_every_range_draw_nothing_wrong(path):
    """Vertices so close to the camera plane that pixels overflow float32 or any integer."""
    vertices = np.array([[-1, -1, 2], [1, -1, 2], [1, 1, 1e-38], [1, 1, 1e-12], [-1, 1, 1e-45]])
    faces = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4], [2, 3, 4]])
    with np.errstate(over="ignore"):
        out = render(path, vertices, camera(), faces)
    assert set(out.face_index.unique().tolist()) <= {-1, 1}
    assert torch.equal(out.silhouette, out.face_index >= 0)


@pytest.mark.parametrize("path", PATHS)
def test_random_soup_equals_brute_force(path):
    """Faces of all sizes, many crossing borders, camera plane and clip range; skewed intrinsics."""
    rng = np.random.default_rng(2)
    vertices = rng.uniform([-2, -2, -0.5], [2, 2, 4], (90, 3))
    vertices[:30] = np.round(vertices[:30] * 4) / 4  # exact ties and centres on edges
    n_faces = 70 if path == "triton" else 300
    faces = rng.permuted(np.tile(np.arange(90), (n_faces, 1)), axis=1)[:, :3]
    cam_k = camera()
    cam_k[0, 1] = 1.5
    assert_equals_brute_force(path, vertices, cam_k, faces, near=0.5, far=3.0)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [(20, 47), (33, 1)])
def test_height_and_width_may_differ(path, size):
    vertices, faces = closed_mesh("torus")
    out = assert_equals_brute_force(
        path, vertices + np.array([0, 0, 1.2]), camera(size), faces, size
    )
    assert out.depth.shape == (1, *size)


@pytest.mark.parametrize("path", PATHS)
def test_empty_pictures(path):
    """Off the screen, no faces at all, no samples at all."""
    vertices, faces = square()
    for offset in ([9, 0, 0], [-9, 0, 0], [0, 9, 0], [0, -9, 0], [0, 0, 200]):
        out = assert_equals_brute_force(path, vertices + np.array(offset), camera(), faces)
        assert not out.silhouette.any()
        assert (out.face_index == -1).all()
        assert out.depth.isinf().all()
    out = render(path, vertices, camera(), np.zeros((0, 3), int))
    assert not out.silhouette.any()
    out = render(path, np.zeros((0, 4, 3)), camera(), faces)
    assert out.part_segmentation.shape == (0, SIZE, SIZE)


@pytest.mark.parametrize("path", PATHS)
def test_batch_equals_one_by_one(path, monkeypatch):
    """With several samples a thread, and a candidate list cut into pieces in mid-face."""
    monkeypatch.setattr(torch_rasteriser, "CANDIDATES_AT_ONCE", 1000)
    vertices, faces = closed_mesh("torus")
    rng = np.random.default_rng(3)
    count = 2 if path == "triton" else 19
    batch = vertices + rng.uniform([-0.4, -0.4, 1], [0.4, 0.4, 2], (count, 1, 3))
    together = render(path, batch, camera(), faces)
    for i, sample in enumerate(batch):
        alone = render(path, sample, camera(), faces)
        for picture, wanted in zip(together, alone, strict=True):
            assert torch.equal(picture[i], wanted[0])


def test_samples_have_their_own_intrinsics():
    vertices, faces = square()
    cam_k = torch.from_numpy(np.stack([camera(focal=16), camera(focal=32)]))
    batch = torch.tensor(np.stack([vertices] * 2), dtype=torch.float32)
    out = Rasteriser(faces, labels_of(faces), SIZE)(batch, cam_k)
    assert out.silhouette.sum(dim=(1, 2)).tolist() == [8 * 8, 16 * 16]


def test_quick_paths_agree_on_many_small_faces():
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    vertices = mesh.vertices + np.array([0.1, 0.2, 2.0])
    pictures = [render(path, vertices, camera((64, 64)), mesh.faces, 64) for path in QUICK_PATHS]
    for first, second in zip(*pictures, strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("backend", "device", "message"),
    [
        ("numba", "meta", 'backend "numba" draws on the CPU, but the tensors are on meta'),
        pytest.param(
            *("triton", "cpu", 'backend "triton" cannot draw on cpu: .* TRITON_INTERPRET=1'),
            marks=TRITON.marks,
        ),
    ],
)
def test_backend_that_cannot_draw_is_refused(backend, device, message):
    faces = square()[1]
    rasteriser = Rasteriser(faces, labels_of(faces), SIZE, backend=backend).to(device)
    with pytest.raises(ValueError, match=message):
        rasteriser(GOOD_VERTICES.to(device), GOOD_CAM_K.to(device))


def test_backend_chosen_by_device(monkeypatch):
    """Where Triton cannot run on a CUDA device, torch draws, and says why."""
    cpu, cuda = torch.device("cpu"), torch.device("cuda:1")
    assert choose_backend("auto", cpu) == "numba"
    assert choose_backend("auto", torch.device("mps")) == "torch"
    assert choose_backend("torch", cpu) == "torch"
    monkeypatch.setattr(rasteriser_module, "triton_problem", lambda device_type: None)
    assert choose_backend("auto", cuda) == "triton"
    monkeypatch.setattr(rasteriser_module, "triton_problem", lambda device_type: "no compiler")
    with pytest.warns(UserWarning, match="cuda:1 by torch operations, which is slow: no compiler"):
        assert choose_backend("auto", cuda) == "torch"


@pytest.mark.parametrize("error", [RuntimeError("no C compiler"), OSError("no libcuda")])
def test_triton_that_does_not_start_is_no_crash(monkeypatch, error):
    triton = pytest.importorskip("triton")

    class Driver:
        @property
        def active(self):
            raise error

    monkeypatch.setattr(triton.runtime, "driver", Driver())
    assert str(error) in triton_problem.__wrapped__("cuda")


def test_without_triton_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)  # makes its import fail
    assert "not installed" in triton_problem.__wrapped__("cuda")


@pytest.mark.parametrize("threads", [1, 2])
def test_part_segmentation_alone_is_the_same(threads):
    vertices, faces = closed_mesh("torus")
    batch = torch.tensor(vertices, dtype=torch.float32) + torch.tensor([0, 0, 1.5])
    batch = batch + torch.linspace(-0.3, 0.3, 11)[:, None, None]
    cam_k = torch.from_numpy(camera()).expand(11, 3, 3)
    rasteriser = Rasteriser(faces, labels_of(faces), SIZE)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        everything = rasteriser(batch, cam_k)
        parts = rasteriser.part_segmentation(batch, cam_k)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(parts, everything.part_segmentation)
    assert parts.dtype == torch.uint8
    assert torch.equal(parts > 0, everything.silhouette)


def test_inputs_are_left_alone_and_may_be_strided_or_need_gradients():
    vertices, faces = closed_mesh("icosphere")
    plain = torch.tensor(vertices, dtype=torch.float32) + torch.tensor([0, 0, 1.5])
    strided = torch.stack([plain, plain], dim=-1)[None, ..., 0].requires_grad_()
    cam_k = torch.from_numpy(camera())[None]
    rasteriser = Rasteriser(faces, labels_of(faces), SIZE)
    kept = strided.detach().clone()
    out = rasteriser(strided, cam_k)
    assert torch.equal(strided, kept)
    assert torch.equal(out.depth, rasteriser(plain[None], cam_k).depth)
    assert not out.depth.requires_grad
    assert not rasteriser.state_dict()


GOOD_VERTICES = torch.tensor(square()[0], dtype=torch.float32)[None]
GOOD_CAM_K = torch.from_numpy(camera())[None]


@pytest.mark.parametrize(
    ("vertices", "cam_k", "message"),
    [
        (GOOD_VERTICES[0], GOOD_CAM_K, r"vertices_cam has shape \(4, 3\); \(any, any, 3\)"),
        (GOOD_VERTICES[..., :2], GOOD_CAM_K, "vertices_cam has shape"),
        (GOOD_VERTICES.double(), GOOD_CAM_K, "vertices_cam must be a float32 tensor.*float64"),
        (GOOD_VERTICES.numpy(), GOOD_CAM_K, "vertices_cam must be a float32 tensor"),
        (GOOD_VERTICES, GOOD_CAM_K[0], "cam_k has shape"),
        (GOOD_VERTICES, GOOD_CAM_K.expand(2, 3, 3), r"cam_k has shape .*\(1, 3, 3\) is needed"),
        (GOOD_VERTICES[:, :3], GOOD_CAM_K, "has 3 vertices, but the faces need at least 4"),
        (GOOD_VERTICES * torch.nan, GOOD_CAM_K, "4 vertices .* not finite"),
        (GOOD_VERTICES.index_fill(1, torch.tensor(1), torch.inf), GOOD_CAM_K, "1 vertices"),
        (GOOD_VERTICES, GOOD_CAM_K * torch.nan, "cam_k holds numbers that are not finite"),
        (GOOD_VERTICES.to("meta"), GOOD_CAM_K, "vertices_cam is on meta"),
    ],
)
def test_bad_input_is_refused(vertices, cam_k, message):
    faces = square()[1]
    rasteriser = Rasteriser(faces, labels_of(faces), SIZE)
    with pytest.raises(ValueError, match=message):
        rasteriser(vertices, cam_k)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"faces": np.zeros((2, 4), int)}, r"faces has shape \(2, 4\)"),
        ({"faces": np.zeros((2, 3))}, "faces must be .* integers, but is float64"),
        ({"faces": np.array([[0, 1, -1], [0, 1, 2]])}, "vertex numbers from -1"),
        ({"faces": [[0, 1, 2], [0, 2, 3]]}, "faces must be .* but is list"),
        ({"face_parts": np.array([1, 2, 3])}, r"face_parts has shape \(3,\); \(2,\) is needed"),
        ({"face_parts": np.array([0, 1])}, "labels from 0 to 1"),
        ({"face_parts": np.array([1, 256])}, "labels from 1 to 256"),
        ({"image_size": 0}, "image_size is 0"),
        ({"image_size": 2.5}, "image_size is 2.5"),
        ({"image_size": (1, 2, 3)}, "image_size is"),
        ({"backend": "cuda"}, "backend is 'cuda'; one of .*'numba', 'triton', 'torch'"),
        ({"near": 0.0}, "0 < near < far"),
        ({"near": 2.0, "far": 1.0}, "0 < near < far"),
    ],
)
def test_bad_construction_is_refused(change, message):
    faces = square()[1]
    arguments = {"faces": faces, "face_parts": labels_of(faces), "image_size": SIZE} | change
    with pytest.raises(ValueError, match=message):
        Rasteriser(**arguments)
