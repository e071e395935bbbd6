"""The page over all scenes: numbers of scores.csv, links that lead somewhere, scenes that are not done."""

import shutil

import pandas as pd

from nsff.report.overview import run_overview
from nsff.scene import Scene


def test_numbers_are_those_of_the_scores(scene, read_page):
    out = scene.root.parent / "index.html"
    scene.report_path.write_text("page")
    run_overview([scene.root], out)
    page = read_page(out)
    assert page.faults == []
    table = pd.read_csv(scene.scores_path)

    def value(protocol, variant, split, metric):
        keys = {"protocol": protocol, "variant": variant, "split": split, "metric": metric}
        return float(table.loc[(table[list(keys)] == pd.Series(keys)).all(axis=1), "value"].item())

    full, dynamic = (value("views", "aligned", split, "psnr") for split in ("full", "dynamic"))
    assert f"{full:.2f} / {dynamic:.2f}" in page.text
    assert f"{value('views', 'aligned', 'full', 'ssim'):.4f}" in page.text
    cells = [(a["data-label"], a.get("data-value")) for a in page.all("td") if a["data-label"].startswith("Jaccard")]
    assert cells == [("Jaccard ↑", None), ("Jaccard ↑", str(round(value("masks", "crf", "full", "jaccard"), 4)))]
    assert "20.12" not in page.text  # raw, where there is aligned
    assert "! Coarse motion masks: doubtful" in page.text
    assert "✕ Structure from motion: poor" in page.text
    assert "7 to look at" in page.text  # depth is doubtful, but the score is good


def test_links_and_thumbnails(complete, tmp_path, read_page, decode):
    results = tmp_path / "results"
    names = ["plain", "with space & <é>", "unfinished"]
    for name in names[:2]:
        shutil.copytree(complete, results / name)
        (results / name / "report.html").write_text("page")
    (results / "unfinished").mkdir()
    (results / "plain" / "scene.html").write_text("the scene")
    run_overview([results / name for name in names], results / "index.html")
    page = read_page(results / "index.html")
    assert page.faults == []
    links = [a["href"] for a in page.all("a")][1:]
    links.remove("plain/scene.html")
    assert links[:2] == ["plain/report.html", "with%20space%20%26%20%3C%C3%A9%3E/report.html"]
    assert set(links) == set(links[:2])
    assert all(name in page.text for name in names)
    assert "(no page yet)" in page.text
    assert "none: scores.csv: missing" in page.text
    videos = page.all("video")
    assert len(videos) == 2 and all("autoplay" in video and video["aria-label"] for video in videos)
    assert page.all("img") == []
    shutil.rmtree(results / "plain" / "renders")
    run_overview([results / name for name in names], results / "index.html")
    (picture,) = read_page(results / "index.html").all("img")
    assert picture["alt"] == "Frame 2 of plain"
    assert decode(picture["src"]).shape == Scene(results / "plain").frame(0).shape
