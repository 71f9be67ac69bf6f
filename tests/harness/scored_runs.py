"""Scored runs made from arrays, for the tests of comparison, gate and baseline files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from steelyard.harness.compare import Scored
from steelyard.harness.records import (
    CheckpointManifest,
    Digests,
    Environment,
    Rows,
    Run,
    SampleRecord,
    Score,
    TaskSignature,
)


def manifest(name: str, **fields: Any) -> CheckpointManifest:
    given = {
        "digest": f"checkpoint-{name}",
        "digests": Digests(weights=f"weights-{name}", tokenizer="tokenizer"),
        "format": "full",
        "candidate": name,
        "base": "microworld",
        "trainer": "none",
        "size_bytes": 1000,
        "created_at": "2026-01-01T00:00:00Z",
    }
    return CheckpointManifest(**{**given, **fields})


def rows(
    task: str,
    metric: str,
    values: Any,
    *,
    ids: Sequence[str] | None = None,
    scored: Any = None,
    flags: Sequence[str] | None = None,
    clusters: Sequence[str | None] | None = None,
) -> Rows:
    table = np.asarray(values, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    n = len(table)
    kept = np.ones(n, dtype=bool) if scored is None else np.asarray(scored, dtype=bool)
    return Rows(
        task=task,
        metric=metric,
        sample_ids=tuple(ids) if ids is not None else tuple(f"{task}-{i:05d}" for i in range(n)),
        values=table,
        scored=kept,
        flags=tuple(flags) if flags is not None else ("",) * n,
        clusters=tuple(clusters) if clusters is not None else (None,) * n,
    )


def score(held: Rows, **fields: Any) -> Score:
    n = int(held.scored.sum())
    given = {
        "task": held.task,
        "metric": held.metric,
        "value": math.fsum(held.values[held.scored].ravel()) / held.values[held.scored].size
        if n
        else None,
        "n": n,
        "unscored": len(held.sample_ids) - n,
        "kind": "accuracy",
        "higher_is_better": True,
        "primary": True,
    }
    return Score(**{**given, **fields})


def signature(task: str, **fields: Any) -> TaskSignature:
    given = {
        "task": task,
        "task_digest": f"task-{task}",
        "data_digest": f"data-{task}",
        "few_shot": 0,
        "tokenizer": "tokenizer",
        "dtype": "float32",
    }
    return TaskSignature(**{**given, **fields})


def sample(task: str, id: str, **fields: Any) -> SampleRecord:
    given = {
        "task": task,
        "sample_id": id,
        "prompt": f"prompt of {id}",
        "target": "yes",
        "responses": ("yes",),
    }
    return SampleRecord(**{**given, **fields})


def scored(
    name: str,
    held: Sequence[Rows],
    *,
    scores: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    signatures: Mapping[str, Mapping[str, Any]] | None = None,
    samples: Sequence[SampleRecord] | None = None,
    checkpoint: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Scored:
    """A run whose scores are the means of its rows, unless ``scores`` says otherwise."""
    tasks = dict.fromkeys(r.task for r in held)
    given = {
        "id": f"run-{name}",
        "experiment": "test",
        "candidate": name,
        "suite": "core",
        "checkpoint": manifest(name, **(checkpoint or {})),
        "scores": tuple(score(r, **(scores or {}).get((r.task, r.metric), {})) for r in held),
        "signatures": tuple(signature(t, **(signatures or {}).get(t, {})) for t in tasks),
        "environment": Environment(python="3.11", platform="linux", cpu="cpu"),
        "created_at": "2026-01-01T00:00:00Z",
    }
    return Scored(
        Run(**{**given, **fields}),
        {(r.task, r.metric): r for r in held},
        None if samples is None else {(s.task, s.sample_id): s for s in samples},
    )


def zero_one(n: int, share: float, seed: int = 0) -> np.ndarray:
    """(n,) zeros and ones of which exactly ``share`` are ones, in a random order."""
    values = np.zeros(n)
    values[: round(n * share)] = 1
    return np.random.default_rng(seed).permutation(values)


def with_flips(values: np.ndarray, lost: int, gained: int, seed: int = 1) -> np.ndarray:
    """``values`` with that many ones turned to zero and zeros to one."""
    rng = np.random.default_rng(seed)
    changed = values.copy()
    changed[rng.choice(np.flatnonzero(values == 1), lost, replace=False)] = 0
    changed[rng.choice(np.flatnonzero(values == 0), gained, replace=False)] = 1
    return changed
