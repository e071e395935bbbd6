"""Truth by protocol: the layout that each named protocol reads. A new layout is a function and a line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from nsff.datasets import dycheck_truth, truth_layouts
from nsff.datasets.truth import Truth, remarks_on_masks
from nsff.errors import InputError

LAYOUTS: dict[str, Callable[[Path, Sequence[int] | None], Truth]] = {
    "views": truth_layouts.views,
    "masks": truth_layouts.masks,
    "nsff24": truth_layouts.nsff24,
    "dynnerf12": truth_layouts.dynnerf12,
    "saff": truth_layouts.saff,
    "dycheck": dycheck_truth.dycheck,
    "iphone": dycheck_truth.iphone,
}


def open_truth(protocol: str, path: Path, frames: Sequence[int] | None = None) -> Truth:
    """Opens truth in the layout of ``protocol`` (all of nsff.metrics.protocols but self).

    ``frames`` are the source numbers of the scene's frames (manifest: frames[i].index); None takes all that the truth
    knows. Views at times or cameras that were not taken are left out. Raises InputError: unknown protocol, no such
    folder, files missing, no view left, a mask that holds no labels.

    Example::

        for view in open_truth("nsff24", Path("data/Balloon1")).views:
            picture = view.image()
    """
    if protocol not in LAYOUTS:
        raise InputError(path, f"protocol {protocol!r} reads no truth", f"protocols with truth: {', '.join(LAYOUTS)}")
    path = Path(path).expanduser()
    if not path.is_dir():
        raise InputError(path, "no such folder", f"check evaluation.truth (protocol {protocol})")
    truth = LAYOUTS[protocol](path, frames)
    if not truth.views:
        raise InputError(
            path, f"has no {protocol} view for the frames that were taken", "check input.start, end and stride"
        )
    truth.notes.extend(remarks_on_masks(truth.views))
    return truth
