"""Which given file belongs to which frame: complete conventions, those that disagree, and what nobody can know."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.llff import write_poses_bounds
from nsff.config import InputConfig
from nsff.datasets import run_ingest
from nsff.datasets.pairing import GivenFiles, by_image_name, rows_in_text_order
from nsff.errors import InputError
from nsff.files.io import read_image, read_npz, write_npz
from nsff.scene import Scene, read_flow


def given(folder: Path, keys: Sequence[str], roles: tuple[str, ...] = ("",)) -> GivenFiles:
    folder.mkdir(parents=True, exist_ok=True)
    for key in keys:
        (folder / f"{key}.npy").touch()
    return GivenFiles(folder, (".npy",), "map", roles)


def paired(folder: Path, names: Sequence[str] | None, keys: Sequence[str], count: int | None = None) -> list[str]:
    """Keys of all frames, in order."""
    files = given(folder, keys)
    number = len(names) if names is not None else count or len(keys)
    files.match(names, count, range(number))
    return [files.path(frame).stem for frame in range(number)]


def series(pattern: str, numbers: Sequence[int]) -> list[str]:
    return [pattern.format(number) for number in numbers]


FRAMES = {
    "from 0": series("{:05d}", range(12)),
    "from 1": series("{:05d}", range(1, 13)),
    "unpadded": series("img{}", range(1, 13)),
    "gaps": series("{:03d}", [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 14]),
    "stride": series("{:05d}", range(0, 36, 3)),
    "message": [f"view_{letter}" for letter in "abcdefghijkl"],
}


@pytest.mark.parametrize("names", FRAMES.values(), ids=FRAMES)
def test_the_frames_own_names(tmp_path: Path, names):
    assert paired(tmp_path, names, names) == names


@pytest.mark.parametrize("names", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("first", [0, 1])
def test_places_counted_from_0_or_1(tmp_path: Path, names, first):
    keys = series("{:03d}", range(first, first + 12))
    assert paired(tmp_path, names, keys) == keys


@pytest.mark.parametrize("names", [FRAMES["gaps"], FRAMES["stride"], FRAMES["unpadded"]])
def test_the_numbers_in_the_names(tmp_path: Path, names):
    numbers = [int("".join(c for c in name if c.isdigit())) for name in names]
    assert paired(tmp_path, names, series("depth_{:06d}", numbers)) == series("depth_{:06d}", numbers)


def test_order_where_nothing_else_speaks(tmp_path: Path):
    """As recorders write: pictures and depth by their own times."""
    names, keys = [f"13{i}.{i * 7 % 10}" for i in range(12)], [f"9{i:02d}.55" for i in range(12)]
    assert paired(tmp_path, names, keys) == keys


@pytest.mark.parametrize(
    ("names", "keys", "message"),
    [
        (FRAMES["from 1"], series("{:05d}", range(13)), "in two ways that disagree"),
        (FRAMES["from 1"], series("{:05d}", range(2, 14)), "are there"),
        (FRAMES["from 0"], series("{:05d}", range(11)), "11 maps, but there are 12 frames"),
        (FRAMES["from 0"], series("{:05d}", range(24)), "24 maps for 12 frames"),
        (FRAMES["message"], series("{:05d}", range(11)), "11 maps, but there are 12 frames"),
        (FRAMES["message"], series("m{:02d}", [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12]), "no such file"),
        (FRAMES["message"][:11], [*series("a{}", range(6)), *series("b{}", range(6))], "no such file"),
        (None, series("{:05d}", range(24)), "of another rate"),
        (None, series("{:05d}", range(6)), "of another rate"),
        (None, series("{:05d}", [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]), "gaps in their numbers .4 is missing"),
    ],
)
def test_what_nobody_can_know(tmp_path: Path, names, keys, message):
    with pytest.raises(InputError, match=message) as caught:
        paired(tmp_path, names, keys, 12)
    assert caught.value.remedy
    assert str(tmp_path) in str(caught.value)


def test_a_video_may_be_miscounted_by_a_few(tmp_path: Path):
    files = given(tmp_path, series("{:05d}", range(13)))
    files.match(None, 12, range(12))
    assert files.path(11).stem == "00011"
    assert "13 maps for 12 frames" in files.note
    assert paired(tmp_path / "times", None, [f"{i * 0.04:.2f}" for i in range(12)], 12)[11] == "0.44"


def test_flow_is_complete_by_what_neighbours_need(tmp_path: Path):
    """fwd of all frames but the last, bwd of all but the first."""
    for first, names in ((0, "from 1"), (0, "from 0"), (1, "from 1"), (1, "from 0"), (0, "stride")):
        folder = tmp_path / f"{first} {names}"
        keys = [f"{first + i:05d}_fwd" for i in range(11)] + [f"{first + i:05d}_bwd" for i in range(1, 12)]
        files = given(folder, keys, ("fwd", "bwd"))
        files.match(FRAMES[names], 12, range(12))
        assert files.path(0, "fwd").stem == f"{first:05d}_fwd"
        assert files.path(11, "bwd").stem == f"{first + 11:05d}_bwd"


def test_a_part_that_is_taken_may_be_all_there_is(tmp_path: Path):
    files = given(tmp_path, series("{:05d}", range(3, 7)))
    files.match(FRAMES["from 0"], 12, range(3, 7))
    assert files.path(5).stem == "00005"
    with pytest.raises(InputError, match="4 maps, none for source frame 8"):
        files.path(8)
    other = given(tmp_path / "other", series("{:05d}", range(8)))
    with pytest.raises(InputError, match="two ways that disagree"):
        other.match(FRAMES["from 1"], 12, range(6))


def test_rows_of_poses_bounds():
    assert rows_in_text_order(["img1.png", "img2.png", "img10.png"]) == [0, 2, 1]
    assert rows_in_text_order(["000.png", "001.png", "010.png"]) == [0, 1, 2]


def test_image_names_of_models():
    files = ["a 1.png", "été 2.png", "3.png"]
    assert by_image_name(["images/e\u0301te\u0301 2.png", "a 1.png"], files) == {1: 0, 0: 1}
    assert by_image_name(["3.jpg", "none.jpg"], files) == {2: 0}
    assert by_image_name(["x.png"], files) == {}
    with pytest.raises(ValueError, match=r"l/3\.png and r/3\.png"):
        by_image_name(["l/3.png", "r/3.png"], files)


# --- through ingest --------------------------------------------------------------------------------------------------
def ingested(root: Path, path: Path, **settings) -> Scene:
    scene = Scene(root / "scene")
    run_ingest(scene, InputConfig(path=str(path), **settings))
    return scene


def clip_cameras(clip) -> Cameras:
    bounds = np.tile([1.5, 6.0], (len(clip), 1))
    return Cameras(np.tile(clip.K, (len(clip), 1, 1)), clip.world_to_camera, bounds, 64, 48)


@pytest.mark.parametrize("kind", ["nvidia", "dynamicnerf"])
def test_flow_and_disparity_numbered_from_0_beside_frames_from_1(
    tmp_path: Path, tiny_clip, picture_writer: Callable, kind: str
):
    root, folder = tmp_path / "in", "flow_i1" if kind == "nvidia" else "flow"
    (root / "disp").mkdir(parents=True)
    for i in range(8):
        picture_writer(root / "images" / f"{i + 1:05d}.png", tiny_clip.frames[i])
        np.save(root / "disp" / f"{i:05d}.npy", np.full((24, 32), i + 1.0, np.float32))
    for i in range(7):
        for j, direction in ((i, "fwd"), (i + 1, "bwd")):
            flow = np.full((24, 32, 2), j, np.float32)
            write_npz(root / folder / f"{j:05d}_{direction}.npz", flow=flow, mask=np.ones((24, 32), bool))
    write_poses_bounds(root / "poses_bounds.npy", clip_cameras(tiny_clip))
    scene = ingested(tmp_path, root)
    assert scene.manifest["source"]["kind"] == kind
    for i in range(8):
        assert read_npz(scene.given_dir / "depth" / f"{i:05d}.npz", ["disparity"])["disparity"][0, 0] == i + 1
        for direction in ("fwd", "bwd"):
            if 0 <= i + (1 if direction == "fwd" else -1) < 8:
                assert read_flow(scene.given_dir / "flow" / f"{i:05d}_{direction}.npz", None)[0][0, 0, 0] == i
    assert sum("counted from 0" in note for note in scene.manifest["notes"]) == 2
    np.save(root / "disp" / "00008.npy", np.ones((24, 32), np.float32))
    with pytest.raises(InputError, match="disagree"):
        ingested(tmp_path, root)
    # With the frames that a longer clip would have, names are complete, and nothing else is.
    (root / "disp" / "00000.npy").unlink()
    scene = ingested(tmp_path, root)
    assert read_npz(scene.given_dir / "depth" / "00003.npz", ["disparity"])["disparity"][0, 0] == 5


def test_masks_numbered_from_0_beside_frames_from_1(tmp_path: Path, tiny_clip, picture_writer: Callable):
    root = tmp_path / "in"
    for i in range(8):
        picture_writer(root / "images" / f"{i + 1:05d}.png", tiny_clip.frames[i])
        mask = np.zeros((48, 64), np.uint8)
        mask[i] = 255
        picture_writer(root / "motion_masks" / f"{i:05d}.png", mask)
        write_npz(tmp_path / "truth" / "depth" / f"{i:05d}.npz", depth=np.full((48, 64), i + 1.0))
    (root / "flow_i1").mkdir()
    assert ingested(tmp_path, root, kind="nvidia").manifest["given"]["masks"]
    scene = ingested(tmp_path, root, kind="nvidia", truth_priors=str(tmp_path / "truth"))
    for i in range(8):
        picture = read_image(scene.given_dir / "motion_masks" / f"{i:05d}.png")[..., 0]
        assert picture.any(axis=1).nonzero()[0].tolist() == [i]
        disparity = read_npz(scene.given_dir / "depth" / f"{i:05d}.npz", ["disparity"])["disparity"]
        assert disparity[0, 0] == pytest.approx(1 / (i + 1))


def test_unpadded_rows_of_poses_bounds(tmp_path: Path, tiny_renderer: Callable, picture_writer: Callable):
    frames, _, _, poses, K = tiny_renderer(12)
    cameras = Cameras(np.tile(K, (12, 1, 1)), poses, np.tile([1.5, 6.0], (12, 1)), 64, 48)
    names = [f"img{i + 1}.png" for i in range(12)]
    for name, image in zip(names, frames, strict=True):
        picture_writer(tmp_path / "in" / "images" / name, image)
    write_poses_bounds(tmp_path / "in" / "poses_bounds.npy", cameras[list(np.argsort(names))])
    scene = ingested(tmp_path, tmp_path / "in")
    np.testing.assert_allclose(Cameras.load(scene.given_dir / "cameras.json").world_to_camera, poses, atol=1e-12)
    assert any("as text" in note for note in scene.manifest["notes"])


def test_depth_at_another_rate_than_the_video(tmp_path: Path, tiny_clip, picture_writer: Callable):
    for count, source in ((16, tiny_clip.video), (16, tiny_clip.frames_dir), (4, tiny_clip.video)):
        shutil.rmtree(tmp_path / "depth", ignore_errors=True)
        for i in range(count):
            picture_writer(tmp_path / "depth" / f"{i:05d}.png", np.full((48, 64), 1000 + 100 * i, np.uint16))
        with pytest.raises(InputError, match=f"{count} depth maps"):
            ingested(tmp_path, source, depth={"path": str(tmp_path / "depth")})
        assert not (tmp_path / "scene" / "manifest.json").exists()


def test_depth_of_a_trimmed_video(tmp_path: Path, tiny_renderer: Callable, video_writer: Callable):
    """As phones trim: the file declares 25 frames and shows 15, of which there are depth maps."""
    import struct

    frames = tiny_renderer(25, 64, 64)[0]
    path = tmp_path / "trimmed.mp4"
    video_writer(path, frames, "libx264", "yuv420p")
    data = bytearray(path.read_bytes())
    media, edits = data.index(b"mdhd") + 4, data.index(b"elst") + 4
    (timescale,) = struct.unpack_from(">I", data, media + 12)
    struct.pack_into(">Ii", data, edits + 8, 1500, struct.unpack_from(">i", data, edits + 12)[0] + timescale)
    path.write_bytes(data)
    (tmp_path / "depth").mkdir()
    for i in range(15):
        np.save(tmp_path / "depth" / f"{i:03d}.npy", np.full((64, 64), i + 1.0))
    for settings in ({}, {"end": 6}):
        scene = ingested(tmp_path, path, depth={"path": str(tmp_path / "depth")}, **settings)
        disparity = read_npz(scene.given_dir / "depth" / "00004.npz", ["disparity"])["disparity"]
        assert disparity[0, 0] == pytest.approx(1 / 5)


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_with_given_cameras_pixels_stay_as_stored(tmp_path: Path, tiny_clip, orientation: int):
    from PIL import Image

    from nsff.cameras.colmap import write_model

    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "in" / "images").mkdir(parents=True)
    for i, image in enumerate(tiny_clip.frames):
        Image.fromarray(image).save(tmp_path / "in" / "images" / f"{i:05d}.png", exif=exif)
    write_model(tmp_path / "in" / "sparse", clip_cameras(tiny_clip), [f"{i:05d}.png" for i in range(8)])
    scene = ingested(tmp_path, tmp_path / "in")
    np.testing.assert_array_equal(scene.frame(3), tiny_clip.frames[3])
    assert scene.manifest["rotation"] == 0
    assert any("EXIF" in note for note in scene.manifest["notes"])
    # Without them pictures are turned upright, as a person sees them.
    scene = ingested(tmp_path, tmp_path / "in", cameras="estimate")
    assert scene.frame(3).shape == ((64, 48, 3) if orientation > 4 else (48, 64, 3))
    assert (scene.frame(3) != tiny_clip.frames[3]).any() if orientation < 5 else True


def test_cameras_of_turned_pictures(tmp_path: Path, tiny_clip):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in" / "images").mkdir(parents=True)
    for i, image in enumerate(tiny_clip.frames):
        Image.fromarray(image).save(tmp_path / "in" / "images" / f"{i:05d}.png", exif=exif)
    cameras = clip_cameras(tiny_clip)
    upright = Cameras(cameras.intrinsics, cameras.world_to_camera, cameras.near_far, 48, 64)
    write_poses_bounds(tmp_path / "in" / "poses_bounds.npy", upright)
    assert ingested(tmp_path, tmp_path / "in").frame(0).shape == (64, 48, 3)


def test_given_depth_of_pictures_turned_in_a_way_that_does_not_show(tmp_path: Path, tiny_clip):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 3
    (tmp_path / "in").mkdir()
    (tmp_path / "depth").mkdir()
    for i, image in enumerate(tiny_clip.frames):
        Image.fromarray(image).save(tmp_path / "in" / f"{i:05d}.png", exif=exif)
        np.save(tmp_path / "depth" / f"{i:05d}.npy", tiny_clip.depth[i])
    with pytest.raises(InputError, match="nobody can know whether given depth"):
        ingested(tmp_path, tmp_path / "in", depth={"path": str(tmp_path / "depth")})


def test_skipped_frames_keep_what_is_theirs(tmp_path: Path, tiny_clip, picture_writer: Callable):
    root = tmp_path / "in"
    shutil.copytree(tiny_clip.frames_dir, root / "images")
    write_poses_bounds(root / "poses_bounds.npy", clip_cameras(tiny_clip))
    (root / "disp").mkdir()
    for i in range(8):
        np.save(root / "disp" / f"{i:05d}.npy", np.full((24, 32), i + 1.0, np.float32))
    (root / "images" / "00003.png").write_text("broken")
    scene = ingested(tmp_path, root, skip=[3, 6])
    assert [frame["index"] for frame in scene.manifest["frames"]] == [0, 1, 2, 4, 5, 7]
    assert read_npz(scene.given_dir / "depth" / "00003.npz", ["disparity"])["disparity"][0, 0] == 5
    cameras = Cameras.load(scene.given_dir / "cameras.json")
    np.testing.assert_allclose(cameras.world_to_camera, tiny_clip.world_to_camera[[0, 1, 2, 4, 5, 7]], atol=1e-12)
    np.testing.assert_array_equal(ingested(tmp_path, tiny_clip.lossless, skip=[3]).frame(3), tiny_clip.frames[4])
    for source in (root, tiny_clip.video):
        with pytest.raises(InputError, match=r"input\.skip names frame 8: it has 8 frames"):
            ingested(tmp_path, source, skip=[3, 8])
