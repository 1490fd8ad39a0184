"""What a dataset is: three splits of tensors, and a description that models read.

`B` is the batch size, `F` the number of features, `K` the number of classes.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.data._image.encoder import ImageEncoder
from trainer.data._table.encoder import TableEncoder
from trainer.data._vocabulary import Vocabulary
from trainer.errors import DataError

# Numbers gathered at once: many small batches, up to 16 MB of floats, take a third of the time of one by one. A whole
# epoch at once would double its memory.
GATHERED = 2**22


Augmentation = Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]]  # inputs, targets, epoch, batch


class Examples(NamedTuple):
    """Inputs of shape `(N, *in_shape)`, with targets `(N, 1)` float, or `(N,)` int64 for classes."""

    inputs: Any  # a Tensor, or what the Splits' loader reads: see stream.py
    targets: Tensor


class BatchLoader:
    """Iterate over a split on the device, in at most `limit` batches of at most `batch_size` examples.

    With `shuffle`, the order is a pure function of seed and epoch, and a last batch of one example joins the one before
    it, because batch norm needs two. With `balance`, a pass draws as many examples with replacement, each class as
    often as any other on average (class-aware sampling, Shen et al. 2016).
    """

    def __init__(
        self,
        targets: Tensor,
        batch_size: int,
        *,
        prepare: Callable[[Tensor], Tensor],
        device: torch.device | str = "cpu",
        shuffle: bool = False,
        seed: int = 0,
        balance: bool = False,
        limit: float = math.inf,
        augment: Augmentation | None = None,
    ) -> None:
        self.targets, self.augment = targets.to(device), augment
        self.prepare, self.shuffle, self.balance, self.seed, self.epoch = prepare, shuffle, balance, seed, 0
        ends = [*range(batch_size, len(targets), batch_size), len(targets)]
        if shuffle and len(ends) > 1 and ends[-1] - ends[-2] == 1:
            del ends[-2]
        ends = ends[: int(min(limit, len(ends)))]
        self.sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        self.num_examples = sum(self.sizes)
        self.start = 0

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self.sizes)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the order of the next pass, and the batch it starts at."""
        self.epoch, self.start = epoch, start

    def order(self) -> tuple[Tensor, list[int]]:
        """Return the indices of this pass's examples, on the CPU, and the sizes of its batches."""
        start, self.start = self.start, 0
        if self.shuffle:
            # torch uses 32 bits of a seed, so both numbers are mixed into them.
            mixed = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1).item()
            generator = torch.Generator().manual_seed(mixed)
            order = self._drawn(generator) if self.balance else torch.randperm(len(self.targets), generator=generator)
        else:
            order = torch.arange(len(self.targets))
        return order[sum(self.sizes[:start]) : self.num_examples], self.sizes[start:]

    def _drawn(self, generator: torch.Generator) -> Tensor:
        labels = self.targets.flatten().cpu()
        members, counts = labels.argsort(stable=True), labels.unique(return_counts=True)[1]
        chosen = torch.randint(len(counts), labels.shape, generator=generator)
        place = torch.rand(labels.shape, generator=generator, dtype=torch.float64) * counts[chosen]
        return members[(counts.cumsum(0) - counts)[chosen] + place.long()]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs `(B, *in_shape)` and targets of each batch, augmented if requested."""
        for number, (inputs, targets) in enumerate(self._read(), self.start):
            yield self.augment(inputs, targets, self.epoch, number) if self.augment else (inputs, targets)

    def stored(self, index: Tensor) -> Tensor:
        """Return the stored inputs at the index, `(B, *in_shape)`, on the CPU; `prepare` reads them."""
        raise NotImplementedError

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs `(B, *in_shape)`, which the caller may change in place, and targets of each batch."""
        raise NotImplementedError


class TensorLoader(BatchLoader):
    """Batches of examples in memory, indexed on their device."""

    def __init__(self, examples: Examples, batch_size: int, **options: Any) -> None:
        super().__init__(examples.targets, batch_size, **options)
        self.inputs = examples.inputs.to(self.targets.device)

    def stored(self, index: Tensor) -> Tensor:
        """Return the stored inputs at the index, `(B, *in_shape)`, on the CPU; `prepare` reads them."""
        return self.inputs[index.to(self.inputs.device)].cpu()

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self.shuffle:
            order, sizes = self.order()
            at_once = max(1, GATHERED // (self.sizes[0] * math.prod(self.inputs.shape[1:])))
            ends = list(accumulate(sizes, initial=0))
            order = order.to(self.inputs.device)
            for first in range(0, len(sizes), at_once):
                some = sizes[first : first + at_once]
                index = order[ends[first] : ends[first + len(some)]]
                inputs = self.prepare(self.inputs.index_select(0, index)).split(some)
                yield from zip(inputs, self.targets.index_select(0, index).split(some), strict=True)
            return
        parts = (part[: self.num_examples].split(self.sizes) for part in (self.inputs, self.targets))
        for inputs, targets in zip(*parts, strict=True):
            made = self.prepare(inputs)
            # Always a copy, so that a model working in place does not change the data.
            yield made.clone() if made.data_ptr() == inputs.data_ptr() else made, targets


@dataclass(frozen=True)
class Splits:
    """Three disjoint parts; a missing one is replaced by another.

    `prepare` turns a stored batch into the model's input, on the device; `loader` makes the batches.
    """

    train: Examples
    val: Examples
    test: Examples
    prepare: Callable[[Tensor], Tensor] = lambda inputs: inputs
    loader: Callable[..., BatchLoader] = TensorLoader

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """Return notes on splits that reuse the examples of another."""
        if self.test is self.val is self.train:
            return ("validation and test are the training examples, so they say nothing about new ones",)
        if self.val is self.train:
            return ("no validation split: the training examples choose the best epoch",)
        return ("no test split: the validation examples replace it",) if self.test is self.val else ()


@dataclass(frozen=True)
class DataSpec:
    """What a model, a loss or a report needs to know about the data.

    `in_shape` is `(F,)` for features, `(C, H, W)` for images and `(L,)` for tokens, integers below `vocab_size`.
    `out_features` is 1 for regression and for two classes (one logit), else the number of classes. Features and
    regression targets are standardised if means and standard deviations are given; metrics are in the file's units.
    """

    task: str  # regression | binary | multiclass
    in_shape: tuple[int, ...]
    out_features: int = 1
    vocab_size: int | None = None
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    target_name: str = "target"
    feature_mean: Tensor | None = None  # (F,)
    feature_std: Tensor | None = None  # (F,)
    target_mean: float = 0.0
    target_std: float = 1.0
    true_parameters: Mapping[str, list[float]] = field(default_factory=dict)
    encoder: TableEncoder | Vocabulary | ImageEncoder | None = None  # encodes other data like the training data
    notes: tuple[str, ...] = ()  # for a person, printed before training

    @property
    def kind(self) -> str:
        """Return what an example is: `features`, `image` or `tokens`."""
        return "tokens" if self.vocab_size else "image" if len(self.in_shape) == 3 else "features"

    def in_units(self, values: Tensor) -> Tensor:
        """Convert outputs or targets of a regression to the units of the file."""
        return values * self.target_std + self.target_mean


def shaped(labels: Tensor, task: str) -> Tensor:
    """Shape targets `(N,)` for a loss: class numbers int64 if there are more than two, else `(N, 1)` float32."""
    return labels.long() if task == "multiclass" else labels.float()[:, None]


def task_of(class_names: Sequence[str]) -> str:
    """Return the task of telling these classes apart."""
    return "binary" if len(class_names) == 2 else "multiclass"


def spec_of_classes(class_names: Sequence[str], in_shape: tuple[int, ...], **more: Any) -> DataSpec:
    """Describe data with these classes."""
    task = task_of(class_names)
    out_features = 1 if task == "binary" else len(class_names)
    return DataSpec(task, in_shape, out_features, class_names=tuple(class_names), **more)


class Loaders(NamedTuple):
    """A loader for each split, on the device."""

    train: BatchLoader
    val: BatchLoader
    test: BatchLoader


def split(
    targets: Tensor, *, val_fraction: float, test_fraction: float | None = None, seed: int, stratify: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return sorted indices of a seeded train / validation / test partition of `targets`.

    With `stratify`, each class is divided in these fractions, small classes so that the parts have their fractions of
    all. A part with a fraction of 0 is the same object as the one
    before it. Without a `test_fraction`, the last part is empty because the test split lies elsewhere.

    Raises:
        ValueError: a fraction is not in [0, 1), or they leave nothing to train on.
        DataError: a part would be empty.
    """
    for name, given in [("val_fraction", val_fraction), ("test_fraction", test_fraction)]:
        if given is not None and not 0 <= given < 1:
            raise ValueError(f"{name}={given} is not between 0 and 1")
    elsewhere, test_fraction = test_fraction is None, test_fraction or 0.0
    if val_fraction + test_fraction >= 1:
        raise ValueError(f"val_fraction={val_fraction} and test_fraction={test_fraction} leave nothing to train on")
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    labels = targets.flatten() if stratify else torch.zeros(len(targets), dtype=torch.int64)
    members = order[labels[order].argsort(stable=True)]  # class by class; a loop over many classes takes too long
    counts = labels.unique(return_counts=True)[1]
    ranks = torch.arange(len(members)) - (counts.cumsum(0) - counts).repeat_interleave(counts)  # within the class, (N,)
    rank, size, of_class = (torch.empty_like(ranks) for _ in range(3))  # of each example, (N,)
    rank[members], size[members] = ranks, counts.repeat_interleave(counts)
    of_class[members] = torch.arange(len(counts)).repeat_interleave(counts)
    position = (rank.double() + 0.5) / size  # in (0, 1), within the class
    for slack in (1, 0):  # a single row is only moved from class to class if a part would be empty
        until_test, until_val = (
            _evened(position < fraction, of_class, counts, fraction, slack)[of_class]
            for fraction in (test_fraction, test_fraction + val_fraction)
        )
        test = rank < until_test
        val = ~test & (rank < until_val)
        if (test.any() or not test_fraction) and (val.any() or not val_fraction):
            break
    train, val, test = (part.nonzero().flatten() for part in (~test & ~val, val, test))
    for name, part, fraction in [("train", train, 1), ("validation", val, val_fraction), ("test", test, test_fraction)]:
        if fraction and not len(part):
            raise DataError(
                f"the {name} split is empty: {len(targets)} examples, val_fraction={val_fraction}, "
                f"test_fraction={test_fraction}; use more examples or other fractions"
            )
    val = val if val_fraction else train
    return train, val, test if test_fraction or elsewhere else val


def _evened(taken: Tensor, of_class: Tensor, counts: Tensor, fraction: float, slack: int) -> Tensor:
    """Return how many examples of each class to take, `(K,)`, where `taken` `(N,)` rounds each class for itself.

    If they are off the fraction of all examples by more than `slack`, the classes with the largest remainders take one
    more, or those with the smallest one less; a class keeps one for training.
    """
    numbers = torch.bincount(of_class[taken], minlength=len(counts))  # (K,)
    lacking = math.ceil(len(of_class) * fraction - 0.5) - int(numbers.sum())
    if abs(lacking) > slack:
        remainders = counts * fraction - numbers
        order = remainders.argsort(descending=True, stable=True)
        if lacking > 0:
            numbers[order[numbers[order] < counts[order] - 1][:lacking]] += 1
        else:
            numbers[order[numbers[order] > 0][lacking:]] -= 1
    return numbers


def splits_of(inputs: Tensor, targets: Tensor, parts: tuple[Tensor, Tensor, Tensor]) -> Splits:
    """Return the examples at the indices of each part; parts that are one object stay one."""
    made = {id(part): Examples(inputs[part], targets[part]) for part in parts}
    train, val, test = (made[id(part)] for part in parts)
    return Splits(train, val, test)
