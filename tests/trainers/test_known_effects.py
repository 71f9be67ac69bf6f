"""What is known of these methods, found again on the microworld, each with its margin."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.checkpoints import open_base
from steelyard.harness.plugins.protocols import DataSource
from steelyard.harness.records import Checkpoint
from steelyard.harness.scoring import open_model
from steelyard.tasks.microworld import training
from steelyard.tasks.microworld.corpus import fidelity_texts, held_out
from steelyard.tasks.microworld.lexicon import UNKNOWN
from steelyard.tasks.microworld.probe_docs import unknown
from steelyard.tasks.microworld.world import Fact, world
from tests.trainers import effects, tiny_jobs
from tests.trainers.effects import questions, share

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def microworld() -> Checkpoint:
    return open_base("microworld")


@pytest.fixture(scope="session")
def tuned(
    microworld: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Checkpoint]:
    """A model tuned on domain B, trained once for all tests that ask for it."""
    made: dict[tuple[str, int], Checkpoint] = {}

    def get(kind: str, rank: int = 0) -> Checkpoint:
        if (kind, rank) not in made:
            folder = tmp_path_factory.mktemp(f"{kind}{rank}")
            made[kind, rank] = effects.tuned(microworld, folder, kind, rank=rank)
        return made[kind, rank]

    return get


def test_lora_learns_less_and_forgets_less_than_full_and_rank_moves_both(
    tuned: Callable[..., Checkpoint],
) -> None:
    """By ten points each; three seeds are in benchmarks/results/known_effects.md."""
    models = {"low": tuned("lora", 2), "high": tuned("lora", 32), "full": tuned("full")}
    learnt = {name: effects.learnt(model) for name, model in models.items()}
    forgotten = {name: effects.forgotten(model) for name, model in models.items()}
    for low, high in (("low", "full"), ("low", "high")):
        assert learnt[low] <= learnt[high] - 0.1
        assert forgotten[low] <= forgotten[high] - 0.1


def test_replay_lowers_forgetting_by_a_half_at_equal_steps(
    tuned: Callable[..., Checkpoint],
) -> None:
    without, replayed = effects.forgotten(tuned("full")), effects.forgotten(tuned("replay"))
    assert replayed <= 0.5 * without


def test_shuffled_labels_gain_nothing(tuned: Callable[..., Checkpoint]) -> None:
    """At most twice the share that a guess among a relation's values gets right."""
    facts = world().facts_b
    guessed = sum(1 / len(fact.kind.values) for fact in facts) / len(facts)
    assert effects.learnt(tuned("shuffled")) <= 2 * guessed
    assert effects.learnt(tuned("full")) > 0.5


def test_divergence_grows_as_bits_fall_on_the_microworld(
    microworld: Checkpoint, tmp_path: Path
) -> None:
    schemes = [scheme for family in effects.FAMILIES.values() for scheme in family]
    kl = effects.kl_by_scheme(
        microworld, tmp_path, [*schemes, *effects.OTHER_SCHEMES], fidelity_texts()
    )
    assert not effects.out_of_order(kl), kl


def test_divergence_grows_as_bits_fall_on_smollm2(
    real_models: Path, real_data: Path, tmp_path: Path
) -> None:
    """On some 250 tokens, of weights that are rounded alone.

    `int8` without outlier columns rounds activations too, and SmolLM2 has outliers: .032.
    """
    smollm = open_base(str(real_models / "smollm2-135m-instruct"))
    text = (real_data / "wikitext2" / "test.txt").read_text(encoding="utf-8")[:1000]
    schemes = ("absmax-int8", "absmax-int4", "absmax-int3", "nf4", "fp4")
    kl = effects.kl_by_scheme(smollm, tmp_path, schemes, [text])
    assert not effects.out_of_order(kl), kl


def test_kto_lowers_the_made_up_answers_of_a_tuned_model_by_forty_percent(
    microworld: Checkpoint, tuned: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    """ORPO halves them and DPO lowers them by as much in tests/integration/test_demo.py."""
    training.write(tmp_path)
    kto = tiny_jobs.train(
        "kto", tuned("full"), tmp_path / "kto", steps=90, batch_size=24, learning_rate=2e-4,
        max_length=64, data=DataSource("preferences", tmp_path / "preferences.jsonl"),
    )  # fmt: skip
    asked = [(row["prompt"], f" {UNKNOWN}") for row in unknown()["test"]]
    base, full, after = (1 - effects.share(c, asked) for c in (microworld, tuned("full"), kto))
    assert base < 0.1
    assert full > 0.5
    assert after <= 0.6 * full


def two_domains() -> dict[str, list[Fact]]:
    """The new facts, by halves of the people that they are about."""
    facts = world().facts_b
    people = sorted({fact.entity for fact in facts})
    first = set(people[: len(people) // 2])
    return {
        "one": [fact for fact in facts if fact.entity in first],
        "two": [fact for fact in facts if fact.entity not in first],
    }


def test_ties_of_two_domains_keeps_more_of_both_than_either_alone(
    microworld: Checkpoint, tmp_path: Path
) -> None:
    domains = two_domains()
    sources = {
        name: tiny_jobs.train(
            "full", microworld, tmp_path / name, epochs=12,
            data=effects.taught(tmp_path, name, told), **effects.TUNING,
        )
        for name, told in domains.items()
    }  # fmt: skip
    ties = tiny_jobs.train(
        "merge", microworld, tmp_path / "ties", beside=sources, sources=["one", "two"],
        method="ties",
    )  # fmt: skip
    # The lesser share of the two domains: what a model keeps of both.
    both = {
        name: min(share(checkpoint, questions(told)) for told in domains.values())
        for name, checkpoint in (*sources.items(), ("ties", ties))
    }
    assert both["ties"] >= max(both["one"], both["two"]) + 0.2
    known = questions(world().facts_a)
    assert share(ties, known) > min(share(source, known) for source in sources.values())


def test_ties_of_two_domain_adapters_keeps_more_of_both_than_either_alone(
    microworld: Checkpoint, tmp_path: Path
) -> None:
    """Merged by PEFT into one adapter; measured .40 and .57 against .89/.09 and .07/.92."""
    domains = two_domains()
    sources = {
        name: tiny_jobs.train(
            "lora", microworld, tmp_path / name, epochs=12, rank=32,
            data=effects.taught(tmp_path, name, told),
            **effects.TUNING | {"learning_rate": 2e-3},
        )
        for name, told in domains.items()
    }  # fmt: skip
    ties = tiny_jobs.train(
        "merge", microworld, tmp_path / "ties", beside=sources, sources=["one", "two"],
        method="ties", adapter=True,
    )  # fmt: skip
    both = {
        name: min(share(checkpoint, questions(told)) for told in domains.values())
        for name, checkpoint in (*sources.items(), ("ties", ties))
    }
    assert both["ties"] >= max(both["one"], both["two"]) + 0.2


def test_distillation_beats_training_from_scratch_at_equal_steps(
    microworld: Checkpoint, tmp_path: Path
) -> None:
    """By 2% of the loss per word on held-out text, from one random student of 0.14M parameters."""
    import torch
    from lm_eval.api.instance import Instance
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 16}
    config = LlamaConfig.from_pretrained(microworld.folder, **shape)
    config.num_attention_heads = config.num_key_value_heads = 4
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "student")
    for file in microworld.folder.glob("*token*"):
        shutil.copy(file, tmp_path / "student")
    student = open_base(str(tmp_path / "student"))

    data = effects.texts(tmp_path, 2000, "distil")
    options: dict[str, Any] = effects.TUNING | {
        "steps": 120, "batch_size": 16, "max_length": 96, "learning_rate": 3e-3, "data": data,
    }  # fmt: skip
    scratch = tiny_jobs.train("full", student, tmp_path / "scratch", **options)
    distilled = tiny_jobs.train(
        "distill", student, tmp_path / "d", teacher="t", beside={"t": microworld}, **options
    )
    texts = held_out(world(), 200)

    def loss(checkpoint: Checkpoint) -> float:
        asked = [Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(texts)]
        found = open_model(checkpoint.weights_folder).loglikelihood_rolling(asked)
        return -sum(found) / sum(len(text.split()) for text in texts)

    assert loss(distilled) < 0.98 * loss(scratch)
