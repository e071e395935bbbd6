"""The search for pretrained weights on this machine: in the folder that NSFF_WEIGHTS names, then ~/.cache/nsff.

A file that the settings name comes before both; that is for who reads the settings. Under the workflow a stage sees
the files that its rule has as inputs, and no others (``only``), so that both choose the same backend on any machine.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path

from nsff.weights.entry import Weight
from nsff.weights.registry import weight_named

VARIABLE = "NSFF_WEIGHTS"
CACHE = "~/.cache/nsff"

_only: ContextVar[tuple[Path, ...] | None] = ContextVar("only", default=None)


def folders() -> list[Path]:
    """The folders that are looked into, in this order; they need not exist."""
    return [Path(folder).expanduser() for folder in (os.environ.get(VARIABLE), CACHE) if folder]


def find(name: str) -> Path | None:
    """The file or folder ``name`` among the weights of this machine, or None."""
    allowed = _only.get()
    paths = [folder / name for folder in folders()] if allowed is None else [p for p in allowed if p.name == name]
    return next((path for path in paths if path.exists()), None)


def locate(weight: Weight | str) -> Path | None:
    """The file or folder of a set of the registry on this machine, or None."""
    return find((weight_named(weight) if isinstance(weight, str) else weight).location)


@contextlib.contextmanager
def only(paths: Iterable[Path]) -> Iterator[None]:
    """Within, these files and folders are all the weights there are."""
    token = _only.set(tuple(Path(path) for path in paths))
    try:
        yield
    finally:
        _only.reset(token)


def remedy(weight: Weight, file: str | None = None) -> str:
    """Instructions to get the weights, or one file of them: by command, or by hand for a machine without a network."""
    command = f"nsff weights get {weight.name}; or by hand: " if all(entry.url for entry in weight.files) else ""
    folder = f"{folders()[0] / (weight.folder or '')}"
    folder += f" (named by {VARIABLE})" if os.environ.get(VARIABLE) else f", or into the folder that {VARIABLE} names"
    return command + by_hand(weight, folder, file)


def by_hand(weight: Weight, folder: str | Path, file: str | None = None) -> str:
    """In words: which files to bring from another machine, and where to put them."""
    wanted = [entry for entry in weight.files if file in (None, entry.name)]
    addresses = sorted({entry.url for entry in wanted if entry.url})
    names = ", ".join(entry.name for entry in wanted)
    members = [entry.member for entry in wanted if entry.member]
    unpack = f", take {', '.join(members)} out of it" if members else ""
    address = " and ".join(addresses) or weight.source
    return f"get {address} on a machine that has a network{unpack}, and put {names} into {folder}"
