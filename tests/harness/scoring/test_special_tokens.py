"""Special tokens that a tokenizer adds by itself: each once where it belongs, or as lm-eval has it.

Right values come from plain transformers on token ids that are written out by hand: ``<s>`` is 0,
``</s>`` is 1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from steelyard.harness.errors import ScoringError, UnknownNameError
from steelyard.harness.scoring import open_model
from tests.harness.scoring import tiny
from tests.harness.scoring.architectures import build_t5

BOS, EOS = [0], [1]
WINDOW = 64
SHORT = "the old man lives in the tower by the sea ."
LONG = tiny.TEXT * 3
PROMPT = "who lives in the tower ? answer :"
WRITES_BOS = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
WRITES_NONE = WRITES_BOS.removeprefix("{{ bos_token }}")
USER = [{"role": "user", "content": "who ?"}]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_llama(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def with_bos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.put_around_texts(tiny.save_llama(tmp_path_factory.mktemp("bos")), before="<s>")


@pytest.fixture(scope="module")
def with_eos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.put_around_texts(tiny.save_llama(tmp_path_factory.mktemp("eos")), after="</s>")


@pytest.fixture(scope="module")
def with_both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.save_llama(tmp_path_factory.mktemp("both"))
    return tiny.put_around_texts(folder, before="<s>", after="</s>")


def opened(folder: Path, **options: Any) -> Any:
    return open_model(folder, device="cpu", max_length=WINDOW, **options)


def own_tokens(lm: Any, text: str) -> list[int]:
    tokens: list[int] = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    return tokens


def by_hand(lm: Any, context: list[int], predicted: list[int]) -> float:
    """The log-likelihood of tokens behind others, in double precision."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(lm.model.name_or_path, dtype=torch.float64)
    with torch.inference_mode():
        logits = model(torch.tensor([context + predicted[:-1]])).logits[0].log_softmax(-1)
    rows = logits[len(context) - 1 :]
    return float(rows.gather(-1, torch.tensor(predicted)[:, None]).sum())


def rolled(lm: Any, text: str) -> float:
    value: float = lm.loglikelihood_rolling([tiny.instance("loglikelihood_rolling", text)])[0]
    return value


def chosen(lm: Any, context: str, continuation: str) -> float:
    value: float = lm.loglikelihood([tiny.instance("loglikelihood", context, continuation)])[0][0]
    return value


def continued(lm: Any, prompt: str) -> str:
    asked = tiny.instance("generate_until", prompt, {"until": [], "max_gen_toks": 12})
    text: str = lm.generate_until([asked])[0]
    return text


@pytest.fixture(params=["with_bos", "with_eos", "with_both"])
def adding(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(request.param)
    return folder


def test_a_whole_text_is_measured_behind_one_bos_and_no_special_token_is_counted(
    adding: Path,
) -> None:
    lm = opened(adding)
    assert rolled(lm, SHORT) == pytest.approx(by_hand(lm, BOS, own_tokens(lm, SHORT)), rel=1e-6)


def test_every_window_of_a_long_text_begins_with_bos_where_the_tokenizer_puts_one(
    with_bos: Path, plain: Path
) -> None:
    lm = opened(with_bos)
    tokens = own_tokens(lm, LONG)
    first, rest = tokens[:WINDOW], tokens[WINDOW:]
    assert len(rest) > WINDOW
    expected = by_hand(lm, BOS, first)
    end = WINDOW
    while end < len(tokens):
        begin, end = end, min(end + WINDOW - 1, len(tokens))
        context = tokens[end - WINDOW : begin]
        expected += by_hand(lm, [*BOS, *context], tokens[begin:end])
    assert rolled(lm, LONG) == pytest.approx(expected, rel=1e-6)
    # Where the tokenizer puts none, later windows have none: lm-eval's own windows.
    assert rolled(opened(plain), LONG) == pytest.approx(rolled(opened(plain, backend="hf"), LONG))


def test_a_prompt_never_ends_in_eos(with_eos: Path, plain: Path) -> None:
    for ask in (
        lambda lm: chosen(lm, "Where is the", " fox now"),
        lambda lm: chosen(lm, "", "the fox"),
        lambda lm: continued(lm, PROMPT),
        lambda lm: rolled(lm, LONG),
    ):
        assert ask(opened(with_eos)) == ask(opened(plain))


def test_a_run_says_that_its_prompts_are_left_open_or_are_not(with_eos: Path) -> None:
    notes = opened(with_eos).scoring_record()["notes"]
    assert notes == ["the tokenizer ends texts with </s>: prompts are left open"]
    for options in ({"parity": "lm-eval"}, {"backend": "hf"}):
        (note,) = opened(with_eos, **options).scoring_record()["notes"]
        assert note.startswith("every prompt ends in </s>")


def test_a_prompt_that_begins_with_bos_gets_no_second_one(with_both: Path) -> None:
    lm = opened(with_both)
    assert chosen(lm, "<s>the quick", " fox") == chosen(lm, "the quick", " fox")
    assert continued(lm, f"<s>{PROMPT}") == continued(lm, PROMPT)
    assert rolled(lm, f"<s>{SHORT}") == rolled(lm, SHORT)


def test_a_prompt_that_is_cut_to_the_window_keeps_its_bos(with_bos: Path) -> None:
    lm = opened(with_bos)
    context, predicted = own_tokens(lm, LONG.strip()), own_tokens(lm, " fox jumps")
    room = WINDOW + 1 - len(predicted) - len(BOS)
    expected = by_hand(lm, [*BOS, *context[-room:]], predicted)
    assert chosen(lm, LONG.strip(), " fox jumps") == pytest.approx(expected, rel=1e-6)
    kept = lm.tokenizer.decode(context[-(WINDOW - 12 - len(BOS)) :])
    assert continued(lm, LONG.strip()) == continued(lm, kept)
    notes = lm.scoring_record()["notes"]
    assert any(f"prompts beyond {WINDOW} tokens is not read" in note for note in notes)


@pytest.mark.parametrize("template", [WRITES_BOS, WRITES_NONE])
def test_a_chat_is_what_its_template_wrote(with_bos: Path, template: str, tmp_path: Path) -> None:
    lm = opened(with_bos)
    lm.tokenizer.chat_template = template
    chat = lm.apply_chat_template(USER)
    tokens = lm.tokenizer.apply_chat_template(USER, add_generation_prompt=True, return_dict=False)
    assert tokens.count(0) == (1 if template is WRITES_BOS else 0)
    expected = by_hand(lm, tokens, own_tokens(lm, " the fox"))
    assert chosen(lm, chat, " the fox") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["plain", "with_bos", "with_eos", "with_both"])
def test_parity_gives_the_numbers_of_lm_eval_s_hf(
    kind: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    ours, theirs = opened(folder, parity="lm-eval"), opened(folder, backend="hf")
    theirs.inner.batch_size_per_gpu = 1
    for text in (SHORT, LONG, f"<s>{SHORT}"):
        assert rolled(ours, text) == pytest.approx(rolled(theirs, text), rel=1e-6)
        assert continued(ours, text) == continued(theirs, text)
        assert chosen(ours, text, " fox") == pytest.approx(chosen(theirs, text, " fox"), rel=1e-6)
    assert chosen(ours, "", "the fox") == pytest.approx(chosen(theirs, "", "the fox"), rel=1e-6)


def test_lm_eval_without_bos_in_the_tokens_measures_a_short_text_as_ours(with_bos: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    theirs = HFLM(pretrained=str(with_bos), device="cpu", dtype="float32", add_bos_token=False)
    asked = [tiny.instance("loglikelihood_rolling", SHORT)]
    (expected,) = theirs.loglikelihood_rolling(asked, disable_tqdm=True)
    assert rolled(opened(with_bos), SHORT) == pytest.approx(expected, rel=1e-6)


def test_a_signature_names_the_rule_only_where_the_two_rules_differ(
    plain: Path, with_bos: Path, with_eos: Path
) -> None:
    whole = [tiny.instance("loglikelihood_rolling", SHORT)]
    choice = [tiny.instance("loglikelihood", "the quick", " fox")]
    long_choice = [tiny.instance("loglikelihood", LONG, " fox")]
    prompt = [tiny.instance("generate_until", SHORT, {"until": [], "max_gen_toks": 60})]
    rules = {"parity": ("steelyard", "lm-eval"), "backend": ("hf",)}
    lms = {
        (folder, name): opened(folder, **{option: name})
        for folder in (plain, with_bos, with_eos)
        for option, names in rules.items()
        for name in names
    }
    for folder, asked, differs in (
        (plain, whole, False),
        (plain, long_choice, False),
        (with_bos, whole, True),
        (with_bos, choice, False),
        (with_bos, long_choice, True),
        (with_bos, prompt, True),
        (with_eos, whole, True),
        (with_eos, choice, True),
    ):
        for rule in ("steelyard", "lm-eval"):
            assert lms[folder, rule].parity(asked) == (rule if differs else None)
        assert lms[folder, "hf"].parity(asked) == ("lm-eval" if differs else None)


def test_a_chat_s_rule_is_named_where_the_tokenizer_would_begin_it_otherwise(
    with_bos: Path,
) -> None:
    lm = opened(with_bos)
    for template, rule in ((WRITES_BOS, None), (WRITES_NONE, "steelyard")):
        lm.tokenizer.chat_template = template
        asked = tiny.instance("loglikelihood", lm.apply_chat_template(USER), " fox")
        assert lm.parity([asked]) == rule


def test_answers_of_the_two_rules_are_kept_apart_and_old_answers_are_lm_eval_s(
    plain: Path, with_bos: Path
) -> None:
    assert "special_tokens" not in opened(plain).settings
    assert opened(with_bos).settings["special_tokens"] == "steelyard"
    assert "special_tokens" not in opened(with_bos, parity="lm-eval").settings


def test_an_answer_s_length_counts_no_special_token(with_both: Path) -> None:
    lm = opened(with_both)
    assert lm.count_tokens(SHORT) == len(own_tokens(lm, SHORT))


def test_another_parity_is_refused_by_name(plain: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no such parity.*did you mean 'lm-eval'"):
        opened(plain, parity="lm_eval")


def test_a_tokenizer_without_bos_and_eos_is_opened(tmp_path: Path) -> None:
    folder = tiny.save_llama(tmp_path, eos_token_id=None)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in settings.items() if "os_token" not in k}))
    lm = opened(folder)
    assert lm.tokenizer.bos_token is None and lm.tokenizer.eos_token is None
    assert chosen(lm, "the quick", " fox") < 0 and continued(lm, PROMPT)
    with pytest.raises(ScoringError, match="neither BOS nor EOS"):
        rolled(lm, SHORT)


# --- encoder-decoders -----------------------------------------------------------------------


def encoder_decoder(folder: Path, model: Any, before: str, after: str) -> Path:
    model.save_pretrained(folder)
    tiny.save_tokenizer(folder)
    return tiny.put_around_texts(folder, before, after)


def test_a_t5_reads_its_eos_and_no_eos_is_counted_in_a_whole_text(tmp_path: Path) -> None:
    lm = opened(encoder_decoder(tmp_path, build_t5(), "", "</s>"))
    tokens = own_tokens(lm, SHORT)
    for read, value in (
        (EOS, rolled(lm, SHORT)),
        ([*own_tokens(lm, PROMPT), *EOS], chosen(lm, PROMPT, SHORT)),
    ):
        logits = lm.model(
            input_ids=torch.tensor([read]), decoder_input_ids=torch.tensor([[2, *tokens[:-1]]])
        ).logits[0]
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(tokens)[:, None]).sum()
        assert value == pytest.approx(float(expected), rel=1e-5)


def test_a_bart_answers_behind_the_bos_that_its_labels_begin_with(tmp_path: Path) -> None:
    from transformers import BartConfig, BartForConditionalGeneration

    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=tiny.VOCABULARY,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        decoder_start_token_id=1,
        init_std=0.3,
    )
    lm = opened(encoder_decoder(tmp_path, BartForConditionalGeneration(config), "<s>", "</s>"))
    read = lm.tokenizer(PROMPT)["input_ids"]
    labels = lm.tokenizer(text_target=" the fox")["input_ids"]
    assert read[0] == labels[0] == 0 and read[-1] == labels[-1] == 1
    with torch.inference_mode():
        # transformers' own loss, of each label in turn; the answer's are those between <s> and </s>
        logits = (
            lm.model(input_ids=torch.tensor([read]), labels=torch.tensor([labels]))
            .logits[0]
            .log_softmax(-1)
        )
    expected = logits.gather(-1, torch.tensor(labels)[:, None])[1:-1].sum()
    assert chosen(lm, PROMPT, " the fox") == pytest.approx(float(expected), rel=1e-5)
