"""Mistakes in a configuration: each names the key, the value, what is allowed, and the nearest valid word."""

import pytest

from nsff.config import SceneConfig, load_config, resolve_scene
from nsff.config.base import model_at
from nsff.config.changes import with_changes
from nsff.config.old_names import PARAMETERS, old_name_hint
from nsff.errors import ConfigError


@pytest.fixture
def root(tmp_path):
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "truth").mkdir()
    return tmp_path


def scene(**more):
    return {"input": {"path": "clip.mp4"}, **more}


def refused(root, content):
    with pytest.raises(ConfigError) as caught:
        load_config(content, root)
    return caught.value


def test_the_least_configuration_is_accepted(root):
    assert list(load_config({"scenes": {"walk": scene()}}, root)) == ["walk"]


@pytest.mark.parametrize(
    ("content", "subject", "value", "nearest"),
    [
        ({"scens": {}, "scenes": {"a": scene()}}, "scens", "{}", "'scenes'"),
        ({"trian": {}, "scenes": {"a": scene()}}, "trian", "{}", "'train'"),
        ({"train": {"stepz": 7}, "scenes": {"a": scene()}}, "train.stepz", "7", "'steps'"),
        ({"scenes": {"a": scene(lossess={"w_rgb": 1})}}, "scenes.a.lossess", "'w_rgb': 1", "'losses'"),
        ({"scenes": {"a": scene(losses={"w_rbg": 1})}}, "scenes.a.losses.w_rbg", "1", "'w_rgb'"),
        ({"scenes": {"a": {"input": {"path": "clip.mp4", "strid": 2}}}}, "scenes.a.input.strid", "2", "'stride'"),
        ({"scenes": {"a": {"inputs": {"path": "clip.mp4"}}}}, "scenes.a.inputs", "clip.mp4", "'input'"),
        (
            {"scenes": {"a": scene(evaluation=[{"protocol": "views", "thruth": "truth"}])}},
            "scenes.a.evaluation.0.thruth",
            "'truth'",
            "'truth'",
        ),
    ],
)
def test_unknown_keys_name_the_nearest(root, content, subject, value, nearest):
    error = refused(root, content)
    assert error.subject == subject
    assert "unknown key" in error.problem
    assert value in error.problem
    assert f"did you mean {nearest}?" in error.remedy
    assert "allowed: " in error.remedy


# --- names that NSFF and SAFF have for these things ------------------------------------------------------------------
OLD_NAMES = {
    "w_optical_flow": "losses.w_flow", "w_depth": "losses.w_depth", "w_sm": "losses.w_smooth",
    "w_sf_reg": "losses.w_scene_flow", "w_cycle": "losses.w_cycle", "w_prob_reg": "losses.w_disocclusion",
    "w_entropy": "losses.w_entropy", "decay_iteration": "losses.decay_steps / 1000",
    "decay_depth_w": "losses.decay_depth",
    "decay_optical_flow_w": "losses.decay_flow", "decay_extra": "losses.decay_extra", "chain_sf": "losses.chain",
    "depth_full": "losses.depth_full", "use_motion_mask": "train.motion_rays", "num_extra_sample": "train.motion_rays",
    "start_frame": "input.start", "end_frame": "input.end", "datadir": "input.path", "N_samples": "sampling.samples",
    "N_rand": "train.rays", "netwidth": "field.width", "netdepth": "field.depth", "no_ndc": "field.space",
    "final_height": "canonical.resize_height", "target_idx": "render.target", "lrate": "train.learning_rate",
    "lrate_decay": "train.learning_rate_decay_steps / 1000", "multires": "field.position_frequencies",
    "multires_views": "field.direction_frequencies", "i_embed": "field.position_frequencies",
    "raw_noise_std": "sampling.noise", "disable_rigid": "field.dynamic_only", "dino_coe": "losses.w_features",
    "sal_coe": "losses.w_saliency", "n_components": "features.components", "shallow_dino": "field.shallow_features",
    "use_tanh": "field.feature_tanh", "use_multi_dino": "features.pyramid", "load_dino_dir": "features.pyramid",
    "load_feat_weight": "features.pyramid_weights", "load_sal_weight": "features.saliency_weights",
    "use_multi_dino_single_sal": "features.saliency_weights", "load_size": "features.short_side",
    "load_dino_size": "features.short_side", "model_type": "features.dino_model", "dino_batch": "features.batch",
    "stride": "features.dino_stride", "ft_path": "checkpoint", "chunk": "render.chunk", "netchunk": "train.memory_gb",
    "i_print": "train.log_every", "i_img": "train.preview_every", "i_weights": "train.checkpoint_every",
    "render_factor": "render.render_factor", "render_bt": "render.paths", "render_lockcam_slowmo": "render.paths",
    "render_slowmo_bt": "render.paths", "render_slowmo_full": "render.paths", "render_2D": "render.canonical_views",
    "render_pcd_color": "extract.clouds", "render_pcd": "extract.clouds", "render_sal_3D": "extract.clouds",
    "extract_2D": "extract.enabled", "cluster_2D": "field.features", "cluster_pcd": "decompose.source",
    "cluster_2D_flow": "decompose.motion_threshold", "no_merge": "decompose.merge_similarity",
    "use_pos": "decompose.use_position", "use_time": "decompose.use_time", "use_pcd": "decompose.source",
    "epi_threshold": "motion.epipolar_threshold", "resize_height": "canonical.resize_height",
    "compact_depth": "crf.depth_weight", "compact_rgb": "crf.rgb_weight", "sdim_depth": "crf.depth_sigma",
    "sdim_rgb": "crf.rgb_sigma", "dataset_type": "input.kind", "gt_folder": "evaluation",
}  # fmt: skip
WITHOUT_KEY = (
    "expname", "basedir", "config", "factor", "llffhold", "use_viewdirs", "perturb", "lindisp", "prep_dino", "facet",
    "layer", "bin", "no_reload", "render_test", "render_mode", "cluster_dir", "cluster_finch", "dino_weight",
    "flow_weight", "n_cluster", "load_algo", "netdepth_fine", "netwidth_fine", "N_importance", "no_batching",
    "testskip", "white_bkgd", "spherify", "i_testset", "i_video",
    "root_dir", "render_dir", "raw_folder", "out_dir", "vis_folder", "flip_fg",
)  # fmt: skip


def places(name: str):
    """The key at the top level, in a scene, and in a section of either."""
    yield name, {name: 1, "scenes": {"a": scene()}}
    yield f"scenes.a.{name}", {"scenes": {"a": scene(**{name: 1})}}
    yield f"crf.{name}", {"crf": {name: 1}, "scenes": {"a": scene()}}
    yield f"scenes.a.crf.{name}", {"scenes": {"a": scene(crf={name: 1})}}


@pytest.mark.parametrize("name", [*OLD_NAMES, *WITHOUT_KEY])
def test_old_names_get_a_hint_that_is_right(root, name):
    for subject, content in places(name):
        error = refused(root, content)
        assert error.subject == subject
        assert "did you mean" not in error.remedy
        if name in OLD_NAMES:
            assert f"{name} of NSFF and SAFF is {OLD_NAMES[name]} here" in error.remedy
        else:
            assert error.remedy.startswith(f"{name} of NSFF and SAFF: ")


def test_old_names_lead_to_keys_that_exist():
    assert PARAMETERS.keys() >= {*OLD_NAMES, *WITHOUT_KEY}
    for name, old in PARAMETERS.items():
        if old.here:
            *section, key = old.here.split(".")
            model = model_at(SceneConfig, section)
            assert model is not None and key in model.model_fields, name
        else:
            assert old.message, name


def test_old_names_in_other_spellings_and_beside_new_ones(root):
    assert "n_samples" not in PARAMETERS
    for name in ("n_samples", "--N_samples", "N_SAMPLES"):
        assert "N_samples of NSFF and SAFF is sampling.samples here." in refused(root, {name: 1}).remedy
    assert "decay_iteration of NSFF and SAFF is losses.decay_steps" in refused(root, {"--decay-iteration": 1}).remedy
    # A key that is one here, at its place, is no old name, whatever else it is called there.
    own = {"input": {"path": "clip.mp4", "stride": 2}, "losses": {"w_depth": 0.1, "depth_full": True}}
    found = load_config({"scenes": {"a": own}}, root)["a"]
    assert (found.losses.w_depth, found.losses.depth_full, found.input.stride) == (0.1, True, 2)
    assert old_name_hint("w_rbg") == ""


@pytest.mark.parametrize("change", ["w_optical_flow=0.1", "losses.w_optical_flow=0.1", "train.w_optical_flow=0.1"])
def test_old_names_in_changes_on_a_command_line(change):
    own = with_changes({"input": {"path": "x"}}, [change])
    with pytest.raises(ConfigError, match=r"w_optical_flow of NSFF and SAFF is losses\.w_flow here"):
        resolve_scene("a", own, "nsff", {})


@pytest.mark.parametrize(
    ("more", "subject", "message"),
    [
        ({"train": {"steps": "many"}}, "scenes.a.train.steps", ["integer", "'many'", "Optimisation steps"]),
        ({"train": {"steps": 0}}, "scenes.a.train.steps", ["greater than or equal to 1", "value 0", "20000"]),
        ({"train": {"steps": 2.5}}, "scenes.a.train.steps", ["integer", "2.5"]),
        ({"train": 3}, "scenes.a.train", ["holds no mapping", "value 3"]),
        ({"field": {"kind": "mpl"}}, "scenes.a.field.kind", ["'mlp' or 'planes'", "'mpl'", "did you mean 'mlp'?"]),
        ({"render": {"paths": ["viw"]}}, "scenes.a.render.paths.0", ["'viw'", "did you mean 'view'?"]),
        ({"evaluation": [{"protocol": "mask"}]}, "scenes.a.evaluation.0.protocol", ["did you mean 'masks'?"]),
        ({"crf": {"ground_truth_probability": 1.0}}, "scenes.a.crf.ground_truth_probability", ["less than 1"]),
        (
            {"preset": "fats"},
            "scenes.a.preset",
            ["'fats'", "did you mean 'fast'?", "demo, demo_planes, fast, gaussians, planes, nsff, saff"],
        ),
    ],
)
def test_wrong_values(root, more, subject, message):
    error = refused(root, {"scenes": {"a": scene(**more)}})
    assert error.subject == subject
    for word in message:
        assert word in str(error)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"field": {"static_only": True, "dynamic_only": True}}, ["field.static_only", "field.dynamic_only"]),
        ({"field": {"features": False}}, ["field.saliency needs field.features"]),
        ({"evaluation": [{"protocol": "self"}]}, ["train.hold_out", "at least 2"]),
        ({"train": {"hold_out": 1}}, ["train.hold_out", "no frame"]),
        ({"evaluation": [{"protocol": "views"}]}, ["views needs truth"]),
        ({"evaluation": [{"protocol": "views", "truth": "truth"}] * 2}, ["views twice"]),
        (
            {"field": {"features": False, "saliency": False}, "evaluation": [{"protocol": "masks", "truth": "truth"}]},
            ["masks needs field.features"],
        ),
        ({"render": {"maps": ["saliency"]}, "field": {"saliency": False}}, ["render.maps", "field.saliency"]),
        ({"sfm": {"focal_range": [2.5, 0.6]}}, ["sfm.focal_range", "[2.5, 0.6]"]),
    ],
)
def test_impossible_combinations(root, more, message):
    error = refused(root, {"scenes": {"a": scene(**more)}})
    assert error.subject == "scenes.a"
    for word in message:
        assert word in error.problem
    # A check between fields sees a whole section; printing it would bury the message.
    assert len(str(error)) < 300


def test_empty_range_of_frames(root):
    error = refused(root, {"scenes": {"a": {"input": {"path": "clip.mp4", "start": 5, "end": 6}}}})
    assert error.subject == "scenes.a.input"
    assert "start 5 to end 6" in error.problem


@pytest.mark.parametrize(
    ("own", "subject", "value"),
    [
        ({"input": {"path": "clop.mp4"}}, "scenes.a.input.path", "clop.mp4"),
        ({"input": {"path": "clip.mp4", "truth_priors": "rendered"}}, "scenes.a.input.truth_priors", "rendered"),
        (scene(evaluation=[{"protocol": "views", "truth": "gone"}]), "scenes.a.evaluation.0.truth", "gone"),
    ],
)
def test_missing_files(root, own, subject, value):
    error = refused(root, {"scenes": {"a": own}})
    assert error.subject == subject
    assert value in error.problem
    assert str(root) in error.remedy


@pytest.mark.parametrize("name", ["a b", "../up", "logs", "benchmarks", ""])
def test_names_that_are_no_folders_of_a_scene(root, name):
    assert refused(root, {"scenes": {name: scene()}}).subject == f"scenes.{name}"


@pytest.mark.parametrize(
    ("content", "subject"),
    [({}, "scenes"), ({"scenes": {}}, "scenes"), ({"scenes": 3}, "scenes"), ({"scenes": {"a": None}}, "scenes.a")],
)
def test_no_scene(root, content, subject):
    assert refused(root, content).subject == subject


def test_every_mistake_is_named(root):
    error = refused(root, {"scenes": {"a": scene(train={"steps": 0, "rays": -1, "stepz": 1})}})
    assert error.subject == "scenes.a.train.stepz"
    assert "scenes.a.train.steps, scenes.a.train.rays" in error.remedy


@pytest.mark.parametrize(
    ("text", "message"),
    [("scenes: [unclosed", "is not YAML"), ("- a list", "holds no mapping"), (None, "no such file")],
)
def test_unusable_files(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    error = refused(tmp_path, path)
    assert error.subject == str(path)
    assert message in error.problem
