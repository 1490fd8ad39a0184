"""The statistics of checks against other implementations, formulas and simulations."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from made_data import categories, measured
from scipy import stats

from trainer.checks.chance import added, by_chance, exceeds, hashed, pairs
from trainer.checks.copies import _texts_by_chance, fingerprints
from trainer.checks.pool import Column
from trainer.checks.predictors import class_changes, xi
from trainer.checks.shifts import chi_square_p, ks_distance, ks_limit


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.mark.skipif(not hasattr(stats, "chatterjeexi"), reason="SciPy has it from 1.15 on")
def test_xi_is_chatterjees_but_for_its_scale(random):
    x, noise = random.normal(size=(2, 500))
    for y in (x, -x, x**3, x + noise, noise):
        strength, chance = xi(Column("x", x), y)
        theirs = stats.chatterjeexi(x, y)
        largest = 1 - 3 / 501  # of a rising function of 500 examples
        steps = (1 - theirs.statistic) * (500**2 - 1) / 3 / 499
        assert strength == pytest.approx(1 - (steps - 1) / (501 / 3 - 1))
        assert strength == pytest.approx(theirs.statistic / largest, abs=0.005)
        assert chance > min(theirs.pvalue, 0.4)
        assert (chance < 1e-6) == (theirs.pvalue < 1e-6)


def test_xi_of_a_target_with_equal_values_is_0_by_chance(random):
    found = [xi(Column("x", random.normal(size=400)), (random.random(400) < 0.1) * 1.0) for _ in range(400)]
    assert np.mean([strength for strength, _ in found]) == pytest.approx(0, abs=0.02)
    assert np.mean([chance < 0.05 for _, chance in found]) < 0.07
    assert xi(Column("x", np.arange(400.0)), np.repeat([0.0, 5.0], [390, 10]))[0] == 1


def test_xi_of_words_looks_within_words():
    words = Column("x", np.repeat(np.arange(10), 30), [*"abcdefghij"])
    assert xi(words, words.values.astype(float))[0] == 1
    assert xi(words, np.tile(np.arange(30.0), 10))[0] < 0.2
    assert xi(words._replace(values=np.arange(300)), np.arange(300.0)) == (0, 1)  # no two rows to compare


def test_class_changes_of_a_sorted_column_are_counted():
    order = Column("x", np.arange(12.0))
    for labels, changes in (([0] * 6 + [1] * 6, 0), ([0, 1] * 6, 10), ([0] * 4 + [1] * 4 + [2] * 4, 0)):
        found, usual, _ = class_changes(order, np.array(labels), max(labels) + 1)
        assert found == changes
        runs = 12 * (1 - sum((labels.count(k) / 12) ** 2 for k in {*labels}))  # mean of Wald and Wolfowitz, less one
        assert usual == pytest.approx(runs)


def test_class_changes_of_equal_values_are_the_mean_over_their_orders():
    values, labels = np.array([1.0, 1, 1, 2, 2, 3, 3, 3, 3, 3]), np.array([0, 0, 1, 1, 1, 0, 1, 1, 0, 0])
    counts = []
    for first in permutations(range(3)):
        for last in permutations(range(5, 10)):
            some = labels[[*first, 3, 4, *last]]
            counts.append((some[1:] != some[:-1]).sum())
    assert class_changes(Column("x", values), labels, 2)[0] + 1 == pytest.approx(np.mean(counts))


def test_the_probability_of_few_class_changes_is_bounded(random):
    labels = np.repeat([0, 1], 6)
    few = class_changes(Column("x", np.arange(12.0)), labels, 2)[2]
    exact = 2 / math.comb(12, 6)  # both orders of two blocks
    assert exact <= few < 50 * exact
    pure = class_changes(Column("x", np.repeat(np.arange(3), 4), [*"abc"]), np.repeat([0, 1, 0], 4), 2)[2]
    assert 3 / math.comb(12, 4) <= pure < 50 / math.comb(12, 4)


def test_kolmogorov_and_smirnovs_distance_and_its_limit(random):
    for size, other in ((100, 40), (3000, 500)):
        here, there = random.normal(size=size).round(1), random.normal(0.2, 1, other).round(1)
        assert ks_distance(here, there) == pytest.approx(stats.ks_2samp(here, there).statistic)
        limit = ks_limit(size, other, 1e-4)
        assert limit * math.sqrt(size * other / (size + other)) == pytest.approx(stats.kstwobign.isf(1e-4), rel=1e-3)


def test_chi_square_of_two_splits(random):
    counts = np.array([[400, 300, 250, 50], [90, 110, 70, 30]])
    assert chi_square_p(counts) == pytest.approx(stats.chi2_contingency(counts, correction=False)[1])
    rare = np.array([[400, 300, 250, 3, 5, 2, 7], [90, 110, 70, 0, 1, 0, 1]])  # in sum too few: left out
    assert chi_square_p(rare) == pytest.approx(stats.chi2_contingency(rare[:, :3], correction=False)[1])
    assert chi_square_p(np.array([[10, 0], [5, 0]])) == 1


def test_fingerprints_are_equal_where_inputs_are(random):
    images = torch.from_numpy(random.integers(0, 2, (3000, 1, 3, 5), dtype=np.uint8) * 255)
    found = fingerprints(images).tolist()
    known = [image.numpy().tobytes() for image in images]
    assert len({*found}) == len({*known}) == len({*zip(found, known, strict=True)}) < 3000
    one = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]])
    assert len({*fingerprints(one).tolist()}) == 2
    assert len({*fingerprints(torch.eye(500, dtype=torch.int32)).tolist()}) == 500
    assert len({*fingerprints(128 * torch.eye(500, dtype=torch.uint8)).tolist()}) == 500


def test_hashed_values_are_equal_where_values_are():
    values = np.array([0.0, -0.0, np.nan, -np.nan, 1.0, 2.0])
    codes = np.unique(hashed(values, 0), return_inverse=True)[1]
    assert codes[0] == codes[1]
    assert codes[2] == codes[3]
    assert len({*codes.tolist()}) == 4
    assert not (hashed(values, 0) == hashed(values, 1)).any()


def test_equal_rows_by_chance_are_as_many_as_in_a_simulation(random):
    for _ in range(3):
        columns = [hashed(random.integers(0, 4, 400), n) for n in range(6)]
        expected = 400 * 399 / 2 / 4**6
        assert by_chance(columns) == pytest.approx(expected, rel=0.8, abs=12)
        assert not exceeds(pairs(added(columns)), by_chance(columns))
    frame = categories(random, 1500)
    columns = [hashed(frame[name].astype("category").cat.codes.to_numpy(np.int64), n) for n, name in enumerate(frame)]
    assert by_chance(columns) == pytest.approx(pairs(added(columns)), rel=0.3)  # though columns depend on each other
    frame = measured(random, 300, 4)
    assert by_chance([hashed(frame[name].to_numpy(), n) for n, name in enumerate(frame) if n < 5]) < 1e-3


def test_more_than_chance_is_poissons(random):
    for found, expected in ((5, 1e-3), (8, 2.0), (40, 10.0), (1, 0.5)):
        assert exceeds(found, expected) == (stats.poisson.sf(found - 1, expected) < 1e-3 and found > 3 * expected)


def test_equal_texts_by_chance(random):
    words = [*"abcdefgh"]
    texts = [" ".join(random.choice(words, 3)) for _ in range(2000)]
    found = pairs(np.unique(texts, return_inverse=True)[1])
    assert _texts_by_chance(texts) == pytest.approx(2000 * 1999 / 2 / 8**3, rel=0.02)
    assert found == pytest.approx(_texts_by_chance(texts), rel=0.1)
