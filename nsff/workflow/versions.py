"""Version numbers of the stages' code: results of another version are made again.

Raise a stage's number by hand when a change of code changes its results. tests/workflow/test_fingerprints.py fails
where that was forgotten; ``make fingerprints`` then writes its record anew.
"""

from __future__ import annotations

VERSIONS = {
    "ingest": 3,
    "flow": 3,
    "coarse_masks": 4,
    "sfm": 8,
    "cameras": 1,
    "features": 4,
    "motion": 8,
    "depth": 9,
    "train": 5,
    "render": 4,
    "maps": 2,
    "points": 1,
    "cluster": 5,
    "postprocess": 4,
    "crf": 2,
    "extract": 2,
    "page": 4,
    "score": 7,
    "report": 5,
    "collect_scores": 1,
    "overview": 2,
    "reproduce": 1,
}
"""By the name of the rule."""
