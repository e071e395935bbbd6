"""The authors' ``config_*.txt`` of NSFF and SAFF as a scene of this project's configuration.

Such a file holds lines ``key = value`` (ConfigArgParse); what it leaves out takes the default of the authors' parser,
and an option ``key = False`` counts as not set. So does ``key = None``: the ``args.txt`` that their code writes into a
log folder holds such lines. Source: run_nerf.py of NSFF and SAFF.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml

from nsff.config.old_names import DEFAULTS, PARAMETERS
from nsff.config.priors import FeaturesConfig
from nsff.config.project import resolve_scene
from nsff.config.strict_yaml import LONGEST
from nsff.errors import ConfigError
from nsff.files.reading import read_text, reading

DIRECT = (
    "final_height", "netdepth", "netwidth", "N_samples", "raw_noise_std", "N_rand", "lrate", "lrate_decay", "i_weights",
    "w_depth", "w_optical_flow", "w_sm", "w_sf_reg", "w_cycle", "w_prob_reg", "w_entropy", "decay_depth_w",
    "decay_optical_flow_w", "decay_extra", "depth_full", "chain_sf", "disable_rigid", "dino_coe",
)  # fmt: skip
"""Parameters whose value, times their factor, is that of the key here."""
OF_FEATURES = ("sal_coe", "n_components", "shallow_dino", "use_tanh", "dino_batch", "stride", "load_size", "model_type")
"""The same, where features are trained."""
WHERE_GIVEN = ("target_idx", "i_print", "dino_batch", "stride", "load_size", "model_type")
"""Parameters of the two tables above that keep this project's default where a file does not set them."""
FIXED = {"facet": "key", "layer": 11, "bin": False}
"""The published settings of the feature network; another value leads to a note."""
SAFFS_OWN = {
    "dino_coe", "sal_coe", "n_components", "shallow_dino", "use_tanh", "prep_dino", "use_multi_dino", "load_dino_dir",
    "use_multi_dino_single_sal", "disable_rigid", "decay_extra", "depth_full", "load_size", "load_dino_size",
}  # fmt: skip
"""Parameters that NSFF's parser does not have: a file with one of them is SAFF's."""
SILENT = {
    "expname", "basedir", "datadir", "dataset_type", "chunk", "netchunk", "factor", "llffhold", "no_reload", "config",
    "i_img", "dino_weight", "flow_weight", "n_cluster", "load_algo",
}  # fmt: skip
"""Without a meaning for a scene: nothing to tell."""
MODELS = get_args(FeaturesConfig.model_fields["dino_model"].annotation)
"""Networks whose names are the same here."""
DYCHECK_FRAMES = 48
"""SAFF trains on the even frames alone where it has exactly so many (DyCheck)."""


@dataclass
class PublishedScene:
    """A scene's own settings, under ``name``, and what the user should know."""

    name: str
    settings: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def read_published(path: Path) -> dict[str, Any]:
    """Keys and values of a ``config_*.txt`` or ``args.txt``; raises ConfigError naming file and line."""
    remedy = "give a config_*.txt of NSFF or SAFF"
    with reading(path, remedy, ConfigError, remedy, "is not readable"):
        if not Path(path).exists():
            raise ValueError("no such file")
        lines = read_text(path, LONGEST).splitlines()
    values: dict[str, Any] = {}
    for number, line in enumerate(lines, start=1):
        text = re.sub(r"(^|\s)[#;].*$", "", line).strip()
        if not text or re.fullmatch(r"\[[\w ]+\]|---", text):
            continue
        match = re.fullmatch(r"(?:--)?(\w+)\s*(?:[=:]\s*(.*))?", text)
        if match is None:
            raise ConfigError(path, f"line {number} is not understood: {line.strip()!r}", "write key = value")
        if match[2] == "None":
            values.pop(match[1], None)
        else:
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
    values = DEFAULTS | given
    _check(path, values)
    preset = "saff" if values["dino_coe"] > 0 else "nsff"
    source = source or str(given.get("datadir", ""))
    if not source:
        raise ConfigError(path, "names no datadir", "say where the scene's data lie: --path DIR")
    notes = _notes(given, values)
    wanted = _sections(given, values)
    if _even_frames(given, values, n_frames, notes):
        wanted["train"]["hold_out"] = 2
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
    except (yaml.YAMLError, ValueError, RecursionError):  # no value of YAML's, or a date or number that is none
        return text.strip()
    return False if value is None else value


def _check(path: Path, values: Mapping[str, Any]) -> None:
    """Numbers are numbers, options are on or off, and weights of levels are three numbers."""
    for key, default in DEFAULTS.items():
        kind = "on or off" if isinstance(default, bool) else "a number"
        if isinstance(values[key], bool) != isinstance(default, bool) or not isinstance(values[key], (int, float)):
            raise ConfigError(path, f"{key} is {values[key]!r}, not {kind}", f"their default is {default}")
    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(path, f"{key} is {value}", "write a finite number")
    for key in ("load_feat_weight", "load_sal_weight"):
        weights = values.get(key, [1, 1, 1])
        if not (isinstance(weights, list) and len(weights) == 3 and all(isinstance(w, (int, float)) for w in weights)):
            raise ConfigError(path, f"{key} is {weights!r}", "write three numbers, as [0.3333, 0.3333, 0.3334]")


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


def _even_frames(given: Mapping[str, Any], values: Mapping[str, Any], n_frames: int | None, notes: list[str]) -> bool:
    """Whether SAFF's code would train on even frames alone: where exactly 48 frames are loaded."""
    asked = int(values["end_frame"]) - int(values["start_frame"])
    loaded = asked if n_frames is None else min(asked, n_frames - int(values["start_frame"]))
    saffs = bool(SAFFS_OWN & given.keys())
    rule = f"SAFF's code holds odd frames out of training where exactly {DYCHECK_FRAMES} are loaded"
    if loaded == DYCHECK_FRAMES and saffs:
        notes.append(f"{rule}, as here: train.hold_out is 2")
    elif loaded == DYCHECK_FRAMES:
        notes.append(f"{rule}, NSFF's does not: set train.hold_out: 2 if the file is for SAFF's")
    elif n_frames is None and saffs and asked > DYCHECK_FRAMES:
        notes.append(f"{rule}: set train.hold_out: 2 if the scene has so many")
    return loaded == DYCHECK_FRAMES and saffs


def _sections(given: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """All settings here that the authors' settings decide, in this project's words."""
    frames = int(values["end_frame"]) - int(values["start_frame"])
    features = values["dino_coe"] > 0
    saliency = features and values["sal_coe"] > 0
    encoded = values["i_embed"] != -1
    sections: dict[str, dict[str, Any]] = {
        "field": {
            "space": "contraction" if values["no_ndc"] else "ndc",
            "position_frequencies": int(values["multires"]) if encoded else 0,
            "direction_frequencies": int(values["multires_views"]) if encoded else 0,
            "features": features,
            "saliency": saliency,
        },
        "losses": {
            "w_saliency": 0.0,
            # Their start-up raises it to the number of frames asked for, and lowers it to 250.
            "decay_steps": 1000 * min(250, max(int(values["decay_iteration"]), frames)),
        },
        "train": {"motion_rays": int(values["num_extra_sample"]) if values["use_motion_mask"] else 0},
        "features": _pyramid(given, values) if features else {},
    }
    for key in (*DIRECT, "target_idx", "i_print", *(OF_FEATURES if features else ())):
        if key in WHERE_GIVEN and (key not in given or (key == "model_type" and given[key] not in MODELS)):
            continue
        old, value = PARAMETERS[key], values[key]
        section, _, name = old.here.partition(".")
        if isinstance(old.default, int) and not isinstance(old.default, bool):
            value = old.factor * int(value)
        sections.setdefault(section, {})[name] = value
    if given.get("render_factor"):
        sections.setdefault("render", {})["render_factor"] = given["render_factor"]
    return sections


def _pyramid(given: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The kind of feature pyramid: their code takes the first of these that is set, and else no pyramid."""
    if values["use_multi_dino_single_sal"]:
        return {"pyramid": "online", "saliency_weights": (0.0, 0.0, 1.0)}
    if given.get("load_dino_dir"):
        weights = {name: tuple(map(float, given.get(f"load_{name}_weight", (1 / 3,) * 3))) for name in ("feat", "sal")}
        own = None if weights["sal"] == weights["feat"] else weights["sal"]
        return {"pyramid": "offline", "pyramid_weights": weights["feat"], "saliency_weights": own}
    return {"pyramid": "online" if values["use_multi_dino"] else "single"}


def _notes(given: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Notes on parameters that have no counterpart here, or another meaning than their name suggests."""
    notes = []
    if not values["use_viewdirs"]:
        notes.append("use_viewdirs is off there; networks here always see the view direction")
    if values["lindisp"]:
        notes.append("lindisp has no counterpart: samples are uniform in NDC")
    if values["perturb"] == 0:
        notes.append("perturb = 0 has no counterpart: samples are jittered in training")
    if values["no_ndc"]:
        notes.append("no_ndc: their losses assume NDC; field.space contraction is this project's own")
    notes += _notes_on_features(given, values)
    notes += [
        f"{key} = {given[key]} has no counterpart: features follow the published {key}, {published}"
        for key, published in FIXED.items()
        if key in given and given[key] != published
    ]
    told = {*DEFAULTS, *WHERE_GIVEN, *FIXED, *SILENT, "ft_path", "render_factor", "load_dino_size"}
    told |= {"load_dino_dir", "load_feat_weight", "load_sal_weight"}
    told |= {key for key, old in PARAMETERS.items() if "never used" in old.message}
    unknown = [key for key in given if key not in told and not _is_mode(key)]
    if unknown:
        notes.append(f"not known: {', '.join(unknown)}")
    return notes


def _is_mode(key: str) -> bool:
    named = ("extract_2D", "cluster_dir", "no_merge", "use_pos", "use_time", "use_pcd")
    return key in named or (key.startswith(("render_", "cluster_")) and key != "render_factor")


def _notes_on_features(given: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    notes = []
    features = values["dino_coe"] > 0
    if values["sal_coe"] > 0 and not features:
        notes.append("sal_coe without dino_coe crashes there; saliency is left out")
    if features and not values["prep_dino"]:
        notes.append("without prep_dino their features are raw; here they are always reduced by PCA")
    wanted = ("use_multi_dino_single_sal", "load_dino_dir", "use_multi_dino")
    asked = [key for key in wanted if given.get(key)]
    if asked and not features:
        notes.append(f"{', '.join(asked)} without dino_coe: no features are trained, so that they are left out")
    elif len(asked) > 1:
        notes.append(f"{asked[0]} comes before {' and '.join(asked[1:])} there, which then has no effect")
    if "use_multi_dino_single_sal" in asked and features:
        notes.append(
            "use_multi_dino_single_sal: their program stops itself in this mode, so that there is no published result; "
            "features are of all windows and saliency of the whole frame"
        )
    if asked[:1] == ["load_dino_dir"] and features:
        notes.append("load_dino_dir: the pyramid that lies there is not read, but computed anew")
        notes += [
            f"load_dino_dir without {key}: the three levels count alike"
            for key in ("load_feat_weight", "load_sal_weight")
            if key not in given
        ]
    loaded = [key for key in ("load_feat_weight", "load_sal_weight") if key in given]
    if loaded and asked[:1] != ["load_dino_dir"]:
        notes.append(f"{', '.join(loaded)} without load_dino_dir has no effect there")
    sizes = [given.get(key, 128) for key in ("load_size", "load_dino_size")]
    if sizes[0] != sizes[1]:
        notes.append(f"load_size is {sizes[0]} and load_dino_size {sizes[1]}, which have to agree; load_size counts")
    if given.get("model_type", MODELS[0]) not in MODELS:
        notes.append(f"model_type {given['model_type']} has no counterpart: features are those of {MODELS[0]}")
    return notes
