"""The named protocols: counts of the published benchmarks, splits, duplicates, off-by-one references, averaging."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from nsff.config.inputs import EvaluationConfig
from nsff.datasets.truth_registry import open_truth
from nsff.errors import ConfigError, StageError
from nsff.metrics.protocols import PROTOCOLS, Protocol, ProtocolView, get_protocol, held_out_frames, reference_truth
from nsff.metrics.table import Record, average, collect_scores, wide, write_scores


def scored_views(protocol: Protocol, n_frames: int) -> list[ProtocolView]:
    """Views that count, for N training frames."""
    assert protocol.views is not None
    return [view for view in protocol.views(n_frames) if view.index not in protocol.duplicates(n_frames)]


def test_names_are_those_of_the_configuration() -> None:
    annotation = EvaluationConfig.model_fields["protocol"].annotation
    assert set(PROTOCOLS) == set(annotation.__args__)  # type: ignore[union-attr]
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    with pytest.raises(ConfigError, match="did you mean 'nsff24'"):
        get_protocol("nsff42")


def test_nsff24_has_264_views() -> None:
    views = scored_views(get_protocol("nsff24"), 24)
    assert len(views) == 264
    assert all(view.camera != view.time % 12 for view in views)
    assert Counter(view.time for view in views) == dict.fromkeys(range(24), 11)
    assert [view.index for view in views] == list(range(264))


def test_dynnerf12_has_camera_0_at_12_times() -> None:
    views = scored_views(get_protocol("dynnerf12"), 12)
    assert [(view.camera, view.time) for view in views] == [(0, t) for t in range(12)]
    assert [view.split for view in views].count("training") == 1


def test_saff_splits() -> None:
    protocol = get_protocol("saff")
    views = scored_views(protocol, 24)
    assert Counter(view.split for view in views) == {"training": 24, "nv_spatial": 23, "nv_static": 11}
    assert [v.index for v in views if v.split == "nv_spatial"] == list(range(25, 48))
    assert [v.index for v in views if v.split == "nv_static"] == list(range(49, 60))
    # The same 60 views that the maps stage renders, 24 and 48 among them.
    assert protocol.views is not None
    from nsff.rendering.maps import canonical_views

    everything = [{"index": v.index, "split": v.split, "camera": v.camera, "time": v.time} for v in protocol.views(24)]
    assert everything == canonical_views(24, "saff")


@pytest.mark.parametrize("n", [2, 7, 24, 30])
def test_saff_follows_the_number_of_frames(n: int) -> None:
    counts = Counter(view.split for view in scored_views(get_protocol("saff"), n))
    assert (counts["training"], counts["nv_spatial"], counts["nv_static"]) == (n, n - 1, min(n, 12) - 1)


def test_saff_reference_is_one_off() -> None:
    views = {view.index: view for view in scored_views(get_protocol("saff"), 24)}
    assert (views[25].camera, views[25].time) == (0, 1)
    assert (reference_truth(views[25]).camera, reference_truth(views[25]).time) == (0, 0)
    assert (reference_truth(views[47]).camera, reference_truth(views[47]).time) == (0, 22)
    assert (views[49].camera, views[49].time) == (1, 0)
    assert (reference_truth(views[49]).camera, reference_truth(views[49]).time) == (0, 0)
    assert reference_truth(views[5]) == views[5]


def test_held_out_frames() -> None:
    assert held_out_frames(24, 8) == [7, 15, 23]
    assert held_out_frames(24, 0) == []
    assert held_out_frames(5, 8) == []


def test_counts_on_the_shared_scenes(shared: Path) -> None:
    assert len(open_truth("nsff24", shared / "scenes" / "toss").views) == 264
    truth = open_truth("saff", shared / "scenes" / "toss")
    skipped = get_protocol("saff").duplicates(24)
    counts = Counter(view.split for view in truth.views if view.index not in skipped)
    assert counts == {"training": 24, "nv_spatial": 23, "nv_static": 11}
    views = open_truth("dynnerf12", shared / "scenes" / "balloon1").views
    assert [(view.training_camera, view.time) for view in views] == [(0, float(t)) for t in range(1, 6)]


# --- averages --------------------------------------------------------------------------------------------------------
def records(protocol: str, values: dict[str, list[float]], metric: str = "psnr") -> list[Record]:
    return [
        Record(protocol, "raw", i, split, float(i), "full", metric, value)
        for split, found in values.items()
        for i, value in enumerate(found)
    ]


def test_average_over_images_or_splits() -> None:
    values = {"training": [30.0, 34.0, 32.0], "nv_spatial": [20.0], "nv_static": [float("nan"), 26.0]}
    rows = {(r.split, r.metric): r.value for r in average(records("saff", values), get_protocol("saff"), "s")}
    assert rows["full", "psnr"] == pytest.approx((32 + 20 + 26) / 3)
    assert rows["full", "count"] == 5
    assert rows["nv_static/full", "psnr"] == 26
    assert rows["nv_static/full", "count"] == 1
    values = {"training": [30.0], "heldout": [20.0, 22.0]}
    rows = {(r.split, r.metric): r.value for r in average(records("dynnerf12", values), get_protocol("dynnerf12"), "s")}
    assert rows["full", "psnr"] == pytest.approx(24.0)
    assert rows["heldout/full", "psnr"] == pytest.approx(21.0)
    values = {"heldout": [20.0, 22.0]}
    found = average(records("nsff24", values), get_protocol("nsff24"), "s")
    assert [(r.split, r.metric, r.value) for r in found] == [("full", "psnr", 21.0), ("full", "count", 2.0)]


def test_nothing_but_nan_gives_no_row() -> None:
    assert average(records("views", {"heldout": [float("nan")]}), get_protocol("views"), "s") == []


def test_collect_scores(tmp_path: Path) -> None:
    rows = average(records("views", {"heldout": [20.0, 22.0]}), get_protocol("views"), "a")
    write_scores(tmp_path / "a.csv", rows)
    write_scores(tmp_path / "empty.csv", [])
    assert (tmp_path / "empty.csv").read_text().strip() == "scene,protocol,variant,split,metric,value"
    table = collect_scores([tmp_path / "a.csv", tmp_path / "empty.csv"])
    assert list(table["metric"]) == ["psnr", "count"]
    assert float(wide(table)["psnr"].iloc[0]) == 21.0
    assert len(collect_scores([tmp_path / "empty.csv"])) == 0
    (tmp_path / "bad.csv").write_text("x,y\n1,2\n")
    with pytest.raises(StageError, match=r"bad\.csv"):
        collect_scores([tmp_path / "bad.csv"])
    with pytest.raises(StageError, match="missing"):
        collect_scores([tmp_path / "none.csv"])
