"""Makes adults of every build, whose shapes training draws from: data/open_shapes.npz.

    pip install -r tools/open_body/requirements.txt
    python -m tools.open_body.build_shapes

Betas that are drawn one by one know nothing of each other, but those of people do: waist, chest and
neck of a heavy or an old person go together. So these are Anny's people, more various than those
whose principal components the betas are: muscle, fat and local changes in any combination.
What the file holds is said in data/README.md.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tools.open_body.people import PeopleMaker, print_sizes
from tools.open_body.shapes import FAT, HIPS, WAIST, Population, solve_in_batches
from tools.open_body.source import CHANGES
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.files import write_npz
from utils.paths import OPEN_SHAPES

EITHER, EITHER_RANGE = 0.8, 0.15  # share of people of one gender, and how far towards the other
BMI_RANGE = (15.0, 46.0)  # kg / m^2, evenly in its logarithm, for half of the people
USUAL_BMI, USUAL_SPREAD = 26.0, 0.2  # of the others: median, standard deviation of the logarithm
TALL = (1.79, 1.65)  # m, mean height of men and women
HEIGHT_STD, HEIGHT_RANGE = 0.09, (1.4, 2.1)  # m
CHANGE_STD = (0.05, 0.25)  # of a person's local changes
FAT_SHARE, MOST_FAT = 0.6, 1.2  # share of people whose local changes go with body fat, how strongly
STRONG_CHANGES, STRONG_SHARE, STRONG = 3, 0.5, 0.9  # tries, chance of each, its largest size
BATCH = 250  # people whose meshes are in memory at once


@dataclass(frozen=True)
class Options:
    """Who is made."""

    output: Path = OPEN_SHAPES  # npz to write
    count: int = 20_000  # people
    seed: int = 31


def draw_adults(rng: np.random.Generator, count: int) -> tuple[dict, np.ndarray, dict]:
    """Draws people without height and weight, their local changes, and the wanted sizes.

    Returns:
        Phenotypes by name, (N,) each; changes (N, C); wanted height (m) and square root of the BMI.
    """
    of_one_gender = np.abs((rng.random(count) < 0.5) - rng.uniform(0, EITHER_RANGE, count))
    gender = np.where(rng.random(count) < EITHER, of_one_gender, rng.uniform(0, 1, count))
    bmi = np.exp(rng.uniform(*np.log(BMI_RANGE), count))
    usual_bmi = USUAL_BMI * np.exp(USUAL_SPREAD * rng.standard_normal(count))
    girth = np.sqrt(np.where(rng.random(count) < 0.5, usual_bmi, bmi))
    phenotypes = {
        "gender": gender,
        "age": rng.uniform(0.55, 1.0, count),
        "muscle": rng.uniform(0, 1.05, count),
        **{name: rng.uniform(0, 1, count) for name in ("proportions", "cupsize", "firmness")},
        **{name: rng.uniform(0.05, 1, count) for name in ("african", "asian", "caucasian")},
    }
    changes = rng.uniform(*CHANGE_STD, (count, 1)) * rng.standard_normal((count, len(CHANGES)))
    usual = Population()
    fat = (girth - usual.girth_mean) / usual.girth_std * rng.uniform(0, MOST_FAT, count)
    fat *= rng.random(count) < FAT_SHARE
    apple = 0.5 + 0.35 * rng.standard_normal(count)
    for table, amount in ((FAT, 0.5), (WAIST, apple), (HIPS, 1 - apple)):
        for name, strength in table.items():
            changes[:, CHANGES.index(name)] += strength * amount * fat
    for _ in range(STRONG_CHANGES):
        who = rng.random(count) < STRONG_SHARE
        what = rng.integers(len(CHANGES), size=count)
        changes[who, what[who]] += rng.uniform(-STRONG, STRONG, who.sum())
    men, women = TALL
    height = men + (women - men) * gender + HEIGHT_STD * rng.standard_normal(count)
    return (
        phenotypes,
        np.clip(changes, -1, 1),
        {
            "height": np.clip(height, *HEIGHT_RANGE),
            "girth": girth,
        },
    )


def build(options: Options) -> None:
    """Makes the people, writes their betas and prints who they are."""
    if options.count < 1:
        raise InputError(f"--count is {options.count}; expected at least 1")
    maker = PeopleMaker.load()
    body = maker.body
    drawn = draw_adults(np.random.default_rng(options.seed), options.count)
    coefficients, _ = solve_in_batches(maker.source, maker.half, Population(), *drawn, BATCH)
    betas, sizes, missed = [], [], []
    for start in range(0, options.count, BATCH):
        vertices = torch.from_numpy(maker.tpose(coefficients[start : start + BATCH]))
        nearest = body.find_nearest_betas(vertices, body.num_betas)
        missed.append((vertices - body.tpose(nearest)).norm(dim=2).mean())
        betas.append(nearest.numpy())
        sizes.append(maker.measure_sizes(vertices.numpy()))
    genders = drawn[0]["gender"]
    arrays = {"betas": np.concatenate(betas), "genders": genders}
    arrays = {name: values.astype(np.float16) for name, values in arrays.items()}
    write_npz(options.output, {**arrays, "body_hash": body.identity["hash"]})
    print_sizes(np.concatenate(sizes))
    print(f"their betas miss their vertices by {1e3 * float(np.mean(missed)):.1f} mm on average")


if __name__ == "__main__":
    sys.exit(run_script(lambda: build(parse_options(Options, __doc__))))
