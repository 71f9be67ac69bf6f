"""Example records, and a process that writes them until it is killed.

    python writer.py ROOT PREFIX COUNT

prints a line after each thing that ``put``, ``finish_stage`` or ``adopt_checkpoint`` has promised.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from steelyard.harness.records import (
    CheckpointManifest,
    Digests,
    Environment,
    Rows,
    Run,
    SampleRecord,
    Score,
)
from steelyard.harness.store import open_store

N_SAMPLES = 300


def make_digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def make_manifest(name: str = "c", parent: str | None = None) -> CheckpointManifest:
    return CheckpointManifest(
        digest=make_digest(name),
        digests=Digests(weights=make_digest(f"weights {name}"), tokenizer="t"),
        format="full",
        candidate=name,
        base="microworld",
        parent=parent,
        trainer="full",
        size_bytes=1,
        created_at="2026-01-01T00:00:00+00:00",
    )


def make_rows(task: str = "t", metric: str = "acc", n: int = N_SAMPLES, k: int = 2) -> Rows:
    generator = np.random.default_rng(n + k)
    scored = generator.random(n) > 0.1
    values = generator.normal(size=(n, k))
    values[~scored] = np.nan
    return Rows(
        task=task,
        metric=metric,
        sample_ids=tuple(make_digest(f"{task} {i}")[:32] for i in range(n)),
        values=values,
        scored=scored,
        flags=tuple("length limit" if i % 7 == 0 else "" for i in range(n)),
        clusters=tuple(None if i % 3 else f"passage {i // 3}" for i in range(n)),
    )


def make_samples(task: str = "t", n: int = N_SAMPLES) -> tuple[SampleRecord, ...]:
    return tuple(
        SampleRecord(
            task=task,
            sample_id=make_digest(f"{task} {i}")[:32],
            prompt=f"question {i}?",
            target=f"answer {i}",
            responses=(f"answer {i}",),
            document={"question": f"question {i}?", "n": i, "tags": ["a", None]},
            slices={"half": "first" if i < n / 2 else "second"},
            cluster=None,
        )
        for i in range(n)
    )


def make_run(
    name: str = "c",
    *,
    id: str | None = None,
    experiment: str = "e",
    created_at: str = "2026-01-01T00:00:00+00:00",
    suite: str = "core",
) -> Run:
    rows = make_rows()
    return Run(
        id=id or make_digest(f"{experiment} {name} {created_at}")[:32],
        experiment=experiment,
        candidate=name,
        suite=suite,
        checkpoint=make_manifest(name),
        scores=(
            Score(
                task="t",
                metric="acc",
                value=0.5,
                low=0.4,
                high=0.6,
                n=int(rows.scored.sum()),
                unscored=int((~rows.scored).sum()),
                kind="accuracy",
                higher_is_better=True,
            ),
        ),
        signatures=(),
        environment=Environment(python="3.11", platform="linux"),
        created_at=created_at,
    )


def make_checkpoint(folder: Path, name: str) -> str:
    """A checkpoint-like folder of some hundred kB; its digest."""
    (folder / "model.safetensors").write_bytes(make_digest(name).encode() * 5_000)
    manifest = make_manifest(name)
    (folder / "manifest.json").write_text(json.dumps(manifest.model_dump(mode="json")))
    return manifest.digest


def main(root: Path, prefix: str, count: int) -> None:
    store = open_store(root)
    print("ready", flush=True)
    for i in range(count):
        name = f"{prefix}{i}"
        folder = store.checkpoints.new_folder(f"train-{name}")
        digest = make_checkpoint(folder, name)
        store.checkpoints.adopt(folder, digest)
        print(f"checkpoint {digest}", flush=True)
        store.stages.finish(f"train-{name}", {"checkpoint": digest})
        print(f"stage train-{name}", flush=True)
        run = make_run(name)
        store.put(run, [make_rows()], make_samples())
        print(f"run {run.id}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
