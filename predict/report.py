"""What is printed about the photos, one line a person, and the summary at the end."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from predict.results import PhotoResult
from utils.errors import Skipped


class Report:
    """Collects the outcome of every photo.

    Args:
        numbered: whether the people in a photo have numbers.
    """

    def __init__(self, numbered: bool = False) -> None:
        self._numbered = numbered
        self._done = 0
        self._ious: list[float] = []
        self._skipped: list[str] = []
        self._errors: list[dict[str, float]] = []

    @classmethod
    def combined(cls, reports: Sequence["Report"]) -> "Report":
        """One report of several processes' photos."""
        total = cls(reports[0]._numbered)
        for report in reports:
            total._done += report._done
            total._ious += report._ious
            total._skipped += report._skipped
            total._errors += report._errors
        return total

    @property
    def done(self) -> int:
        """How many photos were predicted."""
        return self._done

    @property
    def skipped(self) -> int:
        """How many photos were not."""
        return len(self._skipped)

    def add(self, result: PhotoResult | Skipped) -> str:
        """Takes the result of a photo in and returns its lines."""
        if isinstance(result, Skipped):
            self._skipped.append(result.reason)
            return f"skipped {result.reason}"
        self._done += 1
        lines = []
        people = zip(result.measurements, result.silhouette_ious, strict=True)
        for number, (measurements, iou) in enumerate(people, start=1):
            who = f"{result.name}{f', person {number}' if self._numbered else ''}"
            lines.append(f"{who}: {measurements}, silhouette IoU {iou:.2f}")
        self._ious += result.silhouette_ious
        if result.errors is not None:
            self._errors.append(result.errors)
            lines.insert(1, f"    against the truth: {_format_errors(result.errors)}")
        return "\n".join(lines)

    def summary(self, output: Path) -> str:
        """The last lines: counts, means, the skipped photos by name, where the results are."""
        people = f", {len(self._ious)} people" if self._numbered else ""
        lines = [f"{self.done} of {self.done + self.skipped} photos done{people}"]
        if self._ious:
            lines.append(f"mean IoU of predicted and detected silhouette: {_mean(self._ious):.3f}")
        if self._errors:
            means = {
                name: _mean(errors[name] for errors in self._errors) for name in self._errors[0]
            }
            lines.append(
                f"mean errors over {len(self._errors)} photos with truth: {_format_errors(means)}"
            )
        if self._skipped:
            lines.append(f"{self.skipped} skipped:")
            lines.extend(f"    {reason}" for reason in self._skipped)
        if self.done:
            lines.append(f"results are in {output}")
        return "\n".join(lines)


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def _format_errors(errors: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in errors.items())
