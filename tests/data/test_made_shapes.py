"""Shapes of made people, as they are read and as they ship."""

import numpy as np
import pytest
import torch

from data.made_shapes import read_made_people
from models.body_model import BodyModel
from utils.errors import InputError
from utils.paths import OPEN_SHAPES


def _write(path, betas, body_hash="abc", genders=None):
    genders = np.zeros(len(betas)) if genders is None else genders
    np.savez(path, betas=betas, genders=genders, body_hash=np.array(body_hash))
    return path


def test_the_shipped_shapes_are_adults_of_every_build():
    body = BodyModel.load("open", "neutral")
    people = read_made_people([OPEN_SHAPES], body.identity["hash"])
    betas = torch.from_numpy(people.betas)
    assert betas.shape[1] == body.num_betas
    assert len(betas) > 10_000
    assert len(betas.unique(dim=0)) == len(betas)
    vertices = body.tpose(betas[::200])
    height = vertices[..., 1].amax(dim=1) - vertices[..., 1].amin(dim=1)
    assert 1.3 < height.min() < 1.55
    assert 1.9 < height.max() < 2.2
    wide, correlations = betas.std(dim=0), torch.corrcoef(betas.T).fill_diagonal_(0)
    assert wide.min() > 1.3
    assert correlations.abs().max() > 0.2  # which betas drawn one by one do not have
    woman = people.genders[::200] > 0.5
    assert height[~woman].mean() - height[woman].mean() > 0.08


def test_files_are_joined_whatever_their_betas(tmp_path):
    paths = [
        _write(tmp_path / "ten.npz", np.ones((2, 10), np.float16)),
        _write(tmp_path / "twelve.npz", np.full((3, 12), 2.0), genders=np.array([0.5, 0.5, 1])),
    ]
    people = read_made_people(paths, "abc")
    assert people.betas.dtype == np.float32
    assert people.betas[:, 10:].tolist() == [[0, 0]] * 2 + [[2, 2]] * 3
    assert people.genders.tolist() == [0, 0, 0.5, 0.5, 1]


@pytest.mark.parametrize(
    ("betas", "body_hash", "complaint"),
    [
        (np.ones((2, 10)), "other", "of the body other, but abc is needed"),
        (np.ones((2, 9)), "abc", r"betas has shape \(2, 9\); expected \(2, 10\)"),
        (np.ones(10), "abc", r"betas has shape \(10,\); expected \(10, 10\)"),
        (np.full((2, 10), np.nan), "abc", "not finite"),
        (np.ones((0, 10)), "abc", "holds nobody"),
    ],
)
def test_unfit_files_are_refused(tmp_path, betas, body_hash, complaint):
    path = _write(tmp_path / "shapes.npz", betas, body_hash)
    with pytest.raises(InputError, match=complaint):
        read_made_people([path], "abc")
