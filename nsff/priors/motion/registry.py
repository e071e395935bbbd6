"""The registry of instances, and what the values of motion.instances stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nsff.config import MotionConfig
from nsff.priors.backends import Registry, discover
from nsff.priors.motion.detector import Detect


def _best(motion: MotionConfig, learned: Sequence[str]) -> Sequence[str]:
    return learned


def _without_weights(motion: MotionConfig) -> dict[str, Any]:
    return {"motion.instances": "off"} if motion.instances == "auto" else {}


INSTANCES: Registry[MotionConfig, Detect] = Registry(
    "motion.instances",
    "motion.instances: off",
    discover("motion"),
    {"auto": _best, "on": _best, "off": lambda motion, learned: []},
    _without_weights,
    insists=("on",),
)
