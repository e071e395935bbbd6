"""The authors' ``config_*.txt`` of NSFF and SAFF as a scene of this project's configuration.

Such a file holds lines ``key = value`` (ConfigArgParse); what it leaves out takes the default of the authors' parser,
and an option ``key = False`` counts as not set. Source: specification, sections 2.5, 2.6, 4.9, 4.10 and 10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nsff.config.project import resolve_scene
from nsff.errors import ConfigError

DEFAULTS: dict[str, Any] = {
    "start_frame": 0, "end_frame": 50, "final_height": 288,
    "netdepth": 8, "netwidth": 256, "multires": 10, "multires_views": 4, "i_embed": 0, "use_viewdirs": False,
    "N_rand": 4096, "N_samples": 64, "num_extra_sample": 512, "raw_noise_std": 0.0, "perturb": 1.0,
    "lrate": 5e-4, "lrate_decay": 300, "i_weights": 10_000,
    "w_depth": 0.04, "w_optical_flow": 0.02, "w_sm": 0.1, "w_sf_reg": 0.1, "w_cycle": 0.1, "w_prob_reg": 0.1,
    "w_entropy": 1e-3, "decay_iteration": 50, "dino_coe": 0.0, "sal_coe": 0.0, "n_components": 64,
}  # fmt: skip
"""The authors' parser's defaults; options that are not here are off."""

SWITCHES = (
    "use_motion_mask", "chain_sf", "decay_depth_w", "decay_optical_flow_w", "decay_extra", "depth_full",
    "disable_rigid", "use_tanh", "shallow_dino", "prep_dino", "use_multi_dino", "no_ndc", "lindisp",
)  # fmt: skip
IGNORED = {
    "expname", "basedir", "dataset_type", "chunk", "netchunk", "i_print", "i_img", "i_video", "i_testset",
    "netdepth_fine", "netwidth_fine", "N_importance", "no_batching", "testskip", "white_bkgd", "factor", "spherify",
    "llffhold", "load_algo", "n_cluster", "no_reload", "dino_batch", "dino_weight", "flow_weight", "render_only",
    "precrop_iters", "precrop_frac", "half_res",
}  # fmt: skip
"""Without a meaning here, or declared and never used there."""
EXTRACTION = {
    "stride": 4, "load_size": 128, "load_dino_size": 128, "model_type": "dino_vits8", "facet": "key", "layer": 11,
    "bin": False,
}  # fmt: skip
"""How the authors extract features, as published; another value is told."""
UNSUPPORTED = {
    "load_dino_dir": "the offline pyramid of features",
    "load_feat_weight": "the offline pyramid of features",
    "load_sal_weight": "the offline pyramid of features",
    "use_multi_dino_single_sal": "a variant that their code never finishes",
}


@dataclass
class PublishedScene:
    """A scene's own settings, under ``name``, and what the user should know."""

    name: str
    settings: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def read_published(path: Path) -> dict[str, Any]:
    """Keys and values of a ``config_*.txt``; raises ConfigError naming file and line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path, f"is not readable ({error})", "give a config_*.txt of NSFF or SAFF") from None
    values: dict[str, Any] = {}
    for number, line in enumerate(lines, start=1):
        text = re.sub(r"(^|\s)[#;].*$", "", line).strip()
        if not text or re.fullmatch(r"\[[\w ]+\]|---", text):
            continue
        match = re.fullmatch(r"(?:--)?(\w+)\s*(?:[=:]\s*(.*))?", text)
        if match is None:
            raise ConfigError(path, f"line {number} is not understood: {line.strip()!r}", "write key = value")
        values[match[1]] = _value(match[2])
    if not values:
        raise ConfigError(path, "has no settings", "give a config_*.txt of NSFF or SAFF")
    return values


def convert(path: Path, source: str | None = None, n_frames: int | None = None) -> PublishedScene:
    """The scene that a ``config_*.txt`` describes: preset nsff, or saff where it trains features, and what differs.

    ``source`` takes the place of its ``datadir``; ``n_frames`` is the number of frames there, where known: the authors'
    ``end_frame`` may lie beyond them. Raises ConfigError for a file that is not one, or values of the wrong kind.
    """
    given = read_published(path)
    values = DEFAULTS | dict.fromkeys(SWITCHES, False) | given
    for key, default in DEFAULTS.items():
        if isinstance(values[key], bool) != isinstance(default, bool) or not isinstance(values[key], (int, float)):
            raise ConfigError(path, f"{key} is {values[key]!r}, not a number", f"their default is {default}")
    notes = _notes(given, values)
    preset = "saff" if values["dino_coe"] > 0 else "nsff"
    source = source or str(given.get("datadir", ""))
    if not source:
        raise ConfigError(path, "names no datadir", "say where the scene's data lie: --path DIR")
    wanted = _sections(values)
    default = resolve_scene("scene", {"input": {"path": source}}, preset, {}).model_dump()
    settings: dict[str, Any] = {"preset": preset, "input": _input(values, source, n_frames, notes)}
    if given.get("ft_path"):
        settings["checkpoint"] = str(given["ft_path"])
    for section, own in wanted.items():
        different = {key: value for key, value in own.items() if default[section][key] != value}
        if different:
            settings[section] = different
    name = re.sub(r"[^\w-]", "_", re.sub(r"^config_", "", Path(path).stem))
    resolve_scene(name, settings, preset, {})
    return PublishedScene(name, settings, notes)


def _value(text: str | None) -> Any:
    """A number, a boolean, a list or a text; a key alone is an option that is set."""
    if text is None:
        return True
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", text.strip()):  # YAML takes 5e-4 for a text
        return float(text)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text.strip()
    return False if value is None else value


def _input(values: Mapping[str, Any], source: str, n_frames: int | None, notes: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {"path": source}
    start, end = int(values["start_frame"]), int(values["end_frame"])
    if start:
        result["start"] = start
    if n_frames is None:
        result["end"] = end
        notes.append(f"end_frame is {end}: lower input.end, or leave it out, where the scene has fewer frames")
    elif end < n_frames:
        result["end"] = end
    return result


def _sections(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """All settings here that the authors' settings decide, in this project's words."""
    frames = int(values["end_frame"]) - int(values["start_frame"])
    encoded = values["i_embed"] != -1
    features = values["dino_coe"] > 0
    saliency = features and values["sal_coe"] > 0
    sections: dict[str, dict[str, Any]] = {
        "canonical": {"resize_height": int(values["final_height"])},
        "field": {
            "space": "contraction" if values["no_ndc"] else "ndc",
            "depth": int(values["netdepth"]),
            "width": int(values["netwidth"]),
            "position_frequencies": int(values["multires"]) if encoded else 0,
            "direction_frequencies": int(values["multires_views"]) if encoded else 0,
            "features": features,
            "saliency": saliency,
            "dynamic_only": bool(values["disable_rigid"]),
        },
        "sampling": {"samples": int(values["N_samples"]), "noise": float(values["raw_noise_std"])},
        "losses": {
            "w_features": float(values["dino_coe"]),
            "w_saliency": float(values["sal_coe"]) if features else 0.0,
            "w_depth": float(values["w_depth"]),
            "w_flow": float(values["w_optical_flow"]),
            "w_smooth": float(values["w_sm"]),
            "w_scene_flow": float(values["w_sf_reg"]),
            "w_cycle": float(values["w_cycle"]),
            "w_disocclusion": float(values["w_prob_reg"]),
            "w_entropy": float(values["w_entropy"]),
            # Their start-up raises it to the number of frames asked for, and lowers it to 250.
            "decay_steps": 1000 * min(250, max(int(values["decay_iteration"]), frames)),
            "decay_depth": bool(values["decay_depth_w"]),
            "decay_flow": bool(values["decay_optical_flow_w"]),
            "decay_extra": bool(values["decay_extra"]),
            "depth_full": bool(values["depth_full"]),
            "chain": bool(values["chain_sf"]),
        },
        "train": {
            "rays": int(values["N_rand"]),
            "motion_rays": int(values["num_extra_sample"]) if values["use_motion_mask"] else 0,
            "learning_rate": float(values["lrate"]),
            "learning_rate_decay_steps": 1000 * int(values["lrate_decay"]),
            "checkpoint_every": int(values["i_weights"]),
        },
    }
    if features:
        sections["features"] = {"components": int(values["n_components"])}
        sections["field"] |= {
            "feature_tanh": bool(values["use_tanh"]), "shallow_features": bool(values["shallow_dino"]),
        }  # fmt: skip
    if values.get("target_idx") is not None:
        sections["render"] = {"target": int(values["target_idx"])}
    return sections


def _notes(given: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """What of the file has no counterpart here."""
    notes = []
    if not values["use_viewdirs"]:
        notes.append("use_viewdirs is off there; networks here always see the view direction")
    if values["lindisp"]:
        notes.append("lindisp has no counterpart: samples are uniform in NDC")
    if values["perturb"] == 0:
        notes.append("perturb = 0 has no counterpart: samples are jittered in training")
    if values["no_ndc"]:
        notes.append("no_ndc: their losses assume NDC; field.space contraction is this project's own")
    if values["sal_coe"] > 0 and not values["dino_coe"] > 0:
        notes.append("sal_coe without dino_coe crashes there; saliency is left out")
    if values["dino_coe"] > 0 and not values["prep_dino"]:
        notes.append("without prep_dino their features are raw; here they are always reduced by PCA")
    notes += [f"{key}: {what} has no counterpart" for key, what in UNSUPPORTED.items() if given.get(key)]
    notes += [
        f"{key} = {given[key]} has no counterpart: features follow the published {key}, {published}"
        for key, published in EXTRACTION.items()
        if key in given and given[key] != published
    ]
    known = {*DEFAULTS, *SWITCHES, *IGNORED, *EXTRACTION, *UNSUPPORTED, "datadir", "ft_path", "target_idx"}
    unknown = [key for key in given if key not in known and not key.startswith(("render_", "cluster_"))]
    if unknown:
        notes.append(f"not known: {', '.join(unknown)}")
    return notes
