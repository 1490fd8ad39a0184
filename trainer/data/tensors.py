"""What a dataset is: three splits of tensors, and a description that models read.

`B` is the batch size, `F` the number of features, `K` the number of classes.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.data._image.encoder import ImageEncoder
from trainer.data._table.encoder import TableEncoder
from trainer.data._vocabulary import Vocabulary

# Numbers gathered at once: many small batches, up to 16 MB of floats, take a third of the time of one by one. A whole
# epoch at once would double its memory.
GATHERED = 2**22


Augmentation = Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]]  # inputs, targets, epoch, batch


def by_number(rows: Sequence[int]) -> list[str]:
    """Call rows by their numbers, from 0."""
    return [f"row {row}" for row in rows]


class Source(NamedTuple):
    """What examples were made from, for whoever looks at the data instead of training on it; all is by row."""

    places: Callable[[Sequence[int]], list[str]] = by_number  # rows -> what a person calls them, such as line 12
    columns: Mapping[str, Any] = MappingProxyType({})  # pandas' numbers or categories, or lists of words
    texts: Sequence[str] = ()
    is_in_time: bool = False  # whether the splits follow each other in time


class Examples(NamedTuple):
    """Inputs of shape `(N, *in_shape)`, with targets `(N, 1)` float, or `(N,)` int64 for classes."""

    inputs: Any  # a Tensor, or what the Splits' loader reads: see stream.py
    targets: Tensor
    rows: Tensor | None = None  # (N,) int64, places in the data as it is stored, from 0
    groups: Tensor | None = None  # (N,) int64, equal for examples that belong together, such as those of a patient
    source: Source = Source()

    def at(self, index: slice | Tensor) -> "Examples":
        """Select some, without reading them."""
        rows, groups = (part if part is None else part[index] for part in (self.rows, self.groups))
        return Examples(self.inputs[index], self.targets[index], rows, groups, self.source)


class BatchLoader:
    """Iterate over a split on the device, in at most `limit` batches of at most `batch_size` examples.

    With `shuffle`, the order is a pure function of seed and epoch, and a last batch of one example joins the one before
    it, because batch norm needs two. With `balance`, a pass draws as many examples with replacement, each class as
    often as any other on average (class-aware sampling, Shen et al. 2016).
    """

    def __init__(
        self,
        examples: Examples,
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
        targets = examples.targets
        self.targets, self.augment = targets.to(device), augment
        self.rows = torch.arange(len(targets)) if examples.rows is None else examples.rows
        self.groups = examples.groups
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
        super().__init__(examples, batch_size, **options)
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
    threshold: float = 0.5  # probability above which the second of two classes is predicted
    encoder: TableEncoder | Vocabulary | ImageEncoder | None = None  # encodes other data like the training data
    notes: tuple[str, ...] = ()  # for a person, printed before training

    @property
    def kind(self) -> str:
        """Return what an example is: `features`, `image` or `tokens`."""
        return "tokens" if self.vocab_size else "image" if len(self.in_shape) == 3 else "features"

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of all classes, or their numbers if the data has no names; none for a regression."""
        num_classes = {"regression": 0, "binary": 2}.get(self.task, self.out_features)
        return self.class_names or tuple(map(str, range(num_classes)))

    def in_units(self, values: Tensor) -> Tensor:
        """Convert outputs or targets of a regression to the units of the file."""
        return values * self.target_std + self.target_mean

    def predicted(self, outputs: Tensor) -> Tensor:
        """Convert a model's outputs `(N, K)` to probabilities `(N, K)` of all classes, or values `(N,)` in units."""
        outputs = outputs.double()
        if self.task == "regression":
            return self.in_units(outputs)[:, 0]
        return torch.cat([-outputs, outputs], 1).sigmoid() if self.task == "binary" else outputs.softmax(1)

    def chosen(self, chances: Tensor) -> Tensor:
        """Return the numbers of the predicted classes, `(N,)`, for probabilities `(N, K)`."""
        return (chances[:, 1] > self.threshold).long() if self.task == "binary" else chances.argmax(1)


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


def splits_of(examples: Examples, parts: tuple[Tensor, Tensor, Tensor]) -> Splits:
    """Return the examples at the indices of each part, numbered; parts that are one object stay one."""
    if examples.rows is None:
        examples = examples._replace(rows=torch.arange(len(examples.targets)))
    made = {id(part): examples.at(part) for part in parts}
    train, val, test = (made[id(part)] for part in parts)
    return Splits(train, val, test)
