"""Shared fixtures: the open body, loaded once."""

import pytest

from models.body_model import BodyModel


@pytest.fixture(scope="session")
def body_model():
    return BodyModel.load("open", "neutral").eval()
