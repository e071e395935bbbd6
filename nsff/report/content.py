"""The content of a page, before any HTML: sections of pictures, drawings, videos, tables and notes.

Texts here are plain; the templates escape them. ``Drawing.svg`` alone is markup, made by nsff.report.charts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from markupsafe import Markup

from nsff.report.verdicts import Verdict

RESULTS = ("page", "videos", "objects", "scores")
"""Sections of results, by their keys; the others say how these came about."""


@dataclass(frozen=True)
class Picture:
    """An embedded picture; width and height in its own pixels; ``alt`` says what can be seen on it."""

    uri: str
    width: int
    height: int
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Strip:
    """Pictures of one kind in a row. ``wide`` ones take the whole width, one below the other."""

    title: str
    pictures: Sequence[Picture]
    note: str = ""
    wide: bool = False
    kind: Literal["strip"] = "strip"


@dataclass(frozen=True)
class Drawing:
    title: str
    svg: Markup
    note: str = ""
    kind: Literal["drawing"] = "drawing"


@dataclass(frozen=True)
class Drawings:
    """Several small drawings side by side."""

    title: str
    drawings: Sequence[Drawing]
    note: str = ""
    kind: Literal["drawings"] = "drawings"


@dataclass(frozen=True)
class Video:
    """``uri`` is a data address, or a relative one where the video is not embedded."""

    title: str
    uri: str
    width: int
    height: int
    note: str = ""


@dataclass(frozen=True)
class Videos:
    """``large`` ones take the whole width, one below the other."""

    title: str
    videos: Sequence[Video]
    note: str = ""
    large: bool = False
    kind: Literal["videos"] = "videos"


@dataclass(frozen=True)
class Cell:
    """``colour`` (#rrggbb) is shown as a patch before the text."""

    text: str
    strong: bool = False
    number: bool = False
    colour: str = ""


@dataclass(frozen=True)
class Table:
    """``groups`` are (title, columns) over the head. ``folded`` tables are shown on demand."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    groups: Sequence[tuple[str, int]] = ()
    note: str = ""
    folded: bool = False
    kind: Literal["table"] = "table"

    @property
    def labels(self) -> list[str]:
        """The meaning of each column, its group included: for narrow screens, where a row becomes a card."""
        over = [title for title, columns in self.groups for _ in range(columns)] or [""] * len(self.head)
        return [", ".join(filter(None, pair)) for pair in zip(over, self.head, strict=True)]

    @property
    def wide(self) -> bool:
        """Whether it has too many columns for a narrow screen."""
        return len(self.head) > 2


@dataclass(frozen=True)
class Text:
    """Preformatted text, shown on demand."""

    title: str
    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class Absent:
    """Something that the page would show, and why it does not."""

    what: str
    why: str
    kind: Literal["absent"] = "absent"


@dataclass(frozen=True)
class Fold:
    """Parts that are shown on demand, together."""

    title: str
    parts: Sequence[Part]
    kind: Literal["fold"] = "fold"


@dataclass(frozen=True)
class Frame:
    """A page that lies beside the report, shown within it and linked."""

    title: str
    name: str
    note: str = ""
    kind: Literal["frame"] = "frame"


@dataclass(frozen=True)
class Space:
    """A drawing in space that turns under the pointer (nsff.report.space); ``alt`` says what can be seen."""

    title: str
    data: dict[str, Any]
    alt: str
    note: str = ""
    kind: Literal["space"] = "space"

    @property
    def json(self) -> str:
        return json.dumps(self.data, separators=(",", ":"))


Part = Strip | Drawing | Drawings | Videos | Table | Text | Absent | Fold | Frame | Space


@dataclass(frozen=True)
class Section:
    """``key`` is the anchor on the page; ``intro`` says how to read the pictures."""

    key: str
    title: str
    verdicts: Sequence[Verdict] = ()
    intro: str = ""
    parts: Sequence[Part] = field(default_factory=list)

    @property
    def all_good(self) -> bool:
        """Whether this is a section of results whose stages all call them good: their words are shown on demand."""
        return self.key in RESULTS and bool(self.verdicts) and all(v.level == "good" for v in self.verdicts)

    @property
    def folded(self) -> bool:
        """Whether the section is shown on demand: it says how the results came about, and nothing there is amiss."""
        return self.key not in RESULTS and not any(verdict.troubled for verdict in self.verdicts)


def facts(title: str, pairs: Sequence[tuple[str, str]], folded: bool = False) -> Table:
    """A table of names and values."""
    return Table(title, ("", ""), [[Cell(name), Cell(value)] for name, value in pairs], folded=folded)
