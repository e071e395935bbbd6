"""``Objective`` against the published codes' own formulas: every term of the loss, and its gradients, in float64.

published_twin writes NSFF and SAFF down a second time, in their axes and from poses_bounds.npy on; published_cases runs
both sides. Cases with real cameras need ../shared; networks, pictures, flow and features are random.
"""

from pathlib import Path

import pytest
import torch
from published_cases import (
    BASE,
    CHANGES,
    FRAMES,
    NOT_PUBLISHED,
    REAL_RIGS,
    RIGS,
    SCALES,
    TIMES,
    TRAINING,
    Case,
    Step,
    compare,
    options,
    overlays,
    worlds_of,
)
from published_twin import Options

from nsff.config.overlays import OVERLAYS
from nsff.config.published import read_published

AGREEMENT = 1e-5
EVERY = [(preset, overlay) for preset in BASE for overlay in (None, *overlays(preset))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("published")


@pytest.fixture
def agrees(folder, request):
    """The function agrees(case): every term agrees, and so do its gradients."""

    def check(case: Case) -> None:
        shared = request.getfixturevalue("shared") if case.rig in REAL_RIGS else None
        wrong = {name: d for name, d in compare(case, folder, shared).items() if not d.largest <= AGREEMENT}
        assert not wrong, f"{case}: {wrong}"

    return check


STEPS = [
    Case(preset, time=time, frame=FRAMES[(n + m) % 3], scale=SCALES[(n + m) % 4])
    for m, preset in enumerate(BASE)
    for n, time in enumerate(TIMES)
]
VARIANTS = [
    Case(preset, overlay, time, FRAMES[(n + k) % 3], scale=SCALES[(n + k) % 4])
    for n, (preset, overlay) in enumerate(EVERY)
    for k, time in enumerate(("0", "S+1", "2S+2"))
]
REAL = [
    Case(preset, None, time, frame, rig, scale)
    for preset in BASE
    for rig in REAL_RIGS
    for scale, time, frame in zip(SCALES, ("S", "2S+1", "S+2", "2S+2"), (*FRAMES, "middle"), strict=True)
]
OF_OTHER_KINDS = [Case(preset, time="2S+1", rig=rig) for preset in BASE for rig in ("rounded", "long")]
NEXT_TO_ENDS = [Case(preset, time=time, frame=frame) for preset in BASE
                for time, frame in (("2S+1", "last but one"), ("2S+2", "second"))]  # fmt: skip
"""Flow leads to the first and the last frame, and the chain beyond them."""
FAR = [Case(preset, time=time, reach=5.0) for preset in BASE for time in ("1", "2S+2")]
"""Motion that leads many samples in front of the near plane and beyond infinity."""


@pytest.mark.parametrize("case", STEPS + VARIANTS + REAL + OF_OTHER_KINDS + NEXT_TO_ENDS + FAR, ids=str)
def test_every_term_is_the_published_one(case, agrees):
    agrees(case)


@pytest.mark.slow
@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize(("preset", "overlay"), EVERY)
def test_every_term_is_the_published_one_in_every_world(preset, overlay, rig, agrees):
    for case in worlds_of(preset, overlay, rig):
        agrees(case)


# --- that the comparison means what it says --------------------------------------------------------------------------
def test_every_overlay_that_changes_training_is_compared():
    changing = {name for name, sections in OVERLAYS.items() if TRAINING & set(sections)}
    assert changing == {name for changes in CHANGES.values() for name in changes} | NOT_PUBLISHED
    assert {"_3", "_4", "_7", "_old"} <= set(overlays("saff"))


WRONG = {
    ("losses", "kinetic_energy_count", 1): {"sf_sm_loss"},
    ("losses", "smooth_space", "normalised"): {"sf_sm_loss"},
    ("losses", "scene_flow_axis", "fixed"): {"sf_reg_loss"},
    ("losses", "decay_flow", False): {"flow_loss"},
    ("losses", "decay_extra", True): {"dino_loss, union", "dino_loss, dynamic", "sal_loss, union", "sal_loss, dynamic"},
    ("losses", "w_entropy", 0.0): {"entropy_loss"},
    ("losses", "warp_beyond_ends", False): {"render_loss, dynamic", "dino_loss, dynamic", "sal_loss, dynamic"},
    ("losses", "depth_full", True): {"depth_loss"},
}
"""Settings that are not the published ones, and the terms that each changes: no other, by more than the agreement."""


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong[1])
def test_the_comparison_sees_what_is_not_published(wrong, folder):
    differences = compare(Case("saff", time="2S+1", frame="last", wrong=wrong), folder)
    assert {name for name, d in differences.items() if d.largest > AGREEMENT} == WRONG[wrong]


@pytest.mark.parametrize(
    ("wrong", "rig"),
    [(("field", "view_axes", "world"), "synthetic"), (("field", "near", 0.8), "synthetic"),
     (("canonical", "focal", "exact"), "rounded")],
)  # fmt: skip
def test_the_comparison_sees_another_frame_and_other_cameras(wrong, rig, folder):
    """The view direction is met by colour alone; samples elsewhere change nearly everything."""
    differences = compare(Case("saff", rig=rig, scale=30.0, wrong=wrong), folder)
    seen = {name for name, d in differences.items() if d.largest > AGREEMENT}
    colours = {"render_loss, union", "render_loss, dynamic"}
    assert seen == colours if wrong[1] == "view_axes" else seen >= colours | {"flow_loss", "sf_sm_loss", "sf_reg_loss"}


def test_far_cases_reach_beyond_infinity_and_all_cases_see_rays_from_masks(folder):
    step = Step(FAR[0], folder, None)
    batch = step.batch()
    samples = step.model.sample(batch.rays, torch.Generator().manual_seed(11))
    answer = step.model.dynamic(samples.positions, samples.views, samples.time)
    beyond = (samples.positions + answer.flow_post)[:, : int(0.9 * samples.s.shape[1]), 2] > 1
    assert beyond.float().mean() > 0.02
    assert batch.main < len(batch.rgb)
    assert bool((batch.frame == step.i).all())


@pytest.mark.parametrize("time", ["0", "2S+1"])
def test_each_rendering_has_the_noise_the_published_code_gives_it(folder, time):
    """One draw for the blended picture and the dynamic field in it, and one for each warped rendering: with the draws
    of two renderings exchanged the terms differ."""
    step = Step(Case("saff", time=time), folder, None)
    ours, draw = step.ours()
    theirs = step.theirs(draw).terms
    gap = ours.terms["render_loss, dynamic"] / theirs["render_loss, dynamic"] - 1
    assert abs(gap.item()) < 1e-9
    drawn = [draw.ref, draw.prev, draw.post]
    assert all(0.7 < float(noise.std()) < 1.3 for noise in drawn)
    for a, b in (("ref", "prev"), ("prev", "post")):
        wrong = step.theirs(type(draw)(**{**vars(draw), a: getattr(draw, b), b: getattr(draw, a)})).terms
        change = wrong["render_loss, dynamic"] / theirs["render_loss, dynamic"] - 1
        assert abs(change.item()) > 1e-6


def file_options(path: Path) -> Options:
    """What a published configuration says of the loss."""
    values = read_published(path)
    known = {name: values.get(name, getattr(Options(), name)) for name in vars(Options()) if name != "decay_iteration"}
    for name in ("chain_sf", "decay_depth_w", "decay_optical_flow_w", "w_cycle"):
        assert name in values, f"{path} leaves {name} to the parser"
    frames = values["end_frame"] - values["start_frame"] if "start_frame" in values else values["end_frame"]
    return Options(**known, decay_iteration=min(250, max(int(values["decay_iteration"]), int(frames))))


def test_options_are_those_of_the_published_configurations(shared):
    files = shared / "published_configs"
    if not files.is_dir():
        pytest.skip("no ../shared/published_configs beside the repository")
    scenes = {"nsff_balloon1": "balloon1-2", "nsff_balloon2": "balloon2-2", "nsff_playground": "playground",
              "nsff_dynamicface": "dynamicFace-2", "nsff_jumping": "jumping", None: "truck2"}  # fmt: skip
    for overlay, scene in scenes.items():
        assert options("nsff", overlay) == file_options(files / "nsff" / f"config_{scene}.txt"), overlay
    for overlay in overlays("saff"):
        if overlay.startswith("_"):
            found = file_options(files / "saff" / f"config_balloon1-2{overlay}.txt")
            assert options("saff", overlay) == found, overlay
