"""What all scripts share: arguments, settings, threads, the log, GPUs, and errors without a traceback.

A script describes its stage and gives a function run(scene, config, arguments); everything else is here. Libraries that
read the number of threads when they are loaded must not be imported before ``set_threads``.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
if importlib.util.find_spec("nsff") is None and (package := os.environ.get("NSFF_PACKAGE")):
    # The package of the Python that runs the workflow, where a conda environment has none of its own.
    found = importlib.util.spec_from_file_location(
        "nsff", Path(package, "__init__.py"), submodule_search_locations=[package]
    )
    assert found is not None
    assert found.loader is not None
    sys.modules["nsff"] = importlib.util.module_from_spec(found)
    found.loader.exec_module(sys.modules["nsff"])

from nsff.errors import ConfigError, NsffError, StageError
from nsff.files.temporary import remove_leftovers
from nsff.machine.isolation import in_child
from nsff.machine.launch import launched
from nsff.machine.threads import set_threads

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from nsff.config import SceneConfig
    from nsff.scene import Scene

Run = Callable[["Scene", "SceneConfig", argparse.Namespace], Any]


def main(
    description: str | None,
    run: Run,
    stage: str,
    reads: str,
    writes: str,
    extra: Callable[[argparse.ArgumentParser], None] | None = None,
    isolated: bool = False,
) -> None:
    """Parses the command line, calls ``run``, and exits: 0 done, 1 an error, 75 interrupted with its state saved.

    ``stage`` is its name in nsff.config.depends, which says what settings it reads; ``extra`` adds the script's own
    arguments; ``isolated`` stages work in a child process: a library of theirs may end it (nsff.machine.isolation).
    """
    parser = _parser(description, stage, reads, writes)
    if extra is not None:
        extra(parser)
    arguments = parser.parse_args()
    set_threads(arguments.threads)

    def work() -> None:
        from nsff.scene import Scene

        if launched().leader and (left := remove_leftovers(arguments.scene)):
            print(f"removed what killed runs left behind: {', '.join(str(path) for path in left)}", flush=True)
        with known_weights(arguments.weights):
            run(Scene(arguments.scene), settings(arguments), arguments)

    def in_a_child() -> None:
        try:
            sys.exit(in_child(lambda: _status(work, arguments.scene), arguments.scene))
        finally:
            remove_leftovers(arguments.scene)

    guarded(in_a_child if isolated else work, arguments.log if launched().leader else None, arguments.scene)


def _parser(description: str | None, stage: str, reads: str, writes: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=f"{description}\n\nReads {reads}.\nWrites {writes}. All paths lie in the scene's folder.",
        epilog=_describe(stage),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scene", type=Path, required=True, metavar="DIR", help="the scene's folder, results/NAME")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="take the settings of scene NAME from a file like config.yaml"
    )
    parser.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="JSON|FILE",
        help="sections, as JSON or in a JSON or YAML file, over --config; of several, later ones over earlier ones",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting over all others, e.g. train.steps=99",
    )
    parser.add_argument(
        "--preset", help="demo, fast, nsff or saff: fills what is not set (default: of --config, or fast)"
    )
    parser.add_argument(
        "--weights",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="the only pretrained weights to use; without any, classical backends (default: look on this machine)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of numerical libraries (default: theirs)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write what is printed to this file as well")
    return parser


def _describe(stage: str) -> str:
    """The settings that matter, one a line: key, default of the preset `fast` aside, and meaning."""
    from nsff.config import SceneConfig
    from nsff.config.depends import keys_of

    lines = ["Settings that this stage depends on (defaults before presets; docs/configuration.md has all):"]
    for key in keys_of(stage):
        section, _, name = key.partition(".")
        model = SceneConfig.model_fields[section].annotation
        fields = getattr(model, "model_fields", {})
        if not fields:
            lines.append(f"  {section}: {SceneConfig.model_fields[section].description}")
        for field in [name] if name else fields:
            lines += _described(f"{section}.{field}", fields[field])
    return "\n".join(lines)


def _described(key: str, field: FieldInfo) -> list[str]:
    default = "required" if field.is_required() else json.dumps(field.get_default(call_default_factory=True))
    text = " ".join((field.description or "").split())
    return [f"  {key} ({default})", textwrap.fill(text, 110, initial_indent="      ", subsequent_indent="      ")]


def settings(arguments: argparse.Namespace) -> SceneConfig:
    """The scene's settings: preset, then --config, --options and --set, later wins. Raises ConfigError."""
    from nsff.config import merge, resolve_scene
    from nsff.config.changes import with_changes
    from nsff.config.project import StagesConfig, checked_project, user_layer
    from nsff.config.renamed import with_present_names
    from nsff.config.strict_yaml import read_yaml

    name, own, preset, sections, overlays = arguments.scene.resolve().name, {}, "fast", {}, []
    if arguments.config:
        project = with_present_names(_sections(read_yaml(arguments.config), arguments.config))
        checked_project(project)
        sections = {key: project[key] for key in StagesConfig.model_fields if key in project}
        preset, scenes = project.get("preset", preset), project.get("scenes") or {}
        overlays = project.get("overlays", overlays)
        if name not in scenes:
            raise ConfigError(arguments.config, f"has no scene {name}", f"it has: {', '.join(map(str, scenes))}")
        own = scenes[name] or {}
    for text in arguments.options:
        own = merge(own, user_layer(_options(text)))
    own = with_changes(own, arguments.set)
    if arguments.preset:
        own["preset"] = arguments.preset
    if "path" not in (own.get("input") or {}):
        own = merge(own, {"input": {"path": _source(arguments.scene)}})
    return resolve_scene(name, own, preset, sections, overlays)


def _source(scene: Path) -> str:
    """The source that an ingested scene came from."""
    try:
        return str(json.loads((scene / "manifest.json").read_text(encoding="utf-8"))["source"]["path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            "input.path", "is not given", "say --set input.path=VIDEO_OR_FOLDER or --config FILE"
        ) from None


def _options(text: str) -> dict[str, Any]:
    from nsff.config.strict_yaml import parse_yaml, read_yaml

    if text.lstrip().startswith("{"):
        try:
            return _sections(parse_yaml(text, "--options"), "--options")
        except ConfigError as error:
            problem = error.problem.replace("is not YAML", "is neither JSON nor YAML", 1)
            raise ConfigError("--options", problem, error.remedy) from None
    try:
        return _sections(read_yaml(text), text)
    except ConfigError as error:
        if Path(text).is_file():
            raise
        raise ConfigError("--options", f"{text}: {error.problem}", "give JSON or an existing file") from None


def _sections(content: Any, subject: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ConfigError(subject, f"holds {type(content).__name__}, not sections", "see config.yaml in the repository")
    return content


def known_weights(files: Sequence[Path] | None) -> contextlib.AbstractContextManager[None]:
    """Within, the named files are all the pretrained weights there are; None: what lies on this machine."""
    from nsff.weights import only

    return contextlib.nullcontext() if files is None else only(files)


def gpu_for(stage: str, config: SceneConfig) -> contextlib.AbstractContextManager[None]:
    """A GPU of this process's own where the stage's backend is a learned one."""
    from nsff.priors.registries import weight_files

    return one_gpu(config) if weight_files(stage, config) else contextlib.nullcontext()


@contextlib.contextmanager
def one_gpu(config: SceneConfig) -> Iterator[None]:
    """A GPU of this process's own where there are any and the settings allow it; before CUDA is initialised."""
    from nsff.machine.gpus import acquire_device

    if config.train.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with acquire_device() as device:
        if device is not None:
            print(f"using GPU {device}", flush=True)
        if device is not None and config.train.memory_gb is not None:
            import torch

            from nsff.machine.gpu_memory import cap_memory

            cap_memory(torch.device("cuda"), config.train.memory_gb)
        yield


@contextlib.contextmanager
def alone_with(folder: Path) -> Iterator[None]:
    """Waits until no other process of this kind works on ``folder``: a killed run may leave its job behind, alive."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that works on {folder}", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield


def guarded(work: Callable[[], Any], log: Path | None, scene: Path | None = None) -> None:
    """Does ``work`` with output copied to ``log``; known errors are told without a traceback. Always exits.

    Where NSFF_QUIET is set, as by the workflow where Snakemake is told to be quiet about rules, output goes to ``log``
    alone, and one line says how the stage ended.
    """
    quiet = log is not None and bool(os.environ.get("NSFF_QUIET"))
    with copied_output(log, shown=not quiet):
        status = _status(work, scene)
    if quiet and log is not None:
        print(_ended(log, status, scene), flush=True)
    sys.exit(status)


def _ended(log: Path, status: int, scene: Path | None) -> str:
    from nsff.files.io import read_json
    from nsff.workflow.progress import last_error

    where = f"{scene.name}: {log.stem}" if scene else log.stem
    if status:
        return f"{where} failed: {last_error(log)} ({log})"
    try:
        return (
            f"{where}: {read_json(scene / 'summaries' / f'{log.stem}.json')['verdict']}" if scene else f"{where}: done"
        )
    except (NsffError, KeyError):
        return f"{where}: done"


def _status(work: Callable[[], Any], scene: Path | None) -> int:
    try:
        work()
        return 0
    except NsffError as error:
        if not launched().leader:
            # Mostly all processes meet the same error: the first one tells it, and torchrun ends this one meanwhile.
            time.sleep(10)
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, StageError) and (folder := _folder_of(error.subject, scene)):
            print(f"  under Snakemake: delete the whole folder {folder} and run again", file=sys.stderr)
        return 1
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BaseException:
        traceback.print_exc()
        return 1


def _folder_of(subject: str, scene: Path | None) -> Path | None:
    """The output folder that a damaged file lies in: Snakemake knows such a folder only as a whole."""
    try:
        parts = Path(subject).resolve().relative_to(scene.resolve()).parts if scene else ()
    except ValueError:
        return None
    return scene / parts[0] if scene and len(parts) > 1 else None


@contextlib.contextmanager
def copied_output(log: Path | None, shown: bool = True) -> Iterator[None]:
    """Copies what this process prints, native libraries included, to ``log``; unless ``shown``, it goes there alone."""
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TQDM_MININTERVAL", "5")  # in a log, every redrawn bar is a line

    def deaf() -> None:
        # Signals are for the stage, which may have its state to save and something to say meanwhile.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    copy = subprocess.Popen(
        ["tee", str(log)], stdin=subprocess.PIPE, stdout=None if shown else subprocess.DEVNULL, preexec_fn=deaf
    )
    assert copy.stdin is not None
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(1), os.dup(2)]
    os.dup2(copy.stdin.fileno(), 1)
    os.dup2(copy.stdin.fileno(), 2)
    copy.stdin.close()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(before[0], 1)
        os.dup2(before[1], 2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            copy.wait(timeout=10)
