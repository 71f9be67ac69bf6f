from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.scoring import open_model
from steelyard.harness.scoring.journal import Journal
from steelyard.harness.scoring.progress import Progress
from tests.harness.scoring import tiny

CHOICES = [" the tower", " the sea", " the old man", " fox"]


def multiple_choice(documents: int = 12) -> list:
    return [
        tiny.instance("loglikelihood", f"question {n} : who lives where ?", choice, doc=n)
        for n in range(documents)
        for choice in CHOICES
    ]


def test_an_opened_model_serves_all_three_request_types(llama: Path) -> None:
    lm = open_model(llama, device="cpu")
    scores = lm.loglikelihood(multiple_choice())
    assert len(scores) == 48 and all(value < 0 for value, _ in scores)
    rolling = lm.loglikelihood_rolling([tiny.instance("loglikelihood_rolling", tiny.TEXT)])
    assert rolling[0] < 0
    settings = {"until": ["."], "max_gen_toks": 8}
    assert isinstance(lm.generate_until([tiny.instance("generate_until", "a", settings)])[0], str)


def test_a_resumed_run_scores_nothing_again_and_changes_no_bit(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = multiple_choice()
    with Journal(tmp_path / "j", "checkpoint") as journal:
        first = open_model(llama, device="cpu", journal=journal).loglikelihood(requests)
    with Journal(tmp_path / "j", "checkpoint") as journal:
        lm = open_model(llama, device="cpu", journal=journal)
        monkeypatch.setattr(lm.model, "forward", lambda *a, **k: pytest.fail("scored again"))
        assert lm.loglikelihood(requests) == first


def test_another_checkpoint_or_window_does_not_read_these_responses(
    llama: Path, tmp_path: Path
) -> None:
    requests = multiple_choice(2)
    with Journal(tmp_path / "j", "checkpoint") as journal:
        open_model(llama, device="cpu", journal=journal).loglikelihood(requests)
        open_model(llama, device="cpu", journal=journal, max_length=64).loglikelihood(requests)
        assert len(journal) == 2 * len(requests)
    with Journal(tmp_path / "j", "another") as journal:
        open_model(llama, device="cpu", journal=journal).loglikelihood(requests)
        assert len(journal) == 3 * len(requests)


def test_progress_is_told_and_ends_at_the_total(llama: Path) -> None:
    told: list[Progress] = []
    lm = open_model(llama, device="cpu", report=told.append)
    lm.progress.expect(49)
    lm.loglikelihood(multiple_choice())
    lm.loglikelihood_rolling([tiny.instance("loglikelihood_rolling", "the fox")])
    assert told[-1].done == told[-1].total == 49
    assert [p.done for p in told] == sorted(p.done for p in told)


def test_nothing_is_printed_where_there_is_no_terminal(
    llama: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    open_model(llama, device="cpu").loglikelihood(multiple_choice(2))
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_smollm2_has_the_published_perplexity_on_wikitext2(
    real_data: Path, real_models: Path
) -> None:
    """models/README.md: 23.492 a token and 1.1065 bits a byte over 8,192 tokens, windows 1,024."""
    import math

    lm = open_model(real_models / "smollm2-135m-instruct", device="cpu", max_length=1024)
    text = (real_data / "wikitext2" / "test.txt").read_text()
    offsets = lm.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    text = text[: offsets["offset_mapping"][8191][1]]
    assert len(text.encode()) == 33_716
    assert len(lm.tok_encode(text)) == 8_192
    (total,) = lm.loglikelihood_rolling([tiny.instance("loglikelihood_rolling", text)])
    assert math.exp(-total / 8_192) == pytest.approx(23.492, abs=0.01)
    assert -total / math.log(2) / 33_716 == pytest.approx(1.1065, abs=0.0005)
