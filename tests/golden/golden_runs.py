"""Three runs of five kinds of tasks in a workspace: fixed numbers, no model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from steelyard.harness.compare import Scored
from steelyard.harness.records import (
    CarbonIntensity,
    Energy,
    EnergyComponent,
    Rows,
    SampleRecord,
)
from steelyard.harness.store import open_store
from tests.harness.scored_runs import rows, sample, scored, with_flips, zero_one

N = 400
RIGHT_OR_WRONG = {"known": ("retention", 0.8), "new": ("quality", 0.4), "made_up": (None, 0.3)}

POLICY = """\
baseline: golden/base
draws: 1000
rules:
  - {name: keeps what it knew, task: known, margin: 0.05}
  - {name: learns, task: new, margin: 0.02, tier: warn}
  - {name: stories are as good, task: stories, margin: 0.03, tier: warn}
  - {name: text is as likely, task: text, margin: 0.1}
  - {metric: energy_kwh, max_ratio: 1.2, tier: report}
"""
#: Answers that each candidate lost and gained against the base, by task.
FLIPS = {
    "base": {},
    "lora": {"known": (12, 8), "new": (5, 120), "made_up": (20, 2)},
    "full": {"known": (90, 4), "new": (2, 190), "made_up": (3, 60)},
}
#: How far the rows of bounded scores and log-likelihoods moved.
SHIFTS = {"base": 0.0, "lora": 0.01, "full": -0.06}


def golden_run(name: str) -> Scored:
    """``base``, ``lora`` (better, nothing lost) or ``full`` (learnt more, forgot)."""
    return scored(
        name,
        _held(name),
        scores={
            ("known", "acc"): {"family": "retention", "chance": 0.25},
            ("new", "acc"): {"family": "quality", "chance": 0.25},
            ("made_up", "acc"): {"family": "hallucination", "higher_is_better": False},
            ("stories", "rougeL"): {"family": "summarisation", "kind": "bounded"},
            ("text", "bits_per_byte"): {
                "family": "language_modelling",
                "kind": "perplexity",
                "scale": "bits",
                "higher_is_better": False,
                "unit": "bits/byte",
                "value": 1.0 - SHIFTS[name],
            },
        },
        samples=_samples(name),
        checkpoint={
            "trainer": "none" if name == "base" else name,
            "digest": name.encode().hex().ljust(64, "0"),
            "parent": None if name == "base" else b"base".hex().ljust(64, "0"),
            "parameters": 2_100_000,
            "recipe": {} if name == "base" else {"learning_rate": 5e-4, "steps": 300},
        },
        id=name.encode().hex().ljust(32, "0"),
        experiment="golden",
        energy=_energies(name),
    )


def _held(name: str) -> list[Rows]:
    held = []
    for seed, (task, (_, share)) in enumerate(RIGHT_OR_WRONG.items()):
        lost, gained = FLIPS[name].get(task, (0, 0))
        held.append(rows(task, "acc", with_flips(zero_one(N, share, seed), lost, gained, seed + 9)))
    rng = np.random.default_rng(5)
    stories = rng.beta(6, 3, N) + SHIFTS[name] * rng.uniform(0.5, 1.5, N)
    held.append(rows("stories", "rougeL", np.clip(stories, 0, 1)))
    lengths = rng.integers(20, 60, N).astype(float)
    bits = lengths * rng.normal(1.0, 0.05, N) - SHIFTS[name] * lengths * rng.uniform(0.5, 1.5, N)
    held.append(rows("text", "bits_per_byte", np.column_stack([-bits * np.log(2), lengths])))
    return held


def _samples(name: str) -> list[SampleRecord]:
    samples = []
    for held in _held(name):
        for index, id in enumerate(held.sample_ids):
            right = held.values[index, 0] > 0.5
            samples.append(
                sample(
                    held.task,
                    id,
                    prompt=f"Question {index} of {held.task}?",
                    responses=("yes",) if right else (f"no, says {name}",),
                    slices={"form": "question" if index % 2 else "statement"},
                )
            )
    return samples


def _energies(name: str) -> tuple[Energy, ...]:
    def energy(phase: str, kwh: float) -> Energy:
        return Energy(
            phase=phase,
            seconds=kwh * 8e4,
            energy_kwh=kwh,
            grade="estimated",
            components=(
                EnergyComponent(name="cpu", energy_kwh=kwh, grade="estimated", method="cpu_load"),
            ),
            co2e_g=kwh * 56.0,
            intensity=CarbonIntensity(g_per_kwh=56.0, region="FRA", source="made up", year=2024),
            meter="codecarbon",
        )

    train = {"base": (), "lora": (energy("train", 9e-4),), "full": (energy("train", 2.2e-3),)}
    return (*train[name], energy("score", 4e-4))


def write_workspace(folder: Path) -> None:
    """``policy.yaml`` and ``.steelyard`` with the three runs in ``folder``."""
    (folder / "policy.yaml").write_text(POLICY)
    store = open_store(folder / ".steelyard")
    for name in FLIPS:
        run = golden_run(name)
        store.put(run.run, tuple(run.rows.values()), tuple((run.samples or {}).values()))
