"""What is printed about the photos, one line each, and the summary at the end."""

from collections.abc import Iterable
from pathlib import Path

from predict.people import PredictedPerson, Skipped


class Report:
    """Collects the outcome of every photo."""

    def __init__(self) -> None:
        """Starts empty."""
        self._ious: list[float] = []
        self._skipped: list[Skipped] = []
        self._errors: list[dict[str, float]] = []

    @property
    def done(self) -> int:
        """How many photos were predicted."""
        return len(self._ious)

    @property
    def skipped(self) -> int:
        """How many photos were not."""
        return len(self._skipped)

    def add(self, result: PredictedPerson | Skipped, errors: dict[str, float] | None = None) -> str:
        """Takes a result in and returns its line.

        Args:
            result: of one photo.
            errors: by name with unit, where the truth is known.
        """
        if isinstance(result, Skipped):
            self._skipped.append(result)
            return f"skipped {result.reason}"
        self._ious.append(result.silhouette_iou)
        line = (
            f"{result.photo.path.name}: {result.measurements}, "
            f"silhouette IoU {result.silhouette_iou:.2f}"
        )
        if errors is None:
            return line
        self._errors.append(errors)
        return f"{line}\n    against the truth: {_listed(errors)}"

    def summary(self, output: Path) -> str:
        """The last lines: counts, means, the skipped photos by name, where the results are."""
        lines = [f"{self.done} of {self.done + self.skipped} photos done"]
        if self._ious:
            lines.append(f"mean IoU of predicted and detected silhouette: {_mean(self._ious):.3f}")
        if self._errors:
            means = {
                name: _mean(errors[name] for errors in self._errors) for name in self._errors[0]
            }
            lines.append(
                f"mean errors over {len(self._errors)} photos with truth: {_listed(means)}"
            )
        if self._skipped:
            lines.append(f"{self.skipped} skipped:")
            lines.extend(f"    {skipped.reason}" for skipped in self._skipped)
        if self.done:
            lines.append(f"results are in {output}")
        return "\n".join(lines)


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def _listed(errors: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in errors.items())
