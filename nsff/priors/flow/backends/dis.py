"""dense inverse search of OpenCV, without weights.

Source: Kroeger et al., Fast Optical Flow using Dense Inverse Search, 2016 (nsff.priors.flow.dis).
"""

from __future__ import annotations

from pathlib import Path

from nsff.config import FlowConfig
from nsff.priors.flow.estimator import FlowBackend, FlowEstimator


def open_dis(flow: FlowConfig, weights: Path | None) -> FlowEstimator:
    """DIS with the preset and the enlargement of the settings."""
    from nsff.priors.flow.dis import DisFlow

    return DisFlow.from_config(flow)


BACKEND = FlowBackend("dis", open_dis)
