"""A file is written under a temporary name and renamed when it is whole, so that nobody ever reads half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nsff.errors import NsffError, StageError
from nsff.files.temporary import prefix

FULL_DISK_BYTES = 2**16
"""A disk with fewer free bytes is full."""


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """A StageError that names ``path`` in place of what a library makes of a full disk or of a folder that is not ours
    to write to.
    """
    try:
        yield
    except NsffError:
        raise
    except Exception as error:
        number = getattr(error, "errno", None)
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StageError(
                path,
                f"cannot be written ({error.strerror if isinstance(error, OSError) else error})",
                f"make {path.parent} writable for you, or work in another folder",
            ) from None
        said = number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        # torch.save speaks of positions in its archive.
        if said or (path.parent.is_dir() and shutil.disk_usage(path.parent).free < FULL_DISK_BYTES):
            raise StageError(
                path, "no space left on the device while writing it", "free some space, run again"
            ) from None
        raise


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` with the same suffix, and renames it to ``path`` on success.

    Raises StageError, naming the file, when the disk is full or the folder may not be written to.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=prefix(), suffix=path.suffix, dir=path.parent)
            os.close(handle)
            temporary = Path(name)
            yield temporary
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
