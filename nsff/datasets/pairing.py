"""Pairs given files with frames, for depth, flow, poses and cameras alike.

Notation. Frames are numbered 0..N-1 in their order and have names, unless they come from a video. Given files have keys
(names without folder, suffix and direction). A *convention* says which key a frame's file has: the frame's own name;
the number in that name; the frame's place counted from 0, or from 1; its place in the order of keys. A convention is
complete where every frame has its file. A whole folder follows one convention: the one that is complete. Where none is,
or where two are that disagree, nobody can know, and an error says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nsff.datasets.frame_names import NUMBER, missing_numbers
from nsff.datasets.listing import arranged, plain, with_suffix
from nsff.errors import InputError

REMEDY = "make the file again, or take its folder away so that the prior is computed"
Needs = Mapping[str, Sequence[int]]
"""Frames that need a file, by role ('' for one file a frame, 'fwd' and 'bwd' for flow)."""


def few(count: int) -> int:
    """By how many frames a container may miscount."""
    return max(3, round(0.03 * count))


@dataclass
class GivenFiles:
    """The files of one folder, and after ``match`` which of them is whose. ``what`` names them in errors."""

    folder: Path
    suffixes: tuple[str, ...]
    what: str
    roles: tuple[str, ...] = ("",)
    files: dict[tuple[str, str], Path] = field(init=False)
    """By key and role."""
    note: str = field(init=False, default="")
    """A note for the user on how the files were paired; empty where there is nothing to say."""
    _key: Callable[[int], str | None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.files = {}
        for path in with_suffix(self.folder, self.suffixes) if self.folder.is_dir() else []:
            role = next((role for role in self.roles if role and path.stem.endswith(f"_{role}")), "")
            if role not in self.roles:
                continue
            key = plain(path.stem.removesuffix(f"_{role}") if role else path.stem)
            if (key, role) in self.files:
                problem = f"has the same name as {self.files[key, role].name}"
                raise InputError(path, problem, f"keep one {self.what} per frame")
            self.files[key, role] = path

    def __bool__(self) -> bool:
        return bool(self.files)

    def path(self, frame: int, role: str = "") -> Path:
        """The file of a frame. Raises InputError where it has none."""
        assert self._key is not None, "match comes first"
        key = self._key(frame)
        if key is None or (key, role) not in self.files:
            count = len({key for key, _ in self.files})
            problem = f"has {count} {self.what}s, none for source frame {frame}"
            raise InputError(self.folder, problem, "give one per frame, or take fewer frames (input.end)")
        return self.files[key, role]

    def match(self, names: Sequence[str] | None, count: int | None, taken: Sequence[int]) -> None:
        """Decides the convention. ``names`` are the frames' own, without suffix, None for a video of ``count`` frames
        (None: unknown); ``taken`` are the frames that are used.

        Raises InputError where no convention is complete, two disagree, or counts differ by more than a container may
        miscount.
        """
        self._key = self._of_names(names, taken) if names is not None else self._of_video(count)

    def check_count(self, *counts: int) -> None:
        """InputError where a video of about one of these counts of frames has files of another rate."""
        keys = len({key for key, _ in self.files})
        if all(abs(keys - count) > few(count) for count in counts):
            problem = f"has {keys} {self.what}s for {counts[0]} frames"
            raise InputError(
                self.folder, f"{problem}: they are of another rate or another clip", "give one for each frame"
            )

    # --- videos ------------------------------------------------------------------------------------------------
    def _of_video(self, count: int | None) -> Callable[[int], str | None]:
        keys = self._sorted_keys()
        if count is not None:
            self.check_count(count)
        gaps = missing_numbers([Path(f"{key}.x") for key in keys])
        if gaps:
            problem = f"has {self.what}s with gaps in their numbers ({gaps[0]} is missing)"
            raise InputError(self.folder, problem, "give one for each frame of the video")
        if count is not None and len(keys) != count:
            self.note = f"{len(keys)} {self.what}s for {count} frames: paired from the first on"
        return lambda frame: keys[frame] if frame < len(keys) else None

    def _sorted_keys(self) -> list[str]:
        keys = sorted({key for key, _ in self.files})
        return [path.name.removesuffix(".x") for path in arranged([Path(f"{key}.x") for key in keys])[0]]

    # --- frames with names -------------------------------------------------------------------------------------
    def _of_names(self, names: Sequence[str], taken: Sequence[int]) -> Callable[[int], str | None]:
        names = [plain(name) for name in names]
        conventions = self._conventions(names)
        for frames in (range(len(names)), taken):
            needs = self._needs(frames, len(names))
            complete = {how: keys for how, keys in conventions.items() if not self._missing(keys, needs)}
            if complete:
                break
        else:
            return self._by_order(names, conventions, needs)
        if len({tuple(keys[frame] for frame in frames) for keys in complete.values()}) > 1:
            ways = " and ".join(f"{how} ({keys[frames[0]]} for {names[frames[0]]})" for how, keys in complete.items())
            problem = f"has a {self.what} for every frame in two ways that disagree: {ways}"
            raise InputError(self.folder, problem, "leave only the files of these frames in it")
        how, keys = next(iter(complete.items()))
        self._check_surplus(names, how)
        if how not in ("by name", "by number"):
            self.note = f"{self.what}s are paired with frames {how}: {keys[0]} for {names[0]}"
        return lambda frame: keys[frame]

    def _conventions(self, names: Sequence[str]) -> dict[str, list[str | None]]:
        """Key of each frame under every convention; two keys of one number leave out those that count."""
        keys = {key for key, _ in self.files}
        found: dict[str, list[str | None]] = {"by name": [name if name in keys else None for name in names]}
        numbers: dict[float, str] = {}
        for key in keys:
            number = number_of(key)
            if number is not None and numbers.setdefault(number, key) != key:
                return found
        own = [number_of(name) for name in names]
        if None not in own and len(set(own)) == len(own):
            found["by number"] = [numbers.get(number) for number in own if number is not None]
        consecutive = own == list(range(int(own[0] or 0), int(own[0] or 0) + len(own)))
        for first, there in ((0, 0 in numbers), (1, 0 not in numbers)):
            # Frames of a longer clip: only files that were made of just these are counted from the first frame on.
            if there and (consecutive or len(keys) == len(names) or self.roles != ("",)):
                found[f"by place, counted from {first}"] = [numbers.get(first + i) for i in range(len(names))]
        return found

    def _needs(self, frames: Sequence[int], count: int) -> Needs:
        last = {"fwd": [i for i in frames if i + 1 < count], "bwd": [i for i in frames if i > 0]}
        if len(frames) < count:  # of those that are taken, the last leads to none that is
            last = {"fwd": list(frames)[:-1], "bwd": list(frames)[1:]}
        return {role: last.get(role, list(frames)) for role in self.roles}

    def _missing(self, keys: Sequence[str | None], needs: Needs) -> list[tuple[int, str]]:
        return [
            (frame, role)
            for role, frames in needs.items()
            for frame in frames
            if keys[frame] is None or (keys[frame], role) not in self.files
        ]

    def _by_order(
        self, names: Sequence[str], conventions: Mapping[str, list[str | None]], needs: Needs
    ) -> Callable[[int], str | None]:
        keys = self._sorted_keys()
        related = any(key is not None for how in ("by name", "by number") for key in conventions.get(how, []))
        gaps = missing_numbers([Path(f"{key}.x") for key in keys])
        if self.roles == ("",) and len(keys) == len(names) and not related and not gaps:
            self.note = f"{self.what}s are paired with frames in the order of names: {keys[0]} for {names[0]}"
            return lambda frame: keys[frame]
        best = min(conventions, key=lambda how: len(self._missing(conventions[how], needs)))
        lacking = self._missing(conventions[best], needs)
        frame, role = lacking[0]
        total = sum(len(frames) for frames in needs.values())
        file = self.folder / (names[frame] + (f"_{role}" if role else "") + self.suffixes[0])
        problem = (
            f"no such file: the folder has {len(keys)} {self.what}s, but there are {len(names)} frames "
            f"({best}, {total - len(lacking)} of {total} files are there)"
        )
        raise InputError(file, problem, REMEDY)

    def _check_surplus(self, names: Sequence[str], how: str) -> None:
        """Names that only count prove nothing where there are many more files: another rate, or a longer clip."""
        keys = {key for key, _ in self.files}
        own = [number_of(name) for name in names]
        counted = own == list(range(int(own[0] or 0), int(own[0] or 0) + len(own)))
        if self.roles == ("",) and counted and len(keys) - len(names) > few(len(names)):
            problem = f"has {len(keys)} {self.what}s for {len(names)} frames: of another rate, or of a longer clip"
            raise InputError(self.folder, problem, "leave only those of these frames in it")


def number_of(name: str) -> float | None:
    """The last number in a name, or None."""
    found = NUMBER.findall(name)
    return float(found[-1]) if found else None


def rows_in_text_order(files: Sequence[str]) -> list[int]:
    """The row of each frame in poses_bounds.npy: LLFF (imgs2poses) sorts rows by file names as text, img10 before img2.

    ``files`` are the frames' file names in the order of frames.
    """
    order = sorted(range(len(files)), key=lambda i: files[i])
    rows = [0] * len(files)
    for row, frame in enumerate(order):
        rows[frame] = row
    return rows


def by_image_name(given: Sequence[str], files: Sequence[str]) -> dict[int, int]:
    """Frame to index in ``given`` (image names of a model, paths perhaps): the same name, else the same without suffix.

    Raises ValueError naming two given names that would be one frame's.
    """
    for part in (lambda name: plain(Path(name).name), lambda name: plain(Path(name).stem)):
        rows: dict[str, int] = {}
        frames = {part(file): i for i, file in enumerate(files)}
        for row, name in enumerate(given):
            key = part(name)
            if key in frames and key in rows:
                raise ValueError(f"{given[rows[key]]} and {name} are both {files[frames[key]]}")
            rows[key] = row
        found = {frame: rows[key] for key, frame in frames.items() if key in rows}
        if found:
            return found
    return {}
