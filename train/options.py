"""Options of training, without what trains."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from models.options import NetworkOptions
from utils.conventions import Precision, ProxyRule
from utils.options import Count, NotNegative, OneOrMore, PartialShare, Positive, Range, Share
from utils.paths import OPEN_POSES_TRAIN, OPEN_POSES_VAL

# What a best epoch can be chosen by: the less, the better.
SelectionMetric = Literal[
    "pve", "pve_sc", "pve_pa", "pve_t", "pve_t_sc", "mpjpe", "mpjpe_sc", "mpjpe_pa", "pose_mse",
    "shape_mse", "joints2d_l2", "loss",
]  # fmt: skip
SelectionRule = Literal["sum", "all"]
# Those of the best epoch unless the options say otherwise, and of the best number of rounds; mm.
SELECTION_METRICS: tuple[SelectionMetric, ...] = ("pve_pa", "mpjpe_pa")

# With short names: `--body` and `--gender` as in run_predict.py, `--proxy`.
Body = Annotated[Literal["open", "smpl"], arg(aliases=["--body"])]
Proxy = Annotated[ProxyRule, arg(aliases=["--proxy"])]
Gender = Annotated[Literal["neutral", "male", "female"], arg(aliases=["--gender"])]


@dataclass(frozen=True)
class DataOptions:
    """Where poses come from, people that a detector saw, and how large the pictures are."""

    train_poses: tuple[Path, ...] = (OPEN_POSES_TRAIN,)  # npz files, concatenated
    val_poses: tuple[Path, ...] = (OPEN_POSES_VAL,)
    train_shapes: Literal["drawn", "file"] = "drawn"  # anew in every batch, or the npz's own
    val_shapes: Literal["drawn", "file"] = "drawn"  # drawn as in training (once), or the npz's own
    made_shapes: tuple[Path, ...] = ()  # npz files of shapes, such as data/open_shapes.npz
    made_share: Share = 0.6  # of the people drawn, who get one of those shapes, if there are any
    observed_people: tuple[Path, ...] = ()  # npz files of tools/observe_people.py to train on too
    observed_share: PartialShare = 0.4  # of each batch that is taken from them, if there are any
    # side of the network's input, pixels; a ResNet halves it five times
    image_size: Annotated[int, Range(32, 2048)] = 256
    renderer: Literal["own", "nmr"] = "own"  # nmr: neural_renderer, if you have it; same rules


@dataclass(frozen=True)
class ModelOptions(NetworkOptions):
    """The body and the network; which networks there are is said in models/networks.py."""

    proxy: Proxy = "own"  # the published network's heatmaps: own, or published as released
    body: Body = "open"  # open is shipped; smpl takes your licensed files
    gender: Gender = "neutral"  # of the body, and so of everybody trained on
    init_from: Path | None = None  # checkpoint whose weights training starts from


@dataclass(frozen=True)
class TrainingOptions:
    """How the regressor is optimised; the defaults are those of the published system."""

    epochs: OneOrMore = 100
    batch_size: OneOrMore = 140
    samples_per_epoch: Count = 0  # poses drawn an epoch without repeating; 0 takes all
    val_batch_size: OneOrMore = 64
    optimiser: Literal["adam", "adamw"] = "adam"
    weight_decay: NotNegative = 0.0  # of the network, by adamw
    lr: Positive = 1e-4  # learning rate, after warm-up
    lr_schedule: Literal["constant", "cosine"] = "constant"  # cosine falls to 1 % at the last epoch
    warmup_steps: Count = 0
    max_grad_norm: NotNegative = 0.0  # gradients are scaled down to this norm; 0 leaves them alone
    # decay of averaged weights, which validation and the best epoch use; 0: none
    ema: PartialShare = 0.0
    precision: Precision = "auto"  # of the network: bf16 (by autocast), fp32, auto: the faster
    channels_last: bool = True
    compile: str = ""  # torch.compile's backend for the network: inductor, cudagraphs ...; "": none
    log_every: OneOrMore = 50  # steps between readings of the loss, which wait for the device
    metrics_every: OneOrMore = 10  # training metrics are measured on every n-th step
    select_by: tuple[SelectionMetric, ...] = SELECTION_METRICS  # of validation: the best epoch
    # the best epoch has the least sum of them; or, as published, none of them ("all") is worse than
    # in the best epoch before
    select_rule: SelectionRule = "sum"
    save_every: Count = 0  # epochs between snapshots (epoch_010.tar ...), which are kept; 0: none
    # of everything drawn; those of epochs and streams are made from it, within 63 bits
    seed: Annotated[int, Range(0, 2**29)] = 0
