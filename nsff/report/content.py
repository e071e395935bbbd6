"""The content of a page, before any HTML: sections of pictures, drawings, videos, tables and notes.

Texts here are plain; the templates escape them. ``Drawing.svg`` alone is markup, made by nsff.report.charts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup

from nsff.report.verdicts import Verdict


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
    title: str
    videos: Sequence[Video]
    note: str = ""
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


Part = Strip | Drawing | Drawings | Videos | Table | Text | Absent


@dataclass(frozen=True)
class Section:
    """``key`` is the anchor on the page; ``intro`` says how to read the pictures."""

    key: str
    title: str
    verdicts: Sequence[Verdict] = ()
    intro: str = ""
    parts: Sequence[Part] = field(default_factory=list)


def facts(title: str, pairs: Sequence[tuple[str, str]], folded: bool = False) -> Table:
    """A table of names and values."""
    return Table(title, ("", ""), [[Cell(name), Cell(value)] for name, value in pairs], folded=folded)
