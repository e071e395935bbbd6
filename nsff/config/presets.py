"""Presets: named overlays of the stage sections. demo: Gaussians, minutes on a CPU; fast: planes on a GPU; gaussians:
Gaussians on a GPU; nsff, saff: the published models; planes: planes on a GPU, whatever fast is; demo_planes: planes on
a CPU.
"""

from __future__ import annotations

from typing import Any, Literal

PresetName = Literal["demo", "fast", "gaussians", "nsff", "saff", "planes", "demo_planes"]

_PUBLISHED: dict[str, Any] = {
    "canonical": {"focal": "published"},
    "field": {"kind": "mlp", "space": "ndc", "composition": "blending", "view_axes": "average"},
    "sampling": {"kind": "stratified", "samples": 128, "pixel_centre": 0.0, "noise": 1.0},
    "losses": {
        "w_cycle": 1.0,
        "scene_flow_axis": "reference",
        "warp_beyond_ends": True,
        "decay_by_frames": True,
    },
    "train": {
        "steps": 360_000,
        "rays": 1024,
        "frames_per_batch": 1,
        "learning_rate": 5e-4,
        "learning_rate_decay_steps": 300_000,
        "checkpoint_every": 10_000,
        # On a GPU as good as fp32 and TF32, and faster (docs/notebook.md#the-published-presets).
        "precision": "bf16",
    },
    "render": {"interpolation": "depth_planes", "frames": 60, "size": "canonical"},
    "sfm": {"refine_given": False, "turning": "refuse"},
    "flow": {"consistency_inside": False, "large_motion": False},
    "motion": {
        "intervals": [1],
        "combine": "max",
        "depth_cue": False,
        "refine_radius": 0,
        "picture_evidence": False,
        "epipolar_threshold": 1.0,
        "dilation_radius": 2,
        "temporal_propagation": 0,
        "hole_filling_radius": 0,
        "instance_moving": 0.0,
    },
    "depth": {
        "long_side": 640,
        "input_rule": "nsff",
        "upsampling": "nearest",
        "align": False,
        "moving": "surroundings",
    },
    "decompose": {
        "method": "clusters",
        "cleaning": "published",
        "merge_chains": "resolved",
        "keep_best": False,
        "scale_with_height": False,
        "split_instances": False,
    },
    "crf": {
        "scale_with_height": False,
        "guidance": "rendered",
        "depth_guide": "ndc",
        "labels": "grey",
        "exact_pixels": 0,
    },
    "score": {"refit_steps": 0},
}

# Plane fields with supervision that NSFF does not have: metric depth, motion masks, a static picture
# (docs/differences.md).
_PLANES: dict[str, Any] = {
    "field": {"kind": "planes", "composition": "additive"},
    "losses": {
        "w_rgb": 1.0,
        "w_static_rgb": 0.5,
        "w_surface": 1.0,
        "w_dynamic_mask": 0.05,
        "w_distortion": 0.01,
        "w_depth": 0.02,
        "depth_full": True,
        "w_flow": 1e-3,
        "w_smooth": 0.01,
        "w_scene_flow": 0.01,
        "w_disocclusion": 0.01,
        "w_cycle": 0.1,
        "w_plane_smooth": 0.02,
        "w_occluded": 1.0,
        "mask_dynamic_always": True,
        "smooth_space": "normalised",
        "decay_depth": False,
        "decay_flow": False,
        "chain": True,
    },
    # Weaker and nearer than SAFF's, by colour alone: its reach of 40 pixels takes heads, hands and feet away
    # (docs/notebook.md#object-masks).
    "crf": {"gaussian_weight": 3.0, "rgb_weight": 15.0, "rgb_sigma": 12.0, "channel_sigma": 10.0, "depth_weight": 0.0},
}

_FAST: dict[str, Any] = {
    "field": {
        **_PLANES["field"],
        "plane_resolutions": [64, 128, 256, 512],
        "dynamic_resolutions": [64, 192],
        "motion_resolution": 32,
        "hidden": 64,
        "near": 0.6,
        "dynamic_views": False,
    },
    "sampling": {"kind": "importance", "samples": 48, "coarse_samples": 64},
    # docs/notebook.md#minutes-instead-of-days. What lies hidden now was seen, or will be, at other times:
    # w_occluded 1 took the far sides of things away.
    "losses": {
        **_PLANES["losses"],
        "w_warp": 0.1,
        "w_flow": 0.01,
        "flow_guessed": 3.0,
        "w_occluded": 0.3,
        "w_plane_smooth": 0.01,
        "decay_steps": 2000,
    },
    "train": {
        "steps": 6000,
        "steps_for_frames": 24,
        "rays": 8192,
        "motion_rays": 2048,
        "motion_rays_always": True,
        "warp_rays": 2048,
        "precision": "bf16",
        "frames_per_batch": 0,
        "learning_rate": 5e-3,
        "plane_learning_rate": 0.02,
        "learning_rate_decay_steps": 6000,
        "checkpoint_every": 1000,
        "log_every": 50,
    },
    "decompose": {"method": "motion"},
    "crf": _PLANES["crf"],
}

# Of what is trained on a CPU.
_ON_CPU: dict[str, Any] = {
    "canonical": {"resize_height": 180},
    # Whatever weights a machine has, the demo's numbers are the same.
    "flow": {"backend": "given_or_dis"},
    "motion": {"instances": "off"},
    "depth": {"auto_order": ["given", "classical"]},
    "features": {"stride": 4, "backend": "classical"},
    "decompose": {"method": "motion"},
    "crf": _PLANES["crf"],
    # Half of the default is enough where whole pictures are compared.
    "score": {"refine_steps": 30},
}

PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        **_ON_CPU,
        # Fewer static Gaussians at the start cost nothing but where little is known of what moves, and take less time
        # (docs/notebook.md#gaussians-on-the-cpu).
        "model": {"kind": "gaussians", "options": {"thinning": 2.5}},
        "train": {
            # Also beside a GPU, whose rasteriser may not be built.
            "device": "cpu",
            "steps": 700,
            "learning_rate_decay_steps": 700,
            "checkpoint_every": 100,
            "log_every": 20,
        },
    },
    "demo_planes": {
        **_ON_CPU,
        "render": {"frames": 24, "frame_rate": 12},
        "field": {
            **_PLANES["field"],
            "plane_resolutions": [64, 128, 256],
            "dynamic_resolutions": [48, 128],
            "motion_resolution": 24,
            "hidden": 32,
        },
        "sampling": {"kind": "importance", "samples": 24, "coarse_samples": 32},
        "losses": {**_PLANES["losses"], "w_surface": 3.0, "w_flow": 0.01, "decay_steps": 400},
        "train": {
            "steps": 900,
            "rays": 512,
            "motion_rays": 256,
            "motion_rays_always": True,
            "warp_rays": 128,
            "frames_per_batch": 0,
            "learning_rate": 0.01,
            "plane_learning_rate": 0.05,
            "learning_rate_decay_steps": 900,
            "checkpoint_every": 100,
            "log_every": 20,
        },
    },
    "fast": _FAST,
    "gaussians": {
        "model": {"kind": "gaussians"},
        "train": {
            "steps": 3600,
            "steps_for_frames": 24,
            "learning_rate_decay_steps": 3600,
            "checkpoint_every": 1200,
            "log_every": 50,
        },
        "decompose": {"method": "motion"},
        "crf": _PLANES["crf"],
    },
    "planes": _FAST,
    "nsff": {
        **_PUBLISHED,
        "field": {**_PUBLISHED["field"], "features": False, "saliency": False},
        "losses": {**_PUBLISHED["losses"], "w_features": 0.0, "w_saliency": 0.0, "decay_steps": 25_000},
        "train": {**_PUBLISHED["train"], "motion_rays": 512},
    },
    "saff": {
        **_PUBLISHED,
        # Of the network's features; without its weights the classical ones stand in, at the same full size.
        "features": {"pyramid": "online", "imagenet_normalisation": False, "stride": 1},
        "render": {**_PUBLISHED["render"], "canonical_views": "auto"},
        "losses": {**_PUBLISHED["losses"], "decay_steps": 30_000},
        "train": {**_PUBLISHED["train"], "motion_rays": 0},
    },
}
