"""Where each page of the site lies: paths of letters and digits alone, whatever a run is called."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from steelyard.harness.records import Run

INDEX = "index.html"
HEAD_TO_HEAD = "head-to-head"


@lru_cache(maxsize=10_000)
def slug(text: str) -> str:
    """A file name that two different texts never share, and that no file system minds."""
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48].rstrip("-")
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{readable}-{digest}" if readable else digest


def model_name(run: Run) -> str:
    """``experiment / candidate``: what a page of a model and its history is about."""
    return f"{run.experiment} / {run.candidate}"


def model_path(run: Run) -> str:
    """The model's page, from the site's folder."""
    return f"models/{slug(model_name(run))}.html"


def task_path(task: str) -> str:
    """The task's page, from the site's folder."""
    return f"tasks/{slug(task)}.html"


def head_to_head_path(suite: str) -> str:
    """The suite's head-to-head page, from the site's folder."""
    return f"{HEAD_TO_HEAD}/{slug(suite)}.html"
