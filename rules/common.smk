# The only place with functions: the checked configuration, and what rules ask of it.
import atexit
import gc
import json
import os
import re
import sys
from functools import cache
from pathlib import Path

from snakemake.logging import logger

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))
# Without an activated environment `python` would be another one; an environment made by --use-conda still comes first.
os.environ |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", os.defpath)])}

from nsff.config import load_config, merge, reproduced
from nsff.config.depends import CHANGES, EXECUTION, chosen
from nsff.config.strict_yaml import check_files
from nsff.errors import ConfigError, NsffError
from nsff.workflow.folder_runs import explained, of_working_folder
from nsff.metrics.protocols import get_protocol
from nsff.priors.learned import NEEDS, weight_files
from nsff.workflow.replanned import replanned, without_weights
from nsff.workflow.progress import read_progress, stages_of, summary_text
from nsff.training.schedule import for_frames
from nsff.weights import locate

# A plan is made of millions of objects, none of which is let go before it is done; Snakefile turns this on again.
gc.disable()

PATHS = ["view", "time", "spacetime"]

# Raised by hand when a stage's code changes its results; results of another version are made again.
VERSIONS = {
    "ingest": 3,
    "flow": 2,
    "coarse_masks": 1,
    "sfm": 5,
    "cameras": 1,
    "features": 4,
    "motion": 3,
    "depth": 5,
    "train": 3,
    "render": 2,
    "maps": 2,
    "points": 1,
    "cluster": 1,
    "postprocess": 3,
    "crf": 2,
    "extract": 2,
    "score": 4,
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
    """Records this run in the folder until it ends, and says whose locks there are (nsff/workflow/folder_runs.py).

    Locks are never removed here: `nsff unlock` does that, where it can prove that nobody who holds them is alive.
    """
    runs = of_working_folder(Path.cwd())
    run = runs.register()
    atexit.register(runs.leave, run)
    if runs.locked() and not workflow.dryrun:
        print(explained(runs, run), file=sys.stderr)


if workflow.is_main_process:
    registered()
    for line in replanned(SCENES, Path("results")):
        print(f"Other weights. {line}", file=sys.stderr)


def told_at_the_end():
    """Which scenes are complete, and which failed, where, and how to go on; for the main process alone."""
    if workflow.is_main_process:
        print(summary_text(read_progress({name: stages_of(scene) for name, scene in SCENES.items()})), file=sys.stderr)


# Jobs of a quiet run write their logs alone, and say in one line how they ended (scripts/_arguments.py); of what
# Snakemake says of each job whatever it is told, and of one that failed, nothing more is needed.
if {"RULES", "ALL"} & {about.name for about in workflow.output_settings.quiet or ()}:
    os.environ |= {"NSFF_QUIET": "1"}
    OF_EVERY_JOB = re.compile(r"Select jobs to execute|Execute \d+ jobs|RuleException:\s+CalledProcessError")
    logger.addFilter(lambda record: not OF_EVERY_JOB.match(record.getMessage()))


def any_of(names):
    """A pattern that matches exactly these names."""
    return "|".join(re.escape(name) for name in names)


@cache
def whole(scene):
    """All settings of a scene as JSON can hold them."""
    return SCENES[scene].model_dump(mode="json")


def told(table, rule, wildcards):
    """The settings that ``table`` names for a rule; videos depend on what their path uses."""
    return chosen(whole(wildcards.scene), table[f"{rule}_{wildcards.path}" if "path" in wildcards.keys() else rule])


def without_weights_of(rule, wildcards):
    """What the scene's settings mean as long as a rule finds no weights; so whoever sets that by name re-runs nothing."""
    return {} if weights(rule)(wildcards) else without_weights(rule, SCENES[wildcards.scene])


def script(name):
    """The path of a script, relative to the working directory: moving a whole checkout re-runs nothing."""
    return os.path.relpath(ROOT / "scripts" / f"{name}.py")


@cache
def found_weights(stage, scene):
    """The files of weights that a stage of a scene loads: looked for once, as every job asks several times."""
    return [str(path) for path in weight_files(stage, SCENES[scene])]


def weights(stage):
    """An input function: pretrained weights of the stage's learned backend; none where the classical one does the work."""
    return lambda wildcards: found_weights(stage, wildcards.scene)


def lpips_weights(wildcards):
    """Both files of LPIPS where they are on this machine and pictures are scored; without them scores have no lpips."""
    settings = SCENES[wildcards.scene]
    if not (settings.score.lpips and any(get_protocol(e.protocol).images for e in settings.evaluation)):
        return []
    files = [locate("alexnet-features"), locate("lpips-alexnet")]
    return [str(path) for path in files] if all(files) else []


def options(rule):
    """A parameter: the settings that change the rule's results (nsff/config/depends.py); other values re-run it."""

    def text(wildcards):
        settings = told(CHANGES, rule, wildcards)
        for key, value in without_weights_of(rule, wildcards).items():
            section, name = key.split(".")
            settings[section] = settings[section] | {name: value}
        return json.dumps(settings, ensure_ascii=False)

    return text


def execution(rule):
    """A parameter: what else the script has to know. Naming input makes it one that Snakemake re-runs nothing for."""

    def text(wildcards, input):
        own = chosen(whole(wildcards.scene), without_weights_of(rule, wildcards))
        return json.dumps(merge(own, told(EXECUTION, rule, wildcards)), ensure_ascii=False)

    return text


def all_options(wildcards):
    """Every setting of a scene, as JSON, for the page; where truth lies, scoring alone is told."""
    settings = whole(wildcards.scene)
    hidden = [e | {"truth": e["truth"] and "known to scoring alone"} for e in settings["evaluation"]]
    return json.dumps(settings | {"evaluation": hidden}, ensure_ascii=False)


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
