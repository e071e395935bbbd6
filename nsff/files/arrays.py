"""Arrays on disk: .npy and .npz, never unpickled, with headers that are checked before anything is allocated.

An .npy file says its type and shape in a short header and holds the bytes of exactly that array; an .npz is a zip
archive of such files. A header that claims another number of bytes than there are is damaged. Source: NumPy, "NEP 1 -
a simple file format for NumPy arrays".
"""

from __future__ import annotations

import contextlib
import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from nsff.files.checksums import verify
from nsff.files.reading import AGAIN, MISSING, check_file, check_unpacked, reading

_MAGIC, _ZIP = b"\x93NUMPY", b"PK"


def read_npz(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads the named arrays. A missing file, key or a corrupt archive is a StageError naming the file."""
    with reading(path, message="corrupt"):
        check_file(path)
        with zipfile.ZipFile(path) as archive:
            arrays = {key: _member(archive, key) for key in keys}
        verify(path)
        return arrays


def read_npy(path: Path, remedy: str = AGAIN, missing: str = MISSING) -> np.ndarray:
    """The array of an .npy, in memory; StageError names the file."""
    with reading(path, remedy, missing=missing):
        array = load(path)
        verify(path)
        return array


def map_npy(path: Path, remedy: str = AGAIN, missing: str = MISSING) -> np.ndarray:
    """The array of an .npy, memory-mapped for reading; StageError names the file."""
    with reading(path, remedy, missing=missing):
        size = check_file(path)
        with open(path, "rb") as stream:
            _header(stream, size)
        verify(path)
        return np.lib.format.open_memmap(path, mode="r")


@contextlib.contextmanager
def new_npy(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> Iterator[np.memmap]:
    """A new .npy of zeros, memory-mapped for writing: it may be larger than the memory.

    All of its space is taken at once, so that a full disk is an OSError here, and not the end of the process once a
    page is written to.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    with open(path, "r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
    yield array
    array.flush()


def load(path: Path, key: str | None = None, default: str | None = None) -> np.ndarray:
    """The array of an .npy, or ``key`` (else ``default``, else the only one) of an .npz, whichever the file is.

    To be called within ``reading``: raises whatever is raised.
    """
    size = check_file(path)
    with open(path, "rb") as stream:
        if stream.read(2) != _ZIP:
            stream.seek(0)
            _header(stream, size)
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    with zipfile.ZipFile(path) as archive:
        return _member(archive, _chosen([name.removesuffix(".npy") for name in archive.namelist()], key, default))


def names(path: Path) -> list[str]:
    """Names of the arrays of an .npz; to be called within ``reading``."""
    check_file(path)
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def _chosen(names: list[str], key: str | None, default: str | None) -> str:
    if key in names:
        return str(key)
    if default in names:
        return str(default)
    if key is None and len(names) == 1:
        return names[0]
    raise ValueError(f"has no array {key or default}, but {', '.join(names[:5]) or 'none'}")


def _member(archive: zipfile.ZipFile, key: str) -> np.ndarray:
    try:
        entry = archive.getinfo(f"{key}.npy")
    except KeyError:
        raise ValueError(f"has no array {key}") from None
    check_unpacked(entry.file_size, entry.compress_size)
    with archive.open(entry) as stream:
        _header(stream, entry.file_size)
    with archive.open(entry) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read(1)  # the end is where the archive's checksum is compared
        return array


def _header(stream: IO[bytes], size: int) -> None:
    """ValueError where the header of an .npy of ``size`` bytes does not describe such an array."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("no array of NumPy" if size else "empty")
    version = tuple(stream.read(2))
    readers: dict[tuple[int, ...], Any] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"an array of NumPy in a format of version {version} that is none of ours")
    shape, _, kind = readers[version](stream)
    if kind.hasobject:
        raise ValueError("holds Python objects, which are not read for safety: store numbers")
    claimed, there = math.prod(shape) * kind.itemsize, size - stream.tell()
    if claimed != there or any(n < 0 for n in shape):
        raise ValueError(f"its header claims {claimed} bytes of shape {printable_shape(shape)}, it has {there}")


def printable_shape(shape: Sequence[int]) -> str:
    """A shape in few letters: headers may claim numbers of thousands of digits."""
    return f"({', '.join(str(n) if abs(n) < 10**15 else '...' for n in shape[:8])})"
