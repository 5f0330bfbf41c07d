"""Weights of detectron2's networks: found, read without running code from them, loaded strictly.

The published files are pickles of a dictionary whose "model" maps parameter names to numpy arrays.
detectron2 itself unpickles them freely, which runs whatever a file asks for; here they are read as
data, see `utils.pickles`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from utils.errors import InputError
from utils.pickles import read_pickle
from utils.torch_files import check_tensors, read_torch

INSTEAD = "or use --silh_from mediapipe, which needs no such file"
# In old files, and no longer kept with the weights: the configuration gives the same numbers.
_HARMLESS_PREFIXES = ("pixel_mean", "pixel_std", "proposal_generator.anchor_generator.cell_anchors")


@dataclass(frozen=True)
class WeightsFile:
    """A published file of weights.

    Attributes:
        network: what it holds, for messages.
        stem: its name in the folder of checkpoints, with .pkl (as published) or .pth (torch's).
        url: where it is published.
    """

    network: str
    stem: str
    url: str

    def in_folder(self, folder: Path) -> Path | None:
        """Its path in `folder`, None where it is not there."""
        paths = (folder / f"{self.stem}{suffix}" for suffix in (".pkl", ".pth"))
        return next((path for path in paths if path.is_file()), None)

    def find(self, folder: Path) -> Path:
        """Its path in `folder`.

        Raises:
            InputError: it is not there.
        """
        path = self.in_folder(folder)
        if path is None:
            raise self.missing(folder, "which is not there")
        return path

    def missing(self, folder: Path, reason: str) -> InputError:
        """The error for a file that cannot be had: what it is, from where, to where."""
        return InputError(
            f"{self.network} needs {folder / self.stem}.pkl, {reason}; download {self.url} and put "
            f"it there under that name, {INSTEAD}"
        )

    def unfit(self, path: Path, reason: str) -> InputError:
        """The error for a file that is there but does not hold these weights."""
        reason = " ".join(reason.split())
        return InputError(
            f"{path} does not hold the weights of {self.network} ({reason}); replace it by "
            f"{self.url}, {INSTEAD}"
        )


def read_weights(path: Path, file: WeightsFile) -> dict[str, Tensor]:
    """The tensors in a file of weights by their names, on the CPU.

    Args:
        path: a pickle as published, or with the suffix .pth what `torch.save` wrote.
        file: what it should hold, for messages.

    Raises:
        InputError: the file cannot be read, or holds something else than named arrays.
    """
    read = read_torch if path.suffix == ".pth" else read_pickle
    advice = f"replace it by {file.url}, {INSTEAD}"
    content = read(path, f"file with the weights of {file.network}", advice)
    weights = content.get("model", content) if isinstance(content, dict) else content
    try:
        return check_tensors(weights)
    except (TypeError, ValueError) as error:  # TypeError: arrays of text
        raise file.unfit(path, str(error)) from error


def load_weights(
    network: nn.Module, weights: Mapping[str, Tensor], path: Path, file: WeightsFile
) -> None:
    """Puts weights into a network: every tensor of it, and no other.

    Names are compared here, not by `load_state_dict`: modules of detectron2 with a loading hook of
    their own report no names that are left over.

    Args:
        network: any module.
        weights: as `read_weights` returns them, under the network's names.
        path: where they come from, for messages.
        file: what they should be, for messages.

    Raises:
        InputError: names or shapes are not the network's.
    """
    expected = network.state_dict()
    given = {
        name: values for name, values in weights.items() if not name.startswith(_HARMLESS_PREFIXES)
    }
    for names, told in (
        (sorted(expected.keys() - given.keys()), "are missing"),
        (sorted(given.keys() - expected.keys()), "are not part of it"),
    ):
        if names:
            raise file.unfit(path, f"{len(names)} of its arrays {told}, {names[0]} for one")
    for name, values in expected.items():
        if given[name].shape != values.shape:
            found, wanted = tuple(given[name].shape), tuple(values.shape)
            raise file.unfit(path, f"{name} is {found}, expected {wanted}")
    # With the network's own version numbers no loading hook converts what has its final names.
    given = type(expected)(given)
    given._metadata = expected._metadata
    network.load_state_dict(given)
