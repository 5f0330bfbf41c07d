"""Random body shapes and ragged vertices: drawn here, applied by adding them."""

from torch import Generator, Tensor

from synthesis.options import AugmentationOptions
from utils.tensors import normal, uniform


def draw_betas(
    options: AugmentationOptions, mean_betas: Tensor, batch: int, generator: Generator
) -> Tensor:
    """Random shapes around the mean shape.

    Args:
        options: distribution and spread.
        mean_betas: (10,).
        batch: B.
        generator: on the device of mean_betas.

    Returns:
        (B, 10) betas.
    """
    shape = (batch, len(mean_betas))
    if options.betas_distribution == "normal":
        return mean_betas + options.betas_std * normal(shape, generator)
    return mean_betas + uniform(shape, options.betas_range, generator)


def draw_vertex_noise(
    options: AugmentationOptions, batch: int, vertices: int, generator: Generator
) -> Tensor:
    """Uniform noise in x and y, (B, V, 2) metres; there is none in depth."""
    # Laid out as the body model lays out vertices, so that adding it runs along whole planes.
    return uniform((batch, 2, vertices), options.vertex_noise, generator).mT
