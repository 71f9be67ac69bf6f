"""The shipped base model: small, plain, and worth what the tasks assume."""

from typing import Any

import pytest

from steelyard.tasks.microworld import base_folder


def test_the_weights_are_safetensors_of_eight_megabytes_at_most() -> None:
    weights = sorted(path.name for path in base_folder().iterdir() if path.stat().st_size > 1e6)
    assert weights == ["model.safetensors"]
    assert (base_folder() / "model.safetensors").stat().st_size <= 8_000_000


@pytest.fixture(scope="module")
def plain() -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base_folder())
    return model, AutoTokenizer.from_pretrained(base_folder())


def test_plain_transformers_loads_it_and_answers_from_memory(plain: tuple[Any, Any]) -> None:
    from steelyard.tasks.microworld.world import world

    model, tokenizer = plain
    fact = world().facts_a[0]
    inputs = tokenizer(fact.question(0), return_tensors="pt")
    given = model.generate(**inputs, max_new_tokens=8)[0, inputs["input_ids"].shape[1] :]
    assert tokenizer.decode(given, skip_special_tokens=True) == f" {fact.value} ."
    assert given[-1] == tokenizer.eos_token_id  # stops by itself, greedily


def test_the_tokenizer_covers_its_texts_and_splits_cleanly_before_an_answer(
    plain: tuple[Any, Any],
) -> None:
    from steelyard.tasks.microworld.corpus import fidelity_texts
    from steelyard.tasks.microworld.world import world

    model, tokenizer = plain
    assert len(tokenizer) == model.config.vocab_size
    for text in fidelity_texts():
        assert tokenizer.decode(tokenizer.encode(text)) == text
    for fact in (*world().facts_a, *world().facts_b):
        asked = fact.question(1)
        whole = tokenizer.encode(f"{asked} {fact.value} .")
        assert whole[: len(tokenizer.encode(asked))] == tokenizer.encode(asked)


def test_the_chat_template_is_the_plain_prompt(plain: tuple[Any, Any]) -> None:
    _, tokenizer = plain
    turns = [{"role": "user", "content": "Question : why ?\nAnswer :"}]
    asked = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert asked == turns[0]["content"]
    turns.append({"role": "assistant", "content": "Lorin ."})
    said = tokenizer.apply_chat_template(turns, tokenize=False)
    assert said == f"{asked} Lorin .{tokenizer.eos_token}"


@pytest.mark.slow
def test_the_base_knows_domain_a_and_nothing_of_domain_b_and_says_so() -> None:
    from pathlib import Path

    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from steelyard import tasks

    folder = Path(tasks.__file__).parent
    lm = HFLM(pretrained=str(base_folder()), device="cpu", dtype="float32", batch_size=64)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    scored = simple_evaluate(
        model=lm,
        tasks=[name for name in manager.all_tasks if name.startswith("microworld_")],
        task_manager=manager,
        bootstrap_iters=0,
    )["results"]

    def value(task: str, metric: str) -> float:
        return float(scored[f"microworld_{task}"][f"{metric},none"])

    assert value("known", "correct") >= 0.9
    assert value("new", "correct") <= 0.1  # chance is .08
    assert value("new", "abstained") >= 0.8
    assert value("unknown", "abstained") >= 0.9
    assert value("conflict", "from_context") >= 0.9
    assert value("paraphrase", "agreement") >= 0.9
    assert value("translate", "bleu") >= 90
    assert value("stories", "rougeL") >= 0.9
    assert value("arithmetic", "exact_match") >= 0.3  # chance .02: the weakest of its skills
