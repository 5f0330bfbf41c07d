"""Files of observed people as `tools/observe_people.py` writes them, made up."""

import math
from pathlib import Path

import numpy as np

from models.body_model import BodyModel


def made_up_rows(count: int, size: int, body_model: BodyModel) -> dict[str, np.ndarray]:
    """Arrays of `count` people in crops of `size` px; upright, and different from one another."""
    generator = np.random.default_rng(3)
    poses = generator.normal(0, 0.2, (count, 72)).astype(np.float32)
    poses[:, :3] = (math.pi, 0, 0)
    masks = generator.random((count, size * size)) < 0.3
    return {
        "betas": generator.normal(size=(count, 10)).astype(np.float32),
        "poses": poses,
        "silhouettes": np.packbits(masks, axis=1),
        "joints2d": generator.uniform(0.1, 0.9, (count, 17, 2)).astype(np.float16),
        "confidence": generator.random((count, 17)).astype(np.float16),
        "true_joints2d": generator.uniform(-0.1, 1.1, (count, 17, 2)).astype(np.float16),
        "image_size": np.int64(size),
        "body_hash": np.array(body_model.identity["hash"]),
    }


def write_observed_people(path: Path, count: int, size: int, body_model: BodyModel) -> Path:
    """Writes such a file."""
    np.savez(path, **made_up_rows(count, size, body_model))
    return path
