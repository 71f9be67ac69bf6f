"""Every file that pip installed is one of those whose hash requirements.lock has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"


def _entry(name: str, version: str, digest: str) -> dict[str, object]:
    archive = {"archive_info": {"hashes": {"sha256": digest}}}
    return {"download_info": archive, "metadata": {"name": name, "version": version}}


def _held(folder: Path, *entries: dict[str, object]) -> subprocess.CompletedProcess[str]:
    report = folder / "report.json"
    report.write_text(json.dumps({"version": "1", "install": entries}))
    command = [sys.executable, ROOT / ".ci" / "installed.py", LOCK, report]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_file_with_another_hash_is_an_error(tmp_path: Path) -> None:
    text = LOCK.read_text()
    match = re.search(r"^absl-py==(\S+) .*\n +--hash=sha256:([0-9a-f]{64})", text, re.MULTILINE)
    assert match is not None
    editable = {"download_info": {"dir_info": {"editable": True}}, "metadata": {"name": "own"}}
    right = _held(tmp_path, _entry("absl_py", match[1], match[2]), editable)
    assert (right.returncode, right.stderr) == (0, "")
    wrong = _held(tmp_path, _entry("absl-py", match[1], "0" * 64))
    assert wrong.returncode == 2
    assert "absl-py" in wrong.stderr and "is not the file of requirements.lock" in wrong.stderr
    assert _held(tmp_path, _entry("stranger", "1.0", match[2])).returncode == 2
    own_build = _held(tmp_path, _entry("torch", "2.13.0+cpu", "0" * 64))
    assert own_build.returncode == 0 and "not in the lock" in own_build.stdout


def test_the_lock_has_a_hash_for_every_version_of_the_constraints() -> None:
    pinned = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)

    def versions(file: Path) -> dict[str, str]:
        names = pinned.findall(file.read_text())
        return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in names}

    locked = versions(LOCK)
    constrained = versions(ROOT / "constraints.txt")
    assert {name for name in constrained if locked.get(name) != constrained[name]} == set()
