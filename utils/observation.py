"""What is known about people before a network has looked at them: the proxy representation."""

from typing import NamedTuple

import torch
from torch import Tensor

from utils.proxy import make_proxy


class Observation(NamedTuple):
    """What a detector found, or what the synthesiser rendered, of B people in their square crops.

    How a network wants it is the network's own business: `proxy` is what the published one sees.
    """

    silhouettes: Tensor  # (B, S, S) bool
    joints2d_px: Tensor  # (B, 17, 2) float32 COCO joints, pixels of the crop
    confidence: Tensor  # (B, 17) float32 in [0, 1]; 0: not seen, and its place may be anything

    @property
    def visibility(self) -> Tensor:
        """(B, 17) bool, which joints were seen, or guessed with some confidence."""
        return self.confidence > 0

    @property
    def image_size(self) -> int:
        """Side S of the crops, pixels."""
        return self.silhouettes.shape[-1]

    def proxy(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """(B, 18, S, S) silhouette and heatmaps, channels last; see `utils.proxy.make_proxy`."""
        return make_proxy(self.silhouettes, self.joints2d_px, self.visibility, dtype)

    def to(self, device: torch.device) -> "Observation":
        """The same on a device."""
        return Observation(*(values.to(device) for values in self))

    def rows(self, index: slice | Tensor) -> "Observation":
        """Some of the people."""
        return Observation(*(values[index] for values in self))
