"""Whether a file of a model's folder is the folder's own: a plain file that lies in it.

A folder that somebody else made may hold a link to any file of this machine, whose content would
end in a checkpoint or a report, and a named pipe or a device on which reading never ends. One kind
of link is right: the hub's cache keeps each file once, under ``blobs/``, and links it into the
snapshots of the same model.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from steelyard.harness.errors import CheckpointError

#: models--org--name/snapshots/<revision>/config.json -> ../../blobs/<digest>
_CACHED_MODEL, _SNAPSHOTS, _BLOBS = "models--", "snapshots", "blobs"
_COPY_IT = "copy the file itself into the folder"


def is_own_file(folder: Path, name: str | Path) -> bool:
    """Whether ``folder`` holds the file ``name`` (a relative path without ``..``).

    Hard links count as files: nothing tells which of its names a file was made under.

    Raises:
        CheckpointError: a link there leads out of the folder or nowhere, or there is something
            else than a file or a folder (a named pipe, a device).
    """
    path = folder / name
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):  # not there, or a name that no system allows
        return False
    real_folder = folder.resolve()
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links
        raise CheckpointError("is a link to nothing", file=path, fix=_COPY_IT) from error
    if target != real_folder / name and not _belongs(target, real_folder):
        raise _leads_out(path, target)
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return stat.S_ISREG(mode)
    raise CheckpointError("is no plain file", file=path, fix=_COPY_IT)


def refuse_links_out(folder: Path) -> None:
    """Refuse a folder with a link that leads out of it, whether anybody would read it or not.

    Raises:
        CheckpointError: by the link and where it leads.
    """
    real_folder = folder.resolve()
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            target = Path(os.path.realpath(path))  # of a circle of links the place where it begins
            if not _belongs(target, real_folder):
                raise _leads_out(path, target)


def _leads_out(path: Path, target: Path) -> CheckpointError:
    problem = "is a link that leads out of the folder"
    return CheckpointError(problem, file=path, value=str(target), fix=_COPY_IT)


def _belongs(target: Path, folder: Path) -> bool:
    """Whether a link's target lies in the folder, or among the blobs of the same cached model."""
    if target.is_relative_to(folder):
        return True
    parents = [folder, *folder.parents]
    for snapshots in parents:
        model = snapshots.parent
        if snapshots.name == _SNAPSHOTS and model.name.startswith(_CACHED_MODEL):
            return target.is_relative_to(model / _BLOBS)
    return False
