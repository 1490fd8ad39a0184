"""Images in memory: bytes that become standardised floats batch by batch, on the device."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from trainer.data import _download
from trainer.data._image.cifar import read_cifar10
from trainer.data._image.encoder import fit_images
from trainer.data._image.idx import read_idx
from trainer.data.division import Division, Fold
from trainer.data.tensors import DataSpec, Examples, Source, Splits, spec_of_classes, splits_of
from trainer.errors import DataError

DIGITS = tuple("0123456789")
CLOTHES = "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
Images = tuple[Tensor, Tensor]  # (N, C, H, W) uint8, and labels (N,)
FILES = tuple(f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))
MNIST_SHA256 = (  # of the original files, unpacked, in the order of FILES
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)


def digits(
    *, val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0, fold: Fold | None = None
) -> tuple[Splits, DataSpec]:
    """Load scikit-learn's handwritten digits: inputs `(N, 1, 8, 8)` uint8 from 0 to 16, ten classes."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.from_numpy(data.images).to(torch.uint8)[:, None]  # (N, 1, 8, 8)
    labels = torch.from_numpy(data.target).long()
    parts = Division(val_fraction, test_fraction, seed, fold).parts(labels)
    return _image_data(splits_of(Examples(images, labels), parts), class_names=DIGITS, largest=16)


def mnist(
    *, root: str = "data", val_fraction: float = 0.1, seed: int = 0, fold: Fold | None = None
) -> tuple[Splits, DataSpec]:
    """Load MNIST (LeCun et al. 1998): inputs `(N, 1, 28, 28)` uint8, ten classes, 10,000 of 70,000 for testing.

    Read from the four original files in `<root>/MNIST/raw`, which are unpacked there if gzipped, and downloaded if all
    are missing. Other files of the same format are read as well, with a note.

    Raises:
        DataError: a file is missing or broken, or could not be downloaded.
    """
    return _idx_data("MNIST", root, DIGITS, Division(val_fraction, None, seed, fold), MNIST_SHA256)


def fashion_mnist(
    *, root: str = "data", val_fraction: float = 0.1, seed: int = 0, fold: Fold | None = None
) -> tuple[Splits, DataSpec]:
    """Load Fashion-MNIST (Xiao et al. 2017), ten kinds of clothes, like MNIST but from `<root>/FashionMNIST/raw`.

    Raises:
        DataError: a file is missing or broken, or could not be downloaded.
    """
    return _idx_data("FashionMNIST", root, CLOTHES, Division(val_fraction, None, seed, fold))


def cifar10(
    *, root: str = "data", val_fraction: float = 0.1, seed: int = 0, fold: Fold | None = None
) -> tuple[Splits, DataSpec]:
    """Load CIFAR-10 (Krizhevsky 2009): inputs `(N, 3, 32, 32)` uint8, ten classes, 10,000 of 60,000 for testing.

    Read from `<root>/cifar-10-batches-py`, or unpacked from `<root>/cifar-10-python.tar.gz`, or downloaded. The files
    are pickles, so only the originals are read.

    Raises:
        DataError: a file is missing or not the original, or could not be downloaded.
    """
    train, test, class_names = read_cifar10(Path(root).expanduser())
    return _with_test(train, test, class_names, Division(val_fraction, None, seed, fold))


def _idx_data(
    name: str, root: str, class_names: tuple[str, ...], division: Division, originals: Sequence[str] = ()
) -> tuple[Splits, DataSpec]:
    """Load the four files of `<root>/<name>/raw`, and note one whose SHA-256 is not the original's."""
    folder = Path(root).expanduser() / name / "raw"
    if not any((folder / file).exists() for stem in FILES for file in (stem, f"{stem}.gz")):
        wanted = f"the four files {', '.join(f'{stem}.gz' for stem in FILES)}"
        from torchvision import datasets

        source = getattr(datasets, name)
        _download.download(name, source.mirrors, dict(source.resources), folder, files=wanted)
    files = [read_idx(folder, stem, num_dims=3 if "idx3" in stem else 1) for stem in FILES]
    images, labels, test_images, test_labels = (values for values, _ in files)
    for part, x, y in [("train", images, labels), ("t10k", test_images, test_labels)]:
        if len(x) != len(y):
            raise DataError(f"{folder}: {part} has {len(x)} images and {len(y)} labels")
        if int(y.max()) >= len(class_names):
            index = int(y.argmax())
            raise DataError(
                f"{folder / f'{part}-labels-idx1-ubyte'}: label {int(y[index])} at index {index} is not in "
                f"0..{len(class_names) - 1}"
            )
    if images.shape[1:] != test_images.shape[1:]:
        raise DataError(
            f"{folder}: images of {tuple(images.shape[1:])} in train, {tuple(test_images.shape[1:])} in t10k"
        )
    train, test = (images[:, None], labels.long()), (test_images[:, None], test_labels.long())
    splits, spec = _with_test(train, test, class_names, division)
    others = [stem for stem, (_, found), known in zip(FILES, files, originals, strict=False) if found != known]
    changed = tuple(f"not the original {name}: {stem} differs" for stem in others[:1])
    return splits, replace(spec, notes=(*changed, *spec.notes))


def _with_test(
    train: Images, test: Images, class_names: tuple[str, ...], division: Division
) -> tuple[Splits, DataSpec]:
    """Cut a validation split or a fold from the training images; the test split is given."""
    splits = splits_of(Examples(*train, source=_source("train")), division.parts(train[1]))
    if division.uses_given_test:
        splits = replace(splits, test=Examples(*test, torch.arange(len(test[1])), source=_source("test")))
    splits, spec = _image_data(splits, class_names=class_names)
    return splits, replace(spec, notes=division.notes("the test images"))


def _source(file: str) -> Source:
    return Source(lambda rows: [f"{file} image {row}" for row in rows])


def _image_data(splits: Splits, *, class_names: tuple[str, ...], largest: int = 255) -> tuple[Splits, DataSpec]:
    """Standardise batches by mean and standard deviation of the training images, and describe the data."""
    encoder = fit_images([splits.train.inputs], largest)
    return replace(splits, prepare=encoder.prepare), spec_of_classes(class_names, encoder.in_shape, encoder=encoder)
