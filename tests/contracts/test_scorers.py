"""What every scorer promises, whoever opened it: our own, ``hf``, lm-eval's, and a foreign one."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.model import LM

from steelyard.harness.errors import ScoringError
from steelyard.harness.scoring import Journal, Scorer, as_scorer, open_model
from tests.harness.scoring import tiny
from tests.harness.toy_suite import Answering

CHOICES = [" the tower", " the sea", " fox"]
#: How each is opened, from a tiny model's folder.
SCORERS: dict[str, Callable[..., Scorer]] = {
    "steelyard": lambda folder, **more: open_model(folder, device="cpu", **more),
    "hf": lambda folder, **more: open_model(folder, device="cpu", backend="hf", **more),
    "lm-eval:hf": lambda folder, **more: open_model(
        folder, backend="lm-eval:hf,device=cpu,batch_size=1", dtype="float32", **more
    ),
    "lm-eval:dummy": lambda folder, **more: open_model(folder, backend="lm-eval:dummy", **more),
    "Answering": lambda folder: as_scorer(Answering()),
}
JOURNALLED = [name for name in SCORERS if name != "Answering"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module", params=SCORERS)
def scorer(request: pytest.FixtureRequest, folder: Path) -> Scorer:
    return SCORERS[request.param](folder)


def pairs() -> list[Any]:
    return [
        tiny.instance("loglikelihood", f"question {n} : who lives where ?", choice, doc=n)
        for n in range(3)
        for choice in CHOICES
    ]


def prompts() -> list[Any]:
    settings = {"until": ["."], "max_gen_toks": 4}
    return [tiny.instance("generate_until", f"question {n}", settings, doc=n) for n in range(3)]


def texts() -> list[Any]:
    return [tiny.instance("loglikelihood_rolling", "the fox " * n) for n in (1, 3)]


def test_a_scorer_is_an_lm_and_has_all_that_the_harness_asks_for(scorer: Scorer) -> None:
    assert isinstance(scorer, LM)
    promised = {name for name in vars(Scorer) if not name.startswith("_")}
    assert {"loglikelihood", "settings", "tok_encode", "model"} <= promised
    # Not by hasattr: what lacks a tokenizer here may look for it at a hub.
    assert promised <= {*dir(type(scorer)), *vars(scorer)}


def test_it_takes_what_the_protocol_says_that_it_takes(scorer: Scorer) -> None:
    methods = [name for name, _ in inspect.getmembers(Scorer, inspect.isfunction) if name[0] != "_"]
    assert "tok_encode" in methods
    for name in methods:
        promised = list(inspect.signature(getattr(Scorer, name)).parameters)[1:]
        assert list(inspect.signature(getattr(scorer, name)).parameters) == promised, name


def test_every_request_gets_an_answer_of_its_kind(scorer: Scorer) -> None:
    answers = scorer.loglikelihood(pairs())
    assert len(answers) == len(pairs())
    assert all(type(value) is float and type(greedy) is bool for value, greedy in answers)
    assert all(value <= 0 for value, _ in answers)
    rolling = scorer.loglikelihood_rolling(texts())
    assert len(rolling) == 2 and all(type(value) is float and value < 0 for value in rolling)
    generated = scorer.generate_until(prompts())
    assert len(generated) == 3 and all(type(text) is str for text in generated)


def test_nothing_asked_is_nothing_answered(scorer: Scorer) -> None:
    assert not scorer.loglikelihood([])
    assert not scorer.generate_until([])


def test_tokens_are_counted_as_they_are_encoded_or_not_at_all(scorer: Scorer) -> None:
    try:
        tokens = scorer.tok_encode(tiny.TEXT)
    except ScoringError:
        tokens = []
    assert scorer.count_tokens(tiny.TEXT) == len(tokens)


def test_what_is_in_this_process_is_said_and_the_rest_is_missing(scorer: Scorer) -> None:
    weights = scorer.model
    assert (weights is None) == (scorer.dtype is None)
    if weights is not None:
        assert scorer.dtype == str(weights.dtype).removeprefix("torch.") == "float32"
        assert scorer.max_length == 128 and scorer.prefix_token_id == 0
        assert scorer.tokenizer is not None


def test_the_record_is_json_and_holds_the_settings(scorer: Scorer) -> None:
    record = scorer.scoring_record()
    assert json.loads(json.dumps(record)) == record
    assert dict(scorer.settings).items() <= record.items()
    assert record["backend"] == scorer.backend


def test_the_backend_goes_by_the_name_that_opened_it(folder: Path) -> None:
    assert {name: opened(folder).backend for name, opened in SCORERS.items()} == {
        name: name for name in SCORERS
    }


@pytest.mark.parametrize("name", JOURNALLED)
def test_a_second_opening_finds_every_answer_of_the_first(
    name: str, folder: Path, tmp_path: Path
) -> None:
    def answers() -> tuple[Any, ...]:
        with Journal(tmp_path / "journal", "checkpoint") as journal:
            lm = SCORERS[name](folder, journal=journal)
            return (
                lm.loglikelihood(pairs()),
                lm.loglikelihood_rolling(texts()),
                lm.generate_until(prompts()),
            )

    # The dummy answers at random: what is equal can only be the journal's.
    assert answers() == answers()


@pytest.mark.parametrize("name", JOURNALLED)
def test_shards_fill_what_a_whole_call_then_finds(name: str, folder: Path, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", "checkpoint") as journal:
        lm = SCORERS[name](folder, journal=journal)
        assert sum(lm.fill(pairs(), (number, 2)) for number in range(2)) > 0
        filled = len(journal)
        lm.loglikelihood(pairs())
        assert len(journal) == filled


def test_without_a_journal_a_shard_is_refused(folder: Path) -> None:
    with pytest.raises(ScoringError, match="without a journal"):
        SCORERS["Answering"](folder).fill(pairs(), (0, 2))


def test_what_is_a_scorer_already_is_given_back(scorer: Scorer) -> None:
    assert as_scorer(scorer) is scorer


def test_a_foreign_model_is_asked_in_one_call_and_in_order(folder: Path) -> None:
    inner = Answering()
    asked = [request.args for request in pairs()]
    as_scorer(inner).loglikelihood(pairs())
    assert inner.asked == asked
