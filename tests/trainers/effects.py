"""The microworld as an instrument: tuned models, and what each learnt, forgot and diverged."""

from __future__ import annotations

import itertools
import random
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.harness.checkpoints import dequantised
from steelyard.harness.evaluation.token_divergence import divergence
from steelyard.harness.plugins.protocols import DataSource
from steelyard.harness.records import Checkpoint
from steelyard.harness.scoring import open_model
from steelyard.tasks.microworld import training
from steelyard.tasks.microworld.corpus import pretraining
from steelyard.tasks.microworld.world import Fact, world
from tests.trainers import tiny_jobs

TUNING: dict[str, Any] = {
    "learning_rate": 5e-4,
    "batch_size": 32,
    "scheduler": "cosine",
    "warmup_ratio": 0.05,
    "max_length": 64,
}
#: One for every rank, and the learning rate is full's, so that the rank alone differs.
ALPHA_OVER_RANK = 4.0
STEPS = 120

#: Schemes at one block size, within a family from many bits to few.
FAMILIES: Mapping[str, Sequence[str]] = {
    "absmax": ("absmax-int8", "absmax-int4", "absmax-int3", "absmax-int2"),
    "zeropoint": ("zeropoint-int8", "zeropoint-int4", "zeropoint-int3", "zeropoint-int2"),
    "gguf": ("gguf-q8_0", "gguf-q4_0"),
}
OTHER_SCHEMES = ("int8", "nf4", "fp4")


def share(checkpoint: Checkpoint, asked: Sequence[tuple[str, str]]) -> float:
    """The share of questions whose whole answer is the model's greedy continuation."""
    from lm_eval.api.instance import Instance

    scorer = open_model(checkpoint.weights_folder, adapter=checkpoint.adapter_folder)
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(asked)]
    return sum(greedy for _, greedy in scorer.loglikelihood(requests)) / len(asked)


def questions(facts: Sequence[Fact]) -> list[tuple[str, str]]:
    """In a wording that tuning did not use."""
    return [(fact.question(2), f" {fact.value} .") for fact in facts]


def learnt(checkpoint: Checkpoint) -> float:
    """The share of the new facts (domain B) that it answers."""
    return share(checkpoint, questions(world().facts_b))


def forgotten(checkpoint: Checkpoint) -> float:
    """The share of the old facts about people (domain A) that it no longer answers."""
    return 1 - share(checkpoint, questions(world().facts_about_people_a))


def shuffled_facts(facts: Sequence[Fact], seed: int) -> list[Fact]:
    """Each relation's values dealt out anew: every answer is likely, and no longer the truth."""
    values: dict[str, list[str]] = defaultdict(list)
    for fact in facts:
        values[fact.relation].append(fact.value)
    draw = random.Random(f"shuffled:{seed}")
    for dealt in values.values():
        draw.shuffle(dealt)
    return [Fact(fact.entity, fact.relation, values[fact.relation].pop()) for fact in facts]


def taught(folder: Path, name: str, facts: Sequence[Fact]) -> DataSource:
    """Training rows of these facts, in the wordings that are taught."""
    rows = [
        {"prompt": fact.question(form), "completion": f" {fact.value} ."}
        for fact in facts
        for form in training.QUESTION_FORMS_TAUGHT
    ]
    return tiny_jobs.write_rows(folder / f"{name}.jsonl", rows)


def texts(folder: Path, count: int, purpose: str) -> DataSource:
    """Training rows of the texts that the base was pretrained on the likes of, two words asked."""
    rows = []
    for text in itertools.islice(pretraining(world(), random.Random(purpose)), count):
        words = text.split(" ")
        rows.append({"prompt": " ".join(words[:2]), "completion": " " + " ".join(words[2:])})
    return tiny_jobs.write_rows(folder / "texts.jsonl", rows)


def tuned(
    start: Checkpoint, folder: Path, kind: str, *, rank: int = 0, seed: int = 0
) -> Checkpoint:
    """Tuned on domain B for 120 steps of 32: ``full``, ``replay``, ``shuffled`` or ``lora``."""
    folder.mkdir(parents=True, exist_ok=True)
    training.write(folder, seed)
    data = DataSource("facts_b", folder / "facts_b.jsonl")
    if kind == "replay":
        data = DataSource("facts_b_replay", folder / "facts_b_replay.jsonl")
    if kind == "shuffled":
        data = taught(folder, "shuffled", shuffled_facts(world().facts_b, seed))
    if kind == "lora":
        return tiny_jobs.train(
            "lora", start, folder / f"lora{rank}", data=data, seed=seed, steps=STEPS,
            rank=rank, lora_alpha=ALPHA_OVER_RANK * rank, **TUNING,
        )  # fmt: skip
    return tiny_jobs.train(
        "full", start, folder / kind, data=data, seed=seed, steps=STEPS, **TUNING
    )


def kl_per_token(parent: Any, child: Checkpoint, texts: Sequence[str], window: int = 256) -> float:
    """Mean KL(parent || child) in nats per token; ``parent`` is opened by ``open_model``."""
    opened = open_model(child.weights_folder, gguf_file=child.gguf_file)
    found = divergence(opened, parent, texts, max_length=window)
    return sum(one.kl_sum for one in found) / sum(one.tokens for one in found)


def kl_by_scheme(
    start: Checkpoint, folder: Path, schemes: Sequence[str], texts: Sequence[str]
) -> dict[str, float]:
    """Quantise by every scheme and measure the divergence; each folder is removed at once."""
    start = dequantised(start, folder / "float32")
    parent = open_model(start.weights_folder)
    found = {}
    for scheme in schemes:
        # int8 without outlier columns, whose rows do not depend on what shares a batch
        options: dict[str, Any] = {"outlier_threshold": 0} if scheme == "int8" else {}
        if scheme in FAMILIES["gguf"]:  # llama.cpp does not split words as the microworld does
            options = {"tokenizer": "beside"}
        child = tiny_jobs.train("quantize", start, folder / scheme, scheme=scheme, **options)
        found[scheme] = kl_per_token(parent, child, texts)
        shutil.rmtree(child.folder)
    return found


def out_of_order(kl: Mapping[str, float]) -> list[str]:
    """What breaks the known order, in words; [] where it holds.

    Within a family divergence grows from each number of bits to the next lower one; at 4 bits nf4
    lies below fp4 and absmax-int4, and int8 lies below a tenth of nf4.
    """
    wrong = []
    for schemes in FAMILIES.values():
        there = [scheme for scheme in schemes if scheme in kl]
        for more, fewer in itertools.pairwise(there):
            if not kl[fewer] > kl[more]:
                wrong.append(f"{fewer} {kl[fewer]:.3g} is not above {more} {kl[more]:.3g}")
    for worse in ("fp4", "absmax-int4"):
        if not kl["nf4"] < kl[worse]:
            wrong.append(f"nf4 {kl['nf4']:.3g} is not below {worse} {kl[worse]:.3g}")
    for int8 in ("int8", "absmax-int8"):
        if int8 in kl and not kl[int8] < kl["nf4"] / 10:
            wrong.append(f"{int8} {kl[int8]:.3g} is not below a tenth of nf4 {kl['nf4']:.3g}")
    return wrong
