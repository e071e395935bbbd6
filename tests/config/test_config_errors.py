"""Mistakes in a configuration: each names the key, the value, what is allowed, and the nearest valid word."""

import pytest

from nsff.config import load_config
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


@pytest.mark.parametrize(
    ("more", "subject", "words"),
    [
        ({"train": {"steps": "many"}}, "scenes.a.train.steps", ["integer", "'many'", "Optimisation steps"]),
        ({"train": {"steps": 0}}, "scenes.a.train.steps", ["greater than or equal to 1", "value 0", "20000"]),
        ({"train": {"steps": 2.5}}, "scenes.a.train.steps", ["integer", "2.5"]),
        ({"train": 3}, "scenes.a.train", ["holds no mapping", "value 3"]),
        ({"field": {"kind": "mpl"}}, "scenes.a.field.kind", ["'mlp' or 'planes'", "'mpl'", "did you mean 'mlp'?"]),
        ({"render": {"paths": ["viw"]}}, "scenes.a.render.paths.0", ["'viw'", "did you mean 'view'?"]),
        ({"evaluation": [{"protocol": "mask"}]}, "scenes.a.evaluation.0.protocol", ["did you mean 'masks'?"]),
        ({"crf": {"ground_truth_probability": 1.0}}, "scenes.a.crf.ground_truth_probability", ["less than 1"]),
        ({"preset": "fats"}, "scenes.a.preset", ["'fats'", "did you mean 'fast'?", "demo, fast, nsff, saff"]),
    ],
)
def test_wrong_values(root, more, subject, words):
    error = refused(root, {"scenes": {"a": scene(**more)}})
    assert error.subject == subject
    for word in words:
        assert word in str(error)


@pytest.mark.parametrize(
    ("more", "words"),
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
def test_impossible_combinations(root, more, words):
    error = refused(root, {"scenes": {"a": scene(**more)}})
    assert error.subject == "scenes.a"
    for word in words:
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
    ("text", "words"),
    [("scenes: [unclosed", "is not YAML"), ("- a list", "holds no mapping"), (None, "no such file")],
)
def test_unusable_files(tmp_path, text, words):
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    error = refused(tmp_path, path)
    assert error.subject == str(path)
    assert words in error.problem
