"""A made-up set of the licensed files in their published layout, formats and shapes.

It is the open body with its vertices renumbered, so that everything works and nothing can be taken
for the open body by its vertex order. The true regressors of SMPL are used where they are at hand.
"""

import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import scipy.sparse

from models.landmarks import read_open_landmarks
from models.smpl_files import SmplArrays, read_smpl_file
from utils.joints import PARTS
from utils.paths import OPEN_BODY, ROOT

GENDERS = ("neutral", "male", "female")
TRUE_REGRESSORS = ROOT.parent / "shared" / "smpl_regressors"
TEXELS = 2  # a side of a face's texture; the published file has more, all of one colour
_ROWS = {
    "J_regressor_extra": slice(0, 9),
    "cocoplus_regressor": slice(9, 28),
    "J_regressor_h36m": slice(28, 45),
}


def write_licensed_set(folder: Path, true_regressors: bool = False) -> None:
    """Fills `folder` as a user fills `additional/`.

    Args:
        folder: made if need be.
        true_regressors: take SMPL's own from `TRUE_REGRESSORS`; they know other vertices than this
            body's, so the joints are those of no person.
    """
    (folder / "smpl").mkdir(parents=True)
    order = vertex_order()
    for gender in GENDERS:
        arrays = renumbered(read_smpl_file(OPEN_BODY / f"OPEN_{gender.upper()}.npz"), order)
        write_published_pickle(folder / "smpl" / f"SMPL_{gender.upper()}.pkl", arrays)
    landmarks = read_open_landmarks(OPEN_BODY / "landmarks.npz")
    for name, rows in _ROWS.items():
        regressor = landmarks.regressors[rows][:, order].astype(np.float64)
        if true_regressors:
            regressor = np.load(TRUE_REGRESSORS / f"{name}.npy")
        np.save(folder / f"{name}.npy", regressor)
    np.save(folder / "smpl_faces.npy", arrays.f.astype(np.uint32))
    cube, texture = _colours_of(landmarks.face_parts)
    np.save(folder / "cube_parts.npy", cube)
    np.save(folder / "vertex_texture.npy", texture)
    mean = OPEN_BODY / "neutral_smpl_mean_params_6dpose.npz"
    (folder / mean.name).write_bytes(mean.read_bytes())


def vertex_order() -> np.ndarray:
    """(V,) ints: which vertex of the open body is the made-up body's i-th."""
    count = len(read_smpl_file(OPEN_BODY / "OPEN_NEUTRAL.npz").v_template)
    return np.random.default_rng(0).permutation(count)


def renumbered(arrays: SmplArrays, order: np.ndarray) -> SmplArrays:
    """The same body with its vertices in another order."""
    return arrays._replace(
        v_template=arrays.v_template[order],
        shapedirs=arrays.shapedirs[order],
        posedirs=arrays.posedirs[order],
        J_regressor=arrays.J_regressor[:, order],
        weights=arrays.weights[order],
        f=np.argsort(order)[arrays.f],
    )


def write_published_pickle(path: Path, arrays: SmplArrays) -> None:
    """Writes a body as SMPL's authors did: chumpy arrays, a sparse regressor, extra keys."""
    parents = arrays.kintree_table.copy()
    parents[0, 0] = 2**32 - 1  # how the published files mark the root
    with chumpy_classes() as chumpy:
        content = {
            **arrays._asdict(),
            "v_template": chumpy.Ch(arrays.v_template.astype(np.float64)),
            "shapedirs": chumpy.Ch(arrays.shapedirs.astype(np.float64)),
            "weights": chumpy.Ch(arrays.weights.astype(np.float64)),
            "posedirs": arrays.posedirs.astype(np.float64),
            "J_regressor": scipy.sparse.csc_matrix(arrays.J_regressor.astype(np.float64)),
            "kintree_table": parents.astype(np.uint32),
            "f": arrays.f.astype(np.uint32),
            "bs_type": "lrotmin",
            "bs_style": "lbs",
        }
        with path.open("wb") as file:
            pickle.dump(content, file, protocol=2)


@contextmanager
def chumpy_classes() -> Iterator[types.SimpleNamespace]:
    """Classes that pickle under chumpy's names with the state that chumpy's classes have."""

    class Ch:
        __module__ = "chumpy.ch"

        def __init__(self, x):
            self.x = np.asarray(x)
            self._dirty_vars = set()

    class Select:
        __module__ = "chumpy.reordering"

        def __init__(self, a, idxs, preferred_shape):
            self.a, self.idxs, self.preferred_shape = a, idxs, preferred_shape

    made = {"chumpy": types.ModuleType("chumpy")}
    for cls in (Ch, Select):
        cls.__qualname__ = cls.__name__
        made[cls.__module__] = types.ModuleType(cls.__module__)
        setattr(made[cls.__module__], cls.__name__, cls)
    sys.modules.update(made)
    try:
        yield types.SimpleNamespace(Ch=Ch, Select=Select)
    finally:
        for name in made:
            del sys.modules[name]


def _colours_of(face_parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A colour table (101, 101, 101) and a texture (1, F, T, T, T, 3) that mean these labels."""
    levels = np.array([0.055 + 0.15 * part for part in range(len(PARTS))])
    cube = np.zeros((101, 101, 101), np.uint8)
    for part, level in enumerate(levels):
        cube[int(100 * level), 100, 0] = part
    colours = np.stack([levels, np.ones_like(levels), np.zeros_like(levels)], axis=1)[face_parts]
    texture = np.broadcast_to(
        colours[None, :, None, None, None], (1, len(colours), TEXELS, TEXELS, TEXELS, 3)
    )
    return cube, np.ascontiguousarray(texture)
