"""Body-model files are read as published, and nothing in them is run."""

import pickle

import numpy as np
import pytest
import scipy.sparse

from models.smpl_files import read_smpl_file
from tests.licensed import chumpy_classes
from utils.errors import InputError
from utils.joints import SMPL_PARENTS

_VERTICES = 40


def _arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    weights = rng.random((_VERTICES, 24))
    parents = np.array(SMPL_PARENTS, dtype=np.int64)
    parents[0] = 2**32 - 1  # how the published files mark the root
    return {
        "v_template": rng.standard_normal((_VERTICES, 3)),
        "shapedirs": rng.standard_normal((_VERTICES, 3, 10)),
        "posedirs": rng.standard_normal((_VERTICES, 3, 207)),
        "J_regressor": rng.random((24, _VERTICES)),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(24)]).astype(np.uint32),
        "f": rng.integers(0, _VERTICES, (60, 3)).astype(np.uint32),
    }


def _write_pickle(path, content):
    with path.open("wb") as file:
        pickle.dump(content, file, protocol=2)


def test_pickle_with_chumpy_and_sparse_arrays(tmp_path):
    arrays = _arrays()
    more_betas = np.concatenate([arrays["shapedirs"], np.ones((_VERTICES, 3, 5))], axis=2)
    shuffled = np.random.default_rng(1).permutation(more_betas.size)
    scattered = np.empty(more_betas.size)
    scattered[shuffled] = more_betas.ravel()
    content = dict(arrays)
    content["J_regressor"] = scipy.sparse.csc_matrix(arrays["J_regressor"])
    content["bs_type"] = "lrotmin"
    with chumpy_classes() as chumpy:
        content["v_template"] = chumpy.Ch(arrays["v_template"])
        content["shapedirs"] = chumpy.Select(chumpy.Ch(scattered), shuffled, more_betas.shape)
        _write_pickle(tmp_path / "SMPL_NEUTRAL.pkl", content)

    model = read_smpl_file(tmp_path / "SMPL_NEUTRAL.pkl")
    for key, expected in arrays.items():
        np.testing.assert_allclose(getattr(model, key), expected, rtol=1e-6, err_msg=key)
    assert model.v_template.dtype == np.float32
    assert model.f.dtype == np.int64


def test_npz(tmp_path):
    arrays = _arrays()
    np.savez(tmp_path / "model.npz", **arrays)
    model = read_smpl_file(tmp_path / "model.npz")
    np.testing.assert_allclose(model.weights, arrays["weights"], rtol=1e-6)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("indices", 24), ("indices", -1), ("indices", 2**31 - 1),
        ("indptr", -1), ("indptr", 10**6), ("_shape", (24, 10**9)), ("_shape", (-24, -_VERTICES)),
        ("_shape", "ab"), ("data", np.ones(3)), ("indices", np.zeros(3)),
    ],
)  # fmt: skip
def test_sparse_matrices_with_indices_outside_are_refused(tmp_path, part, value):
    """Scipy believes them, and writes wherever they point."""
    matrix = scipy.sparse.csc_matrix(_arrays()["J_regressor"])
    if isinstance(value, int):
        getattr(matrix, part)[1] = value
    else:
        matrix.__dict__[part] = value
    _write_pickle(tmp_path / "evil.pkl", {**_arrays(), "J_regressor": matrix})
    with pytest.raises(InputError, match=r"evil\.pkl is not a readable SMPL pickle"):
        read_smpl_file(tmp_path / "evil.pkl")


@pytest.mark.parametrize("value", [None, [1, 2], "text", {"a": 1}, [[]] * 2, np.array(["a"])])
def test_what_is_no_array_is_named(tmp_path, value):
    _write_pickle(tmp_path / "evil.pkl", {**_arrays(), "weights": value})
    with pytest.raises(InputError, match=r"evil\.pkl: weights is a .* an array of numbers"):
        read_smpl_file(tmp_path / "evil.pkl")


class _Attack:
    def __reduce__(self):
        return (print, ("the file ran code",))


def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys):
    _write_pickle(tmp_path / "evil.pkl", {**_arrays(), "v_template": _Attack()})
    with pytest.raises(InputError, match="refused"):
        read_smpl_file(tmp_path / "evil.pkl")
    assert "the file ran code" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f": None}, "has no f"),
        ({"weights": np.ones((3, 24))}, "weights has shape"),
        ({"v_template": np.full((_VERTICES, 3), np.nan)}, "not finite"),
        ({"f": np.full((60, 3), _VERTICES)}, "names vertices outside"),
        ({"shapedirs": np.ones((_VERTICES, 3, 4))}, "shapedirs has shape"),
        ({"kintree_table": np.zeros((2, 24))}, "kintree_table"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    arrays = {key: value for key, value in {**_arrays(), **change}.items() if value is not None}
    np.savez(tmp_path / "model.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_smpl_file(tmp_path / "model.npz")


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(InputError, match="no body model at"):
        read_smpl_file(tmp_path / "absent.pkl")
    for name in ("text.pkl", "text.npz"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(InputError, match="not a readable"):
            read_smpl_file(tmp_path / name)
    (tmp_path / "model.txt").write_text("hello")
    with pytest.raises(InputError, match=r"expected \.pkl or \.npz"):
        read_smpl_file(tmp_path / "model.txt")
