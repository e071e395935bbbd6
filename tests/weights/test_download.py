"""Downloads from a server on this machine: whole, resumed, wrong, truncated, refused; nothing leaves the machine."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from nsff.cli import main
from nsff.errors import WeightsError
from nsff.priors.registries import known_weights
from nsff.weights import WEIGHTS, File, Weight
from nsff.weights.download import get


@dataclass
class Server:
    """Serves ``files`` by path; ``cut`` is how many bytes a connection carries before it breaks, once per entry."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    cut: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)
    """The Range header of each request."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("nsff.weights.download.time.sleep", lambda seconds: None)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            content = state.files.get(self.path)
            asked = self.headers.get("Range")
            state.asked.append(asked)
            if content is None:
                self.send_error(404)
                return
            start = int(re.match(r"bytes=(\d+)-$", asked)[1]) if asked and state.ranges else 0
            if start >= len(content) > 0:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.cut[0]] if state.cut else body)
            if state.cut:
                state.cut.pop(0)
                self.close_connection = True
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"http://127.0.0.1:{running.server_address[1]}")
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture(scope="module")
def content() -> bytes:
    stream = io.BytesIO()
    torch.save({"weight": torch.rand(50_000, generator=torch.Generator().manual_seed(0))}, stream)
    return stream.getvalue()


def known(server: Server, content: bytes, **changed) -> Weight:
    facts = {
        "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "url": f"{server.address}/net.pth",
    } | changed  # fmt: skip
    return Weight("net", (File("net.pth", **facts),), "", "", "https://example.org", "")


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_whole_file_is_checked_and_fetched_once(server, content, tmp_path):
    server.files["/net.pth"] = content
    found = get(known(server, content), tmp_path, progress=False)
    assert found == {tmp_path / "net.pth": "size and sha256 as recorded, tensors only"}
    assert (tmp_path / "net.pth").read_bytes() == content
    assert left(tmp_path) == {"net.pth"}
    assert server.asked == [None]
    (message,) = get(known(server, content), tmp_path, progress=False).values()
    assert message.startswith("already there")
    assert server.asked == [None]


def test_broken_connections_go_on_where_they_stopped(server, content, tmp_path):
    server.files["/net.pth"] = content
    server.cut = [70_000, 50_000]
    get(known(server, content), tmp_path, progress=False)
    assert (tmp_path / "net.pth").read_bytes() == content
    first, second, third = server.asked
    assert first is None
    assert 0 < int(second[6:-1]) < int(third[6:-1]) < len(content)


def test_what_has_arrived_outlives_the_command(server, content, tmp_path):
    server.files["/net.pth"] = content
    server.cut = [40_000, 40_000, 40_000]
    with pytest.raises(WeightsError, match="bytes are kept") as error:
        get(known(server, content), tmp_path, progress=False)
    assert str(tmp_path / "net.pth") == error.value.subject
    assert left(tmp_path) == {".net.pth.part"}
    have = (tmp_path / ".net.pth.part").stat().st_size
    assert content.startswith((tmp_path / ".net.pth.part").read_bytes())
    get(known(server, content), tmp_path, progress=False)
    assert server.asked[-1] == f"bytes={have}-"
    assert (tmp_path / "net.pth").read_bytes() == content
    assert left(tmp_path) == {"net.pth"}


def test_a_server_without_ranges_sends_all_again(server, content, tmp_path):
    server.files["/net.pth"] = content
    server.ranges = False
    (tmp_path / ".net.pth.part").write_bytes(b"x" * 1000)
    get(known(server, content), tmp_path, progress=False)
    assert (tmp_path / "net.pth").read_bytes() == content


@pytest.mark.parametrize("longer", [False, True])
def test_a_part_with_nothing_left_to_fetch(server, content, tmp_path, longer):
    """All of it is there; or more than all, which belongs to another file and is thrown away."""
    server.files["/net.pth"] = content
    (tmp_path / ".net.pth.part").write_bytes(b"x" * (len(content) + 5) if longer else content)
    get(known(server, content), tmp_path, progress=False)
    assert (tmp_path / "net.pth").read_bytes() == content


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sha256": "0" * 64}, ["sha256", "0" * 64]),
        ({"sha256": None, "sha256_prefix": "00000000"}, ["00000000"]),
        ({"size": 10**6}, ["1000000", "truncated"]),
    ],
)
def test_what_is_not_as_published_never_appears(server, content, tmp_path, changed, message):
    server.files["/net.pth"] = content
    with pytest.raises(WeightsError) as error:
        get(known(server, content, **changed), tmp_path, progress=False)
    for word in [*message, str(tmp_path / "net.pth"), f"{server.address}/net.pth", f"put net.pth into {tmp_path}"]:
        assert word in str(error.value)
    assert left(tmp_path) == set()


def test_a_pickle_of_other_things_never_appears(server, tmp_path):
    stream = io.BytesIO()
    torch.save({"x": Path("not a tensor")}, stream)
    server.files["/net.pth"] = stream.getvalue()
    with pytest.raises(WeightsError, match="not readable as a file of tensors"):
        get(known(server, stream.getvalue()), tmp_path, progress=False)
    assert left(tmp_path) == set()


def test_damaged_files_are_replaced(server, content, tmp_path):
    server.files["/net.pth"] = content
    (tmp_path / "net.pth").write_bytes(content[:1000])
    get(known(server, content), tmp_path, progress=False)
    assert (tmp_path / "net.pth").read_bytes() == content


def test_no_network_and_no_such_file(server, content, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/net.pth"  # bound and not listening: refused
        with pytest.raises(WeightsError, match=r"cannot be reached.*refused") as error:
            get(known(server, content, url=address), tmp_path, progress=False)
    assert f"put net.pth into {tmp_path}" in error.value.remedy
    assert left(tmp_path) == set()
    with pytest.raises(WeightsError, match="answers 404"):
        get(known(server, content), tmp_path, progress=False)
    assert left(tmp_path) == set()
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="cannot be written"):
        get(known(server, content), tmp_path / "file", progress=False)


def test_without_an_address_the_publisher_is_named(tmp_path):
    with pytest.raises(WeightsError, match="accepts their licence") as error:
        get(known_weights()["dinov3-vits16"], tmp_path)
    assert known_weights()["dinov3-vits16"].source in error.value.remedy


def test_members_of_archives(server, content, tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("models/net.pth", content)
        opened.writestr("../escape.pth", b"")
    server.files["/models.zip"] = archive.getvalue()
    facts = {"url": f"{server.address}/models.zip", "member": "models/net.pth"}
    get(known(server, content, **facts), tmp_path, progress=False)
    assert (tmp_path / "net.pth").read_bytes() == content
    assert left(tmp_path) == {"net.pth"}
    (tmp_path / "net.pth").unlink()
    with pytest.raises(WeightsError, match=r"has no models/other\.pth"):
        get(known(server, content, **facts | {"member": "models/other.pth"}), tmp_path, progress=False)


def test_folders_come_file_by_file(server, content, tmp_path):
    """What is there and whole is not fetched again when a later file was missing."""
    server.files["/resolve/1/config.json"] = b"{}"
    files = tuple(
        File(name, size=size, url=f"{server.address}/resolve/1/{name}")
        for name, size in (("config.json", 2), ("model.pth", len(content)))
    )
    weight = Weight("depth-x", files, "", "", "https://example.org", "", folder="depth-x")
    with pytest.raises(WeightsError, match=r"depth-x/model\.pth.*404"):
        get(weight, tmp_path, progress=False)
    server.files["/resolve/1/model.pth"] = content
    message = get(weight, tmp_path, progress=False)
    assert left(tmp_path / "depth-x") == {"config.json", "model.pth"}
    assert message[tmp_path / "depth-x" / "config.json"].startswith("already there")
    assert len(server.asked) == 3


def test_command(server, content, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(WEIGHTS, "net", known(server, content))
    assert main(["weights", "get", "net", "--folder", str(tmp_path)]) == 1
    assert "answers 404" in capsys.readouterr().err
    server.files["/net.pth"] = content
    assert main(["weights", "get", "net", "--folder", str(tmp_path)]) == 0
    assert f"net: {tmp_path / 'net.pth'} (size and sha256 as recorded" in capsys.readouterr().out
