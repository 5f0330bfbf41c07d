"""People whom betas cannot tell: the file, and bodies made of it."""

import numpy as np
import pytest
import torch

from data.strangers import read_strangers
from metrics.anatomy import Anatomy
from metrics.measurements import measure
from utils.errors import InputError
from utils.files import write_npz
from utils.paths import STRANGERS
from utils.readers import read_npz


@pytest.fixture(scope="module")
def strangers():
    return read_strangers()


def test_the_shipped_strangers_are_of_the_shipped_body(strangers, body_model):
    assert strangers.body_hash == body_model.identity["hash"]
    assert len(strangers) == 200
    assert strangers.offsets.shape == (200, body_model.identity["vertices"], 3)
    assert (strangers.genders == "male").sum() == (strangers.genders == "female").sum() == 100


def test_they_are_adults_whom_ten_betas_miss_by_millimetres(strangers, body_model):
    chosen = range(0, 200, 10)
    betas = torch.from_numpy(strangers.betas[chosen])
    offsets = torch.from_numpy(strangers.offsets[chosen])
    still = torch.eye(3).expand(len(chosen), 24, 3, 3)
    told, own = (body_model(betas, still, each).vertices_tpose for each in (None, offsets))
    assert torch.equal(own, told + offsets)
    assert 3e-3 < offsets.norm(dim=2).mean() < 9e-3  # metres
    found = [measure(each, Anatomy.of(body_model)) for each in own.numpy()]
    bmis = np.array([each.weight_kg / each.height_m**2 for each in found])
    assert bmis.min() < 20
    assert bmis.max() > 38
    heights = np.array([each.height_m for each in found])
    assert heights.min() > 1.44
    assert heights.max() < 2.06


def test_the_nearest_betas_are_the_nearest(strangers, body_model):
    """Least squares: what is left over has nothing in the directions of the betas."""
    shapedirs = body_model.skinning.shapedirs[:10]
    directions = shapedirs.unflatten(1, (3, -1)).double()  # (10, 3, V)
    directions -= directions.mean(dim=2, keepdim=True)
    left = torch.from_numpy(strangers.offsets).double().mT
    left -= left.mean(dim=2, keepdim=True)
    products = left.flatten(1) @ directions.flatten(1).T
    lengths = left.flatten(1).norm(dim=1)[:, None] * directions.flatten(1).norm(dim=1)
    assert (products / lengths).abs().max() < 2e-3


def test_files_that_do_not_fit_are_named(tmp_path):
    arrays = read_npz(STRANGERS, ("betas", "offsets", "step", "midline", "genders", "body_hash"))
    path = tmp_path / "people.npz"
    write_npz(path, {**arrays, "midline": arrays["midline"][:-1]})
    with pytest.raises(InputError, match=r"people\.npz holds betas \(200, 10\), offsets .* fit"):
        read_strangers(path)
    write_npz(path, {name: value for name, value in arrays.items() if name != "betas"})
    with pytest.raises(InputError, match="has no betas"):
        read_strangers(path)
