"""Reads body models in the SMPL format, `.pkl` as published or `.npz`, into plain arrays.

The published pickles were written by Python 2 and hold chumpy arrays and a scipy sparse matrix.
They are read as data, see `utils.pickles`, without chumpy and without scipy.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.conventions import NUM_BETAS
from utils.errors import InputError
from utils.joints import SMPL_JOINTS, SMPL_PARENTS
from utils.pickles import Known, Unbuilt, find_numpy, read_pickle
from utils.readers import read_npz

_MAX_ENTRIES = 100_000_000  # of a sparse matrix that is made dense; SMPL's has 165,360
# The licensed files beside the model, and where all of them come from; README.md shows how they are
# placed. The part labels' two files may be left out.
_BESIDE_THE_MODEL = (
    "J_regressor_extra.npy",
    "cocoplus_regressor.npy",
    "J_regressor_h36m.npy",
    "neutral_smpl_mean_params_6dpose.npz",
)
_SMPL_SITES = {
    "neutral": "https://smplify.is.tue.mpg.de",
    "male": "https://smpl.is.tue.mpg.de",
    "female": "https://smpl.is.tue.mpg.de",
}
_ADDITIONAL_FILES_SITE = (
    "https://drive.google.com/drive/folders/1phJix1Fp-AbJgoLImb19eXCWEK7ZnAp_?usp=sharing"
)
_REQUIRED = (
    "v_template",
    "shapedirs",
    "posedirs",
    "J_regressor",
    "weights",
    "kintree_table",
    "f",
)


class SmplArrays(NamedTuple):
    """The arrays of a body model in the SMPL format; V vertices, F faces, K = 24 joints.

    Field names are those of the files and of `smplx`, which takes this tuple as its `data_struct`.
    """

    v_template: np.ndarray  # (V, 3) float32, metres
    shapedirs: np.ndarray  # (V, 3, 10) float32, metres per unit of beta
    posedirs: np.ndarray  # (V, 3, 9 * (K - 1)) float32
    J_regressor: np.ndarray  # (K, V) float32
    weights: np.ndarray  # (V, K) float32
    kintree_table: np.ndarray  # (2, K) int64, parents in row 0
    f: np.ndarray  # (F, 3) int64


def _build_chumpy(state: dict[str, Any]) -> np.ndarray:
    """The array of an object of any of chumpy's classes, by its pickled state."""
    if "x" in state:  # chumpy.ch.Ch: the array itself
        return _check_array(state["x"])
    if "a" in state and "idxs" in state:  # chumpy.reordering.Select: picked entries
        picked = _check_array(state["a"]).ravel()[_check_array(state["idxs"])]
        shape = state.get("preferred_shape")
        return picked if shape is None else picked.reshape(shape)
    raise ValueError("a chumpy object has unknown fields")


def _build_sparse(state: dict[str, Any]) -> np.ndarray:
    """The dense array of scipy's csc_matrix, by its pickled state; every index is checked."""
    data, rows, starts = (_check_array(state[name]) for name in ("data", "indices", "indptr"))
    height, width = state["_shape"] if "_shape" in state else state["shape"]
    sizes = np.diff(starts)
    fits = (
        type(height) is type(width) is int
        and 0 < height * width <= _MAX_ENTRIES
        and data.ndim == rows.ndim == starts.ndim == 1
        and rows.dtype.kind in "iu" and starts.dtype.kind in "iu"
        and len(starts) == width + 1 and starts[0] == 0
        and len(data) == len(rows) == starts[-1] and (starts[1:] >= starts[:-1]).all()
        and (rows >= 0).all() and (rows < height).all()
    )  # fmt: skip
    if not fits:
        raise ValueError("the indices of a sparse matrix lie outside of it")
    dense = np.zeros((height, width), data.dtype)
    np.add.at(dense, (rows, np.repeat(np.arange(width), sizes)), data)
    return dense


def _check_array(value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise ValueError(f"it holds a {type(value).__name__} where an array should be")
    return value


_CHUMPY = Known(lambda *_: Unbuilt(_build_chumpy))
_SPARSE = Known(lambda *_: Unbuilt(_build_sparse))
_OBJECT = Known(lambda: None)


def _find_known(module: str, name: str) -> Any:
    """What such a file may name; the module paths of scipy and chumpy changed over the years."""
    if module.split(".")[0] == "chumpy":
        return _CHUMPY
    if module.startswith("scipy.sparse") and name == "csc_matrix":
        return _SPARSE
    if (module, name) in (("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor")):
        return Known(lambda known, *_: known.call())
    if module in ("__builtin__", "builtins") and name == "object":
        return _OBJECT
    return find_numpy(module, name)


def _read_pickle(path: Path) -> dict[str, Any]:
    advice = "get it again from where body models are published, see README.md"
    content = read_pickle(path, "SMPL pickle", advice, _find_known)
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, expected a dictionary")
    return content


def find_licensed_model(additional: Path, gender: str) -> Path:
    """The licensed model's file, pickle or npz; the files beside it are there too.

    Args:
        additional: folder where the user places the licensed files.
        gender: neutral, male or female.

    Raises:
        InputError: files are missing; it names all of them, and where to get them.
    """
    stem = f"SMPL_{gender.upper()}"
    models = [additional / "smpl" / (stem + suffix) for suffix in (".pkl", ".npz")]
    found = [path for path in models if path.is_file()]
    missing = [name for name in _BESIDE_THE_MODEL if not (additional / name).is_file()]
    told = [] if found else [f"smpl/{stem}.pkl or .npz (register at {_SMPL_SITES[gender]})"]
    if missing:
        told.append(f"{', '.join(missing)} (from {_ADDITIONAL_FILES_SITE})")
    if told:
        raise InputError(
            f"the SMPL body needs files that are not in {additional}: {' and '.join(told)}; see "
            "'Additional files' in README.md, or use the open body, which needs none of them"
        )
    return found[0]


def read_smpl_file(path: Path) -> SmplArrays:
    """Reads and checks a body model in the SMPL format.

    Args:
        path: `.pkl` as published (Python 2, chumpy and scipy objects included) or `.npz`.

    Returns:
        The model's arrays; counts of vertices and faces are the file's own, betas the first ten.

    Raises:
        InputError: the file is missing, unreadable, incomplete, or its arrays do not fit together.
    """
    if not path.is_file():
        raise InputError(f"no body model at {path}; see 'Additional files' in README.md")
    if path.suffix not in (".pkl", ".npz"):
        raise InputError(f"{path} is not a body model by its name; expected .pkl or .npz")
    content = _read_pickle(path) if path.suffix == ".pkl" else read_npz(path, _REQUIRED)
    missing = [key for key in _REQUIRED if key not in content]
    if missing:
        raise InputError(f"{path} has no {', '.join(missing)}; it is not a whole SMPL model")
    return _check_arrays(path, content)


def _check_arrays(path: Path, content: dict[str, Any]) -> SmplArrays:
    plain = {}
    for key in _REQUIRED:
        array = content[key]
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            found = getattr(array, "dtype", type(array).__name__)
            raise InputError(f"{path}: {key} is a {found}, expected an array of numbers")
        with np.errstate(all="ignore"):  # what is too large for the dtype is found below
            dtype = np.int64 if key in ("kintree_table", "f") else np.float32
            plain[key] = np.ascontiguousarray(array, dtype)
    arrays = SmplArrays(**plain)

    vertices, joints = arrays.v_template.size // 3, len(SMPL_JOINTS)
    expected = {
        "v_template": (vertices, 3),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
        "kintree_table": (2, joints),
        "f": (max(arrays.f.size // 3, 1), 3),
    }
    if arrays.shapedirs.ndim == 3 and arrays.shapedirs.shape[2] > NUM_BETAS:
        arrays = arrays._replace(shapedirs=np.ascontiguousarray(arrays.shapedirs[:, :, :NUM_BETAS]))
    expected["shapedirs"] = (vertices, 3, NUM_BETAS)
    for key, shape in expected.items():
        array = getattr(arrays, key)
        if array.shape != shape:
            raise InputError(f"{path}: {key} has shape {array.shape}, expected {shape}")
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {key} has values that are not finite numbers")
    if arrays.f.min() < 0 or arrays.f.max() >= vertices:
        raise InputError(f"{path}: f names vertices outside 0..{vertices - 1}")
    if tuple(arrays.kintree_table[0, 1:]) != SMPL_PARENTS[1:]:
        raise InputError(f"{path}: kintree_table is not that of SMPL's {joints} joints")
    return arrays
