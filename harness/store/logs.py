"""What happened in a workspace: a log of events, one line each, and one log a failed stage."""

from __future__ import annotations

import os
import re
import socket
from datetime import UTC, datetime
from pathlib import Path

from steelyard.harness.files import redacted, terminal_safe
from steelyard.harness.store.atomic import storage_errors
from steelyard.harness.store.layout import Layout

LONGEST_LINE = 2000


class Logs:
    """The logs of one workspace, for a person to read."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def event(self, text: str) -> None:
        """Append a line (time, machine, process, ``text``) to the log of events.

        One write, which lines of other processes cannot break into. Never raises: a full disk or
        a read-only workspace must not stop the work that still has room; the line is lost.
        """
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        words = " ".join(terminal_safe(redacted(text)).split())
        line = f"{when} {socket.gethostname()} {os.getpid()} {words}"
        try:
            self._layout.root.mkdir(parents=True, exist_ok=True)
            file = os.open(self._layout.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(file, (line[:LONGEST_LINE] + "\n").encode("utf-8", "replace"))
            finally:
                os.close(file)
        except OSError:
            return

    def events(self) -> list[str]:
        """The lines of the log of events, oldest first; none where nothing was logged."""
        try:
            return self._layout.events.read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return []

    def path(self, name: str) -> Path:
        """The file that ``write`` writes."""
        return self._layout.logs / f"{re.sub(r'[^A-Za-z0-9_-]+', '_', name)[:150]}.log"

    def write(self, name: str, text: str) -> Path:
        """Keep a failed stage's traceback; the newest replaces the last."""
        path = self.path(name)
        self._layout.create()
        with storage_errors(self._layout.root, "write a log"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(terminal_safe(redacted(text)), "utf-8", errors="backslashreplace")
        return path
