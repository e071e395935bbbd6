"""The DAG of jobs without running any: who reads truth, what every rule has, targets, and the state of the files."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml

RULES = {
    "ingest", "flow", "coarse_masks", "sfm", "cameras", "motion", "depth", "features", "train", "render", "maps",
    "cluster", "postprocess", "crf", "score", "collect_scores", "report", "overview",
}  # fmt: skip
OPTIONAL = {"points", "extract", "page", "reproduce"}
"""Rules that only some settings, or who names their files, ask for."""


@pytest.fixture(scope="module")
def planned(new_project):
    """A project of two scenes that nothing was run in; their truth lies in folders of telling names."""
    project = new_project()
    for name in ("clip", "other"):
        for folder in (f"secret-{name}/views", f"secret-{name}/masks"):
            (project.folder / folder).mkdir(parents=True)
        (project.folder / f"{name}.mp4").touch()
    project.configure({
        name: {
            "input": {"path": f"{name}.mp4"},
            "evaluation": [{"protocol": p, "truth": f"secret-{name}/{p}"} for p in ("views", "masks")],
        }
        for name in ("clip", "other")
    })  # fmt: skip
    return project


@pytest.fixture(scope="module")
def jobs(planned):
    return planned.jobs()


def everything(value):
    """All texts within a value."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in everything(part)]
    if isinstance(value, list):
        return [text for part in value for text in everything(part)]
    return [value] if isinstance(value, str) else []


def test_every_rule_is_there(jobs):
    assert {job["rule"] for job in jobs} == RULES | {"all"}
    assert sum(job["rule"] == "render" for job in jobs) == 2  # TINY has one path
    assert sum(job["rule"] == "overview" for job in jobs) == 1


def test_only_scoring_reads_truth(jobs):
    """No other job has truth among its inputs, settings, or anywhere in its command."""
    readers = {job["rule"] for job in jobs if any("secret" in text for text in everything(job["input"]))}
    assert readers == {"score"}
    told = {job["rule"] for job in jobs if any("secret" in text for text in everything(job))}
    assert told == {"score"}


def test_scoring_reads_its_own_scenes_truth(jobs):
    for job in jobs:
        if job["rule"] == "score":
            name = job["wildcards"]["scene"]
            assert job["input"]["truth"] == [f"secret-{name}/views", f"secret-{name}/masks"]


def test_nothing_trained_on_follows_from_scores(jobs):
    """What scoring writes reaches only tables and pages: walks the DAG from the readers of truth."""
    tainted, before = {"score"}, set()
    made = {path: job["rule"] for job in jobs for path in everything(job["output"])}
    while tainted != before:
        before = set(tainted)
        tainted |= {
            job["rule"] for job in jobs if any(made.get(path) in tainted for path in everything(job["input"]))
        }  # fmt: skip
    assert tainted == {"score", "collect_scores", "report", "overview", "all"}


def test_every_job_has_what_a_rule_must_have(jobs):
    for job in jobs:
        if job["rule"] == "all":
            continue
        for part in ("input", "output", "params", "log"):
            assert job[part], (job["rule"], part)
        for part in ("input", "output", "params"):
            assert not [name for name in job[part] if name.isdigit()], f"{job['rule']}: {part} without names"
        assert job["log"]["0"].endswith(".log")
        assert job["benchmark"].endswith(".tsv")
        assert job["conda"].endswith(".yaml")
        assert job["threads"] >= 1
        assert {"mem_mb", "runtime"} <= set(job["resources"])
        assert job["message"]


def test_jobs_that_others_can_run_beside_leave_them_a_core(jobs):
    """The fixture plans for two cores: what waits for nothing but itself takes both, two videos get one each."""
    threads = {job["rule"]: job["threads"] for job in jobs}
    assert threads["train"] == threads["sfm"] == threads["flow"] == 2
    shared = ("depth", "features", "render", "maps", "cluster", "postprocess", "crf", "score")
    assert {threads[rule] for rule in shared} == {1}


def test_jobs_of_two_scenes_share_no_file(jobs):
    for part in ("output", "log", "benchmark"):
        paths = [path for job in jobs for path in everything(job[part])]
        assert len(paths) == len(set(paths))


def test_stages_get_only_their_settings(jobs):
    """A setting that a stage does not depend on must not be able to re-run it."""
    options = {
        job["rule"]: set(json.loads(job["params"]["options"])) for job in jobs if "options" in job["params"]
    }  # fmt: skip
    assert options["crf"] == {"crf"}
    assert options["cluster"] == {"decompose"}
    assert options["train"] == {"preset", "checkpoint", "field", "sampling", "losses", "train"}
    assert options["score"] == {"evaluation", "score", "field", "train"}
    assert {rule for rule, sections in options.items() if "decompose" in sections} == {
        "cluster", "postprocess", "report",
    }  # fmt: skip


def test_one_scene_or_one_stage_can_be_asked_for(planned):
    scene = planned.jobs("results/clip/report.html")
    assert {job["wildcards"]["scene"] for job in scene} == {"clip"}
    assert {job["rule"] for job in scene} == RULES - {"collect_scores", "overview"}
    stage = planned.jobs("results/other/motion_masks")
    assert {job["rule"] for job in stage} == {"ingest", "flow", "coarse_masks", "sfm", "cameras", "motion"}
    assert {job["wildcards"]["scene"] for job in stage} == {"other"}


def test_without_features_nothing_is_clustered(new_project):
    project = new_project()
    project.folder.mkdir()
    (project.folder / "clip.mp4").touch()
    project.configure({"clip": {"input": {"path": "clip.mp4"}}}, field={"features": False, "saliency": False})
    rules = {job["rule"] for job in project.jobs()}
    assert rules == RULES - {"features", "cluster", "postprocess", "crf"} | {"all"}


def test_without_saliency_there_are_features_but_no_objects(new_project):
    project = new_project()
    project.folder.mkdir()
    (project.folder / "clip.mp4").touch()
    project.configure({"clip": {"input": {"path": "clip.mp4"}, "overlays": ["_nosal"]}})
    rules = {job["rule"] for job in project.jobs()}
    assert rules == RULES - {"cluster", "postprocess", "crf"} | {"all"}


def test_a_released_checkpoint_needs_no_priors(new_project):
    project = new_project()
    project.folder.mkdir()
    (project.folder / "clip.mp4").touch()
    (project.folder / "360000.tar").touch()
    scene = {"input": {"path": "clip.mp4"}, "preset": "saff", "checkpoint": "360000.tar"}
    project.configure({"clip": scene})
    (job,) = [job for job in project.jobs("results/clip/model") if job["rule"] == "train"]
    assert "360000.tar" in everything(job["input"])
    assert json.loads(job["params"]["options"])["checkpoint"] == "360000.tar"
    needed = {job["rule"] for job in project.jobs("results/clip/model")}
    assert needed == {"ingest", "flow", "coarse_masks", "sfm", "cameras", "train"}


def test_clusters_in_space_and_objects_alone_are_asked_for(new_project):
    project = new_project()
    project.folder.mkdir()
    (project.folder / "clip.mp4").touch()
    scenes = {
        "plain": {"input": {"path": "clip.mp4"}},
        "space": {
            "input": {"path": "clip.mp4"}, "decompose": {"source": "points"}, "extract": {"enabled": True},
        },
    }  # fmt: skip
    project.configure(scenes)
    found = {(job["wildcards"].get("scene"), job["rule"]) for job in project.jobs() if job["rule"] in OPTIONAL}
    assert found == {("space", "points"), ("space", "extract")}
    assert "extract" in {job["rule"] for job in project.jobs("results/plain/extracted")}


def test_reproduce_takes_all_scenes_of_a_protocol_in_a_folder(new_project):
    project = new_project()
    for name in ("Jumping", "Truck"):
        for file in ("images/000.png", "gt/v000_t000.png"):
            (project.folder / "data" / name / file).parent.mkdir(parents=True, exist_ok=True)
            (project.folder / "data" / name / file).touch()
    (project.folder / "data" / "checkpoints" / "Truck").mkdir(parents=True)
    (project.folder / "data" / "checkpoints" / "Truck" / "360000.tar").touch()
    (project.folder / "clip.mp4").touch()
    own = {"clip": {"input": {"path": "clip.mp4"}}}
    # TINY's fields are those of planes; the released networks are not.
    project.configure(own, reproduce={"protocol": "dynnerf12", "folder": "data"}, field={"kind": "mlp"})
    jobs = project.jobs("reproduce")
    assert {job["wildcards"].get("scene") for job in jobs} == {None, "Jumping", "Truck"}
    (table,) = [job for job in jobs if job["rule"] == "reproduce"]
    assert everything(table["output"]) == ["results/reproduce.csv", "results/reproduce.md"]
    trained = {job["wildcards"]["scene"]: everything(job["input"]) for job in jobs if job["rule"] == "train"}
    assert "data/checkpoints/Truck/360000.tar" in trained["Truck"]
    assert "results/Jumping/depth" in trained["Jumping"]
    assert "reproduce" not in {job["rule"] for job in project.jobs()}


def test_reproduce_without_its_section_says_so(planned):
    ended = planned.snakemake("reproduce", "--dry-run")
    assert ended.status != 0
    assert "section reproduce is missing" in ended.text


def test_gpus_are_asked_for_where_the_settings_allow(new_project):
    project = new_project()
    project.folder.mkdir()
    (project.folder / "clip.mp4").touch()
    scenes = {name: {"input": {"path": "clip.mp4"}, "train": {"device": name}} for name in ("cpu", "auto")}
    project.configure(scenes)
    asked = {(job["wildcards"]["scene"], job["rule"]) for job in project.jobs() if job["resources"].get("gpu")}
    assert asked == {("auto", rule) for rule in ("train", "render", "maps", "score")}


def test_gpus_that_train_together(new_project):
    """One process as ever; several are started by torchrun, with a GPU each where GPUs are used."""
    project = new_project()
    project.folder.mkdir()
    (project.folder / "clip.mp4").touch()
    settings = {"one": {}, "two": {"gpus": 2, "device": "auto"}, "two_cpu": {"gpus": 2, "device": "cpu"}}
    project.configure({name: {"input": {"path": "clip.mp4"}, "train": train} for name, train in settings.items()})
    jobs = project.jobs("--resources", "gpu=2")
    train = {job["wildcards"]["scene"]: job for job in jobs if job["rule"] == "train"}
    together = "python -m torch.distributed.run --standalone --nproc-per-node 2 -- "
    starts = {name: job["command"].partition(job["params"]["script"])[0] for name, job in train.items()}
    assert starts == {"one": "python ", "two": together, "two_cpu": together}
    assert {name: job["resources"]["gpu"] for name, job in train.items()} == {"one": 0, "two": 2, "two_cpu": 0}
    others = {job["resources"].get("gpu", 0) for job in jobs if job["rule"] != "train"}
    assert others == {0, 1}


def test_longer_clips_get_more_time(new_project):
    """What the manifest says, once there is one."""
    project = new_project()
    project.folder.mkdir()
    (project.folder / "clip.mp4").touch()
    train = {"steps": 150, "steps_for_frames": 10}
    project.configure({name: {"input": {"path": "clip.mp4"}, "train": train} for name in ("new", "long")})
    (project.scene("long")).mkdir(parents=True)
    (project.scene("long") / "manifest.json").write_text(json.dumps({"n_frames": 1000}))
    minutes = {
        job["wildcards"]["scene"]: job["resources"]["runtime"] for job in project.jobs() if job["rule"] == "train"
    }
    assert minutes == {"new": 61, "long": 210}  # 150 and 15,000 steps


def test_training_state_is_no_output(jobs):
    """House rule: a failed job's outputs are deleted, and its state must not be."""
    train = next(job for job in jobs if job["rule"] == "train")
    assert train["params"]["state"] not in everything(train["output"])
    assert not any(path.startswith(train["params"]["state"] + "/") for path in everything(train["output"]))


# --- the files -------------------------------------------------------------------------------------------------------
def test_snakefile_is_short_and_without_functions(repo):
    lines = (repo / "Snakefile").read_text().splitlines()
    assert len(lines) < 60
    assert not [line for line in lines if re.match(r"\s*def ", line)]


def test_functions_stand_in_common_alone(repo):
    with_functions = {
        path.name for path in (repo / "rules").glob("*.smk") if re.search(r"^\s*def ", path.read_text(), re.M)
    }
    assert with_functions == {"common.smk"}


def test_every_rule_goes_through_the_shell(repo):
    """With script: a comment in a script would re-run a stage."""
    text = "\n".join(path.read_text() for path in (repo / "rules").glob("*.smk"))
    rules = re.findall(r"^rule (\w+):", text, re.M)
    assert set(rules) == RULES | OPTIONAL
    assert len(re.findall(r"^    shell:", text, re.M)) == len(rules)
    assert not re.search(r"^    (script|run|notebook|wrapper):|^checkpoint ", text, re.M)


def test_optional_rules_have_it_all_too(repo):
    """Rules that no plain run asks for are in no DAG above, so their text is read."""
    text = "\n".join(path.read_text() for path in (repo / "rules").glob("*.smk"))
    blocks = dict(zip(*[iter(re.split(r"^rule (\w+):\n", text, flags=re.M)[1:])] * 2, strict=True))
    for name in RULES | OPTIONAL:
        rule = re.split(r"^(?=\S)", blocks[name], flags=re.M)[0]
        parts = dict(zip(*[iter(re.split(r"^    (\w+):", rule, flags=re.M)[1:])] * 2, strict=True))
        wanted = {"input", "output", "log", "benchmark", "conda", "threads", "resources", "params", "message", "shell"}
        assert wanted <= set(parts), (name, wanted - set(parts))
        for part in ("input", "output", "params", "resources"):
            entries = re.findall(r"^        (?=\w|[\"'*])(.+)$", parts[part], re.M)
            assert entries and all(re.match(r"\w+=", entry) for entry in entries), (name, part, entries)
        assert {"mem_mb", "runtime"} <= set(re.findall(r"(\w+)=", parts["resources"])), name
        assert re.search(r"envs/(\w+)\.yaml", parts["conda"])


def test_configuration_holds_no_machine(repo):
    text = (repo / "config.yaml").read_text()
    assert not re.search(r"^\s*(threads|mem_mb|cores|jobs|resources):|/home/|/tmp/", text, re.M)
    profile = yaml.safe_load((repo / "profiles" / "default" / "config.yaml").read_text())
    assert profile["rerun-incomplete"] is True


def test_lint_is_clean(repo, server):
    ended = server.run(repo, ["--lint"])
    assert ended.status == 0, ended.text
    assert "Congratulations" in ended.text


@pytest.mark.skipif(shutil.which("snakefmt", path=str(sys.prefix) + "/bin") is None, reason="snakefmt is not installed")
def test_formatting_is_snakefmts(repo):
    command = [sys.executable, "-m", "snakefmt", "--check", "Snakefile", "rules"]
    found = subprocess.run(command, cwd=repo, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
