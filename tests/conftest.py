"""Shared fixtures: the open body, and made-up licensed files."""

import pytest

from models.body_model import BodyModel
from tests.licensed import write_licensed_set


@pytest.fixture(scope="session")
def body_model():
    return BodyModel.load("open", "neutral").eval()


@pytest.fixture(scope="session")
def licensed_set(tmp_path_factory):
    """A folder like a user's `additional/`: see `tests.licensed`. Not to be changed."""
    folder = tmp_path_factory.mktemp("licensed") / "additional"
    write_licensed_set(folder)
    return folder
