"""A headless Chromium, driven over two pipes by the DevTools protocol: no packages and no ports."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--mute-audio", "--hide-scrollbars", "--force-color-profile=srgb",
)  # fmt: skip
SWIFTSHADER = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""WebGL without a graphics processor."""


def chromium() -> str | None:
    """The program: what NSFF_CHROMIUM names, else what is on the path."""
    return os.environ.get("NSFF_CHROMIUM") or next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page in one browser. ``console`` collects errors and warnings of the page, ``requests`` all addresses.

    ``drawing`` are the flags that choose how WebGL draws, ``patience`` the seconds within which the browser answers.
    """

    def __init__(
        self,
        profile: Path,
        width: int = 1280,
        height: int = 800,
        drawing: tuple[str, ...] = SWIFTSHADER,
        patience: float = 60,
    ) -> None:
        program = chromium()
        assert program is not None
        to_browser, from_browser = os.pipe(), os.pipe()

        def pipes() -> None:
            os.dup2(to_browser[0], 30)
            os.dup2(from_browser[1], 31)
            os.dup2(30, 3)
            os.dup2(31, 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, *drawing, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"],
            preexec_fn=pipes, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser[0])
        os.close(from_browser[1])
        self.out, self.into, self.buffer, self.number = to_browser[1], from_browser[0], b"", 0
        self.console: list[str] = []
        self.requests: list[str] = []
        self.session, self.patience = "", patience
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its result."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive(self.patience)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def receive(self, seconds: float) -> dict[str, Any]:
        """The next message; events are noted on the way."""
        while b"\0" not in self.buffer:
            if not select.select([self.into], [], [], seconds)[0]:
                raise TimeoutError("the browser does not answer")
            self.buffer += os.read(self.into, 1 << 20)
        text, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(text)
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
                self.console.append(" ".join(str(a.get("value", a.get("description"))) for a in parameters["args"]))
            case "Runtime.exceptionThrown":
                details = parameters["exceptionDetails"]
                self.console.append(str(details.get("exception", {}).get("description", details["text"])))
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.console.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
        return message

    def resize(self, width: int, height: int, phone: bool = False) -> None:
        """The size of the page in CSS pixels; a phone has touch and three pixels a CSS pixel."""
        scale = 3 if phone else 1
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def open(self, path: Path, ready: str = "window.scenePage?.ready === true", seconds: float = 60) -> float:
        """Opens a file from disk; returns the seconds until ``ready`` holds."""
        begin = time.monotonic()
        self.call("Page.navigate", url=path.resolve().as_uri() if isinstance(path, Path) else path)
        self.wait(ready, seconds)
        return time.monotonic() - begin

    def wait(self, condition: str, seconds: float = 30) -> None:
        """Until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(f"{condition} within {seconds} s; console: {self.console}")
            time.sleep(0.05)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", expression))
        return result["result"].get("value")

    def screenshot(self, path: Path | None = None) -> np.ndarray:
        """What the page shows, (H,W,3) RGB; also written to ``path``."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(data)
        return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        """Ends the browser."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.out)
        os.close(self.into)
