"""Data sets made for checks: clean ones, and ones with a leak each."""

import numpy as np
import pandas as pd
import torch

from trainer.checks.check import check
from trainer.checks.pool import Pool
from trainer.data.division import Division
from trainer.data.images import _image_data
from trainer.data.tabular import csv
from trainer.data.tensors import Examples, splits_of
from trainer.data.text import text

LETTERS = [*"abcdefghijklmnopqrstuvwxyz"]


def found(made):
    """Return the kinds of what is found in splits and their spec, each once."""
    return {finding.kind for finding in check(Pool(*made))}


def of_csv(frame, folder, **settings):
    """Read a frame as a file whose target is y."""
    path = folder / "made.csv"
    frame.to_csv(path, index=False)
    return csv(path=str(path), target="y", **settings)


def of_texts(frame, folder, **settings):
    """Read a frame with the columns text and label as a file of texts."""
    path = folder / "texts.csv"
    frame.to_csv(path, index=False)
    return text(path=str(path), tokens="words", **settings)


def of_images(images, labels, seed=0):
    """Divide images `(N, C, H, W)` in [0, 1]."""
    labels = torch.from_numpy(labels)
    pixels = torch.from_numpy((images.clip(0, 1) * 255).astype(np.uint8))
    splits = splits_of(Examples(pixels, labels), Division(seed=seed).parts(labels))
    return _image_data(splits, class_names=tuple(map(str, range(int(labels.max()) + 1))))


def measured(random, size, num_noise=10, classes=0):
    """Make a table whose target depends on three of its columns, beside columns of noise of all kinds."""
    hidden = random.normal(size=(size, 3))
    frame = pd.DataFrame({f"m{n}": (hidden[:, n] + 0.5 * random.normal(size=size)).round(2) for n in range(3)})
    kinds = [
        lambda: random.standard_cauchy(size),
        lambda: random.lognormal(size=size).round(1),
        lambda: random.integers(18, 90, size),
        lambda: random.poisson(3, size),
        lambda: random.choice(["red", "green", "blue"], size),
        lambda: np.where(random.random(size) < 0.2, np.nan, random.normal(size=size)),
    ]
    for number in range(num_noise):
        frame[f"n{number}"] = kinds[number % len(kinds)]()
    score = hidden.sum(1) + random.normal(size=size)
    cuts = np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]) if classes else []
    frame["y"] = np.digitize(score, cuts) if classes else score
    return frame


def rarely(random, size):
    """Make a table whose target is 0 in all rows but 3 %."""
    frame = measured(random, size)
    return frame.assign(y=np.where(random.random(size) < 0.03, random.lognormal(size=size), 0))


def with_state(random, size):
    """Make a table with a state, on which the target depends, and a sex."""
    frame = measured(random, size, classes=2)
    frame["state"] = random.choice([f"{a}{b}" for a in "ACMNW" for b in "ADEINORTVY"], size)
    if size > 1000:  # a few rows of each could be of one person
        frame["state_id"] = frame.state.astype("category").cat.codes
    frame["sex"] = random.choice(["female", "male"], size)
    likely = frame.state.map({state: random.random() for state in frame.state.unique()})
    frame["y"] = np.where(random.random(size) < 0.8, (likely > 0.5).astype(int), frame.y)
    return frame


def categories(random, size, num_columns=6):
    """Make a table of few categories, all of which depend on a hidden one; many rows are equal."""
    hidden = random.integers(0, 4, size)
    columns = {
        f"c{n}": np.where(random.random(size) < 0.6, hidden, random.integers(0, 3 + n, size)).astype(str)
        for n in range(num_columns)
    }
    return pd.DataFrame({**columns, "y": np.where(random.random(size) < 0.7, hidden % 2, random.integers(0, 2, size))})


def derived(random, size):
    """Make a table of a town, and what follows from it."""
    town = random.integers(0, 40, size)
    columns = {"town": [f"town {n}" for n in town], "region": [f"region {n % 7}" for n in town], "rate": town % 5}
    return pd.DataFrame({**columns, "height": town**2 % 90, "y": random.integers(0, 2, size)})


def sentences(random, size, num_words=300, length=8):
    """Make texts of words, of which the last one tells most labels."""
    words = ["".join(random.choice(LETTERS, random.integers(3, 8))) for _ in range(num_words)]
    labels = random.integers(0, 3, size)
    texts = [" ".join(random.choice(words, random.integers(3, length))) for _ in range(size)]
    hints = np.where(random.random(size) < 0.7, labels, random.integers(0, 3, size))
    return pd.DataFrame({"text": [f"{a} {words[b]}" for a, b in zip(texts, hints, strict=True)], "label": labels})


def patterns(random, size, side=20, noise=0.1):
    """Make grey images of three patterns, with noise."""
    labels = random.integers(0, 3, size)
    return random.random((3, 1, side, side))[labels] + noise * random.normal(size=(size, 1, side, side)), labels


def bars(random, size, side=20):
    """Make grey images of a line, upright or level, at a random place, with a little noise."""
    labels, places = random.integers(0, 2, size), random.integers(0, side, size)
    images = 0.02 * random.normal(size=(size, 1, side, side)) + 0.1
    for image, label, place in zip(images, labels, places, strict=True):
        (image[0] if label else image[0].T)[place] += 0.8
    return images, labels


def patients(random, num=60, visits=4, name="who"):
    """Make several visits of each patient, with the same sex, age and sickness."""
    number = random.permutation(num * 7)[:num].repeat(visits)
    of_each = [random.integers(0, 2, num), random.integers(20, 80, num), random.integers(0, 2, num)]
    sex, age, sick = (values.repeat(visits) for values in of_each)
    size = num * visits
    made = {name: number, "sex": np.where(sex, "f", "m"), "age": age, "pulse": random.normal(70, 9, size).round(1)}
    return pd.DataFrame({**made, "y": sick}).sample(frac=1, random_state=0)
