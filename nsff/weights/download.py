"""Getting weights from their publishers, through pooch: resumed where a download broke off, checked before the file
appears under its name.

What has arrived so far waits beside the target as .NAME.part; the next attempt asks the server for the rest alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from nsff.errors import WeightsError
from nsff.files.io import atomic_path
from nsff.weights.check import check_file
from nsff.weights.entry import File, Weight
from nsff.weights.search import by_hand, folders


def get(weight: Weight, folder: Path | None = None, progress: bool = True) -> dict[Path, str]:
    """Fetches a set into ``folder`` (default: the first that is searched); what was checked, by file.

    Files that are there and whole stay; damaged ones are replaced. Raises WeightsError where the server cannot be
    reached or what came is not what was published; then nothing appears under the file's name.
    """
    root = (folder or folders()[0]) / (weight.folder or "")
    return {root / file.name: _get_file(weight, file, root / file.name, progress) for file in weight.files}


def _get_file(weight: Weight, file: File, target: Path, progress: bool) -> str:
    with contextlib.suppress(WeightsError):
        return f"already there; {check_file(weight, file, target)}"
    if file.url is None:
        problem = weight.note or "has no public address"
        raise WeightsError(target, problem, by_hand(weight, target.parent, file.name))
    arrived = _fetch(weight, file, target, progress)
    try:
        with atomic_path(target) as temporary:
            if file.member is None:
                os.replace(arrived, temporary)
            else:
                _extract(weight, file, arrived, temporary)
            try:
                return check_file(weight, file, temporary)
            except WeightsError as error:
                # The temporary name means nothing to the reader.
                problem = f"what came from {file.url} {error.problem}"
                raise WeightsError(target, problem, by_hand(weight, target.parent, file.name)) from None
    finally:
        arrived.unlink(missing_ok=True)


def _fetch(weight: Weight, file: File, target: Path, progress: bool) -> Path:
    """The bytes at the file's address, under a temporary name beside ``target``."""
    import pooch
    import requests

    assert file.url is not None
    pooch.get_logger().setLevel("WARNING")
    suffix = ".zip" if file.member else target.suffix
    arrived = target.with_name(f".{target.name}.arrived{suffix}")
    if arrived.exists():
        arrived.unlink()
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        downloader = ResumingDownloader(part, target, progress=progress)
        pooch.retrieve(file.url, None, arrived.name, arrived.parent, downloader=downloader)
    except requests.exceptions.HTTPError as error:
        problem = f"{file.url} answers {str(error).partition(' for url')[0]}"
        raise WeightsError(target, problem, by_hand(weight, target.parent, file.name)) from None
    except requests.exceptions.RequestException as error:
        have = part.stat().st_size if part.exists() else 0
        kept = f"; {have} bytes are kept, the same command goes on from there" if have else ""
        problem = f"{file.url} cannot be reached ({_reason(error)}){kept}"
        raise WeightsError(target, problem, by_hand(weight, target.parent, file.name)) from None
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise WeightsError(
            target, problem, "make room or get the right to write there, or name another --folder"
        ) from None
    finally:
        if part.exists() and part.stat().st_size == 0:
            part.unlink()
    return arrived


def _reason(error: BaseException) -> str:
    """The innermost cause of an error that requests and urllib3 have wrapped, as a short text."""
    while inner := (getattr(error, "reason", None) or (error.args[0] if error.args else None)):
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    return text.rpartition(": ")[2][:120] or type(error).__name__


def _extract(weight: Weight, file: File, archive: Path, target: Path) -> None:
    assert file.member is not None
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(file.member) as source, target.open("wb") as copy:
            while block := source.read(1 << 20):
                copy.write(block)
    except (zipfile.BadZipFile, KeyError) as error:
        problem = f"what came from {file.url} has no {file.member} ({error})"
        raise WeightsError(target.with_name(file.name), problem, by_hand(weight, target.parent, file.name)) from None


@dataclass
class ResumingDownloader:
    """A downloader for pooch that keeps what has arrived in ``part`` and asks for the rest only.

    Connections that break are tried ``attempts`` times in all. ``target`` is what messages name.
    """

    part: Path
    target: Path
    attempts: int = 3
    progress: bool = True
    pause: float = 0.5

    def __call__(self, url: str, output_file: Any, pooch: Any) -> None:
        import requests

        broken = (
            requests.exceptions.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
            requests.exceptions.Timeout,
        )
        with _alone(self.part, self.target) as stream:
            for attempt in range(1, self.attempts + 1):
                try:
                    self._rest(url, stream)
                    break
                except broken:
                    stream.flush()
                    if attempt == self.attempts:
                        raise
                    time.sleep(self.pause * attempt)
            stream.flush()
            os.replace(self.part, output_file)

    def _rest(self, url: str, stream: IO[bytes]) -> None:
        import requests

        start = stream.seek(0, os.SEEK_END)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with requests.get(url, headers=headers, stream=True, timeout=30) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable and start:
                # All of it is there already, or what is there belongs to something longer.
                if response.headers.get("Content-Range", "").rpartition("/")[2] == str(start):
                    return
                stream.truncate(0)
                raise requests.exceptions.ConnectionError("the part kept from before does not fit")
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                start = stream.seek(0)  # a server that knows no ranges sends all of it
                stream.truncate()
            expected = start + int(response.headers.get("Content-Length", 0))
            with tqdm(
                total=expected or None,
                initial=start,
                unit="B",
                unit_scale=True,
                desc=self.target.name,
                disable=not self.progress,
            ) as bar:
                for block in response.iter_content(1 << 14):
                    stream.write(block)
                    bar.update(len(block))
            if "Content-Length" in response.headers and stream.tell() != expected:
                raise requests.exceptions.ConnectionError(f"{stream.tell()} of {expected} bytes came")


@contextlib.contextmanager
def _alone(part: Path, target: Path) -> Iterator[IO[bytes]]:
    """The part file, open for appending and held against other processes that fetch the same."""
    with part.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WeightsError(target, "another process is fetching it", "wait until it is done") from None
        except OSError:  # a file system without locks
            pass
        yield stream
