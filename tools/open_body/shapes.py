"""A population of adult bodies and its principal components."""

from dataclasses import dataclass

import numpy as np

from tools.open_body.skeleton import tpose
from tools.open_body.source import CHANGES, Source

MAX_WEIGHT = 1.25  # of Anny's weight, whose own range is 0 to 1
ATHLETIC = 0.75  # Anny's muscle from which people keep it when they gain weight
DENSITY = 1000.0  # kg/m^3, turns a volume into a mass
STEPS = 5  # of the search for a wanted height and girth
HEIGHT_SLOPE = 0.75  # m of stature per unit of Anny's height
FIRST_GIRTH_SLOPE = 1.6  # square root of the BMI per unit of fat

# Changes that go with body fat, and how strongly: all fat, around the waist, around the hips.
FAT = {
    "upperarm-fat": 0.25,
    "lowerarm-fat": 0.15,
    "lowerleg-fat": 0.15,
    "neck-double-incr": 0.15,
    "head-fat-incr": 0.2,
    "measure-neck-circ-incr": 0.15,
}
WAIST = {"stomach-pregnant-incr": 0.3, "bulge-incr": 0.15, "measure-waist-circ-incr": 0.4}
HIPS = {"buttocks-volume-incr": 0.3, "upperleg-fat": 0.35, "measure-hips-circ-incr": 0.35}


@dataclass(frozen=True)
class Population:
    """How the people are drawn."""

    size: int = 4000  # people
    gender: tuple[float, float] = (0.0, 1.0)  # 0 man, 1 woman; uniform
    height_mean: tuple[float, float] = (1.80, 1.69)  # m, of men and women
    height_std: float = 0.111  # m
    girth_mean: float = 5.31  # square root of the BMI
    girth_std: float = 0.575
    change_std: float = 0.12  # of every local change
    fat_range: tuple[float, float] = (-0.25, 2.0)  # of the amount of fat that is solved for
    seed: int = 0


@dataclass(frozen=True)
class Half:
    """The part of a Source that the final mesh keeps: H vertices of the left half."""

    vertices: np.ndarray  # (H, 3)
    shapedirs: np.ndarray  # (K, H * 3)
    weights: np.ndarray  # (H, 104) of Anny's bones
    faces: np.ndarray  # (F, 3)

    @classmethod
    def of(cls, source: Source, kept: np.ndarray, faces: np.ndarray) -> "Half":
        """The half made of Anny's vertices `kept` (H,), with faces in their own numbers."""
        shapedirs = np.ascontiguousarray(source.shapedirs[:, kept]).reshape(
            len(source.shapedirs), -1
        )
        return cls(source.vertices[kept], shapedirs, source.weights[kept], faces)

    def bodies(self, coefficients: np.ndarray) -> np.ndarray:
        """(B, H, 3) float32 in A-pose."""
        return self.vertices + (coefficients @ self.shapedirs).reshape(-1, *self.vertices.shape)

    def volume(self, vertices: np.ndarray) -> np.ndarray:
        """Volume in m^3 of the whole bodies whose left halves (B, H, 3) are given."""
        a, b, c = (vertices[:, self.faces[:, i]] for i in range(3))
        return (np.cross(a, b) * c).sum((1, 2)) / 3  # both halves: twice a sixth


def stature(vertices: np.ndarray) -> np.ndarray:
    """Height in metres of standing bodies (B, V, 3)."""
    return vertices[..., 1].max(-1) - vertices[..., 1].min(-1)


def heads_of(source: Source, coefficients: np.ndarray) -> np.ndarray:
    """Bone heads (B, 104, 3)."""
    return source.heads + np.tensordot(coefficients, source.heads_dirs, 1).astype(np.float32)


def _draw(population: Population, rng: np.random.Generator) -> tuple[dict, np.ndarray, dict]:
    """Phenotypes without height and weight, local changes, and the wanted height and BMI."""
    n = population.size
    gender = rng.uniform(*population.gender, n)
    girth = rng.standard_normal(n)
    # Anny's heavy bodies are soft at low muscle and knotted at high muscle; its thinnest have
    # little muscle too. So muscle is free near the mean and low towards both ends.
    room = 1.15 - 0.4 * np.maximum(girth, 0) - 0.25 * np.maximum(-girth, 0)
    muscle = ATHLETIC * rng.beta(1.3, 1.3, n) * np.clip(room, 0.1, 1)
    athletic = (rng.random(n) < 0.35) & (np.abs(girth - 0.2) < 1.2)
    phenotypes = {
        "gender": gender,
        "age": np.where(rng.random(n) < 0.7, 2 / 3, rng.uniform(2 / 3, 0.95, n)),
        "muscle": np.where(athletic, rng.uniform(ATHLETIC, 1.05, n), muscle),
        "proportions": rng.uniform(0, 1, n),
        "cupsize": rng.uniform(0, 1, n),
        "firmness": rng.uniform(0.2, 1, n),
        "african": rng.uniform(0.1, 1, n),
        "asian": rng.uniform(0.1, 1, n),
        "caucasian": rng.uniform(0.1, 1, n),
    }
    changes = population.change_std * rng.standard_normal((n, len(CHANGES)))
    apple = 0.5 + 0.35 * rng.standard_normal(n) + 0.3 * (0.5 - gender)
    for table, amount in ((FAT, 0.5), (WAIST, apple), (HIPS, 1 - apple)):
        for name, strength in table.items():
            changes[:, CHANGES.index(name)] += strength * amount * girth
    low, high = population.height_mean
    wanted = {
        "height": low + (high - low) * gender + population.height_std * rng.standard_normal(n),
        "girth": population.girth_mean + population.girth_std * girth,
    }
    return phenotypes, np.clip(changes, -1, 1), wanted


def draw_people(
    source: Source, half: Half, population: Population, batch: int = 250
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw people of wanted height and BMI: Anny's height and the amount of fat are solved for.

    Returns:
        blendshape coefficients (N, K); height (m), bmi and fat of everyone, (N,) each.
    """
    drawn = _draw(population, np.random.default_rng(population.seed))
    return solve_in_batches(source, half, population, *drawn, batch)


def solve_in_batches(
    source: Source,
    half: Half,
    population: Population,
    phenotypes: dict,
    changes: np.ndarray,
    wanted: dict,
    batch: int = 250,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """`solve_people` for as many as there are, a batch at a time."""
    results, facts = [], []
    for start in range(0, len(changes), batch):
        part = slice(start, start + batch)
        people = {name: values[part] for name, values in phenotypes.items()}
        goal = {name: values[part] for name, values in wanted.items()}
        coefficients, measured = solve_people(source, half, population, people, changes[part], goal)
        results.append(coefficients)
        facts.append(measured)
    measured = {name: np.concatenate([fact[name] for fact in facts]) for name in facts[0]}
    return np.concatenate(results), measured


def fatness(amount: np.ndarray, muscle: np.ndarray) -> dict[str, np.ndarray]:
    """Anny's weight and muscle for an amount of fat; above 1 muscle gives way, up to nothing at 2.

    At average muscle Anny's heaviest weight is a BMI of only 25 to 30, and extrapolating it
    knots the muscles; soft obesity lies at little muscle. Athletes keep their muscle.
    """
    kept = np.where(muscle > ATHLETIC, 1, np.clip(2 - amount, 0, 1))
    return {"weight": np.minimum(amount, MAX_WEIGHT), "muscle": muscle * kept}


def solve_people(
    source: Source,
    half: Half,
    population: Population,
    people: dict,
    changes: np.ndarray,
    goal: dict,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Find the Anny height and the fat that give the wanted height and girth.

    Newton steps; height is linear in Anny's height, girth's slope is a secant's.

    Returns:
        blendshape coefficients (B, K), and what was reached.
    """
    count = len(changes)

    def measure(height: np.ndarray, fat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        values = {**people, "height": height, **fatness(fat, people["muscle"])}
        columns = np.stack([values[name] for name in source.phenotype_labels], 1)
        coefficients = source.coefficients(columns, changes)
        bodies = half.bodies(coefficients)
        tall = stature(bodies)
        return coefficients, tall, np.sqrt(half.volume(bodies) * DENSITY) / tall

    height, fat = np.full(count, 0.5), 0.6 + 0.4 * (goal["girth"] - 5.0)
    slope = np.full(count, FIRST_GIRTH_SLOPE)
    coefficients, tall, girth = measure(height, fat)
    for _ in range(STEPS):
        height = np.clip(height + (goal["height"] - tall) / HEIGHT_SLOPE, -0.2, 1.1)
        step = np.clip((goal["girth"] - girth) / slope, -0.4, 0.4)
        fat_before, girth_before = fat, girth
        fat = np.clip(fat + step, *population.fat_range)
        coefficients, tall, girth = measure(height, fat)
        moved = np.abs(fat - fat_before) > 0.02
        secant = (girth - girth_before) / np.where(moved, fat - fat_before, 1)
        slope = np.where(moved, np.clip(secant, 0.7, 5), slope)
    return coefficients, {"height": tall, "bmi": girth**2, "fat": fat}


def tposed_people(
    source: Source, half: Half, coefficients: np.ndarray, batch: int = 250
) -> tuple[np.ndarray, np.ndarray]:
    """T-posed left halves (N, H, 3) and joints (N, 24, 3), float32."""
    parts = []
    for start in range(0, len(coefficients), batch):
        part = coefficients[start : start + batch]
        parts.append(tpose(half.bodies(part), heads_of(source, part), half.weights, source))
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


@dataclass(frozen=True)
class ShapeSpace:
    """Mean body and directions; betas drawn from N(0, 1.5^2) give the population's spread."""

    mean: np.ndarray  # (H, 3)
    directions: np.ndarray  # (H, 3, K)
    explained: np.ndarray  # (K,) shares of the population's variance

    def first(self, count: int) -> "ShapeSpace":
        """The first directions alone."""
        return ShapeSpace(self.mean, self.directions[..., :count], self.explained[:count])


def principal_components(
    halves: np.ndarray, midline: np.ndarray, betas_std: float, count: int = 10
) -> ShapeSpace:
    """PCA of T-posed left halves, in the metric of the whole bodies.

    Args:
        halves: (N, H, 3) float32.
        midline: (H,) bool, these vertices count once, the others twice.
        betas_std: the spread of betas that training draws; a direction is 1 / betas_std of its
            component's standard deviation.
        count: how many components.
    """
    mean = halves.mean(0, dtype=np.float64)
    scale = np.where(midline, 1.0, np.sqrt(2.0))[:, None]
    centred = ((halves - mean) * scale).reshape(len(halves), -1)
    gram = centred @ centred.T / (len(halves) - 1)
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    axes = (centred.T @ vectors) / np.sqrt(len(halves) - 1)  # columns of length sqrt(value)
    directions = axes.reshape(*mean.shape, count) / scale[..., None] / betas_std
    # A direction's sign: larger betas make the body larger.
    outward = np.einsum("hi,hik->k", mean - mean.mean(0), directions)
    return ShapeSpace(mean, directions * np.where(outward < 0, -1, 1), values / gram.trace())
