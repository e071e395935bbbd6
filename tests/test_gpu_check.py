"""GPU code rots unseen: says loudly when the record of its tests is stale."""

import warnings

from nsff import gpu_check


def test_record_of_gpu_tests(repo):
    found = gpu_check.state(repo)
    if found != "current":
        warnings.warn(f"\n{'!' * 100}\n{found}\n{'!' * 100}", stacklevel=1)


def test_the_hash_sees_code(tmp_path):
    for room in gpu_check.ROOMS:
        (tmp_path / "nsff" / room).mkdir(parents=True)
    file = tmp_path / "nsff" / "fields" / "a.py"
    file.write_text("x = 1\n")
    first = gpu_check.code_hash(tmp_path)
    (tmp_path / "nsff" / "fields" / "note.txt").write_text("not code")
    assert gpu_check.code_hash(tmp_path) == first
    file.write_text("x = 2\n")
    assert gpu_check.code_hash(tmp_path) != first


def test_a_missing_or_stale_record_is_said(tmp_path):
    for room in gpu_check.ROOMS:
        (tmp_path / "nsff" / room).mkdir(parents=True)
    assert "never tested" in gpu_check.state(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "gpu_check.json").write_text('{"date": "2026-01-01", "code": "0"}')
    assert "STALE" in gpu_check.state(tmp_path)
