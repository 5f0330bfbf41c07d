"""People in several poses each, and what a network says of their shape: no photos are needed."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.body_model import read_mean_parameters
from models.checkpoints import Predictor
from synthesis.detector_errors import read_detector_errors
from synthesis.options import AugmentationOptions, CameraOptions
from synthesis.synthesiser import Synthesiser
from synthesis.variation import Variation, draw_variation
from utils.paths import DETECTOR_ERRORS
from utils.proxy import Observation

# What people are seen through: their exact silhouettes and joints, or those with errors as
# MediaPipe makes them, from a camera as near as in photos.
SOURCES = {
    "perfect": None,
    "detector": AugmentationOptions(detector="mediapipe", detector_share=1.0, near=1.0),
}
BATCH_SIZE = 50  # people synthesised together, so that numbers do not depend on options


@torch.inference_mode()
def estimate_shapes(
    predictor: Predictor,
    betas: Tensor,
    poses: Tensor,
    photos: int,
    source: str,
    seed: int,
    offsets: Tensor | None = None,
) -> Tensor:
    """Estimates the shape of people in several poses each.

    Args:
        predictor: of the open body.
        betas: (P, N) the true ones.
        poses: (N, 72) axis-angle, camera frame, rad: to draw from.
        photos: K, of each person.
        source: a key of `SOURCES`.
        seed: of the choice of poses and of everything else that varies.
        offsets: (P, V, 3) metres, what their T-posed bodies are beyond what betas tell.

    Returns:
        (P, K, N) betas, on the CPU, as many as the network estimates.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(poses), (len(betas) * photos,), generator=generator)
    people = torch.arange(len(betas)).repeat_interleave(photos)
    observations = _synthesise(predictor, people, betas, poses[chosen], source, generator, offsets)
    device = next(predictor.regressor.parameters()).device
    found = [predictor.regressor(each.to(device)).betas.cpu() for each in observations]
    return torch.cat(found).unflatten(0, (-1, photos))


def _synthesise(
    predictor: Predictor,
    people: Tensor,
    betas: Tensor,
    poses: Tensor,
    source: str,
    generator: torch.Generator,
    offsets: Tensor | None,
) -> Iterator[Observation]:
    """Pictures of people (N,), numbers of rows of betas and offsets, in poses (N, 72)."""
    augmentation, body = SOURCES[source], predictor.body_model.cpu()
    errors = None if augmentation is None else read_detector_errors(DETECTOR_ERRORS)
    mean_betas = read_mean_parameters(body.identity["name"]).betas
    size, camera = predictor.image_size, CameraOptions()
    synthesiser = Synthesiser(body, mean_betas, size, camera, detector_errors=errors)
    starts = range(0, len(people), BATCH_SIZE)
    for start in tqdm(starts, desc=source, disable=None):
        piece = slice(start, start + BATCH_SIZE)
        shown, variation = people[piece], Variation()
        if augmentation is not None:
            vertices = body.identity["vertices"]
            variation = draw_variation(augmentation, len(shown), vertices, generator)
        own = None if offsets is None else offsets[shown]
        yield synthesiser(poses[piece], betas[shown], variation, own).observation


def as_arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """The same as float64 arrays."""
    return tuple(tensor.double().numpy() for tensor in tensors)
