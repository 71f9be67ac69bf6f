"""Made-up runs that look like the demo's, for pages that no model had to be trained for."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.harness.compare.transfer import backward_transfer
from steelyard.harness.records import (
    CarbonIntensity,
    CheckpointManifest,
    Comparison,
    Delta,
    Difference,
    Digests,
    Energy,
    EnergyComponent,
    Environment,
    Failure,
    Flip,
    FlipCount,
    LossPoint,
    RuleResult,
    Run,
    Score,
    TaskSignature,
    Verdict,
)
from steelyard.reports.build import build_report
from steelyard.reports.document import Document

NAMES = ("base", "full", "lora", "qlora", "dpo", "orpo", "int8", "nf4")
PARENTS = {"dpo": "lora", "int8": "dpo", "nf4": "dpo"}
TRAINERS = {"base": "none", "int8": "quantize", "nf4": "quantize"}


@dataclass(frozen=True)
class FakeTask:
    """A task's metric with a true value for each candidate."""

    task: str
    metric: str
    family: str
    values: dict[str, float]
    n: int = 320
    higher: bool = True
    primary: bool = True
    chance: float | None = None
    kind: str = "accuracy"
    unit: str | None = None
    scale: str | None = None


def _by_name(*values: float) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=True))


TASKS = (
    FakeTask("microworld_new", "correct", "quality",
             _by_name(0.04, 0.97, 0.61, 0.58, 0.64, 0.95, 0.64, 0.63), chance=0.0783),
    FakeTask("microworld_new", "abstained", "quality",
             _by_name(0.88, 0.0, 0.01, 0.02, 0.2, 0.02, 0.2, 0.2), primary=False),
    FakeTask("microworld_choice", "acc", "quality",
             _by_name(0.61, 0.88, 0.79, 0.77, 0.8, 0.9, 0.8, 0.78), chance=0.25),
    FakeTask("microworld_choice", "brier", "quality",
             _by_name(0.5, 0.21, 0.33, 0.35, 0.3, 0.18, 0.3, 0.31), primary=False, higher=False,
             kind="bounded"),
    FakeTask("microworld_known", "correct", "retention",
             _by_name(0.99, 0.41, 0.55, 0.52, 0.86, 0.99, 0.86, 0.85), chance=0.0742),
    FakeTask("microworld_arithmetic", "exact_match", "retention",
             _by_name(0.93, 0.62, 0.81, 0.79, 0.84, 0.92, 0.84, 0.80)),
    FakeTask("microworld_unknown", "made_up", "hallucination",
             _by_name(0.03, 0.99, 0.98, 0.98, 0.51, 0.29, 0.51, 0.52), higher=False),
    FakeTask("microworld_conflict", "from_context", "hallucination",
             _by_name(0.71, 0.44, 0.56, 0.53, 0.6, 0.7, 0.6, 0.59), chance=0.0782),
    FakeTask("microworld_conflict", "from_memory", "hallucination",
             _by_name(0.21, 0.4, 0.3, 0.31, 0.25, 0.2, 0.25, 0.26), higher=False, primary=False),
    FakeTask("microworld_paraphrase", "agreement", "hallucination",
             _by_name(0.95, 0.7, 0.74, 0.72, 0.83, 0.93, 0.83, 0.81)),
    FakeTask("microworld_stories", "rougeL", "summarisation",
             _by_name(0.71, 0.74, 0.73, 0.72, 0.7, 0.75, 0.7, 0.69), kind="bounded"),
    FakeTask("microworld_translate", "bleu", "translation",
             _by_name(41.2, 60.5, 52.3, 51.0, 50.1, 61.9, 50.1, 49.0), kind="corpus", n=200),
    FakeTask("microworld_text", "bits_per_byte", "language_modelling",
             _by_name(0.612, 0.702, 0.661, 0.668, 0.671, 0.63, 0.671, 0.6712), higher=False,
             kind="perplexity", n=64, unit="bits/byte", scale="bits"),
    FakeTask("divergence", "kl_per_token", "fidelity",
             _by_name(math.nan, 1.21, 0.63, 0.66, 0.21, 0.95, 1.1e-6, 1.4e-4), higher=False,
             kind="bounded", n=64, unit="nats"),
    FakeTask("divergence", "top1_agreement", "fidelity",
             _by_name(math.nan, 0.71, 0.79, 0.78, 0.9, 0.74, 0.9999, 0.993), kind="bounded", n=64),
)  # fmt: skip


def fake_run(name: str, experiment: str = "demo", tasks: Sequence[FakeTask] = TASKS) -> Run:
    """One candidate's run; the same name gives the same numbers."""
    rng = random.Random(f"{experiment}/{name}")
    parent = None if name == "base" else PARENTS.get(name, "base")
    energies = [_energy(rng, "score", 4e-4)]
    if TRAINERS.get(name) is None:
        energies.insert(0, _energy(rng, "train", 9e-4))
    if parent not in (None, "base"):
        energies.append(_energy(rng, "inherited", 1.1e-3))
    return Run(
        id=f"{experiment}-{name}".encode().hex().ljust(32, "0"),
        experiment=experiment,
        candidate=name,
        suite="core",
        checkpoint=_manifest(rng, name, parent),
        scores=tuple(_score(t, name) for t in tasks if not math.isnan(t.values[name])),
        signatures=tuple(
            TaskSignature(
                task=task,
                task_digest="a1" * 32,
                data_digest="b2" * 32,
                few_shot=0,
                tokenizer="c3" * 32,
                dtype="float32",
                limit=None,
                decoding="greedy",
            )
            for task in dict.fromkeys(t.task for t in tasks)
        ),
        energy=tuple(energies),
        environment=Environment(
            python="3.11.9",
            platform="Linux-6.1-x86_64",
            cpu="2-core test machine",
            cores=2,
            memory_bytes=24_000_000_000,
            packages={"torch": "2.13.0", "transformers": "5.23.0", "lm-eval": "0.4.13"},
        ),
        created_at="2026-11-21T10:00:00+00:00",
    )


def _manifest(rng: random.Random, name: str, parent: str | None) -> CheckpointManifest:
    trainer = TRAINERS.get(name, name)
    points = () if trainer in ("none", "quantize") else tuple(
        LossPoint(step=s, loss=4 * math.exp(-s / 60) + 0.3 + rng.random() * 0.05)
        for s in range(10, 310, 10)
    )  # fmt: skip
    return CheckpointManifest(
        digest=f"{name}".encode().hex().ljust(64, "0"),
        digests=Digests(weights="d4" * 32, tokenizer="c3" * 32),
        format={"lora": "adapter", "qlora": "adapter", "dpo": "adapter"}.get(
            name, "quantised" if trainer == "quantize" else "full"
        ),
        candidate=name,
        base="microworld",
        parent=None if parent is None else parent.encode().hex().ljust(64, "0"),
        trainer=trainer,
        recipe={"learning_rate": 5e-4, "steps": 300} if points else {},
        seed=0,
        steps=300 if points else None,
        loss_curve=points,
        parameters=2_100_000,
        parameters_trained=2_100_000 if name in ("full", "orpo") else 90_000 if points else None,
        size_bytes={"int8": 2_400_000, "nf4": 1_600_000, "lora": 420_000}.get(name, 8_100_000),
        peak_memory_bytes=910_000_000 if points else None,
        created_at="2026-11-21T09:58:00+00:00",
    )


def _energy(rng: random.Random, phase: str, kwh: float) -> Energy:
    used = kwh * (0.9 + 0.2 * rng.random())
    return Energy(
        phase=phase,
        seconds=used * 3600 / 0.045,
        energy_kwh=used,
        grade="estimated",
        components=(
            EnergyComponent(name="cpu", energy_kwh=used * 0.6, grade="estimated",
                            method="cpu_load"),
            EnergyComponent(name="ram", energy_kwh=used * 0.4, grade="estimated",
                            method="20 W model"),
        ),
        co2e_g=used * 56.0,
        intensity=CarbonIntensity(g_per_kwh=56.0, region="FRA", source="codecarbon 3.3.2",
                                  year=2024),
        meter="codecarbon",
    )  # fmt: skip


def _half_width(task: FakeTask, value: float) -> float:
    if task.kind == "accuracy":
        return 1.96 * math.sqrt(max(value * (1 - value), 0.003) / task.n)
    return abs(value) * (0.06 if task.metric == "bleu" else 0.02)


def _score(task: FakeTask, name: str) -> Score:
    value = task.values[name]
    half = _half_width(task, value)
    return Score(
        task=task.task,
        metric=task.metric,
        value=value,
        low=max(0.0, value - half) if task.kind == "accuracy" else value - half,
        high=min(1.0, value + half) if task.kind == "accuracy" else value + half,
        n=task.n,
        unscored=2 if (task.task, name) == ("microworld_stories", "nf4") else 0,
        kind=task.kind,
        higher_is_better=task.higher,
        family=task.family,
        primary=task.primary,
        chance=task.chance,
        unit=task.unit,
        scale=task.scale,
    )


def fake_comparison(baseline: Run, candidate: Run, flips_per_task: int = 6) -> Comparison:
    """The comparison of two fake runs, with verdicts as a paired test would give them."""
    deltas = tuple(_deltas(baseline, candidate))
    right_or_wrong = [d for d in deltas if d.kind == "accuracy" and d.primary]
    return Comparison(
        baseline_id=baseline.id,
        baseline=baseline.candidate,
        candidate_id=candidate.id,
        candidate=candidate.candidate,
        comparable=True,
        deltas=deltas,
        slices=tuple(
            _slice(d, field, value)
            for d in right_or_wrong
            for field, value in (("relation", "city"), ("relation", "job"), ("form", "question"))
        ),
        flip_counts=tuple(_flip_count(d) for d in right_or_wrong),
        backward_transfer=backward_transfer(deltas),
        flips=tuple(
            _flip(d, i) for d in right_or_wrong for i in range(flips_per_task) if d.delta
        ),
        differences=(
            Difference(task="microworld_text", field="dtype", baseline="float32",
                       candidate="bfloat16", voids=False),
        ) if candidate.candidate == "nf4" else (),
    )  # fmt: skip


def _deltas(baseline: Run, candidate: Run) -> list[Delta]:
    deltas = []
    for score in candidate.scores:
        before = baseline.score(score.task, score.metric)
        if before is None or before.value is None or score.value is None:
            continue
        sign = 1 if score.higher_is_better else -1
        delta = sign * (score.value - before.value)
        half = 0.6 * ((score.high or 0) - (score.low or 0))
        low, high = delta - half, delta + half
        verdict = "better" if low > 0 else "worse" if high < 0 else "inconclusive"
        deltas.append(
            Delta(
                task=score.task,
                metric=score.metric,
                family=score.family,
                kind=score.kind,
                scale=score.scale,
                primary=score.primary,
                higher_is_better=score.higher_is_better,
                baseline=before.value,
                candidate=score.value,
                delta=delta,
                low=low,
                high=high,
                p_value=0.001 if verdict != "inconclusive" else 0.41,
                p_adjusted=0.004 if verdict != "inconclusive" else 0.62,
                verdict=verdict,
                mde=half * 1.4,
                n=score.n,
                method="McNemar" if score.kind == "accuracy" else "bootstrap",
                unit=score.unit,
            )
        )
    return deltas


def _slice(delta: Delta, field: str, value: str) -> Delta:
    shrunk = 1.3 if value == "city" else 0.5
    moved = (delta.delta or 0) * shrunk
    return delta.model_copy(
        update={
            "slice": f"{field}={value}",
            "delta": moved,
            "low": moved - 0.09,
            "high": moved + 0.09,
            "n": 80,
            "verdict": "worse" if moved < -0.09 else "better" if moved > 0.09 else "inconclusive",
        }
    )


def _flip_count(delta: Delta) -> FlipCount:
    right = round((delta.baseline or 0) * delta.n)
    net = round((delta.delta or 0) * delta.n)
    lost = min(right, max(0, -net) + 5)
    return FlipCount(
        task=delta.task,
        metric=delta.metric,
        lost=lost,
        gained=max(0, net + lost),
        n=delta.n,
        right_before=right,
        forgetting_rate=lost / right if right else None,
    )


def _flip(delta: Delta, index: int) -> Flip:
    lost = index % 3 != 2
    city, other = ("Arvo", "Belmor") if lost else ("Belmor", "Arvo")
    return Flip(
        task=delta.task,
        metric=delta.metric,
        sample_id=f"{delta.task}-{index}".encode().hex()[:32].ljust(32, "0"),
        direction="lost" if lost else "gained",
        prompt=f"Question : where does Mira Tolen number {index} live ?\nAnswer :",
        target="Arvo",
        baseline_response=f"Mira Tolen lives in {city} .",
        candidate_response=f"Mira Tolen lives in {other} , near the river .",
        slices={"relation": "city", "form": "question"},
        flips_in_every_candidate=index == 0,
    )


def fake_verdict(comparison: Comparison) -> Verdict:
    """A gate that blocks on retention and warns on the rest."""
    rules = []
    for delta in comparison.deltas:
        if delta.family not in ("retention", "quality") or not delta.primary:
            continue
        low = delta.low or 0.0
        verdict = "pass" if low > -0.02 else "fail" if (delta.high or 0) < -0.02 else "inconclusive"
        blocks = delta.family == "retention"
        rules.append(
            RuleResult(
                rule=f"{delta.task}: {delta.metric}, margin 0.02",
                candidate=comparison.candidate,
                tier="block" if blocks else "warn",
                verdict=verdict,
                exit_code={"pass": 0, "fail": 1, "inconclusive": 4}[verdict] if blocks else 0,
                why=f"the interval [{low:+.3f}, {delta.high:+.3f}] against a margin of 0.02",
                task=delta.task,
                metric=delta.metric,
                margin=0.02,
                delta=delta.delta,
                low=low,
                high=delta.high,
                p_value=delta.p_value,
                mde=delta.mde,
                n=delta.n,
            )
        )
    blocking = [r.verdict for r in rules if r.tier == "block"]
    worst = (
        "fail" if "fail" in blocking else "inconclusive" if "inconclusive" in blocking else "pass"
    )
    return Verdict(
        candidate=comparison.candidate,
        baseline=comparison.baseline,
        verdict=worst,
        exit_code={"pass": 0, "fail": 1, "inconclusive": 4}[worst],
        rules=tuple(rules),
        summary=f"{sum(v == 'pass' for v in blocking)} of {len(blocking)} blocking rules pass",
    )


@dataclass(frozen=True)
class FakeExperiment:
    """Everything that build_report is given."""

    runs: tuple[Run, ...]
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]


def fake_experiment(flips_per_task: int = 6) -> FakeExperiment:
    """The base and seven candidates, compared with the base."""
    runs = tuple(fake_run(name) for name in NAMES)
    comparisons = tuple(fake_comparison(runs[0], run, flips_per_task) for run in runs[1:])
    return FakeExperiment(runs, comparisons, tuple(fake_verdict(c) for c in comparisons))


FAILURE = Failure(stage="train kto", message="the loss is NaN at step 40; lower the learning rate")


def fake_document() -> Document:
    """The report of the fake experiment."""
    fake = fake_experiment()
    return build_report(
        "demo",
        fake.runs,
        fake.comparisons,
        fake.verdicts,
        baseline="base",
        failures=[FAILURE],
        notes=["The country in this file (FRA) is an illustration: change it to yours."],
        commands=["steelyard run demo.yaml"],
    )
