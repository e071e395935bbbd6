"""How fast a scene's page draws on this machine: pictures a second with time running and the camera turning.

Headless Chromium is started once for each way of giving WebGL a graphics processor without a display, until one does.
Where none does, the processor draws: SwiftShader's imitation of WebGL, and the page's own way without a graphics
processor. NSFF_CHROMIUM names the browser, where it is not on the path. Needs no package but NumPy and OpenCV.

    python scripts/benchmarks/page_speed.py results/demo/scene.html
    python scripts/benchmarks/page_speed.py results/demo/scene.html --ways vulkan --picture page.png
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
from contextlib import closing
from datetime import date
from pathlib import Path

from _root import ROOT

sys.path.insert(0, str(ROOT / "tests" / "viewer"))
from browser import SWIFTSHADER, Browser, chromium

UNBOUND = ("--ignore-gpu-blocklist", "--enable-gpu", "--disable-gpu-vsync", "--disable-frame-rate-limit")
WAYS = {
    "gl-egl": ("--use-gl=angle", "--use-angle=gl-egl", *UNBOUND),
    "vulkan": (
        "--use-gl=angle", "--use-angle=vulkan", "--enable-features=Vulkan", "--disable-vulkan-surface", *UNBOUND,
    ),
    "gl": ("--use-gl=angle", "--use-angle=gl", *UNBOUND),
    "swiftshader": SWIFTSHADER,
}  # fmt: skip
"""Flags by the way in which Chromium's ANGLE draws: OpenGL ES by EGL, Vulkan, OpenGL by a display, the processor."""
IMITATIONS = re.compile("swiftshader|llvmpipe|softpipe|software|basic render", re.IGNORECASE)
RENDERER = """(() => {
  const gl = document.createElement("canvas").getContext("webgl2");
  const names = gl?.getExtension("WEBGL_debug_renderer_info");
  return gl && gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
})()"""
FAILURES = (TimeoutError, OSError, RuntimeError, AssertionError, StopIteration)


def renderer_of(way: str, folder: Path) -> str:
    """The name of that which draws WebGL in this way; without one, or without an answer, a sentence in brackets."""
    try:
        with closing(Browser(folder / f"probe_{way}", drawing=WAYS[way], patience=20)) as browser:
            return browser.run(RENDERER) or "(no WebGL2)"
    except FAILURES as error:
        return f"(no answer: {type(error).__name__} {error})"


def measure(way: str, drawing: str, arguments: argparse.Namespace, folder: Path) -> None:
    """Prints the seconds until the page is open, and pictures a second at each size."""
    width, height = max(arguments.sizes, key=lambda size: size[0])
    with closing(Browser(folder / f"{way}_{drawing}", width, height, WAYS[way])) as browser:
        seconds = browser.open(f"{arguments.page.resolve().as_uri()}#draw={drawing}&time=0", seconds=120)
        print(f"opened in {seconds:.1f} s, drawn by {'WebGL2' if drawing == 'gpu' else 'the processor itself'}")
        for w, h in arguments.sizes:
            result = browser.run(f"scenePage.measure({w}, {h}, {arguments.seconds})")
            rate, drawn = result["pictures_per_second"], result["drawn"]
            print(f"  {w}x{h}: {rate:.1f} pictures a second, {drawn} Gaussians drawn", flush=True)
        if arguments.picture:
            target = arguments.picture.with_stem(f"{arguments.picture.stem}_{way}_{drawing}")
            browser.screenshot(target)
            print(f"  picture: {target}")
        for line in browser.console:
            print(f"  the page says: {line}")


def size_of(text: str) -> tuple[int, int]:
    """640x360 as a pair."""
    width, height = text.split("x")
    return int(width), int(height)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="a scene.html")
    parser.add_argument("--sizes", type=size_of, nargs="+", default=[(640, 360), (1920, 1080)], metavar="WxH")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=["gl-egl", "vulkan", "gl"])
    parser.add_argument("--all", action="store_true", help="measure each way that draws, not the first GPU alone")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="keep a screenshot of each way, with its name")
    arguments = parser.parse_args()
    if chromium() is None:
        sys.exit("No Chromium here: install chromium, or name one in NSFF_CHROMIUM. Nothing was measured.")
    if not arguments.page.is_file():
        sys.exit(f"{arguments.page}: no such page; results/NAME/scene.html of a finished scene is one.")
    print(f"{arguments.page}: {arguments.page.stat().st_size / 1e6:.1f} MB; {date.today()}, {os.cpu_count()} cores of "
          f"{platform.machine()}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder, found = Path(temporary), False
        for way in arguments.ways:
            renderer = renderer_of(way, folder)
            print(f"{way}: {renderer}", flush=True)
            real = not renderer.startswith("(") and not IMITATIONS.search(renderer)
            found |= real
            if real or (arguments.all and not renderer.startswith("(")):
                measure(way, "gpu", arguments, folder)
            if real and not arguments.all:
                break
        if not found:
            print("No way gave the browser a graphics processor; the processor draws in its place:", flush=True)
            measure("swiftshader", "gpu", arguments, folder)
        measure("swiftshader", "cpu", arguments, folder)


if __name__ == "__main__":
    main()
