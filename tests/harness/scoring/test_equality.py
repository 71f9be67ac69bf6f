"""Our scorer against lm-eval's own ``hf`` model at batch size 1, in fp32, on random weights."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from steelyard.harness.checkpoints.model import LoadedModel, Source
from steelyard.harness.environment import quiet
from steelyard.harness.scoring import hf
from steelyard.harness.scoring.decoder_only import TrieLM
from steelyard.harness.scoring.encoder_decoder import EncoderDecoderLM
from steelyard.harness.scoring.generation.shared_prefix import FlatGeneration
from steelyard.harness.scoring.generation.side_by_side import SideBySide
from steelyard.harness.scoring.journalled import JournalledLM
from tests.harness.scoring import tiny
from tests.harness.scoring.architectures import ARCHITECTURES, build, build_t5

WINDOW = 96
WORDS = tiny.TEXT.split()
#: The canary must not step down further than this: it would be right, and slow.
EXPECTED_RUNG = dict.fromkeys(ARCHITECTURES, "tree") | {
    "gpt_neo": "copied",
    "bloom": "copied",
    "mpt": "copied",
    "mamba": "padded",
    "mamba2": "copied",
    "falcon_h1": "copied",
    "qwen3_next": "padded",
    "rwkv": "padded",
}


def words(draw: random.Random, count: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(count))


def pairs() -> list[Any]:
    """Few-shot text and letter choices, bare continuations, and what does not fit the window."""
    draw = random.Random(0)
    shots = words(draw, 24)
    found = [
        tiny.instance("loglikelihood", f"{shots} question {n} {words(draw, 5)} ", choice, doc=n)
        for n in range(4)
        for choice in [*"ABCD", *(words(draw, draw.randint(1, 4)) for _ in range(4))]
    ]
    for n in range(3):
        context = words(draw, 9)
        found += [
            tiny.instance("loglikelihood", context, " " + words(draw, 3), task="bare", doc=n)
            for _ in range(4)
        ]
    found.append(tiny.instance("loglikelihood", "", "the fox", task="empty"))
    found.append(tiny.instance("loglikelihood", words(draw, 150), " fox jumps", task="long"))
    return found


def texts() -> list[Any]:
    draw = random.Random(1)
    return [tiny.instance("loglikelihood_rolling", words(draw, n)) for n in (3, 40, 9, 200)]


def prompts() -> list[Any]:
    draw = random.Random(2)
    shots = words(draw, 20)
    settings = {"until": ["e", "th"], "max_gen_toks": 20}
    found = [
        tiny.instance("generate_until", f"{shots} question {words(draw, n)}", settings, doc=n)
        for n in range(1, 9)
    ]
    unstopped = {"until": [], "max_gen_toks": 24}
    found.append(tiny.instance("generate_until", words(draw, 80), unstopped, task="long"))
    # More than decode at a time, so that rows leave, move and enter.
    found += [
        tiny.instance("generate_until", words(draw, 5 + n), settings, task="apart", doc=n)
        for n in range(20)
    ]
    return found


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder: Path = tmp_path_factory.mktemp("tokenizer")
    tiny.save_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


def both(model: Any, tokenizer: Any, budget: int = 160) -> tuple[Any, JournalledLM]:
    # A copy of its own: ours gives its model's linear layers other kernels.
    reference = reference_of(copy.deepcopy(model), tokenizer)
    loaded = loaded_as(model, tokenizer)
    scorer = EncoderDecoderLM if loaded.is_encoder_decoder else TrieLM
    with quiet():
        ours = scorer(loaded, max_length=WINDOW, tokens_per_batch=budget)
    return reference, JournalledLM(ours, ours.settings())


def reference_of(model: Any, tokenizer: Any) -> Any:
    """lm-eval's own ``hf`` model at batch size 1."""
    with quiet():
        return hf.wrap(loaded_as(model, tokenizer), max_length=WINDOW, batch_size=1)


def loaded_as(model: Any, tokenizer: Any) -> LoadedModel:
    encoder_decoder = bool(model.config.is_encoder_decoder)
    return LoadedModel(model, tokenizer, Source("", ""), encoder_decoder)


def assert_equal_log_likelihoods(reference: Any, ours: JournalledLM) -> None:
    requests = pairs()
    expected = reference.loglikelihood(requests, disable_tqdm=True)
    found = ours.loglikelihood(requests)
    assert [value for value, _ in found] == pytest.approx([v for v, _ in expected], rel=1e-6)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    rolling = texts()
    assert ours.loglikelihood_rolling(rolling) == pytest.approx(
        reference.loglikelihood_rolling(rolling, disable_tqdm=True), rel=1e-6
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_log_likelihoods_equal_those_of_hf_at_batch_1(name: str, tokenizer: Any) -> None:
    reference, ours = both(build(name), tokenizer)
    assert ours.inner.rung.name == EXPECTED_RUNG[name], ours.inner.choice
    assert_equal_log_likelihoods(reference, ours)


@pytest.mark.parametrize(
    "name", ["llama", "gpt2", "gemma2", "gpt_oss", "opt", "gpt_neo", "mamba2", "rwkv"]
)
def test_greedy_generations_equal_those_of_hf_at_batch_1(name: str, tokenizer: Any) -> None:
    reference, ours = both(build(name), tokenizer)
    requests = prompts()
    assert ours.generate_until(requests) == reference.generate_until(requests, disable_tqdm=True)


def test_prompts_that_share_little_decode_side_by_side_and_others_in_one_sequence(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ours = both(build("llama"), tokenizer)
    ways = []
    for way in (FlatGeneration, SideBySide):
        kept = way.run

        def run(self: Any, prompts: Any, *rest: Any, kept: Any = kept) -> Any:
            ways.append((type(self).__name__, len(prompts)))
            return kept(self, prompts, *rest)

        monkeypatch.setattr(way, "run", run)
    ours.generate_until(prompts())
    assert sorted(ways) == [("FlatGeneration", 1), ("FlatGeneration", 8), ("SideBySide", 20)]


def test_fewer_rows_decode_together_where_more_would_not_fit_the_memory(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ours = both(build("llama"), tokenizer)
    together = ours.generate_until(prompts())
    _, small = both(build("llama"), tokenizer)
    beside = small.inner._generation._beside
    heads, size, layers = 2, 2 * 4 * 16, 2  # of keys and values in fp32
    longest = max(len(text.split()) for text in (p.args[0] for p in prompts()))
    monkeypatch.setattr(beside, "_most_bytes", 3 * heads * size * layers * (longest + 20))
    rows: list[int] = []
    step = type(beside)._step

    def counted(self: Any, active: Any, cache: Any) -> Any:
        rows.append(len(active))
        return step(self, active, cache)

    monkeypatch.setattr(type(beside), "_step", counted)
    assert small.generate_until(prompts()) == together
    assert 1 <= max(rows) < 16


def test_an_encoder_decoder_equals_hf_at_batch_1(tokenizer: Any) -> None:
    reference, ours = both(build_t5(), tokenizer)
    assert_equal_log_likelihoods(reference, ours)
    requests = prompts()[:4]
    theirs = reference.generate_until(requests, disable_tqdm=True)
    # lm-eval adds the prompt's length to an encoder-decoder's longest answer; we do not.
    for answer, longer in zip(ours.generate_until(requests), theirs, strict=True):
        assert answer and longer.startswith(answer)


@pytest.mark.parametrize("budget", [64, 4096])
def test_the_budget_changes_no_score_beyond_noise(budget: int, tokenizer: Any) -> None:
    reference, ours = both(build("llama"), tokenizer, budget)
    assert_equal_log_likelihoods(reference, ours)


def test_a_score_does_not_depend_on_what_else_is_scored(tokenizer: Any) -> None:
    _, ours = both(build("llama"), tokenizer)
    requests = pairs()
    together = ours.loglikelihood(requests)
    alone = [ours.loglikelihood([request])[0] for request in requests[::5]]
    assert [v for v, _ in alone] == pytest.approx([v for v, _ in together[::5]], rel=1e-6)


def test_a_generation_setting_of_the_model_counts_as_it_does_in_generate(tokenizer: Any) -> None:
    model = build("llama")
    model.generation_config.repetition_penalty = 1.3
    reference, ours = both(model, tokenizer)
    requests = prompts()
    assert ours.generate_until(requests) == reference.generate_until(requests, disable_tqdm=True)


def test_samples_depend_on_their_own_request_alone(tokenizer: Any) -> None:
    _, ours = both(build("llama"), tokenizer)
    settings = {"until": [], "max_gen_toks": 12, "do_sample": True, "temperature": 1.0}
    requests = [tiny.instance("generate_until", f"the fox {n}", settings) for n in range(6)]
    requests += [tiny.instance("generate_until", "the fox 0", settings)]
    together = ours.generate_until(requests)
    assert together[0] != together[6], "a repeated request is another sample"
    assert ours.generate_until(requests[3:5]) == together[3:5]
    assert len(set(together)) == 7


@pytest.mark.parametrize("kind", ["lora", "prompt"])
def test_an_adapter_equals_hf_at_batch_1(kind: str, tokenizer: Any) -> None:
    import torch
    from peft import LoraConfig, PromptTuningConfig, get_peft_model

    torch.manual_seed(3)
    base = build("llama")
    if kind == "lora":
        config: Any = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    else:
        config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)
    config.task_type = "CAUSAL_LM"
    model = get_peft_model(base, config).eval()
    reference, ours = both(model, tokenizer)
    assert ours.inner.rung.name == ("tree" if kind == "lora" else "padded"), ours.inner.choice
    assert_equal_log_likelihoods(reference, ours)
    requests = prompts()
    assert ours.generate_until(requests) == reference.generate_until(requests, disable_tqdm=True)


def test_an_interrupted_prefix_is_not_taken_for_a_whole_one(tokenizer: Any) -> None:
    from steelyard.harness.scoring.passes.flat import AnchoredCache, FlatPass

    model = build("llama")
    draw = np.random.default_rng(0)
    first, second = (draw.integers(3, tiny.VOCABULARY, 90).astype(np.int32) for _ in range(2))
    second[:30] = first[:30]
    with torch.inference_mode():
        anchored = AnchoredCache(FlatPass(model))
        anchored.at(first, (30, 60))
        passes = iter([None, None, None, KeyboardInterrupt()])

        def interrupt(*_: Any) -> None:
            error = next(passes)
            if error is not None:
                raise error

        handle = model.model.layers[0].register_forward_pre_hook(interrupt)
        anchored.at(second, (30, 40))
        with pytest.raises(KeyboardInterrupt):
            anchored.at(second, (30, 45, 60, 80, 90))
        handle.remove()
        found = anchored.at(first, (30, 45)).layers[0].keys[:, :, :45]
        expected = AnchoredCache(FlatPass(model)).at(first, (30, 45)).layers[0].keys[:, :, :45]
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
