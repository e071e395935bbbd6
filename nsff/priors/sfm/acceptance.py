"""When a reconstruction is accepted, which of several is taken, and the reason told when none is.

Notation. A Quality holds the figures of a candidate (sfm_mapping); errors are pixels at the height features are
extracted at, angles degrees. The median triangulation angle, not the type of two-view geometry, tells whether a clip
has parallax: pairs of neighbouring frames of a good clip are often explained by a homography, its whole is not. A model
of a few points may have any angle, so points and observations have bounds of their own, and the matches themselves
are asked for parallax (sfm_parallax).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nsff.config import SfmConfig
from nsff.errors import StageError
from nsff.priors.sfm.mapping import Quality
from nsff.priors.sfm.parallax import Parallax

Fault = Literal["few_registered", "reprojection_error", "little_parallax", "few_points", "focal_length"]

LITTLE_PARALLAX = "too little parallax"
POINTS_MARGIN = 0.9
"""Candidates with at least this share of the most points are told apart by their error."""
SHORT = 6
"""Clips of fewer frames may not miss any."""
MOST = 12
"""Most frames that a message names."""
FEW_FEATURES = 200
"""Median features per frame below which a clip has too little texture."""
STILL = 1.5
"""Median shift of matches (pixels of the ingested frames) below which the camera hardly moves."""
STILL_PAIRS = 2.0
"""The same shift for the pairs of frames that shift most, pixels at the height of the features."""
STILL_REMEDY = (
    "film from a moving position, or take a longer part of the clip. If something moves before a camera on a tripod, "
    "sfm.still: accept makes its masks, objects and videos from the camera's own place, without depth"
)
LOOSE = 50
"""Points that are seen on both sides of each moment of the clip, below which its parts hang together loosely."""
LEAST_POINTS = 100
"""Fewest points of a model that is accepted."""
LEAST_SEEN = 40
"""Fewest points that a frame sees, median over the frames, of a model that is accepted."""


class LittleParallaxError(StageError):
    """The camera stays at its place: no model can tell depth."""

    database: Any = None
    """The matches that show it (a FeatureDatabase)."""
    still: bool = False
    """Whether it hardly turns either."""


@dataclass(frozen=True)
class Evidence:
    """Figures of a clip apart from those of its candidates."""

    n_frames: int
    features_per_image: float
    """Median over the frames."""
    displacement: float | None
    """Median shift of verified matches, pixels of the ingested frames; None where no pair was verified."""
    masked: bool
    parallax: Parallax | None = None
    """None where no pair has enough matches."""
    source: tuple[int, ...] = field(default=(), kw_only=True)
    """Numbers of the frames in the source, as input.skip counts them."""

    @property
    def still(self) -> bool:
        """Whether most of what matches stays where it is, in all pairs of frames."""
        return self.parallax is not None and self.parallax.shift < STILL_PAIRS

    def flat(self, sfm: SfmConfig) -> bool:
        """Whether turning and zooming explain all matches, so that no model can tell depth."""
        return self.parallax is not None and self.parallax.residual < sfm.min_parallax

    def called(self, frames: Sequence[int]) -> str:
        """Frames by their numbers in the source, where these are known."""
        named = [self.source[frame] if self.source else frame for frame in frames]
        return "source frames " + ", ".join(map(str, named[:MOST])) + (", ..." if len(named) > MOST else "")

    def skipping(self, frames: Sequence[int]) -> str:
        """The settings that leave these frames out, for a message."""
        numbers = [self.source[frame] if self.source else frame for frame in frames]
        exact = f": [{', '.join(map(str, numbers))}]" if 0 < len(numbers) <= MOST else ""
        return f" by input.skip{exact} (input.start and input.end for a part of the clip)"


def least_registered(n_frames: int, sfm: SfmConfig) -> int:
    """The number of frames that have to be registered: sfm.min_registered of all.

    A clip of SHORT frames or more may always miss one, which gets a pose from its neighbours, unless the share is 1.
    """
    least = math.ceil(sfm.min_registered * n_frames - 1e-9)
    return min(least, n_frames - 1) if n_frames >= SHORT and sfm.min_registered < 1 else least


def missing(quality: Quality, n_frames: int) -> list[int]:
    """Frames of the scene that a candidate leaves out; none where it does not say which it has."""
    return sorted(set(range(n_frames)) - set(quality.frames)) if quality.frames else []


def faults(quality: Quality, n_frames: int, sfm: SfmConfig) -> list[Fault]:
    """Why a candidate is not accepted, the weightiest first; empty if it is."""
    found: list[Fault] = []
    if quality.registered < least_registered(n_frames, sfm):
        found.append("few_registered")
    if quality.triangulation_angle < sfm.min_triangulation_angle:
        found.append("little_parallax")
    if quality.points < LEAST_POINTS or quality.observations < LEAST_SEEN:
        found.append("few_points")
    low, high = sfm.focal_range
    if sfm.focal is None and not low <= quality.focal_ratio <= high:
        found.append("focal_length")
    if quality.reprojection_error > sfm.max_reprojection_error:
        found.append("reprojection_error")
    return found


def only_turns(qualities: Sequence[Quality], n_frames: int, sfm: SfmConfig) -> bool:
    """True if little parallax is all that is wrong with the candidates: further attempts would find no more of it."""
    return bool(qualities) and all(faults(quality, n_frames, sfm) == ["little_parallax"] for quality in qualities)


def best(qualities: Sequence[Quality]) -> int:
    """Index of the candidate with the least error among those with about the most points (POINTS_MARGIN).

    More registered frames come before both. Raises ValueError for none.
    """
    registered = max(quality.registered for quality in qualities)
    most = max(quality.points for quality in qualities if quality.registered == registered)
    return min(
        (i for i, q in enumerate(qualities) if q.registered == registered and q.points >= POINTS_MARGIN * most),
        key=lambda i: qualities[i].rms_error,
    )


def verdict(quality: Quality, n_frames: int, sfm: SfmConfig) -> tuple[str, str]:
    """Verdict and message of an accepted model."""
    message = (
        f"{quality.registered} of {n_frames} frames registered, {quality.points} points with an error of "
        f"{quality.reprojection_error:.2f} px, median triangulation angle {quality.triangulation_angle:.1f} degrees, "
        f"focal length {quality.focal_ratio:.2f} of the longer side."
    )
    doubts = []
    if quality.registered < n_frames:
        left = missing(quality, n_frames)
        which = f" (frames {', '.join(map(str, left))})" if left else ""
        doubts.append(f"not registered, and to get poses from their neighbours: {n_frames - quality.registered}{which}")
    if quality.triangulation_angle < 2 * sfm.min_triangulation_angle:
        doubts.append("there is little parallax, so depths are uncertain: take a longer or wider camera path")
    if quality.reprojection_error > 0.7 * sfm.max_reprojection_error:
        doubts.append("the error is large: look for moving things outside the masks, or a rolling shutter")
    if quality.weakest is not None and quality.weakest[1] < LOOSE:
        doubts.append(
            f"frame {quality.weakest[0]} and those after it share {quality.weakest[1]} points with all before, so the "
            "parts may not fit together: take one by input.start and input.end, or a smaller input.stride"
        )
    if quality.points < 20 * n_frames:
        doubts.append("there are few points: bare surfaces or blur are likely")
    if doubts:
        message += " " + "; ".join(doubts).capitalize() + "."
    return ("doubtful" if doubts else "good"), message


def failure(qualities: Sequence[Quality], evidence: Evidence, sfm: SfmConfig, tried: Sequence[str]) -> StageError:
    """The error that names the reason, its numbers and the remedy. ``qualities`` are of all candidates, if any."""
    reason, problem, remedy = _reason(qualities, evidence, sfm)
    figures = f"{evidence.features_per_image:.0f} features per frame"
    if evidence.displacement is not None:
        figures += f", matches shift by {evidence.displacement:.1f} px"
    if qualities:
        model = qualities[best(qualities)]
        figures += (
            f"; best model: {model.registered} of {evidence.n_frames} frames, {model.points} points, "
            f"error {model.reprojection_error:.2f} px, median triangulation angle {model.triangulation_angle:.2f} "
            f"degrees, focal length {model.focal_ratio:.2f} of the longer side"
        )
    kind = LittleParallaxError if reason == LITTLE_PARALLAX else StageError
    return kind("sfm", f"{reason}: {problem} ({figures}; tried {', '.join(tried)})", remedy)


def _reason(qualities: Sequence[Quality], evidence: Evidence, sfm: SfmConfig) -> tuple[str, str, str]:
    n = evidence.n_frames
    if evidence.features_per_image < FEW_FEATURES and not any(
        q.registered >= sfm.min_registered * n for q in qualities
    ):
        return (
            "too little texture",
            f"a frame has {evidence.features_per_image:.0f} features outside what moves, {FEW_FEATURES} are needed",
            "use sharper, larger or better lit frames"
            + (", or sfm.use_masks: false if coarse_masks/ covers too much" if evidence.masked else ""),
        )
    if evidence.displacement is None:
        return (
            "too few registered",
            "no two frames have enough matches in common",
            "use a higher frame rate or a smaller input.stride, and check for cuts and blur",
        )
    if evidence.still or evidence.displacement < STILL:
        return LITTLE_PARALLAX, "the camera hardly moves", STILL_REMEDY
    if evidence.flat(sfm):
        assert evidence.parallax is not None
        return _little_parallax(
            f"the camera only turns or zooms, or sees a plane: that explains the matches to within "
            f"{evidence.parallax.residual:.1f} px, {sfm.min_parallax:g} of parallax are needed (sfm.min_parallax)"
        )
    turning = [q for q in qualities if "little_parallax" in faults(q, n, sfm) and _otherwise_sound(q, n, sfm)]
    if turning:
        angle = max(q.triangulation_angle for q in turning)
        return _little_parallax(
            f"the camera only turns (median triangulation angle {angle:.2f} degrees, "
            f"{sfm.min_triangulation_angle:g} needed: sfm.min_triangulation_angle)"
        )
    if not qualities:
        return _little_parallax("frames match, but no pair of them shows depth: the camera only turns, or sees a plane")
    model = qualities[best(qualities)]
    found = faults(model, n, sfm)
    if "few_registered" in found:
        return (
            "too few registered",
            f"{model.registered} of {n} frames, {sfm.min_registered:.0%} needed (sfm.min_registered; "
            f"{least_registered(n, sfm)} of so many)"
            + (f"; without: {evidence.called(left)}" if (left := missing(model, n)) else ""),
            f"leave bad frames out{evidence.skipping(left)}, use a smaller input.stride, or look at coarse_masks/",
        )
    if "little_parallax" in found:
        return _little_parallax(f"median triangulation angle {model.triangulation_angle:.2f} degrees")
    if "few_points" in found:
        return (
            "too few points",
            f"the model has {model.points} points and a frame sees {model.observations:.0f}; "
            f"{LEAST_POINTS} and {LEAST_SEEN} are needed",
            "take more of the clip or a smaller input.stride, use sharper frames, or look at coarse_masks/ for frames "
            "that are covered",
        )
    if "focal_length" in found:
        low, high = sfm.focal_range
        return (
            "implausible focal length",
            f"{model.focal_ratio:.2f} of the longer side, {low:g} to {high:g} are plausible (sfm.focal_range)",
            "give sfm.focal in pixels if it is known, or widen sfm.focal_range",
        )
    return (
        "reprojection error too large",
        f"{model.reprojection_error:.2f} px, {sfm.max_reprojection_error:g} allowed (sfm.max_reprojection_error)",
        "look at coarse_masks/ for moving things that are left in; a rolling shutter or zoom cannot be reconstructed",
    )


def _otherwise_sound(quality: Quality, n_frames: int, sfm: SfmConfig) -> bool:
    """Whether a model joins many frames: a sliver of three frames says nothing about the clip's parallax."""
    return quality.registered >= 0.5 * min(1.0, sfm.min_registered) * n_frames


def _little_parallax(what: str) -> tuple[str, str, str]:
    return (
        LITTLE_PARALLAX,
        what,
        "the camera must change its place, not only turn or zoom: film from a moving position or take a longer part of "
        "the clip, or give cameras",
    )


def figures(quality: Quality) -> dict[str, Any]:
    """A candidate's figures for summaries."""
    return {name: getattr(quality, name) for name in Quality.__dataclass_fields__ if name != "frames"}
