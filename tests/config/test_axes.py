"""Expanding a sweep's values, and checking those that can each be wrong in their own way."""

import pytest

from trainer.config.axes import check_jobs, number, sweep_axes, sweep_samples
from trainer.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"), [("seed=3", 3), ("optim.lr=1e-3", 1e-3), ("model=mlp", None), ("a=[1]", None), ("~a", None)]
)
def test_numbers_are_recognised(text, expected):
    found = number(text)
    assert found == expected
    assert type(found) is type(expected)


def test_every_word_and_the_ends_of_numbers_are_checked():
    axes = sweep_axes(["model=mlp,linear,logistic", "seed=range(100)", "optim.lr=0.5,0.1,1,0.2,nan", "epochs=2"])
    first = ["model=mlp", "seed=0", "optim.lr=0.5", "epochs=2"]
    changed = [next(a for a, b in zip(sample, first, strict=True) if a != b) for sample in sweep_samples(axes)[1:]]
    assert sweep_samples(axes)[0] == first
    assert changed == ["model=linear", "model=logistic", "seed=99", "optim.lr=0.1", "optim.lr=1", "optim.lr=nan"]


def test_values_that_do_not_go_together_are_named():
    with pytest.raises(ConfigError, match=r"model=linear .*hidden"):
        check_jobs([["model=mlp", "model=linear"], ["model.hidden=[3]", "model.hidden=[4]"]])
    check_jobs([["model=mlp", "model=linear"], [f"seed={n}" for n in range(100_000)]])


@pytest.mark.parametrize("line", ["seed=1,-1,2", "epochs=3,0,5", "optim.lr=0.1,oh,0.2", "augment.flip=0.1,1.5,0.2"])
def test_one_invalid_value_among_valid_ones_is_found(dltrain, line):
    outcome = dltrain("-m", "model=logistic", line)
    assert outcome.code == 2
    assert line.split(",")[1].split("=")[-1] in outcome.err
