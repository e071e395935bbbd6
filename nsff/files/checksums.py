"""Checksums of what stages leave to each other, so that a flipped bit stops the next stage rather than change it.

The record of an output, a file or a folder, lies beside it: checksums/{name of the output}.json says bytes and CRC-32
of every file, by its path from the folder that holds the output. Files are compared on first reading in a process; with
the first file of a folder, its list of files and their sizes is too. An output without a record, of an older version
say, is read as it is. Whoever writes through nsff.files.io keeps the record true.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nsff.errors import StageError
from nsff.files.atomic import replaced
from nsff.files.reading import check_file, read_text, reading

CHECKSUM_FOLDER = "checksums"
RECORD_FORMAT = "nsff checksums 1"
BLOCK_BYTES = 2**22
OUTPUT_LEVELS = 4
"""An output may hold folders in folders, so many levels down to its files."""


@dataclass(frozen=True)
class Entry:
    """Size in bytes, and CRC-32 as eight hexadecimal digits, of one file."""

    bytes: int
    crc32: str


@dataclass(frozen=True)
class Record:
    """The files of one output, by their paths from the folder that holds it."""

    output: Path
    files: dict[str, Entry]

    @property
    def path(self) -> Path:
        return path_of(self.output)

    def text(self) -> str:
        files = {name: asdict(entry) for name, entry in sorted(self.files.items())}
        return json.dumps({"format": RECORD_FORMAT, "files": files}, indent=1) + "\n"


_records: dict[Path, tuple[int, Record | None]] = {}
"""Records that were read, with their times of writing."""
_listed: dict[Path, tuple[int, ...]] = {}
"""Records whose lists of files were compared, with the times of writing of record and folders."""
_verified: dict[Path, tuple[int, int]] = {}
"""Files that were compared, with their time of writing and size."""


def path_of(output: Path) -> Path:
    """Where the record of an output lies."""
    return output.parent / CHECKSUM_FOLDER / f"{output.name}.json"


def seal(output: Path) -> None:
    """Writes the record of an output that is in its place."""
    keep(describe(output))


def describe(output: Path, at: Path | None = None) -> Record:
    """The record of an output; ``at`` is where its files are read from, if they are not in their place yet."""
    output, at = Path(output), Path(at or output)
    files = {}
    for file in sorted(_files(at)):
        files[(output / file.relative_to(at)).relative_to(output.parent).as_posix()] = entry_of(file)
    return Record(output, files)


def entry_of(file: Path) -> Entry:
    """Size and checksum of a file, read in blocks."""
    crc, size = 0, 0
    with file.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            crc, size = zlib.crc32(block, crc), size + len(block)
    return Entry(size, f"{crc:08x}")


def renew(path: Path) -> None:
    """Brings the record that covers ``path``, if there is one, in step with what was just written there."""
    found = _covering(Path(path))
    if found is not None:
        record, name = found
        keep(Record(record.output, record.files | {name: entry_of(Path(path))}))


def forget(output: Path) -> None:
    """Takes the record of an output away."""
    path_of(Path(output)).unlink(missing_ok=True)


def verify(path: Path, data: bytes | None = None) -> None:
    """Compares a file, or ``data`` just read from it, with its record; nothing where it has none.

    Raises StageError that names the file which differs, is missing or is one too many.
    """
    path = Path(path)
    found = _covering(path)
    if found is None:
        return
    record, name = found
    _compare_list(record)
    if path.exists():
        status = path.stat()
        key = (status.st_mtime_ns, status.st_size)
        if _verified.get(path) == key:
            return
        check_file(path)
    if name in record.files:
        own = entry_of(path) if data is None else Entry(len(data), f"{zlib.crc32(data):08x}")
        if own != record.files[name]:
            problem = f"corrupt: not as it was written (checksum {own.crc32}, not {record.files[name].crc32})"
            _differs(record, path, problem)
        _verified[path] = key


def _compare_list(record: Record) -> None:
    """Every recorded file is there and as long as it was, and there is none of their kinds beside them.

    Compared again where a folder of the output was written to since.
    """
    folders = {(record.output.parent / name).parent for name in record.files} if record.output.is_dir() else ()
    state = (_records[record.path][0], *(folder.stat().st_mtime_ns for folder in sorted(folders) if folder.is_dir()))
    if _listed.get(record.path) == state:
        return
    for name, entry in record.files.items():
        file = record.output.parent / name
        if not file.is_file():
            _differs(record, file, "missing")
        if file.stat().st_size != entry.bytes:
            _differs(record, file, f"corrupt: has {file.stat().st_size} bytes, was written with {entry.bytes}")
    kinds = {Path(name).suffix for name in record.files}
    for file in _files(record.output):
        if file.suffix in kinds and file.relative_to(record.output.parent).as_posix() not in record.files:
            _differs(record, file, "is not among the files that its stage wrote")
    _listed[record.path] = state


def _differs(record: Record, path: Path, problem: str) -> None:
    remedy = f"delete {record.output} and run again; if you changed it on purpose, delete {record.path}"
    raise StageError(path, problem, remedy)


def _files(output: Path) -> Iterator[Path]:
    """The files of an output; hidden ones are others' (Snakemake's time stamps)."""
    if output.is_file():
        yield output
    for file in output.rglob("*"):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(output).parts):
            yield file


def _covering(path: Path) -> tuple[Record, str] | None:
    """The record of the output that ``path`` is or lies in, and the path's name there."""
    output = path
    for _ in range(OUTPUT_LEVELS):
        if not output.name:
            return None
        record = _record(output)
        if record is not None:
            return record, path.relative_to(output.parent).as_posix()
        output = output.parent
    return None


def _record(output: Path) -> Record | None:
    path = path_of(output)
    try:
        written = path.stat().st_mtime_ns
    except OSError:
        return None
    if _records.get(path, (None,))[0] != written:
        with reading(path, f"delete it and {output}, and run again"):
            content: Any = json.loads(read_text(path))
            ours = isinstance(content, dict) and content.get("format") == RECORD_FORMAT
            files = content["files"].items() if ours else ()
            entries = {str(name): Entry(int(entry["bytes"]), str(entry["crc32"])) for name, entry in files}
            _records[path] = (written, Record(output, entries) if ours else None)
    return _records[path][1]


def keep(record: Record) -> None:
    """Writes a record beside its output."""
    with replaced(record.path) as temporary:
        temporary.write_text(record.text(), encoding="utf-8")
    _records.pop(record.path, None)
