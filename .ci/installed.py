"""Holds what pip installed against requirements.lock: every file's SHA-256, by pip's own report.

    pip install --report REPORT.json ...; python .ci/installed.py requirements.lock REPORT.json ...

pip takes hashes in constraints only together with `--require-hashes`, which refuses an editable
install and every requirement that is not pinned on the command line. So it installs by the versions
of constraints.txt and says afterwards what the files were. A version that the lock lacks is named
and no error: builds of torch from PyTorch's own index (2.13.0+cpu, +cu130), and what those bring.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def locked_hashes(text: str) -> dict[tuple[str, str], set[str]]:
    """(name, version) -> the SHA-256 of each of its files."""
    hashes: dict[tuple[str, str], set[str]] = {}
    current: set[str] = set()
    for line in text.splitlines():
        pinned = _PINNED.match(line)
        if pinned:
            current = hashes.setdefault((_plain(pinned[1]), pinned[2]), set())
        current.update(_HASH.findall(line))
    return hashes


def faults(report: dict[str, object], locked: dict[tuple[str, str], set[str]]) -> list[str]:
    """What was installed and is not the file that the lock has; a folder of one's own is none."""
    wrong = []
    for entry in report["install"]:  # type: ignore[attr-defined]
        source, about = entry["download_info"], entry["metadata"]
        if "archive_info" not in source:
            continue
        name, version = _plain(about["name"]), about["version"]
        digest = source["archive_info"].get("hashes", {}).get("sha256")
        if digest in locked.get((name, version), set()):
            continue
        if any(name == other for other, _ in locked) and (name, version) not in locked:
            # Constraints pin all but what CUDA builds of torch bring, and torch's own builds.
            print(f"note: {name} {version} is not in the lock, which has another version")
        else:
            wrong.append(f"{name} {version} is not the file of requirements.lock (sha256 {digest})")
    return wrong


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(lock: str, *reports: str) -> int:
    """The exit code: 2 where a file is another."""
    locked = locked_hashes(Path(lock).read_text(encoding="utf-8"))
    wrong = [
        fault
        for report in reports
        for fault in faults(json.loads(Path(report).read_text(encoding="utf-8")), locked)
    ]
    for fault in wrong:
        print(f"error: {fault}", file=sys.stderr)
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
