"""Options of the networks, without what runs them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from utils.conventions import NUM_BETAS, ProxyRule
from utils.options import Range

IEF_ITERATIONS = 3
ParamsFrom = Literal["all", "silhouettes", "joints"]


@dataclass(frozen=True)
class FeedbackOptions:
    """The feedback regressor's size."""

    rounds: Annotated[int, Range(1, 100)] = 3  # corrections after the first estimate
    width: Annotated[int, Range(1, 8192)] = 1024  # of the perceptrons
    lifting_blocks: Annotated[int, Range(0, 100)] = (
        2  # residual blocks of the perceptron that makes the first estimate
    )
    correcting_blocks: Annotated[int, Range(0, 100)] = 3  # of the one that corrects it
    vertices: Annotated[int, Range(1, 5000)] = 500  # of the body, compared with the silhouette
    # that are estimated; beyond ten they are the open neutral body's shape details, up to 40 in all
    betas: Annotated[int, Range(NUM_BETAS, 300)] = NUM_BETAS


@dataclass(frozen=True)
class NetworkOptions:
    """Which network, and its size."""

    regressor: Literal["published", "feedback"] = "published"
    resnet_layers: Literal[18, 50] = 18  # of the published one
    ief_iterations: Annotated[int, Range(1, 100)] = IEF_ITERATIONS  # of the published one
    proxy: ProxyRule = "own"  # how the published one's heatmaps are drawn, see utils/proxy.py
    params_from: ParamsFrom = "all"  # what the published one sees; or one of the two alone
    feedback: FeedbackOptions = FeedbackOptions()
