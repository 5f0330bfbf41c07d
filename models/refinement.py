"""Refinement: a damped least-squares fit to what was observed, held by the network's known errors.

The network has learnt what to make of a detector's errors, and where there are any no fit improves
on it: the fit takes part of the errors for the body. Where observed joints agree with a body almost
to the pixel, the network's own last error remains, and that a fit removes. So people are refined
whose joints are all known for certain and lie close to their estimate's; README.md in this folder
has the measurements.

Camera, joint rotations and betas are fitted together. The prior is the whole covariance of the
errors that the network made on validation people: it knows, say, that a thigh which leans towards
the camera comes with a larger scale, and that height and scale err together.
"""

import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.distances import signed_distances
from models.body_model import POSE_DIMS
from models.decoder import CAMERA_DIMS, BodyParameters
from models.feedback import FeedbackRegressor, compute_rim_weights
from utils.cameras import pixels_to_norm, project_weak_perspective
from utils.joints import COCO17_IN_90, SMPL_JOINTS
from utils.proxy import (
    REFERENCE_SIZE,
    Observation,
)
from utils.rotations import pose_to_rotmats, rotmat_to_axis_angle
from utils.tensors import match_betas, pick

TURN_DIMS = 3 * len(SMPL_JOINTS)
# Detectors are never so sure of every joint; who knows them exactly is.
MIN_CONFIDENCE = 0.999
# Pixels of 256. Most detections' joints are further from any body than the first: see README.md.
MAX_MEDIAN_RESIDUAL = 1.4
JOINT_NOISE = 0.1  # of a joint seen with confidence 1; inversely proportional to the confidence
OUTLINE_NOISE = 0.35
OUTLINE_POINTS = 40  # independent ones that the compared vertices are worth: neighbours err alike
ROBUSTNESS = 4.0  # squared noises at which a residual counts half
ITERATIONS = 6
INITIAL_DAMPING, LESS_DAMPING, MORE_DAMPING = 1e-2, 0.3, 10.0
MAX_BATCH_SIZE = 16  # bounds the memory that derivatives take


class Fit(NamedTuple):
    """How B bodies fit what was observed; errors in units of their noise."""

    residuals: Tensor  # (B, 17, 2) of joints, 0 where not seen
    joint_scales: Tensor  # (B, 17) by which normalised coordinates become residuals
    distances: Tensor  # (B, N) of the compared vertices from the outline
    slopes: Tensor  # (B, N, 2) of these distances, per normalised coordinate
    shares: Tensor  # (B, N) independent points that a vertex counts as

    @property
    def joint_weights(self) -> Tensor:
        """(B, 17) from 0 to 1, small for outliers."""
        return _robust_weights(self.residuals.square().sum(dim=-1))

    @property
    def vertex_weights(self) -> Tensor:
        """(B, N) the shares, less for outliers."""
        return self.shares * _robust_weights(self.distances.square())

    @property
    def joint_cost(self) -> Tensor:
        """(B,) robust misfit of the joints."""
        return _robust_cost(self.residuals.square().sum(dim=-1)).sum(dim=1)

    @property
    def outline_cost(self) -> Tensor:
        """(B,) robust misfit of the outline."""
        return (self.shares * _robust_cost(self.distances.square())).sum(dim=1)

    def total_cost(self, units: Tensor) -> Tensor:
        """(B,) with that of a change (B, C) in units of the prior's spread."""
        return self.joint_cost + self.outline_cost + units.square().sum(dim=1)


class Refiner(nn.Module):
    """A feedback regressor whose estimates are refined: an `Observation` to `BodyParameters`.

    Args:
        regressor: makes the estimates.
        error_covariance: (C, C) of its errors, as `measure_parameter_errors` gives them.
    """

    def __init__(self, regressor: FeedbackRegressor, error_covariance: Tensor):
        """Takes a double-precision copy of the regressor's body: derivatives need the digits."""
        super().__init__()
        self.regressor = regressor
        self.vertices = len(regressor.vertex_ids)
        self.body = copy.deepcopy(regressor.body).double()
        self.register_buffer("normals", regressor.normals.double(), persistent=False)
        variances, directions = torch.linalg.eigh(error_covariance.double())
        # Changes are sought in units in which the prior is standard normal.
        spread = directions * variances.clamp(min=0).sqrt()
        self.register_buffer("spread", spread, persistent=False)  # (C, C)
        tangents = torch.eye(len(spread), dtype=torch.float64)
        self.register_buffer("tangents", tangents, persistent=False)

    @property
    def initial_estimate(self) -> Tensor:
        """The regressor's."""
        return self.regressor.initial_estimate

    def forward(self, observation: Observation) -> BodyParameters:
        """Camera, pose and shape, refined where that is known to help."""
        estimate = self.regressor(observation)
        if not _are_certain(observation).any():
            return estimate  # as of every detector: nobody need be posed once more
        # Predicting runs in inference mode, of whose tensors no derivatives can be taken.
        with torch.inference_mode(False), torch.no_grad():
            estimate = BodyParameters(*(values.clone() for values in estimate))
            observation = Observation(*(values.clone() for values in observation))
            (rows,) = self.agreeing(observation, estimate).nonzero(as_tuple=True)
            for piece in rows.split(MAX_BATCH_SIZE):
                part = BodyParameters(*(values[piece] for values in estimate))
                refined = self.refine(observation.rows(piece), part)
                for values, better in zip(estimate, refined, strict=True):
                    values[piece] = better
        return estimate

    def agreeing(self, observation: Observation, estimate: BodyParameters) -> Tensor:
        """(B,) bool: whose joints can be relied on: all seen for certain, and where the body's are.

        Args:
            observation: of B people.
            estimate: the network's, of the same people.
        """
        places, _ = self._project(_to_double(estimate))
        offsets = _measure_joint_offsets(places[:, self.vertices :], observation)
        middle = offsets.norm(dim=-1).median(dim=1).values
        return _are_certain(observation) & (middle < MAX_MEDIAN_RESIDUAL * 2 / REFERENCE_SIZE)

    def refine(self, observation: Observation, estimate: BodyParameters) -> BodyParameters:
        """Fits bodies by Levenberg and Marquardt's method.

        Args:
            observation: of B people.
            estimate: the network's, of the same people.

        Returns:
            The fitted parameters of those whose joints and outline both fit better by them, the
            estimate of the others.
        """
        start = _to_double(estimate)
        outline = _measure_outline(observation)
        fit = first = self._fit(start, observation, outline)
        units = start.cam_wp.new_zeros(len(start.cam_wp), len(self.spread))
        damping = torch.full_like(units[:, 0], INITIAL_DAMPING)
        for _ in range(ITERATIONS):
            step = self._step(start, units, fit, damping)
            new_units = units + step
            new_fit = self._fit(self._moved(start, new_units), observation, outline)
            better = new_fit.total_cost(new_units) < fit.total_cost(units)
            units = _select(better, new_units, units)
            fit = Fit(*(_select(better, *pair) for pair in zip(new_fit, fit, strict=True)))
            damping = damping * torch.where(better, LESS_DAMPING, MORE_DAMPING)
        accepted = fit.joint_cost < first.joint_cost
        accepted &= fit.outline_cost < first.outline_cost
        moved = self._moved(start, units)
        return BodyParameters(
            *(
                _select(accepted, after.to(before.dtype), before)
                for after, before in zip(moved, estimate, strict=True)
            )
        )

    def _moved(self, start: BodyParameters, units: Tensor) -> BodyParameters:
        return change_parameters(start, units @ self.spread.T)

    def _step(self, start: BodyParameters, units: Tensor, fit: Fit, damping: Tensor) -> Tensor:
        """(B, C) the damped Gauss-Newton step of the robust misfit and the prior."""
        by_places = self._derivatives(start, units)  # (B, N + 17, 2, C)
        by_vertices, by_joints = by_places.tensor_split([self.vertices], dim=1)
        by_distances = (fit.slopes[..., None] * by_vertices).sum(dim=2)
        by_residuals = (fit.joint_scales[..., None, None] * by_joints).flatten(1, 2)
        derivatives = torch.cat([by_residuals, by_distances], dim=1)  # (B, 34 + N, C)
        errors = torch.cat([fit.residuals.flatten(1), fit.distances], dim=1)
        joint_weights = fit.joint_weights.repeat_interleave(2, dim=1)
        weights = torch.cat([joint_weights, fit.vertex_weights], dim=1)
        weighted = (derivatives * weights[..., None]).mT
        gradient = (weighted @ errors[..., None])[..., 0] + units
        curvature = weighted @ derivatives + (1 + damping[:, None, None]) * self.tangents
        return -torch.linalg.solve(curvature, gradient)

    def _derivatives(self, start: BodyParameters, units: Tensor) -> Tensor:
        """(B, N + 17, 2, C) of the projected vertices and joints."""

        def places(units: Tensor) -> Tensor:
            return self._project(self._moved(start, units))[0]

        def along(tangent: Tensor) -> Tensor:
            return torch.func.jvp(places, (units,), (tangent.expand_as(units),))[1]

        return torch.func.vmap(along, out_dims=-1)(self.tangents)

    def _project(self, parameters: BodyParameters) -> tuple[Tensor, Tensor]:
        """Normalised places (B, N + 17, 2) of vertices, then joints; (B, N) how rim-like."""
        body = self.body(parameters.betas, parameters.pose_rotmats)
        points = [body.vertices[:, : self.vertices], pick(body.joints3d, COCO17_IN_90)]
        weights = self.body.skinning.weights[: self.vertices]
        rim = compute_rim_weights(body.bone_transforms, weights, self.normals)
        return project_weak_perspective(torch.cat(points, dim=1), parameters.cam_wp), rim

    def _fit(self, parameters: BodyParameters, observation: Observation, outline: Tensor) -> Fit:
        """Compares bodies with observations, whose `_measure_outline` are given."""
        places, rim = self._project(parameters)
        by_vertices, by_joints = places.tensor_split([self.vertices], dim=1)
        joint_scales = observation.confidence * (REFERENCE_SIZE / 2 / JOINT_NOISE)
        offsets = _measure_joint_offsets(by_joints, observation)
        offsets = torch.where(observation.visibility[..., None], offsets, 0.0)
        sampled = F.grid_sample(
            outline, by_vertices[:, None], padding_mode="border", align_corners=False
        )[:, :, 0]  # (B, 3, N)
        distances = sampled[:, 0]
        # A vertex on the rim belongs on the outline, any other one inside it.
        counts = rim + (distances > 0)
        return Fit(
            residuals=offsets * joint_scales[..., None],
            joint_scales=joint_scales.double(),
            distances=distances,
            slopes=sampled[:, 1:].mT,
            shares=OUTLINE_POINTS * counts / counts.sum(dim=1, keepdim=True),
        )


def count_changes(regressor: FeedbackRegressor) -> int:
    """C, how many numbers change one of a network's estimates: 85 with ten betas."""
    return len(regressor.initial_estimate) - POSE_DIMS + TURN_DIMS


def change_parameters(parameters: BodyParameters, change: Tensor) -> BodyParameters:
    """Changes parameters by (B, C): camera, axis-angle vectors of the 24 rotations, betas."""
    camera, turns, betas = change.tensor_split([CAMERA_DIMS, CAMERA_DIMS + TURN_DIMS], dim=1)
    turns = pose_to_rotmats(turns)
    return BodyParameters(
        parameters.cam_wp + camera, parameters.pose_rotmats @ turns, parameters.betas + betas
    )


def measure_parameter_errors(estimate: BodyParameters, true: BodyParameters) -> Tensor:
    """(B, C) the change that leads from estimated to true parameters; see `change_parameters`."""
    turns = rotmat_to_axis_angle(estimate.pose_rotmats.mT @ true.pose_rotmats)
    betas = match_betas(true.betas, estimate.betas.shape[1]) - estimate.betas
    return torch.cat([true.cam_wp - estimate.cam_wp, turns.flatten(1), betas], dim=1)


def _are_certain(observation: Observation) -> Tensor:
    """(B,) bool: whose joints are all seen for certain."""
    return (observation.confidence >= MIN_CONFIDENCE).all(dim=1)


def _to_double(parameters: BodyParameters) -> BodyParameters:
    return BodyParameters(*(values.double() for values in parameters))


def _measure_joint_offsets(joints: Tensor, observation: Observation) -> Tensor:
    """(B, 17, 2) from the observed joints to these, normalised."""
    return joints - pixels_to_norm(observation.joints2d_px.double(), observation.image_size)


def _measure_outline(observation: Observation) -> Tensor:
    """(B, 3, S, S) signed distance from the outline, and its slopes along x and y, in noises."""
    size = observation.image_size
    distances = signed_distances(observation.silhouettes).double()
    distances = distances * (REFERENCE_SIZE / OUTLINE_NOISE)
    along_y, along_x = torch.gradient(distances, spacing=2 / size, dim=(1, 2))
    return torch.stack([distances, along_x, along_y], dim=1)


def _robust_cost(squares: Tensor) -> Tensor:
    """Of squared errors in units of their noise; that of Student's t, but for a constant."""
    return ROBUSTNESS * torch.log1p(squares / ROBUSTNESS)


def _robust_weights(squares: Tensor) -> Tensor:
    """What turns squared errors' derivatives into those of `_robust_cost`."""
    return ROBUSTNESS / (ROBUSTNESS + squares)


def _select(chosen: Tensor, values: Tensor, others: Tensor) -> Tensor:
    """(B, ...) values of the people who are chosen (B,), else the others."""
    return torch.where(chosen.view(-1, *[1] * (values.ndim - 1)), values, others)
