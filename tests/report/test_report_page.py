"""The page of a scene: whole, self-contained, true to the files, and honest about what is absent."""

import base64
import json
import re
import shutil

import numpy as np
import pytest

from nsff.cameras.points import SparsePoints
from nsff.config import resolve_scene
from nsff.files.io import write_npz
from nsff.report import movies
from nsff.report.page import run_report
from nsff.report.stages import STAGES, as_configured
from nsff.scene import Scene

ASKED = [stage for stage in STAGES if stage.name != "render_keyframes"]
"""Stages of a scene without a path of the user's own."""


@pytest.fixture(scope="module")
def page(complete, config, read_page):
    run_report(Scene(complete), config)
    return read_page(complete / "report.html")


def test_well_formed(page):
    assert page.faults == []
    assert page.source.startswith("<!doctype html>")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 10
    for link in page.all("a"):
        assert link["href"].startswith("#")
        assert link["href"][1:] in ids


def test_self_contained(page):
    """Nothing is loaded from elsewhere: every address is in the page itself."""
    for tag, attributes in page.tags:
        for key in ("src", "href", "poster", "data", "action", "srcset"):
            if key in attributes:
                assert attributes[key].startswith(("data:", "#")), (tag, attributes[key][:80])
    styles = re.findall(r"<style>.*?</style>", page.source, re.S)
    assert len(styles) == 1
    assert "url(" not in styles[0] and "@import" not in styles[0]
    assert not re.search(r"https?://", page.source)


def test_everyone_can_read_it(page):
    """Pictures, drawings and videos are described, and light and dark are both provided for."""
    assert len(page.all("img")) > 20
    assert all((attributes.get("alt") or "").strip() for attributes in page.all("img"))
    for tag in ("svg", "video"):
        assert page.all(tag)
        assert all((attributes.get("aria-label") or "").strip() for attributes in page.all(tag))
    assert page.all("html") == [{"lang": "en"}]
    assert "prefers-color-scheme: dark" in page.source
    assert all("controls" in attributes for attributes in page.all("video"))


def test_verdict_of_every_stage(page, complete, config):
    section = page.part('<section id="verdicts"', "</section>")
    for stage in (as_configured(stage, config) for stage in ASKED):
        message = json.loads((complete / "summaries" / f"{stage.name}.json").read_text())["message"]
        assert message in page.part(f'<section id="{stage.section}"', "</section>")
        assert stage.title in section
    assert section.count(": good") == 10
    assert section.count(": doubtful") == 4
    assert section.count(": poor") == 4
    assert "some fraction 50.0 %" in page.text


def test_results_come_first_and_what_is_good_is_folded(page):
    keys = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    first = keys.index("verdicts")
    assert keys[:first] == ["page", "videos", "objects", "scores"]
    assert keys[first + 1 : first + 3] == ["input", "flow"]
    folded = {}
    for key in keys[first + 1 :]:
        start = page.source.index(f'<section id="{key}"')
        folded[key] = '<details class="stage">' in page.source[start : start + 120]
    assert folded["flow"] and folded["input"] and folded["settings"]
    assert not folded["cameras"] and not folded["features"]  # poor, and doubtful
    assert folded["depth"]  # doubtful, but the score is good
    assert all("autoplay" in video and "muted" in video and "loop" in video for video in page.all("video"))


def test_the_scene_to_fly_through_is_shown_from_the_file_beside_it(scene, config, read_page):
    run_report(scene, config)
    assert "The scene to fly through is not shown: scene.html is not there" in read_page(scene.report_path).text
    scene.page_path.write_text("<!doctype html>")
    run_report(scene, config)
    page = read_page(scene.report_path)
    assert [frame["src"] for frame in page.all("iframe")] == ["scene.html#embedded"]
    assert "scene.html" in [link["href"] for link in page.all("a")]


def test_input_beside_its_rendering(page):
    """Twice as wide as a frame."""
    (video,) = [v for v in page.all("video") if v["aria-label"] == "Input beside its rendering"]
    assert int(video["width"]) / int(video["height"]) == pytest.approx(2 * 64 / 48, rel=0.05)


def test_one_true_object_has_no_foreground_ari(scene, config, read_page):
    with scene.scores_path.open("a") as stream:
        stream.write("tiny,masks,crf,full,fg_ari,0.5625\n")
    run_report(scene, config)
    assert "fg-ARI" in read_page(scene.report_path).text
    scene.write_summary("score", scene.summary("score") | {"protocols": {"masks": {"true_objects": 1}}})
    run_report(scene, config)
    text = read_page(scene.report_path).text
    assert "fg-ARI" not in text and "0.5625" not in text
    assert "Jaccard" in text


def test_rows_become_cards_on_narrow_screens(page):
    labels = [attributes["data-label"] for attributes in page.all("td") if "data-label" in attributes]
    assert "whole picture, PSNR, dB ↑" in labels and "moving parts only, PSNR, dB ↑" in labels


def test_box_lists_what_went_wrong_in_order(page):
    box = page.part('id="wrong"', '<section id="verdicts"')
    box, settled = box.split("Doubts that later stages settled")
    bad = ["coarse_masks", "sfm", "features", "render_time", "render_spacetime", "postprocess", "crf"]
    places = [box.index(f"The words of {stage} & its <numbers>.") for stage in bad]
    assert places == sorted(places)
    assert "The words of flow" not in box
    assert "The words of depth & its <numbers>." in settled, "the score is good"
    assert box.count("Likely cause") == box.count("What to do") == len(bad)
    titles = {stage.name: stage.title for stage in STAGES}
    # Features build on cameras, which build on structure from motion, which is poor here.
    assert f"{titles['coarse_masks']}, {titles['sfm']} above are not good" in box


def test_nothing_went_wrong(scene, config, read_page, set_verdict):
    for stage in ASKED:
        set_verdict(scene, stage.name, "good")
    run_report(scene, config)
    box = read_page(scene.report_path).part('id="wrong"', '<section id="verdicts"')
    assert box == "What went wrong Nothing: every stage calls its result good."


def test_scores_are_those_of_the_file(page, scores):
    section = page.part('<section id="scores"', "</section>")
    decimals = {"psnr": 2, "count": 0, "count_masks": 0}
    for _, variant, _, metric, value in scores:
        assert variant in section
        assert f"{value:.{decimals.get(metric, 4)}f}" in section
    assert "whole picture moving parts only" in section
    assert "23.25" in section  # of a single view
    assert "views: 24.38 dB (aligned), 17.62 dB where it moves" in page.text


def test_times_settings_versions(page):
    text = page.part('<section id="provenance"', "</section>")
    assert "2 min 05 s" in text and "512" in text and "1.5" in text
    assert "2 min 08 s" in text  # 125 s and 2.5 s together
    assert "numpy" in text and np.__version__ in text
    settings = page.part('<section id="settings"', "</section>")
    assert "train.steps 30" in settings
    assert "max_clusters: 24" in settings


def test_pictures_show_the_files(page, complete, decode):
    first = next(a for a in page.all("img") if a["alt"] == "input frame, frame 0")
    shown = decode(first["src"]).astype(float)
    differences = [np.abs(shown - Scene(complete).frame(i)).mean() for i in range(4)]
    assert differences[0] < 6 < min(differences[1:])  # JPEG of a noisy texture
    video = (complete / "renders" / "view.mp4").read_bytes()
    assert f'src="data:video/mp4;base64,{base64.b64encode(video).decode()}"' in page.source


def test_size(complete):
    assert (complete / "report.html").stat().st_size < 1_000_000


def test_names_are_escaped(complete, config, tmp_path, read_page, set_verdict):
    odd = "a<b>\"'&é <script>alert(1)</script>".replace("/", "∕")
    scene = Scene(shutil.copytree(complete, tmp_path / odd))
    set_verdict(scene, "flow", "poor", "</div><script>alert(2)</script> & more")
    manifest = json.loads(scene.manifest_path.read_text())
    manifest["source"]["path"] = '"><img src=x onerror=alert(3)>'
    scene.manifest_path.write_text(json.dumps(manifest))
    run_report(scene, config)
    page = read_page(scene.report_path)
    assert page.faults == []
    assert len(page.all("script")) == 1  # the page's own
    assert not any("onerror" in attributes for attributes in page.all("img"))
    for text in (odd, "</div><script>alert(2)</script> & more", '"><img src=x onerror=alert(3)>'):
        assert text in page.text


ABSENT = [
    {
        "frames": "Frames is not shown: frames is not there",
        "points.npz": "Points of the scene is not shown: points.npz is missing",
        "depth": "Inverse depth is not shown",
        "model": "Curves of the training is not shown",
        "clusters": "Objects by motion is not shown",
        "score_pictures": "Contact sheets is not shown",
        "benchmarks": "Time of each stage is not shown",
    },
    {
        "flow": "Flow to the next frame is not shown",
        "motion_masks": "Motion masks, from the cameras is not shown",
        "features": "Saliency is not shown",
        "renders": "Video: camera and time move is not shown: renders/spacetime.mp4 is not there",
        "masks": "Objects before the CRF is not shown",
        "scores.csv": "Scores is not shown: scores.csv: missing",
        "summaries": "No summary: the stage has not run",
    },
    {
        "coarse_masks": "Coarse masks, before cameras are known is not shown",
        "cameras.json": "Camera path is not shown",
        "maps": "Weight of the dynamic field is not shown",
        "masks_crf": "Objects after the CRF is not shown",
    },
    {"manifest.json": "Facts about the source is not shown: manifest.json: missing"},
]


@pytest.mark.parametrize("gone", ABSENT, ids=lambda gone: next(iter(gone)))
def test_absent_parts_are_named(scene, config, read_page, gone):
    for name in gone:
        path = scene.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run_report(scene, config)
    page = read_page(scene.report_path)
    assert page.faults == []
    for said in gone.values():
        assert said in page.text


def test_depth_is_laid_beside_what_is_known(scene, config, read_page):
    def section(**summary) -> tuple[str, str]:
        scene.write_summary("depth", {**scene.summary("depth"), **summary})
        run_report(scene, config)
        page = read_page(scene.report_path)
        assert page.faults == []
        start = page.source.index('<section id="depth"')
        return page.part('<section id="depth"', "</section>"), page.source[
            start : page.source.index("</section>", start)
        ]

    text, _ = section()
    assert "the disparity has no unit" in text
    assert "unit none: relative" in text
    # Metric, not aligned: the sparse points that the frames see.
    pixels = np.array([[4.5, 4.5, 1], [60.5, 4.5, 1]])
    depth = 1 / scene.disparity(0)[0][4, [4, 60]]
    seen = pixels @ np.linalg.inv(scene.cameras.intrinsics[0]).T * depth[:, None]
    xyz = seen + scene.cameras.camera_to_world[0, :, 3]  # the cameras do not turn
    SparsePoints(xyz, np.zeros((2, 3)), np.zeros(2), np.arange(2), np.zeros(2)).save(scene.points_path)
    text, source = section(metric=True, backend="classical")
    assert "At the static points of structure from motion" in text
    assert "2 points, and the line" in source
    # Aligned: what the alignment was fitted to, and the error of each frame.
    values = np.linspace(0.1, 0.5, 30)
    write_npz(scene.depth_dir / "alignment.npz", frame=np.zeros(30), inverse_depth=values, aligned=values)
    text, source = section(
        backend="midas21", alignment_error=0.031, alignment_error_before=0.4, frame_error=[0.03, None, 0.04, 0.02],
        frames_fitted_to_points=3, frames_interpolated=1,
    )  # fmt: skip
    assert "30 points, and the line" in source
    assert "error: from 3 at 0 to 2 at 3" in source
    for message in ("backend midas21", "unit 1/scene units", "known points (median) 3.1%", "all frames (median) 40.0%"):
        assert message in text


def test_empty_folder(tmp_path, config, read_page):
    run_report(Scene(tmp_path / "nothing"), config)
    page = read_page(tmp_path / "nothing" / "report.html")
    assert page.faults == []
    assert "no frames yet; not scored" in page.text
    assert page.all("img") == []


DAMAGED = [
    {
        "frames/00000.png": "00000.png: not readable as an image",
        "flow/00000_fwd.npz": "00000_fwd.npz: corrupt",
        "depth/00003.npz": "00003.npz: corrupt",
        "model/history.csv": "history.csv: not readable as a history",
        "maps/views.json": "views.json: not readable as JSON",
        "renders/view.mp4": "view.mp4: not readable as a video",
        "scores.csv": "scores.csv: ",
        "score_pictures/per_view.csv": "per_view.csv: ",
        "summaries/train.json": "Its summary cannot be read",
        "benchmarks/train.tsv": "train.tsv: not readable as a benchmark",
    },
    {"cameras.json": "cameras.json: not readable as JSON", "points.npz": "Camera path is not shown"},
    {"manifest.json": "manifest.json: not readable as JSON", "summaries/crf.json": "Its summary cannot be read"},
]


@pytest.mark.parametrize("damaged", DAMAGED, ids=lambda damaged: next(iter(damaged)))
def test_damaged_files_are_named(scene, config, read_page, damaged):
    for name in damaged:
        (scene.root / name).write_bytes(b"\x00nonsense")
    run_report(scene, config)
    page = read_page(scene.report_path)
    assert page.faults == []
    for said in damaged.values():
        assert said in page.text


def test_without_truth(scene, read_page):
    scene.scores_path.write_text("scene,protocol,variant,split,metric,value\n")
    run_report(scene, resolve_scene("tiny", {"input": {"path": "clip.mp4"}}, "demo_planes", {}))
    page = read_page(scene.report_path)
    assert "Scores is not shown: no evaluation is configured" in page.text
    scene.write_summary("score", {"protocols": {}, "verdict": "good", "message": "There is nothing to score."})
    run_report(scene, resolve_scene("tiny", {"input": {"path": "clip.mp4"}}, "demo_planes", {}))
    page = read_page(scene.report_path)
    assert "Scores: left out" in page.part('<section id="verdicts"', "</section>")


def test_without_features(scene, read_page):
    """Stages that the settings leave out are called so, and are no trouble."""
    for folder in ("features", "clusters", "masks", "masks_crf"):
        shutil.rmtree(scene.root / folder)
    for stage in ("features", "cluster", "postprocess", "crf", "render_view"):
        (scene.summaries_dir / f"{stage}.json").unlink()
    own = {"input": {"path": "c"}, "field": {"features": False, "saliency": False}, "render": {"paths": ["time"]}}
    run_report(scene, resolve_scene("tiny", own, "demo_planes", {}))
    page = read_page(scene.report_path)
    assert "Features and saliency: left out" in page.part('<section id="verdicts"', "</section>")
    assert "Not run: field.features is false" in page.part('<section id="features"', "</section>")
    assert "Not run: render.paths does not name it" in page.text
    box = page.part('id="wrong"', '<section id="verdicts"')
    assert "Object masks" not in box


def test_large_videos_are_embedded_smaller(scene, config, read_page, monkeypatch):
    original = scene.renders_dir.joinpath("view.mp4").stat().st_size
    monkeypatch.setattr(movies, "LARGEST_VIDEO", original * 4 // 5)
    run_report(scene, config)
    page = read_page(scene.report_path)
    assert "in full size: renders/view.mp4" in page.text
    videos = [attributes["src"] for attributes in page.all("video")]
    assert all(len(base64.b64decode(v.split(",")[1])) <= original * 4 // 5 for v in videos)


def test_videos_beside_the_page(scene, read_page):
    own = {"input": {"path": "clip.mp4"}, "report": {"embed_videos": False, "frames": 1}}
    run_report(scene, resolve_scene("tiny", own, "demo_planes", {}))
    sources = [attributes["src"] for attributes in read_page(scene.report_path).all("video")]
    assert sources[:3] == ["renders/spacetime.mp4", "renders/time.mp4", "renders/view.mp4"]
