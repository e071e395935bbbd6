"""Checks of files of weights: their size, their hash, and that they hold nothing but tensors."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nsff.errors import WeightsError
from nsff.weights.entry import File, Weight
from nsff.weights.search import remedy
from nsff.weights.tensors import digest, read_tensors

TENSORS = (".pth", ".pt", ".bin", ".tar", ".safetensors")
"""Endings of files that hold tensors; others of a folder are text."""


def paths_of(weight: Weight, path: Path) -> list[tuple[File, Path]]:
    """The files of a set that lies at ``path``."""
    if weight.folder is None:
        return [(weight.files[0], path)]
    return [(file, path / file.name) for file in weight.files]


def check_sizes(weight: Weight, path: Path) -> None:
    """Raises WeightsError where a file is missing or shorter or longer than published. Reads no contents."""
    for file, file_path in paths_of(weight, path):
        check_size(weight, file, file_path)


def check_size(weight: Weight, file: File, path: Path) -> None:
    if not path.is_file():
        raise WeightsError(path, "no such file", remedy(weight, file.name))
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        state = "truncated" if size < file.size else "another file"
        raise WeightsError(path, f"has {size} bytes, expected {file.size} ({state})", _again(weight, file))
    if size == 0:
        raise WeightsError(path, "is empty", _again(weight, file))


def check_file(weight: Weight, file: File, path: Path) -> str:
    """Checks size, hash and contents; returns a description of what was compared. WeightsError has found and expected
    value."""
    check_size(weight, file, path)
    words = [] if file.size is None else ["size"]
    if file.sha256 or file.sha256_prefix:
        words.append(_check_sha256(weight, file, path))
    state = read_tensors(path) if path.suffix in TENSORS else None
    if file.tensors_sha256 is not None and state is not None:
        found = digest(state, file.tensors_prefix)
        if found != file.tensors_sha256:
            problem = f"its tensors have sha256 {found}, expected {file.tensors_sha256}"
            raise WeightsError(path, problem, _again(weight, file))
        words.append("sha256 of the tensors")
    agreed = f"{' and '.join(words)} as recorded" if words else ""
    if not file.has_hash:
        agreed = f"no published hash{f', {agreed}' if agreed else ''}"
    return agreed + (", tensors only" if state is not None else "")


def verify(weight: Weight, path: Path) -> str:
    """Checks every file of a set; returns a description of what was compared. Raises WeightsError for the first that is
    wrong."""
    found = [(file.name, check_file(weight, file, file_path)) for file, file_path in paths_of(weight, path)]
    return found[0][1] if weight.folder is None else "; ".join(f"{name}: {words}" for name, words in found)


def _check_sha256(weight: Weight, file: File, path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            hasher.update(block)
    found, expected = hasher.hexdigest(), file.sha256 or file.sha256_prefix or ""
    if not found.startswith(expected):
        shown = found if file.sha256 else f"{found[: len(expected)]}… (first {len(expected)} digits)"
        raise WeightsError(path, f"has sha256 {shown}, expected {expected}", _again(weight, file))
    return "sha256" if file.sha256 else f"the first {len(expected)} digits of sha256"


def _again(weight: Weight, file: File) -> str:
    return f"delete it, and {remedy(weight, file.name)}"
