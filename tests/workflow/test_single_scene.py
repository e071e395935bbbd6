"""``nsff run`` without Snakemake: the first look at a clip, what is chosen for a machine, and what it costs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from nsff.cli import main
from nsff.config import load_config, resolve_scene
from nsff.errors import ConfigError, InputError
from nsff.machine.overview import Gpu, Machine
from nsff.workflow.choices import Asked, choose, scene_name, write_config
from nsff.workflow.clip import NO_PARALLAX, ClipLook, look_at
from nsff.workflow.costs import costs_of, slow_notes
from nsff.workflow.single_scene import SingleScene
from nsff.workflow.target_names import checked_targets, stages_for, unknown_target

SMALL = Machine(2, 16.0, 50.0)
LARGE = Machine(16, 128.0, 500.0, (Gpu("NVIDIA H200", 139.0, "580.0"),))


def write_shot(folder: Path, first: int, count: int, seed: int, height: int = 90, width: int = 160) -> None:
    """A pan over a texture of its own."""
    noise = np.random.default_rng(seed).uniform(0, 255, (height + 20, width + 8 * count, 3))
    texture = cv2.GaussianBlur(noise, (0, 0), 1.5)
    texture = np.clip((texture - texture.mean()) * 6 + 128, 0, 255).astype(np.uint8)
    for i in range(count):
        cv2.imwrite(str(folder / f"{first + i:03d}.png"), texture[:height, 4 * i : 4 * i + width])


@pytest.fixture(scope="module")
def two_shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips") / "two shots"
    folder.mkdir()
    write_shot(folder, 0, 8, seed=1)
    write_shot(folder, 8, 12, seed=2)
    return folder


def seen(**changes) -> ClipLook:
    values = dict(
        path=Path("clip.mp4"), kind="video", count=24, rate=30.0, rate_known=True, size=(1080, 1920), start=0, end=None,
        stride=1, frames=24,
    )  # fmt: skip
    return ClipLook(**values | changes)


def test_the_longest_shot_is_taken(two_shots: Path):
    look = look_at(two_shots, 48)
    assert look.shots == ((0, 8), (8, 20))
    assert (look.start, look.end, look.stride, look.frames) == (8, None, 1, 12)
    assert not look.whole
    assert look.size == (90, 160)
    assert "160x90, 20 frames" in look.described()
    # A pan over a plane: everything moves, and one homography says how.
    assert look.shift == pytest.approx(4 * 24 / 160, rel=0.1)
    assert look.parallax < NO_PARALLAX


def test_what_is_asked_for_bounds_the_choice(two_shots: Path):
    look = look_at(two_shots, 3, start=1, end="0.25s")
    assert (look.start, look.end, look.stride, look.frames) == (1, 6, 2, 3)
    with pytest.raises(InputError, match="no frame and no time"):
        look_at(two_shots, 3, start="soon")
    with pytest.raises(InputError, match="leave"):
        look_at(two_shots, 3, start=40)


def test_frames_that_show_nothing_are_left_out(tmp_path: Path):
    """A black leader, a black tail, and a black frame in between, which no feature can bridge otherwise."""
    folder = tmp_path / "leader"
    folder.mkdir()
    write_shot(folder, 4, 12, seed=1)
    for i in (0, 1, 2, 3, 9, 16, 17):
        cv2.imwrite(str(folder / f"{i:03d}.png"), np.full((90, 160, 3), 16, np.uint8))
    look = look_at(folder, 48)
    assert (look.start, look.end, look.skip, look.frames, look.bare) == (4, 16, (9,), 11, 6)
    assert look.complaints == ("90 rows are few: features will be hard to find",)
    choice = choose(look, "leader", SMALL, Asked(), tmp_path)
    assert choice.content["scenes"]["leader"]["input"] == {"path": "leader", "start": 4, "end": 16, "skip": [9]}
    assert "11 frames: source frames 4 to 15, without 7 that show nothing" in choice.reasons[1]


def test_complaints_are_of_the_frames_that_are_taken(tmp_path: Path):
    folder = tmp_path / "shots"
    folder.mkdir()
    write_shot(folder, 0, 8, seed=1)
    write_shot(folder, 8, 16, seed=2)
    for i in (3, 15):
        cv2.imwrite(str(folder / f"{i:03d}.png"), cv2.imread(str(folder / f"{i - 1:03d}.png")))
    cv2.imwrite(str(folder / "006.png"), cv2.GaussianBlur(cv2.imread(str(folder / "006.png")), (0, 0), 4))
    look = look_at(folder, 48)
    assert look.start == 8
    assert look.complaints[0].startswith("1 frame (source frame 15) repeats the one before;")
    assert len(look.complaints) == 2 and "rows are few" in look.complaints[1]


def test_a_camera_that_stands_still(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "tripod"
    folder.mkdir()
    write_shot(folder, 0, 1, seed=1)
    picture = cv2.imread(str(folder / "000.png"))
    for i in range(8):
        noise = np.random.default_rng(i).normal(0, 3, picture.shape)
        frame = np.clip(picture + noise, 0, 255).astype(np.uint8)
        frame[30:50, 10 * i : 10 * i + 20] = 255
        cv2.imwrite(str(folder / f"{i:03d}.png"), frame)
    scene = SingleScene(folder, Asked(), tmp_path, "nsff run", SMALL)
    assert scene.run([], [], None, config_only=False, dry_run=True, question=False) == 0
    text = capsys.readouterr().out
    assert "the camera seems to stand still: walk around the scene" in text
    assert "by sfm: {still: accept} in tripod.yaml" in text
    assert "seems to turn" not in text


def test_too_few_frames_say_so(tmp_path: Path, two_shots: Path):
    folder = tmp_path / "one"
    folder.mkdir()
    write_shot(folder, 0, 1, seed=1)
    with pytest.raises(InputError, match="has 1 frame") as refused:
        look_at(folder, 48)
    assert "24 frames or more" in refused.value.remedy
    with pytest.raises(InputError, match="start 19 leave 1 of 20 frames") as refused:
        look_at(two_shots, 48, start=19)
    assert "--start" in refused.value.remedy


def test_the_whole_of_a_short_clip(repo: Path):
    look = look_at(repo / "demo" / "video.mp4", 48)
    assert look.whole
    assert (look.frames, look.size) == (24, (180, 320))
    assert look.parallax > 10 * NO_PARALLAX


def test_a_preset_for_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nsff.workflow.choices.gaussians_work", lambda: False)
    assert choose(seen(), "clip", SMALL, Asked(), tmp_path).content["preset"] == "demo"
    without = choose(seen(), "clip", LARGE, Asked(), tmp_path)
    assert without.content["preset"] == "fast"
    assert "nsff build-rasteriser" in without.reasons[0]
    monkeypatch.setattr("nsff.workflow.choices.gaussians_work", lambda: True)
    assert choose(seen(), "clip", LARGE, Asked(), tmp_path).content["preset"] == "gaussians"
    assert choose(seen(), "clip", SMALL, Asked(), tmp_path).content["preset"] == "demo"
    assert choose(seen(), "clip", LARGE, Asked(preset="nsff"), tmp_path).content["preset"] == "nsff"
    with pytest.raises(ConfigError, match="unknown preset"):
        choose(seen(), "clip", SMALL, Asked(preset="quick"), tmp_path)


def test_upright_pictures_have_as_many_pixels(tmp_path: Path):
    upright = choose(seen(size=(1920, 1080)), "clip", LARGE, Asked(), tmp_path).content["scenes"]["clip"]
    rows = upright["canonical"]["resize_height"]
    assert rows == 512
    assert rows * rows * 9 / 16 == pytest.approx(288 * 288 * 16 / 9, rel=0.01)
    assert "canonical" not in choose(seen(), "clip", LARGE, Asked(), tmp_path).content["scenes"]["clip"]
    asked = choose(seen(), "clip", LARGE, Asked(height=360), tmp_path).content["scenes"]["clip"]
    assert asked["canonical"] == {"resize_height": 360}


def test_names_of_files_become_names_of_scenes(tmp_path: Path):
    assert scene_name(Path("a/Strange name (1).mov")) == "Strange_name_1"
    assert scene_name(Path("logs.mp4")) == "logs_scene"
    assert scene_name(tmp_path) == tmp_path.name


def test_a_configuration_is_never_overwritten(tmp_path: Path):
    (tmp_path / "clip.mp4").write_bytes(b"")
    path = tmp_path / "clip.yaml"
    choice = choose(seen(path=tmp_path / "clip.mp4", stride=2, start=3, end=30), "clip", SMALL, Asked(), tmp_path)
    assert write_config(path, choice, "nsff run clip.mp4")
    text = path.read_text()
    assert yaml.safe_load(text) == {
        "preset": "demo",
        "scenes": {"clip": {"input": {"path": "clip.mp4", "start": 3, "end": 30, "stride": 2}}},
    }
    assert load_config(path, tmp_path)["clip"].input.stride == 2
    assert not write_config(path, choice, "nsff run clip.mp4 --yes")
    path.write_text(text + "train: {steps: 99}\n")
    assert not write_config(path, choice, "nsff run clip.mp4")  # edited, and not contradicted
    path.write_text(text)
    other = choose(seen(path=tmp_path / "clip.mp4", stride=3), "clip", SMALL, Asked(), tmp_path)
    with pytest.raises(ConfigError, match=r"scenes\.clip\.input\.stride is 2, not 3"):
        write_config(path, other, "nsff run clip.mp4")
    assert path.read_text() == text


def test_costs_are_those_that_were_measured():
    """The demo on two cores, stage by stage (Snakemake's benchmarks of 2026-11-30; pictures of planes earlier)."""
    measured = {
        "ingest": 1.6, "flow": 12.9, "coarse_masks": 7.9, "sfm": 34.1, "cameras": 5.6, "motion": 6.9, "depth": 10.5,
        "features": 8.8, "train": 411, "render_view": 100.1, "render_time": 102.4, "render_spacetime": 96.4,
        "maps": 105.1, "cluster": 15.4, "postprocess": 1.7, "crf": 8.9, "score": 131.3, "report": 4.9,
    }  # fmt: skip
    truth = [{"protocol": "views", "truth": "t"}]
    settings = resolve_scene(
        "demo", {"input": {"path": "x"}, "evaluation": truth, "page": {"enabled": False}}, "demo_planes", {}
    )
    costs = costs_of(settings, 24, (180, 320), gpu=False, cores=2)
    assert list(costs.seconds) == list(measured)
    for stage, seconds in measured.items():
        assert costs.seconds[stage] == pytest.approx(seconds, rel=0.1, abs=1.0), stage
    assert costs.disk == pytest.approx(0.36, abs=0.05)
    assert costs.memory == pytest.approx(1.6, abs=0.1)


def test_costs_of_gaussians_on_a_cpu():
    """`make demo` of 2026-11-30, two idle cores: 287 s from the start of ingest to the end of the report."""
    truth = [{"protocol": "views", "truth": "t"}]
    settings = resolve_scene("demo", {"input": {"path": "x"}, "evaluation": truth}, "demo", {})
    costs = costs_of(settings, 24, (180, 320), gpu=False, cores=2)
    for stage, seconds in {"train": 107, "render_view": 12, "page": 31.7, "cluster": 15.4, "score": 57.9}.items():
        assert costs.seconds[stage] == pytest.approx(seconds, rel=0.1), stage
    assert sum(costs.seconds.values()) == pytest.approx(362, rel=0.05)
    assert costs.total(costs.seconds) == pytest.approx(287, rel=0.05)
    one = costs_of(settings, 24, (180, 320), gpu=False, cores=1)
    assert one.total(one.seconds) == sum(one.seconds.values()) > 362


def test_costs_of_a_gpu():
    """toss with preset fast on one H200: 62 s of training, 2.7 GB (docs/benchmarks.md)."""
    costs = costs_of(resolve_scene("toss", {"input": {"path": "x"}}, "fast", {}), 24, (270, 480), gpu=True, cores=16)
    assert costs.seconds["train"] == pytest.approx(62 + 30, rel=0.1)
    assert costs.gpu_memory == pytest.approx(2.7, abs=0.1)
    more = costs_of(resolve_scene("toss", {"input": {"path": "x"}}, "fast", {}), 96, (270, 480), gpu=True, cores=16)
    assert more.seconds["train"] > 3 * costs.seconds["train"] - 90


def test_presets_for_a_gpu_warn_on_a_cpu():
    scenes = {name: resolve_scene(name, {"input": {"path": "x"}}, name, {}) for name in ("demo", "fast", "saff")}
    notes = slow_notes(scenes, gpu=False, cores=2)
    assert [note.split(":")[0] for note in notes] == ["fast", "saff"]
    assert " h on 2 processor cores" in notes[0] or " days on 2 processor cores" in notes[0]
    assert not slow_notes(scenes, gpu=True, cores=2)


def test_targets_and_their_stages():
    settings = resolve_scene("clip", {"input": {"path": "x"}}, "demo_planes", {})
    assert checked_targets(settings, "clip", ["results/clip/model/", "renders/time.mp4"]) == [
        "model",
        "renders/time.mp4",
    ]
    assert checked_targets(settings, "clip", ["cameras", "renders/view"]) == ["cameras.json", "renders/view.mp4"]
    assert stages_for(settings, ["model"])[-1] == "train"
    assert stages_for(settings, ["renders/time.mp4"])[-2:] == ["train", "render_time"]
    assert stages_for(settings, ["extracted"])[-3:] == ["maps", "cluster", "extract"]
    assert "extract" not in stages_for(settings, ["report.html"])
    with pytest.raises(InputError, match="did you mean 'model'"):
        checked_targets(settings, "clip", ["modl"])
    assert "Did you mean 'report.html'" in unknown_target("results/clip/reprot.html", {"clip": settings})
    assert "has no scene clpi" in unknown_target("results/clpi/report.html", {"clip": settings})


def test_a_dry_run_writes_nothing(two_shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    scene = SingleScene(two_shots, Asked(name="pan"), tmp_path, "nsff run", SMALL)
    assert scene.run([], [], None, config_only=False, dry_run=True, question=False) == 0
    text = capsys.readouterr().out
    assert "the longest of 2 shots" in text
    assert "preset demo" in text
    assert "seems to turn without moving" in text
    assert "results/pan/report.html" in text
    assert len(text.splitlines()) < 15
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("status", "signal"), [(0, 0), (1, 0), (1, 2)])
def test_the_command_that_goes_on_is_the_one_that_was_given(two_shots: Path, tmp_path: Path, capsys, status, signal):
    """With its targets: without them it would make all the rest."""

    def launch(run, arguments):
        run.stopped = signal
        return status

    scene = SingleScene(two_shots, Asked(name="pan"), tmp_path, "nsff run", SMALL)
    scene.run(["cameras", "flow"], [], None, config_only=False, dry_run=False, question=False, launch=launch)
    assert f"'{two_shots}' --name pan --target cameras.json --target flow\n" in capsys.readouterr().out
    SingleScene(two_shots, Asked(name="pan"), tmp_path, "nsff run", SMALL).run(
        [], [], None, config_only=False, dry_run=False, question=False, launch=launch
    )
    assert f"'{two_shots}' --name pan\n" in capsys.readouterr().out


def test_init_and_targets(two_shots: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    assert main(["init", str(two_shots), "--name", "pan", "--preset", "demo_planes", "--frames", "6"]) == 0
    assert load_config(tmp_path / "pan.yaml", tmp_path)["pan"].preset == "demo_planes"
    assert not (tmp_path / "results").exists()
    assert "nsff run" in capsys.readouterr().out
    assert main(["targets", "pan"]) == 0
    assert "renders/time.mp4" in capsys.readouterr().out
    assert main(["targets", "pam"]) == 1
    assert "no config.yaml" in capsys.readouterr().err
    assert main(["init", str(two_shots), "--name", "pan", "--frames", "5"]) == 1
    assert "says otherwise" in capsys.readouterr().err
    assert main(["run", "nothing.mp4"]) == 1
    assert "no such file or folder" in capsys.readouterr().err
    assert main(["run", "https://example.org/walk.mp4"]) == 1
    assert "download the video" in capsys.readouterr().err


def test_results_of_another_clip_are_left_alone(two_shots: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "pan").mkdir(parents=True)
    (tmp_path / "results" / "pan" / "manifest.json").write_text('{"source": {"path": "other.mp4"}}')
    assert main(["run", str(two_shots), "--name", "pan", "--yes"]) == 1
    assert "scene of another clip, other.mp4" in capsys.readouterr().err
