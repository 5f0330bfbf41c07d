"""Shared fixtures: the open body, and made-up licensed files."""

import pytest
import torch

from models.body_model import BodyModel
from tests.licensed import write_licensed_set


@pytest.fixture(autouse=True)
def _same_random_numbers():
    """A test draws the same numbers in every run, whichever ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def small_pictures(monkeypatch):
    """Rendered people of 96 x 120 px in coarse light: a fraction of a second each."""
    # Loaded for the tests that render alone.
    from demo import build_demo, lighting, open_benchmark, random_people

    for module in (build_demo, random_people, open_benchmark):
        monkeypatch.setattr(module, "WIDTH", 96)
        monkeypatch.setattr(module, "HEIGHT", 120)
    monkeypatch.setattr(lighting, "SKY_DIRECTIONS", 6)
    monkeypatch.setattr(lighting, "MAIN_DIRECTIONS", 2)
    monkeypatch.setattr(lighting, "MAP_SIZE", 128)


@pytest.fixture(scope="session")
def body_model():
    return BodyModel.load("open", "neutral").eval()


@pytest.fixture(scope="session")
def licensed_set(tmp_path_factory):
    """A folder like a user's `additional/`: see `tests.licensed`. Not to be changed."""
    folder = tmp_path_factory.mktemp("licensed") / "additional"
    write_licensed_set(folder)
    return folder
