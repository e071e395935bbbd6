"""Runs cases of the fuzz test in this process, which may die of one: ``worker.py FIRST LAST`` prints a line for each.

Case k reads the files of reader k mod (number of readers) after mutation k of one of them. The kernel ends a case that
takes longer than SECONDS, and refuses memory beyond ADDRESSES more than the process has at its start.
"""

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from mutations import MUTATIONS
from readers import READERS, Reader

from nsff.errors import ConfigError, NsffError

SEED = 16
SECONDS = 10
ADDRESSES = 2**31
"""Bytes of address space, of which threads and allocators take more than they use."""
MEMORY = 10**9
"""Bytes that a case may use."""


def case(number: int, folder: Path, others: list[bytes]) -> tuple[Reader, str, str]:
    """Makes the good files of a case in ``folder`` and mutates one; the reader, the file, and what was done."""
    names = list(READERS)
    name = names[number % len(names)]
    reader, rng = READERS[name], np.random.default_rng([SEED, number])
    file = reader.files[int(rng.integers(len(reader.files)))]
    path = folder / file
    mutate = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
    path.write_bytes(mutate(bytearray(path.read_bytes()), rng, others))
    return reader, name, f"{file} {mutate.__name__}"


def main(first: int, last: int) -> None:
    # Results alone go where the output goes; libraries and readers print too.
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    good: dict[str, dict[str, bytes]] = {}
    with tempfile.TemporaryDirectory() as place:
        for i, (name, reader) in enumerate(READERS.items()):
            folder = Path(place, "good", str(i))
            folder.mkdir(parents=True)
            reader.make(folder)
            reader.read(folder)  # a good file is read: else no mutation would mean anything
            good[name] = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        others = [content for files in good.values() for content in files.values() if content]
        base = _limit()
        for number in range(first, last):
            folder = Path(place, "case", str(number))
            for file, content in good[list(READERS)[number % len(READERS)]].items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(content)
            if list(READERS)[number % len(READERS)] == "config":
                (folder / "v").mkdir()
            print(json.dumps({"case": number, "begins": True}), file=results)
            reader, name, what = case(number, folder, others)
            signal.alarm(SECONDS)
            started = time.perf_counter()
            outcome, told = "read", ""
            try:
                reader.read(folder)
            except NsffError as error:
                outcome, told = "refused", str(error)
                named = isinstance(error, ConfigError) or Path(what.split()[0]).name in told or folder.name in told
                outcome = outcome if named and error.remedy else "unnamed"
            except BaseException:
                outcome, told = "traceback", traceback.format_exc()
            signal.alarm(0)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - base
            line = {"case": number, "reader": name, "what": what, "outcome": outcome, "told": told[-1500:]}
            print(json.dumps(line | {"seconds": time.perf_counter() - started, "grown": grown}), file=results)
            shutil.rmtree(folder)


def _limit() -> int:
    """Sets the limit of addresses; returns the most memory used so far."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
