"""Numbers and choices that options and code share; importing this takes no time."""

from typing import Literal

NUM_BETAS = 10
CROP_SCALE = 1.2  # side of the crop over the longer side of the person's tight box

# How heatmaps are drawn, see `utils.proxy`: our own rule, or as the released code draws them.
ProxyRule = Literal["own", "published"]
# Who looks at mirror images as well: nobody, a feedback network, or the detector too.
Mirror = Literal["none", "network", "detector"]
# Where the photos of half bodies end.
Cut = Literal["knees", "hips", "chest"]
Precision = Literal["auto", "bf16", "fp32"]
