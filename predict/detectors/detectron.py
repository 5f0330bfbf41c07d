"""detectron2 as the detectors here use it: one of its networks, run on one photo.

Wu et al., "Detectron2", 2019. It is installed from its repository and hardly anybody has it, so
that it is imported inside functions, here and in the detectors that build on it.
"""

import logging
import warnings
from importlib import resources
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from utils.errors import InputError

if TYPE_CHECKING:
    from detectron2.config import CfgNode

INSTALL = (
    "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'"
)
PERSON = 0  # class number in COCO's 80 and in the networks that know people alone


class Boxes(Protocol):
    """detectron2's boxes."""

    tensor: Tensor  # (N, 4) x0, y0, x1, y1


class Found(Protocol):
    """What a network found in a photo: detectron2's `Instances`, by its names.

    Attributes:
        image_size: (height, width) of the photo.
        pred_boxes: (N, 4) pixels of the photo.
        pred_classes: (N,) class numbers.
        scores: (N,) in [0, 1].
    """

    image_size: tuple[int, int]
    pred_boxes: Boxes
    pred_classes: Tensor
    scores: Tensor


def require_detectron2() -> None:
    """Imports the parts of detectron2 that are used here.

    Raises:
        InputError: it is not installed, or does not work on this machine.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # it calls torch in outdated ways
            import detectron2.config
            import detectron2.data.transforms
            import detectron2.modeling
            import detectron2.projects.point_rend  # noqa: F401
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"--silh_from pointrend and densepose need detectron2, which cannot be loaded "
            f"({reason}); install it with: {INSTALL}, or use --silh_from mediapipe, which needs "
            "nothing more"
        ) from error


def read_zoo_config(name: str) -> "CfgNode":
    """One of detectron2's configurations by its path in its model zoo.

    It is read from the package's folder: the module `detectron2.model_zoo` needs pkg_resources,
    which setuptools no longer brings.
    """
    from detectron2.config import get_cfg

    config = get_cfg()
    config.merge_from_file(str(resources.files("detectron2") / "model_zoo" / "configs" / name))
    return config


class PersonNetwork:
    """A detectron2 network, to be filled with weights and run on photos.

    Args:
        config: what to build, finished; score threshold and device are set here.
        device: where it runs.
        min_score: of being something, in [0, 1]; less is not reported.
    """

    def __init__(self, config: "CfgNode", device: torch.device, min_score: float) -> None:
        from detectron2.data.transforms import ResizeShortestEdge
        from detectron2.modeling import build_model

        _ignore_remarks()
        config.MODEL.DEVICE = str(device)
        # Leaving out the improbable before the masks are made changes nothing in the others:
        # suppression lets only a better box drop another.
        config.MODEL.ROI_HEADS.SCORE_THRESH_TEST = min_score
        self.module = build_model(config).eval()
        self._colours = config.INPUT.FORMAT
        side = config.INPUT.MIN_SIZE_TEST
        self._resize = ResizeShortestEdge([side, side], config.INPUT.MAX_SIZE_TEST)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> Found:
        """What it finds in `image`, (H, W, 3) uint8 RGB, in pixels of that image."""
        height, width = image.shape[:2]
        pixels = order_colours(image, self._colours)
        pixels = self._resize.get_transform(pixels).apply_image(pixels)
        given = torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1))  # (3, H', W')
        (result,) = self.module([{"image": given, "height": height, "width": width}])
        return result["instances"]


def order_colours(image: np.ndarray, order: str) -> np.ndarray:
    """An RGB image (H, W, 3) as a network wants it, `order` being "RGB" or "BGR"."""
    return np.ascontiguousarray(image[:, :, ::-1] if order == "BGR" else image)


def select_people(found: Found, min_score: float) -> Tensor:
    """(N,) bool, which of what was found are people, to be believed from `min_score` on."""
    return (found.pred_classes == PERSON) & (found.scores >= min_score)


def _ignore_remarks() -> None:
    """Keeps from the user what torch has to say about how detectron2 calls it.

    For good, not for the time of a call: a detector may run in a thread of its own, and what
    `warnings.catch_warnings` changes and puts back belongs to all threads.
    """
    warnings.filterwarnings("ignore", message="torch.meshgrid", category=UserWarning)
    logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
