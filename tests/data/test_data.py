import math

import pytest
import torch

from trainer import data
from trainer.data import synthetic, tensors
from trainer.data.division import Division
from trainer.data.tensors import Examples, TensorLoader, splits_of
from trainer.errors import DataError

FRACTIONS = {"val_fraction": 0.1, "test_fraction": 0.2}


def test_the_package_exports_what_a_dataset_consists_of():
    assert (data.DataSpec, data.Examples, data.Splits) == (tensors.DataSpec, tensors.Examples, tensors.Splits)
    assert not hasattr(data, "TensorLoader")


def numbers(num_examples, batch_size, **options):
    examples = Examples(torch.arange(num_examples)[:, None].float(), torch.arange(num_examples))
    return TensorLoader(examples, batch_size, prepare=lambda b: b, **options)


def order(loader):
    return torch.cat([targets for _, targets in loader]).tolist()


def test_a_split_of_thousands_of_classes_is_quick_and_takes_each_apart():
    labels = torch.arange(60_000) % 6000
    train, val, test = (labels[part].bincount() for part in Division(**FRACTIONS).parts(labels))
    assert (train == 7).all()
    assert (val == 1).all()
    assert (test == 2).all()


def test_a_split_is_a_partition_with_each_class_in_proportion():
    labels = torch.tensor([0] * 600 + [1] * 300 + [2] * 100)
    parts = Division(seed=3).parts(labels)
    assert sorted(torch.cat(parts).tolist()) == list(range(1000))
    for part, share in zip(parts, (0.7, 0.1, 0.2), strict=True):
        assert torch.bincount(labels[part]).tolist() == [share * 600, share * 300, share * 100]


def test_a_split_depends_on_its_seed():
    labels = torch.zeros(100)
    first, same, other = (Division(seed=seed).parts(labels)[0] for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_an_empty_part_is_an_error():
    with pytest.raises(DataError, match="validation split is empty: 3 examples"):
        Division(0.1, 0.3).parts(torch.zeros(3))
    for fractions in ({"val_fraction": -0.1}, {"val_fraction": 0.1, "test_fraction": 1}, {"val_fraction": 1}):
        with pytest.raises(ValueError, match="not between 0 and 1"):
            Division(**fractions)
    with pytest.raises(ValueError, match="leave nothing"):
        Division(0.5, 0.5)


@pytest.mark.parametrize(
    ("val", "test", "note"),
    [(0, 0, "validation and test are the training"), (0, 0.2, "no validation"), (0.1, 0, "no test"), (0.1, 0.2, None)],
)
def test_a_missing_split_is_replaced_with_a_note(val, test, note):
    x = torch.arange(30.0)[:, None]
    parts = Division(val, test).parts(torch.zeros(len(x)))
    splits = splits_of(Examples(x, x), parts)
    assert (splits.val is splits.train) == (not val)
    assert (splits.test is splits.val) == (not test)
    assert [note in line for line in splits.stand_ins] == ([True] if note else [])


def test_the_order_of_an_epoch_is_a_permutation_given_by_seed_and_epoch():
    loader = numbers(100, 7, shuffle=True, seed=5)
    loader.set_epoch(1)
    first = order(loader)
    again = order(loader)
    loader.set_epoch(2)
    second = order(loader)
    other = numbers(100, 7, shuffle=True, seed=6)
    other.set_epoch(1)
    assert sorted(first) == sorted(second) == list(range(100))
    assert first == again
    assert first != second
    assert first != order(other)


@pytest.mark.parametrize(
    ("num_examples", "batch_size", "sizes"),
    [
        (20, 10, [10, 10]),
        (25, 10, [10, 10, 5]),
        (21, 10, [10, 11]),  # batch norm needs two examples
        (3, 10, [3]),
        (1, 10, [1]),
        (3, 1, [1, 2]),
    ],
)
def test_a_last_batch_of_one_joins_the_one_before_it(num_examples, batch_size, sizes):
    loader = numbers(num_examples, batch_size, shuffle=True)
    assert [len(targets) for _, targets in loader] == sizes == loader.sizes
    assert len(loader) == len(sizes)


def test_balanced_draws_take_each_class_equally_often():
    targets = torch.tensor([0.0] * 900 + [1.0] * 100)[:, None]
    examples = Examples(torch.arange(1000.0)[:, None], targets)
    loader = TensorLoader(examples, 100, prepare=lambda x: x, shuffle=True, seed=3, balance=True)
    loader.set_epoch(1)
    drawn, again = ([int(x) for inputs, _ in loader for x in inputs] for _ in range(2))
    assert drawn == again
    assert len(drawn) == 1000
    rare = [n for n in drawn if n >= 900]
    assert abs(len(rare) - 500) < 5 * 1000**0.5 / 2  # five standard deviations of a binomial
    assert len({*rare}) > 90  # 1 - (1 - 1/100)^500 of the hundred
    loader.set_epoch(2)
    assert [int(x) for inputs, _ in loader for x in inputs] != drawn


def test_inputs_stay_with_their_targets_and_evaluation_keeps_the_order():
    assert all(torch.equal(x[:, 0].long(), y) for x, y in numbers(50, 8, shuffle=True))
    assert order(numbers(21, 10)) == list(range(21))
    assert len(order(numbers(50, 8, shuffle=True, limit=2))) == 16


def test_a_model_that_works_in_place_does_not_change_the_data():
    for shuffle in (True, False):
        loader = numbers(20, 8, shuffle=shuffle)
        for inputs, _ in loader:
            inputs.zero_()
        assert loader.inputs.sum() == sum(range(20))


def test_synthetic_data_follows_its_formula():
    splits, spec = synthetic.linear(w=[1.0, 2.0, 3.0], b=-1.0, noise=0.0, num_examples=50, seed=2)
    x, y = splits.train.inputs, spec.in_units(splits.train.targets)
    assert torch.allclose(y[:, 0], x @ torch.tensor([1.0, 2.0, 3.0]) - 1, atol=1e-5)
    assert spec.true_parameters == {"w": [1.0, 2.0, 3.0], "b": [-1.0]}


def test_a_limit_counts_whole_batches():
    assert numbers(100, 8, limit=math.inf).num_examples == 100
    assert numbers(100, 8, limit=3).num_examples == 24


@pytest.mark.parametrize(("num_examples", "batch_size"), [(47, 10), (41, 10), (8, 8), (1000, 7)])
def test_batches_gathered_together_equal_those_gathered_one_by_one(monkeypatch, num_examples, batch_size):
    def batches(start):
        loader = numbers(num_examples, batch_size, shuffle=True, seed=2)
        loader.set_epoch(3, start)
        return [(inputs.flatten().tolist(), targets.tolist()) for inputs, targets in loader]

    for start in (0, 2):
        monkeypatch.setattr("trainer.data.tensors.GATHERED", 1)
        one_by_one = batches(start)
        monkeypatch.setattr("trainer.data.tensors.GATHERED", 3 * batch_size)
        assert batches(start) == one_by_one
        assert all(inputs == targets for inputs, targets in one_by_one)


def test_augmentation_gets_the_batch_number_even_if_a_pass_starts_late():
    seen = []

    def note(inputs, targets, epoch, batch):
        seen.append((epoch, batch, targets.tolist()))
        return inputs, targets

    loader = numbers(20, 5, shuffle=True, augment=note)
    loader.set_epoch(4)
    list(loader)
    whole = list(seen)
    assert [place[:2] for place in whole] == [(4, 0), (4, 1), (4, 2), (4, 3)]
    loader.set_epoch(4, 2)
    list(loader)
    assert seen[4:] == whole[2:]
