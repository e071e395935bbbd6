"""Reading and writing files: every write is whole (temporary file, then rename), every read checks what it finds.

Images are (H, W, 3) uint8 RGB, masks and label maps (H, W); arrays are stored without pickling.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from nsff.errors import StageError
from nsff.files import checksums
from nsff.files.arrays import map_npy, read_npy, read_npz
from nsff.files.atomic import explained, replaced
from nsff.files.checksums import verify
from nsff.files.decoding import LARGEST_FILE, decode
from nsff.files.reading import AGAIN, read_bytes, read_text, reading
from nsff.files.temporary import prefix

__all__ = [
    "atomic_directory",
    "atomic_path",
    "map_npy",
    "read_image",
    "read_json",
    "read_mask",
    "read_npy",
    "read_npz",
    "write_csv",
    "write_image",
    "write_json",
    "write_npz",
    "write_text",
]


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` with the same suffix, and renames it to ``path`` on success.

    The record of checksums that covers the file, if there is one, is renewed. Raises StageError, naming the file, when
    the disk is full or the folder may not be written to.
    """
    with replaced(path) as temporary:
        yield temporary
    checksums.renew(path)


@contextlib.contextmanager
def atomic_directory(path: Path, sealed: bool = False) -> Iterator[Path]:
    """Yields an empty temporary directory beside ``path``; on success it replaces ``path`` as a whole.

    ``sealed``: with a record of checksums beside it (nsff.files.checksums), which whoever reads its files compares.
    A link to a directory stays, and the directory that it leads to is replaced. Raises StageError, naming the
    directory, when the disk is full or the folder may not be written to.
    """
    output = Path(path)
    path = output.resolve() if output.is_symlink() else output
    temporary: Path | None = None
    try:
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=prefix(), dir=path.parent))
            yield temporary
            record = checksums.describe(output, temporary) if sealed else None
            if path.exists():
                shutil.rmtree(path)
            os.chmod(temporary, 0o755)
            os.replace(temporary, path)
            checksums.keep(record) if record else checksums.forget(output)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON; numpy scalars and arrays become numbers and lists, paths strings; NaN is refused."""
    write_text(path, json.dumps(value, indent=1, default=_plain, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def read_json(path: Path) -> Any:
    """The content of a JSON file of at most 16 MB; StageError names the file, whatever is wrong with it."""
    with reading(path):
        try:
            content = json.loads(read_text(path))
        except (ValueError, RecursionError) as error:
            raise StageError(path, f"not readable as JSON ({error})", AGAIN) from None
        verify(path)
        return content


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes uint8 or uint16, (H,W), (H,W,3) RGB or (H,W,4) RGBA; the suffix chooses the format."""
    if image.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"image of {image.dtype}: only uint8 and uint16 are written")
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    # Encoded in memory: OpenCV's own writer returns False for a full disk and cannot say why.
    ok, data = cv2.imencode(Path(path).suffix, image)
    if not ok:
        raise StageError(path, f"an image of shape {image.shape} cannot be encoded as {Path(path).suffix}")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def read_image(path: Path, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """Reads RGB uint8. ``size`` is (height, width), checked if given. Errors name the file."""
    image = _decode(path, cv2.IMREAD_COLOR)
    _check_size(path, image, size)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_mask(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Reads a single-channel image as stored (uint8 or uint16), (H, W). Colour images are refused."""
    image = _decode(path, cv2.IMREAD_UNCHANGED)
    if image.ndim != 2:
        raise StageError(path, f"has {image.shape[-1]} channels where one was expected", "store masks as greyscale")
    _check_size(path, image, size)
    return image


def _decode(path: Path, flag: int) -> np.ndarray:
    with reading(path):
        data = read_bytes(path, LARGEST_FILE)
        try:
            image = decode(data, flag)
        except ValueError as error:
            raise StageError(path, f"not readable as an image ({error})", AGAIN) from None
        verify(path, data)
        return image


def _check_size(path: Path, image: np.ndarray, size: tuple[int, int] | None) -> None:
    if size is not None and image.shape[:2] != tuple(size):
        raise StageError(
            path,
            f"is {image.shape[1]}x{image.shape[0]}, expected {size[1]}x{size[0]} (width x height)",
            "delete it and run again; all frames of a scene share one size",
        )


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
