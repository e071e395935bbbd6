"""Sections that say what comes in: the source of frames, their canonical size, and the truth to score against."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from nsff.config.base import StageConfig, UserPath


class SensorDepthConfig(StageConfig):
    """Depth that the user measured or made: one map for each source frame."""

    path: UserPath
    """Folder of .png (16 bits), .npy or .npz (its only array, or `depth` or `disparity`): named or numbered as the
    frames are, or as many as frames, in their order."""
    kind: Literal["depth", "disparity"] = "depth"
    """depth: z along the optical axis; disparity: 1/z."""
    scale: float | None = Field(None, gt=0)
    """Factor on the stored numbers; null: 0.001 for depth in .png (millimetres), 1 for all others."""


class GivenTracksConfig(StageConfig):
    """Long tracks: points that a point tracker of the user's own followed through the clip."""

    path: UserPath
    """An .npz as CoTracker or TAPIR give it (docs/formats.md): of all source frames, or of exactly those taken."""
    size: tuple[int, int] | None = None
    """Width and height in pixels of the pictures that the tracker saw, e.g. [256, 256] with TAPIR; null: those of the
    source's frames."""

    @model_validator(mode="after")
    def _positive(self) -> GivenTracksConfig:
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"size {list(self.size)} is no width and height of a picture")
        return self


class InputConfig(StageConfig):
    """The source of the frames, and which of them are used."""

    path: UserPath
    """The video file or folder, relative to the working directory or absolute."""
    kind: Literal["auto", "video", "frames", "colmap", "nerfstudio", "nvidia", "dynamicnerf", "dycheck"] = "auto"
    """The layout. auto: a file is a video, a folder is recognised by what it contains."""
    start: int = Field(0, ge=0)
    """First frame taken (0-based, in the order of display)."""
    end: int | None = Field(None, ge=1)
    """One past the last frame taken; null takes all."""
    stride: int = Field(1, ge=1)
    """Every stride-th frame is taken."""
    skip: list[int] = Field(default_factory=list)
    """Source frames left out, e.g. one that is black or blurred: numbered as start is (0-based), in any order."""
    max_frames: int = Field(500, ge=2)
    """More frames than this after selection stop the run, rather than fill the disk."""
    max_height: int | None = Field(1080, ge=16)
    """Frames taller than this (pixels) are reduced when read; null keeps all."""
    cameras: Literal["auto", "estimate", "given"] = "auto"
    """auto: given where the layout has cameras, else estimated by structure from motion."""
    depth: SensorDepthConfig | None = None
    """Depth from a sensor or of your own making; it takes the place of depth in the layout."""
    tracks: GivenTracksConfig | None = None
    """Long tracks of a point tracker, which carry what moves past gaps in the flow (scenes of Gaussians)."""
    truth_priors: UserPath | None = None
    """Folder with depth/ and flow/ of rendered truth (toss layout), used as given priors. For experiments on priors
    only.
    """

    @model_validator(mode="after")
    def _range(self) -> InputConfig:
        if self.end is not None and self.end - self.start < 2:
            raise ValueError(f"start {self.start} to end {self.end} leaves fewer than two frames")
        if any(frame < 0 for frame in self.skip):
            raise ValueError(f"skip: {min(self.skip)} is no frame; they are numbered from 0")
        if self.depth and self.truth_priors:
            raise ValueError("depth and truth_priors exclude each other: both bring depth")
        return self


class CanonicalConfig(StageConfig):
    """Undistortion and the one size that every later stage works in."""

    resize_height: int = Field(288, ge=32)
    """Height in pixels of the canonical frames (NSFF: 288); the width follows the aspect. Never enlarges."""
    focal: Literal["exact", "published"] = "exact"
    """exact: the focal length of each axis is scaled as that axis is. published: NSFF's loader, which scales one focal
    length by the height and puts the principal point in the middle. They differ where the width had to be rounded.
    """
    undistorter: Literal["pycolmap", "colmap"] = "pycolmap"
    """pycolmap in this process, or an external colmap binary on PATH."""


class EvaluationConfig(StageConfig):
    """One evaluation of a scene: a named protocol and, where it needs truth, where that lies."""

    protocol: Literal["views", "masks", "self", "nsff24", "dynnerf12", "saff", "dycheck", "iphone"]
    """The protocol's name (docs/protocols.md). A score without its protocol means nothing."""
    truth: UserPath | None = None
    """Folder with the truth in the protocol's layout. Not needed for self."""
