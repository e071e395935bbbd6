"""The command line of the scripts, one parser for all stages.

A script describes its stage and gives a function run(scene, config, arguments). Libraries that read the number of
threads when they are loaded must not be imported before ``set_threads``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# A folder of that name without __init__.py, such as one that holds data alone, is no package either.
if getattr(importlib.util.find_spec("nsff"), "origin", None) is None and (package := os.environ.get("NSFF_PACKAGE")):
    # The package of the Python that runs the workflow, where a conda environment has none of its own.
    found = importlib.util.spec_from_file_location(
        "nsff", Path(package, "__init__.py"), submodule_search_locations=[package]
    )
    assert found is not None
    assert found.loader is not None
    sys.modules["nsff"] = importlib.util.module_from_spec(found)
    found.loader.exec_module(sys.modules["nsff"])

from nsff.files.temporary import remove_leftovers
from nsff.machine.launch import launched
from nsff.machine.threads import set_threads
from nsff.workflow.stage_process import run_and_exit, run_isolated
from nsff.workflow.stage_resources import known_weights

if TYPE_CHECKING:
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

    Args:
        description: what the script does, its docstring.
        run: does the work, given the scene, its settings and the parsed arguments.
        stage: the stage's name in nsff.config.depends, which says what settings it reads.
        reads: files of the scene that it reads, for the help text.
        writes: files of the scene that it writes, for the help text.
        extra: adds arguments of the script's own to the parser.
        isolated: whether ``run`` works in a child process, because a library of the stage may end its process.
    """
    parser = _parser(description, stage, reads, writes)
    if extra is not None:
        extra(parser)
    arguments = parser.parse_args()
    set_threads(arguments.threads)

    def work() -> None:
        from nsff.scene import Scene
        from nsff.workflow.stage_settings import stage_settings

        if launched().leader and (left := remove_leftovers(arguments.scene)):
            print(f"removed what killed runs left behind: {', '.join(str(path) for path in left)}", flush=True)
        with known_weights(arguments.weights):
            config = stage_settings(
                arguments.scene, arguments.config, arguments.options, arguments.set, arguments.preset
            )
            run(Scene(arguments.scene), config, arguments)

    log = arguments.log if launched().leader else None
    run_and_exit((lambda: run_isolated(work, arguments.scene)) if isolated else work, log, arguments.scene)


def _parser(description: str | None, stage: str, reads: str, writes: str) -> argparse.ArgumentParser:
    from nsff.workflow.stage_settings import described_settings

    parser = argparse.ArgumentParser(
        description=f"{description}\n\nReads {reads}.\nWrites {writes}. All paths lie in the scene's folder.",
        epilog=described_settings(stage),
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
        "--preset",
        help="demo, fast, gaussians, nsff, saff, planes or demo_planes: fills what is not set "
        "(default: of --config, or fast)",
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
