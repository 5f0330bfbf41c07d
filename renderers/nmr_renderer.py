"""Neural Mesh Renderer behind the interface of our rasteriser.

For those who have `neural_renderer` (Kato et al., "Neural 3D Mesh Renderer", CVPR 2018; its PyTorch
port 1.1.3, with which the published STRAPS was trained) and want its very pixels. Needs CUDA.
"""

import torch
from torch import Tensor, nn

from renderers.rasteriser import Fragments
from utils.errors import InputError

# A face's number + 1 is written as its colour: three digits, each an exact fraction of 1.
_BASE = 64
_TEXELS = 2  # side of a face's texture; with a single texel NMR reads beside the texture


class NmrRenderer(nn.Module):
    """Draws one mesh topology with neural_renderer; takes and gives what `Rasteriser` does.

    Args:
        faces: (F, 3) integers, vertex numbers; F below 262,143.
        face_parts: (F,) integers, label of every face, 1 to 255.
        image_size: pixels, side of the square picture.
        near: metres.
        far: metres.

    Raises:
        InputError: neural_renderer is not installed or cannot be loaded.
    """

    def __init__(
        self,
        faces: Tensor,
        face_parts: Tensor,
        image_size: int,
        near: float = 0.1,
        far: float = 100.0,
    ) -> None:
        super().__init__()
        self.image_size = (image_size, image_size)
        self._renderer = _import_neural_renderer().Renderer(
            camera_mode="projection",
            image_size=image_size,
            orig_size=image_size,
            anti_aliasing=False,
            fill_back=True,  # faces are drawn whichever way they face
            near=near,
            far=far,
            light_intensity_ambient=1,
            light_intensity_directional=0,  # colours stay what they are
            dist_coeffs=torch.zeros(1, 5),
            background_color=[0, 0, 0],
        )
        number = torch.arange(len(faces), device=faces.device) + 1
        digits = torch.stack([number // _BASE**2, number // _BASE % _BASE, number % _BASE], dim=1)
        colours = digits.float() / _BASE  # (F, 3)
        textures = colours[:, None, None, None].expand(-1, _TEXELS, _TEXELS, _TEXELS, -1)
        self.register_buffer("faces", faces.to(torch.int32), persistent=False)
        self.register_buffer("textures", textures.contiguous(), persistent=False)
        labels = torch.cat([face_parts.new_zeros(1), face_parts]).to(torch.uint8)
        self.register_buffer("labels", labels, persistent=False)  # (F + 1,) background first

    def forward(self, vertices_cam: Tensor, cam_k: Tensor) -> Fragments:
        """Draws a batch of people on a CUDA device; see `Rasteriser.forward`."""
        colours, depth = self._render(vertices_cam, cam_k)
        number = _decode_numbers(colours)
        depth = torch.where(number > 0, depth, torch.inf)
        return Fragments(self.labels[number], (number - 1).int(), depth)

    def part_segmentation(self, vertices_cam: Tensor, cam_k: Tensor) -> Tensor:
        """Only the (B, S, S) uint8 part segmentation of `forward`."""
        return self.labels[_decode_numbers(self._render(vertices_cam, cam_k)[0])]

    @torch.no_grad()
    def _render(self, vertices_cam: Tensor, cam_k: Tensor) -> tuple[Tensor, Tensor]:
        """Colours (B, 3, S, S) and depth (B, S, S)."""
        batch = len(vertices_cam)
        # The vertices are in the camera frame already.
        rotation = torch.eye(3, device=vertices_cam.device).expand(batch, -1, -1)
        translation = vertices_cam.new_zeros(batch, 1, 3)
        colours, depth, _ = self._renderer(
            vertices_cam,
            self.faces.expand(batch, -1, -1),
            self.textures.expand(batch, *(-1 for _ in self.textures.shape)),
            K=cam_k,
            R=rotation,
            t=translation,
            dist_coeffs=vertices_cam.new_zeros(batch, 5),
            orig_size=self.image_size[0],
        )
        return colours, depth


def _decode_numbers(colours: Tensor) -> Tensor:
    """(B, S, S) int64: 0 for background, else the number of the face that was drawn, plus 1."""
    high, middle, low = (colours * _BASE).round().long().unbind(dim=1)
    return (high * _BASE + middle) * _BASE + low


def _import_neural_renderer():
    # Imported only when asked for: hardly any machine has it.
    try:
        import neural_renderer
    except (ImportError, OSError, RuntimeError) as error:
        raise InputError(
            f"--data.renderer nmr cannot load neural_renderer ({error}); install it where torch "
            "and a CUDA compiler fit it (pip install neural_renderer_pytorch==1.1.3), or choose "
            "--data.renderer own, which draws by the same rules"
        ) from error
    return neural_renderer
