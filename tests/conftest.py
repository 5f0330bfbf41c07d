"""Shared fixtures: the open body, and made-up licensed files."""

import pytest
import torch

from models.body_model import BodyModel
from scenes.picture_options import PictureOptions
from tests.licensed import write_licensed_set


@pytest.fixture(autouse=True)
def _same_random_numbers():
    """A test draws the same numbers in every run, whichever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def small_pictures():
    """Options of rendered people of 96 x 120 px in coarse light: a fraction of a second each."""
    return PictureOptions(96, 120, sky_directions=6, main_directions=2, map_size=128)


@pytest.fixture(scope="session")
def body_model():
    return BodyModel.load("open", "neutral").eval()


@pytest.fixture(scope="session")
def licensed_set(tmp_path_factory):
    """A folder like a user's `additional/`: see `tests.licensed`. Not to be changed."""
    folder = tmp_path_factory.mktemp("licensed") / "additional"
    write_licensed_set(folder)
    return folder
