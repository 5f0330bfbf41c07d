"""Measurements of bodies whose sizes are known."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import ConvexHull
from scipy.special import ellipe

from metrics.anatomy import Anatomy, find_edges
from metrics.measurements import Measurements, compute_volume, measure
from metrics.tapes import HIP_SHARES, cut_mesh, lay_tapes, measure_closed
from models.body_model import BodyModel
from utils.joints import PARTS, SMPL_JOINTS

CORNERS = 400  # of a cylinder: its girth is the circle's within 0.01 mm
GIRTHS = [name for name in Measurements._fields if name not in
          ("height_m", "weight_kg", "bmi_kg_per_m2", "shoulder_breadth_m", "arm_length_m",
           "inside_leg_m", "back_length_m", "shoulder_to_crotch_m")]  # fmt: skip
# The made-up person's right side; the left is its mirror image. Metres, y up, soles at 0.
MIDDLE_JOINTS = {"pelvis": (0, 0.95, 0), "spine1": (0, 1.05, 0), "spine2": (0, 1.2, 0),
                 "spine3": (0, 1.35, 0), "neck": (0, 1.5, 0), "head": (0, 1.6, 0.02)}  # fmt: skip
RIGHT_JOINTS = {
    "hip": (-0.09, 0.9, 0), "knee": (-0.12, 0.5, 0), "ankle": (-0.15, 0.1, 0),
    "shoulder": (-0.2, 1.4, 0), "elbow": (-0.45, 1.4, 0), "wrist": (-0.7, 1.4, 0),
}  # fmt: skip
NECK, ARM, LEG = 0.07, 0.05, 0.08  # radii
TRUNK = (0.18, 0.11)  # radii of the ellipse


def _cylinder(start, end, radii) -> tuple[np.ndarray, np.ndarray]:
    """A closed one between two points, whose cross-section is an ellipse."""
    start, end = np.array(start, float), np.array(end, float)
    made = trimesh.creation.cylinder(1.0, segment=[start, end], sections=CORNERS)
    middle, axis = (start + end) / 2, (end - start) / np.linalg.norm(end - start)
    away = made.vertices - middle
    along = (away @ axis)[:, None] * axis
    return middle + along + (away - along) * np.broadcast_to(radii, 3), np.array(made.faces)


def _make_person(arm_at: float = 1.4, side: str = "right") -> tuple[np.ndarray, Anatomy]:
    """Vertices of a person of cylinders, and their anatomy; arms at a height in metres."""
    flip = np.array([-1.0, 1, 1])
    arm = [(-0.12, arm_at, 0), (-0.9, arm_at, 0)]
    leg = [(-0.09, 0.9, 0), (-0.1575, 0.0, 0)]
    pieces = [
        ("torso", "pelvis", _cylinder((0, 0.8, 0), (0, 1.5, 0), (TRUNK[0], 1, TRUNK[1]))),
        ("head", "neck", _cylinder((0, 1.45, -0.01), (0, 1.85, 0.07), NECK)),
    ]
    for name, sign in (("right", np.ones(3)), ("left", flip)):
        pieces += [
            (f"{name}_arm", f"{name}_elbow", _cylinder(*(sign * each for each in arm), ARM)),
            (f"{name}_leg", f"{name}_hip", _cylinder(*(sign * each for each in leg), LEG)),
        ]
    joints = {
        **MIDDLE_JOINTS,
        **{f"right_{name}": place for name, place in RIGHT_JOINTS.items()},
        **{f"left_{name}": flip * place for name, place in RIGHT_JOINTS.items()},
    }
    vertices, faces, parts, bones = [], [], [], []
    for part, bone, (corners, triangles) in pieces:
        faces.append(triangles + sum(map(len, vertices)))
        vertices.append(corners)
        parts += [PARTS.index(part)] * len(triangles)
        bones += [SMPL_JOINTS.index(bone)] * len(corners)
    # Each joint is a vertex of its own, that no face has.
    vertices.append(np.array([joints.get(name, (0, 1, 0)) for name in SMPL_JOINTS], float))
    bones += [SMPL_JOINTS.index("left_hip")] * len(SMPL_JOINTS)
    vertices = np.concatenate(vertices)
    weights = np.eye(len(SMPL_JOINTS))[bones]
    regressor = np.eye(len(vertices))[-len(SMPL_JOINTS) :]
    anatomy = Anatomy.build(
        np.concatenate(faces), np.array(parts), weights, regressor, vertices, side
    )
    return vertices, anatomy


def test_a_person_of_cylinders():
    vertices, anatomy = _make_person()
    found = measure(vertices, anatomy)
    a, b = TRUNK
    trunk = 4 * a * ellipe(1 - (b / a) ** 2)  # the perimeter of an ellipse
    for name in ("chest_m", "underbust_m", "waist_m", "hips_m"):
        assert getattr(found, name) == pytest.approx(trunk, rel=1e-3), name
    for name, radius in {
        "neck_m": NECK, "upper_arm_m": ARM, "forearm_m": ARM, "wrist_m": ARM,
        "knee_m": LEG, "calf_m": LEG, "ankle_m": LEG,
    }.items():  # fmt: skip
        assert getattr(found, name) == pytest.approx(2 * np.pi * radius, rel=1e-3), name
    assert found.shoulder_breadth_m == pytest.approx(0.4)
    assert found.arm_length_m == pytest.approx(0.5)  # 0.25 + 0.25
    assert found.inside_leg_m == pytest.approx(0.8 - vertices[:, 1].min())  # below the trunk
    assert found.shoulder_to_crotch_m == pytest.approx(1.4 - 0.8)


def test_the_back_is_followed_from_neck_to_waist(body_model):
    vertices = body_model.tpose(torch.zeros(1, 10))[0].double().numpy()
    anatomy = Anatomy.of(body_model)
    around, along = lay_tapes(vertices, anatomy)
    back, neck = along["back_length_m"], SMPL_JOINTS.index("neck")
    assert back[0, 1] == pytest.approx(anatomy.locate_joints(vertices)[neck, 1])
    assert back[-1, 1] == pytest.approx(around["waist_m"][0, 1])
    assert (back[:, 2] <= -0.03).all()
    straight = np.linalg.norm(back[0] - back[-1])
    assert straight < measure(vertices, anatomy).back_length_m < 1.05 * straight


def test_no_tape_around_the_trunk_holds_an_arm():
    vertices, anatomy = _make_person()
    for share in (0.61, 0.67):
        level = vertices[:, 1].min() + share * np.ptp(vertices[:, 1])
        lowered, lowered_anatomy = _make_person(arm_at=level)
        found, expected = measure(lowered, lowered_anatomy), measure(vertices, anatomy)
        for name in ("underbust_m", "waist_m"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)


def test_a_girth_is_perpendicular_to_the_limb():
    """A horizontal cut of the slanting leg would be an ellipse, longer by some tenths of a mm."""
    vertices, anatomy = _make_person()
    around, _ = lay_tapes(vertices, anatomy)
    axis = np.subtract(RIGHT_JOINTS["ankle"], RIGHT_JOINTS["knee"])
    heights = around["knee_m"] @ axis / np.linalg.norm(axis)
    assert np.ptp(heights) < 1e-9
    assert np.ptp(around["thigh_m"][:, 1]) < 1e-9  # which is horizontal by definition


def test_left_and_right_are_the_same(body_model):
    vertices = body_model.tpose(torch.full((1, 10), 0.7))[0].double().numpy()
    left, right = (measure(vertices, Anatomy.of(body_model, side)) for side in ("left", "right"))
    assert left == pytest.approx(right, abs=1e-6)


def test_volume_does_not_depend_on_winding_or_place():
    box = trimesh.creation.box(extents=(1, 1, 1))
    vertices, faces = np.array(box.vertices), np.array(box.faces)
    assert compute_volume(vertices + 7.0, faces[:, ::-1]) == pytest.approx(1.0)


def test_girth_spans_hollows_as_a_tape_does():
    box = trimesh.creation.box(extents=(0.2, 1.0, 0.2))
    both = np.concatenate([box.vertices + offset for offset in ([-0.4, 0, 0], [0.4, 0, 0])])
    legs = find_edges(np.concatenate([box.faces, box.faces + len(box.vertices)]))
    up, points = np.array([0, 1.0, 0]), np.array([[0, 0.0, 0], [0, 0.6, 0]])
    girths = [measure_closed(line) for line in cut_mesh(both, legs, points, up)]
    assert girths == pytest.approx([2 * (1.0 + 0.2), 0])


def test_girths_are_perimeters_of_convex_hulls(body_model):
    """The oracle: the hull of a slice that trimesh cuts."""
    vertices = body_model.tpose(torch.full((1, 10), 0.7))[0].double().numpy()
    faces = body_model.faces.numpy()
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    levels = vertices[:, 1].min() + np.ptp(vertices[:, 1]) * np.array([0.45, 0.61, 0.73, 0.8])
    points = np.stack([0 * levels, levels, 0 * levels], axis=1)
    expected = [
        ConvexHull(mesh.section([0, 1, 0], point).vertices[:, [0, 2]]).area for point in points
    ]
    lines = cut_mesh(vertices, find_edges(faces), points, np.array([0, 1.0, 0]))
    assert [measure_closed(line) for line in lines] == pytest.approx(expected, abs=1e-7)


def test_no_chest_reaches_into_an_arm(body_model):
    betas = 1.5 * torch.randn(60, 10, generator=torch.Generator().manual_seed(0))
    anatomy = Anatomy.of(body_model)
    for vertices in body_model.tpose(betas).numpy():
        found = measure(vertices, anatomy)
        # A tape around both arms is longer than the span of the arms there and back.
        assert found.waist_m / 2 < found.chest_m < 0.9 * found.height_m


def test_a_larger_body_has_larger_measurements(body_model):
    vertices, anatomy = body_model.tpose(torch.zeros(1, 10))[0].double(), Anatomy.of(body_model)
    found, larger = (measure(scale * vertices.numpy(), anatomy) for scale in (1, 1.05))
    for name in Measurements._fields:
        power = {"weight_kg": 3, "bmi_kg_per_m2": 1}.get(name, 1)
        expected = 1.05**power * getattr(found, name)
        assert getattr(larger, name) == pytest.approx(expected, rel=1e-9), name


def test_a_heavier_body_has_larger_girths(body_model):
    """Along the direction of betas in which weight grows and height stays."""
    anatomy = Anatomy.of(body_model)

    def measure_betas(betas):
        return measure(body_model.tpose(betas[None])[0].double().numpy(), anatomy)

    steps = [measure_betas(0.1 * row) for row in torch.eye(10)]
    mean = measure_betas(torch.zeros(10))
    height, weight = (
        torch.tensor([getattr(step, name) - getattr(mean, name) for step in steps])
        for name in ("height_m", "weight_kg")
    )
    heavier = weight - (weight @ height) / (height @ height) * height
    bodies = [measure_betas(share * heavier / heavier.norm()) for share in (-2, -1, 0, 1, 2)]
    for name in GIRTHS:
        girths = [getattr(body, name) for body in bodies]
        if name != "head_m":
            assert girths == sorted(girths), name


def test_every_edge_counts_once():
    # 12 edges of the cube and a diagonal on each of its 6 sides.
    edges = find_edges(np.array(trimesh.creation.box(extents=(1, 1, 1)).faces))
    assert len({tuple(edge) for edge in edges.tolist()}) == len(edges) == 18


def test_other_bodies_of_the_format(licensed_set):
    """Its parts and joints come from its own files."""
    body = BodyModel.load("smpl", "neutral", licensed_set)
    anatomy = Anatomy.of(body)
    vertices = body.tpose(torch.zeros(1, 10))[0].numpy()
    assert anatomy.locate_joints(vertices) == pytest.approx(
        body.skinning.j_template.numpy(), abs=1e-4
    )
    assert all(np.isfinite(measure(vertices, anatomy)))


def test_open_body_has_the_size_of_a_person(body_model):
    vertices = body_model.tpose(torch.zeros(1, 10))[0].numpy()
    found = measure(vertices, Anatomy.of(body_model))
    assert 1.5 < found.height_m < 1.9
    assert 45 < found.weight_kg < 100
    assert found.bmi_kg_per_m2 == pytest.approx(found.weight_kg / found.height_m**2)
    assert 0.6 < found.waist_m < found.hips_m < 1.3
    assert found.waist_m < found.chest_m < 1.2
    assert found.wrist_m < found.ankle_m < found.neck_m < found.thigh_m < found.underbust_m
    assert 0.43 < found.inside_leg_m / found.height_m < 0.49
    assert "height" in str(found)


def test_hips_are_measured_above_the_crotch(body_model):
    """Long legs bring the crotch above 45 % of the height: no tape goes around both of them."""
    anatomy = Anatomy.of(body_model)
    betas = 1.5 * torch.randn(40, 10, generator=torch.Generator().manual_seed(2))
    bodies = body_model.tpose(betas).double().numpy()
    shares = []
    for vertices in bodies:
        crotch = vertices[anatomy.crotch, 1]
        around, _ = lay_tapes(vertices, anatomy)
        assert around["hips_m"][:, 1].min() > crotch - 1e-9
        shares.append((crotch - vertices[:, 1].min()) / np.ptp(vertices[:, 1]))
    assert max(shares) > HIP_SHARES[0]  # some have such legs
