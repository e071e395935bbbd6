"""Structure from motion where the disk is full."""

import os
import shutil
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="a small disk needs root")
def test_structure_from_motion_on_a_full_disk(travelling, tmp_path, repo):
    """COLMAP's database ends its process there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    scene = travelling.save(tmp_path / "scene")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    try:
        copied = disk / "scene"
        shutil.copytree(scene.root, copied)
        command = [sys.executable, str(repo / "scripts" / "sfm.py"), "--scene", str(copied), "--set", "input.path=x"]
        ended = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": str(repo)}, capture_output=True, text=True, timeout=600
        )
        assert ended.returncode == 1, ended.stderr
        assert "no space left" in ended.stderr
        assert str(copied) in ended.stderr
        assert "Traceback" not in ended.stderr
        assert list(copied.glob(".tmp-*")) == []
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
