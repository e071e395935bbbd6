"""The live viewer: a page and the pictures that it asks for, over HTTP on this machine alone.

GET / is the page; POST /picture with an ``Asked`` as JSON is answered with a JPEG. Requests whose Host is another than
the server's are refused, so that no web site reaches it through the reader's browser (DNS rebinding).
"""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jinja2
from markupsafe import Markup
from pydantic import ValidationError

from nsff.errors import NsffError
from nsff.viewer.html import HELP, SPEEDS, asset, jpeg
from nsff.viewer.live_scene import Asked, LiveScene

PROGRAM = ("maths.js", "viewpoint.js", "player.js", "controls.js", "live.js")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LARGEST = 10_000
"""Bytes of a request."""
QUALITY = 92


class LiveServer:
    """Serves one scene until ``close``; ``port`` 0 takes a free one. Raises OSError where the port is taken.

    >>> with LiveServer(LiveScene(scene)) as server:  # doctest: +SKIP
    ...     print(server.url)
    """

    def __init__(self, live: LiveScene, host: str = "127.0.0.1", port: int = 0) -> None:
        page = live_page(live).encode()

        class Handler(_Handler):
            pass

        Handler.live, Handler.page = live, page
        self._http = ThreadingHTTPServer((host, port), Handler)
        self._http.daemon_threads = True
        self.host, self.port = host, self._http.server_address[1]
        Handler.hosts = {f"{name}:{self.port}" for name in (*LOOPBACK, "[::1]")} if host in LOOPBACK else None
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{self.host}:{self.port}/"

    def wait(self) -> None:
        """Until the server is closed."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Stops, and gives the port back."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def __enter__(self) -> LiveServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    live: LiveScene
    page: bytes
    hosts: set[str] | None
    """Hosts that are answered; None: all."""

    def do_GET(self) -> None:
        if self._allowed():
            if self.path.split("?")[0] == "/":
                self._answer(200, "text/html; charset=utf-8", self.page)
            else:
                self._answer(404, "text/plain", b"there is / alone")

    def do_POST(self) -> None:
        if not self._allowed():
            return
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/picture" or not 0 < length <= LARGEST:
            self._answer(404, "text/plain", b"pictures are asked for with POST /picture")
            return
        try:
            asked = Asked.model_validate_json(self.rfile.read(length))
            picture = self.live.picture(asked)
        except (ValidationError, NsffError, KeyError) as error:
            self._answer(400, "text/plain; charset=utf-8", str(error).encode())
            return
        self._answer(200, "image/jpeg", jpeg(picture, asked.width, QUALITY))

    def _allowed(self) -> bool:
        if self.hosts is None or self.headers.get("Host", "").lower() in self.hosts:
            return True
        self._answer(403, "text/plain", b"this address is not answered")
        return False

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the page has been closed
            self.wfile.write(body)

    def log_message(self, *message: Any) -> None:
        """Says nothing: a line for each picture helps nobody."""


def live_page(live: LiveScene) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nsff.viewer", "assets"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    page = live.page_data()
    data = json.dumps(page, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    shown = [(keys, what) for keys, what in HELP if not keys.startswith(("1 ", "I", "X", "K"))]
    return environment.get_template("live.html.j2").render(
        page=page, speeds=SPEEDS, help=shown, style=Markup(asset("style.css")), data=Markup(data),
        program=Markup("\n".join(asset(name) for name in PROGRAM)),
    )  # fmt: skip
