"""Nothing is found in data without a leak: chance makes equal rows, strong features and small shifts, too."""

import numpy as np
import pytest
from made_data import (
    bars,
    categories,
    derived,
    found,
    measured,
    of_csv,
    of_images,
    of_texts,
    patterns,
    rarely,
    sentences,
    with_state,
)

from trainer.checks.check import in_short
from trainer.data import from_frame

CLEAN = {
    "40 rows, 30 columns of noise": lambda random, _: from_frame(measured(random, 40, 30), "y"),
    "30 rows, two classes": lambda random, _: from_frame(measured(random, 30, classes=2), "y"),
    "60 rows, three classes": lambda random, folder: of_csv(measured(random, 60, classes=3), folder),
    "200 rows, a regression": lambda random, folder: of_csv(measured(random, 200), folder),
    "200 rows, 60 columns of noise": lambda random, _: from_frame(measured(random, 200, 60, classes=2), "y"),
    "3000 rows": lambda random, _: from_frame(measured(random, 3000), "y"),
    "3000 rows, ten classes": lambda random, folder: of_csv(measured(random, 3000, classes=10), folder),
    "states and sexes": lambda random, folder: of_csv(with_state(random, 1500), folder),
    "states and sexes, few rows": lambda random, _: from_frame(with_state(random, 300), "y"),
    "six categories": lambda random, folder: of_csv(categories(random, 2000), folder),
    "six categories, few rows": lambda random, _: from_frame(categories(random, 60), "y"),
    "twelve categories": lambda random, _: from_frame(categories(random, 500, 12), "y"),
    "a target that is mostly 0": lambda random, _: from_frame(rarely(random, 1500), "y"),
    "towns": lambda random, _: from_frame(derived(random, 1000), "y"),
    "divided in time": lambda random, folder: of_csv(
        measured(random, 600).assign(when=np.arange(600)), folder, time="when"
    ),
    "grouped": lambda random, folder: of_csv(
        measured(random, 600).assign(who=np.arange(600) // 6), folder, group="who"
    ),
    "texts": lambda random, folder: of_texts(sentences(random, 400), folder),
    "short texts of few words": lambda random, folder: of_texts(sentences(random, 400, 12, 4), folder),
    "many texts": lambda random, folder: of_texts(sentences(random, 1200, 2000), folder),
    "patterns": lambda random, _: of_images(*patterns(random, 300)),
    "patterns with little noise": lambda random, _: of_images(*patterns(random, 300, noise=0.01)),
    "bars": lambda random, _: of_images(*bars(random, 400)),
    "small images": lambda random, _: of_images(*patterns(random, 200, side=8, noise=0.3)),
}


@pytest.mark.parametrize("name", CLEAN)
def test_nothing_is_found_in_clean_data(name, tmp_path):
    for seed in (0, 1):
        made = CLEAN[name](np.random.default_rng(seed), tmp_path)
        assert found(made) == set()
        assert in_short(*made) == []
