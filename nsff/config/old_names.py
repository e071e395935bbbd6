"""Parameters of NSFF and SAFF by their names there: what each is here, and its default in the authors' parser.

One table for two uses: the converter of their ``config_*.txt`` (nsff.config.published) reads defaults and keys from it,
and a configuration that uses such a name gets its hint from it (nsff.config.base.explain). Source: the parsers of
NSFF's and SAFF's run_nerf.py, and of their scripts for preparation and for the CRF.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Old:
    """A parameter of the published codes. ``here`` is the key that has its meaning, empty where none has; ``factor``
    what its value is multiplied by; ``default`` its value where a file leaves it out, None where that is off or has no
    meaning here; ``message`` what else there is to say."""

    here: str = ""
    message: str = ""
    default: Any = None
    factor: int = 1


UNUSED = Old(message="it is declared and never used there; leave it out")
ALWAYS = Old(message="nothing to set here; leave it out")

PARAMETERS: dict[str, Old] = {
    # --- what comes in, and where results go
    "config": Old(message="`nsff import-config FILE` converts a config_*.txt"),
    "expname": Old(message="the name of the scene under `scenes`"),
    "basedir": Old(message="results lie in results/ of the working directory (snakemake --directory DIR)"),
    "datadir": Old("input.path"),
    "data_path": Old("input.path"),
    "dataset_type": Old("input.kind", "auto recognises NSFF's folders"),
    "start_frame": Old("input.start", default=0),
    "end_frame": Old("input.end", default=50),
    "final_height": Old("canonical.resize_height", default=288),
    "resize_height": Old("canonical.resize_height"),
    "factor": Old(message="it has no effect there; canonical.resize_height sets the size"),
    "llffhold": Old(message="it has no effect there; train.hold_out leaves frames out of training"),
    "ft_path": Old("checkpoint"),
    "no_reload": Old(message="delete results/NAME/state to start anew"),
    # --- preparation
    "epi_threshold": Old("motion.epipolar_threshold"),
    "model": Old("flow.weights"),
    "small": Old("flow.raft_model", "raft-small"),
    "mixed_precision": ALWAYS,
    # --- networks and samples
    "netdepth": Old("field.depth", default=8),
    "netwidth": Old("field.width", default=256),
    "multires": Old("field.position_frequencies", default=10),
    "multires_views": Old("field.direction_frequencies", default=4),
    "i_embed": Old(
        "field.position_frequencies", "-1 is 0 there and in field.direction_frequencies", default=0
    ),
    "use_viewdirs": Old(message="networks always see the view direction; leave it out", default=False),
    "N_rand": Old("train.rays", default=4096),
    "N_samples": Old("sampling.samples", default=64),
    "perturb": Old(message="samples are always jittered in training; leave it out", default=1.0),
    "raw_noise_std": Old("sampling.noise", default=0.0),
    "lindisp": Old(message="samples are uniform along the normalised ray; leave it out", default=False),
    "no_ndc": Old("field.space", "true is contraction, false is ndc", default=False),
    "chunk": Old("render.chunk"),
    "netchunk": Old("train.memory_gb", "what does not fit is done in parts"),
    "disable_rigid": Old("field.dynamic_only", default=False),
    # --- optimisation
    "N_iters": Old("train.steps"),
    "lrate": Old("train.learning_rate", default=5e-4),
    "lrate_decay": Old("train.learning_rate_decay_steps", default=300, factor=1000),
    "use_motion_mask": Old("train.motion_rays", "false is 0", default=False),
    "num_extra_sample": Old("train.motion_rays", default=512),
    "i_print": Old("train.log_every"),
    "i_img": Old("train.preview_every"),
    "i_weights": Old("train.checkpoint_every", default=10_000),
    # --- losses
    "w_depth": Old("losses.w_depth", default=0.04),
    "w_optical_flow": Old("losses.w_flow", default=0.02),
    "w_sm": Old("losses.w_smooth", default=0.1),
    "w_sf_reg": Old("losses.w_scene_flow", default=0.1),
    "w_cycle": Old("losses.w_cycle", default=0.1),
    "w_prob_reg": Old("losses.w_disocclusion", default=0.1),
    "w_entropy": Old("losses.w_entropy", default=1e-3),
    "decay_iteration": Old("losses.decay_steps", default=50, factor=1000),
    "decay_depth_w": Old("losses.decay_depth", default=False),
    "decay_optical_flow_w": Old("losses.decay_flow", default=False),
    "decay_extra": Old("losses.decay_extra", default=False),
    "depth_full": Old("losses.depth_full", default=False),
    "chain_sf": Old("losses.chain", default=False),
    # --- SAFF's features
    "dino_coe": Old("losses.w_features", "0 is also field.features: false", default=0.0),
    "sal_coe": Old("losses.w_saliency", "0 is also field.saliency: false", default=0.0),
    "n_components": Old("features.components", default=64),
    "shallow_dino": Old("field.shallow_features", default=False),
    "use_tanh": Old("field.feature_tanh", default=False),
    "prep_dino": Old(message="features are always reduced by PCA; leave it out", default=False),
    "use_multi_dino": Old("features.pyramid", "true is online, false is single", default=False),
    "use_multi_dino_single_sal": Old(
        "features.saliency_weights", "[0, 0, 1]; their program stops itself in this mode", default=False
    ),
    "load_dino_dir": Old("features.pyramid", "offline, which is computed here"),
    "load_feat_weight": Old("features.pyramid_weights"),
    "load_sal_weight": Old("features.saliency_weights"),
    "stride": Old("features.dino_stride", "of frames it is input.stride"),
    "load_size": Old("features.short_side"),
    "load_dino_size": Old("features.short_side"),
    "model_type": Old("features.dino_model"),
    "facet": Old(message="features are keys, as SAFF's; leave it out"),
    "layer": Old(message="features are of the last layer, as SAFF's; leave it out"),
    "bin": Old(message="features are not binned, as SAFF's; leave it out"),
    "dino_batch": Old("features.batch"),
    # --- modes of run_nerf.py
    "target_idx": Old("render.target"),
    "render_factor": Old("render.render_factor", "0 there is 1 here"),
    "render_bt": Old("render.paths", "[view]"),
    "render_lockcam_slowmo": Old("render.paths", "[time]"),
    "render_slowmo_bt": Old("render.paths", "[spacetime]"),
    "render_slowmo_full": Old("render.paths", "[spacetime], render.follow: false, render.maps: [saliency, features]"),
    "render_2D": Old("render.canonical_views", "the maps are part of every run"),
    "render_test": ALWAYS,
    "render_only": Old(message="ask for what you want: snakemake results/NAME/renders/view.mp4"),
    "render_mode": ALWAYS,
    "render_pcd": Old("extract.clouds"),
    "render_pcd_color": Old("extract.clouds"),
    "render_pcd_cluster": Old("extract.clouds"),
    "render_pcd_cluster_3D": Old("extract.clouds"),
    "render_sal_3D": Old("extract.clouds"),
    "extract_2D": Old("extract.enabled"),
    "cluster_dir": ALWAYS,
    "cluster_2D": Old("field.features", "with field.saliency there are objects"),
    "cluster_2D_flow": Old("decompose.motion_threshold", "0.07"),
    "cluster_pcd": Old("decompose.source", "points"),
    "cluster_finch": Old(message="it fails there; decompose is what clusters"),
    "no_merge": Old("decompose.merge_similarity", "1"),
    "use_pos": Old("decompose.use_position"),
    "use_time": Old("decompose.use_time"),
    "use_pcd": Old("decompose.source", "points"),
    "dino_weight": Old(message="features are of unit length; leave it out"),
    "flow_weight": UNUSED,
    "n_cluster": Old(message="it has no effect there; decompose.max_clusters is the largest number"),
    "load_algo": UNUSED,
    # --- the CRF
    "compact_depth": Old("crf.depth_weight"),
    "compact_rgb": Old("crf.rgb_weight"),
    "sdim_depth": Old("crf.depth_sigma"),
    "sdim_rgb": Old("crf.rgb_sigma"),
    # --- the scripts for cleaning, the CRF, the oracle and scores
    **dict.fromkeys(
        ("root_dir", "render_dir", "raw_folder", "out_dir"),
        Old(message="masks and pictures of a scene lie in its folder of results/; leave it out"),
    ),
    "vis_folder": Old(message="`nsff score --pred DIR --truth DIR` scores any folder; leave it out"),
    "gt_folder": Old("evaluation", "[{protocol: saff, truth: DIR}]"),
    "flip_fg": Old(message="each layout of truth says which side is the object; leave it out"),
    # --- of NeRF, and never used
    **dict.fromkeys(
        (
            "netdepth_fine", "netwidth_fine", "N_importance", "no_batching", "testskip", "white_bkgd", "spherify",
            "i_video", "i_testset", "precrop_iters", "precrop_frac", "half_res",
        ),
        UNUSED,
    ),
}  # fmt: skip
"""Their parameters by name."""

DEFAULTS = {name: old.default for name, old in PARAMETERS.items() if old.default is not None}
"""Defaults of the authors' parser."""

_BY_SPELLING = {name.lower(): name for name in PARAMETERS}


def old_name_hint(key: str) -> str:
    """A sentence on a key that is a parameter of NSFF or SAFF, in any capitals, with or without dashes before it and
    within; empty for others."""
    name = _BY_SPELLING.get(key.lstrip("-").lower().replace("-", "_"))
    if name is None:
        return ""
    old = PARAMETERS[name]
    if not old.here:
        return f"{name} of NSFF and SAFF: {old.message}."
    scaled = f" / {old.factor}" if old.factor != 1 else ""
    more = f" ({old.message})" if old.message else ""
    return f"{name} of NSFF and SAFF is {old.here}{scaled} here{more}."
