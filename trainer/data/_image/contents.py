"""List the images below a folder; thumbnails and masks, which repeat the images beside them, are skipped."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from trainer.data._image.file import SUFFIXES, printable
from trainer.data._textfile import listed

FILLERS = "seg|set|data|images?|imgs?|split|samples|folder|photos?|pictures?|[^a-z]"
THUMBNAILS = {"eadir", "macosx", "thumb", "thumbs", "thumbnail", "thumbnails"}  # of a Synology, of a zip from a Mac
COPIES = THUMBNAILS | {"mask", "masks", "preview", "previews", "annotation", "annotations", "ground", "truth"}
COPIES |= {"segmentation", "segmentations"}
UNREAD = (".heic", ".heif", ".avif", ".jp2", ".svg", ".dng", ".cr2", ".nef", ".dcm")  # images that need a conversion


class Contents(NamedTuple):
    """All files below a folder, in order, and the folders that were skipped."""

    images: list[str]
    others: list[str]
    skipped: list[str]


def contents(folder: str) -> Contents:
    """List all files in a folder and its sub-folders, sorted by name; those of thumbnails and masks are skipped.

    These are sub-folders that are called so, or in which each image has a namesake beside the folder.
    """
    found, entries = Contents([], [], []), entries_of(folder)
    stems = {Path(entry.name).stem for entry in entries if is_image(entry.name)}
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            inner = contents(entry.path)
            is_copy = bool(inner.images) and {Path(file).stem for file in inner.images} <= stems
            if is_copy or is_called(entry.name, COPIES):
                found.skipped.append(entry.path)
                continue
            for kept, new in zip(found, inner, strict=True):
                kept.extend(new)
        elif entry.is_file() or entry.is_symlink():  # a broken link fails when it is read
            (found.images if is_image(entry.name) else found.others).append(entry.path)
    return found


def notes_on(rest: Contents) -> list[str]:
    """Say what was not used."""
    notes = []
    if rest.skipped:
        count = sum(is_image(file) for folder in rest.skipped for _, _, files in os.walk(folder) for file in files)
        names = listed([*map(printable, rest.skipped)], 2)
        notes.append(f"skipped, thumbnails or masks of other images: {count:,} images in {names}")
    unread = [file for file in rest.others if file.lower().endswith(UNREAD)]
    if unread:
        such = f"{len(unread):,}, such as {printable(unread[0])}"
        notes.append(f"left out, images in formats that are not read: {such}; convert them to .jpg or .png")
    if others := [file for file in rest.others if not file.lower().endswith(UNREAD)]:
        notes.append(f"ignored, not images of a class: {len(others):,} files, such as {printable(others[0])}")
    return notes


def is_called(name: str, words: set[str]) -> bool:
    """Whether a name says one of these, and nothing else."""
    found = {*re.split("[^a-z]+", name.lower())} - {""}
    rest = {word for word in found - words if not re.fullmatch(f"(?:{FILLERS})+", word)}
    return bool(found & words) and not rest


def is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def entries_of(folder: str | Path) -> list[os.DirEntry[str]]:
    """List what is in a folder and not hidden, sorted by name."""
    return sorted((entry for entry in os.scandir(folder) if not entry.name.startswith(".")), key=lambda e: e.name)
