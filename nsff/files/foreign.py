"""Files that are not what their names say: recognised by their first bytes, so that errors can say what they are.

Downloads that need a login or a click leave a web page under the file's name; Git LFS, git-annex and DVC leave a few
lines of text in place of a file that was not fetched; phones write HEIC into files called .jpg.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

RECOGNISED_BYTES = 512
"""Bytes at the beginning of a file by which it is recognised."""


class Foreign(NamedTuple):
    """The kind of a file, which fits into ``is {what}``, and the remedy."""

    what: str
    remedy: str
    empty: bool = False


def foreign(path: Path | str) -> Foreign | None:
    """The kind of a file that is known and is no picture, video or file of tensors; None for all others."""
    path = Path(path)
    if not path.is_file():  # a folder, or a pipe that one would wait at
        return None
    try:
        with path.open("rb") as stream:
            data = stream.read(RECOGNISED_BYTES)
    except OSError:
        return None
    return foreign_bytes(data)


def foreign_bytes(data: bytes) -> Foreign | None:
    """The same of a file's first bytes."""
    if not data:
        return Foreign("empty (0 bytes)", "copy or download it again", empty=True)
    if re.match(rb"(\xef\xbb\xbf)?\s*(<!doctype html|<html|<head|<\?xml[^>]*>\s*<html)", data, re.IGNORECASE):
        return Foreign("a web page, not the file", "open the link in a browser and download the file itself again")
    if data.startswith(b"version https://git-lfs"):
        return Foreign("a pointer of Git LFS, not the file", "fetch the file with `git lfs pull`")
    if re.match(rb"/annex/objects/|\S*\.git/annex/objects/", data):
        return Foreign("a pointer of git-annex, not the file", "fetch the file with `git annex get`")
    if data[4:8] == b"ftyp" and (brand := _BRANDS.get(data[8:12])):
        return Foreign(f"a picture in {brand}", "convert it to JPEG or PNG")
    return None


_BRANDS = {
    b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"heim": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF",
    b"avif": "AVIF", b"avis": "AVIF", b"jxl ": "JPEG XL",
}  # fmt: skip
