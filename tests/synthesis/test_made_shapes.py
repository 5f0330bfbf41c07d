"""Some people get the shapes of made ones."""

import pytest
import torch

from synthesis.made_shapes import MadeShapes


def test_a_share_of_the_people_get_made_shapes():
    made = torch.arange(5.0)[:, None] + torch.linspace(10, 11, 12)
    drawn = torch.rand(4000, 10)
    mixed = MadeShapes(made, 0.3).mix(drawn, torch.Generator().manual_seed(0))
    assert mixed.shape == (4000, 12)
    is_made = mixed[:, 0] >= 10
    assert is_made.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(mixed[~is_made], torch.nn.functional.pad(drawn[~is_made], (0, 2)))
    rows, times = mixed[is_made].unique(dim=0, return_counts=True)
    assert torch.equal(rows, made)
    assert times.min() > 180  # of 240
    narrow = MadeShapes(made[:, :10], 0.5).mix(torch.rand(4, 12), torch.Generator())
    assert narrow.shape == (4, 12)


def test_the_seed_decides_who_gets_which():
    made, drawn = torch.rand(50, 10) + 1, torch.rand(20, 10)
    first, same, other = (
        MadeShapes(made, 0.5).mix(drawn, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
