"""Leases in a folder: who carries out a stage, and who holds the whole workspace."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from steelyard.harness.store.layout import Layout, safe_name
from steelyard.harness.store.locks import lease, writer_lock


class FileLeases:
    """Leases that the kernel gives back when their holder dies."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def held(self, key: str) -> AbstractContextManager[bool]:
        """Try to be the one process that carries out the stage ``key``; the block is told whether.

        True: nobody else gets True for ``key`` until the block ends or this process dies (at once
        in a folder; after the lease has expired unrenewed in a database). False: somebody else
        has it, or has just finished, so look at the stage again. It never waits. Look at the stage
        inside the block too: another may have finished between look and lease.
        """
        self._layout.create()
        return lease(self._layout.leases / f"{safe_name(key, 'stage key')}.lock")

    def holder(self, key: str) -> str | None:
        """Who carries out the stage ``key``, in words; None where nobody does."""
        try:
            path = self._layout.leases / f"{safe_name(key, 'stage key')}.lock"
            return path.read_text("utf-8", errors="replace")[:400] or None
        except OSError:
            return None

    def writing(
        self,
        *,
        wait_seconds: float | None = 0.0,
        on_wait: Callable[[str], None] | None = None,
        shared: bool = False,
    ) -> AbstractContextManager[None]:
        """Hold the workspace for one job.

        ``shared`` is for `steelyard run`: several work side by side (leases keep them off the same
        stage), and only what needs the workspace alone (removing garbage) keeps them out or is
        kept out.

        Raises ``StoreError`` that names the holder after ``wait_seconds`` (None: wait for ever).
        Single puts need no lock.
        """
        self._layout.create()
        return writer_lock(
            self._layout.writer_lock, wait_seconds=wait_seconds, on_wait=on_wait, shared=shared
        )
