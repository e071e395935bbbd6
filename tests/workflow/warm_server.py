"""Runs scripts of the workflow on request, each in a fork that has torch and its like loaded already, which is most of
the time that a tiny job takes. The client is warm/sitecustomize.py. A program for the tests: the argument is a socket.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def load() -> None:
    """What the stages import."""
    import nsff.datasets.ingest
    import nsff.metrics.score
    import nsff.priors.canonical.stage
    import nsff.priors.depth.stage
    import nsff.priors.flow.stage
    import nsff.priors.motion.stage
    import nsff.priors.sfm.stage
    import nsff.rendering.maps
    import nsff.rendering.videos
    import nsff.report.page
    import nsff.training.run  # noqa: F401


def run(client: socket.socket) -> int:
    """In the fork: the script as if it had been started by itself."""
    _, files, _, _ = socket.recv_fds(client, 1, 3)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    with client.makefile("r") as stream:
        request = json.loads(stream.readline())
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = request["argv"]
    sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        return 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


def main() -> None:
    load()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(sys.argv[1])
        server.listen(64)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            if os.fork() == 0:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                status = run(client)
                sys.stdout.flush()
                sys.stderr.flush()
                client.sendall(bytes([status % 256]))
                os._exit(0)
            client.close()


if __name__ == "__main__":
    main()
