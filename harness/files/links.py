"""Links in a folder that somebody else made: one that leads out of it is not followed.

It may name any file of this machine, whose content would end in a checkpoint, a run or a report.
One kind of link is right: the hub's cache keeps each file once, under ``blobs/``, and links it into
the snapshots of the same model or data set. A file that a user names may be a link to anywhere.
"""

from __future__ import annotations

import os
from pathlib import Path

from steelyard.harness.errors import SteelyardError

#: models--org--name/snapshots/<revision>/config.json -> ../../blobs/<digest>
_CACHED, _SNAPSHOTS, _BLOBS = ("models--", "datasets--"), "snapshots", "blobs"


def belongs(target: Path, folder: Path) -> bool:
    """Whether a link's target lies in ``folder``, or among the blobs of the same cached thing.

    Both are resolved paths.
    """
    if target.is_relative_to(folder):
        return True
    for snapshots in (folder, *folder.parents):
        cached = snapshots.parent
        if snapshots.name == _SNAPSHOTS and cached.name.startswith(_CACHED):
            return target.is_relative_to(cached / _BLOBS)
    return False


def refuse_link_out(path: Path, folder: Path, error: type[SteelyardError]) -> None:
    """Raise ``error`` for a file found in ``folder`` that is a link out of it, by its target."""
    target = Path(os.path.realpath(path))  # of a circle of links the place where it begins
    if not belongs(target, folder.resolve()):
        raise error(
            "is a link that leads out of the folder",
            file=path,
            value=str(target),
            fix="copy the file itself into the folder",
        )
