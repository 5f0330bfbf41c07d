"""What a run leaves to look at: a CSV of every epoch, TensorBoard curves and pictures."""

import csv
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from renderers.overlay import draw_proxy
from utils.files import lock_folder, write_whole
from utils.proxy import Observation

METRICS_FILE = "metrics.csv"
_PEOPLE_SHOWN = 8


class RunLog:
    """Writes the record of a run into its folder, which no other run may have meanwhile.

    Args:
        folder: of the run; it must exist.
        history: a row for every epoch that is finished already. TensorBoard forgets what an
            interrupted run wrote after these; what it did not come to write is added here.

    Raises:
        InputError: another run is writing into the folder.
    """

    def __init__(self, folder: Path, history: list[dict[str, float]]):
        """Opens the TensorBoard log."""
        self.folder = folder
        self._lock = lock_folder(folder)
        self.writer = SummaryWriter(str(folder), purge_step=len(history) + 1)
        for row in history[self._count_written() :]:
            self._write_curves(row)
        if history:
            self._write_csv(history)

    def _count_written(self) -> int:
        """How many epochs are in the CSV, which is written after TensorBoard's curves."""
        try:
            return max(len((self.folder / METRICS_FILE).read_bytes().splitlines()) - 1, 0)
        except OSError:
            return 0

    def write_epoch(self, history: list[dict[str, float]], sample: dict[str, Tensor]) -> None:
        """Records the newest epoch.

        Args:
            history: a row for every finished epoch; the CSV is written anew from it, so that a
                resumed run leaves neither gaps nor doubles.
            sample: of `Trainer.validate`.
        """
        row = history[-1]
        self._write_curves(row)
        self.writer.add_image(
            "val/proxy_target_prediction", proxy_grid(sample), row["epoch"], dataformats="HWC"
        )
        self.writer.flush()
        self._write_csv(history)

    def _write_curves(self, row: dict[str, float]) -> None:
        for name, value in row.items():
            if name != "epoch":
                # "val_pve_pa" becomes "val/pve_pa", which TensorBoard groups.
                self.writer.add_scalar(name.replace("_", "/", 1), value, row["epoch"])

    def close(self) -> None:
        """Closes the TensorBoard log and leaves the folder to others."""
        self.writer.close()
        self._lock.close()

    def _write_csv(self, history: list[dict[str, float]]) -> None:
        columns = list(dict.fromkeys(name for row in history for name in row))
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, columns)
        writer.writeheader()
        writer.writerows(history)
        write_whole(self.folder / METRICS_FILE, table.getvalue().encode())


def proxy_grid(sample: dict[str, Tensor]) -> np.ndarray:
    """A picture of inputs and predictions: a column a person.

    The upper row shows the input, see `renderers.overlay.draw_proxy`; the lower row the true
    silhouette in red, the predicted one in blue (violet where they agree) and the predicted joints
    in white.

    Args:
        sample: an `Observation`'s fields by name, target_silhouettes and pred_silhouettes
            (B, S, S) and pred_joints2d_px (B, 17, 2).

    Returns:
        (2 S, n S, 3) uint8 RGB of the first n <= 8 people.
    """
    observed = (sample[name][:_PEOPLE_SHOWN].cpu().numpy() for name in Observation._fields)
    people = list(zip(*observed, strict=True))
    black = np.zeros((*people[0][0].shape, 3), np.uint8)
    upper = [draw_proxy(black, *person) for person in people]
    target = sample["target_silhouettes"][:_PEOPLE_SHOWN].float()
    pred = sample["pred_silhouettes"][:_PEOPLE_SHOWN].float()
    lower = torch.stack([0.7 * target, torch.zeros_like(target), 0.7 * pred], dim=-1)
    _mark_points(lower, sample["pred_joints2d_px"][:_PEOPLE_SHOWN])
    lower = (lower * 255).clamp(0, 255).byte().cpu().numpy()
    return np.concatenate([np.concatenate(row, axis=1) for row in (upper, list(lower))])


def _mark_points(images: Tensor, points_px: Tensor) -> None:
    """Whitens the pixels (B, S, S, 3) at points (B, J, 2), clamped into the picture."""
    size = images.shape[1]
    columns, rows = points_px.nan_to_num(0).clamp(0, size - 1).long().unbind(-1)
    people = torch.arange(len(images), device=images.device)[:, None]
    images[people, rows, columns] = 1
