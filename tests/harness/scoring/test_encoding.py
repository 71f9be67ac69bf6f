from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.errors import ScoringError
from steelyard.harness.scoring import open_model
from tests.harness.scoring import tiny


@pytest.fixture(scope="module")
def lm(llama: Path):
    return open_model(llama, device="cpu", max_length=64)


def pair(lm, context: str, continuation: str) -> tuple[list[int], list[int]]:
    from steelyard.harness.scoring.requests import as_requests

    requests = as_requests([tiny.instance("loglikelihood", context, continuation)])
    return lm.encoder.pairs(requests)[0]


def test_a_continuation_that_merges_into_its_context_is_scored_and_named(lm) -> None:
    whole = lm.tok_encode("the answer")
    assert len(whole) == 2, "the tiny tokenizer knows these words"
    context, continuation = pair(lm, "the answe", "r")
    assert context + continuation == whole
    assert continuation
    score, _ = lm.loglikelihood([tiny.instance("loglikelihood", "the answe", "r")])[0]
    assert score < 0
    # lm-eval splits at the number of tokens of the context alone, and has nothing left to score.
    assert len(lm.tok_encode("the answe")) >= len(whole)
    assert any("merges into its context" in note for note in lm.scoring_record()["notes"])


def test_an_empty_continuation_is_certain_and_named(lm) -> None:
    assert lm.loglikelihood([tiny.instance("loglikelihood", "the", "")]) == [(0.0, True)]
    assert any("empty continuation" in note for note in lm.scoring_record()["notes"])


def test_a_continuation_longer_than_the_window_is_an_error_before_the_model_runs(lm) -> None:
    long = " fox" * 100
    with pytest.raises(ScoringError, match="does not fit the window of 64"):
        lm.loglikelihood([tiny.instance("loglikelihood", "the", long, task="hard")])


def test_an_answer_that_leaves_no_room_for_a_prompt_is_an_error(lm) -> None:
    request = tiny.instance("generate_until", "the", {"until": [], "max_gen_toks": 64})
    with pytest.raises(ScoringError, match="leaves no room"):
        lm.generate_until([request])


def test_trailing_spaces_belong_to_the_continuation(lm) -> None:
    assert pair(lm, "who lives ", "in") == pair(lm, "who lives", " in")


def test_an_empty_text_has_log_likelihood_zero(lm) -> None:
    assert lm.loglikelihood_rolling([tiny.instance("loglikelihood_rolling", "")]) == [0.0]


def test_a_text_that_starts_with_bos_gets_no_second_one(lm) -> None:
    assert lm.tok_encode("<s>the").count(0) == 1


def test_two_tokenizers_that_split_special_tokens_otherwise_share_no_tokens(
    llama: Path, tmp_path: Path
) -> None:
    import json
    import shutil

    from transformers import AutoTokenizer

    folder = Path(shutil.copytree(llama, tmp_path / "split"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    content = json.dumps(config | {"split_special_tokens": True})
    (folder / "tokenizer_config.json").write_text(content)
    for path in (llama, folder, llama):
        expected = AutoTokenizer.from_pretrained(path)("the</s>").input_ids
        assert open_model(path, report=lambda _: None).tok_encode("the</s>") == expected


def test_a_continuation_of_dropped_characters_asks_for_nothing_and_is_named(
    llama: Path, tmp_path: Path
) -> None:
    from tokenizers import normalizers

    lm = open_model(tiny.save_llama(tmp_path), device="cpu", max_length=64)
    lm.tokenizer.backend_tokenizer.normalizer = normalizers.Replace("\u200b", "")
    answer = lm.loglikelihood([tiny.instance("loglikelihood", "the quick", "\u200b")])
    # Not the likelihood of the context's own last token.
    assert answer == [(0.0, True)]
    assert any("the tokenizer drops" in note for note in lm.scoring_record()["notes"])
