"""Structure from motion on the ingested frames: a ladder of attempts, acceptance, and the model that comes of it.

Notation. Rungs of the ladder (SfmConfig.attempts): `sequential` matches neighbours and maps globally, long clips by
keyframes first; `exhaustive` matches all pairs and maps globally, then incrementally from several fixed focal lengths;
`relaxed` allows points at small angles; `larger` does so on larger pictures. Each rung gives batches of candidates; the
first batch with an accepted one ends the ladder, and so does one that shows that the camera only turns. The ladder is
climbed for one world after the other (nsff.priors.sfm.worlds) until flow agrees that most of it stands still. The model
written has one SIMPLE_RADIAL camera (f, cx, cy, k) at the ingested frame size; its first camera is the world, and the
nearest content lies at about 1.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nsff.cameras import Cameras
from nsff.config import SfmConfig
from nsff.errors import StageError
from nsff.files.io import atomic_directory, write_json
from nsff.files.temporary import temporary_directory
from nsff.geometry.static_world import WorldCheck
from nsff.layout import frame_name, worse
from nsff.priors.flow.advice import with_advice
from nsff.priors.sfm.acceptance import (
    LEAST_POINTS,
    Evidence,
    LittleParallaxError,
    best,
    failure,
    faults,
    figures,
    only_turns,
    verdict,
)
from nsff.priors.sfm.features import FeatureDatabase, Moving, exhaustive_pairs, extract, sequential_pairs
from nsff.priors.sfm.focal import focal_by_pairs
from nsff.priors.sfm.keyframes import LONG, denser_keyframes, keyframe_pairs, keyframes, map_keyframes
from nsff.priors.sfm.mapping import (
    START_FOCALS,
    Known,
    Quality,
    assess,
    drop_weak,
    map_globally,
    map_incrementally,
    quiet,
    refine,
)
from nsff.priors.sfm.parallax import parallax
from nsff.priors.sfm.refinement import refine_given
from nsff.priors.sfm.reversal import is_better, reversed_twin
from nsff.priors.sfm.turning_taken import may_turn, take_turning
from nsff.priors.sfm.world import World
from nsff.priors.sfm.worlds import Outcome, choose_world, judged, world_figures
from nsff.priors.sfm.written_model import frame_size, write_at_frame_size
from nsff.scene import Scene

ENLARGE = 1.5
"""Attempt `larger`: the working height grows by this factor."""

ORDERED = 0.25
"""Rank correlation of nearness with the row in the picture below which the reversed twin of a model is tried."""

LEAST_FRAMES = 3
"""Global mapping keeps only points seen in three frames."""

Batch = tuple[str, bool, list[Any]]
"""A name for the log, whether angles were relaxed, and reconstructions."""


def run_sfm(scene: Scene, sfm: SfmConfig) -> None:
    """Writes sfm/ (sparse/*.bin at the ingested frame size, summary.json) as a whole and summaries/sfm.json.

    Reads frames/, raw_flow/, coarse_masks/ (left out of the features where sfm.use_masks) and given/. With given
    cameras sfm/ holds the summary and, where sfm.refine_given found better poses, cameras.json. Raises StageError with
    its reason (too few frames, too little texture, too little parallax, too few registered, implausible focal length,
    reprojection error too large, no still world), numbers and a remedy.
    """
    given = scene.given.cameras_path
    with atomic_directory(scene.sfm_dir, sealed=True) as folder:
        known = Cameras.load(given) if given.exists() else None
        try:
            summary = _estimate(scene, sfm, folder) if known is None else _given(scene, known, sfm, folder)
        except StageError as error:
            raise with_advice(scene, error) from None
        write_json(folder / "summary.json", summary)
    scene.write_summary("sfm", summary)


def _given(scene: Scene, cameras: Cameras, sfm: SfmConfig, folder: Path) -> dict[str, Any]:
    """Refines given cameras where that is asked for and pays, and returns the summary."""
    n = len(cameras)
    summary: dict[str, Any] = {"source": "given", "n_frames": scene.n_frames, "registered": n, "verdict": "good"}
    message = f"The {n} cameras are given"
    if not sfm.refine_given:
        message += ", nothing was estimated."
    else:
        with work_folder(scene) as work:
            found = refine_given(scene, cameras, sfm, work / "given")
        if found.reason:
            message += f" and stay as they are: {found.reason}."
        elif found.cameras is None:
            message += (
                f" and stay as they are: bundle adjustment lowers their error on {found.points} points from "
                f"{found.before:.2f} to {found.after:.2f} px only."
            )
        else:
            cameras = found.cameras
            cameras.save(folder / scene.refined_cameras_path.name)
            message += (
                f"; their poses are refined on {found.points} points, from an error of {found.before:.2f} to "
                f"{found.after:.2f} px: centres move by {found.moved:.1%} of their extent, orientations turn by up to "
                f"{found.turned:.2f} degrees."
            )
        if not found.reason:
            summary |= {"refined": found.cameras is not None, "points": found.points, "error_before": found.before,
                        "error_after": found.after, "moved": found.moved, "turned": found.turned}  # fmt: skip
    return summary | {"focal": cameras.focal, "message": message}


def work_folder(scene: Scene) -> contextlib.AbstractContextManager[Path]:
    """A folder for pictures and database."""
    return temporary_directory(scene.root, "sfm")


def _estimate(scene: Scene, sfm: SfmConfig, folder: Path) -> dict[str, Any]:
    """Tries worlds, writes the model of the best one below ``folder``, and returns the summary."""
    start = time.monotonic()
    n = scene.n_frames
    if n < LEAST_FRAMES:
        raise StageError("sfm", f"too few frames: {n}", f"take at least {LEAST_FRAMES}, or give cameras")
    guess = None if sfm.focal is not None else scene.ingest_result.focal_guess
    with work_folder(scene) as work, quiet():

        def climb_without(masks: str, moving: Moving | None) -> Outcome:
            return climb(scene, sfm, work / masks.replace(" ", "_"), guess, masks, moving)

        try:
            chosen = choose_world(scene, sfm, climb_without)
        except LittleParallaxError as error:
            if not may_turn(scene, sfm, error):
                raise
            return take_turning(scene, sfm, error, folder, guess)
        quality, model, database = chosen.quality, chosen.model, chosen.ladder.database
        features, displacement = float(np.median(database.features_per_image())), database.displacement()
        write_at_frame_size(model, database, folder, scene)
    registered = {image.name for image in model.images.values() if image.has_pose}
    judgement, message = verdict(quality, n, sfm)
    judgement, message = judged(chosen, judgement, message)
    overlay = database.overlay
    if overlay is not None:
        judgement = worse(judgement, "doubtful")
        message += (
            f" Left out of the features, as it stays while the rest moves: {overlay.message(frame_size(scene))}. "
            "Later stages still see it: frames without it are better."
        )
    camera = next(iter(model.cameras.values()))
    parallaxes = chosen.evidence.parallax
    return {
        "source": "estimated", "n_frames": n, "attempt": chosen.tried[-1], "tried": chosen.tried, **figures(quality),
        "working_height": database.height,
        "reprojection_error_frame": quality.reprojection_error / database.scale,
        "focal": float(camera.params[0]), "focal_guess": guess,
        "principal_point": [float(v) for v in camera.params[1:3]],
        "unregistered": [i for i in range(n) if frame_name(i) not in registered],
        "features_per_image": features, "displacement": displacement, "masked": chosen.ladder.masked,
        "features_from": chosen.masks, "world": world_figures(chosen.check),
        "parallax": parallaxes.residual if parallaxes is not None else None,
        "overlay": None if overlay is None else {"bars": list(overlay.bars), "text": overlay.text},
        "seconds": round(time.monotonic() - start, 1), "verdict": judgement, "message": message,
    }  # fmt: skip


def climb(scene: Scene, sfm: SfmConfig, work: Path, guess: float | None, masks: str, moving: Moving | None) -> Outcome:
    """Climbs the ladder with features outside ``moving`` (named ``masks``) until a model is accepted."""
    n, known = scene.n_frames, Known(sfm.focal is not None, sfm.distortion is not None)
    rejected: list[Quality] = []
    tried: list[str] = []
    ladder = Ladder(scene, sfm, work, known, guess, moving)
    for name, relaxed, reconstructions in ladder.batches():
        tried.append(name)
        candidates = _candidates(reconstructions, n, known, relaxed)
        for quality, _ in candidates:
            found = faults(quality, n, sfm)
            print(f"sfm, {name}: {_line(quality, n)}; {'rejected: ' + ', '.join(found) if found else 'accepted'}",
                  flush=True)  # fmt: skip
        if not candidates:
            print(f"sfm, {name}: no model", flush=True)
        evidence = ladder.evidence()
        flat = evidence.flat(sfm)
        accepted = [] if flat else [pair for pair in candidates if not faults(pair[0], n, sfm)]
        if accepted:
            quality, model = accepted[best([pair[0] for pair in accepted])]
            check = World(scene, model).check() if scene.raw_flow_dir.is_dir() else None
            if check is not None and check.order < ORDERED:
                quality, model, check = _truer_of_twins(scene, sfm, known, relaxed, quality, model, check)
            return Outcome(masks, quality, model, ladder, tried, evidence, check)
        rejected += [quality for quality, _ in candidates]
        if flat or only_turns([quality for quality, _ in candidates], n, sfm):
            raise _failed(rejected, evidence, sfm, tried, ladder.database)
    raise _failed(rejected, ladder.evidence(), sfm, tried, ladder.database)


def _failed(
    rejected: list[Quality], evidence: Evidence, sfm: SfmConfig, tried: list[str], database: FeatureDatabase
) -> StageError:
    """The error that names the reason; one of little parallax brings the matches that show it."""
    error = failure(rejected, evidence, sfm, tried)
    if isinstance(error, LittleParallaxError):
        error.database, error.still = database, evidence.still
    return error


def _truer_of_twins(
    scene: Scene, sfm: SfmConfig, known: Known, relaxed: bool, quality: Quality, model: Any, check: WorldCheck
) -> tuple[Quality, Any, WorldCheck]:
    """A model, or its reversal where that explains the pictures better, with figures and what flow says."""
    if quality.points < LEAST_POINTS:
        return quality, model, check
    twin = drop_weak(refine(reversed_twin(model), known, relaxed))
    found = assess(twin)
    if found is None or faults(found, scene.n_frames, sfm):
        return quality, model, check
    of_twin = World(scene, twin).check()
    better = is_better(found, of_twin.order, quality, check.order)
    print(
        f"sfm, reversed: {_line(found, scene.n_frames)}, order of depth {of_twin.order:.2f} after {check.order:.2f}; "
        + ("taken" if better else "rejected"), flush=True,
    )  # fmt: skip
    return (found, twin, of_twin) if better else (quality, model, check)


def _candidates(reconstructions: list[Any], n: int, known: Known, relaxed: bool) -> list[tuple[Quality, Any]]:
    """The reconstructions of a batch after their refinement, and their figures."""
    candidates = []
    for reconstruction in reconstructions:
        if (first := assess(reconstruction)) is None:
            continue
        # Slivers are not worth refining, but tell what went wrong.
        refined = refine(reconstruction, known, relaxed) if 2 * first.registered >= n else reconstruction
        refined = drop_weak(refined)
        if (quality := assess(refined)) is not None:
            candidates.append((quality, refined))
    return candidates


class Ladder:
    """The attempts of one scene, each made when it is asked for.

    ``guess`` (pixels of the ingested frames) is a focal length to begin with, where the source's metadata name one;
    features are looked for outside ``moving``.
    """

    def __init__(
        self,
        scene: Scene,
        sfm: SfmConfig,
        work: Path,
        known: Known,
        guess: float | None = None,
        moving: Moving | None = None,
    ) -> None:
        self.scene, self.sfm, self.work, self.known, self.guess = scene, sfm, work, known, guess
        self.moving, self.masked = moving, moving is not None
        self.database = extract(scene, sfm, work / "first", moving=moving)
        self._told: tuple[FeatureDatabase, int, Evidence] | None = None

    def evidence(self) -> Evidence:
        """The evidence of the matches so far; computed again only where there are more of them."""
        matched = len(self.database.matched)
        if self._told is None or self._told[0] is not self.database or self._told[1] != matched:
            self._told = self.database, matched, self._evidence()
        return self._told[2]

    def _evidence(self) -> Evidence:
        return Evidence(
            self.scene.n_frames, float(np.median(self.database.features_per_image())), self.database.displacement(),
            self.masked, parallax(self.database),
            source=tuple(frame.index for frame in self.scene.ingest_result.frames),
        )  # fmt: skip

    def batches(self) -> Iterator[Batch]:
        n = self.scene.n_frames
        for attempt in self.sfm.attempts:
            relaxed = attempt in ("relaxed", "larger")
            if attempt == "larger":
                self.database = extract(self.scene, self.sfm, self.work / "larger", ENLARGE, self.moving)
            if attempt == "sequential" and n > LONG:
                keys = denser_keyframes(self.database, keyframes(n))
                self._match(keyframe_pairs(self.database, keys))
                yield "keyframes", False, map_keyframes(self.database, keys, self._long_focal(), self.known)
            new = self._match(sequential_pairs(n) if attempt == "sequential" else exhaustive_pairs(n))
            if new or relaxed:
                yield f"{attempt} global", relaxed, map_globally(self._start(), relaxed, self.known)
            if attempt != "sequential":
                yield f"{attempt} incremental", relaxed, self._incremental(relaxed)

    def _match(self, pairs: list[tuple[int, int]]) -> int:
        """Matches pairs and says how many were new; StageError where that shows a camera that hardly moves."""
        new = self.database.match(pairs)
        if (evidence := self.evidence()).still:
            tried = [f"{len(self.database.matched)} pairs of frames"]
            raise _failed([], evidence, self.sfm, tried, self.database)
        return new

    def _long_focal(self) -> float:
        """Focal length from which the mapping of a long clip starts, working pixels: the known one, else that on which
        pairs of frames agree."""
        if self.sfm.focal is None and not self.guess and (found := focal_by_pairs(self.database)):
            return found
        return self.focals()[0]

    def focals(self) -> list[float]:
        """Focal lengths that mapping starts from, working pixels, the best guess first; the known one alone."""
        if self.sfm.focal is not None:
            return [self.sfm.focal * self.database.scale]
        longer = max(self.database.width, self.database.height)
        guessed = [self.guess * self.database.scale] if self.guess else []
        return [*guessed, *(ratio * longer for ratio in START_FOCALS)]

    def _start(self) -> FeatureDatabase:
        self.database.set_focal(self.focals()[0])
        return self.database

    def _incremental(self, relaxed: bool) -> list[Any]:
        return [model for focal in self.focals() for model in map_incrementally(self.database, focal, relaxed)]


def _line(quality: Quality, n_frames: int) -> str:
    return (
        f"{quality.registered} of {n_frames} frames, {quality.points} points, "
        f"error {quality.reprojection_error:.2f} px, angle {quality.triangulation_angle:.2f} degrees, "
        f"focal {quality.focal_ratio:.3f}, k {quality.distortion:.4f}"
    )
