"""Advice where flow that no network made was not good enough for a stage that reads it.

DIS needs no weights and follows slow motion of textured things; fast, blurred and bare ones it loses, and it drags the
ground beside a thing along. Nobody who starts without weights can know that, so stages that get into doubt say it.
"""

from __future__ import annotations

from typing import Any

from nsff.errors import StageError
from nsff.scene import Scene

WITHOUT_NETWORK = "dis"
COMMAND = "nsff weights get raft-things"
ADVICE = f"get weights by `{COMMAND}`, since flow was made without a network (flow.backend: dis)"


def network_advice(scene: Scene, of_masks: dict[str, Any] | None) -> str:
    """Advice, without a full stop, where DIS made the flow of a scene and ``of_masks``, the summary of masks that
    were made from it, is not good; else an empty text."""
    doubtful = of_masks is not None and of_masks.get("verdict") != "good"
    return ADVICE if doubtful and without_network(scene) else ""


def without_network(scene: Scene) -> bool:
    """Whether the flow of a scene was made without a network, and did not come with the source."""
    return (scene.summary("flow") or {}).get("backend") == WITHOUT_NETWORK


def advised(scene: Scene, summary: dict[str, Any]) -> dict[str, Any]:
    """The summary of masks, its message followed by the advice where there is one."""
    advice = network_advice(scene, summary)
    return {**summary, "message": f"{summary['message']} What helps: {advice}."} if advice else summary


def with_advice(scene: Scene, error: StageError) -> StageError:
    """The error of a scene whose cameras were not found, its remedy preceded by the advice where its coarse masks are
    in doubt: what they cover wrongly is missing from the features."""
    advice = network_advice(scene, scene.summary("coarse_masks"))
    if not advice or COMMAND in error.remedy:
        return error
    return type(error)(error.subject, error.problem, f"{advice}; else {error.remedy}")
