"""A prompt that lost its beginning to the window is scored, counted and marked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.evaluation.evaluating import Evaluation, build, evaluate
from steelyard.harness.evaluation.window import Window
from steelyard.harness.records import Flag
from steelyard.harness.suites.suite import load_suite
from tests.harness.toy_suite import Answering, checkpoint

CHOICE = """\
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_choice: ["a b", "c"]
doc_to_target: a
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""
TEXT = """\
output_type: generate_until
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 10}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""


def words(text: str) -> int:
    return len(text.split())


def asked(folder: Path, body: str, lengths: list[int], lm: Any = None) -> Evaluation:
    """Prompts of so many words, to a model that reads 64 (words are its tokens)."""
    rows = [{"q": " ".join(["word"] * n), "a": i % 2} for i, n in enumerate(lengths)]
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mine.yaml").write_text(
        "task: mine\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {folder}/q.jsonl}}}}\ntest_split: test\n{body}"
    )
    suite = load_suite({"tasks": ["mine"], "include": [str(folder)]}, folder=folder)
    evaluation = evaluate(lm or Answering(), build(suite), checkpoint=checkpoint(folder))
    assert not evaluation.failures
    return evaluation


@pytest.mark.parametrize(
    ("body", "longest"),
    # The last token of an answer is predicted and never read: 63 + 2 - 1 = 64. A text of up to ten
    # tokens leaves 54 for its prompt.
    [(CHOICE, 63), (TEXT, 54)],
)
def test_prompts_beyond_the_window_are_marked_and_scored(
    tmp_path: Path, body: str, longest: int
) -> None:
    evaluation = asked(tmp_path, body, [1, longest, longest + 1, 200])
    score = evaluation.scores[0]
    assert (score.n, score.unscored) == (4, 0)
    assert score.flags[Flag.PROMPT_CUT] == 2
    marked = [Flag.PROMPT_CUT in flags for flags in evaluation.rows[0].flags]
    assert marked == [False, False, True, True]


def test_an_encoder_reads_the_prompt_alone() -> None:
    window = Window(8, words, encoder_decoder=True)
    eight = " ".join(["word"] * 8)
    assert not window.cuts(eight, ["a long answer of many words"], room=50)
    assert window.cuts(f"{eight} more", ["a"])


def test_the_answer_of_most_tokens_decides_whatever_its_letters() -> None:
    window = Window(8, words)
    prompt = " ".join(["word"] * 6)  # and three of an answer's four tokens: nine
    assert window.cuts(f"{prompt} ", ["incomprehensibilities", "a b c d"])
    assert not window.cuts(f"{prompt} ", ["incomprehensibilities", "a b c"])


def test_a_model_that_names_no_window_cuts_nothing_that_we_know_of() -> None:
    assert not Window(None, words).cuts("word " * 10_000)


def test_repeats_that_no_filter_reads_are_told(tmp_path: Path) -> None:
    # lm-eval's default filter takes the first (lm-evaluation-harness #1232, #3080).
    plain = asked(tmp_path, TEXT, [1, 2, 3]).scores[0]
    repeated = asked(tmp_path, f"repeats: 4\n{TEXT}", [1, 2, 3]).scores[0]
    assert plain.note is None
    assert repeated.note is not None
    assert "of 4 answers a document the first counts" in repeated.note
    assert repeated.n == 3
