"""Which files of a folder are its pictures, in which order, and which pictures are there that cannot be read.

Order. Runs of digits compare as numbers (2 before 10). A number with a fraction (`frame_0.5`, `1305031102.17`) compares
as a decimal where all names have one; a dot may also part a name from a frame's number (`shot1.0001`, `take.2`). Where
both readings give the same order there is nothing to decide; ``arranged`` says where they do not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from nsff.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".tif", ".tiff", ".bmp")
UNREAD = (
    ".heic", ".heif", ".hif", ".avif", ".jxl", ".exr", ".hdr", ".jp2", ".psd",
    ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw",
)  # fmt: skip
"""Suffixes of pictures that are not read."""
LEFTOVERS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini")
"""Files that file managers leave in folders, besides hidden ones."""


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which runs of digits compare as numbers."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def decimal_key(name: str) -> list[tuple[int, Fraction, str]]:
    """Sort key in which numbers with a fraction compare as such, exactly."""
    parts = re.split(r"(\d+(?:\.\d+)?)", name.lower())
    return [(0, Fraction(part), "") if part[0].isdecimal() else (1, Fraction(0), part) for part in parts if part]


def plain(name: str) -> str:
    """The name in the one form of Unicode that names are compared in: file systems differ in how accents are stored."""
    return unicodedata.normalize("NFC", name)


def visible(folder: Path) -> Iterator[Path]:
    """The entries of a folder, without hidden ones and what file managers leave. Links count, also broken ones."""
    for file in Path(folder).iterdir():
        if not file.name.startswith(".") and file.name.lower() not in LEFTOVERS:
            yield file


def with_suffix(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Visible files of these suffixes, sorted; broken links among them."""
    found = [
        file for file in visible(folder) if file.suffix.lower() in suffixes and (file.is_file() or is_broken(file))
    ]
    return arranged(found)[0]


def list_images(folder: Path) -> list[Path]:
    """Image files of a folder by suffix, sorted; hidden files and broken links are left out."""
    return [file for file in with_suffix(folder, SUFFIXES) if not is_broken(file)]


def is_broken(file: Path) -> bool:
    """Whether this is a link to something that is not there."""
    return file.is_symlink() and not file.exists()


def arranged(files: Sequence[Path]) -> tuple[list[Path], str]:
    """Files in the order of their names, and why that order is a guess (empty where it is not)."""
    whole = sorted(files, key=lambda file: (natural_key(file.stem), file.name))
    if not any(re.search(r"\d\.\d", file.stem) for file in files):
        return whole, ""
    decimal = sorted(files, key=lambda file: (decimal_key(file.stem), file.name))
    if [file.name for file in whole] == [file.name for file in decimal]:
        return whole, ""
    parts = [re.findall(r"(\d+)\.(\d+)", file.stem)[-1:] for file in files]
    if all(parts):
        counted = sorted(int(part[0][1]) for part in parts)
        if len({part[0][0] for part in parts}) == 1 and counted == list(range(counted[0], counted[0] + len(counted))):
            return whole, ""  # a name, a dot, and 1, 2, ..., 10, 11
        times = [Fraction(f"{part[0][0]}.{part[0][1]}") for part in parts]
        if _even(sorted(times)):
            return decimal, ""
    first = next(i for i, (a, b) in enumerate(zip(whole, decimal, strict=True)) if a.name != b.name)
    return whole, f"{whole[first].name} or {decimal[first].name} may come first"


def _even(times: Sequence[Fraction]) -> bool:
    """Whether times are spaced as a clip's are: every gap at most half as long again as the shortest."""
    gaps = [b - a for a, b in pairwise(times)]
    return bool(gaps) and min(gaps) > 0 and max(gaps) <= Fraction(3, 2) * min(gaps)


def images_folder(path: Path) -> Path:
    """``path`` where it holds several images, else its images/ where that exists, else ``path``."""
    if not path.is_dir():
        raise InputError(path, "no such folder", "check input.path")
    inside = path / "images"
    return inside if len(frame_files(path)) < 2 and inside.is_dir() else path


def frame_files(folder: Path) -> list[Path]:
    """Everything in a folder that decides what its frames are: pictures, readable or not, and broken links."""
    return with_suffix(folder, (*SUFFIXES, *UNREAD))
