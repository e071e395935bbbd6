"""Settings as Snakemake records and compares them, spelled the same in every version of nsff.

A stage's results are made again where the recorded text differs. So keys that have another name now are recorded under
their first one (nsff/config/renamed.py), and a key that was added gets a line here: it is left out as long as its value
means what earlier versions did.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nsff.config.outputs import PageConfig
from nsff.config.renamed import with_earlier_names

ADDED: dict[str, Any] = {
    "input.tracks": None,
    "decompose.clusterer": "kmeans",
    "decompose.method": "clusters",
    "render.without": [],
    "render.size": "auto",
    "flow.large_motion": False,
    "flow.far": [],
    "motion.picture_evidence": False,
    "page": PageConfig().model_dump(mode="json"),
    "render.path_file": None,
    "score.refit_steps": 0,
    "model": {"kind": "ray_fields", "options": {}},
}
"""Keys (``section.key``, or a section) that later versions brought, with the value that earlier ones behaved as."""


def recorded_text(settings: Mapping[str, Any]) -> str:
    """Sections of settings as the JSON text that is compared with that of an earlier run.

    >>> recorded_text({"decompose": {"clusterer": "kmeans", "elbow": 0.975}})
    '{"decompose": {"elbow": 0.975}}'
    """
    sections = {name: values for name, values in settings.items() if _shows(name, values)}
    kept = {name: _without_added(name, values) for name, values in sections.items()}
    return json.dumps(with_earlier_names(kept), ensure_ascii=False)


def _shows(key: str, value: Any) -> bool:
    return key not in ADDED or ADDED[key] != value


def _without_added(section: str, values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {name: value for name, value in values.items() if _shows(f"{section}.{name}", value)}
