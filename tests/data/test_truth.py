"""True parameters beside a photo: the file that they are kept in."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data.truth import read_truth, truth_path, write_truth
from tests.evaluation_sets import write_truth_file
from utils.errors import InputError


def test_what_is_written_is_read(tmp_path):
    truth = read_truth(write_truth_file(tmp_path))
    path = tmp_path / "b_truth.npz"
    write_truth(path, truth, height_m=1.75, weight_kg=70.5)
    again = read_truth(path)
    assert again[:3] == truth[:3] == ("open", "neutral", "0123")
    assert all(map(torch.equal, again[3:7], truth[3:7]))
    assert again.offsets is truth.offsets is None
    with np.load(path) as arrays:
        assert {name: array.dtype.kind for name, array in arrays.items()} == {
            **dict.fromkeys(("body", "gender", "body_hash"), "U"),
            **dict.fromkeys(("betas", "pose", "cam_t", "cam_k", "height_m", "weight_kg"), "f"),
        }
        assert (arrays["height_m"], arrays["weight_kg"]) == (1.75, 70.5)


def test_people_whom_betas_cannot_tell_have_offsets(tmp_path):
    offsets = torch.rand(7, 3)
    truth = read_truth(write_truth_file(tmp_path))._replace(offsets=offsets)
    path = tmp_path / "b_truth.npz"
    write_truth(path, truth, height_m=1.75, weight_kg=70.5)
    assert torch.equal(read_truth(path).offsets, offsets)
    write_truth(path, truth._replace(offsets=torch.rand(7)), height_m=1.75, weight_kg=70.5)
    with pytest.raises(InputError, match=r"offsets has shape \(7,\), expected \(7, 3\)"):
        read_truth(path)


def test_files_that_are_no_truth(tmp_path):
    path = tmp_path / "a_truth.npz"
    np.savez(path, betas=np.zeros(10))
    with pytest.raises(InputError, match=r"has no .*pose"):
        read_truth(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="not a readable npz"):
        read_truth(path)


def test_truth_lies_beside_the_photo():
    assert truth_path(Path("demo/a.b.jpg")) == Path("demo/a.b_truth.npz")
