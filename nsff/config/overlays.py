"""Overlays: named changes that are laid over a preset, in the order they are named.

The ablations of NSFF and SAFF have the names of the authors' configuration files (config_*.txt), relative to
preset saff, which is their ``_4``. Others are named by what they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

Sections = dict[str, dict[str, Any]]


def _together(*parts: Mapping[str, Mapping[str, Any]]) -> Sections:
    result: Sections = {}
    for part in parts:
        for section, values in part.items():
            result.setdefault(section, {}).update(deepcopy(dict(values)))
    return result


_NO_SALIENCY: Sections = {"field": {"saliency": False}, "losses": {"w_saliency": 0.0}}
_NO_FEATURES: Sections = {"field": {"features": False}, "losses": {"w_features": 0.0}}
_NO_DEPTH: Sections = {"losses": {"w_depth": 0.0}}
_NO_STATIC: Sections = {"field": {"dynamic_only": True}}
_NSFF = _together(_NO_SALIENCY, _NO_FEATURES)
_SINGLE: Sections = {"features": {"pyramid": "single"}}
_OFFLINE: Sections = {"features": {"pyramid": "offline"}}

_WEAK: Sections = {"losses": {"w_depth": 0.02, "w_flow": 0.01}}
_LOOSE: Sections = {"losses": {"w_scene_flow": 0.01}}

OVERLAYS: dict[str, Sections] = {
    "_0": _NSFF,
    "_0_nodep": _together(_NSFF, _NO_DEPTH),
    "_0_norig": _together(_NSFF, _NO_STATIC),
    "_2": _together(_NO_SALIENCY, _SINGLE),
    "_3": _SINGLE,
    "_4": {},
    "_4_nodep": _NO_DEPTH,
    "_4_norig": _NO_STATIC,
    "_5": {"losses": {"decay_extra": True}},
    "_6": {"features": {"pyramid": "offline", "saliency_weights": (0.0, 0.0, 1.0)}},
    "_7": _OFFLINE,
    "_old": {"features": {"pyramid": "offline", "pyramid_weights": (0.4, 0.4, 0.2)}},
    "_nosal": _NO_SALIENCY,
    "additive": {"field": {"composition": "additive"}},
    "released_masks": {
        "decompose": {"cleaning": "none", "merge_chains": "one_step"},
        "crf": {"depth_weight": 30.0, "depth_sigma": 40.0, "rgb_weight": 20.0, "rgb_sigma": 20.0},
    },
    "motion_vote": {"decompose": {"motion_threshold": 0.07}},
    "points": {"decompose": {"source": "points", "saliency_threshold": 0.11}},
    "images": {
        "decompose": {"source": "images"},
        "features": {"pyramid": "single", "imagenet_normalisation": True},
    },
    "nsff_balloon1": _WEAK,
    "nsff_balloon2": _WEAK,
    "nsff_playground": _WEAK,
    "nsff_dynamicface": _LOOSE,
    "nsff_jumping": _together(_LOOSE, {"losses": {"decay_steps": 48_000}}),
    "on_dynnerf12": {"canonical": {"resize_height": 270}},
    "on_saff": {"render": {"canonical_views": "saff"}},
    "on_dycheck": {
        "canonical": {"resize_height": 400},
        "train": {"hold_out": 2},
        "score": {"oracle": True},
    },
    "on_iphone": {"canonical": {"resize_height": 480}},
}

NSFF_SCENES = {name.removeprefix("nsff_"): name for name in OVERLAYS if name.startswith("nsff_")}
"""NSFF's own settings of single scenes of NVIDIA's data."""

MEANINGS: dict[str, str] = {
    "_0": "NSFF, retrained with SAFF's data settings",
    "_0_nodep": "that, without the depth loss",
    "_0_norig": "that, without a static field",
    "_2": "SAFF with features of the whole frame alone and no saliency head: semantics only",
    "_3": "SAFF with features and saliency of the whole frame alone, no pyramid of windows",
    "_4": "SAFF as published: preset saff as it is",
    "_4_nodep": "SAFF without the depth loss",
    "_4_norig": "SAFF without a static field",
    "_5": "SAFF with weights of features and saliency that decay as those of depth and flow",
    "_6": "SAFF with the offline pyramid, its three levels weighted alike, and saliency of the whole frame alone",
    "_7": "SAFF with the offline pyramid, its three levels weighted alike",
    "_old": "SAFF with the offline pyramid in its first weighting: 0.4, 0.4, 0.2",
    "_nosal": "SAFF without a saliency head; there is nothing to vote on, so no objects are made",
    "released_masks": "masks as the released ones (ours_1018_processed_crf.zip) were probably made: raw clusters,"
    " chains of merges unresolved, and the first parameters of the CRF in the history of postprocess_crf.py",
    "motion_vote": "SAFF's cluster_2D_flow: votes also ask for motion",
    "points": "SAFF's cluster_pcd: clusters of samples in space, in two stages",
    "images": "SAFF's 2-D baseline cluster_dino: clusters of the input frames' own features, of the whole frame with"
    " colours normalised, training views alone",
    "nsff_balloon1": "NSFF's weights for Balloon1",
    "nsff_balloon2": "NSFF's weights for Balloon2",
    "nsff_playground": "NSFF's weights for Playground",
    "nsff_dynamicface": "NSFF's weights for DynamicFace",
    "nsff_jumping": "NSFF's weights and decay for Jumping",
    "on_dynnerf12": "the size of protocol dynnerf12, 480x270",
    "on_saff": "the views of protocol saff, which preset saff has wherever the published code has them",
    "on_dycheck": "SAFF's settings on DyCheck: 400 rows, even frames; and the oracle used there",
    "on_iphone": "the size that DyCheck scores at",
    "additive": "densities of the two fields add up, as in nsff_pl, instead of a blending weight",
}
"""A description of each overlay."""
