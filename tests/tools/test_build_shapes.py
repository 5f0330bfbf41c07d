"""How the made people are drawn; making them needs Anny, which is not installed for tests."""

import numpy as np

from tools.open_body.build_shapes import BMI_RANGE, HEIGHT_RANGE, Options, draw_adults
from tools.open_body.source import CHANGES
from utils.paths import OPEN_SHAPES
from utils.readers import read_npz

COUNT = 4000


def test_adults_are_of_every_build():
    phenotypes, changes, wanted = draw_adults(np.random.default_rng(0), COUNT)
    genders = phenotypes["gender"]
    assert (genders < 0.15).mean() > 0.4
    assert (genders > 0.85).mean() > 0.4
    for name, values in phenotypes.items():
        assert values.shape == (COUNT,), name
        assert values.min() >= 0, name
        assert np.ptp(values) > 0.4, name
    assert changes.shape == (COUNT, len(CHANGES))
    assert np.abs(changes).max() <= 1
    strong = (np.abs(changes) > 0.6).any(axis=1)
    assert 0.4 < strong.mean() < 0.9
    bmi, height = wanted["girth"] ** 2, wanted["height"]
    assert np.percentile(bmi, 1) < BMI_RANGE[0] + 2
    assert np.percentile(bmi, 99) > BMI_RANGE[1] - 5
    assert HEIGHT_RANGE[0] <= height.min() < height.max() <= HEIGHT_RANGE[1]
    assert height[genders < 0.5].mean() - height[genders > 0.5].mean() > 0.1


def test_the_shipped_people_are_drawn_by_this_rule():
    options = Options()
    phenotypes, _, _ = draw_adults(np.random.default_rng(options.seed), options.count)
    shipped = read_npz(OPEN_SHAPES, ["genders"])["genders"]
    np.testing.assert_array_equal(phenotypes["gender"].astype(np.float16), shipped)
