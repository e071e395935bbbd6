"""Lists, fetches and checks the pretrained weights of the learned backends.

They are looked for in the folder that NSFF_WEIGHTS names, then in ~/.cache/nsff; a file may also be named in the
settings. Without weights the classical backends do the work. `get` takes up a broken download where it stopped, and
puts nothing under its name that is not what was published. `recommended` stands for the sets that NSFF and SAFF were
published with, one for each prior.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from nsff.weights import Weight

HELP = "list, fetch and check pretrained weights"
EXAMPLES = (
    "weights list",
    "weights list raft-things",
    "weights get recommended",
    "weights get raft-things dino-vits8",
    "weights get raft-small --folder /data/weights",
    "weights verify",
)


def _list(names: Annotated[list[str] | None, Parameter(help="sets to tell all about")] = None, /) -> None:
    """Lists the known weights and where they lie; with names, everything that is known about them."""
    from nsff.priors.registries import known_weights
    from nsff.weights import folders, weight_named

    known = known_weights()
    if names:
        print("\n\n".join(_details(weight_named(name, known)) for name in names))
        return
    rows = [("name", "MiB", "licence", "used by", "where")]
    for weight in known.values():
        rows.append((weight.name, _mebibytes(weight), weight.licence, weight.used_by, _where(weight)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].ljust(widths[2]), row[3].ljust(widths[3])]
        print("  ".join([*cells, row[4]]).rstrip())
    print(f"\nlooked for in: {', '.join(map(str, folders()))}")


def _details(weight: Weight) -> str:
    lines = [weight.name, f"  used by:  {weight.used_by}", f"  where:    {_where(weight)}"]
    if weight.repository:
        lines.append(f"  folder:   {weight.folder}, {weight.repository} at {weight.revision}")
    for file in weight.files:
        size = f"{file.size} bytes" if file.size is not None else f"about {_mebibytes(weight)} MiB"
        lines.append(f"  file:     {file.name}, {size}")
        if file.sha256 or file.sha256_prefix:
            lines.append(f"  sha256:   {file.sha256 or f'{file.sha256_prefix}… (only these digits are published)'}")
        if file.tensors_sha256:
            lines.append(f"  tensors:  sha256 {file.tensors_sha256}")
        if not file.has_hash:
            lines.append("  sha256:   none published")
        if file.url:
            lines.append(f"  address:  {file.url}{f' (in it: {file.member})' if file.member else ''}")
    lines += [f"  source:   {weight.source}", f"  licence:  {weight.licence}", f"  cite:     {weight.citation}"]
    return "\n".join(lines + ([f"  note:     {weight.note}"] if weight.note else []))


def _mebibytes(weight: Weight) -> str:
    size = weight.about_mib if weight.size is None else weight.size / 2**20
    return "?" if size is None else f"{size:.1f}"


def _where(weight: Weight) -> str:
    from nsff.errors import WeightsError
    from nsff.weights import locate
    from nsff.weights.check import check_sizes

    path = locate(weight)
    if path is None:
        return "-"
    try:
        check_sizes(weight, path)
    except WeightsError:
        return f"{path} (damaged: nsff weights verify {weight.name})"
    return str(path)


def _get(
    names: Annotated[list[str], Parameter(help="sets to fetch, or recommended")],
    /,
    *,
    folder: Annotated[
        Path | None, Parameter(help="where to put them (default: NSFF_WEIGHTS, else ~/.cache/nsff)")
    ] = None,
    no_progress: Annotated[bool, Parameter(help="draw no bars")] = False,
) -> None:
    """Fetch sets that are not there, or damaged, and check them."""
    from nsff.priors.registries import known_weights
    from nsff.weights import weight_named
    from nsff.weights.download import get

    known = known_weights()
    for weight in [weight_named(name, known) for name in _all_named(names)]:
        for path, message in get(weight, folder, progress=not no_progress).items():
            print(f"{weight.name}: {path} ({message})")


def _all_named(names: list[str]) -> list[str]:
    """The names, with those of the recommended sets in the place of ``recommended``; each once."""
    from nsff.priors.registries import RECOMMENDED

    return list(dict.fromkeys(n for name in names for n in (RECOMMENDED if name == "recommended" else (name,))))


def _verify(names: Annotated[list[str] | None, Parameter(help="sets to check")] = None, /) -> int:
    """Check size, hash and contents (default: of all that are found)."""
    from nsff.errors import WeightsError
    from nsff.priors.registries import known_weights
    from nsff.weights import locate, weight_named
    from nsff.weights.check import verify
    from nsff.weights.search import remedy

    known = known_weights()
    named = [weight_named(name, known) for name in names or []]
    found = [(weight, locate(weight)) for weight in named or known.values()]
    wrong = 0
    for weight, path in found:
        if path is None:
            if named:
                wrong += 1
                print(f"{weight.name}: not found\n  what to do: {remedy(weight)}", file=sys.stderr)
            continue
        try:
            print(f"{weight.name}: {path}: {verify(weight, path)}")
        except WeightsError as error:
            wrong += 1
            print(f"{weight.name}: {error}", file=sys.stderr)
    if not named and not any(path for _, path in found):
        print("no weights on this machine")
    return 1 if wrong else 0


ACTIONS = {"list": _list, "get": _get, "verify": _verify}
