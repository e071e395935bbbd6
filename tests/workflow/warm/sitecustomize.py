"""Hands a script of the workflow over to warm_server.py, which has its libraries loaded. For tests of many jobs.

With this folder on PYTHONPATH Python reads this file before anything else; NSFF_WARM is the server's socket.
"""

import json
import os
import socket
import sys

if "NSFF_WARM" in os.environ and any("/scripts/" in f"/{word}" for word in sys.orig_argv[1:2]):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.connect(os.environ["NSFF_WARM"])
        request = json.dumps({"argv": sys.orig_argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)})
        socket.send_fds(server, [b"!"], [0, 1, 2])
        server.sendall(request.encode() + b"\n")
        answer = server.recv(1)
    os._exit(answer[0] if answer else 1)
