"""The feedback regressor: a first estimate from joints and silhouette, then measured corrections.

The first estimate is lifted from the observation by a multi-layer perceptron. Then, round by round,
the estimated body is posed, projected and compared with what was observed: how far its vertices lie
from the silhouette's outline, and how far its joints lie from the observed ones. A second
perceptron, the same one in every round, reads all that and corrects camera, pose and betas.

Related: learnt gradient descent (Song, Chen, Hilliges, ECCV 2020) and recurrent fitting (Wang,
Daniilidis, "ReFit", ICCV 2023). README.md in this folder has the experiments.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.distances import DISTANCE_LIMIT, signed_distances
from models.body_model import POSE_DIMS, BodyModel, BodyOutput, MeanParameters
from models.decoder import (
    CAMERA_DIMS,
    BodyParameters,
    average_parameters,
    build_initial_estimate,
    decode_parameters,
)
from models.options import FeedbackOptions
from utils.cameras import pixels_to_norm, project_weak_perspective
from utils.joints import COCO17, COCO17_IN_90
from utils.normals import vertex_normals
from utils.proxy import Observation
from utils.tensors import autocast, pick

READING_SIZE = 64  # px, side at which the convolutions read the silhouette's distances
READING_CHANNELS = (16, 32, 64, 128)  # of the convolutions, each of which halves the picture
READING_DIMS = 128
RIM_WIDTH = 0.3  # of a normal's component along the view, within which a vertex lies on the rim
# What brings the perceptrons' inputs to the order of 1, and where rare large ones are cut off.
DISTANCE_SCALE = 1 / DISTANCE_LIMIT
RESIDUAL_SCALE, MAX_RESIDUAL = 5.0, 0.3


class ObservedNumbers(NamedTuple):
    """What is observed of B people, as the perceptrons take it."""

    joints2d_norm: Tensor  # (B, 17, 2) in [-1, 1], 0 where not seen
    confidence: Tensor  # (B, 17)
    distances: Tensor  # (B, S, S) signed, shares of the crop's side
    reading: Tensor  # (B, READING_DIMS) of the whole silhouette, by convolutions


class FeedbackRegressor(nn.Module):
    """Estimates a body from joints and silhouette, and corrects it by its measured error.

    Args:
        mean_parameters: where the first estimate starts.
        body_model: the body that is posed; the regressor keeps its own, reduced to few vertices.
        options: sizes.
    """

    def __init__(
        self,
        mean_parameters: MeanParameters,
        body_model: BodyModel,
        options: FeedbackOptions = FeedbackOptions(),
    ):
        """Corrections start at zero: untrained, every estimate is the mean.

        Raises:
            ValueError: the body has fewer betas than are to be estimated.
        """
        super().__init__()
        _check_betas(options.betas, body_model)
        self.rounds = options.rounds
        self.mirror = False  # in predicting; training needs every round's own estimate
        initial_estimate = build_initial_estimate(mean_parameters, options.betas)
        self.register_buffer("initial_estimate", initial_estimate, persistent=False)
        # Stored with the weights, which have learnt what each of these vertices means.
        self.register_buffer("vertex_ids", choose_spread_vertices(body_model, options.vertices))
        self._build_body(body_model)
        self.register_load_state_dict_post_hook(
            lambda loaded, incompatible_keys: loaded._build_body(body_model)
        )
        self.reader = SilhouetteReader()
        joint_dims, estimate_dims = 3 * len(COCO17), len(initial_estimate)
        self.lifting = Perceptron(
            joint_dims, READING_DIMS, estimate_dims, options.width, options.lifting_blocks
        )
        self.correcting = Perceptron(
            joint_dims + 2 * len(COCO17) + estimate_dims,
            READING_DIMS + 3 * options.vertices,
            estimate_dims,
            options.width,
            options.correcting_blocks,
        )

    def _build_body(self, body_model: BodyModel) -> None:
        device = body_model.landmark_vertices.device
        landmarks = body_model.landmark_vertices
        chosen = self.vertex_ids.to(device)
        others = landmarks[~torch.isin(landmarks, chosen)]
        kept = torch.cat([chosen, others])
        self.register_buffer("kept_vertices", kept, persistent=False)
        self.body = body_model.reduce_to(kept)
        template = body_model.skinning.template.unflatten(0, (3, -1)).T  # (V, 3)
        normals = vertex_normals(template, body_model.faces)[chosen]
        self.register_buffer("normals", normals, persistent=False)

    def add_betas(self, count: int, body_model: BodyModel) -> None:
        """Estimates so many more betas: 0 until the network has learnt something of them.

        Args:
            count: how many more.
            body_model: that they shape.

        Raises:
            ValueError: the body does not have so many.
        """
        dims = len(self.initial_estimate)
        _check_betas(dims - CAMERA_DIMS - POSE_DIMS + count, body_model)
        self.initial_estimate = F.pad(self.initial_estimate, (0, count))
        for network in (self.lifting, self.correcting):
            network.add_outputs(count)
        # The numbers that it reads are joints, estimate and residuals.
        self.correcting.add_numbers(3 * len(COCO17) + dims, count)

    @property
    def networks(self) -> list[nn.Module]:
        """The parts that torch.compile may run."""
        return [self.reader, self.lifting, self.correcting]

    def forward(self, observation: Observation) -> BodyParameters:
        """Camera, pose and shape after the last round; see `estimates`.

        With `mirror` mirror images are looked at as well, and both estimates averaged.
        """
        if not self.mirror:
            return self.estimates(observation)[-1]
        pairs = zip(observation, observation.mirrored(), strict=True)
        both = self.estimates(Observation(*map(torch.cat, pairs)))[-1]
        straight, mirrored = (
            BodyParameters(*half)
            for half in zip(*(values.chunk(2) for values in both), strict=True)
        )
        return average_parameters(straight, mirrored.mirrored())

    def estimates(self, observation: Observation) -> list[BodyParameters]:
        """Camera, pose and shape: the first estimate and that after every round.

        Gradients reach each estimate's own correction alone, neither the rounds before nor the
        comparison with what was observed.
        """
        observed = self._observe(observation)
        joints = torch.cat([observed.joints2d_norm.flatten(1), observed.confidence], dim=1)
        estimate = self.initial_estimate + self.lifting(joints, observed.reading)
        estimates = [estimate]
        for _ in range(self.rounds):
            estimate = estimate.detach()
            numbers, features = self._compare(estimate, observed)
            numbers = torch.cat([joints, estimate, numbers], dim=1)
            features = torch.cat([observed.reading, features.to(observed.reading.dtype)], dim=1)
            estimate = estimate + self.correcting(numbers, features)
            estimates.append(estimate)
        return [decode_parameters(each) for each in estimates]

    def _observe(self, observation: Observation) -> ObservedNumbers:
        distances = signed_distances(observation.silhouettes)
        joints2d_norm = pixels_to_norm(observation.joints2d_px, observation.image_size)
        visible = observation.visibility[..., None]
        return ObservedNumbers(
            torch.where(visible, joints2d_norm, 0.0),
            observation.confidence,
            distances,
            self.reader(distances),
        )

    @torch.no_grad()
    def _compare(self, estimate: Tensor, observed: ObservedNumbers) -> tuple[Tensor, Tensor]:
        """How an estimate (B, 147 + N) departs from what was observed, without gradients.

        Returns:
            The joints' residuals (B, 34); and of the vertices the distance, the distance on the rim
            and how much on the rim they lie (B, 3 N).
        """
        with autocast(estimate.device, torch.float32):
            parameters = decode_parameters(estimate)
            body = self.body(parameters.betas, parameters.pose_rotmats)
            distances = self._sample_distances(body, parameters.cam_wp, observed.distances)
            distances = distances * DISTANCE_SCALE
            rim = self._rim(body)
            joints3d = pick(body.joints3d, COCO17_IN_90)
            projected = project_weak_perspective(joints3d, parameters.cam_wp)
            residuals = observed.confidence[..., None] * (observed.joints2d_norm - projected)
        residuals = residuals.clamp(-MAX_RESIDUAL, MAX_RESIDUAL) * RESIDUAL_SCALE
        return residuals.flatten(1), torch.cat([distances, distances * rim, rim], dim=1)

    def _sample_distances(self, body: BodyOutput, cam_wp: Tensor, distance_map: Tensor) -> Tensor:
        """(B, N) signed distances of the compared vertices' projections, shares of the side."""
        vertices = body.vertices[:, : len(self.vertex_ids)]
        places = project_weak_perspective(vertices, cam_wp)[:, None]  # (B, 1, N, 2)
        places = places.nan_to_num()  # on the CPU grid_sample crashes at places that are not finite
        return F.grid_sample(
            distance_map[:, None], places, padding_mode="border", align_corners=False
        ).flatten(1)

    def _rim(self, body: BodyOutput) -> Tensor:
        weights = self.body.skinning.weights[: len(self.vertex_ids)]
        return compute_rim_weights(body.bone_transforms, weights, self.normals)


class SilhouetteReader(nn.Module):
    """A small convolutional network that reads a silhouette's signed distances."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for channels in READING_CHANNELS:
            layers += [nn.Conv2d(before, channels, 3, stride=2, padding=1), nn.GELU()]
            before = channels
        side = READING_SIZE // 2 ** len(READING_CHANNELS)
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(before * side * side, READING_DIMS)

    def forward(self, distances: Tensor) -> Tensor:
        """(B, S, S) distances in shares of the side to (B, READING_DIMS)."""
        picture = (distances * DISTANCE_SCALE)[:, None]
        if picture.shape[-1] != READING_SIZE:
            picture = F.interpolate(
                picture, size=(READING_SIZE, READING_SIZE), mode="bilinear", antialias=False
            )
        return self.last(self.layers(picture).flatten(1))


class Perceptron(nn.Module):
    """Residual multi-layer perceptron that gives corrections of the parameters.

    Args:
        number_dims: of inputs whose digits count: they are never rounded to bfloat16.
        feature_dims: of the other inputs.
        estimate_dims: of the parameters.
        width: of the hidden layers.
        blocks: residual blocks of two layers each.
    """

    def __init__(
        self, number_dims: int, feature_dims: int, estimate_dims: int, width: int, blocks: int
    ) -> None:
        super().__init__()
        self.from_numbers = nn.Linear(number_dims, width)
        self.from_features = nn.Linear(feature_dims, width, bias=False)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)
            )
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, estimate_dims)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def add_outputs(self, count: int) -> None:
        """Gives so many more corrections after the others, 0 at first."""
        last = self.last
        self.last = nn.Linear(last.in_features, last.out_features + count)
        self.last.load_state_dict(
            {
                "weight": F.pad(last.weight.detach(), (0, 0, 0, count)),
                "bias": F.pad(last.bias.detach(), (0, count)),
            }
        )

    def add_numbers(self, place: int, count: int) -> None:
        """Reads so many more numbers from this place on, which change nothing at first."""
        first = self.from_numbers
        before, after = first.weight.detach().tensor_split([place], dim=1)
        self.from_numbers = nn.Linear(first.in_features + count, first.out_features)
        weight = torch.cat([F.pad(before, (0, count)), after], dim=1)
        self.from_numbers.load_state_dict({"weight": weight, "bias": first.bias.detach()})

    def forward(self, numbers: Tensor, features: Tensor) -> Tensor:
        """(B, number_dims) and (B, feature_dims) to corrections (B, estimate_dims), float32."""
        with autocast(numbers.device, torch.float32):
            hidden = self.from_numbers(numbers)
        hidden = hidden + self.from_features(features)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        with autocast(numbers.device, torch.float32):
            return self.last(self.norm(hidden.float()))


def _check_betas(count: int, body_model: BodyModel) -> None:
    if count > body_model.num_betas:
        raise ValueError(
            f"the network estimates {count} betas, but this body has {body_model.num_betas}"
        )


def compute_rim_weights(
    bone_transforms: Tensor, skinning_weights: Tensor, normals: Tensor
) -> Tensor:
    """How nearly a vertex's normal is perpendicular to the view, as it is on the outline.

    Args:
        bone_transforms: (B, 24, 3, 4) of posed bodies.
        skinning_weights: (N, 24) of the vertices.
        normals: (N, 3) theirs in the T-pose.

    Returns:
        (B, N) from 0 to 1.
    """
    depth_rows = skinning_weights @ bone_transforms[:, :, 2, :3]  # (B, N, 3)
    along_view = (depth_rows * normals).sum(dim=-1)
    return torch.exp(-(along_view / RIM_WIDTH).square())


def choose_spread_vertices(body_model: BodyModel, count: int) -> Tensor:
    """(count,) vertex numbers spread evenly over the body.

    Farthest-point sampling on the T-posed mean body: the first is the lowest vertex, each other one
    that which is furthest from those before it.
    """
    points = body_model.skinning.template.unflatten(0, (3, -1)).T.double()
    chosen = points[:, 1].argmin()[None]
    distance = torch.full_like(points[:, 0], torch.inf)
    for _ in range(1, count):
        distance = torch.minimum(distance, (points - points[chosen[-1]]).norm(dim=1))
        chosen = torch.cat([chosen, distance.argmax()[None]])
    return chosen
