"""Long tracks that the user made with a point tracker, as CoTracker and TAPIR give them, for the frames of a source.

Notation. T frames that the tracker saw, N frames that are taken, P tracks; a leading axis of length 1 is left out.

| format | arrays of the .npz |
|---|---|
| CoTracker | ``tracks`` or ``pred_tracks`` (T,P,2), pixels (x, y) with pixel centres at whole numbers; ``visibility`` or ``pred_visibility`` (T,P), truth values, or shares of which more than .5 is seen |
| TAPIR | ``tracks`` (P,T,2), pixels (x, y) with (0, 0) at the upper left corner of the picture; ``occlusion`` or ``occlusions`` (P,T) and ``expected_dist`` (P,T), both logits: seen where (1 - σ(occlusion)) (1 - σ(expected_dist)) > .5; or ``visibles`` (P,T), truth values |

Sources: Karaev et al. 2023 (CoTracker), its predictor scales by (width - 1) / (seen width - 1); Doersch et al. 2023
(TAPIR), whose coordinates scale with the size of the picture.
"""  # noqa: E501 a row of a table is one line

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from scipy.special import expit

from nsff.config.inputs import GivenTracksConfig
from nsff.datasets.base import Source
from nsff.datasets.priors import load_array
from nsff.errors import InputError
from nsff.files.arrays import names
from nsff.files.reading import reading
from nsff.long_tracks import LongTracks

COTRACKER = ("visibility", "pred_visibility")
TAPIR_OCCLUSION = ("occlusion", "occlusions")
TAPIR_SEEN = ("visibles",)
REMEDY = "give the .npz that CoTracker's or TAPIR's results were saved to (docs/formats.md)"
SEEN = 0.5
"""Shares of visibility above it count as seen."""
OUTSIDE = 0.05
"""So large a share of seen positions outside the picture says that they are of a picture of another size."""
SMALL = 0.55
"""Seen positions that reach over no more than this share of both sides may be of a smaller picture."""


class GivenTracks:
    """Long tracks of ``source``, of the file that ``input.tracks`` names; read and checked at once.

    Raises InputError: no such file, other arrays or shapes than a tracker's, positions that are not finite where a
    point is seen, no point that is seen twice.
    """

    def __init__(self, config: GivenTracksConfig, source: Source) -> None:
        self.config, self.source, self.path = config, source, Path(config.path).expanduser()
        self.tracks = read_tracks(self.path)

    def taken(
        self, indices: Sequence[int], counts: Sequence[int], size: tuple[int, int], source_size: tuple[int, int]
    ) -> LongTracks:
        """The tracks of source frames ``indices``, in pixels of the ingested frames of ``size`` (height, width).

        ``counts`` are how many frames the source has (a video may say two numbers), ``source_size`` their size before
        they were reduced. Raises InputError where the tracks are of another number of frames, or of pictures of another
        size.
        """
        tracks = self.tracks
        if tracks.n_frames == len(indices):
            rows = list(range(len(indices)))
        elif tracks.n_frames in counts and tracks.n_frames > indices[-1]:
            rows = list(indices)
        else:
            known = " or ".join(map(str, dict.fromkeys(counts))) or "an unknown number"
            problem = f"has tracks through {tracks.n_frames} frames; the source has {known}, {len(indices)} are taken"
            raise InputError(self.path, problem, "track all frames of the source, or exactly those that are taken")
        seen = (self.config.size[1], self.config.size[0]) if self.config.size else source_size
        tracks = LongTracks(tracks.positions[rows], tracks.visible[rows])
        self._check_size(tracks, seen)
        scale = np.array([size[1] / seen[1], size[0] / seen[0]])
        return tracks.mapped(lambda uv: uv * scale, size)

    def _check_size(self, tracks: LongTracks, size: tuple[int, int]) -> None:
        at = tracks.positions[tracks.visible]
        if not len(at):
            raise InputError(self.path, "has no point that is seen in a frame that is taken", "take other frames")
        height, width = size
        outside = float(((at < -1) | (at > [width + 1, height + 1])).any(1).mean())
        remedy = "set input.tracks.size to [width, height] of the pictures that the tracker saw"
        if outside > OUTSIDE:
            far = at.max(0)
            problem = f"{outside:.0%} of its positions lie outside {width}x{height} pictures (up to {far[0]:.0f},"
            raise InputError(self.path, f"{problem} {far[1]:.0f})", remedy)
        if self.config.size is None and (at.max(0) < SMALL * np.array([width, height])).all():
            self.source.complain(
                f"all given tracks lie in the upper left {at[:, 0].max():.0f}x{at[:, 1].max():.0f} pixels of "
                f"{width}x{height} frames: if the tracker saw smaller pictures, {remedy}"
            )


def read_tracks(path: Path) -> LongTracks:
    """The tracks of a file of either format, pixel centres at +0.5, in pixels of the pictures that the tracker saw."""
    with reading(path, REMEDY, InputError, REMEDY):
        found = names(path)
    cotracker, occlusion, seen = (
        next((name for name in wanted if name in found), None) for wanted in (COTRACKER, TAPIR_OCCLUSION, TAPIR_SEEN)
    )
    if cotracker is not None:
        positions = _tracks(path, load_array(path, "tracks", "pred_tracks")) + np.float32(0.5)
        values = _flags(path, cotracker, positions.shape[:2])
        visible = values if values.dtype == bool else values > SEEN
    elif occlusion is not None or seen is not None:
        positions = _tracks(path, load_array(path, "tracks", "pred_tracks"))
        shape = positions.shape[:2]
        if occlusion is not None:
            hidden = expit(_flags(path, occlusion, shape).astype(np.float32))
            unsure = expit(_flags(path, "expected_dist", shape).astype(np.float32)) if "expected_dist" in found else 0
            visible = (1 - hidden) * (1 - unsure) > SEEN
        else:
            assert seen is not None
            visible = _flags(path, seen, shape) > SEEN
        positions, visible = positions.swapaxes(0, 1), visible.swapaxes(0, 1)
    else:
        wanted = ", ".join((*COTRACKER, *TAPIR_OCCLUSION, *TAPIR_SEEN))
        raise InputError(path, f"has none of {wanted}, but {', '.join(found[:5]) or 'nothing'}", REMEDY)
    broken = visible & ~np.isfinite(positions).all(-1)
    if broken.any():
        frame, track = np.argwhere(broken)[0]
        problem = f"has {broken.sum()} positions that are not finite where a point is seen (track {track}, frame"
        raise InputError(path, f"{problem} {frame})", "mark them as not seen, or track again")
    if not (visible.sum(0) > 1).any():
        raise InputError(path, "has no point that is seen in two frames", REMEDY)
    return LongTracks(np.where(visible[..., None], positions, 0).astype(np.float32), visible)


def _tracks(path: Path, values: np.ndarray) -> Float32[np.ndarray, "A B 2"]:
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    if values.ndim != 3 or values.shape[2] != 2 or values.dtype.kind not in "fiu":
        problem = f"tracks have shape {values.shape} and type {values.dtype}, expected three axes of which the last is"
        raise InputError(path, f"{problem} (x, y)", REMEDY)
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _flags(path: Path, name: str, shape: tuple[int, ...]) -> Bool[np.ndarray, "A B"] | np.ndarray:
    """An array of one number for each position, without axes of length 1 at either end."""
    values = load_array(path, name)
    if values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim > 2 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.shape != shape or values.dtype.kind not in "bfiu":
        problem = f"{name} has shape {values.shape} and type {values.dtype}, tracks have {shape}"
        raise InputError(path, problem, REMEDY)
    return values
