"""The registry of terms, their schedules, and what `nsff explain losses` prints of them against what is trained."""

import ast
import doctest
import inspect
import sys

import pytest
import torch

from nsff.cli import main
from nsff.config import PRESETS, LossConfig, resolve_scene
from nsff.models.ray_fields import explain, terms
from nsff.models.ray_fields.explain import explained, term_rows, timeline
from nsff.models.ray_fields.objective import Objective
from nsff.models.ray_fields.terms import depth, means, registry, schedules
from nsff.models.ray_fields.terms.appearance import DynamicRgb, Rgb
from nsff.models.ray_fields.terms.schedules import CHAINED, MASKED, AtUpdates, Decays, Fades
from nsff.models.ray_fields.terms.setup import Setup
from nsff.models.supervision import TrainingData
from nsff.training.run import build_model

RAY_FIELDS = sorted(set(PRESETS) - {"demo", "gaussians", "planes"})
"""Presets of ray fields; planes is what fast is."""

S, STEPS = 4, 40
"""Of the small trainings: a decay period, and all steps."""
BOUNDARIES = [0, 1, S - 1, S, S + 1, 2 * S - 1, 2 * S, 2 * S + 1, 3 * S, 27, 28, STEPS - 1]
SMALL = {
    "field": {"width": 8, "depth": 5, "position_frequencies": 2, "direction_frequencies": 1}
    | {"plane_resolutions": [8], "dynamic_resolutions": [8], "motion_resolution": 4, "hidden": 8},
    "sampling": {"samples": 8, "coarse_samples": 8},
    "train": {"steps": STEPS, "steps_for_frames": 0, "device": "cpu"},
}


def settings(preset, **losses):
    own = {"input": {"path": "x"}, **SMALL, "losses": {"decay_steps": S, "decay_by_frames": False, **losses}}
    return resolve_scene("tiny", own, preset, {})


@pytest.fixture
def objective(tiny_scene):
    """The function make(config) -> (Objective, a batch of 40 rays and 16 from the motion masks)."""
    scene = tiny_scene()

    def make(config):
        data = TrainingData(scene, config.field, config.train, config.sampling.pixel_centre, torch.device("cpu"))
        model = build_model(scene, config, data)
        area = data.height * data.width
        moving = data.moving[2].flatten().nonzero()[:16, 0]
        index = 2 * area + torch.cat([torch.arange(0, area, area // 40)[:40], moving])
        return Objective(model, data, config.losses, config.train), data.gather(index, 40)

    return make


# --- the registry ----------------------------------------------------------------------------------------------------
def test_terms_are_added_up_in_this_order():
    """Sums of floating-point numbers, and random draws, depend on it. New terms may stand between these."""
    names = "rgb features saliency depth surface distortion plane_smooth entropy static_rgb dynamic_mask occluded"
    names += " dynamic_rgb dynamic_features dynamic_saliency depth flow cycle scene_flow disocclusion smooth"
    assert [term.name for term in registry.all_terms() if term.name in names.split()] == names.split()


def test_a_name_is_that_of_its_weight_and_every_weight_has_a_term():
    weights = {name for name in LossConfig.model_fields if name.startswith("w_")} - {"w_warp"}
    assert {term.weight for term in registry.all_terms()} == weights
    for term in registry.all_terms():
        alone = isinstance(term, DynamicRgb)
        assert term.name == ("dynamic_" if alone else "") + term.weight.removeprefix("w_")


def test_every_term_says_what_it_does_and_whose_it_is():
    for term in registry.all_terms():
        assert term.does and term.source, term.name
        assert type(term).__doc__, term.name
        public = [inspect.getdoc(part) for part in (type(term), sys.modules[type(term).__module__])]
        assert all(public), term.name


def test_a_new_term_is_one_file(tmp_path, monkeypatch, objective, repo):
    """The example of docs/extending.md. The weight of the entropy, which additive fields do not have, stands in for its
    own."""
    section = (repo / "docs" / "extending.md").read_text().partition("## A new loss term")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    assert code.count('name = "opaque"') == 1
    (tmp_path / "opaque_rays.py").write_text(code.replace('name = "opaque"', 'name = "entropy"'))
    monkeypatch.setattr(terms, "__path__", [*terms.__path__, str(tmp_path)])
    registry.all_terms.cache_clear()
    try:
        make, batch = objective(settings("demo_planes", w_entropy=2.0, decay_depth=True))
        found = {step: float(make(batch, step, None)[0]["entropy"].detach()) for step in (0, S)}
        assert found[S] == pytest.approx(0.1 * found[0]) != 0
        assert make.stage(0) != make.stage(S)
        row = next(row for row in term_rows(make.setup, S) if row.does == "rays are opaque")
        assert row.effective == pytest.approx(0.2)
    finally:
        registry.all_terms.cache_clear()
        sys.modules.pop(f"{terms.__name__}.opaque_rays", None)


# --- schedules -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("preset", RAY_FIELDS)
def test_the_stage_changes_where_factors_change_that_no_tensor_tells(preset, objective):
    make, _ = objective(settings(preset, decay_extra=True))
    setup = make.setup

    def state(step):
        decays = [t.factor(setup, step) for t in registry.present_terms(setup) if isinstance(t.schedule, Decays)]
        return [*decays, MASKED.has_begun(setup, step), CHAINED.has_begun(setup, step)]

    for step in range(1, STEPS):
        assert (make.stage(step) != make.stage(step - 1)) == (state(step) != state(step - 1)), step


def test_schedules_by_hand():
    setup = Setup.of_config(settings("demo_planes", decay_depth=True, surface_fade=0.5, surface_floor=0.2))
    assert [Decays("decay_depth").factor(setup, step) for step in (3, 4, 8)] == [1.0, 0.1, 0.01]
    assert [Decays("decay_flow").factor(setup, step) for step in (3, 4, 8)] == [1.0, 1.0, 1.0]
    fades = Fades("surface_fade", "surface_floor")
    assert [fades.factor(setup, step) for step in (0, 10, 16, 30)] == [1.0, 0.5, pytest.approx(0.2), 0.2]
    assert fades.factor(setup, 0, torch.tensor(0.25)).item() == 0.5
    assert fades.changes(setup) == {16: "times 0.2, the floor"}
    every3 = Setup.of_config(settings("demo_planes"), planes_every=3)
    assert [AtUpdates().multiplier(every3, step, dynamic=True) for step in range(4)] == [0, 0, 3, 0]
    assert [AtUpdates().multiplier(every3, step, dynamic=False) for step in range(4)] == [1, 1, 1, 1]


# --- what is printed and what is trained -----------------------------------------------------------------------------
@pytest.mark.parametrize("preset", RAY_FIELDS)
def test_what_settings_say_is_what_the_model_and_the_scene_say(preset, objective):
    config = settings(preset)
    assert objective(config)[0].setup == Setup.of_config(config)


@pytest.mark.parametrize("preset", RAY_FIELDS)
@pytest.mark.parametrize("step", BOUNDARIES)
def test_printed_factors_are_those_the_objective_applies(preset, step, objective):
    """Against the same objective with every weight at 1 and no schedule for weights, at the same step."""
    config = settings(preset, decay_extra=preset == "saff")
    make, batch = objective(config)
    ones = {name: 1.0 for name in LossConfig.model_fields if name.startswith("w_") and getattr(config.losses, name)}
    flat = {"decay_depth": False, "decay_flow": False, "decay_extra": False, "surface_floor": 1.0, "mask_floor": 1.0}
    plain = Objective(make.model, make.data, config.losses.model_copy(update=ones | flat), config.train)
    rows = {row.name: row for row in term_rows(make.setup, step)}
    found, unweighted = make(batch, step, None)[0], plain(batch, step, None)[0]
    assert set(found) == {name for name, row in rows.items() if not row.absent}
    for name, value in found.items():
        if float(unweighted[name].detach()):
            ratio = float(value.detach()) / float(unweighted[name].detach())
            assert ratio == pytest.approx(rows[name].effective, rel=1e-5), name
    make.progress = torch.tensor(step / STEPS)
    recorded = make(batch, step, None)[0]
    for name, value in recorded.items():
        torch.testing.assert_close(value, found[name], rtol=1e-5, atol=0)


def test_timeline_of_saff():
    setup = Setup.of_config(resolve_scene("a", {"input": {"path": "x"}}, "saff", {}))
    found = timeline(setup)
    assert found[0] == (30_000, "depth, flow: times 0.1")
    assert found[1] == (30_001, f"dynamic_rgb, dynamic_features, dynamic_saliency: {MASKED.what}")
    assert (60_001, f"dynamic_rgb, dynamic_features, dynamic_saliency: {CHAINED.what}") in found


# --- the command -----------------------------------------------------------------------------------------------------
def printed(capsys, *arguments):
    assert main(["explain", "losses", *arguments]) == 0
    return capsys.readouterr().out


def test_explain_at_a_step(capsys):
    lines = printed(capsys, "--preset", "saff", "--step", "40000").splitlines()
    assert lines[:2] == ["preset saff", "step 40,000 of 360,000, decay period 30,000 steps"]
    depth = next(line for line in lines if line.startswith("depth "))
    assert depth.split() == ["depth", "w_depth", "0.04", "0.1", "0.004", "falls", "tenfold", "every", "30,000", "steps"]
    assert "NSFF, equation 11 (L_z)" in lines[lines.index(depth) + 1]
    assert any(line.split()[:3] == ["occluded", "losses.w_occluded", "is"] for line in lines)


def test_explain_goes_by_the_frames_of_the_clip(capsys):
    text = printed(capsys, "--preset", "saff", "--frames", "48", "--step", "47999")
    assert "decay period 48,000 steps" in text and "--frames says" not in text
    text = printed(capsys, "--preset", "fast", "--frames", "60")
    assert "planes of the dynamic field every 2 steps, 2 times as strong" in text
    assert "falls in a straight line to 0.1 at step 9,450" in text


def test_explain_a_scene_of_a_file(tmp_path, capsys):
    path = tmp_path / "config.yaml"
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"")
    path.write_text("scenes:\n  a: {input: {path: a.mp4}, preset: demo_planes, losses: {w_flow: 0.5}}\n"
                    "  b: {input: {path: b.mp4}, preset: nsff}\n")  # fmt: skip
    assert "w_flow 0.5" in printed(capsys, "--config", str(path), "--scene", "a")
    assert main(["explain", "losses", "--config", str(path)]) == 1
    assert "give one of: a, b" in capsys.readouterr().err
    path.write_text("scenes:\n  a: {input: {path: a.mp4}, preset: demo_planes}\n")
    assert "preset demo_planes" in printed(capsys, "--config", str(path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "saff", "--step", "360000"], "give one from 0 to 359999"),
        (["--preset", "saf"], "unknown preset 'saf'"),
        (["--frames", "0"], "is not a number of frames"),
        (["--scene", "a"], "name its file with --config"),
        (["--config", "x.yaml", "--preset", "demo_planes"], "leave out --preset"),
        (["--set", "losses.w_flw=1"], "w_flow"),
    ],
)
def test_explain_tells_what_is_wrong(arguments, message, capsys):
    assert main(["explain", "losses", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_many_changes_are_counted():
    setup = Setup.of_config(settings("nsff", decay_steps=1))
    assert f"... and {len(timeline(setup)) - 20} more" in explained(setup)


def test_two_terms_of_one_name_are_an_error(monkeypatch):
    monkeypatch.setattr(registry, "all_terms", lambda: (Rgb(), Rgb()))
    with pytest.raises(ValueError, match="several loss terms are named rgb"):
        registry.present_terms(Setup.of_config(settings("demo_planes")))


@pytest.mark.parametrize("module", [explain, schedules, means, depth])
def test_examples_are_right(module):
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0


def test_terms_wait_for_nothing():
    """No term copies from the host or waits for the device in a recorded step: no call in the folder does."""
    forbidden = {"item", "tolist", "cpu", "nonzero", "numpy", "tensor", "from_numpy"}
    for term in registry.all_terms():
        tree = ast.parse(inspect.getsource(sys.modules[type(term).__module__]))
        called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = {function.attr for function in called if isinstance(function, ast.Attribute)}
        assert not names & forbidden, (type(term).__module__, names & forbidden)
