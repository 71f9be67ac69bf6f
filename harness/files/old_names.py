"""Every name that the project had before it was called Steelyard, and where it is still read.

Until its first release the project was called Assay. What people have on disk from then is read:
workspaces, baseline files, task files, exported lm-eval results, experiment files, the marker of a
comment on a pull request. Nothing is written under these names. Environment variables, options and
entry points are read under the new name alone.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: The key of a task's metadata, of Parquet metadata, and the name of our own backend.
NAME, OLD_NAME = "steelyard", "assay"
WORKSPACE, OLD_WORKSPACE = ".steelyard", ".assay"
BASELINE_SUFFIX, OLD_BASELINE_SUFFIX = ".steelyard.json.gz", ".assay.json.gz"
BASELINE_FORMAT, OLD_BASELINE_FORMAT = "steelyard baseline", "assay baseline"
BASELINE_SUFFIXES = (BASELINE_SUFFIX, OLD_BASELINE_SUFFIX)
JOURNAL_MAGIC, OLD_JOURNAL_MAGIC = b"steelyard journal 1\n", b"assay journal 1\n"
RUN_TAG, OLD_RUN_TAG = "steelyard.run", "assay.run"
SITE_MANIFEST, OLD_SITE_MANIFEST = "steelyard-site.json", "assay-site.json"

_announced: set[Path] = set()


def workspace_at(root: Path) -> Path:
    """``root``, or the workspace of the old name beside it where only that one is there.

    Says so on standard error, once a process.
    """
    old = root.with_name(OLD_WORKSPACE) if root.name == WORKSPACE else root
    if old == root or root.exists() or not old.is_dir():
        return root
    if old not in _announced:
        _announced.add(old)
        sys.stderr.write(
            f"using the workspace {old}, made before {OLD_NAME} became {NAME}; "
            f"to keep on without this line: mv {old} {root}\n"
        )
    return old


def own_part(metadata: Mapping[str, Any]) -> tuple[str, Any]:
    """The key under which a task's metadata says what is ours, and what it says; None: nothing."""
    key = OLD_NAME if NAME not in metadata and OLD_NAME in metadata else NAME
    return key, metadata.get(key)


def backend(name: str) -> str:
    """A backend by its present name; ``lm-eval:assay`` is what an export of ours was read as."""
    prefix, colon, last = name.rpartition(":")
    return f"{prefix}{colon}{NAME}" if last == OLD_NAME and prefix in ("", "lm-eval") else name


def with_old_backend(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A scorer's settings as they were written before: our own backend by its old name."""
    own = settings.get("backend") == NAME
    return {**settings, "backend": OLD_NAME} if own else dict(settings)


def with_present_names(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """``content`` of a file of ours, its keys of the old prefix (``assay_rows``) by the new one."""
    old = f"{OLD_NAME}_"
    if not any(key.startswith(old) for key in content):
        return content
    return {
        f"{NAME}_{key.removeprefix(old)}" if key.startswith(old) else key: value
        for key, value in content.items()
    }


def old_marker(marker: str) -> str | None:
    """What ``marker``, the hidden first line of a comment of ours, was before; None: never ours."""
    return marker.replace(NAME, OLD_NAME, 1) if marker.startswith(NAME) else None
