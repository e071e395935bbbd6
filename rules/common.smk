# The only place with functions: they connect the rules to nsff/workflow, where the work is done and tested.
import atexit
import gc
import os
import re
import sys
from pathlib import Path

from snakemake.logging import logger

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))
# Without an activated environment `python` would be another one; an environment made by --use-conda still comes first.
os.environ |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", os.defpath)])}

import nsff
from nsff.config import reproduced
from nsff.config.renamed import notes_on_names
from nsff.config.strict_yaml import check_files
from nsff.errors import NsffError
from nsff.machine.gpus import visible_devices
from nsff.machine.overview import usable_cores
from nsff.workflow.costs import made_for_gpu, slow_notes
from nsff.workflow.folder_runs import explain_locks, runs_of_folder
from nsff.workflow.rasteriser_check import check_rasterisers
from nsff.workflow.progress import read_progress, stages_of, summary_text
from nsff.workflow.reasons import shorter_reason
from nsff.workflow.target_names import unknown_target
from nsff.workflow.weight_changes import weight_change_notes
from nsff.workflow.scene_plan import PATHS, ScenePlan, checked_plans, files_of_all
from nsff.workflow.versions import VERSIONS

# Where the workflow lies apart from the package, scripts in conda environments find it by this.
os.environ |= {"NSFF_PACKAGE": str(Path(nsff.__file__).parent)}

# A plan is made of millions of objects, none of which is let go before it is done; Snakefile turns this on again.
gc.disable()


def checked_scenes():
    """The scenes of the configuration by name; a mistake in it stops here, before any job."""
    try:
        if workflow.is_main_process:
            check_files(workflow.configfiles)  # Snakemake's own reader loses a key that is given twice
        return checked_plans(config)
    except NsffError as error:
        sys.exit(f"The configuration cannot be used. {error}")  # an exception would bring lines of this file along


SCENES = checked_scenes()


# --- messages --------------------------------------------------------------------------------------------------------
def register_run():
    """Records this run in the folder until it ends, and says whose locks there are (nsff/workflow/folder_runs.py).

    Locks are never removed here: `nsff unlock` does that, where it can prove that nobody who holds them is alive.
    """
    runs = runs_of_folder(Path.cwd())
    run = runs.register()
    atexit.register(runs.leave, run)
    if runs.locked() and not workflow.dryrun:
        print(explain_locks(runs, run), file=sys.stderr)


def untrained(chosen):
    """The settings, by name, of the scenes that are still to be trained and for which ``chosen(settings)`` holds."""
    scenes = {name: scene for name, scene in SCENES.items() if chosen(scene.settings)}
    return {name: scene.settings for name, scene in scenes.items() if not os.path.exists(scene.path("model"))}


def notes_on_slow_training():
    """A line for each scene that is still to be trained, on a CPU, with a preset that is made for a GPU."""
    settings = untrained(made_for_gpu)
    return slow_notes(settings, bool(visible_devices()), usable_cores()) if settings else []


def check_drawing():
    """Stops where Gaussians are to be trained and the GPU of this machine cannot draw them."""
    waiting = untrained(lambda settings: settings.model.kind == "gaussians")
    try:
        check_rasterisers(waiting, bool(waiting and visible_devices()))
    except NsffError as error:
        sys.exit(f"The scene cannot be trained. {error}")


if workflow.is_main_process:
    check_drawing()
    register_run()
    for line in notes_on_names(config):
        print(f"Renamed settings. {line}", file=sys.stderr)
    for line in weight_change_notes({name: scene.settings for name, scene in SCENES.items()}, Path("results")):
        print(f"Other weights. {line}", file=sys.stderr)
    for line in notes_on_slow_training():
        print(f"Slow. {line}", file=sys.stderr)


def print_summary():
    """Prints which scenes are complete, which failed in which stage, and how to go on; in the main process alone."""
    if workflow.is_main_process:
        stages = {name: stages_of(scene.settings) for name, scene in SCENES.items()}
        print(summary_text(read_progress(stages)), file=sys.stderr)


def shortened(record):
    """A filter of Snakemake's messages: reasons of jobs become short, and a target that no rule makes is answered with
    those there are. In a quiet run messages about each single job are left
    out, which Snakemake prints even then: jobs themselves print one line as they end (nsff/workflow/stage_process.py).
    """
    if missing := NO_RULE.search(record.getMessage()):
        record.msg, record.args = unknown_target(missing[1], {n: scene.settings for n, scene in SCENES.items()}), ()
    if isinstance(getattr(record, "reason", None), str):
        record.reason = shorter_reason(record.reason)
    return not (QUIET and OF_EVERY_JOB.match(record.getMessage()))


QUIET = bool({"RULES", "ALL"} & {about.name for about in workflow.output_settings.quiet or ()})
NO_RULE = re.compile(r"No rule to produce (.+) \(if you use input functions")
OF_EVERY_JOB = re.compile(r"Select jobs to execute|Execute \d+ jobs|RuleException:\s+CalledProcessError")
os.environ |= {"NSFF_QUIET": "1"} if QUIET else {}
logger.addFilter(shortened)


# --- parts of rules --------------------------------------------------------------------------------------------------
def any_of(names):
    """A pattern that matches exactly these names."""
    return "|".join(re.escape(name) for name in names)


def script(name):
    """The path of a script, relative to the working directory: moving a whole checkout re-runs nothing."""
    return os.path.relpath(ROOT / "scripts" / f"{name}.py")


def stage_command(*more, start="python"):
    """The shell line of a stage of one scene; ``more`` are options of its script beside those that all scripts have."""
    line = [start, "{params.script:q} --scene results/{wildcards.scene} --options {params.settings:q}"]
    return " ".join([*line, *more, "--threads {threads} --log {log:q}"])


LONG_WAY = 1
"""Priority of the rules from the maps to the scores, which follow each other: videos and pages fill what they leave."""


def beside_others(threads):
    """Threads of a job that others can run beside: no more than half of this machine's cores. Hardly a stage keeps two
    cores busy all the time, so that on two cores two jobs at once end sooner than one after the other."""
    cores = workflow.global_resources["_cores"].value  # unknown in a dry run and where a cluster runs the jobs
    return max(1, min(threads, cores // 2)) if cores else threads


def of_scene(question, *about):
    """An input, parameter or resource function: the answer of a method of the job's ScenePlan (nsff/workflow)."""
    return lambda wildcards: getattr(SCENES[wildcards.scene], question)(*about)


def of_path(question):
    """The same for the videos of one path, which is asked about."""
    return lambda wildcards: getattr(SCENES[wildcards.scene], question)(wildcards.path)


def outside_files(question):
    """The same for paths outside of results/. Times of folders do not count, as they change with any file in them: a
    digest of what is read there does (params.contents)."""
    return lambda wildcards: [ancient(p) if os.path.isdir(p) else p for p in of_scene(question)(wildcards)]


def stage_of(rule, wildcards):
    """A rule's name among the stages: videos depend on what their path uses."""
    return f"{rule}_{wildcards.path}" if "path" in wildcards.keys() else rule


def options(rule):
    """A parameter: the settings that change the rule's results; other values re-run it."""
    return lambda wildcards: SCENES[wildcards.scene].options_text(stage_of(rule, wildcards))


def without_hooks():
    """Whether this run executes jobs and is told not to call what stands under onstart."""
    executes = workflow.execution_settings is not None and not workflow.dryrun
    return executes and workflow.execution_settings.no_hooks


def settings(rule):
    """A parameter: the file of all settings of the rule. Naming input makes it one that re-runs nothing.

    The main process writes the files of the jobs that run, once it is known which (hand_over). A process that was
    started for one job writes this job's, and so does a main process that is told to leave hooks out.
    """

    def path(wildcards, input):
        scene, stage = SCENES[wildcards.scene], stage_of(rule, wildcards)
        if not workflow.is_main_process or without_hooks():
            scene.write_settings(stage)
        return scene.settings_file(stage)

    return path


def hand_over():
    """Writes the settings of every job that is to run; called as the run starts, and in no dry run."""
    for job in workflow.dag.needrun_jobs():
        if "settings" in job.params.keys():
            SCENES[job.wildcards.scene].write_settings(stage_of(job.rule.name, job.wildcards))


def of_reproduced(name):
    """A file of every scene that section reproduce found."""
    scenes = reproduced(config)
    if not scenes:
        raise ValueError("section reproduce is missing: say which protocol and folder, see docs/configuration.md")
    return expand("results/{scene}/{name}", scene=scenes, name=name)
