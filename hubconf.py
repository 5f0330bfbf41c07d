"""Entry points of `torch.hub`: torch.hub.load("path/to/this/folder", "straps", source="local")."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from predict.api import PhotoPredictor

dependencies = ["torch", "torchvision", "numpy", "scipy", "numba", "cv2", "PIL", "trimesh"]

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_PACKAGES = ("kernels", "losses", "metrics", "models", "data", "predict", "renderers", "utils")


def straps(*arguments, **options) -> "PhotoPredictor":
    """A predictor of people's shapes and poses; `predict.api.PhotoPredictor` says what it takes."""
    _find_packages()
    from predict.api import PhotoPredictor

    return PhotoPredictor(*arguments, **options)


def _find_packages() -> None:
    """Lets Python find this project's packages, also when the hub's own path is gone again.

    Raises:
        ImportError: packages of the same names, which are common ones, were imported before.
    """
    for name in _PACKAGES:
        if name not in sys.modules:
            continue
        paths = list(getattr(sys.modules[name], "__path__", [""]))
        if os.path.dirname(paths[0]) != _FOLDER:
            raise ImportError(
                f"another module called {name} was imported before; load straps in a program of "
                "its own, or before that module"
            )
    if sys.path.count(_FOLDER) < 2:  # the hub takes one away
        sys.path.append(_FOLDER)
