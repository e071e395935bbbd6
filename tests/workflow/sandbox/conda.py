#!/usr/bin/env python3
"""A stand-in for conda where none can be had: answers the calls that Snakemake makes with venv and pip.

It proves that each rule runs in the environment of its own file, and that the file lists all the rule needs. It does
not prove that conda could solve the file. CONDA_STAND_IN is its folder; bin/activate lies there.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

NOT_FROM_PIP = {"python", "pip", "colmap", "ffmpeg", "cxx-compiler"}


def create(file: str, prefix: str) -> None:
    content = yaml.safe_load(Path(file).read_text())
    assert content["channels"]
    packages = []
    for entry in content["dependencies"]:
        if isinstance(entry, dict):
            packages += entry["pip"]
        elif entry.split("=")[0] not in NOT_FROM_PIP:
            sys.exit(f"{file}: {entry} is not under pip")
    subprocess.check_call([sys.executable, "-m", "venv", prefix])
    uv = shutil.which("uv")  # plain pip may pair a CPU torch with a CUDA torchvision
    python = f"{prefix}/bin/python"
    install = [uv, "pip", "install", "-q", "--python", python] if uv else [python, "-m", "pip", "install", "-q"]
    subprocess.check_call([*install, *packages])
    history = Path(prefix, "conda-meta", "history")
    history.parent.mkdir(exist_ok=True)
    history.touch()


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--version"]:
        print("conda 26.9.1")
    elif arguments[:1] == ["info"]:
        root = os.environ["CONDA_STAND_IN"]
        print(json.dumps({"conda_prefix": root, "platform": "linux-64", "conda_version": "26.9.1", "envs": []}))
    elif arguments[:1] == ["config"]:
        print(json.dumps({"get": {"channel_priority": "strict"}, "success": True, "warnings": []}))
    elif arguments[:2] == ["env", "create"]:
        values = {name: arguments[arguments.index(name) + 1] for name in ("--file", "--prefix")}
        create(values["--file"], values["--prefix"])
    elif arguments[:1] not in (["clean"], ["list"], ["env"]):
        sys.exit(f"conda stand-in: unknown call {arguments}")


if __name__ == "__main__":
    main(sys.argv[1:])
