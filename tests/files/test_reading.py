"""Files that are none, or larger than they look, are refused by name before they are read; whatever raises is told."""

import io
import os
import struct
import tokenize
import zipfile
import zlib

import cv2
import numpy as np
import pytest
import torch

from nsff.cameras import Cameras
from nsff.cameras.colmap import read_model
from nsff.cameras.llff import read_poses_bounds
from nsff.cameras.nerfstudio import read_transforms
from nsff.datasets.frames import FrameFolder, read_picture
from nsff.datasets.priors import load_array, read_disparity, read_given_flow
from nsff.datasets.sensor_depth import read_values
from nsff.datasets.truth import read_labels
from nsff.datasets.video import VideoSource
from nsff.errors import InputError, NsffError, StageError, printable
from nsff.files.arrays import load, map_npy, read_npy
from nsff.files.decoding import LARGEST_PICTURE, decode
from nsff.files.io import read_image, read_json, read_mask, read_npz
from nsff.files.reading import read_text, reading
from nsff.metrics.folder import read_prediction_labels
from nsff.metrics.table import collect_scores
from nsff.models.ray_fields.published_checkpoints import read_checkpoint
from nsff.weights.tensors import read_tensors

READERS = {
    "json": read_json,
    "image": read_image,
    "mask": read_mask,
    "npz": lambda path: read_npz(path, ["a"]),
    "npy": read_npy,
    "mapped": map_npy,
    "array": load_array,
    "disparity": read_disparity,
    "flow": read_given_flow,
    "cameras": Cameras.load,
    "llff": read_poses_bounds,
    "transforms": lambda path: read_transforms(path, (1, 2)),
    "picture": read_picture,
    "labels": read_labels,
    "prediction": read_prediction_labels,
    "sensor png": lambda path: read_values(path, "depth"),
    "video": lambda path: list(VideoSource(path).frames(0, None, 1)),
    "checkpoint": read_checkpoint,
    "weights": read_tensors,
    "scores": lambda path: collect_scores([path]),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("kind", ["/dev/zero", "pipe", "folder", "nothing", "empty", "long name", "no permission"])
def test_what_is_no_file(tmp_path, read, kind):
    path = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "/dev/zero":
        path.symlink_to(kind)
    elif kind == "long name":
        path = tmp_path / ("x" * 5000)
    elif kind == "no permission":
        path.write_bytes(b"secret")
        path.chmod(0)
        if os.access(path, os.R_OK):
            path.write_bytes(b"\x00\x01")  # root reads everything: then it is nonsense that is refused
    with pytest.raises(NsffError) as caught:
        read(path)
    assert path.name[:100] in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert caught.value.remedy


RAISED = [
    zlib.error("Error -3"), tokenize.TokenError("EOF", (1, 0)), MemoryError(), OverflowError("too large"),
    TypeError("not that"), KeyError("x"), UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "bad"), RecursionError("deep"),
    IsADirectoryError(21, "a folder"), struct.error("needs 8 bytes"), EOFError(), zipfile.BadZipFile("bad"),
    NotImplementedError("compression"), AssertionError(), IndexError("7"), SyntaxError("no"), RuntimeError("\x1b[31m"),
]  # fmt: skip


@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: type(raised).__name__)
def test_whatever_is_raised_names_the_file(raised):
    told = r"^some\.file: not readable \(.+\)\n  what to do: mend it$"
    with pytest.raises(InputError, match=told) as caught, reading("some.file", "mend it", InputError):
        raise raised
    assert "\x1b" not in str(caught.value)


def test_what_is_no_error_of_a_reader_goes_on():
    for stop in (KeyboardInterrupt, SystemExit, GeneratorExit):
        with pytest.raises(stop), reading("some.file"):
            raise stop
    with pytest.raises(StageError, match=r"other: known"), reading("some.file"):
        raise StageError("other", "known")


# --- what claims more than it holds ---------------------------------------------------------------------------------
def header(shape, kind="<f4"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(10**6, 10**6), (2**62,), (2**70, 3), (5,), (3, -4), (0, 7)])
def test_arrays_that_are_not_what_their_header_claims(tmp_path, shape):
    (tmp_path / "a.npy").write_bytes(header(shape) + bytes(16))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", header(shape) + bytes(16))
    reads = (read_npy, map_npy, load_array)
    for read, name in [*((read, "a.npy") for read in reads), (load_array, "a.npz"), (READERS["npz"], "a.npz")]:
        with pytest.raises(NsffError, match=r"a\.np.: (corrupt|not readable) \(its header claims"):
            read(tmp_path / name)


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(StageError, match="Python objects"):
        read_npy(tmp_path / "a.npy")


def test_an_archive_that_unpacks_to_gigabytes(tmp_path):
    archive = zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED)
    with archive, archive.open("a.npy", "w", force_zip64=True) as stream:
        stream.write(header((300 * 2**20,), "|u1"))
        for _ in range(300):
            stream.write(bytes(2**20))
    assert (tmp_path / "a.npz").stat().st_size < 2**20
    for read in (READERS["npz"], load_array):
        with pytest.raises(NsffError, match=r"a\.npz: .*bytes that claim to unpack to"):
            read(tmp_path / "a.npz")


def png_header(width, height):
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + body
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def with_size(suffix, image, old, new):
    data = cv2.imencode(suffix, image)[1].tobytes()
    assert data.count(old) >= 1
    return data.replace(old, new, 1)


def test_pictures_that_claim_more_pixels_than_any_frame(tmp_path):
    image = np.zeros((50, 70, 3), np.uint8)
    bombs = {
        "a.png": png_header(40_000, 40_000),
        "b.jpg": with_size(".jpg", image, struct.pack(">HH", 50, 70), struct.pack(">HH", 65_000, 65_000)),
        "c.bmp": with_size(".bmp", image, struct.pack("<ii", 70, 50), struct.pack("<ii", 2**30, 2**20)),
    }
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=rf"{name}: is no readable image \(it claims"):
            read_picture(tmp_path / name)


def test_the_largest_frames_are_read():
    """8K, and what Pillow does not know: 16-bit colours in TIFF."""
    assert LARGEST_PICTURE >= 7680 * 4320 * 8
    image = np.random.default_rng(0).integers(0, 2**16, (12, 14, 3)).astype(np.uint16)
    assert (decode(cv2.imencode(".tif", image)[1].tobytes(), cv2.IMREAD_UNCHANGED) == image).all()


def test_a_gif_that_claims_a_wall(tmp_path):
    data = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\x00\x00" + bytes(6)
    frame = b"," + struct.pack("<HHHH", 0, 0, 65535, 65535) + b"\x00\x02\x02\x4c\x01\x00"
    (tmp_path / "a.gif").write_bytes(data + frame + frame + b";")
    with pytest.raises(InputError, match=r"a\.gif"):
        list(VideoSource(tmp_path / "a.gif").frames(0, None, 1))


@pytest.mark.parametrize(("text", "message"), [("[" * 100_000, "recursion"), ("{", "JSON"), ('{"a": 1e999', "JSON")])
def test_json_that_is_none(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(StageError, match=message):
        read_json(tmp_path / "a.json")


def test_json_of_many_megabytes_is_not_read(tmp_path):
    with (tmp_path / "a.json").open("wb") as stream:
        stream.truncate(10**10)
    with pytest.raises(StageError, match="10000000000 bytes, more than"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_other_encodings_are_named(tmp_path, encoding):
    (tmp_path / "a").write_bytes("first\nété\n".encode(encoding))
    with pytest.raises(ValueError, match="Latin-1" if encoding == "latin-1" else "UTF-16"):
        read_text(tmp_path / "a")
    (tmp_path / "a").write_bytes("été\n".encode("utf-8-sig"))
    assert read_text(tmp_path / "a") == "été\n"


# --- damage that decoders hide ----------------------------------------------------------------------------------------
def flipped(data, bit):
    data = bytearray(data)
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def picture():
    noise = np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    return cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)


def test_every_flipped_bit_of_a_png_is_refused():
    data = cv2.imencode(".png", picture()[:60, :80])[1].tobytes()
    for bit in np.random.default_rng(1).permutation(8 * len(data))[:300]:
        with pytest.raises((ValueError, cv2.error)):
            decode(flipped(data, int(bit)), cv2.IMREAD_UNCHANGED)


def test_flipped_bits_of_a_jpeg_are_refused_where_the_decoder_reports_them():
    """A share only (docs/reliability.md): most flips give other coefficients, which are a picture too."""
    data = cv2.imencode(".jpg", picture(), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    refused, missed = 0, 0
    for bit in np.random.default_rng(1).permutation(8 * len(data))[:150]:
        try:
            decode(flipped(data, int(bit)), cv2.IMREAD_UNCHANGED)
        except ValueError:
            refused += 1
            missed += cv2.imdecode(np.frombuffer(flipped(data, int(bit)), np.uint8), cv2.IMREAD_COLOR) is not None
    assert refused >= 0.12 * 150
    assert missed >= 0.5 * refused  # OpenCV alone took these without a word


def test_a_jpeg_cut_short_is_refused_and_kinds_of_jpeg_are_read(tmp_path):
    image = picture()
    for options in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]):
        data = cv2.imencode(".jpg", image, options)[1].tobytes()
        assert decode(data, cv2.IMREAD_UNCHANGED).shape == image.shape
        assert decode(data + b"a film behind the picture", cv2.IMREAD_UNCHANGED).shape == image.shape
        with pytest.raises(ValueError, match="corrupt JPEG"):
            decode(data[: 2 * len(data) // 3], cv2.IMREAD_UNCHANGED)
    from PIL import Image

    for mode in ("L", "CMYK"):
        Image.fromarray(image).convert(mode).save(tmp_path / "a.jpg")
        assert read_picture(tmp_path / "a.jpg").shape == image.shape


# --- COLMAP ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def model(tmp_path):
    from nsff.cameras.colmap import write_model
    from nsff.cameras.points import SparsePoints

    poses = np.tile(np.eye(4)[:3], (3, 1, 1))
    K = np.array([[30.0, 0, 16], [0, 30, 12], [0, 0, 1]])
    cameras = Cameras(np.tile(K, (3, 1, 1)), poses, np.tile([1.0, 9], (3, 1)), 32, 24)
    xyz = np.random.default_rng(0).uniform([-1, -1, 3], [1, 1, 6], (5, 3))
    track = np.repeat(np.arange(5), 3)
    points = SparsePoints(xyz, np.zeros((5, 3)), np.ones(5), track, np.tile(np.arange(3), 5))
    write_model(tmp_path / "sparse", cameras, ["a.png", "b.png", "c.png"], points)
    return tmp_path / "sparse"


@pytest.mark.parametrize("name", ["points3D.bin", "frames.bin", "images.bin", "cameras.bin", "rigs.bin"])
@pytest.mark.parametrize("damage", ["emptied", "cut", "one byte less", "many entries", "longer"])
def test_damaged_models_end_at_once_and_name_the_file(model, name, damage):
    path = model / name
    data = path.read_bytes()
    path.write_bytes(
        {
            "emptied": b"",
            "cut": data[: len(data) // 2],
            "one byte less": data[:-1],
            "many entries": struct.pack("<Q", 2**40) + data[8:],
            "longer": data + b"\0",
        }[damage]
    )
    with pytest.raises(
        InputError, match=rf"not readable as a COLMAP model \({name}: it claims|{name}: .* bytes follow"
    ):
        read_model(model)


def test_lengths_within_a_model_are_checked(model):
    path = model / "points3D.bin"
    data = bytearray(path.read_bytes())
    data[8 + 43 : 8 + 51] = struct.pack("<Q", 2**61)  # the first track's length, times eight beyond 64 bits
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"points3D\.bin: it claims"):
        read_model(model)


# --- tensors ---------------------------------------------------------------------------------------------------------
def test_a_flipped_bit_in_an_archive_of_tensors_is_seen(tmp_path):
    torch.save({"a": torch.arange(5000.0)}, tmp_path / "a.pth")
    data = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(flipped(data, 8 * data.index(torch.arange(9.0, 12).numpy().tobytes()) + 3))
    assert torch.load(tmp_path / "a.pth", weights_only=True)["a"].shape == (5000,)  # torch does not look
    with pytest.raises(NsffError, match=r"a\.pth: .*wrong checksum"):
        read_tensors(tmp_path / "a.pth")


def test_no_error_of_torch_advises_to_switch_safety_off(tmp_path):
    (tmp_path / "360000.tar").write_bytes(b"<!DOCTYPE html><html>sign in</html>")
    with pytest.raises(StageError) as caught:
        read_checkpoint(tmp_path / "360000.tar")
    assert "weights_only" not in str(caught.value)


def test_messages_are_printable():
    assert printable("a\nb\x1b[31m\udcff", 100) == "a\\nb\\x1b[31m\\udcff"
    assert len(printable("x" * 10**6, 300)) < 320
    text = str(StageError("x" * 5000, "y" * 10**6, "z" * 10**6))
    assert len(text) < 10_000


def test_folders_of_frames_with_a_bomb(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes())
    (tmp_path / "1.png").write_bytes(png_header(30_000, 30_000))
    with pytest.raises(InputError, match=r"1\.png"):
        list(FrameFolder(tmp_path).frames(0, None, 1))


def test_load_takes_the_only_array(tmp_path):
    np.savez(tmp_path / "a.npz", whatever=np.arange(3))
    assert load(tmp_path / "a.npz").tolist() == [0, 1, 2]
    np.savez(tmp_path / "a.npz", a=np.arange(3), b=np.arange(4))
    assert load(tmp_path / "a.npz", "none", "b").tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match=r"has no array c, but a, b"):
        load_array(tmp_path / "a.npz", "c")


def test_errors_of_ffmpeg_are_told_in_their_words(tmp_path):
    import av

    path = tmp_path / "text.mp4"
    path.write_text("hello")
    with pytest.raises(StageError) as refused, reading(path):
        av.open(str(path))
    assert "(Invalid data found when processing input)" in str(refused.value) and "Errno" not in str(refused.value)
