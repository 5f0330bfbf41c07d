"""The proxy representation written by one Triton kernel, for CUDA devices: each value once."""

import torch
import triton
import triton.language as tl
from torch import Tensor

_OPTIONS = {"PIXELS": 64, "num_warps": 4}


def write_proxy(silhouettes: Tensor, profiles: Tensor, floor: float, dtype: torch.dtype) -> Tensor:
    """Silhouettes and heatmaps in one tensor; see `utils.proxy.make_proxy`.

    Args:
        silhouettes: (B, S, S) bool.
        profiles: (B, J, 2, S) float32, each joint's Gaussian along x and along y.
        floor: products up to it are cut off.
        dtype: of the result.

    Returns:
        (B, 1 + J, S, S) in torch.channels_last memory format.
    """
    silhouettes, profiles = silhouettes.contiguous(), profiles.contiguous()
    batch, size = silhouettes.shape[:2]
    channels = 1 + profiles.shape[1]
    proxy = profiles.new_empty((batch, size, size, channels), dtype=dtype)
    if batch:
        blocks = triton.cdiv(size * size, _OPTIONS["PIXELS"])
        with torch.cuda.device_of(proxy):
            _write[(batch * blocks,)](
                *(silhouettes.view(torch.uint8), profiles, proxy, floor, size),
                CHANNELS=channels,
                PADDED_CHANNELS=triton.next_power_of_2(channels),
                **_OPTIONS,
            )
    return proxy.permute(0, 3, 1, 2)


@triton.jit
def _write(
    silhouettes,
    profiles,
    proxy,
    floor,
    size,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
    PADDED_CHANNELS: tl.constexpr,
):
    """Write a run of one sample's pixels, all channels of each."""
    blocks = tl.cdiv(size * size, PIXELS)
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    pixel = (tl.program_id(0) % blocks) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.arange(0, PADDED_CHANNELS)
    on_image = pixel < size * size
    exists = on_image[:, None] & (channel < CHANNELS)[None, :]
    is_heatmap = exists & (channel > 0)[None, :]

    # Along x, then along y, for each joint: channel 1 is joint 0.
    curves = profiles + sample * (CHANNELS - 1) * 2 * size + (channel[None, :] - 1) * 2 * size
    along_x = tl.load(curves + (pixel % size)[:, None], mask=is_heatmap, other=0.0)
    along_y = tl.load(curves + size + (pixel // size)[:, None], mask=is_heatmap, other=0.0)
    heat = along_y * along_x
    heat = tl.where(heat > floor, heat, 0.0)
    silhouette = tl.load(silhouettes + sample * size * size + pixel, mask=on_image, other=0)
    value = tl.where((channel == 0)[None, :], silhouette[:, None].to(tl.float32), heat)
    to = proxy + (sample * size * size + pixel[:, None]) * CHANNELS + channel[None, :]
    tl.store(to, value, mask=exists)
