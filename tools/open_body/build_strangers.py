"""Makes people whom the open body's betas cannot represent: the strangers of run_evaluate.py.

    pip install -r tools/open_body/requirements.txt
    python -m tools.open_body.build_strangers

They are drawn from all of Anny's phenotypes and from local changes nearly twice as strong as
those of the people whose principal components the betas are, every build with every other. What the
file holds is said in data/README.md.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tools.open_body.people import PeopleMaker, print_sizes
from tools.open_body.shapes import Population, solve_people
from tools.open_body.source import CHANGES
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.files import write_npz
from utils.paths import STRANGERS

STEP = 2.0**-15  # m, of the offsets' whole numbers
HEIGHTS = {"male": (1.76, 0.09), "female": (1.64, 0.08)}  # m, mean and standard deviation
HEIGHT_RANGE = (1.46, 2.04)  # m
BMI_RANGE = (15.5, 44.0)  # kg / m^2, evenly in its logarithm
CHANGE_STD = 0.2  # of every local change
BELLY_CHANGE = "stomach-pregnant-incr"
BELLIES, BELLY_RANGE = 0.25, (0.3, 0.9)  # share of women, and of heavy men, and the change
HEAVY = 27.0  # kg / m^2, BMI from which on men have such bellies
LEG_CHANGES = ("lowerlegs-height-incr", "upperlegs-height-incr")
LEGS, LEG_RANGE = 0.4, (-0.6, 0.6)  # share of people with short or long legs, and the changes


@dataclass(frozen=True)
class Options:
    """Who is made."""

    output: Path = STRANGERS  # npz to write
    count: int = 200  # people, half of them women
    seed: int = 424_242


def draw_strangers(rng: np.random.Generator, count: int, gender: str) -> tuple[dict, ...]:
    """Draws people without height and weight, their local changes, and the wanted sizes.

    Returns:
        Phenotypes by name, (N,) each; changes (N, C); wanted height (m) and square root of the BMI.
    """
    woman = rng.uniform(0, 0.1, count)
    phenotypes = {
        "gender": woman if gender == "male" else 1 - woman,
        "age": rng.uniform(0.6, 1.0, count),
        "muscle": rng.uniform(0.0, 1.0, count),
        **{name: rng.uniform(0, 1, count) for name in ("proportions", "cupsize", "firmness")},
        **{name: rng.uniform(0.05, 1, count) for name in ("african", "asian", "caucasian")},
    }
    changes = CHANGE_STD * rng.standard_normal((count, len(CHANGES)))
    bmi = np.exp(rng.uniform(*np.log(BMI_RANGE), count))
    belly = (rng.random(count) < BELLIES) & ((gender == "female") | (bmi > HEAVY))
    changes[belly, CHANGES.index(BELLY_CHANGE)] = rng.uniform(*BELLY_RANGE, belly.sum())
    legs = rng.random(count) < LEGS
    for name in LEG_CHANGES:
        changes[legs, CHANGES.index(name)] = rng.uniform(*LEG_RANGE, legs.sum())
    mean, std = HEIGHTS[gender]
    height = np.clip(mean + std * rng.standard_normal(count), *HEIGHT_RANGE)
    return phenotypes, np.clip(changes, -1, 1), {"height": height, "girth": np.sqrt(bmi)}


def make_strangers(maker: PeopleMaker, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """T-posed people (N, V, 3), metres, men first, and genders (N,)."""
    vertices, genders = [], []
    for number, gender in enumerate(HEIGHTS):
        rng = np.random.default_rng([options.seed, number])
        count = options.count // len(HEIGHTS)
        phenotypes, changes, wanted = draw_strangers(rng, count, gender)
        coefficients, _ = solve_people(
            maker.source, maker.half, Population(), phenotypes, changes, wanted
        )
        vertices.append(maker.tpose(coefficients))
        genders += [gender] * count
    return np.concatenate(vertices), np.array(genders)


def build(options: Options) -> None:
    """Makes the strangers, writes them and prints who they are."""
    if options.count < 2 or options.count % 2:
        raise InputError(f"--count is {options.count}; expected an even number")
    maker = PeopleMaker.load()
    body, midline = maker.body, maker.midline
    vertices, genders = make_strangers(maker, options)
    betas = body.find_nearest_betas(torch.from_numpy(vertices))
    told = body.tpose(betas).double().numpy()
    offsets = np.round((vertices - told)[:, : len(midline)] / STEP)
    write_npz(
        options.output,
        {
            "betas": betas.numpy(),
            "offsets": offsets.astype(np.int16),
            "step": np.float32(STEP),
            "midline": midline,
            "genders": genders,
            "body_hash": body.identity["hash"],
        },
    )
    print_sizes(maker.measure_sizes(vertices))
    missed = np.linalg.norm(vertices - told, axis=2)
    print(f"ten betas miss their vertices by {1e3 * missed.mean():.1f} mm on average")


if __name__ == "__main__":
    sys.exit(run_script(lambda: build(parse_options(Options, __doc__))))
