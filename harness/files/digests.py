"""Digests of what a thing is: weights, adapter, tokenizer, chat template, data, recipe.

Every digest is SHA-256 in hex over content, never over a path, a time or a library version, so a
checkpoint keeps its name when a folder moves, when weights are sharded another way, or when the
library that wrote them is updated. Safetensors are read by their published layout (8 bytes of
header length, a JSON header, then the tensors), so no torch is needed here.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def digest_json(value: object) -> str:
    """SHA-256 of canonical JSON: sorted keys, no spaces, UTF-8; NaN is refused."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_digest(path: Path) -> str:
    """SHA-256 of a data file's bytes."""
    return file_digest(path)
