"""Turns what GitHub's Markdown has, and the site's builder has not, into what it reads: formulas, lists, outer links.

Formulas stand as $`inline`$ and in blocks ```math; they become MathML, which browsers draw without a script.
"""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert

FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.M | re.S)
BLOCK = re.compile(r"^```math\n(.*?)^```\s*$", re.M | re.S)
INLINE = re.compile(r"\$`([^`]+)`\$")
OUTER = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")
LIST = re.compile(r"^(?![\s>|#-]|\d+\. |\* |$)(.*\S)\n(?=(?:- |\* |1\. ))", re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page."""
    markdown = BLOCK.sub(lambda found: f"\n{formula(found[1], 'block')}\n", markdown)
    markdown = INLINE.sub(lambda found: formula(found[1], "inline"), markdown)
    pieces, last = [], 0
    for fence in FENCE.finditer(markdown):
        pieces += [prose(markdown[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*pieces, prose(markdown[last:])])


def formula(latex: str, display: str) -> str:
    """MathML without line breaks, so that Markdown leaves it alone."""
    made = convert(latex.strip(), display=display).replace("\n", " ")
    return made if display == "block" else f"<span>{made}</span>"  # a line may begin with one


def prose(text: str) -> str:
    """Lists begin a paragraph of their own; links that lead out of docs/ become their words."""
    return OUTER.sub(r"\1", LIST.sub(r"\1\n\n", text))
