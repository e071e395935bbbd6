"""The page of a scene: what every stage made, a verdict for each, and what went wrong, in one HTML file."""

from __future__ import annotations

import jinja2

from nsff.config import SceneConfig
from nsff.errors import StageError
from nsff.files.io import write_text
from nsff.report.content import RESULTS
from nsff.report.gather import Material
from nsff.report.scoring import MainScore, main_scores, number, read_scores
from nsff.report.section_geometry import cameras_section, depth_section
from nsff.report.section_inputs import flow_section, input_section, masks_section
from nsff.report.section_model import features_section, maps_section, training_section, videos_section
from nsff.report.section_objects import objects_section
from nsff.report.section_page import page_section
from nsff.report.section_provenance import duration, provenance_section, settings_section
from nsff.report.section_scores import scores_section
from nsff.report.verdicts import Verdict, outcome, read_verdicts, troubles
from nsff.scene import Scene

SECTIONS = (
    page_section,
    videos_section,
    objects_section,
    scores_section,
    input_section,
    flow_section,
    cameras_section,
    masks_section,
    depth_section,
    features_section,
    training_section,
    maps_section,
    settings_section,
    provenance_section,
)
"""Results first, then how they came about in the order of the pipeline."""


def run_report(scene: Scene, config: SceneConfig) -> None:
    """Writes report.html: one file without any reference outside itself (but for the scene's page beside it, and for
    videos where ``report.embed_videos`` is false). Parts whose files are missing or damaged are named as absent, with
    the reason.
    """
    verdicts = read_verdicts(scene, config)
    material = Material(scene, config, verdicts)
    sections = [make(material) for make in SECTIONS]
    page = (
        environment()
        .get_template("page.html.j2")
        .render(
            scene=scene.name,
            outcome=outcome(verdicts),
            headline=headline(scene, verdicts),
            verdicts=verdicts,
            settled=[verdict for verdict in verdicts if verdict.settled_by],
            troubles=troubles(verdicts),
            results=[section for section in sections if section.key in RESULTS],
            stages=[section for section in sections if section.key not in RESULTS],
        )
    )
    write_text(scene.report_path, page)


def environment() -> jinja2.Environment:
    """Templates of this package; everything put into them is escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("nsff.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def headline(scene: Scene, verdicts: list[Verdict]) -> str:
    """The result in one line: how much came in, how good it is on held-out views, how long it trained."""
    said: list[str] = []
    try:
        said.append(f"{scene.n_frames} frames of {scene.manifest['width']}×{scene.manifest['height']}")
    except (StageError, KeyError):
        said.append("no frames yet")
    try:
        said += [score_words(score) for score in main_scores(read_scores(scene))]
    except StageError:
        said.append("not scored")
    try:
        objects = (scene.summary("crf") or {}).get("n_objects")
        train = scene.summary("train") or {}
    except StageError:
        objects, train = None, {}
    if isinstance(objects, int):
        said.append(f"{objects} object{'' if objects == 1 else 's'}")
    if "seconds" in train and "steps" in train:
        said.append(f"trained {train['steps']} steps in {duration(train['seconds'])} on {train.get('device')}")
    bad = sum(verdict.troubled and verdict.level in ("doubtful", "poor") for verdict in verdicts)
    if bad:
        said.append(f"{bad} stage{'' if bad == 1 else 's'} to look at")
    return "; ".join(said) + "."


def score_words(score: MainScore) -> str:
    """The scores of one protocol as text, such as: views: 23.78 dB (aligned), 17.01 dB where it moves."""
    for metric, unit in (("psnr", " dB"), ("jaccard", "")):
        if metric in score.full:
            name = "Jaccard " if metric == "jaccard" else ""
            message = f"{score.protocol}: {name}{number(metric, score.full[metric])}{unit} ({score.variant})"
            if metric in score.dynamic:
                message += f", {number(metric, score.dynamic[metric])}{unit} where it moves"
            return message
    return f"{score.protocol}: {score.variant}"
