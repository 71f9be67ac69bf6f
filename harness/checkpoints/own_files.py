"""Whether a file of a model's folder is the folder's own: a plain file that lies in it.

A folder that somebody else made may hold a link to any file of this machine, whose content would
end in a checkpoint or a report, and a named pipe or a device on which reading never ends. Which
links are right, :mod:`steelyard.harness.files.links` says.
"""

from __future__ import annotations

import stat
from pathlib import Path

from steelyard.harness.errors import CheckpointError
from steelyard.harness.files import refuse_link_out

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
    if target != real_folder / name:
        refuse_link_out(path, real_folder, CheckpointError)
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
            refuse_link_out(path, real_folder, CheckpointError)
