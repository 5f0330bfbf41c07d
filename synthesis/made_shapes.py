"""Shapes of made people, in the place of some of those that are drawn beta by beta."""

import torch
from torch import Generator, Tensor, nn

from utils.tensors import happens, match_betas


class MadeShapes(nn.Module):
    """Shapes to draw from, on one device.

    Args:
        betas: (N, B), 10 or more.
        share: of the people, that get one of them.
    """

    def __init__(self, betas: Tensor, share: float) -> None:
        super().__init__()
        self.share = share
        self.register_buffer("betas", betas, persistent=False)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.betas)

    def mix(self, drawn: Tensor, generator: Generator) -> Tensor:
        """Puts some of these shapes in the place of others.

        Args:
            drawn: (P, C) betas of people.
            generator: random numbers, on this module's device.

        Returns:
            (P, max(B, C)); betas that a shape does not have are 0.
        """
        count = max(self.betas.shape[1], drawn.shape[1])
        rows = torch.randint(len(self), (len(drawn),), generator=generator, device=generator.device)
        these = happens((len(drawn), 1), self.share, generator)
        return torch.where(these, match_betas(self.betas[rows], count), match_betas(drawn, count))
