"""Presets: named overlays of the stage sections. demo: minutes on a CPU; fast: a GPU; nsff, saff: the published models."""

from __future__ import annotations

from typing import Any

_PUBLISHED: dict[str, Any] = {
    "field": {"kind": "mlp", "space": "ndc", "composition": "blending"},
    "sampling": {"kind": "stratified", "samples": 128, "pixel_centre": 0.0, "noise": 1.0},
    "losses": {"w_cycle": 1.0, "scene_flow_axis": "reference", "warp_beyond_ends": True},
    "train": {
        "steps": 360_000, "rays": 1024, "frames_per_batch": 1, "learning_rate": 5e-4,
        "learning_rate_decay_steps": 300_000, "checkpoint_every": 10_000,
    },
    "render": {"interpolation": "depth_planes"},
}

PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        "canonical": {"resize_height": 180},
        "field": {"kind": "planes", "composition": "additive"},
        "train": {"steps": 600},
        "render": {"frames": 24, "frame_rate": 12},
    },
    "fast": {
        "field": {"kind": "planes", "composition": "additive"},
        "train": {"steps": 6000},
    },
    "nsff": {
        **_PUBLISHED,
        "field": {**_PUBLISHED["field"], "features": False, "saliency": False},
        "losses": {**_PUBLISHED["losses"], "w_features": 0.0, "w_saliency": 0.0, "decay_steps": 25_000},
        "train": {**_PUBLISHED["train"], "motion_rays": 512},
    },
    "saff": {
        **_PUBLISHED,
        "losses": {**_PUBLISHED["losses"], "decay_steps": 30_000},
        "train": {**_PUBLISHED["train"], "motion_rays": 0},
    },
}
