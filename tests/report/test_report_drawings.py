"""Charts, colours and wording of the pages."""

import re
import tomllib
from importlib import resources

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.config import SceneConfig, resolve_scene
from nsff.report.charts import Series, camera_plot, line_chart, log_ticks, nice_ticks, path_length, scatter_chart
from nsff.report.gather import spread
from nsff.report.pictures import (
    colour_map,
    colour_range,
    embed,
    feature_picture,
    feature_range,
    flow_picture,
    shade,
    tint,
)
from nsff.report.section_provenance import differences, duration
from nsff.report.stages import STAGES, as_configured
from nsff.report.verdicts import number_texts, plain_number


def polyline(svg):
    return np.array([[float(v) for v in p.split(",")] for p in re.search(r'points="([^"]*)"', svg)[1].split()])


def test_line_chart_is_to_scale():
    points = polyline(line_chart("t", [Series("a", [0, 1, 2, 4], [0, 1, 2, 4])], "x", "y"))
    assert (np.diff(points[:, 0]) > 0).all() and (np.diff(points[:, 1]) < 0).all()
    steps = np.diff(points, axis=0)
    np.testing.assert_allclose(steps[2], 2 * steps[0], atol=0.2)


def test_logarithmic_chart_is_straight_for_powers():
    points = polyline(line_chart("t", [Series("a", [0, 1, 2], [1, 10, 100])], "x", "y", logarithmic=True))
    np.testing.assert_allclose(points[1], points[[0, 2]].mean(0), atol=0.1)


def test_chart_leaves_out_what_is_not_finite_and_escapes():
    svg = line_chart("a<b", [Series("n&", [0, 1, 2], [1, float("nan"), 3])], "x", "y")
    assert len(polyline(svg)) == 2
    assert "nan" not in svg and "a&lt;b" in svg
    assert line_chart("t", [Series("a", [0], [float("inf")])], "x", "y") == ""


def test_chart_of_constant_values():
    points = polyline(line_chart("t", [Series("a", [0, 1], [7, 7])], "x", "y"))
    assert np.isfinite(points).all() and points[0, 1] == points[1, 1]


def test_scatter_lies_on_its_diagonal_where_values_are_equal():
    values = np.linspace(0.1, 0.6, 50)
    svg = scatter_chart("t", values, values, "x", "y")
    dots = np.array([[float(a), float(b)] for a, b in re.findall(r'cx="([^"]*)" cy="([^"]*)"', svg)])
    (x1, y1), (x2, y2) = polyline(svg)
    assert len(dots) >= 48
    assert np.abs((dots[:, 0] - x1) * (y2 - y1) - (dots[:, 1] - y1) * (x2 - x1)).max() < 0.2 * (x2 - x1)
    twice = scatter_chart("t", values, np.minimum(2 * values, 0.6), "x", "y")
    above = np.array([[float(a), float(b)] for a, b in re.findall(r'cx="([^"]*)" cy="([^"]*)"', twice)])
    line = polyline(twice)
    assert (above[:20, 1] < np.interp(above[:20, 0], line[:, 0], line[:, 1]) - 1).all()


def test_scatter_leaves_out_what_is_not_finite_and_thins_out():
    assert scatter_chart("t", np.array([np.nan]), np.array([1.0]), "x", "y") == ""
    values = np.random.default_rng(0).random(5000)
    svg = scatter_chart("a<b", np.append(values, np.inf), np.append(values, 1.0), "x", "y")
    assert svg.count("<circle") <= 1200
    assert "a&lt;b" in svg and "nan" not in svg and "5000 points" in svg


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 5, 10]), (945, 1058, [950, 1000, 1050]), (-1, 1, [-1, 0, 1]), (0.0, 0.03, [0, 0.01, 0.02, 0.03])],
)
def test_nice_ticks(low, high, expected):
    assert nice_ticks(low, high, 3) == expected


def test_log_ticks():
    np.testing.assert_allclose(10 ** np.array(log_ticks(-3.1, 0.2)), [1e-3, 1e-2, 1e-1, 1])
    np.testing.assert_allclose(10 ** np.array(log_ticks(0, 0.75)), [1, 2, 5])
    assert all(len(log_ticks(a, a + w)) >= 2 for a in (-4.2, 0.01, 2.5) for w in (0.001, 0.05, 0.3, 1, 9))


def test_cameras_from_above():
    """A path to the right, all looking ahead: left to right on the plot, and points ahead above the path."""
    n = 5
    poses = np.tile(np.eye(4)[:3], (n, 1, 1))
    poses[:, 0, 3] = -np.arange(n)
    cameras = Cameras(np.tile(np.diag([50.0, 50, 1]), (n, 1, 1)), poses, np.tile([2.0, 9.0], (n, 1)), 64, 48)
    assert path_length(cameras) == 4
    points = np.array([[1.0, 0, 6], [2, 0, 6], [3, 0, 6]])
    svg = camera_plot("t", cameras, points, np.full((3, 3), 10, np.uint8))
    path = polyline(svg)
    assert (np.diff(path[:, 0]) > 1).all() and np.ptp(path[:, 1]) < 0.2
    placed = np.array(re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="1.6" fill="#0a0a0a"', svg), float)
    np.testing.assert_allclose(placed[:, 0], path[1:4, 0], atol=0.2)
    assert (placed[:, 1] < path[0, 1]).all()
    assert "5 cameras over a path of 4 scene units, turning by up to 0.0 degrees, and 3 points" in svg
    assert "nan" not in camera_plot("t", cameras, np.zeros((0, 3)), np.zeros((0, 3), np.uint8), "side")


def test_flow_colours():
    flow = np.array([[[4.0, 0], [-4, 0], [0, 0], [2, 0], [40, 0]]])
    right, left, still, half, beyond = flow_picture(flow, 4.0)[0].tolist()
    assert right == beyond == [255, 0, 0]
    assert left == [0, 255, 255]
    assert still == [255, 255, 255]
    assert half == [255, 128, 128]


def test_masks_are_drawn_where_they_are():
    image, mask = np.full((9, 9, 3), 100, np.uint8), np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    assert (tint(image, mask)[mask] != 100).any(axis=1).all()
    assert (tint(image, mask)[:2] == 100).all()
    assert (shade(image, ~mask)[~mask] == 100).all() and (shade(image, ~mask)[mask] < 100).all()


def test_colour_range_and_map():
    assert colour_range(np.full(9, 3.0)) == (3.0, 4.0)
    assert colour_range(np.array([np.nan, np.inf])) == (0.0, 1.0)
    assert colour_map(np.array([[0, 0.5, 1, 7, np.nan]]), 0, 1, "gray")[0, :, 0].tolist() == [0, 128, 255, 255, 0]
    assert colour_map(np.zeros((1, 0)), 0, 1).shape == (1, 0, 3)


@pytest.mark.parametrize("channels", [1, 2, 3, 64])
def test_features_of_any_width(channels):
    features = np.random.default_rng(0).normal(size=(4, 6, 8, channels)).astype(np.float16)
    assert feature_picture(features[0], feature_range(features)).shape == (6, 8, 3)


def test_embedded_pictures_are_reduced_never_enlarged(decode):
    image = np.zeros((30, 90, 3), np.uint8)
    assert decode(embed(image, "a", width=45).uri).shape == (15, 45, 3)
    assert decode(embed(image, "a", width=900).uri).shape == (30, 90, 3)


def test_numbers_of_a_summary():
    summary = {
        "verdict": "good", "message": "w", "consistent_fraction": 0.961, "n_frames": 24, "mean_magnitude": 1.8143055,
        "parameters": 12833520, "metric": True, "points_depth_error": None, "area_fractions": {"1": 0.0625},
        "per_frame": [1.0, 2, 3, 4, 5, 6, 7], "notes": [], "blurred": [3, 4],
    }  # fmt: skip
    assert number_texts(summary) == [
        ("consistent fraction", "96.1 %"), ("n frames", "24"), ("mean magnitude", "1.814 px"),
        ("parameters", "12\u2009833\u2009520"), ("metric", "yes"), ("points depth error", "not known"),
        ("area fractions: 1", "6.2 %"), ("per frame", "1 to 7, mean 4 (7 values)"), ("notes", "none"),
        ("blurred", "3, 4"),
    ]  # fmt: skip
    assert plain_number(0.00012345) == "0.0001234"


def test_advice_names_real_settings():
    """Every key in a stage's remedy exists, with its section."""
    config = resolve_scene("s", {"input": {"path": "v.mp4"}}, "demo", {})
    stages = [*STAGES, *(as_configured(stage, config) for stage in STAGES)]
    named = [key for stage in stages for key in re.findall(r"`([^`]*)`", stage.cause + stage.remedy)]
    assert len(named) > 20
    for key in named:
        section, field = key.split(".")
        assert field in SceneConfig.model_fields[section].annotation.model_fields, key


def test_stages_build_on_earlier_ones_only():
    names = [stage.name for stage in STAGES]
    for stage in STAGES:
        assert all(names.index(earlier) < names.index(stage.name) for earlier in stage.builds_on)


def test_objects_by_motion_are_advised_otherwise():
    """Keys of clusters change nothing there."""
    for preset, clusters in (("demo", False), ("nsff", True)):
        config = resolve_scene("s", {"input": {"path": "v.mp4"}}, preset, {})
        said = {s.name: s.remedy for s in (as_configured(stage, config) for stage in STAGES)}
        assert ("decompose.saliency_threshold" in said["cluster"]) == clusters
        assert ("decompose.min_component" in said["postprocess"]) == clusters


def test_differences_from_the_preset():
    config = resolve_scene("s", {"input": {"path": "v.mp4", "stride": 2}, "crf": {"iterations": 9}}, "demo_planes", {})
    assert differences(config) == [
        ("input.path", "v.mp4", ""),
        ("crf.iterations", 9, 5),
        ("input.stride", 2, 1),
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.21, "3.2 s"), (59.96, "1 min 00 s"), (245, "4 min 05 s"), (7620, "2 h 07 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("n", "most", "expected"), [(24, 6, [0, 5, 9, 14, 18, 23]), (3, 6, [0, 1, 2]), (7, 1, [3]), (0, 4, [])]
)
def test_frames_shown(n, most, expected):
    assert spread(range(n), most) == expected


def test_templates_are_package_data(repo):
    names = {path.name for path in resources.files("nsff.report").joinpath("templates").iterdir()}
    assert {"base.html.j2", "page.html.j2", "overview.html.j2", "parts.html.j2", "style.css", "enlarge.js"} <= names
    wheel = tomllib.loads((repo / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["nsff"]  # with all files in its folders
