"""What of a network's findings counts as a person, and in which pixels it looks for them."""

from dataclasses import dataclass, replace

from utils.conventions import Mirror, ProxyRule


@dataclass(frozen=True)
class DetectorRules:
    """How a detector is used."""

    mask_score: float  # of being a person, from which a mask counts
    pose_score: float  # the same for joints
    every_joint: bool  # joints count however improbable they are, and outside the photo too
    tidy: bool  # loose pieces and pinholes of a mask are cleaned away
    frame_size: int | None  # px, side of the square that photos are brought to; None: as they are
    mirror: bool = False  # mirror images are looked at as well


# Matching drops what only one of the two networks believes in.
OWN = DetectorRules(
    mask_score=0.5, pose_score=0.5, every_joint=False, tidy=True, frame_size=None
)  # fmt: skip
# Those of the released code: detectron2's default threshold for masks, 0.7 for Keypoint R-CNN.
PUBLISHED = DetectorRules(
    mask_score=0.05, pose_score=0.7, every_joint=True, tidy=False, frame_size=512
)  # fmt: skip
RULES: dict[ProxyRule, DetectorRules] = {"own": OWN, "published": PUBLISHED}


def choose_rules(proxy: ProxyRule, mirror: Mirror) -> DetectorRules:
    """How detectors are used for networks that want such input, and for people who ask for that."""
    return replace(RULES[proxy], mirror=mirror == "detector")
