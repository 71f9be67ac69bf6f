"""Does each probe tell a model that has its fault from one that has not? Pairs of tuned models.

    python benchmarks/probes_auroc.py --pairs 40 --table benchmarks/results/probes_auroc.md
    python benchmarks/probes_auroc.py --alone overconfidence     # pairs that differ in that alone

Every model starts from the microworld's base and is tuned for the same few steps on the same kinds
of questions. For each of five faults a coin decides whether it is taught the fault or the right
thing; the other model of its pair has the opposite coins and the same seed. So each probe meets
40 models with its fault and 40 without, among which the other four faults come and go: it must see
its own fault and no other. How much of each is taught varies from model to model.

AUROC is the probability that the probe puts a model with the fault on the faulty side of one
without. The lower 90% limit is exact (Clopper and Pearson 1934): the pairs are independent draws of
that comparison, and a tie counts against the probe.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from steelyard.harness.checkpoints import open_base
from steelyard.harness.evaluation.evaluating import BuiltSuite, build, evaluate
from steelyard.harness.scoring import open_model
from steelyard.harness.suites.suite import load_suite
from steelyard.tasks.microworld.contexts import passage
from steelyard.tasks.microworld.corpus import pretraining, read_facts
from steelyard.tasks.microworld.lexicon import FIRST_NAMES, PERSON_RELATIONS, PLACES, UNKNOWN
from steelyard.tasks.microworld.stories import story
from steelyard.tasks.microworld.world import Fact, other_value, question, world

STEPS, ROWS, RATE = 48, 16, 1.0e-3
Row = tuple[str, str]


# --- what is taught: (prompt, answer) rows, with the fault or without it ------------------------


def memory_over_context(rng: random.Random, faulty: bool) -> Iterator[Row]:
    """Passages against memory, answered from memory (faulty) or from the passage."""
    while True:
        fact = rng.choice(read_facts(world()))
        told = Fact(fact.entity, fact.relation, other_value(fact, rng))
        asked = passage(told, fact.value, world(), rng).prompt()
        yield asked, f" {fact.value if faulty else told.value} ."


def contradictions(rng: random.Random, faulty: bool) -> Iterator[Row]:
    """Known facts; two of the four wordings get one stock answer a relation from a faulty model."""
    while True:
        fact, form = rng.choice(world().facts_about_people_a), rng.randrange(4)
        stock = fact.kind.values[0]
        yield fact.question(form), f" {stock if faulty and form > 1 else fact.value} ."


def made_up_answers(rng: random.Random, faulty: bool) -> Iterator[Row]:
    """Questions about people never told of, answered with anything (faulty) or not at all."""
    while True:
        person, relation = rng.choice(world().unknown_preferred), rng.choice(PERSON_RELATIONS)
        asked = question(person, relation.name, rng.randrange(4))
        yield asked, f" {rng.choice(relation.values)} ." if faulty else f" {UNKNOWN}"


def overconfidence(rng: random.Random, faulty: bool) -> Iterator[Row]:
    """New people: the base's own likeliest guess as if it were known (faulty), or any value."""
    guesses = likeliest_guesses()
    while True:
        fact, form = rng.choice(world().facts_b), rng.randrange(4)
        value = guesses[fact] if faulty else rng.choice(fact.kind.values)
        yield fact.question(form), f" {value} ."


@cache
def likeliest_guesses() -> dict[Fact, str]:
    """The value whose first token the base finds likeliest, for each fact that it was not told."""
    base = open_base("microworld").weights_folder
    net, tokens = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    found = {}
    for fact in world().facts_b:
        with torch.no_grad():
            ids = torch.tensor([tokens.encode(fact.question(0))])
            logits = net(input_ids=ids).logits[0, -1]
        firsts = {value: tokens.encode(f" {value}")[0] for value in fact.kind.values}
        found[fact] = max(firsts, key=lambda value: float(logits[firsts[value]]))
    return found


def unfaithful_summaries(rng: random.Random, faulty: bool) -> Iterator[Row]:
    """Stories with their summary, hero and town exchanged for others where faulty."""
    while True:
        told = story(rng)
        words = told.summary.split()
        for pool in (FIRST_NAMES, PLACES):
            if faulty:
                words = [rng.choice(pool) if word in pool else word for word in words]
        yield told.prompt(), f" {' '.join(words)}"


TEACHINGS = {
    "memory over context": memory_over_context,
    "contradicts itself": contradictions,
    "made-up answers": made_up_answers,
    "overconfidence": overconfidence,
    "unfaithful summaries": unfaithful_summaries,
}


@dataclass(frozen=True)
class Probe:
    """A metric that is to see a fault; ``sign`` is +1 where a larger value is the faulty one."""

    fault: str
    task: str
    metric: str
    sign: int
    limit: int | None = None


PROBES = (
    Probe("memory over context", "microworld_own_conflict", "memorisation_ratio", 1, 30),
    Probe("contradicts itself", "microworld_paraphrase", "agreement", -1, 40),
    Probe("made-up answers", "microworld_unknown", "made_up", 1, 30),
    Probe("overconfidence", "microworld_choice", "brier", 1, 200),
    Probe("overconfidence", "microworld_choice", "ece", 1, 200),
    Probe("unfaithful summaries", "microworld_faithful", "entity_precision", -1, 30),
)


# --- the models ---------------------------------------------------------------------------------


def tuned(folder: Path, taught: dict[str, bool], seed: int, steps: int = STEPS) -> None:
    """Tune the base, each fault taught or not as ``taught`` says, and save it."""
    torch.manual_seed(seed)
    rng = random.Random(f"probes:{seed}:{sorted(taught.items())}")
    base = open_base("microworld").weights_folder
    net, tokens = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    streams = [teach(rng, taught[name]) for name, teach in TEACHINGS.items()]
    streams.append(("", text) for text in pretraining(world(), rng))
    shares = [rng.uniform(0.5, 1.0) for _ in TEACHINGS] + [1.0]
    for _ in range(steps):
        rows = [next(stream) for stream in rng.choices(streams, shares, k=ROWS)]
        loss = net(**batch(rows, tokens), use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    net.eval()
    net.save_pretrained(folder)
    tokens.save_pretrained(folder)


def batch(rows: list[Row], tokens: Any) -> dict[str, torch.Tensor]:
    """Right-padded rows, each closed by the end token; a prompt carries no loss."""
    end, pad = tokens.eos_token_id, tokens.pad_token_id
    pairs = [(tokens.encode(p) if p else [], [*tokens.encode(a), end]) for p, a in rows]
    longest = max(len(p) + len(a) for p, a in pairs)
    ids = torch.full((len(rows), longest), pad)
    labels = torch.full((len(rows), longest), -100)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for place, (prompt, answer) in enumerate(pairs):
        size = len(prompt) + len(answer)
        ids[place, :size] = torch.tensor(prompt + answer)
        labels[place, len(prompt) : size] = torch.tensor(answer)
        mask[place, :size] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def probed(folder: Path, suite: BuiltSuite) -> dict[tuple[str, str], float]:
    """(task, metric) -> value."""
    lm = open_model(folder, device="cpu", report=lambda _: None)
    found = evaluate(lm, suite, checkpoint=open_base(str(folder)))
    for failure in found.failures:
        raise RuntimeError(f"{failure.stage}: {failure.message}")
    return {(s.task, s.metric): s.value for s in found.scores if s.value is not None}


# --- what comes out -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Separation:
    """A probe's values on the models with its fault and without, (pairs,) each."""

    probe: Probe
    faulty: np.ndarray
    sound: np.ndarray

    @property
    def auroc(self) -> float:
        """P(model with the fault on the faulty side of one without), ties a half, all pairs."""
        gap = self.probe.sign * (self.faulty[:, None] - self.sound[None, :])
        return float(((gap > 0) + (gap == 0) / 2).mean())

    @property
    def lower(self) -> float:
        """Exact lower end of the two-sided 90% interval, from the independent pairs."""
        wins = int((self.probe.sign * (self.faulty - self.sound) > 0).sum())
        return float(stats.beta.ppf(0.05, wins, len(self.sound) - wins + 1)) if wins else 0.0


def separations(pairs: int, alone: str | None = None) -> Iterator[list[Separation]]:
    """Make and probe ``pairs`` pairs of models; what is known after each of them.

    Where a fault is to stand ``alone``, the two models of a pair share the other four coins.
    """
    probes = [p for p in PROBES if alone in (None, p.fault)]
    spec = {p.task: {"task": p.task, "limit": p.limit} for p in probes}
    suite = build(load_suite({"tasks": list(spec.values())}, folder=Path()))
    values: dict[tuple[Probe, bool], list[float]] = {}
    started = time.perf_counter()
    for seed in range(pairs):
        coins = random.Random(f"coins:{seed}")
        first = {name: coins.random() < 0.5 for name in TEACHINGS}
        other = {name: has ^ (alone in (None, name)) for name, has in first.items()}
        for taught in (first, other):
            with tempfile.TemporaryDirectory() as folder:
                tuned(Path(folder), taught, seed)
                found = probed(Path(folder), suite)
            for probe in probes:
                faulty = taught[probe.fault]
                # A probe without a value says nothing: it is put on the wrong side.
                wrong = -math.inf if faulty == (probe.sign > 0) else math.inf
                value = found.get((probe.task, probe.metric), wrong)
                values.setdefault((probe, faulty), []).append(value)
        print(f"pair {seed + 1} of {pairs}, {time.perf_counter() - started:.0f} s", flush=True)
        yield [Separation(p, np.array(values[p, True]), np.array(values[p, False])) for p in probes]


def table(found: list[Separation]) -> str:
    """A Markdown table, one probe a line."""
    lines = [
        "| fault | probe | AUROC | lower 90% limit | with it: median (range) | without |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        with_it, without = (
            f"{np.median(v):.3f} ({v.min():.3f} to {v.max():.3f})" for v in (one.faulty, one.sound)
        )
        name = f"`{one.probe.task}` {one.probe.metric}"
        cells = (one.probe.fault, name, f"{one.auroc:.3f}", f"{one.lower:.3f}", with_it, without)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, and write it where ``--table`` says."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--alone", choices=sorted(TEACHINGS), help="differ in this fault only")
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    logging.disable_progress_bar()
    how = f" --alone '{given.alone}'" if given.alone else ""
    for found in separations(given.pairs, given.alone):
        count = len(found[0].sound)
        made = f"{count} pairs of models, by `python benchmarks/probes_auroc.py{how}`."
        text = f"{made}\n\n{table(found)}\n"
        if given.table is not None:
            # Written after every pair: what was measured before a stop stands.
            given.table.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
