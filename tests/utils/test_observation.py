"""Observations: what a network takes of them, and parts of them."""

import torch

from tests.observations import random_observation
from utils.proxy import (
    PROXY_CHANNELS,
    Observation,
    make_proxy,
)


def test_a_joint_is_seen_where_there_is_any_confidence():
    confidence = torch.zeros(1, 17)
    confidence[0, 3], confidence[0, 5] = 1e-6, 1.0
    observation = random_observation(1)._replace(confidence=confidence)
    assert observation.visibility.nonzero().tolist() == [[0, 3], [0, 5]]
    assert observation.image_size == 64
    channels = observation.proxy()[0, 1:].flatten(1).any(dim=1)
    assert channels.nonzero().flatten().tolist() == [3, 5]


def test_the_proxy_is_that_of_its_parts():
    observation = random_observation(3)
    for dtype in (torch.float32, torch.bfloat16):
        expected = make_proxy(
            observation.silhouettes, observation.joints2d_px, observation.confidence > 0, dtype
        )
        found = observation.proxy(dtype)
        assert found.shape == (3, PROXY_CHANNELS, 64, 64)
        assert found.dtype == dtype
        assert torch.equal(found, expected)
    assert observation.proxy().dtype == torch.float32


def test_rows_by_slice_and_by_number():
    observation = random_observation(5)
    for index in (slice(1, None, 2), torch.tensor([4, 0])):
        rows = observation.rows(index)
        assert isinstance(rows, Observation)
        for found, whole in zip(rows, observation, strict=True):
            assert torch.equal(found, whole[index])
        assert torch.equal(rows.proxy(), observation.proxy()[index])


def test_moving_to_a_device():
    moved = random_observation(2).to(torch.device("meta"))
    assert isinstance(moved, Observation)
    assert {values.device.type for values in moved} == {"meta"}
    assert [values.dtype for values in moved] == [torch.bool, torch.float32, torch.float32]
