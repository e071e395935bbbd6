"""The registry of flow, and what the values of flow.backend stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nsff.config import FlowConfig
from nsff.priors.backends import GIVEN, Registry, discover
from nsff.priors.flow.estimator import FlowEstimator


def _auto(flow: FlowConfig, learned: Sequence[str]) -> list[str]:
    return [GIVEN, *learned, "dis"]


def _without_weights(flow: FlowConfig) -> dict[str, Any]:
    return {"flow.backend": "given_or_dis"} if flow.backend == "auto" else {}


def for_far_pairs(flow: FlowConfig) -> FlowConfig:
    """The settings by which flow of ``flow.far`` is estimated, where no flow is given: what ``auto`` stands for where
    that of neighbours is given, and dis where no network was wanted.

    >>> for_far_pairs(FlowConfig(backend="given", far=[2])).backend
    'auto'
    """
    instead = {"given": "auto", "given_or_dis": "dis"}
    return flow.model_copy(update={"backend": instead.get(flow.backend, flow.backend)})


FLOW: Registry[FlowConfig, FlowEstimator] = Registry(
    "flow.backend",
    "flow.backend: dis",
    discover("flow"),
    {"auto": _auto, "given": lambda flow, learned: [GIVEN], "given_or_dis": lambda flow, learned: [GIVEN, "dis"]},
    _without_weights,
    insists=("given",),
)
