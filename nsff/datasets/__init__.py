"""Readers that turn foreign layouts into ingested frames and given priors, and readers of truth for scoring."""

from nsff.datasets.base import Frame, GivenCameras, Source
from nsff.datasets.ingest import run_ingest
from nsff.datasets.registry import READERS, detect_kind, open_source
from nsff.datasets.truth import Truth, TruthView
from nsff.datasets.truth_registry import open_truth

__all__ = [
    "READERS",
    "Frame",
    "GivenCameras",
    "Source",
    "Truth",
    "TruthView",
    "detect_kind",
    "open_source",
    "open_truth",
    "run_ingest",
]
