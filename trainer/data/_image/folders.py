"""Find the images of each split and class below a folder, and say what else lies there.

Folders called train, Training, valid, seg_test, ... are splits.
"""

import os
from pathlib import Path
from typing import NamedTuple

from trainer.data._image.contents import (
    COPIES,
    FILLERS,
    THUMBNAILS,
    Contents,
    contents,
    entries_of,
    is_called,
    is_image,
    notes_on,
)
from trainer.data._image.file import SUFFIXES, printable
from trainer.data._split_names import NAMES, split_named
from trainer.data._textfile import alike, is_url, listed, rare, wrong_kind
from trainer.errors import DataError, nearest

Classes = dict[str, list[str]]  # class -> files


class Found(NamedTuple):
    """The files of each class of each split, and notes for the user."""

    splits: dict[str, Classes]
    notes: list[str]


def found(path: str) -> Found:
    """Find the classes of a folder or of the splits in it; there is always a `train`.

    Raises:
        DataError: no such folder, fewer than two classes, a class without images, or one that `train` does not have.
    """
    folder = existing(path)
    roots, notes = roots_of(folder)
    splits: dict[str, Classes] = {}
    rest = Contents([], [], [])
    for part, root in roots.items():
        folders = _folders(root)
        names = [name for name in folders if name not in splits.get("train", ())]
        if part != "train" and len(names) == len(folders) < 2 and (images := contents(str(root)).images):
            notes.append(f"left out: {len(images):,} images without classes in {printable(root)}; predict reads them")
            continue
        classes, more = classes_of(root)
        for kept, new in zip(rest, more, strict=True):
            kept.extend(new)
        if part == "train":
            _check_classes(folder, root, classes, more)
        if not classes:
            cure = "expected a folder of images for each class; fill or remove it"
            raise DataError(f"{printable(root)}: contains no folders; {cure}")
        splits[part] = classes
        known = [*map(printable, splits["train"])]
        if unknown := [printable(name) for name in classes if name not in splits["train"]]:
            where = f"{printable(root)}/{unknown[0]}: {printable(roots['train'].name)}/ has no class {unknown[0]!r}"
            raise DataError(f"{where}; {nearest(unknown[0], known)}")
    counts = {printable(name): len(files) for name, files in splits["train"].items()}
    sizes = listed([f"{name} {count:,}" for name, count in counts.items()], 20)
    few = [*alike([*counts]), *rare(counts, "images")]
    return Found(splits, [f"classes: {sizes}", *few, *notes, *notes_on(rest), *_nested(splits)])


def roots_of(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Map train, val and test to their folders, or train to `folder` itself if it has classes; and notes."""
    folders = _folders(folder)
    named: dict[str, str] = {}
    for name in sorted(folders, key=lambda name: (name not in NAMES, name)):  # of several, the one called just so
        if part := split_named(name, FILLERS):
            named.setdefault(part, name)
    others = [name for name in folders if name not in named.values()]
    roots = {part: _inner(folder / named[part]) for part in NAMES if part in named}
    if "train" not in roots or (others and len(_folders(roots["train"])) < 2):
        return {"train": folder}, []
    notes = [f"ignored next to {named['train']}/: {printable(', '.join(others))}"] if others else []
    if {*named} != {*named.values()}:
        notes.append(f"splits: {', '.join(f'{part} in {printable(named[part])}/' for part in roots)}")
    return roots, notes


def classes_of(root: Path) -> tuple[Classes, Contents]:
    """Return the images of each class, by the name of its folder, and all else.

    Raises:
        DataError: a class without images, or with splits in it.
    """
    found, rest = {}, Contents([], [entry.path for entry in entries_of(root) if not entry.is_dir()], [])
    folders = _folders(root)
    masks = [name for name in folders if is_called(name, COPIES)]
    skipped = masks if len(masks) == 1 and len(folders) > 2 else []  # with and without a mask are classes
    for entry in entries_of(root):
        name, path = entry.name, entry.path
        if not entry.is_dir():
            continue
        if name not in folders or name in skipped:
            rest.skipped.append(path)
            continue
        splits = {
            part: inner
            for inner in _folders(root / name)
            if (part := split_named(inner, FILLERS)) and not _folders(root / name / inner)
        }
        if len(splits) > 1:
            where = [f"{printable(root)}/{printable(inner)}/{printable(name)}/" for inner in splits.values()]
            raise DataError(f"{printable(path)}: splits inside a class; move them to {' and '.join(where)}")
        inner = contents(path)
        found[name] = inner.images
        rest.others.extend(inner.others)
        rest.skipped.extend(inner.skipped)
        if not inner.images:
            such = f", but {len(inner.others):,} others, such as {printable(inner.others[0])}" if inner.others else ""
            cure = f"no images in the folder of this class ({', '.join(SUFFIXES)}){such}; fill or remove it"
            raise DataError(f"{printable(path)}: {cure}")
    return found, rest


def existing(path: str) -> Path:
    """Return the folder.

    Raises:
        DataError: it is none, with what to do about it.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        what = wrong_kind(folder) or "expected a folder of images for each class; data=csv and data=text read files"
        raise DataError(f"{folder.absolute()}: a file, not a folder; {what}")
    raise DataError(f"{path}: {wrong_kind(folder)}" if is_url(path) else f"{folder.absolute()}: no such folder")


def _check_classes(folder: Path, root: Path, classes: Classes, rest: Contents) -> None:
    """Raise a DataError with a cure if these are no classes to train on."""
    shown, names = printable(root), [*map(printable, classes)]
    if not classes:
        files = [file for file in rest.others if is_image(file)]
        what = f"contains no folders, but {len(files):,} images" if files else "contains no folders"
        cure = f"dltrain predict input={printable(folder)} reads images without classes" if files else ""
        wanted = f"expected {shown}/CLASS/IMAGE for each of at least two classes"
        raise DataError("; ".join(filter(None, [f"{shown}: {what}", wanted, cure])))
    if len(classes) < 2:
        inner = root / next(iter(classes))
        while len(folders := _folders(inner)) == 1:
            inner = inner / folders[0]
        cure = f"; data.path={printable(inner)} makes classes of the folders in it" if folders else ""
        skipped = f"; skipped by its name: {listed([*map(printable, rest.skipped)])}" if rest.skipped else ""
        wanted = "expected a folder of images for each of at least two classes"
        raise DataError(f"{shown}: the only class is {names[0]!r}{skipped}; {wanted}{cure}")
    within = {name: tuple(n for n in _folders(root / name) if not is_called(n, COPIES)) for name in classes}
    alike = next(iter(within.values()))
    has_images = any(is_image(entry.name) for name in classes for entry in entries_of(root / name))
    if len({*within.values()}) == 1 and len(alike) > 1 and not has_images and len(classes) <= len(NAMES):
        what = (
            f"{' and '.join(names)} hold the same folders, {listed([*map(printable, alike)])}: which are the classes?"
        )
        cure = "call splits train/, val/ and test/, and put the classes into them; or set data.path="
        raise DataError(f"{shown}: {what} {cure}{printable(root / next(iter(classes)))}")


def _nested(splits: dict[str, Classes]) -> list[str]:
    """Say how many images lie deeper than in the folder of their class."""
    files = [
        (name, file)
        for classes in splits.values()
        for name, images in classes.items()
        for file in images
        if os.path.basename(os.path.dirname(file)) != name
    ]
    if not files:
        return []
    return [f"in sub-folders of their class: {len(files):,} images, such as {printable(files[0][1])}"]


def _inner(root: Path) -> Path:
    """Return the folder of the same name in a folder that has nothing else, as archives unpack: seg_test/seg_test."""
    entries = [*entries_of(root)]
    is_double = len(entries) == 1 and entries[0].is_dir() and entries[0].name.lower() == root.name.lower()
    return _inner(root / entries[0].name) if is_double else root


def _folders(root: Path) -> list[str]:
    return [e.name for e in entries_of(root) if e.is_dir() and not is_called(e.name, THUMBNAILS)]
