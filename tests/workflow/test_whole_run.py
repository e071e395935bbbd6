"""The whole workflow on a tiny clip, in a folder with spaces, accents and quotes; then what a change re-runs."""

import csv
import json
import re
import zipfile

import pytest

from nsff.files.io import read_image, read_mask

AFTER_CLUSTER = {"cluster", "postprocess", "crf", "score", "report", "collect_scores", "overview"}
STAGES = {
    "ingest", "flow", "coarse_masks", "sfm", "cameras", "motion", "depth", "features", "train", "maps",
    "render_spacetime", "cluster", "postprocess", "crf", "score",
}  # fmt: skip


@pytest.fixture
def reconfigured(finished):
    """A function that says which rules would run after a change of sections; the files stay as they are."""
    project, before = finished.project, finished.project.config

    def rules(targets=(), **sections):
        own = {key: value for key, value in before.items() if key != "scenes"}
        for section, values in sections.items():
            own[section] = {**own.get(section, {}), **values}
        project.configure(before["scenes"], **own)
        return project.changed(*targets)

    yield rules
    project.configure(before["scenes"], **{key: value for key, value in before.items() if key != "scenes"})


def test_everything_is_made(finished):
    assert finished.ended.status == 0, finished.ended.text[-4000:]
    scene = finished.project.scene(finished.scene)
    for path in (
        "manifest.json", "frames/00006.png", "raw_flow/00000_fwd.npz", "coarse_masks/00006.png", "cameras.json",
        "poses_bounds.npy", "points.npz", "pixel_map.npz", "images/00006.png", "flow/00006_bwd.npz",
        "motion_masks/00003.png", "depth/00006.npz", "features/features.npy", "model/model.safetensors",
        "renders/spacetime.mp4", "maps/6_rgb.png", "clusters/clusters.json",
        "masks/6.png", "masks_crf/6.png", "scores.csv", "report.html", "../index.html", "../scores.csv",
    ):  # fmt: skip
        assert (scene / path).stat().st_size > 0, path
    assert read_image(scene / "maps" / "0_rgb.png").shape == (48, 64, 3)
    assert read_mask(scene / "masks_crf" / "0.png").shape == (48, 64)


def test_every_stage_leaves_a_verdict_a_log_and_times(finished):
    scene = finished.project.scene(finished.scene)
    assert {path.stem for path in (scene / "summaries").iterdir()} == STAGES
    for path in (scene / "summaries").iterdir():
        summary = json.loads(path.read_text())
        assert summary["verdict"] in ("good", "doubtful", "poor")
        assert len(summary["message"]) > 10
    assert {path.stem for path in (scene / "logs").iterdir()} == STAGES | {"report"}
    assert {path.stem for path in (scene / "benchmarks").iterdir()} == STAGES | {"report"}
    assert "resuming" not in (scene / "logs" / "train.log").read_text()


def test_scores_are_in_long_form_and_collected(finished):
    own = list(csv.DictReader((finished.project.scene(finished.scene) / "scores.csv").open()))
    assert list(own[0]) == ["scene", "protocol", "variant", "split", "metric", "value"]
    assert {row["protocol"] for row in own} == {"refit", "views", "masks"}
    assert {row["scene"] for row in own} == {finished.scene}
    assert {"psnr", "ssim", "jaccard", "ari"} <= {row["metric"] for row in own}
    together = list(csv.DictReader((finished.project.folder / "results" / "scores.csv").open()))
    assert together == own


def test_scores_show_that_the_stages_fit_together(finished):
    """Wrong axes, times or pixel centres anywhere between the stages would cost far more than these bounds leave."""
    rows = list(csv.DictReader((finished.project.scene(finished.scene) / "scores.csv").open()))
    value = {(r["protocol"], r["variant"], r["split"], r["metric"]): float(r["value"]) for r in rows}
    assert value["views", "raw", "full", "psnr"] > 20
    assert value["masks", "motion", "full", "jaccard"] > 0.7
    assert value["masks", "nsff_blend", "full", "jaccard"] > 0.2


def test_a_page_stands_alone(finished):
    text = (finished.project.scene(finished.scene) / "report.html").read_text()
    assert finished.scene in text
    # Everything that a browser would load by itself is inside.
    loaded = re.findall(r"""<[^>]+\s(?:src|srcset|poster)\s*=\s*["']?(.{5})|<link[^>]*href=["']?(.{5})""", text)
    assert {a or b for a, b in loaded} == {"data:"}
    assert "@import" not in text


def test_nothing_but_results_is_written(finished):
    assert {path.name for path in finished.project.folder.iterdir()} == {
        ".snakemake", "results", "config.yaml", "clip n° 1", "vérité (1)",
    }  # fmt: skip


def test_nothing_half_written_is_left(finished):
    assert [path for path in (finished.project.folder / "results").rglob(".tmp*")] == []


def test_a_second_run_has_nothing_to_do(finished):
    ended = finished.project.snakemake()
    assert ended.status == 0
    assert "Nothing to be done" in ended.text


@pytest.mark.parametrize(
    ("sections", "rules"),
    [
        ({"decompose": {"max_clusters": 3}}, AFTER_CLUSTER),
        ({"crf": {"iterations": 4}}, AFTER_CLUSTER - {"cluster", "postprocess"}),
        ({"report": {"width": 80}}, {"report", "overview"}),
        ({"score": {"dilation": 3}}, {"score", "report", "collect_scores", "overview"}),
        ({"render": {"frame_rate": 5, "pictures": True}}, {"render", "report", "overview"}),
        ({"render": {"canonical_views": "saff"}}, {"maps"} | AFTER_CLUSTER),
        ({"train": {"steps": 151}}, {"train", "render", "maps"} | AFTER_CLUSTER),
        ({"depth": {"max_interval": 5}}, {"depth", "train", "render", "maps"} | AFTER_CLUSTER),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_change_reruns_what_follows_and_nothing_else(reconfigured, sections, rules):
    assert reconfigured(**sections) == rules


def test_a_changed_stage_alone(reconfigured, finished):
    targets = [f"results/{finished.scene}/masks"]
    assert reconfigured(targets, decompose={"max_clusters": 3}) == {"cluster", "postprocess"}


def test_clustering_again_leaves_the_model_alone(finished, tmp_path):
    project = finished.copy(tmp_path)
    scene = project.scene(finished.scene)
    before = {path: path.stat().st_mtime_ns for path in (scene / "model").iterdir()}
    project.configure(project.config["scenes"], decompose={"method": "clusters", "max_clusters": 2, "restarts": 1})
    ended = project.snakemake(f"results/{finished.scene}/masks")
    assert ended.status == 0, ended.text[-3000:]
    assert "2 of 2 steps" in ended.text
    assert {path: path.stat().st_mtime_ns for path in (scene / "model").iterdir()} == before
    clusters = json.loads((scene / "clusters" / "clusters.json").read_text())
    assert clusters != json.loads((finished.project.scene(finished.scene) / "clusters" / "clusters.json").read_text())


def test_new_frames_in_a_folder_are_noticed(finished, tmp_path):
    """A folder's own time says nothing of its files' contents."""
    project = finished.copy(tmp_path)
    frame = project.folder / "clip n° 1" / "images" / "00003.png"
    status = frame.parent.parent.stat()
    frame.write_bytes((frame.parent / "00002.png").read_bytes())
    assert frame.parent.parent.stat().st_mtime_ns == status.st_mtime_ns
    assert "ingest" in project.changed()


def test_new_truth_scores_again_and_trains_nothing(finished, tmp_path):
    project = finished.copy(tmp_path)
    label = project.folder / "vérité (1)" / "labels" / "00003.png"
    label.write_bytes((label.parent / "00002.png").read_bytes() + b" ")
    assert project.changed() == {"score", "report", "collect_scores", "overview"}


@pytest.mark.parametrize("name", ["report.html", "report.zip"])
def test_snakemakes_own_report(finished, tmp_path, name):
    ended = finished.project.snakemake("--report", str(tmp_path / name))
    assert ended.status == 0, ended.text[-3000:]
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            files = {entry.split("/")[-1] for entry in archive.namelist()}
            assert {"preview.png", "spacetime.mp4", "scores.csv", "index.html"} <= files
            text = archive.read("report/report.html").decode()
    else:
        text = (tmp_path / name).read_text()
    start = '<script id="results">\n    var results = '
    results = json.JSONDecoder().raw_decode(text[text.index(start) + len(start) :])[0]
    captions = {path: entry["caption"] for path, entry in results.items()}
    assert all(captions.values())
    scene = f"results/{finished.scene}"
    assert f"Objects of {finished.scene} after the dense CRF" in captions[f"{scene}/masks_crf/preview.png"]
    assert "along the spacetime path" in captions[f"{scene}/renders/spacetime.mp4"]
    assert f"{scene}/masks_crf/colour/6.png" in captions
    assert f"{scene}/masks_crf/6.png" not in captions  # label numbers: black to the eye


def test_a_lost_file_is_made_again(finished, tmp_path):
    project = finished.copy(tmp_path)
    video = f"results/{finished.scene}/renders/spacetime.mp4"
    (project.folder / video).unlink()
    assert project.changed(video) == {"render"}
