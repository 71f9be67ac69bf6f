"""Whether a place can hold a store: it outlives the process, and every machine reaches it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from steelyard.harness.errors import ConfigError
from steelyard.harness.files import redacted
from steelyard.harness.interpreters import safe_environment

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_ENDS, _CACHES = "what it holds ends with the process", "it answers with what was there before"
#: fsspec's protocols that a store cannot lie in, however they are chained.
_UNFIT = {
    "memory": _ENDS,
    "data": _ENDS,
    "simplecache": _CACHES,
    "filecache": _CACHES,
    "blockcache": _CACHES,
    "cached": _CACHES,
}
#: Another process, which knows nothing but the address.
_PROBE = """
import sys, fsspec
files, root = fsspec.core.url_to_fs(sys.argv[1], use_listings_cache=False)
print(files.cat_file(root.rstrip("/") + "/" + sys.argv[2]).decode())
"""
_PROBE_SECONDS = 120


def require_sharable(files: AbstractFileSystem | None, url: str) -> None:
    """Raise ``ConfigError`` where one of the chained places ends with the process, or caches."""
    while files is not None:
        protocol = files.protocol
        for name in (protocol,) if isinstance(protocol, str) else protocol:
            if name in _UNFIT:
                raise ConfigError(
                    f"'{name}' is no place that machines share: {_UNFIT[name]}",
                    key="artifacts",
                    value=url,
                    fix="write file:///shared/steelyard or s3://bucket/steelyard",
                )
        files = getattr(files, "fs", None)


def require_found_elsewhere(url: str, path: str, content: str) -> None:
    """Raise ``ConfigError`` where another process does not find ``content`` in a file there."""
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE, url, path],
            env=safe_environment(),
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        why = f"no answer in {_PROBE_SECONDS} s"
    else:
        if content in probe.stdout:
            return
        why = probe.stderr.strip().rpartition("\n")[2]
    raise ConfigError(
        "another process does not find what this one put there"
        + (f" ({redacted(why)})" if why else ""),
        key="artifacts",
        value=url,
        fix="name a place that outlives the process and that every machine reaches",
    )
