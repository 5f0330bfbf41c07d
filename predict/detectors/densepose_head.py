"""DensePose's network as far as silhouettes need it, on top of detectron2's R-CNN.

Güler et al., "DensePose: Dense Human Pose Estimation In The Wild", CVPR 2018. detectron2 does not
pack its DensePose project, so the part that predicts is written here, with the published parameter
names. Two published networks have these names:
    2020  (R101-FPN s1x)         merges the pyramid's levels first ("decoder", after Kirillov et
                                 al., "Panoptic Feature Pyramid Networks", CVPR 2019), looks at
                                 28 x 28 cells a person; coarse classes: person or not.
    2019  (R101-FPN s1x legacy)  takes the level that fits the person's size, looks at 14 x 14
                                 cells; coarse classes: 14 body parts and background.
Both end in 25 fine classes: 24 surface parts and background.
"""

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from detectron2.config import CfgNode

STACKED_CONVS = 8
CONV_CHANNELS = 512
FINE_CLASSES = 25
UPSAMPLING = 2  # of the predictions, after the deconvolution, which doubles them as well
DECODER_CHANNELS = 256
MERGED_STRIDE = 4  # of the decoder's result: pixels of the network's input a cell
ROI_SAMPLES = 2  # in each direction, per cell


class StackedConvHead(nn.Module):
    """Eight 3 x 3 convolutions with ReLU, the project's "V1ConvX" head."""

    def __init__(self, in_channels: int) -> None:
        """Makes the layers; `in_channels` are the pooled features' channels."""
        super().__init__()
        for number in range(1, STACKED_CONVS + 1):
            layer = nn.Conv2d(in_channels, CONV_CHANNELS, kernel_size=3, padding=1)
            self.add_module(f"body_conv_fcn{number}", layer)
            in_channels = CONV_CHANNELS

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, S, S) to (N, 512, S, S)."""
        for layer in self.children():
            features = layer(features).relu()
        return features


class ChartPredictor(nn.Module):
    """Scores of the coarse and the fine classes in every cell of a person's box.

    The layers for the surface coordinates u and v are there because the weights are; a silhouette
    does not need what they give.
    """

    def __init__(self, coarse_classes: int) -> None:
        """Makes the layers; `coarse_classes` include the background."""
        super().__init__()
        self.ann_index_lowres = _doubling(coarse_classes)
        self.index_uv_lowres = _doubling(FINE_CLASSES)
        self.u_lowres = _doubling(FINE_CLASSES)
        self.v_lowres = _doubling(FINE_CLASSES)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 512, S, S) to coarse (N, coarse classes, 4 S, 4 S) and fine (N, 25, 4 S, 4 S)."""
        coarse, fine = (
            interpolate(layer(features), scale_factor=UPSAMPLING, mode="bilinear")
            for layer in (self.ann_index_lowres, self.index_uv_lowres)
        )
        return coarse, fine


def _doubling(classes: int) -> nn.Module:
    return nn.ConvTranspose2d(CONV_CHANNELS, classes, kernel_size=4, stride=2, padding=1)


class PyramidDecoder(nn.Module):
    """Sums a feature pyramid's levels at the finest one's resolution."""

    def __init__(self, levels: dict[str, int], in_channels: int) -> None:
        """Makes the layers; `levels` are their strides by name, each a power of two from 4 up."""
        super().__init__()
        self.levels = tuple(levels)
        for name, stride in levels.items():
            self.add_module(name, _upsampling(in_channels, stride // MERGED_STRIDE))
        self.predictor = nn.Conv2d(DECODER_CHANNELS, DECODER_CHANNELS, kernel_size=1)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Levels (1, C, H / stride, W / stride) to (1, 256, H / 4, W / 4)."""
        return self.predictor(sum(getattr(self, name)(features[name]) for name in self.levels))


class _ConvRelu(nn.Conv2d):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features).relu()


def _upsampling(in_channels: int, factor: int) -> nn.Sequential:
    """Convolutions, each followed by a doubling, until the resolution has grown by `factor`."""
    layers: list[nn.Module] = [_ConvRelu(in_channels, DECODER_CHANNELS, kernel_size=3, padding=1)]
    while factor > 1:
        layers.append(nn.Upsample(scale_factor=2, mode="bilinear"))
        factor //= 2
        if factor > 1:
            layers.append(_ConvRelu(DECODER_CHANNELS, DECODER_CHANNELS, kernel_size=3, padding=1))
    return nn.Sequential(*layers)


def paste_silhouette(coarse: Tensor, fine: Tensor, box: Tensor, height: int, width: int) -> Tensor:
    """A person's silhouette out of the network's scores.

    A pixel belongs to the person where neither the best coarse nor the best fine class is
    background. As in the project, the box is cut down to whole pixels first.

    Args:
        coarse: (coarse classes, S, S) scores in the box, background first.
        fine: (25, S, S) scores in the box, background first.
        box: (4,) x0, y0, x1, y1 in pixels of the photo, inside it.
        height: of the photo.
        width: of the photo.

    Returns:
        (height, width) bool.
    """
    left, top = int(box[0]), int(box[1])
    size = max(int(box[3] - box[1]), 1), max(int(box[2] - box[0]), 1)
    best_coarse, best_fine = (
        interpolate(scores[None], size, mode="bilinear")[0].argmax(dim=0)  # rows, columns of box
        for scores in (coarse, fine)
    )
    silhouette = torch.zeros(height, width, dtype=torch.bool, device=coarse.device)
    silhouette[top : top + size[0], left : left + size[1]] = (best_coarse > 0) & (best_fine > 0)
    return silhouette


@cache
def register_roi_heads() -> str:
    """Tells detectron2 of DensePose's ROI heads; returns their name there.

    They read `MODEL.ROI_DENSEPOSE_HEAD`: POOLER_RESOLUTION, NUM_COARSE_SEGM_CHANNELS, DECODER_ON;
    and add to what is found densepose_coarse (N, coarse classes, 4 S, 4 S) and densepose_fine
    (N, 25, 4 S, 4 S).
    """
    from detectron2.modeling import ROI_HEADS_REGISTRY, StandardROIHeads
    from detectron2.modeling.poolers import ROIPooler

    class DensePoseSilhouetteHeads(StandardROIHeads):
        def __init__(self, config: "CfgNode", input_shape: dict) -> None:
            super().__init__(config, input_shape)
            options = config.MODEL.ROI_DENSEPOSE_HEAD
            strides = {name: input_shape[name].stride for name in self.in_features}
            channels = input_shape[self.in_features[0]].channels
            self.decoder = PyramidDecoder(strides, channels) if options.DECODER_ON else None
            pooled = [MERGED_STRIDE] if options.DECODER_ON else strides.values()
            self.densepose_pooler = ROIPooler(
                output_size=options.POOLER_RESOLUTION,
                scales=[1 / stride for stride in pooled],
                sampling_ratio=ROI_SAMPLES,
                pooler_type="ROIAlign",
            )
            self.densepose_head = StackedConvHead(channels)
            self.densepose_predictor = ChartPredictor(options.NUM_COARSE_SEGM_CHANNELS)

        def forward_with_given_boxes(self, features: dict[str, Tensor], instances: list) -> list:
            (found,) = super().forward_with_given_boxes(features, instances)  # of one photo
            levels = [features[name] for name in self.in_features]
            if self.decoder is not None:
                levels = [self.decoder(features)]
            pooled = self.densepose_pooler(levels, [found.pred_boxes])
            coarse, fine = self.densepose_predictor(self.densepose_head(pooled))
            found.densepose_coarse, found.densepose_fine = coarse, fine
            return [found]

    ROI_HEADS_REGISTRY.register(DensePoseSilhouetteHeads)
    return DensePoseSilhouetteHeads.__name__
