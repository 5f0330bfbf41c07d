"""The regressor: a ResNet encoder and iterative error feedback (IEF).

Kanazawa et al., "End-to-end Recovery of Human Shape and Pose", CVPR 2018, section 3.2; Sengupta et
al., "Synthetic Training for Accurate 3D Human Pose and Shape Estimation in the Wild", BMVC 2020.
"""

import torch
import torchvision
from torch import Tensor, nn

from models.body_model import MeanParameters
from models.decoder import (
    PARAMETER_DIMS,
    BodyParameters,
    build_initial_estimate,
    decode_parameters,
)
from models.options import IEF_ITERATIONS, ParamsFrom
from utils.conventions import ProxyRule
from utils.proxy import PROXY_CHANNELS, Observation
from utils.tensors import autocast

# (torchvision constructor, features, width of the IEF layers)
_ENCODERS = {
    18: (torchvision.models.resnet18, 512, 512),
    50: (torchvision.models.resnet50, 2048, 1024),
}
RESNET_LAYERS = tuple(_ENCODERS)

# Which channels of the proxy representation a network sees.
CHANNELS: dict[ParamsFrom, slice] = {
    "all": slice(0, PROXY_CHANNELS),
    "silhouettes": slice(0, 1),
    "joints": slice(1, PROXY_CHANNELS),
}


class IEFModule(nn.Module):
    """Refines an estimate of the parameters by repeatedly adding a correction to it.

    Args:
        feature_dims: C, number of image features.
        hidden_dims: width of the two hidden layers.
        initial_estimate: (157,) where every estimate starts.
        iterations: how often a correction is added.
    """

    def __init__(
        self, feature_dims: int, hidden_dims: int, initial_estimate: Tensor, iterations: int
    ):
        """Weights start as torch's linear layers do, biases at zero."""
        super().__init__()
        self.iterations = iterations
        self.register_buffer("initial_estimate", initial_estimate.clone(), persistent=False)
        self.fc1 = nn.Linear(feature_dims + PARAMETER_DIMS, hidden_dims)
        self.fc2 = nn.Linear(hidden_dims, hidden_dims)
        self.fc3 = nn.Linear(hidden_dims, PARAMETER_DIMS)
        # The published state dict names these layers twice; sharing them keeps both names.
        self.ief_layers = nn.Sequential(self.fc1, nn.ReLU(), self.fc2, nn.ReLU(), self.fc3)
        for layer in (self.fc1, self.fc2, self.fc3):
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C) features to (B, 157) parameters."""
        estimate = self.initial_estimate.expand(len(features), -1)
        for _ in range(self.iterations):
            estimate = estimate + self.ief_layers(torch.cat([features, estimate], dim=1))
        return estimate


class Regressor(nn.Module):
    """Proxy representation in, camera, pose and shape out.

    Args:
        mean_parameters: pose and shape of the initial estimate.
        resnet_layers: 18 or 50.
        iterations: of the error feedback.
        proxy_rule: how its heatmaps are drawn.
        params_from: what it sees: silhouette and joints, or one of them alone.
    """

    rounds = 0  # of feedback by measured errors: this network knows none
    body = kept_vertices = None  # the loss compares whole bodies

    def __init__(
        self,
        mean_parameters: MeanParameters,
        resnet_layers: int = 18,
        iterations: int = IEF_ITERATIONS,
        proxy_rule: ProxyRule = "own",
        params_from: ParamsFrom = "all",
    ):
        """Builds an untrained network; raises ValueError for another number of layers."""
        super().__init__()
        if resnet_layers not in _ENCODERS:
            raise ValueError(f"resnet_layers is {resnet_layers}, expected one of {RESNET_LAYERS}")
        constructor, feature_dims, hidden_dims = _ENCODERS[resnet_layers]
        self.resnet_layers = resnet_layers
        self.proxy_rule, self.channels = proxy_rule, CHANNELS[params_from]
        self.image_encoder = constructor(weights=None)
        first = self.image_encoder.conv1
        self.image_encoder.conv1 = nn.Conv2d(
            self.channels.stop - self.channels.start, first.out_channels, first.kernel_size,
            first.stride, first.padding, bias=False,
        )  # fmt: skip
        nn.init.kaiming_normal_(
            self.image_encoder.conv1.weight, mode="fan_out", nonlinearity="relu"
        )
        self.image_encoder.fc = nn.Identity()
        self.image_encoder.to(memory_format=torch.channels_last)  # as the proxy comes
        initial_estimate = build_initial_estimate(mean_parameters)
        self.ief_module = IEFModule(feature_dims, hidden_dims, initial_estimate, iterations)

    @property
    def networks(self) -> list[nn.Module]:
        """The parts that torch.compile may run."""
        return [self.image_encoder]

    @property
    def initial_estimate(self) -> Tensor:
        """(157,) where every estimate starts: camera, pose in 6D, betas."""
        return self.ief_module.initial_estimate

    def estimates(self, observation: Observation) -> list[BodyParameters]:
        """The one estimate that this network makes, as a list: others make several."""
        return [self(observation)]

    def forward(self, observation: Observation) -> BodyParameters:
        """Estimates camera, pose and shape from the proxy representation.

        Returns:
            The parameters in float32, also under autocast: the feedback adds small corrections.
        """
        device_type = observation.silhouettes.device.type
        computes_in_half = torch.is_autocast_enabled(device_type)
        # Made in what the network computes in, the proxy needs no conversion.
        dtype = torch.get_autocast_dtype(device_type) if computes_in_half else torch.float32
        proxy = observation.proxy(dtype, self.proxy_rule)[:, self.channels]
        if not self.image_encoder.conv1.weight.is_contiguous(memory_format=torch.channels_last):
            proxy = proxy.contiguous()
        features = self.image_encoder(proxy)
        with autocast(features.device, torch.float32):
            estimate = self.ief_module(features.float())
        return decode_parameters(estimate)
