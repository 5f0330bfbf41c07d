"""Made-up observations for tests of the networks."""

import torch

from models.decoder import BodyParameters
from utils.joints import COCO17
from utils.proxy import Observation
from utils.rotations import axis_angle_to_rotmat


def random_observation(count: int, size: int = 64, seed: int = 0) -> Observation:
    """People of whom an ellipse was seen, and joints about it, some of them not."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    centres = (0.4 + 0.2 * draw(count, 1, 1, 2)) * size
    radii = (0.1 + 0.3 * draw(count, 1, 1, 2)) * size
    pixels = torch.arange(size) + 0.5
    places = torch.stack(torch.meshgrid(pixels, pixels, indexing="xy"), dim=-1)  # (S, S, 2)
    silhouettes = ((places - centres) / radii).square().sum(dim=-1) < 1
    joints2d_px = centres[:, 0] + (2 * draw(count, len(COCO17), 2) - 1) * radii[:, 0]
    confidence = draw(count, len(COCO17))
    return Observation(silhouettes, joints2d_px, torch.where(confidence < 0.2, 0.0, confidence))


def made_up_estimates(count: int) -> BodyParameters:
    """What a network might say of one or two upright people, each of another pose and shape."""
    generator = torch.Generator().manual_seed(0)
    pose = 0.2 * torch.randn(count, 24, 3, generator=generator)
    pose[:, 0] = torch.tensor([torch.pi, 0.0, 0.0])
    cam_wp = torch.tensor([[0.9, 0.05, 0.2], [0.7, -0.1, 0.3]])[:count]
    return BodyParameters(
        cam_wp, axis_angle_to_rotmat(pose), torch.randn(count, 10, generator=generator)
    )
