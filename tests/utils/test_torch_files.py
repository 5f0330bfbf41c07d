"""What torch wrote is read as torch reads it, and hostile files end in one line."""

import io
import zipfile

import numpy as np
import pytest
import torch

from utils.errors import InputError
from utils.torch_files import read_torch

BOTH_FORMATS = pytest.mark.parametrize("is_zip", [True, False])


def _content():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.rand(1, 3, 8, 8)).sum().backward()
    optimiser.step()
    shared = torch.arange(12.0).reshape(3, 4)
    return {
        "network": network.state_dict(), "optimiser": optimiser.state_dict(),
        "metrics": {"a": np.float64(3.5), "b": np.float32(1)}, "views": [shared.t(), shared[1:]],
        "random": torch.get_rng_state(), "flags": torch.tensor([True, False]),
        "empty": torch.empty(0, 3), "half": torch.ones(3).half(), "brain": torch.ones(2).bfloat16(),
        "parameter": torch.nn.Parameter(torch.ones(2)), "one": torch.tensor(3), "word": "a",
        "array": np.arange(6).reshape(2, 3).T, "shape": shared.shape, "none": None, "huge": 2**70,
    }  # fmt: skip


def _assert_same(found, expected):
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            _assert_same(found[name], expected[name])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            _assert_same(*pair)
    elif isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert found.stride() == expected.stride()
        assert torch.equal(found, expected)
    else:
        np.testing.assert_equal(found, expected)


@BOTH_FORMATS
def test_everything_is_read_as_torch_reads_it(tmp_path, is_zip):
    path = tmp_path / "a.tar"
    torch.save(_content(), path, _use_new_zipfile_serialization=is_zip)
    found = read_torch(path, "checkpoint", "get it again")
    _assert_same(found, torch.load(path, weights_only=False))
    assert found["views"][0].untyped_storage().data_ptr() == (
        found["views"][1].untyped_storage().data_ptr()
    )


def _saved(content, is_zip):
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    return file.getvalue()


def _replace_pickled(content, old, new):
    """A zip file of torch's with other bytes in its pickle, all sums right."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(changed, "w") as target:
        for member in source.infolist():
            data = source.read(member)
            if member.filename.endswith("data.pkl"):
                assert data.count(old) == 1
                data = data.replace(old, new)
            target.writestr(member.filename, data)
    return changed.getvalue()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"cpuq\x06K\x07t", b"cpuq\x06J\xff\xff\xff\x7ft", "another size than it should"),
        (b"K\x00K\x07\x85", b"K\x05K\x07\x85", "a tensor is larger than its numbers"),
        (b"K\x00K\x07\x85", b"K\x00J\xff\xff\xff\x7f\x85", "a tensor is larger than its numbers"),
        (b"K\x01\x85q\x09\x89", b"K\x09\x85q\x09\x89", "a tensor is larger than its numbers"),
        (b"K\x01\x85q\x09\x89", b"J\xff\xff\xff\xff\x85q\x09\x89", "shape of a tensor is damaged"),
        (b"FloatStorage", b"NoneStorage\x20", "refused"),
    ],
)
def test_tensors_that_reach_beyond_their_numbers(tmp_path, old, new, told):
    """Torch's own reader reads on in memory that is not the file's."""
    content = _saved({"a": torch.arange(7.0)}, is_zip=True)
    (tmp_path / "evil.tar").write_bytes(_replace_pickled(content, old, new))
    with pytest.raises(InputError, match=told):
        read_torch(tmp_path / "evil.tar", "checkpoint", "get it again")


@BOTH_FORMATS
def test_files_that_are_cut(tmp_path, is_zip):
    content = _saved({"a": torch.arange(700.0)}, is_zip)
    for end in range(0, len(content) - 1, 97):
        (tmp_path / "cut.tar").write_bytes(content[:end])
        with pytest.raises(InputError, match="is not a readable checkpoint") as refused:
            read_torch(tmp_path / "cut.tar", "checkpoint", "get it again")
        assert "weights_only" not in str(refused.value)
