# The only place with functions: the checked configuration, and what rules ask of it.
import atexit
import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))
# Without an activated environment `python` would be another one; an environment made by --use-conda still comes first.
os.environ |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", os.defpath)])}

from nsff.config import load_config, reproduced
from nsff.config.strict_yaml import check_files
from nsff.errors import ConfigError, NsffError
from nsff.folder_runs import explained, of_working_folder
from nsff.metrics.protocols import get_protocol
from nsff.priors.learned import NEEDS, weight_files
from nsff.training.schedule import for_frames
from nsff.weights import locate

PATHS = ["view", "time", "spacetime"]

# Sections of the configuration, or single keys of them, that a stage depends on: what is not named here re-runs nothing.
SECTIONS = {
    "ingest": ["input"],
    "flow": ["flow", "canonical.resize_height"],
    "coarse_masks": ["motion"],
    "sfm": ["sfm"],
    "cameras": ["canonical"],
    "motion": ["motion"],
    "depth": ["depth"],
    "features": ["features"],
    "train": ["preset", "checkpoint", "field", "sampling", "losses", "train"],
    "render": ["render", "train.device", "train.memory_gb"],
    "maps": ["render.canonical_views", "render.chunk", "train.device", "train.memory_gb"],
    "points": ["decompose.seed", "decompose.point_interval", "decompose.point_opacity", "train.memory_gb"],
    "cluster": ["decompose"],
    "postprocess": ["decompose"],
    "crf": ["crf"],
    "extract": ["extract", "train.memory_gb"],
    "score": ["evaluation", "score", "field", "train.device", "train.memory_gb", "train.hold_out", "render.chunk"],
}

# Raised by hand when a stage's code changes its results; results of another version are made again.
VERSIONS = dict.fromkeys(SECTIONS, 1) | {
    "ingest": 3,
    "flow": 2,
    "sfm": 5,
    "features": 4,
    "motion": 3,
    "depth": 5,
    "train": 3,
    "render": 2,
    "maps": 2,
    "postprocess": 3,
    "crf": 2,
    "extract": 2,
    "score": 3,
    "report": 1,
    "collect_scores": 1,
    "overview": 1,
    "reproduce": 1,
}


def settings_paths(settings):
    """The files and folders of the user's that a scene is made from; none of them is truth."""
    depth = settings.input.depth.path if settings.input.depth else None
    return [settings.input.path, settings.input.truth_priors, depth, settings.checkpoint]


def checked_scenes():
    """The scenes of the configuration by name; a mistake in it stops here, before any job."""
    try:
        if workflow.is_main_process:
            check_files(workflow.configfiles)  # Snakemake's own reader loses a key that is given twice
        scenes = load_config(config)
        for name, settings in scenes.items():
            files = [str(path) for stage in NEEDS for path in weight_files(stage, settings)]
            for path in [*settings_paths(settings), *(e.truth for e in settings.evaluation), *files]:
                if re.search("[{}]", path or ""):
                    problem = f"{path} has a brace in its name, which Snakemake takes for a wildcard"
                    raise ConfigError(f"scenes.{name}", problem, "rename it, or make a link of another name")
        return scenes
    except NsffError as error:
        sys.exit(f"The configuration cannot be used. {error}")  # an exception would bring lines of this file along


SCENES = checked_scenes()


def registered():
    """Records this run in the folder until it ends, and says whose locks there are (nsff/folder_runs.py).

    Locks are never removed here: `nsff unlock` does that, where it can prove that nobody who holds them is alive.
    """
    runs = of_working_folder(Path.cwd())
    run = runs.register()
    atexit.register(runs.leave, run)
    if runs.locked() and not workflow.dryrun:
        print(explained(runs, run), file=sys.stderr)


if workflow.is_main_process:
    registered()


def any_of(names):
    """A pattern that matches exactly these names."""
    return "|".join(re.escape(name) for name in names)


def chosen(settings, keys):
    """The named sections and single keys (section.key) of a scene's settings, as a dictionary."""
    whole, result = settings.model_dump(mode="json"), {}
    for key in keys:
        section, _, field = key.partition(".")
        if field:
            result.setdefault(section, {})[field] = whole[section][field]
        else:
            result[section] = whole[section]
    return result


def script(name):
    """The path of a script, relative to the working directory: moving a whole checkout re-runs nothing."""
    return os.path.relpath(ROOT / "scripts" / f"{name}.py")


def weights(stage):
    """An input function: pretrained weights of the stage's learned backend; none where the classical one does the work."""
    return lambda wildcards: [str(path) for path in weight_files(stage, SCENES[wildcards.scene])]


def lpips_weights(wildcards):
    """Both files of LPIPS where they are on this machine and pictures are scored; without them scores have no lpips."""
    settings = SCENES[wildcards.scene]
    if not (settings.score.lpips and any(get_protocol(e.protocol).images for e in settings.evaluation)):
        return []
    files = [locate("alexnet-features"), locate("lpips-alexnet")]
    return [str(path) for path in files] if all(files) else []


def options(stage):
    """An input function: the settings that a stage depends on, as JSON for its script."""

    def text(wildcards):
        learned = ["train.device"] if weights(stage)(wildcards) else []
        return json.dumps(chosen(SCENES[wildcards.scene], SECTIONS[stage] + learned), ensure_ascii=False)

    return text


def all_options(wildcards):
    """Every setting of a scene, as JSON, for the page; where truth lies, scoring alone is told."""
    settings = SCENES[wildcards.scene].model_dump(mode="json")
    for evaluation in settings["evaluation"]:
        if evaluation["truth"] is not None:
            evaluation["truth"] = "known to scoring alone"
    return json.dumps(settings, ensure_ascii=False)


def timeless(paths):
    """Folders count by what is read of them (params.contents): their own times change with any file beside that."""
    return [ancient(path) if os.path.isdir(path) else path for path in paths]


def source(wildcards):
    """The scene's video or folder, depth of the user's own, and priors from truth where an experiment asks for them."""
    settings = SCENES[wildcards.scene].input
    depth = settings.depth.path if settings.depth else None
    return timeless(path for path in (settings.path, depth, settings.truth_priors) if path is not None)


def truths(wildcards):
    """The folders of truth that a scene is scored against. Only the rule score may ask for them."""
    return timeless(dict.fromkeys(e.truth for e in SCENES[wildcards.scene].evaluation if e.truth is not None))


def input_contents(wildcards):
    """A digest of the folders that the scene is read from: Snakemake itself looks at a folder's own time only."""
    if not any(os.path.isdir(path) or path.endswith(".json") for path in source(wildcards)):
        return ""  # a video has a time of its own
    from nsff.datasets.digest import input_digest  # brings numerical libraries along: not for each start

    return input_digest(SCENES[wildcards.scene].input)


def truth_contents(wildcards):
    """The same of the folders of truth."""
    if not truths(wildcards):
        return ""
    from nsff.datasets.digest import folder_digest

    return folder_digest(truths(wildcards))


def has_features(wildcards):
    return SCENES[wildcards.scene].field.features


def released(wildcards):
    """The released checkpoint that takes the place of training, where the scene names one."""
    return SCENES[wildcards.scene].checkpoint or []


def unless_released(name):
    """An input function: a file or folder of the scene that only training itself reads."""
    return lambda wildcards: [] if released(wildcards) else f"results/{wildcards.scene}/{name}"


def training_features(wildcards):
    """Features, where the field has a head for them."""
    return unless_released("features")(wildcards) if has_features(wildcards) else []


def object_masks(wildcards):
    """What the decomposition makes, where there is something to cluster and to vote on."""
    folders = ["clusters", "masks", "masks_crf"] if SCENES[wildcards.scene].has_objects else []
    return [f"results/{wildcards.scene}/{folder}" for folder in folders]


def cluster_features(wildcards):
    """The features of the frames themselves, where these are clustered."""
    of_images = SCENES[wildcards.scene].decompose.source == "images"
    return f"results/{wildcards.scene}/features" if of_images else []


def cluster_points(wildcards):
    """Samples in space, where these are clustered."""
    in_space = SCENES[wildcards.scene].decompose.source == "points"
    return f"results/{wildcards.scene}/surface_points" if in_space else []


def of_reproduced(name):
    """A file of every scene that section reproduce found."""
    scenes = reproduced(config)
    if not scenes:
        raise ValueError("section reproduce is missing: say which protocol and folder, see docs/configuration.md")
    return expand("results/{scene}/{name}", scene=scenes, name=name)


def extracted():
    """Objects alone, of the scenes whose settings ask for them."""
    wanted = [name for name, scene in SCENES.items() if scene.extract.enabled and scene.has_objects]
    return expand("results/{scene}/extracted", scene=wanted)


def videos(wildcards):
    """The videos that the scene's settings ask for."""
    return [f"results/{wildcards.scene}/renders/{path}.mp4" for path in SCENES[wildcards.scene].render.paths]


def summaries(wildcards):
    """The stages' own words and numbers, which the page shows."""
    stages = ["ingest", "flow", "coarse_masks", "sfm", "cameras", "motion", "depth", "train", "maps", "score"]
    stages += ["features"] if has_features(wildcards) else []
    stages += ["cluster", "postprocess", "crf"] if SCENES[wildcards.scene].has_objects else []
    stages += [f"render_{path}" for path in SCENES[wildcards.scene].render.paths]
    return [f"results/{wildcards.scene}/summaries/{stage}.json" for stage in stages]


def gpus(wildcards):
    """GPUs that a job asks for: none where the settings say cpu."""
    return 0 if SCENES[wildcards.scene].train.device == "cpu" else 1


def training_processes(wildcards):
    """Processes that train together; importing a released checkpoint takes one."""
    return 1 if released(wildcards) else SCENES[wildcards.scene].train.gpus


def training_gpus(wildcards):
    """A GPU for each process that trains, where GPUs are used."""
    return gpus(wildcards) * training_processes(wildcards)


def training_python(wildcards):
    """What starts the script: several processes are torchrun's to start and to end together.

    Without the two dashes torchrun takes the script's --log for one of its own options.
    """
    count = training_processes(wildcards)
    return "python" if count == 1 else f"python -m torch.distributed.run --standalone --nproc-per-node {count} --"


def gpus_for(stage):
    """GPUs of a stage whose backend may be a learned one."""
    return lambda wildcards: gpus(wildcards) if weights(stage)(wildcards) else 0


def training_minutes(wildcards):
    """A generous time limit for schedulers: a hundred steps a minute, and an hour.

    Before the clip is ingested nobody knows its frames; Snakemake asks again when a job is tried again.
    """
    scene, manifest = SCENES[wildcards.scene], Path("results", wildcards.scene, "manifest.json")
    if manifest.exists():
        scene = for_frames(scene, json.loads(manifest.read_text())["n_frames"])
    return 60 + scene.train.steps // 100
