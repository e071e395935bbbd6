"""Scripts by hand: their help says all, they need no Snakemake, and their errors are for people."""

import os
import subprocess
import sys

import pytest

SCRIPTS = {
    "ingest": ["input.path", "input.stride"],
    "flow": ["flow.backend", "flow.consistency_relative"],
    "coarse_masks": ["motion.coarse_threshold"],
    "sfm": ["sfm.min_registered", "sfm.attempts"],
    "cameras": ["canonical.resize_height"],
    "motion": ["motion.epipolar_threshold"],
    "depth": ["depth.backend"],
    "features": ["features.components"],
    "train": ["field.kind", "sampling.samples", "losses.w_rgb", "train.steps", "--state"],
    "render": ["render.frames", "--path"],
    "maps": ["render.canonical_views"],
    "page": ["page.static_splats"],
    "points": ["decompose.point_interval"],
    "cluster": ["decompose.max_clusters"],
    "extract": ["extract.clouds"],
    "postprocess": ["decompose.morphology_iterations"],
    "crf": ["crf.iterations"],
    "score": ["evaluation", "score.variants"],
    "report": ["report.frames"],
    "collect_scores": ["--out"],
    "overview": ["--out"],
    "reproduce": ["--out", "--protocol", "--table"],
}


def run(repo, folder, environment, name, *arguments):
    """A script in a Python that has no Snakemake."""
    hide = folder / "hidden"
    (hide / "snakemake").mkdir(parents=True, exist_ok=True)
    (hide / "snakemake" / "__init__.py").write_text("raise ImportError('Snakemake is not to be used')\n")
    path = os.pathsep.join([str(hide), environment["PYTHONPATH"]])
    command = [sys.executable, str(repo / "scripts" / f"{name}.py"), *map(str, arguments)]
    environment = os.environ | environment | {"PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_every_script_is_listed(repo):
    files = {path.stem for path in (repo / "scripts").glob("*.py") if not path.name.startswith("_")}
    assert files == set(SCRIPTS)


def test_scripts_are_thin(repo):
    for name in SCRIPTS:
        assert len((repo / "scripts" / f"{name}.py").read_text().splitlines()) <= 40, name


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_says_all_there_is_to_say(repo, tmp_path, environment, name):
    found = run(repo, tmp_path, environment, name, "--help")
    assert found.returncode == 0, found.stderr
    for message in (*SCRIPTS[name], "--log"):
        assert message in found.stdout
    if "--out" not in SCRIPTS[name]:
        for message in ("Reads ", "Writes ", "--scene", "--options", "--set", "--threads"):
            assert message in found.stdout


def test_a_stage_by_hand(repo, tmp_path, environment, tiny_clip):
    scene = tmp_path / "by hand"
    setting = f"input.path={tiny_clip.frames_dir}"
    found = run(repo, tmp_path, environment, "ingest", "--scene", scene, "--set", setting, "--set", "input.stride=2")
    assert found.returncode == 0, found.stderr
    assert sorted(path.name for path in (scene / "frames").iterdir()) == [f"{i:05d}.png" for i in range(4)]


def test_old_names_in_a_file_for_scripts(repo, tmp_path, environment):
    (tmp_path / "own.yaml").write_text("chain_sf: true\nscenes: {scene: {input: {path: a.mp4}}}\n")
    found = run(repo, tmp_path, environment, "train", "--scene", "scene", "--config", "own.yaml")
    assert found.returncode == 1
    assert "chain_sf of NSFF and SAFF is losses.chain here." in found.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "input.path=gone.mp4"], ["gone.mp4", "no such file"]),
        (["--set", "input.pth=a.mp4", "--set", "input.path=a.mp4"], ["input.pth", "did you mean 'path'?"]),
        (["--set", "w_optical_flow=0.1", "--set", "input.path=a.mp4"], ["w_optical_flow", "is losses.w_flow here"]),
        (
            ["--set", "input.path=a.mp4", "--set", "train.N_rand=9"],
            ["train.N_rand", "N_rand of NSFF and SAFF is train.rays"],
        ),
        (["--options", "{]"], ["--options", "neither JSON nor YAML"]),
        ([], ["input.path", "--set input.path="]),
    ],
)
def test_errors_are_told_without_a_traceback(repo, tmp_path, environment, arguments, message):
    log = tmp_path / "logs" / "ingest.log"
    found = run(repo, tmp_path, environment, "ingest", "--scene", "scene", "--log", log, *arguments)
    assert found.returncode == 1
    assert "Traceback" not in found.stderr + found.stdout
    assert "error: " in found.stderr + found.stdout
    for word in message:
        assert word in log.read_text()
    assert not (tmp_path / "scene").exists()


def test_two_trainings_of_one_scene_wait_for_each_other(repo, tmp_path, environment):
    """A killed run may leave its training behind, alive; both would write the same state."""
    state = tmp_path / "results" / "state"
    code = (
        "import sys, time; sys.path.insert(0, 'scripts'); import _arguments; from pathlib import Path\n"
        "from nsff.workflow.stage_resources import exclusive_access\n"
    )
    code += "with exclusive_access(Path(sys.argv[1])): print('mine', flush=True); time.sleep(float(sys.argv[2]))"

    def start(seconds):
        return subprocess.Popen(
            [sys.executable, "-c", code, str(state), str(seconds)], cwd=repo, env=os.environ | environment,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    first = start(60)
    assert first.stdout.readline() == "mine\n"
    second = start(0)
    assert "waiting for another process" in second.stdout.readline()
    first.kill()  # the kernel frees the lock of the dead
    assert second.stdout.readline() == "mine\n"
    assert second.wait(timeout=10) == 0
    first.wait()
