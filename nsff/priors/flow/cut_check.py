"""A clip of several shots is no one world: the check of the flow stage that names its cuts and the shots to take.

Cameras that come with the source tie all frames together, however different they look, so such clips are not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from tqdm import tqdm

from nsff.errors import StageError
from nsff.imaging.overlay import find_overlay
from nsff.priors.flow.cuts import Cut, bare_cuts, colour_difference, find_cuts, shots
from nsff.priors.flow.frame_links import Features, describe
from nsff.scene import Scene

LEAST_SHOT = 3
"""Shorter shots are not offered: structure from motion takes so many frames."""
LISTED = 4
"""Most shots that a message offers."""


class CutCheck:
    """Looks for cuts before flow is estimated (by features), and after it where features were too few (by flow)."""

    def __init__(self, scene: Scene, mode: Literal["stop", "report"]) -> None:
        """Raises StageError naming the frames and the shots where ``mode`` is stop and there are cuts."""
        self.scene, self.mode = scene, mode
        self.cuts: list[Cut] = []
        self.features: list[Features] = []
        self.colours: list[float] = []
        if scene.given.cameras_path.exists() or scene.n_frames < 4:
            return
        overlay = find_overlay(scene.n_frames, scene.frame)
        last = None
        for i in tqdm(range(scene.n_frames), desc="look for cuts", unit="frame"):
            frame = scene.frame(i)
            # Burnt-in text would tie shots together.
            self.features.append(describe(frame, None if overlay is None else ~overlay.at(frame.shape[:2])))
            if last is not None and last.shape == frame.shape:
                self.colours.append(colour_difference(last, frame))
            last = frame
        self.cuts = find_cuts(scene.n_frames, self.features.__getitem__)
        self._stop()

    def after(self, agreement: Sequence[float]) -> list[Cut]:
        """All cuts, once the share of the pixels is known whose flow agrees with its return, for each pair."""
        if len(self.colours) == len(agreement) > 0:
            known = {cut.first for cut in self.cuts}
            bare = bare_cuts(self.scene.n_frames, self.features.__getitem__, agreement, self.colours)
            self.cuts = sorted(
                [*self.cuts, *(cut for cut in bare if cut.first not in known)], key=lambda cut: cut.first
            )
            self._stop()
        return self.cuts

    def _stop(self) -> None:
        if self.cuts and self.mode == "stop":
            raise StageError("flow", describe_cuts(self.scene, self.cuts), remedy(self.scene, self.cuts))


def describe_cuts(scene: Scene, cuts: Sequence[Cut]) -> str:
    """A sentence that names all cuts, frames by their number and their name in the source."""
    how = {
        "cut": "{first} begins another shot",
        "fade": "{first} begins another shot, after frames that show next to nothing",
        "dissolve": "the frames from {last} to {first} blend two shots",
    }
    texts = [how[cut.kind].format(first=_frame(scene, cut.first), last=_frame(scene, cut.last)) for cut in cuts]
    return "the clip has cuts: " + "; ".join(texts)


def remedy(scene: Scene, cuts: Sequence[Cut]) -> str:
    """The shots to choose from, longest first, in numbers of the source's frames."""
    long = [(first, end) for first, end in shots(scene.n_frames, cuts) if end - first >= LEAST_SHOT]
    offered = sorted(sorted(long, key=lambda shot: shot[0] - shot[1])[:LISTED])
    texts = [
        f"input.start: {_index(scene, first)} and input.end: {_index(scene, end - 1) + 1} ({end - first} frames)"
        for first, end in offered
    ]
    choice = f"take one shot: {', or '.join(texts)}" if texts else "take another part of the clip"
    return f"{choice}; if all frames do show one place, set flow.cuts: report"


def list_cuts(cuts: Sequence[Cut]) -> list[dict[str, int | str]]:
    """The cuts for summaries, with frames of the scene."""
    return [{"kind": cut.kind, "last": cut.last, "first": cut.first} for cut in cuts]


def _index(scene: Scene, i: int) -> int:
    """The number of frame i in the source."""
    frames = scene.ingest_result.frames
    return frames[i].index if i < len(frames) else i


def _frame(scene: Scene, i: int) -> str:
    frames = scene.ingest_result.frames
    name = frames[i].name if i < len(frames) else ""
    number = _index(scene, i)
    return f"frame {number}" + (f" ({name})" if name and name != str(number) else "")


def agreements(shares: Sequence[float]) -> list[float]:
    """The smaller share of each pair, of shares forward and backward by turns."""
    return [min(there, back) for there, back in list(pairwise(shares))[::2]]
