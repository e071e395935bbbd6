"""Advice where flow that no network made was not good enough for a stage that reads it.

DIS needs no weights and follows slow motion of textured things; fast, blurred and bare ones it loses, and it drags the
ground beside a thing along. Nobody who starts without weights can know that, so stages that get into doubt say it.
"""

from __future__ import annotations

from typing import Any

from nsff.errors import StageError
from nsff.scene import Scene

COMMAND = "nsff weights get raft-things"
ADVICE = f"get weights by `{COMMAND}`, since flow was made without a network (flow.backend: dis)"


def advised(scene: Scene, summary: dict[str, Any]) -> dict[str, Any]:
    """The summary of masks; where it is not good and DIS made the flow, its message is followed by the advice."""
    if summary.get("verdict") == "good" or not scene.flow_result().without_network:
        return summary
    return {**summary, "message": f"{summary['message']} What helps: {ADVICE}."}


def with_advice(scene: Scene, error: StageError) -> StageError:
    """The error of a scene whose cameras were not found, its remedy followed by the advice where DIS made the flow:
    what coarse masks cover wrongly is missing from the features.

    A camera that stands still needs another clip, and an error of a file (a full disk) has nothing to do with flow.
    """
    if error.subject != "sfm" or getattr(error, "still", False):
        return error
    if COMMAND in error.remedy or not scene.flow_result().without_network:
        return error
    return type(error)(error.subject, error.problem, f"{error.remedy}; or {ADVICE}")
