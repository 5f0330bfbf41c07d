"""Predicted and true tensors by name, checked against each other."""

from torch import Tensor


def pair_of(pred: dict[str, Tensor], target: dict[str, Tensor], key: str) -> tuple[Tensor, Tensor]:
    """The predicted and the true tensor of a name.

    Raises:
        ValueError: one is missing, or their shapes differ.
    """
    for name, tensors in (("pred", pred), ("target", target)):
        if key not in tensors:
            raise ValueError(f"this needs {key}, but {name} has only {sorted(tensors)}")
    if pred[key].shape != target[key].shape:
        raise ValueError(
            f"{key}: pred has shape {tuple(pred[key].shape)}, target {tuple(target[key].shape)}; "
            "they must be the same"
        )
    return pred[key], target[key]


def visibility_of(target: dict[str, Tensor], joints2d: Tensor) -> Tensor:
    """Which of the 2D joints (B, J, 2) are visible: (B, J) bool.

    Raises:
        ValueError: target has no visibility, or one of another shape.
    """
    if "visibility" not in target:
        raise ValueError("this needs visibility (B, 17) bool, but target has no visibility")
    visibility = target["visibility"].bool()
    if visibility.shape != joints2d.shape[:2]:
        raise ValueError(
            f"visibility has shape {tuple(visibility.shape)}; {tuple(joints2d.shape[:2])} is needed"
        )
    return visibility
