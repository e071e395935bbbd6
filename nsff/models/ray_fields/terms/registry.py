"""All terms, in the order in which they are computed and added up.

Every file of this folder may have a tuple TERMS. A new term is a class in one of them, or a new file: files are found
by listing the folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from nsff.models.ray_fields import terms
from nsff.models.ray_fields.terms.setup import Setup
from nsff.models.ray_fields.terms.term import RayTerm, Term, WarpedTerm

ORDER = ("appearance", "depth", "regularisers", "division", "motion")
"""Random draws and sums of floating-point numbers depend on their order: these files come first, in this order, and any
others after them by name."""


@cache
def all_terms() -> tuple[Term, ...]:
    """Terms of all rays, then terms of the rays that are warped; each kind in the order of the files."""
    names = {module.name for module in pkgutil.iter_modules(terms.__path__)}
    files = [*ORDER, *sorted(names - set(ORDER))]
    modules = [importlib.import_module(f"{terms.__name__}.{name}") for name in files]
    found = [term for module in modules for term in getattr(module, "TERMS", ())]
    return tuple(term for kind in (RayTerm, WarpedTerm) for term in found if isinstance(term, kind))


def present_terms(setup: Setup) -> tuple[Term, ...]:
    """The terms that are computed; an error (ValueError) where two of them have one name."""
    present = tuple(term for term in all_terms() if not term.absent(setup))
    names = [term.name for term in present]
    if len(set(names)) < len(names):
        raise ValueError(f"several loss terms are named {max(names, key=names.count)}")
    return present
