"""People as a detector observed them, with the truth: pairs to train on beside synthetic people.

`tools/observe_people.py` writes such files; what they hold is said in `data/README.md`. A real
detector's errors are of one piece, often those of another plausible pose, which errors drawn at
random never quite are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from models.body_model import BodyModel
from models.decoder import describe_body
from synthesis.synthesiser import SyntheticBatch, joint_targets
from utils.cameras import inside_image
from utils.conventions import NUM_BETAS
from utils.errors import InputError
from utils.joints import COCO17, COCO17_SWAP, SMPL_JOINTS, SMPL_SWAP
from utils.proxy import Observation, mirror_joints2d
from utils.readers import check_body_hash, read_npz, read_rows
from utils.rotations import axis_angle_to_rotmat
from utils.tensors import constant, happens, join_betas, match_betas, pick

_MIRROR = (1.0, -1.0, -1.0)  # what reflecting x does to an axis-angle vector


class Pairs(NamedTuple):
    """B observations and truths; joints are in shares of the crop's side."""

    betas: Tensor  # (B, N), 10 or more
    poses: Tensor  # (B, 24, 3) axis-angle, camera frame, rad
    silhouettes: Tensor  # (B, S, S) bool, as detected
    joints2d: Tensor  # (B, 17, 2) as detected
    confidence: Tensor  # (B, 17) of the detected joints, in [0, 1]
    true_joints2d: Tensor  # (B, 17, 2)

    def mirrored(self) -> "Pairs":
        """Their mirror images; the shapes of bodies are the same in a mirror."""
        return Pairs(
            self.betas,
            pick(self.poses, SMPL_SWAP) * constant(_MIRROR, self.poses.device),
            self.silhouettes.flip(2),
            mirror_joints2d(self.joints2d, 1.0),
            pick(self.confidence, COCO17_SWAP),
            mirror_joints2d(self.true_joints2d, 1.0),
        )


class DrawnPairs(NamedTuple):
    """Which people make a batch."""

    rows: Tensor  # (B,) int64
    mirrored: Tensor  # (B,) bool


class ObservedPairs(nn.Module):
    """Observed people to draw from, on one device.

    Args:
        rows: the files' arrays by name, as `Pairs` has them, (N, ...) each.
        image_size: side S of the crops, pixels.
        share: of a batch, that training takes from here.
    """

    def __init__(self, rows: dict[str, np.ndarray], image_size: int, share: float) -> None:
        super().__init__()
        self.image_size, self.share = image_size, share
        for name in Pairs._fields:
            values = torch.from_numpy(rows[name])
            values = values if values.dtype == torch.uint8 else values.float()
            # Silhouettes stay packed, and are unpacked a batch at a time.
            self.register_buffer(name, values, persistent=False)

    def __len__(self) -> int:
        """How many pairs there are, each counted without its mirror image."""
        return len(self.betas)

    def draw(self, count: int, generator: Generator) -> DrawnPairs:
        """Any people, and which of them are mirrored.

        Args:
            count: of people.
            generator: random numbers, on this module's device.
        """
        rows = torch.randint(len(self), (count,), generator=generator, device=generator.device)
        return DrawnPairs(rows, happens((count,), 0.5, generator))

    @torch.no_grad()
    def batch(self, drawn: DrawnPairs, body_model: BodyModel) -> SyntheticBatch:
        """Makes a batch, with the targets of `Synthesiser` but for the true silhouettes.

        Args:
            drawn: from `draw`.
            body_model: of the betas, on this module's device.
        """
        pairs = self.pairs_of(drawn)
        size = self.image_size
        joints2d_px, true_joints2d_px = pairs.joints2d * size, pairs.true_joints2d * size
        observation = Observation(pairs.silhouettes, joints2d_px, pairs.confidence)
        pose_rotmats = axis_angle_to_rotmat(pairs.poses)
        betas = match_betas(pairs.betas, body_model.num_betas)
        target = {
            **describe_body(body_model(betas, pose_rotmats), betas, pose_rotmats),
            **joint_targets(true_joints2d_px, inside_image(true_joints2d_px, size, size), size),
        }
        return SyntheticBatch(observation, target)

    def pairs_of(self, drawn: DrawnPairs) -> Pairs:
        """Observations and truths of the people drawn."""
        pairs = Pairs(
            betas=self.betas[drawn.rows],
            poses=self.poses[drawn.rows].unflatten(1, (-1, 3)),
            silhouettes=_unpack(self.silhouettes[drawn.rows], self.image_size),
            joints2d=self.joints2d[drawn.rows],
            confidence=self.confidence[drawn.rows],
            true_joints2d=self.true_joints2d[drawn.rows],
        )
        return Pairs(
            *(
                torch.where(drawn.mirrored.view(-1, *[1] * (straight.ndim - 1)), mirror, straight)
                for straight, mirror in zip(pairs, pairs.mirrored(), strict=True)
            )
        )


def read_observed_people(
    paths: Sequence[Path], image_size: int, body_hash: str, share: float
) -> ObservedPairs:
    """Reads people as detectors observed them.

    Args:
        paths: npz files of `tools/observe_people.py`, one or more.
        image_size: of the network, pixels; the crops must have it.
        body_hash: of the body that is trained for, which must be theirs.
        share: of a batch, that training takes from them.

    Raises:
        InputError: a file cannot be read, holds something else, or is of other crops or bodies.
    """
    files = [_read_file(path, image_size, body_hash) for path in paths]
    betas = join_betas([file.pop("betas") for file in files])
    rows = {name: np.concatenate([file[name] for file in files]) for name in files[0]}
    rows["betas"] = betas
    return ObservedPairs(rows, image_size, share)


def _read_file(path: Path, image_size: int, body_hash: str) -> dict[str, np.ndarray]:
    made_for = read_npz(path, ["image_size", "body_hash"])
    found_size, found_hash = (str(made_for[name]) for name in ("image_size", "body_hash"))
    if found_size != str(image_size):
        raise InputError(
            f"{path} holds people in crops of {found_size} px, but the network takes {image_size} "
            "px; give --data.image-size, or observe people again by tools/observe_people.py"
        )
    advice = "choose the open neutral body, or observe people again by tools/observe_people.py"
    check_body_hash(path, "holds people", found_hash, body_hash, advice)
    # Longer rows of betas: people with shape details as well.
    rows = read_rows(path, _row_shapes(image_size), longer=["betas"])
    if len(rows["betas"]) == 0:
        raise InputError(f"{path} holds nobody; observe people again by tools/observe_people.py")
    if rows["silhouettes"].dtype != np.uint8:
        raise InputError(
            f"{path}: silhouettes is {rows['silhouettes'].dtype}; expected bits packed into uint8"
        )
    return rows


def _row_shapes(image_size: int) -> dict[str, tuple[int, ...]]:
    """Of a row in the file, by the array's name."""
    return {
        "betas": (NUM_BETAS,),
        "poses": (3 * len(SMPL_JOINTS),),
        "silhouettes": ((image_size**2 + 7) // 8,),
        "joints2d": (len(COCO17), 2),
        "confidence": (len(COCO17),),
        "true_joints2d": (len(COCO17), 2),
    }


def _unpack(packed: Tensor, size: int) -> Tensor:
    """Masks (B, S, S) bool of their bits, (B, S * S / 8) uint8 as numpy's packbits gives them."""
    bits = constant((128, 64, 32, 16, 8, 4, 2, 1), packed.device, torch.uint8)
    pixels = ((packed[:, :, None] & bits) != 0).flatten(1)
    return pixels[:, : size * size].unflatten(1, (size, size))
