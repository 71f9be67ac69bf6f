"""What a folder says of generation is honoured as lm-eval's ``hf`` honours it, or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.checkpoints import load_model_folder, open_base
from steelyard.harness.errors import ScoringError
from steelyard.harness.scoring import hf, open_model
from steelyard.harness.scoring.journal import Journal
from tests.harness.scoring import tiny

PROMPTS = (
    "the quick brown",
    "who lives in the tower",
    "a model that knows",
    "answer : the old",
    "the fox",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_llama(tmp_path_factory.mktemp("model"))


def stating(model: Path, folder: Path, **stated: object) -> Path:
    """A copy of the model whose folder states these settings of generation."""
    shutil.copytree(model, folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | stated))
    return folder


def asked(**settings: object) -> list[Any]:
    own = {"until": ["\n\n\n"], "max_gen_toks": 16} | settings
    return [tiny.instance("generate_until", prompt, own, doc=n) for n, prompt in enumerate(PROMPTS)]


def texts(folder: Path, **settings: object) -> list[str]:
    return open_model(folder, report=lambda _: None).generate_until(asked(**settings))


def texts_of_hf(folder: Path, **settings: object) -> list[str]:
    reference = hf.wrap(load_model_folder(folder), max_length=None, batch_size=1)
    answers: list[str] = reference.generate_until(asked(**settings), disable_tqdm=True)
    return answers


@pytest.fixture(scope="module")
def plain_texts(model: Path) -> list[str]:
    """What the model answers where nothing is stated."""
    return texts(model)


#: Settings that change a text of the tiny model, by our rows or by ``generate``.
TELLING = (
    {"num_beams": 4},
    {"num_beams": 3, "length_penalty": -2.0, "early_stopping": True},
    {"num_beams": 3, "no_repeat_ngram_size": 2},
    {"repetition_penalty": 3.0, "no_repeat_ngram_size": 2},
    {"encoder_repetition_penalty": 3.0},
    {"suppress_tokens": list(range(3, 120))},
    {"begin_suppress_tokens": list(range(3, 200))},
    {"bad_words_ids": [[n] for n in range(3, 150)]},
    {"eos_token_id": list(range(1, 160))},
    {"sequence_bias": [[[n], 9.0] for n in range(60, 64)]},
    {"encoder_no_repeat_ngram_size": 1},
    {"forced_bos_token_id": 9, "forced_eos_token_id": 7},
)
#: Settings that must change nothing: the request says it, or it is of what is given back.
SILENT = (
    {"do_sample": True, "temperature": 0.7, "top_k": 5},
    {"max_new_tokens": 200},
    {"max_length": 20},
    {"return_dict_in_generate": True, "output_scores": True},
    {"use_cache": False},
)


@pytest.mark.parametrize("stated", TELLING, ids="+".join)
def test_a_stated_setting_gives_the_texts_of_hf(
    stated: dict[str, object], model: Path, plain_texts: list[str], tmp_path: Path
) -> None:
    folder = stating(model, tmp_path / "m", **stated)
    ours = texts(folder)
    assert ours == texts_of_hf(folder)
    if "forced_bos_token_id" not in stated:
        assert ours != plain_texts, "the setting changes no text here: the test says nothing"
    assert open_base(str(folder)).manifest.digest != open_base(str(model)).manifest.digest


@pytest.mark.parametrize("stated", SILENT, ids="+".join)
def test_a_request_decides_what_it_states(
    stated: dict[str, object], model: Path, plain_texts: list[str], tmp_path: Path
) -> None:
    assert texts(stating(model, tmp_path / "m", **stated)) == plain_texts


def test_of_several_beams_the_best_is_the_answer(model: Path, tmp_path: Path) -> None:
    several = stating(model, tmp_path / "m", num_beams=4, num_return_sequences=3)
    assert texts(several) == texts(stating(model, tmp_path / "one", num_beams=4))


def test_a_task_that_asks_for_beams_gets_them(model: Path, plain_texts: list[str]) -> None:
    assert texts(model, num_beams=4) == texts_of_hf(model, num_beams=4) != plain_texts


@pytest.mark.parametrize(
    "asked_for", [{}, {"min_new_tokens": 8}, {"exponential_decay_length_penalty": [2, 2.5]}]
)
def test_an_answer_ends_at_the_tokens_that_its_task_names(
    asked_for: dict[str, object], model: Path, plain_texts: list[str]
) -> None:
    import torch

    loaded = load_model_folder(model)
    third = []
    for prompt in PROMPTS:
        ids = torch.tensor([loaded.tokenizer(prompt).input_ids])
        third.append(int(loaded.model.generate(ids, max_new_tokens=3, do_sample=False)[0, -1]))
    ours = texts(model, eos_token_id=third, **asked_for)
    assert ours == texts_of_hf(model, eos_token_id=third, **asked_for) != plain_texts


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"eos_token_id": 99_999}, r"eos_token_id: the model has 320 tokens.*got 99999"),
        ({"bad_words_ids": [[3], [4, 320]]}, "bad_words_ids: the model has 320 tokens.*got 320"),
        ({"cache_implementation": "none such"}, "cannot generate under .*cache_implementation"),
    ],
)
def test_what_a_task_asks_of_tokens_and_caches_that_are_not_there_is_one_line(
    settings: dict[str, object], words: str, model: Path
) -> None:
    with pytest.raises(ScoringError, match=words) as caught:
        texts(model, **settings)
    assert "\n" not in str(caught.value)


def test_settings_that_change_no_text_pass_where_beams_are_searched(model: Path) -> None:
    silent = {"use_cache": False, "pad_token_id": 5, "return_dict_in_generate": True}
    assert texts(model, num_beams=3, **silent) == texts(model, num_beams=3)


def test_a_text_is_cut_at_a_stop_that_the_folder_states(model: Path, tmp_path: Path) -> None:
    plain = texts(model)
    number, place = next(
        (number, place)
        for number, text in enumerate(plain)
        for place in range(1, len(text) - 2)
        if text[place].isascii() and text[place].isalpha() and text[place] not in text[:place]
    )
    stop = plain[number][place]
    stopped = texts(stating(model, tmp_path / "m", stop_strings=[stop]))[number]
    assert stop in stopped and plain[number].startswith(stopped)
    assert len(stopped) < len(plain[number])


@pytest.mark.parametrize(
    ("stated", "named"),
    [
        ({"max_time": 2.0}, "max_time: cuts answers by the clock"),
        ({"penalty_alpha": 0.6, "top_k": 4}, "penalty_alpha"),
        ({"num_beams": 2, "num_beam_groups": 2, "diversity_penalty": 1.0}, "num_beam_groups"),
        ({"cache_implementation": "quantized"}, "cache_implementation"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    stated: dict[str, object], named: str, model: Path, tmp_path: Path
) -> None:
    folder = stating(model, tmp_path / "m", **stated)
    with pytest.raises(ScoringError, match=named) as caught:
        texts(folder)
    assert "\n" not in str(caught.value)
    assert "generation_config.json" in str(caught.value)


def test_a_journal_holds_two_folders_of_the_same_weights_apart(model: Path, tmp_path: Path) -> None:
    folder = stating(model, tmp_path / "m", repetition_penalty=3.0)
    answers = []
    for path in (model, folder, model):
        with Journal(tmp_path / "journal", open_base(str(path)).manifest.digest) as journal:
            lm = open_model(path, report=lambda _: None, journal=journal)
            answers.append(lm.generate_until(asked()))
    assert answers[0] == answers[2] == texts(model)
    assert answers[1] == texts(folder) != answers[0]


def test_what_a_folder_states_is_told(model: Path, tmp_path: Path) -> None:
    folder = stating(model, tmp_path / "m", repetition_penalty=3.0)
    lm = open_model(folder, report=lambda _: None)
    assert lm.generation_defaults is not None
    assert json.loads(lm.generation_defaults) == {
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "repetition_penalty": 3.0,
    }


def test_settings_of_generation_change_no_log_likelihood_of_an_encoder_decoder(
    tmp_path: Path,
) -> None:
    from tests.harness.scoring.architectures import build_t5

    folder = tmp_path / "t5"
    build_t5().save_pretrained(folder)
    tiny.save_tokenizer(folder)
    requests = [tiny.instance("loglikelihood", "the fox", " jumps over the dog")]
    before = open_model(folder, report=lambda _: None).loglikelihood(requests)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"decoder_start_token_id": 7}))
    after = open_model(folder, report=lambda _: None)
    assert after.loglikelihood(requests) == before
    hf_texts = open_model(folder, report=lambda _: None, backend="hf").generate_until(asked())
    # Ours stop at ``max_gen_toks``; lm-eval lets an encoder-decoder run on by the prompt's length.
    texts = after.generate_until(asked())
    assert all(theirs.startswith(own) for own, theirs in zip(texts, hf_texts, strict=True))
