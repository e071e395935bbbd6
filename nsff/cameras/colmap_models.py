"""Where COLMAP models may lie in a folder, and which of their files are read. Nothing is opened here.

COLMAP numbers the models it makes (sparse/0, sparse/1, ...); others keep them in colmap/sparse/0 (nerfstudio), in
distorted/sparse/0 (Gaussian splatting), in colmap_text (instant-ngp), or in the folder itself. cameras and images, both
.bin or both .txt, make a model; points3D may be missing.
"""

from __future__ import annotations

import re
from pathlib import Path

NAMED = re.compile(
    r"(sparse|colmap|distorted|undistorted|dense|model|text|txt|bin|recon|sfm|output|poses|cameras)[\w.-]*|\d{1,3}",
    re.IGNORECASE,
)
"""Names of folders that are looked into."""
SEARCH_DEPTH = 4
MODEL_PARTS = ("cameras", "images", "points3D", "rigs", "frames")
USUAL_FOLDERS = ("", "sparse", "sparse/0", "0")
"""These come first, in this order."""


def model_suffix(folder: Path) -> str | None:
    """.bin or .txt where ``folder`` itself is a model; None where it is none. A model with
    points comes first, then .bin, as in COLMAP.
    """
    for parts in (MODEL_PARTS[:3], MODEL_PARTS[:2]):
        for suffix in (".bin", ".txt"):
            if all((folder / f"{stem}{suffix}").is_file() for stem in parts):
                return suffix
    return None


def find_models(folder: Path) -> list[Path]:
    """All folders with a model in and below ``folder``, the usual places first, then by name."""
    found = [inside for inside in _below(Path(folder), SEARCH_DEPTH) if model_suffix(inside) is not None]
    usual = [Path(folder, inside) for inside in USUAL_FOLDERS]
    return sorted(found, key=lambda inside: (usual.index(inside) if inside in usual else len(usual), str(inside)))


def incomplete_models(folder: Path) -> list[tuple[Path, str]]:
    """Places with one of the files that make a model and not the other, and which is missing."""
    found = []
    for inside in _below(Path(folder), SEARCH_DEPTH):
        there = [
            stem
            for stem in MODEL_PARTS[:3]
            if any((inside / f"{stem}{suffix}").is_file() for suffix in (".bin", ".txt"))
        ]
        if there and model_suffix(inside) is None:
            lacking = [stem for stem in MODEL_PARTS[:2] if stem not in there] or ["one suffix for both, .bin or .txt"]
            found.append((inside, lacking[0]))
    return found


def model_files(folder: Path) -> list[Path]:
    """The files of all models of ``folder``, in the order of ``find_models``."""
    return [
        file
        for inside in find_models(folder)
        for part in MODEL_PARTS
        if (file := inside / f"{part}{model_suffix(inside)}").is_file()
    ]


def _below(folder: Path, depth: int) -> list[Path]:
    """``folder`` and the folders below it whose names are those of models, links followed to ``depth``.

    A folder with pictures of its own (images/) is another scene, whose models are of those pictures.
    """
    if not folder.is_dir():
        return []
    inner = [
        entry
        for entry in (folder.iterdir() if depth else ())
        if NAMED.fullmatch(entry.name) and entry.is_dir() and not (entry / "images").is_dir()
    ]
    return [folder, *(inside for entry in inner for inside in _below(entry, depth - 1))]
