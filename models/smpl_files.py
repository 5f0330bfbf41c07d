"""Reads body models in the SMPL format, `.pkl` as published or `.npz`, into plain arrays.

The published pickles were written by Python 2 and hold chumpy arrays and a scipy sparse matrix.
They are read directly, without chumpy and without running code from the file: every global but the
few that such a file needs is refused.
"""

import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from utils.errors import InputError
from utils.joints import SMPL_JOINTS, SMPL_PARENTS
from utils.readers import (
    PlainUnpickler,
    read_npz,
)

NUM_BETAS = 10
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


class _StandIn:
    """Keeps the pickled state of an object whose own class is not used."""

    def __init__(self, *_):
        self.state: dict[str, Any] = {}

    def __setstate__(self, state):
        self.state = state


class _ChumpyArray(_StandIn):
    """Any of chumpy's array classes."""

    def value(self) -> np.ndarray:
        if "x" in self.state:  # chumpy.ch.Ch: the array itself
            return np.asarray(self.state["x"])
        if "a" in self.state and "idxs" in self.state:  # chumpy.reordering.Select: picked entries
            source = _to_plain(self.state["a"]).ravel()[np.asarray(self.state["idxs"])]
            shape = self.state.get("preferred_shape")
            return source if shape is None else source.reshape(shape)
        raise ValueError(f"chumpy object with unknown fields {sorted(self.state)}")


class _SparseMatrix(_StandIn):
    """Scipy's csc_matrix, whose module path has changed over the years."""

    def value(self) -> np.ndarray:
        parts = (self.state["data"], self.state["indices"], self.state["indptr"])
        shape = self.state["_shape"] if "_shape" in self.state else self.state["shape"]
        return scipy.sparse.csc_matrix(parts, shape=shape).toarray()


def _reconstruct(cls, base, state):
    """What `copy_reg._reconstructor` does, for our stand-ins alone."""
    if not (isinstance(cls, type) and issubclass(cls, _StandIn)):
        raise pickle.UnpicklingError(f"refused to build {cls!r}")
    return cls()


class _SmplUnpickler(PlainUnpickler):
    """Knows csc matrices and chumpy arrays too."""

    def find_class(self, module: str, name: str):
        if module.split(".")[0] == "chumpy":
            return _ChumpyArray
        if module.startswith("scipy.sparse") and name == "csc_matrix":
            return _SparseMatrix
        if (module, name) in (("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor")):
            return _reconstruct
        if module in ("__builtin__", "builtins") and name in ("object", "set"):
            return {"object": object, "set": set}[name]
        return super().find_class(module, name)


def _to_plain(value: Any) -> Any:
    return value.value() if isinstance(value, _StandIn) else value


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = _SmplUnpickler(file, encoding="latin1").load()
        if not isinstance(content, dict):
            raise ValueError(f"found a {type(content).__name__}, expected a dictionary")
        return {key: _to_plain(value) for key, value in content.items()}
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is not a readable SMPL pickle: {error}") from error


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
    def floats(key):
        return np.ascontiguousarray(np.asarray(content[key]), dtype=np.float32)

    def integers(key):
        return np.ascontiguousarray(np.asarray(content[key]).astype(np.int64))

    try:
        arrays = SmplArrays(
            v_template=floats("v_template"),
            shapedirs=floats("shapedirs"),
            posedirs=floats("posedirs"),
            J_regressor=floats("J_regressor"),
            weights=floats("weights"),
            kintree_table=integers("kintree_table"),
            f=integers("f"),
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} holds something that is not an array: {error}") from error

    vertices, joints = len(arrays.v_template), len(SMPL_JOINTS)
    expected = {
        "v_template": (vertices, 3),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
        "kintree_table": (2, joints),
        "f": (len(arrays.f), 3),
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
