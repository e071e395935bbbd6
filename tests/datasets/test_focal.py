"""Focal lengths from EXIF and from the metadata of videos, and what is no focal length."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from nsff.config import InputConfig
from nsff.datasets.focal import QUICKTIME, focal_of_picture, focal_of_video
from nsff.datasets.ingest import run_ingest
from nsff.scene import Scene


def photograph(path: Path, tags: dict[int, object], size: tuple[int, int] = (300, 200)) -> Path:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update(tags)
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(noise).save(path, exif=exif)
    return path


def test_film_equivalents_are_over_the_diagonal_of_film(tmp_path: Path):
    # 36 mm on film of 36 mm across: as many pixels as the picture of 3:2 has columns.
    ratio = focal_of_picture(photograph(tmp_path / "a.jpg", {0xA405: 36}))
    assert ratio is not None and ratio * np.hypot(300, 200) == pytest.approx(300)


def test_millimetres_and_the_resolution_of_the_sensor(tmp_path: Path):
    # 10 mm on a sensor of 3000 pixels over 20 mm (150 per mm, or 3810 per inch): 1500 of 3000 columns, reduced to 300.
    tags = {0x920A: IFDRational(10), 0xA20E: IFDRational(3810), 0xA210: 2, 0xA002: 3000, 0xA003: 2000}
    ratio = focal_of_picture(photograph(tmp_path / "a.jpg", tags))
    assert ratio is not None and ratio * np.hypot(300, 200) == pytest.approx(150)
    tags |= {0xA20E: IFDRational(1500), 0xA210: 3}  # per centimetre
    assert focal_of_picture(photograph(tmp_path / "b.jpg", tags)) == pytest.approx(ratio)


@pytest.mark.parametrize("tags", [{}, {0xA405: 0}, {0x920A: IFDRational(4)}, {0xA405: 1}, {0xA405: 60000}])
def test_unknown_and_absurd_entries_are_no_guess(tmp_path: Path, tags: dict[int, object]):
    assert focal_of_picture(photograph(tmp_path / "a.jpg", tags)) is None
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    assert focal_of_picture(tmp_path / "b.jpg") is None


def test_entries_of_phones():
    assert focal_of_video({}, {QUICKTIME: "26"}) == pytest.approx(26 / 43.2666, rel=1e-4)
    assert focal_of_video({QUICKTIME: "50.00mm"}, {QUICKTIME: "26"}) == pytest.approx(50 / 43.2666, rel=1e-4)
    assert focal_of_video({QUICKTIME: "wide"}, {}) is None


def test_ingest_keeps_the_guess_in_pixels_of_its_frames(tmp_path: Path):
    for i in range(3):
        photograph(tmp_path / "photos" / f"{i}.jpg", {0xA405: 36})
    scene = Scene(tmp_path / "scene")
    run_ingest(scene, InputConfig(path=str(tmp_path / "photos"), max_height=100))
    assert (scene.manifest["width"], scene.manifest["height"]) == (150, 100)
    assert scene.manifest["focal_guess"] == pytest.approx(150)


def test_a_video_with_and_without_a_word_of_its_lens(tmp_path: Path, tiny_clip, video_writer: Callable):
    import av

    scene = Scene(tmp_path / "without")
    run_ingest(scene, InputConfig(path=str(tiny_clip.video)))
    assert scene.manifest["focal_guess"] is None
    path = tmp_path / "phone.mov"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata[QUICKTIME] = "26"
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 10)
        for image in tiny_clip.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    scene = Scene(tmp_path / "with")
    run_ingest(scene, InputConfig(path=str(path)))
    assert scene.manifest["focal_guess"] == pytest.approx(26 / 43.2666 * 80, rel=1e-4)
