"""How a scene's settings come about: defaults, preset, top level, the scene's own; and what the models generate."""

import json

import jsonschema
import pytest
import yaml

from nsff.config import PRESETS, SceneConfig, load_config, merge, resolve_scene, schema
from nsff.config.document import generated
from nsff.config.overlays import MEANINGS, OVERLAYS
from nsff.config.project import OverlayName, StagesConfig
from nsff.errors import ConfigError


@pytest.fixture
def root(tmp_path):
    (tmp_path / "clip.mp4").touch()
    return tmp_path


def resolved(root, own, **top):
    return load_config({**top, "scenes": {"a": {"input": {"path": "clip.mp4"}, **own}}}, root)["a"]


def test_later_layers_win(root):
    default = SceneConfig(input={"path": "-"})
    preset = resolved(root, {}, preset="demo_planes")
    top = resolved(root, {}, preset="demo_planes", train={"steps": 11})
    own = resolved(root, {"train": {"steps": 12}}, preset="demo_planes", train={"steps": 11, "rays": 13})
    assert default.train.steps != PRESETS["demo_planes"]["train"]["steps"]
    assert preset.train.steps == PRESETS["demo_planes"]["train"]["steps"]
    assert top.train.steps == 11
    # The top level's other keys and the preset's remain.
    assert (own.train.steps, own.train.rays) == (12, 13)
    assert own.train.motion_rays == PRESETS["demo_planes"]["train"]["motion_rays"]


def test_a_scene_has_its_own_preset(root):
    scene = resolved(root, {"preset": "saff"}, preset="demo_planes")
    assert scene.preset == "saff"
    assert scene.field.kind == "mlp"
    assert scene.sampling.pixel_centre == 0


def test_scenes_do_not_share_settings(root):
    content = {
        "scenes": {
            name: {"input": {"path": "clip.mp4"}, "train": {"steps": steps}} for name, steps in (("a", 1), ("b", 2))
        }
    }
    scenes = load_config(content, root)
    assert [scenes[name].train.steps for name in "ab"] == [1, 2]


def test_lists_replace():
    assert merge({"a": [1, 2], "b": {"c": 1}}, {"a": [3], "b": {"d": 2}}) == {"a": [3], "b": {"c": 1, "d": 2}}


def test_merge_leaves_its_arguments_alone():
    base, over = {"a": {"b": [1]}}, {"a": {"c": [2]}}
    result = merge(base, over)
    result["a"]["b"].append(5)
    result["a"]["c"].append(5)
    assert (base, over) == ({"a": {"b": [1]}}, {"a": {"c": [2]}})


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_resolve(root, preset):
    scene = resolved(root, {}, preset=preset)
    for section, values in PRESETS[preset].items():
        for key, value in values.items():
            assert getattr(getattr(scene, section), key) == value


def test_published_presets_keep_the_published_numbers(root):
    """NSFF's and SAFF's settings (docs/differences.md)."""
    for preset in ("nsff", "saff"):
        scene = resolved(root, {}, preset=preset)
        assert (scene.field.depth, scene.field.width, scene.field.position_frequencies) == (8, 256, 10)
        assert (scene.train.learning_rate, scene.train.steps, scene.sampling.samples) == (5e-4, 360_000, 128)
        assert scene.canonical.resize_height == 288
        assert scene.sampling.pixel_centre == 0
    assert not resolved(root, {}, preset="nsff").field.features
    views = {name: resolved(root, {}, preset=name).render.canonical_views for name in PRESETS}
    usual = ("demo", "fast", "gaussians", "planes", "demo_planes", "nsff")
    assert views == dict.fromkeys(usual, "training") | {"saff": "auto"}
    assert resolved(root, {"overlays": ["on_saff"]}, preset="saff").render.canonical_views == "saff"
    saff = resolved(root, {}, preset="saff")
    assert (saff.losses.w_features, saff.losses.w_saliency) == pytest.approx((0.04, 0.04))
    # docs/methods.md#feature-pyramid: raw colours, one vote a window, a feature for every pixel, 64 components.
    features = saff.features
    assert (features.pyramid, features.imagenet_normalisation, features.stride) == ("online", False, 1)
    assert (features.components, features.short_side, features.sample_interval) == (64, 128, 100)


# --- overlays, relative to SAFF's published setting _4 (docs/methods.md#published-configurations) --------------------
@pytest.mark.parametrize(("name", "changes"), [
    ("_0", {"field": {"features": False, "saliency": False}, "losses": {"w_features": 0, "w_saliency": 0}}),
    ("_0_nodep", {"field": {"features": False, "saliency": False},
                  "losses": {"w_features": 0, "w_saliency": 0, "w_depth": 0}}),
    ("_0_norig", {"field": {"features": False, "saliency": False, "dynamic_only": True},
                  "losses": {"w_features": 0, "w_saliency": 0}}),
    ("_2", {"field": {"saliency": False}, "losses": {"w_saliency": 0}, "features": {"pyramid": "single"}}),
    ("_3", {"features": {"pyramid": "single"}}),
    ("_4", {}),
    ("_4_nodep", {"losses": {"w_depth": 0}}),
    ("_4_norig", {"field": {"dynamic_only": True}}),
    ("_5", {"losses": {"decay_extra": True}}),
    ("_6", {"features": {"pyramid": "offline", "saliency_weights": (0, 0, 1)}}),
    ("_7", {"features": {"pyramid": "offline"}}),
    ("_old", {"features": {"pyramid": "offline", "pyramid_weights": (0.4, 0.4, 0.2)}}),
    ("_nosal", {"field": {"saliency": False}, "losses": {"w_saliency": 0}}),
    ("additive", {"field": {"composition": "additive"}}),
    ("released_masks", {
        "decompose": {"cleaning": "none", "merge_chains": "one_step"},
        "crf": {"depth_weight": 30, "depth_sigma": 40, "rgb_weight": 20, "rgb_sigma": 20},
    }),
    ("motion_vote", {"decompose": {"motion_threshold": 0.07}}),
    ("points", {"decompose": {"source": "points", "saliency_threshold": 0.11}}),
    ("images", {
        "decompose": {"source": "images"}, "features": {"pyramid": "single", "imagenet_normalisation": True},
    }),
])  # fmt: skip
def test_each_overlay_changes_what_it_says_and_nothing_else(root, name, changes):
    plain, laid = (resolved(root, own, preset="saff").model_dump() for own in ({}, {"overlays": [name]}))
    assert laid.pop("overlays") == [name]
    for section, values in plain.items():
        if section != "overlays":
            assert laid[section] == (values | changes.get(section, {}) if isinstance(values, dict) else values)


def test_overlays_lie_between_preset_and_sections(root):
    scene = resolved(root, {"overlays": ["_4_nodep", "_5"]}, preset="saff", losses={"decay_extra": False})
    assert (scene.losses.w_depth, scene.losses.decay_extra) == (0, False)
    top = {"preset": "saff", "overlays": ["_nosal"]}
    assert not resolved(root, {}, **top).field.saliency
    assert resolved(root, {"overlays": []}, **top).field.saliency
    assert not resolved(root, {}, **top).has_objects


def test_unknown_overlays_are_named(root):
    with pytest.raises(ConfigError, match=r"(?s)scenes\.a\.overlays: unknown overlay '_4_nodepth'.*'_4_nodep'"):
        resolved(root, {"overlays": ["_4_nodepth"]})
    with pytest.raises(ConfigError, match=r"overlays"):
        resolved(root, {"overlays": "_4"})
    assert set(OVERLAYS) == set(MEANINGS) == set(OverlayName.__args__)


def test_settings_survive_json(root):
    """Rules hand sections to scripts as JSON."""
    scene = resolved(root, {}, preset="saff")
    assert SceneConfig.model_validate(json.loads(scene.model_dump_json())) == scene


def test_every_key_is_documented():
    for name, field in SceneConfig.model_fields.items():
        assert field.description, name
    for name, field in StagesConfig.model_fields.items():
        for key, inner in field.annotation.model_fields.items():
            assert inner.description, f"{name}.{key}"


def test_generated_files_are_in_step(repo):
    for path, text in generated().items():
        assert (repo / path).read_text(encoding="utf-8") == text, f"{path}: run `make schema`"


def test_schema_accepts_the_repositorys_configuration(repo):
    content = yaml.safe_load((repo / "config.yaml").read_text())
    jsonschema.Draft202012Validator(schema()).validate(content)
    assert list(load_config(content, repo)) == ["demo"]


@pytest.mark.parametrize(
    "content",
    [
        {"scenes": {"a": {"input": {}}}},
        {"scenes": {"a": {"input": {"path": "x"}, "trian": {}}}},
        {"scenes": {"a": {"input": {"path": "x"}, "train": {"steps": "many"}}}},
        {"preset": "fats", "scenes": {"a": {"input": {"path": "x"}}}},
    ],
)
def test_schema_refuses_what_the_models_refuse(content):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(content)


def test_options_of_a_kind_of_model_go_with_it():
    """Preset demo has some: they join those of the user, and another kind gets none of them."""

    def model(**own):
        return resolve_scene("x", {"input": {"path": "x"}, "model": own}, "demo", {}).model

    assert model(options={"reach": 3}).options == {**model().options, "reach": 3} != {"reach": 3}
    assert model(kind="ray_fields").options == {}
    assert model(kind="tests.models.toy_points", options={"count": 3}).options == {"count": 3}
    below = {"model": {"options": {"reach": 3}}}
    found = resolve_scene("x", {"input": {"path": "x"}, "model": {"kind": "gaussians"}}, "fast", below)
    assert found.model.options == {"reach": 3}
