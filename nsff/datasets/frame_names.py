"""Findings from the names in a folder of frames: pictures that cannot be read, two series in one folder, gaps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from nsff.datasets.listing import SUFFIXES, UNREAD, frame_files, is_broken, plain
from nsff.errors import InputError

Series = Sequence[tuple[Path, tuple[float, ...]]]
"""Files with the numbers in their names."""
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def check_pictures(folder: Path) -> list[str]:
    """Notes on pictures that are left out. InputError where leaving them out would leave frames out.

    A picture of a kind that is not read is left out only where one of the same name is read (JPG and RAW of one shot).
    """
    files = frame_files(folder)
    broken = [file for file in files if is_broken(file)]
    if broken:
        remedy = "fetch the file (git annex get, dvc pull), or remove the link"
        raise InputError(broken[0], "is a link to a file that is not there", remedy)
    read = {plain(file.stem).lower() for file in files if file.suffix.lower() in SUFFIXES}
    unread = [file for file in files if file.suffix.lower() in UNREAD]
    alone = [file for file in unread if plain(file.stem).lower() not in read]
    if alone:
        kinds = ", ".join(sorted({file.suffix for file in alone}))
        problem = f"has {len(alone)} pictures of a kind that is not read ({kinds}; first {alone[0].name})"
        remedy = (
            "convert all pictures of the folder to JPEG or PNG, in a new folder (ImageMagick: "
            f"`magick mogrify -format png -path NEW *{alone[0].suffix}`), or take these out"
        )
        raise InputError(folder, problem, remedy)
    if unread:
        return [f"{len(unread)} files like {unread[0].name} were left out: a picture of the same name is read"]
    return []


def check_series(folder: Path, files: Sequence[Path]) -> None:
    """InputError where the names make two series with the same numbers, as frames and their masks in one folder."""
    groups: dict[str, list[tuple[Path, tuple[float, ...]]]] = {}
    for file in files:
        name = plain(file.stem).lower()
        numbers = tuple(float(number) for number in NUMBER.findall(name))
        groups.setdefault(NUMBER.sub("#", name), []).append((file, numbers))
    for group in groups.values():
        first: dict[tuple[float, ...], Path] = {}
        for file, numbers in group:
            if numbers and numbers in first:
                problem = f"has {first[numbers].name} and {file.name}, two frames with one number"
                raise InputError(folder, problem, "keep one of them, or number them apart")
            first[numbers] = file
    series = [part for group in groups.values() for part in _parted(group) if len(part) >= 2]
    for i, one in enumerate(series):
        for other in series[i + 1 :]:
            shared = _counted(one) & _counted(other)
            if 2 * len(shared) >= min(len(one), len(other)):
                problem = (
                    f"holds two series with the same numbers: {len(one)} like {one[0][0].name} and "
                    f"{len(other)} like {other[0][0].name}"
                )
                raise InputError(folder, problem, "leave the frames alone in their folder: move masks, depth, copies")


def strangers(files: Sequence[Path]) -> list[str]:
    """Names without a number among frames that all have one, such as a cover: nobody knows when they were taken."""
    without = [file.name for file in files if not NUMBER.search(plain(file.stem))]
    return without if len(files) - len(without) >= max(3, 4 * len(without)) else []


def _parted(group: Series) -> list[Series]:
    """The series within names of one pattern: those of camera 0 and camera 1 in cam0_7, cam1_7, where both count."""
    columns = list(zip(*(numbers for _, numbers in group), strict=True))
    varying = [i for i, column in enumerate(columns) if len(set(column)) > 1]
    for column in varying if len(varying) > 1 else []:
        values = sorted(set(columns[column]))
        if 3 * len(values) <= len(group):
            parts: list[Series] = [[entry for entry in group if entry[1][column] == value] for value in values]
            if any(_counted(one) & _counted(other) for one, other in pairwise(parts)):
                return parts
    return [group]


def _counted(group: Series) -> set[tuple[float, ...]]:
    """The numbers that vary within a series."""
    columns = list(zip(*(numbers for _, numbers in group), strict=True))
    varying = [column for column in columns if len(set(column)) > 1]
    return set(zip(*varying, strict=True))


def missing_numbers(files: Sequence[Path]) -> list[int]:
    """Numbers that frames numbered evenly (1, 2, 4, ...) leave out; none where names are no such numbers."""
    names = [NUMBER.findall(plain(file.stem)) for file in files]
    if len({len(name) for name in names}) != 1 or not all(name and name[-1].isdecimal() for name in names):
        return []
    if len({tuple(name[:-1]) for name in names}) != 1:
        return []
    numbers = [int(name[-1]) for name in names]
    gaps = [b - a for a, b in pairwise(numbers)]
    if not gaps or min(gaps) <= 0:
        return []
    step, often = Counter(gaps).most_common(1)[0]
    if 2 * often < len(gaps) or any(gap % step for gap in gaps):
        return []
    missing = [n for a, b in pairwise(numbers) for n in range(a + step, b, step)]
    return missing if len(missing) <= len(numbers) else []
