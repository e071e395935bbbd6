"""Shows how far every scene of the configuration is: one line each, with the stage, the worst verdict of its stages,
the work that is left, and the error of what failed.

Time is that of the scene's own stages one after another; waiting for cores or a GPU comes on top. It is taken from the
progress bars of what runs, and from what the same stages took in other scenes of this folder; + says that of some
stages nothing is known yet.
"""

from __future__ import annotations

import json as json_format
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from nsff.workflow.progress import SceneProgress

CONFIGFILE = "in that folder (default: config.yaml, and each NAME.yaml that nsff run wrote)"
HELP = "show how far every scene is: stage, verdict, time left, errors"
EXAMPLES = ("status", "status --json", "status ~/scenes --configfile other.yaml")


def run(
    folder: Annotated[Path, Parameter(help="where snakemake is started (default: here)")] = Path(),
    /,
    *,
    configfile: Annotated[str | None, Parameter(help=CONFIGFILE)] = None,
    json: Annotated[bool, Parameter(help="all stages of all scenes, as JSON")] = False,
) -> None:
    """Shows progress."""
    from nsff.workflow.progress import read_progress, summary_text

    folder = folder.expanduser()
    found = read_progress(_scenes(folder, configfile), folder)
    if json:
        print(json_format.dumps([_plain(scene) for scene in found], indent=1, ensure_ascii=False))
        return
    rows = [("scene", "stage", "verdict", "left", ""), *(_row(scene) for scene in found)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        print("  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=False)] + [row[4]]).rstrip())
    print(summary_text(found).partition("\n")[0].rstrip(":"))


def _scenes(folder: Path, configfile: str | None) -> dict[str, list[str]]:
    """Stages by scene, as the configuration has them; where two files have one scene, as config.yaml has it."""
    from nsff.config import load_config
    from nsff.config.strict_yaml import read_yaml
    from nsff.errors import ConfigError
    from nsff.workflow.progress import stages_of

    usual = folder / "config.yaml"
    own = _of_scenes(folder)
    paths = [folder / configfile] if configfile else [*own, usual] if usual.exists() or not own else own
    found: dict[str, list[str]] = {}
    for path in paths:
        content = read_yaml(path)
        if not isinstance(content, dict):
            raise ConfigError(path, "holds no mapping", "name another with --configfile")
        found |= {name: stages_of(settings) for name, settings in load_config(content, folder).items()}
    return found


def _of_scenes(folder: Path) -> list[Path]:
    """Files that `nsff run` and `nsff init` wrote: NAME.yaml with scene NAME."""
    named = sorted(folder.glob("*.yaml"))
    return [
        path for path in named if re.search(rf"^ +{re.escape(path.stem)}:", path.read_text("utf-8", "replace"), re.M)
    ]


def _row(scene: SceneProgress) -> tuple[str, str, str, str, str]:
    stage, worst = scene.current, scene.worst
    where = "" if scene.state == "done" else f"{stage.name} {scene.state}"
    if scene.state == "running":
        where = ", ".join(
            s.name + (f" {s.percent} %" if s.percent is not None else "") for s in scene.stages if s.state == "running"
        )
    elif scene.state == "waiting":
        where = "not begun" if stage is scene.stages[0] else f"waits for {stage.name}"
    verdict = "" if worst is None else f"{worst.verdict}" + (f" ({worst.name})" if worst.verdict != "good" else "")
    note = f"{stage.error} ({scene.log(stage)})" if scene.state == "failed" else ""
    return scene.name, where or "done", verdict, _time(scene), note


def _time(scene: SceneProgress) -> str:
    seconds, complete = scene.remaining
    if scene.state == "done":
        return ""
    if not seconds:
        return "0 s" if complete else "?"
    whole = round(seconds)
    text = f"{whole} s" if whole < 100 else f"{whole / 60:.0f} min" if whole < 6000 else f"{whole / 3600:.1f} h"
    return text if complete else f"{text} +"


def _plain(scene: SceneProgress) -> dict[str, Any]:
    seconds, complete = scene.remaining
    return {
        "scene": scene.name,
        "state": scene.state,
        "stage": scene.current.name,
        "verdict": scene.worst.verdict if scene.worst else None,
        "seconds_left": round(seconds, 1),
        "seconds_left_of_all": complete,
        "error": scene.current.error,
        "log": str(scene.log(scene.current)),
        "stages": [vars(stage) for stage in scene.stages],
    }
