"""Settings under their earlier names: understood everywhere, told, and no reason to make results again."""

import json

import pytest

from nsff.config import load_config
from nsff.config.base import model_at
from nsff.config.changes import with_changes
from nsff.config.project import SceneConfig
from nsff.config.renamed import RENAMED, notes_on_names, with_earlier_names, with_present_names
from nsff.errors import ConfigError
from nsff.workflow.scene_plan import ScenePlan

VALUES = {
    "motion.memory": 2, "motion.fill_radius": 5, "losses.w_hidden": 0.25, "losses.hidden_margin": 0.5,
    "decompose.part_things": False, "extract.hidden": False,
}  # fmt: skip


def settings(tmp_path, own, **sections):
    (tmp_path / "clip.mp4").touch()
    scene = {"preset": "fast", "input": {"path": "clip.mp4"}, **own}
    return load_config({"scenes": {"clip": scene}, **sections}, tmp_path)["clip"]


def value_of(config, key):
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def nested(values):
    found = {}
    for key, value in values.items():
        section, name = key.split(".")
        found.setdefault(section, {})[name] = value
    return found


def test_every_earlier_name_has_a_present_one_and_is_no_key_itself():
    assert VALUES.keys() == RENAMED.keys()
    for old, new in RENAMED.items():
        section, name = new.split(".")
        fields = model_at(SceneConfig, [section]).model_fields
        assert name in fields
        assert old.split(".")[1] not in fields


@pytest.mark.parametrize("place", ["scene", "top", "--set"])
def test_earlier_names_mean_the_present_ones(tmp_path, place):
    if place == "scene":
        found = settings(tmp_path, nested(VALUES))
    elif place == "top":
        found = settings(tmp_path, {}, **nested(VALUES))
    else:
        changes = with_changes({}, [f"{key}={json.dumps(value)}" for key, value in VALUES.items()])
        found = settings(tmp_path, changes)
    assert {key: value_of(found, RENAMED[key]) for key in VALUES} == VALUES


def test_a_scene_s_present_name_wins_over_an_earlier_one_for_all(tmp_path):
    found = settings(tmp_path, {"motion": {"temporal_propagation": 7}}, motion={"memory": 2})
    assert found.motion.temporal_propagation == 7


def test_both_names_at_once_are_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"motion\.memory.*earlier name of motion\.temporal_propagation"):
        settings(tmp_path, {"motion": {"memory": 1, "temporal_propagation": 2}})


def test_what_is_no_mapping_is_left_to_the_checks():
    assert with_present_names({"motion": 3, "scenes": {"a": 1}}) == {"motion": 3, "scenes": {"a": 1}}
    assert notes_on_names({"motion": 3, "scenes": {"a": 1}}) == []


def test_notes_name_both(tmp_path):
    content = {"motion": {"memory": 1}, "scenes": {"a": {"extract": {"hidden": True}}}}
    assert notes_on_names(content) == [
        "motion.memory is now called motion.temporal_propagation; both names work.",
        "extract.hidden is now called extract.occluded; both names work.",
    ]
    assert notes_on_names(with_present_names(content)) == []


def test_what_the_workflow_records_has_the_earlier_names(tmp_path):
    # Else the results of every scene would be made again.
    plan = ScenePlan("clip", settings(tmp_path, nested(VALUES)))
    for stage in ("motion", "train", "postprocess", "extract"):
        recorded = json.loads(plan.options_text(stage))
        for key, value in VALUES.items():
            section, name = key.split(".")
            assert RENAMED[key].split(".")[1] not in recorded.get(section, {})
            if name in recorded.get(section, {}):
                assert recorded[section][name] == value
    told = plan.options("motion")["motion"]
    assert list(with_earlier_names({"motion": told})["motion"]) == [
        {"temporal_propagation": "memory", "hole_filling_radius": "fill_radius"}.get(name, name) for name in told
    ]
