"""A digest of the user's own files, by which the workflow knows that they have changed.

It covers the files that a reader reads, found by the reader's own listing (``Reader.files``): names, sizes and times.
What lies beside them (hidden files, what a file manager leaves, results/) does not count, links are followed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from nsff.config.inputs import InputConfig
from nsff.datasets.listing import visible
from nsff.datasets.priors import truth_files
from nsff.datasets.registry import READERS, detect_kind
from nsff.datasets.sensor_depth import list_maps

TRUTH = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".npy", ".npz", ".json", ".txt", ".bin")
"""Suffixes of files that readers of truth read."""


def input_digest(config: InputConfig) -> str:
    """The digest of a scene's source and of its given depth; empty for single files, which have a time of their own.

    Never raises: what is wrong with a source, its reader says.
    """
    result = hashlib.sha256()
    folders = 0
    for folder, name, files in _parts(config):
        if folder.is_dir():
            folders += 1
            result.update(name.encode())
            _add(result, folder, files)
    return result.hexdigest()[:16] if folders else ""


def _parts(config: InputConfig) -> Iterator[tuple[Path, str, list[Path]]]:
    """Every folder that is read, what it is read as, and the files that are."""
    path = Path(config.path).expanduser()
    kind, files = "", []
    try:
        kind = detect_kind(path) if config.kind == "auto" else config.kind
        files = READERS[kind].files(path)
    except Exception as error:  # whatever is wrong with a source, its reader says
        kind = f"{kind} {type(error).__name__}"
    yield path.parent if kind == "nerfstudio" and path.is_file() else path, kind, files
    if config.depth is not None:
        folder = Path(config.depth.path).expanduser()
        yield folder, "depth", list_maps(folder) if folder.is_dir() else []
    if config.truth_priors is not None:
        yield Path(config.truth_priors), "priors", truth_files(Path(config.truth_priors).expanduser())


def folder_digest(paths: Iterable[str | Path]) -> str:
    """The digest of whole folders of truth: every file of a kind that is read, at any depth, but none of results/."""
    result = hashlib.sha256()
    for folder in map(Path, paths):
        if folder.is_dir():
            _add(result, folder, sorted(_walk(folder, (Path("results").resolve(), folder.resolve()))))
    return result.hexdigest()[:16]


def _walk(folder: Path, without: tuple[Path, ...]) -> Iterator[Path]:
    """Files below a folder; a link that leads back to a folder above it is not followed."""
    for entry in visible(folder):
        if not entry.is_dir():
            if entry.suffix.lower() in TRUTH:
                yield entry
        elif (target := entry.resolve()) not in without:
            yield from _walk(entry, (*without, target))


def _add(result: hashlib._Hash, folder: Path, files: Iterable[Path]) -> None:
    for file in files:
        try:
            status = os.stat(file)
            entry = (os.path.relpath(file, folder), status.st_size, status.st_mtime_ns)
        except OSError:  # a link to nothing
            entry = (os.path.relpath(file, folder), -1, 0)
        result.update(repr(entry).encode())
