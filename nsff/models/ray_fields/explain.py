"""The terms of the objective described for people: weights and schedules, at a step or over a whole training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from nsff.models.ray_fields.terms.registry import all_terms
from nsff.models.ray_fields.terms.setup import Setup
from nsff.models.ray_fields.terms.term import Term

INDENT = "    "
MOST_CHANGES = 20
"""Lines of the timeline; later ones are counted."""


@dataclass(frozen=True)
class TermRow:
    """One term, at a step."""

    name: str
    weight: str
    """The weight's key in ``losses``."""
    value: float
    """The weight by the settings."""
    schedule: str
    factor: float
    """The factor of the schedule on the weight."""
    absent: str
    """Why the term is left out; empty where it counts."""
    does: str
    source: str

    @property
    def effective(self) -> float:
        """Weight times factor; 0 where the term is left out."""
        return 0.0 if self.absent else self.value * self.factor


def term_rows(setup: Setup, step: int = 0) -> list[TermRow]:
    """Every term by its name, in the order in which they are added up; of two ways to compute a term (depth) the one
    that the settings choose.

    >>> from nsff.config import resolve_scene
    >>> saff = resolve_scene("a", {"input": {"path": "x"}}, "saff", {})
    >>> depth = next(row for row in term_rows(Setup.of_config(saff), 40_000) if row.name == "depth")
    >>> depth.value, depth.factor, depth.effective
    (0.04, 0.1, 0.004)
    """
    chosen: dict[str, Term] = {}
    for term in all_terms():
        if term.name not in chosen or chosen[term.name].absent(setup):
            chosen[term.name] = term
    return [_row(term, setup, step) for term in chosen.values()]


def _row(term: Term, setup: Setup, step: int) -> TermRow:
    value, scale = float(getattr(setup.losses, term.weight)), term.scale(setup)
    factor = float(term.schedule.factor(setup, step)) * (1.0 if scale is None else scale)
    schedule, absent = term.in_words(setup), term.absent(setup)
    return TermRow(term.name, term.weight, value, schedule, factor, absent, term.does, term.source)


def timeline(setup: Setup) -> list[tuple[int, str]]:
    """The steps at which a term that counts changes, and how: ``(30000, "depth, flow: times 0.1")``."""
    names: dict[tuple[int, str], list[str]] = defaultdict(list)
    for term in all_terms():
        for change in () if term.absent(setup) else term.changes(setup):
            names[change].append(term.name)
    return [(step, f"{', '.join(who)}: {what}") for (step, what), who in sorted(names.items())]


def explained(setup: Setup, step: int | None = None) -> str:
    """A page about the terms: at a step, or, without one, their schedules and a timeline."""
    rows = term_rows(setup, step or 0)
    counts, left_out = [row for row in rows if not row.absent], [row for row in rows if row.absent]
    lines = [_headline(setup, step), "", *_table(counts, step)]
    if left_out:
        lines += ["", "left out:", *_columns([[INDENT + row.name, row.absent, row.does] for row in left_out])]
    if step is None:
        changes = timeline(setup)
        shown = [[INDENT + f"{at:,}", what] for at, what in changes[:MOST_CHANGES]]
        more = [INDENT + f"... and {len(changes) - len(shown)} more"] if len(changes) > len(shown) else []
        ends = [INDENT + f"{setup.train.steps:,}", "the training ends"]
        lines += ["", "what changes from which step on:", *_columns([*shown, ends]), *more]
    return "\n".join([*lines, "", "The equations are in docs/methods.md, section Losses."])


def _headline(setup: Setup, step: int | None) -> str:
    where = f"step {step:,} of {setup.train.steps:,}" if step is not None else f"{setup.train.steps:,} steps"
    return f"{where}, decay period {setup.losses.decay_steps:,} steps"


def _table(rows: Iterable[TermRow], step: int | None) -> list[str]:
    """Two lines a term: the numbers, and what it does."""
    head = ["term", "weight", *(["factor", "effective"] if step is not None else []), "schedule"]
    cells, notes = [head], [""]
    for row in rows:
        now = [f"{row.factor:.4g}", f"{row.effective:.4g}"] if step is not None else []
        cells.append([row.name, f"{row.weight} {row.value:g}", *now, row.schedule])
        notes.append(f"{INDENT}{row.does}. Source: {row.source}")
    lines = _columns(cells)
    return [line for pair in zip(lines, notes, strict=True) for line in pair if line]


def _columns(cells: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]
