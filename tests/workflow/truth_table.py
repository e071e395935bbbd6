"""The truth table of every key: which rules' results it changes, apart from what follows because their files are new.

By section, then by rules. A key that is in no line fails test_truth_table.py: whoever adds one says here what it
re-runs. The report shows every setting and is made again for each of them, so that it stands nowhere. Jobs that a key
adds or takes away (a video more, objects extracted, no features) are no results made again.
"""

VIDEOS = "render_view render_time render_spacetime"
ALL_VIDEOS = f"{VIDEOS} render_keyframes"

LINES: dict[str, dict[str, str]] = {
    # Its name is told in the model's files. What else a preset or an overlay changes are the keys below.
    "preset": {"train": ""},
    "overlays": {"nothing": ""},
    "checkpoint": {"train": ""},
    "input": {
        "ingest": (
            "path kind start end stride skip max_height cameras depth.path depth.kind depth.scale depth tracks.path "
            "tracks.size tracks truth_priors"
        ),
        "nothing": "max_frames",
    },
    "evaluation": {
        "score": "protocol truth",
    },
    "canonical": {
        "cameras flow": "resize_height",
        "cameras": "focal undistorter",
    },
    "flow": {
        "flow": (
            "backend raft_model weights iterations long_side max_pixels large_frames preset enlarge large_motion "
            "consistency_relative consistency_absolute consistency_inside far cuts"
        ),
    },
    "motion": {
        "motion": (
            "given epipolar_threshold intervals combine depth_cue near_margin refine_radius dilation_radius "
            "temporal_propagation hole_filling_radius instances instance_weights instance_labels instance_score "
            "picture_evidence instance_long_side instance_growth instance_moving"
        ),
        "coarse_masks": "coarse_threshold coarse_dilation_radius seed",
        "coarse_masks motion": "opening_radius coverage_warning",
    },
    "sfm": {
        "sfm": (
            "seed min_parallax image_height use_masks refine_given attempts min_registered max_reprojection_error "
            "min_triangulation_angle focal_range focal principal_point distortion"
        ),
        "nothing": "turning still",
    },
    "depth": {
        "depth": (
            "backend auto_order weights model revision model_output long_side input_rule upsampling align "
            "align_local align_min_points align_median align_sigma max_interval min_parallax moving "
            "moving_deviation"
        ),
    },
    "features": {
        "features": (
            "backend components stride sample_interval saliency motion_weight position_weight pooling "
            "weights dino_model dino_stride short_side pyramid pyramid_weights saliency_weights "
            "single_resizing imagenet_normalisation"
        ),
        "nothing": "batch",
    },
    "model": {
        "train": "kind options",
    },
    "field": {
        "train": (
            "kind space near composition feature_tanh view_axes dynamic_views static_only dynamic_only depth "
            "width position_frequencies direction_frequencies shallow_features plane_resolutions "
            "dynamic_resolutions motion_resolution plane_channels plane_time hidden"
        ),
        "page score train": "features saliency",
    },
    "sampling": {
        "train": "kind samples coarse_samples pixel_centre noise",
    },
    "losses": {
        "train": (
            "w_rgb w_warp warp_trains w_features w_saliency w_depth w_flow flow_guessed w_cycle w_scene_flow "
            "w_smooth w_disocclusion w_entropy w_static_rgb w_dynamic_mask w_distortion w_occluded "
            "occluded_margin w_surface w_plane_smooth decay_steps decay_by_frames decay_depth decay_flow "
            "decay_extra depth_full surface_tolerance surface_fade surface_floor mask_fade mask_floor "
            "mask_dynamic_always smooth_space warp_beyond_ends chain scene_flow_axis kinetic_energy_count"
        ),
    },
    "train": {
        "train": (
            "gpus seed precision steps steps_for_frames rays motion_rays motion_rays_always warp_rays "
            "frames_per_batch learning_rate plane_learning_rate learning_rate_decay_steps"
        ),
        "score train": "hold_out",
        "nothing": ("device memory_gb cuda_graphs checkpoint_every log_every preview_every keep_state tensorboard"),
    },
    "render": {
        VIDEOS: "frames target",
        ALL_VIDEOS: "frame_rate maps pictures render_factor interpolation without size",
        "render_keyframes": "path_file",
        "render_spacetime": "follow",
        "render_time render_spacetime": "start end",
        "render_view render_spacetime": "amplitude",
        "maps": "canonical_views",
        "nothing": "paths chunk",
    },
    "decompose": {
        "cluster points": "seed",
        "cluster postprocess": "method",
        "cluster": (
            "source clusterer use_position use_time motion_threshold max_clusters elbow sample_interval restarts "
            "iterations merge_similarity merge_chains saliency_threshold vote_fraction keep_best"
        ),
        "points": "point_interval point_opacity",
        "postprocess": ("cleaning morphology_iterations closing_area min_component scale_with_height split_instances"),
    },
    "crf": {
        "crf": (
            "backend guidance depth_guide labels iterations ground_truth_probability gaussian_sigma "
            "gaussian_weight depth_sigma depth_weight rgb_sigma rgb_weight channel_sigma scale_with_height "
            "exact_pixels"
        ),
    },
    "extract": {
        "extract": "occluded clouds point_opacity far",
        "nothing": "enabled",
    },
    "page": {
        "page": "static_splats moving_splats fit_steps points_per_frame picture_width megabytes",
        "nothing": "enabled",
    },
    "score": {
        "score": "variants refine_steps refine_rays refine_learning_rate dilation lpips oracle refit_steps",
    },
    "report": {
        "nothing": "frames width embed_videos",
    },
}

REPRODUCE = {"reproduce": "protocol", "nothing": "folder preset overlays checkpoints use_checkpoints"}
"""Section reproduce, which brings scenes along: their settings are those of the lines above."""


def _keys(section: str, names: str) -> list[str]:
    return [f"{section}.{name}" for name in names.split()] or [section]


TABLE: dict[str, set[str]] = {
    key: set(rules.split()) - {"nothing"}
    for section, lines in LINES.items()
    for rules, names in lines.items()
    for key in _keys(section, names)
}
"""Rules by key."""
