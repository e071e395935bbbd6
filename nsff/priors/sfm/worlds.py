"""Worlds that are tried: features without what moves by the coarse masks, with it, and on it alone.

A model is sound where flow agrees that most of the picture stands still in its world (nsff.geometry.static_world). The
first sound one is taken. Where none is, features are found once more without what moves in the best world so far, since
masks and cameras better each other, and the best of all is taken if it can be believed. Where the camera only turns by
what lies outside the coarse masks, it moves against nothing but what moves itself: the world with all features is
tried, since coarse masks may be wrong, and taken if it is sound; none is made of what lies on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nsff.config import SfmConfig
from nsff.errors import StageError
from nsff.geometry.static_world import WorldCheck
from nsff.priors.sfm.acceptance import Evidence, LittleParallaxError
from nsff.priors.sfm.features import Moving, coarse_masks
from nsff.priors.sfm.mapping import Quality
from nsff.priors.sfm.world import World
from nsff.scene import Scene

SOUND, SOUND_BORDER, SOUND_WORST, SOUND_ORDER = 0.6, 0.6, 0.4, -0.25
"""Least share of the picture, of its border and of the picture in the worst tenth of the pairs that stands still, and
least rank correlation of nearness with the row, of a world that is taken at once."""
BELIEVED, BELIEVED_BORDER, BELIEVED_WORST, BELIEVED_ORDER = 0.4, 0.4, 0.3, -0.6
"""The same figures below which no world is believed."""
REMEDY = (
    "use a higher frame rate or a smaller input.stride, leave blurred frames out, or give cameras; where flow was made "
    "without a network (flow.backend: dis), get one by `nsff weights get raft-things`: it follows fast motion"
)
ON_MASKS = "on the coarse masks"
COVERED = 0.05
"""Masks that cover less of the clip than this make no other world."""


@dataclass(frozen=True)
class Outcome:
    """An accepted model and how it came about."""

    masks: str
    """Name of the masks whose features were left out."""
    quality: Quality
    model: Any
    ladder: Any
    tried: list[str]
    evidence: Evidence
    check: WorldCheck | None
    """None where there is no flow to ask."""

    @property
    def sound(self) -> bool:
        """Whether flow has nothing against this world. Figures that are NaN have not."""
        return not short_of(self.check, SOUND, SOUND_BORDER, SOUND_WORST, SOUND_ORDER)

    @property
    def still(self) -> bool:
        """Whether most of the picture stands still in it, whatever the order of depth."""
        return not short_of(self.check, SOUND, SOUND_BORDER, SOUND_WORST, -1)

    @property
    def believable(self) -> bool:
        """Whether it is no worse than the least that is believed."""
        return not short_of(self.check, BELIEVED, BELIEVED_BORDER, BELIEVED_WORST, BELIEVED_ORDER)

    @property
    def score(self) -> float:
        """Higher is better: what stands still, in the picture and at its border, less what the order of depth takes."""
        if self.check is None:
            return 0.0
        c = self.check
        return float(np.nansum([c.static, c.border, min(0.0, c.order - SOUND_ORDER) if c.order == c.order else 0.0]))


def short_of(check: WorldCheck | None, static: float, border: float, worst: float, order: float) -> bool:
    """Whether a figure is below its bound; those that are NaN, and a world without flow, are not."""
    if check is None:
        return False
    return check.static < static or check.border < border or check.static_worst < worst or check.order < order


def choose_world(scene: Scene, sfm: SfmConfig, climb: Callable[[str, Moving | None], Outcome]) -> Outcome:
    """The best outcome; ``climb(name, moving)`` makes the one whose features leave ``moving`` out.

    Raises StageError: that of the first attempt that gave no model, such as too little parallax, where no other is
    believed; else the reason why none is.
    """
    outcomes: list[Outcome] = []
    errors: list[StageError] = []
    turns = False
    for name, moving in attempts(scene, sfm):
        if name == ON_MASKS and (turns or any(outcome.still for outcome in outcomes)):
            break
        try:
            outcome = climb(name, moving)
        except StageError as error:
            turns = turns or (not errors and isinstance(error, LittleParallaxError))
            errors.append(error)
            continue
        outcomes.append(outcome)
        print(f"sfm, features {outcome.masks}: {describe(outcome.check)}", flush=True)
        if outcome.sound:
            return outcome
    if turns or not outcomes:
        raise errors[0]
    chosen = max(outcomes, key=lambda outcome: outcome.score)
    try:
        again = climb("without what moves in the best world", World(scene, chosen.model).moving)
        print(f"sfm, features {again.masks}: {describe(again.check)}", flush=True)
        chosen = max((chosen, again), key=lambda outcome: outcome.score)
    except StageError:
        pass
    if not chosen.believable:
        if errors and not chosen.still:
            raise errors[0]
        assert chosen.check is not None
        raise StageError("sfm", f"no still world: {reason(chosen.check)}", REMEDY)
    return chosen


def attempts(scene: Scene, sfm: SfmConfig) -> Iterator[tuple[str, Moving | None]]:
    """Names of the masks to leave out of the features, by turns, and the masks; None: nothing is left out."""
    coarse = coarse_masks(scene, sfm)
    if coarse is None:
        yield "everywhere", None
        return
    yield "outside the coarse masks", coarse
    covered = float(np.mean([coarse(i).mean() for i in range(scene.n_frames)]))
    if covered > COVERED:
        yield "everywhere", None
        yield ON_MASKS, lambda i: ~coarse(i)


def judged(outcome: Outcome, verdict: str, message: str) -> tuple[str, str]:
    """Verdict and message of a model with what flow says about its world added."""
    check = outcome.check
    if check is None or check.static != check.static:
        return verdict, message
    message += f" By the flow {check.static:.0%} of the picture and {check.border:.0%} of its border stand still."
    if outcome.sound:
        return verdict, message
    if not outcome.still:
        message += " That is little: the cameras may follow what moves, or flow is wrong."
    if check.order < SOUND_ORDER:
        message += " What lies below in the picture is farther than what lies above: depth may be inverted."
    return "poor", message


def world_figures(check: WorldCheck | None) -> dict[str, float | None]:
    """The figures for summaries."""
    if check is None:
        return {}
    return {name: None if value != value else value for name, value in asdict(check).items()}


def describe(check: WorldCheck | None) -> str:
    """The figures for the log."""
    if check is None:
        return "no flow to ask"
    return (
        f"{check.static:.0%} of the picture and {check.border:.0%} of its border stand still, order of depth "
        f"{check.order:.2f}, far over near {check.spread:.1f}"
    )


def reason(check: WorldCheck) -> str:
    """Why no world is believed."""
    if check.order < BELIEVED_ORDER:
        return (
            "in the best one what lies below in the picture is farther than what lies above (rank correlation "
            f"{check.order:.2f}): depth is inverted, as happens where the camera hardly changes its place"
        )
    return (
        f"in the best one {check.static:.0%} of the picture ({check.static_worst:.0%} in the worst tenth of the pairs) "
        f"and {check.border:.0%} of its border stand still, {BELIEVED:.0%} ({BELIEVED_WORST:.0%}) and "
        f"{BELIEVED_BORDER:.0%} are needed: cameras follow what moves, or flow is wrong"
    )
