"""The log of events: what happened in a workspace, one line each, for a person to read."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime

from steelyard.harness.files.hostile import terminal_safe
from steelyard.harness.store.layout import Layout

LONGEST_LINE = 2000


def append(layout: Layout, text: str) -> None:
    """Append one line in one write, which lines of other processes cannot break into.

    A full disk or a read-only workspace is no reason to stop: the line is lost.
    """
    when = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = f"{when} {socket.gethostname()} {os.getpid()} {' '.join(terminal_safe(text).split())}"
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
        file = os.open(layout.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, (line[:LONGEST_LINE] + "\n").encode("utf-8", "replace"))
        finally:
            os.close(file)
    except OSError:
        return


def read(layout: Layout) -> list[str]:
    """The lines, oldest first; none where nothing was logged."""
    try:
        return layout.events.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
