"""The one place that turns whatever a reader raises into an error that names the file and the remedy.

Readers are libraries: each has exceptions of its own for a damaged, foreign or hostile file (zlib, zipfile, struct,
tokenize, ...), and new versions add more. So every reader here works within ``reading``, whatever it raises. Before any
byte is read, ``check_file`` refuses what is no file (a folder, a pipe, a device that never ends) and what is too large
to be what it should be.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsff.errors import NsffError, StageError, printable

if TYPE_CHECKING:
    import pandas as pd

AGAIN = "delete it and run again"
MISSING = "run the stage that makes it"
LARGEST_TEXT = 2**24
"""Bytes: a longer text (JSON, YAML, CSV, a list of cameras) is none of ours."""
BOMB_BYTES, BOMB_RATIO = 2**28, 20
"""An archive that unpacks to more bytes than LARGE, and to more than RATIO times its size, is a decompression bomb."""


@contextlib.contextmanager
def reading(
    path: object,
    remedy: str = AGAIN,
    error: type[NsffError] = StageError,
    missing: str = MISSING,
    message: str = "not readable",
) -> Iterator[None]:
    """Any exception raised within becomes ``error`` that names ``path``; errors that are explained already stay.

    ``remedy`` is what to do about a damaged file, ``missing`` about one that is not there; ``message`` says what is
    wrong.
    """
    try:
        yield
    except NsffError:
        raise
    except FileNotFoundError:
        raise error(path, "missing" if error is StageError else "no such file", missing) from None
    except MemoryError:
        raise error(path, f"{message} (it asks for more memory than there is: damaged?)", remedy) from None
    except Exception as cause:
        raise error(path, f"{message} ({reason(cause)})", remedy) from None
    except BaseException as cause:
        # Panics of libraries written in Rust (safetensors, tokenizers) are no Exceptions.
        if type(cause).__name__ != "PanicException":
            raise
        raise error(path, f"{message} ({reason(cause)})", remedy) from None


def reason(cause: BaseException) -> str:
    """The message of an exception in one short line; its type where it has none, or no more than a key."""
    if isinstance(cause, OSError) and cause.errno:
        return "a folder, not a file" if cause.errno == errno.EISDIR else os.strerror(cause.errno).lower()
    # FFmpeg's errors repeat the path, and their numbers are of no use.
    said = str(getattr(cause, "strerror", None) or cause)
    text = printable(next((line for line in said.splitlines() if line.strip()), ""), 200)
    if isinstance(cause, KeyError):
        return f"has no {text}"
    return text or type(cause).__name__


def check_file(path: Path | str, at_most: int | None = None) -> int:
    """Bytes of a regular file. Raises OSError (missing, folder) or ValueError (pipe, device, too large)."""
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a folder", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("a pipe or a device, not a file")
    if at_most is not None and status.st_size > at_most:
        raise ValueError(f"{status.st_size} bytes, more than {at_most} that such a file may have")
    return status.st_size


def check_unpacked(unpacked: int, stored: int) -> None:
    """ValueError where ``stored`` bytes claim to be so many that nothing real was packed."""
    if unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * stored:
        raise ValueError(f"{stored} bytes that claim to unpack to {unpacked}")


def read_bytes(path: Path | str, at_most: int | None = None) -> bytes:
    """The whole of a regular file of at most so many bytes; exceptions as of ``check_file``."""
    check_file(path, at_most)
    with open(path, "rb") as stream:
        return stream.read()


def read_table(path: Path | str, **options: Any) -> pd.DataFrame:
    """A table of at most 16 MB in UTF-8, by pandas.read_csv under its ``options``; raises whatever is raised."""
    import pandas

    return pandas.read_csv(io.StringIO(read_text(path)), **options)


def read_text(path: Path | str, at_most: int = LARGEST_TEXT) -> str:
    """The text of a file in UTF-8, with or without a mark of byte order; ValueError names another encoding."""
    data = read_bytes(path, at_most)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        raise ValueError("text in UTF-16 or UTF-32, or none at all; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not UTF-8: text in Latin-1, or none at all; save it as UTF-8") from None
