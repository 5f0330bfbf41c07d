"""Smooth random patterns for cloth, walls and ground."""

import numpy as np


def value_noise(
    points: np.ndarray, seed: int, octaves: int = 4, footprint: np.ndarray | float = 0.0
) -> np.ndarray:
    """Random values interpolated between the points of a lattice, several octaves summed.

    Args:
        points: (N, D) positions in units of the coarsest lattice; D is 2 or 3.
        seed: another seed, another pattern.
        octaves: each twice as fine and half as strong as the one before.
        footprint: (N,) or a number, width of a pixel in the same units; octaves finer than it
            fade out instead of flickering.

    Returns:
        (N,) mean 0, about within -1 and 1.
    """
    total = np.zeros(len(points))
    for octave in range(octaves):
        frequency = 2.0**octave
        fade = np.clip(1.5 - 2 * frequency * np.asarray(footprint), 0, 1)
        total += fade / frequency * _lattice_noise(points * frequency, seed + 101 * octave)
    return total / 1.2


def _lattice_noise(points: np.ndarray, seed: int) -> np.ndarray:
    low = np.floor(points).astype(np.int64)
    along = points - low
    along = along * along * (3 - 2 * along)
    value = np.zeros(len(points))
    dimensions = points.shape[1]
    for corner in np.ndindex(*(2,) * dimensions):
        weight = np.prod(np.where(corner, along, 1 - along), axis=1)
        value += weight * _hashed(low + corner, seed)
    return value


def _hashed(lattice: np.ndarray, seed: int) -> np.ndarray:
    """(N, D) ints to (N,) numbers in [-1, 1] that look random."""
    mixed = np.full(len(lattice), (seed * 0x9E3779B1) & 0xFFFFFFFF, dtype=np.uint64)
    for column in lattice.T:
        mixed ^= column.astype(np.uint64) & np.uint64(0xFFFFFFFF)
        mixed = (mixed * np.uint64(0x85EBCA6B)) & np.uint64(0xFFFFFFFF)
        mixed ^= mixed >> np.uint64(13)
        mixed = (mixed * np.uint64(0xC2B2AE35)) & np.uint64(0xFFFFFFFF)
        mixed ^= mixed >> np.uint64(16)
    return mixed.astype(np.float64) / 0x7FFFFFFF - 1
