"""Shows a finished scene in the browser, drawn by the model itself: any camera, any time, without some objects.

The server answers this machine alone, unless --host says otherwise; then anybody who reaches that address sees the
scene. Ctrl-C stops it. For a file that needs no server, open results/NAME/scene.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

HELP = "fly through a finished scene in the browser, in full quality"
EXAMPLES = ("view results/holiday", "view results/holiday --port 8080 --no-browser")


def run(
    scene: Annotated[Path, Parameter(help="the scene's folder, results/NAME, or its name")],
    /,
    *,
    port: Annotated[int, Parameter(help="of the server; 0 takes a free one")] = 0,
    host: Annotated[str, Parameter(help="address that the server listens at")] = "127.0.0.1",
    device: Annotated[str, Parameter(help="auto, cuda or cpu: where the model draws")] = "auto",
    no_browser: Annotated[bool, Parameter(help="open no browser, only say the address")] = False,
) -> None:
    """Serves until Ctrl-C."""
    import webbrowser

    from nsff.commands._scenes import results_folder
    from nsff.errors import ConfigError
    from nsff.scene import Scene
    from nsff.viewer.live_scene import LiveScene
    from nsff.viewer.live_server import LOOPBACK, LiveServer

    live = LiveScene(Scene(results_folder(scene)), device)
    try:
        server = LiveServer(live, host, port)
    except OSError as error:
        raise ConfigError("--port", f"{host}:{port} cannot be used ({error.strerror})", "choose another one") from None
    with server:
        print(f"{server.url}  ({live.scene.name}, drawn on {live.renderer.device}; Ctrl-C stops)", flush=True)
        if host not in LOOPBACK:
            print(f"Anybody who reaches {host} sees the scene.", flush=True)
        if not no_browser:
            webbrowser.open(server.url)
        server.wait()
