"""The proxy representation: what the network sees, in training and in predicting alike."""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels import proxy_numba
from kernels.buffers import BufferPool
from kernels.threads import in_threads
from kernels.triton_support import triton_problem
from utils.cameras import inside_image
from utils.conventions import ProxyRule
from utils.joints import COCO17, COCO17_SWAP
from utils.tensors import pick

REFERENCE_SIZE = 256  # pixel-valued settings are given for crops of this side and scale with it
HEATMAP_STD = 4.0  # px at REFERENCE_SIZE
HEATMAP_RADIUS = 8.0  # px at REFERENCE_SIZE
PROXY_CHANNELS = 1 + len(COCO17)

FAR_EXPONENT = -20.0  # of a Gaussian; its value, 2e-9, is well below that at the cut, e^-2

_PROXIES = BufferPool()


def make_proxy(
    silhouettes: Tensor,
    joints2d_px: Tensor,
    visibility: Tensor,
    dtype: torch.dtype = torch.float32,
    rule: ProxyRule = "own",
) -> Tensor:
    """The published network's input: the silhouette, then a heatmap for each of the 17 COCO joints.

    A heatmap is a Gaussian: std 4 px, cut at 8 px, peak 1 (for a side of 256, else in proportion).
    The own rule samples it at pixel centres and cuts a disc out. The published rule is that of the
    released code, and of weights that were trained with it: see `_published_profiles`.

    Args:
        silhouettes: (B, S, S) bool masks of the square crop.
        joints2d_px: (B, 17, 2) float32 pixels of the crop, COCO order.
        visibility: (B, 17) bool; an invisible joint gives an empty channel. By the own rule, so
            does a joint outside the crop; by the published one it may lie a little outside.
        dtype: of the result, float32 or what the network computes in.
        rule: which pixels of a heatmap have which values.

    Returns:
        (B, 18, S, S) in torch.channels_last memory format.
    """
    size = silhouettes.shape[-1]
    if rule == "published":
        profiles, floor = _published_profiles(joints2d_px, visibility, size), 0.0
    else:
        profiles = _gaussian_profiles(joints2d_px, visibility, size)
        # The value at the cut radius: cutting by value is cutting by distance.
        floor = math.exp(-(HEATMAP_RADIUS**2) / (2 * HEATMAP_STD**2))
    if silhouettes.device.type == "cpu" and dtype in (torch.float32, torch.bfloat16):
        return _write_on_cpu(silhouettes, profiles, floor, dtype)
    if silhouettes.device.type == "cuda" and triton_problem("cuda") is None:
        from kernels.proxy_triton import write_proxy  # not everywhere installed

        return write_proxy(silhouettes, profiles, floor, dtype)
    return _write_anywhere(silhouettes, profiles, floor, dtype)


def _gaussian_profiles(joints2d_px: Tensor, visibility: Tensor, size: int) -> Tensor:
    """(B, J, 2, S) each joint's Gaussian along x and along y, which multiply to its heatmap."""
    std = HEATMAP_STD * size / REFERENCE_SIZE
    centres = torch.arange(size, dtype=joints2d_px.dtype, device=joints2d_px.device) + 0.5
    present = visibility & inside_image(joints2d_px, size, size)
    # An absent joint goes far away, where everything is cut off; this also removes NaNs.
    places = torch.where(present[..., None], joints2d_px, -100.0 * size)
    distances = centres - places[..., None]
    exponents = distances.square_().mul_(-1 / (2 * std**2))
    # Nothing below the cut matters, and exponentials that underflow take ten times as long.
    return exponents.clamp_(min=FAR_EXPONENT).exp_()


def _published_profiles(joints2d_px: Tensor, visibility: Tensor, size: int) -> Tensor:
    """(B, J, 2, S) profiles as the released code draws them, which multiply to its heatmaps.

    For a side of 256 px (others in proportion): the joint is cut to whole pixels; the window from 8
    px before to 7 px behind it holds a Gaussian of std 4 px at 16 equally spaced offsets from -8 to
    8, so that its peak of 0.98 lies between two pixels; the image's last row and column are never
    written; a joint counts when both of its coordinates lie above -8 and below 263.
    """
    radius = round(HEATMAP_RADIUS * size / REFERENCE_SIZE)
    std = HEATMAP_STD * size / REFERENCE_SIZE
    whole = joints2d_px.trunc()
    drawn = visibility & ((whole > -radius) & (whole < size + radius - 1)).all(dim=-1)
    pixels = torch.arange(size, dtype=joints2d_px.dtype, device=joints2d_px.device)
    places = pixels - (whole[..., None] - radius)  # in the window: 0 to 2 radius - 1
    inside = (places >= 0) & (places < 2 * radius) & (pixels < size - 1) & drawn[..., None, None]
    offsets = places * (2 * radius / (2 * radius - 1)) - radius
    return torch.where(inside, (offsets.square() * (-1 / (2 * std**2))).exp(), 0.0)


def _write_anywhere(
    silhouettes: Tensor, profiles: Tensor, floor: float, dtype: torch.dtype
) -> Tensor:
    """The proxy by plain torch operations: every pixel of every channel is computed."""
    along_x, along_y = profiles.permute(2, 0, 3, 1)  # (B, S, J) each
    heatmaps = F.threshold_(along_y[:, :, None] * along_x[:, None], floor, 0.0)  # (B, S, S, J)
    silhouettes = silhouettes[..., None].to(heatmaps.dtype)
    return torch.cat([silhouettes, heatmaps], dim=-1).to(dtype).permute(0, 3, 1, 2)


def _write_on_cpu(
    silhouettes: Tensor, profiles: Tensor, floor: float, dtype: torch.dtype
) -> Tensor:
    """The same proxy by a compiled kernel that touches little but the pixels that are not zero."""
    halved = dtype == torch.bfloat16
    shape = (*silhouettes.shape, 1 + profiles.shape[1])
    proxy = _PROXIES.empty(shape, np.uint16 if halved else np.float32)
    write = proxy_numba.write_bfloat16 if halved else proxy_numba.write_float32
    masks, curves = silhouettes.contiguous().numpy(), profiles.contiguous().numpy()
    in_threads(
        lambda piece: write(proxy[piece], masks[piece], curves[piece], np.float32(floor)),
        len(proxy),
    )
    result = torch.from_numpy(proxy)
    return (result.view(torch.bfloat16) if halved else result).permute(0, 3, 1, 2)


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

    def proxy(self, dtype: torch.dtype = torch.float32, rule: ProxyRule = "own") -> Tensor:
        """(B, 18, S, S) silhouette and heatmaps, channels last; see `make_proxy`.

        Outside the crop a joint is not seen, but the published rule draws what reaches into it.
        """
        drawn = self.visibility
        if rule == "published":
            drawn = drawn | ~inside_image(self.joints2d_px, self.image_size, self.image_size)
        return make_proxy(self.silhouettes, self.joints2d_px, drawn, dtype, rule)

    def to(self, device: torch.device) -> "Observation":
        """The same on a device."""
        return Observation(*(values.to(device) for values in self))

    def mirrored(self) -> "Observation":
        """Their mirror images, in which left is right."""
        return Observation(
            self.silhouettes.flip(2),
            mirror_joints2d(self.joints2d_px, self.image_size),
            pick(self.confidence, COCO17_SWAP),
        )

    def rows(self, index: slice | Tensor) -> "Observation":
        """Some of the people."""
        return Observation(*(values[index] for values in self))


def mirror_joints2d(joints2d: Tensor, side: float) -> Tensor:
    """COCO joints (B, 17, 2) of the mirror image of a picture of that side."""
    x, y = pick(joints2d, COCO17_SWAP).unbind(-1)
    return torch.stack([side - x, y], dim=-1)
