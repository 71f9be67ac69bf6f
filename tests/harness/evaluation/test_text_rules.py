"""A task's texts choose the rules that all of its samples are measured by; a score names them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
from lm_eval.api.registry import get_aggregation

from steelyard.harness.errors import SteelyardError
from steelyard.harness.evaluation.evaluating import Evaluation, build, evaluate
from steelyard.harness.evaluation.part import PartEvaluation
from steelyard.harness.records import Score
from steelyard.harness.suites.suite import load_suite
from tests.harness.toy_suite import Answering, checkpoint

TASK = """
task: told
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{source}}}} ="
doc_to_target: "{target}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 6, do_sample: false}}
{more}
metadata: {{version: 1.0, steelyard: {{{metadata}}}}}
"""
CORPUS = """
metric_list:
  - {metric: bleu, aggregation: bleu, higher_is_better: true%s}
  - {metric: chrf, aggregation: chrf, higher_is_better: true}
  - {metric: exact_match, aggregation: mean, higher_is_better: true%s}
"""
CHINESE = ["面包店星期一关门,星期二开门", "渡船早上八点离开码头", "图书馆在假期里开放"]
ANSWERS = ["面包店星期二关门,星期三开门", "渡船早上九点离开码头", "图书馆在假期里开放"]


def told(
    folder: Path,
    targets: list[Any],
    answers: list[str],
    *,
    more: str = CORPUS % ("", ""),
    metadata: str = "",
    target: str = "{{target}}",
    suite: Mapping[str, object] | None = None,
    parity: str = "steelyard",
) -> tuple[PartEvaluation, Evaluation]:
    """A task with these right answers, and a model that gives these answers."""
    (folder / "tasks").mkdir(exist_ok=True)
    rows = [{"source": f"s{n}", "target": text} for n, text in enumerate(targets)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    body = TASK.format(folder=folder, more=more, metadata=metadata, target=target)
    (folder / "tasks" / "told.yaml").write_text(body, encoding="utf-8")
    spec = {"include": ["tasks"], "tasks": [{"task": "told", **(suite or {})}], "parity": parity}
    built = build(load_suite(spec, folder=folder))
    said = {f"s{n} =": answer for n, answer in enumerate(answers)}
    lm = Answering(generate=lambda context: said[context])
    part = PartEvaluation(lm=lm, built=built, checkpoint=checkpoint(folder))
    return part, evaluate(lm, built, checkpoint=checkpoint(folder))


def scores(evaluation: Evaluation) -> dict[str, Score]:
    assert not evaluation.failures, evaluation.failures
    return {score.metric: score for score in evaluation.scores}


def test_chinese_answers_are_measured_as_sacrebleu_measures_chinese(tmp_path: Path) -> None:
    _, evaluation = told(tmp_path, CHINESE, ANSWERS)
    bleu = scores(evaluation)["bleu"]
    theirs = sacrebleu.corpus_bleu(ANSWERS, [CHINESE], tokenize="zh").score
    assert bleu.value == pytest.approx(theirs, rel=1e-12) and theirs > 60
    assert "tok:zh" in str(bleu.signature) and "lm-eval's own bleu" in str(bleu.note)
    assert "bleu" in {rows.metric for rows in evaluation.rows}  # it can be tested in pairs


@pytest.mark.parametrize(
    "asked",
    [
        {"metadata": "language: zh"},
        {"suite": {"language": "zh-Hans"}},
        {"more": CORPUS % (", tokenize: zh", "")},
    ],
)
def test_a_task_or_a_suite_says_which_language_its_answers_are(
    tmp_path: Path, asked: dict[str, Any]
) -> None:
    # Cut into words, so that nothing but what is said tells that this is Chinese.
    cut = ["面包店 星期一 关门 星期二 开门", "渡船 早上 八点 离开 码头"]
    _, evaluation = told(tmp_path, cut, cut, **asked)
    bleu = scores(evaluation)["bleu"]
    assert "tok:zh" in str(bleu.signature) and bleu.value == pytest.approx(100)


def test_an_option_that_a_metric_of_text_does_not_take_is_named(tmp_path: Path) -> None:
    with pytest.raises(SteelyardError, match=r"tokenise.*did you mean 'tokenize'"):
        told(tmp_path, CHINESE, ANSWERS, more=CORPUS % (", tokenise: zh", ""))


def test_parity_gives_lm_evals_numbers_and_says_what_they_are_worth(tmp_path: Path) -> None:
    answers = [*ANSWERS[:2], unicodedata.normalize("NFD", "Café")]
    targets = [*CHINESE[:2], "Café"]
    _, evaluation = told(tmp_path, targets, answers, parity="lm-eval")
    own = scores(evaluation)
    assert own["bleu"].value == get_aggregation("bleu")(list(zip(targets, answers, strict=True)))
    assert "tok:13a" in str(own["bleu"].signature) and "finds no words" in str(own["bleu"].note)
    assert own["exact_match"].value == 0.0 and own["exact_match"].signature is None


def test_a_language_that_is_no_code_is_named(tmp_path: Path) -> None:
    with pytest.raises(SteelyardError, match=r"metadata\.steelyard\.language"):
        told(tmp_path, CHINESE, ANSWERS, metadata="language: Chinese")


def test_an_exact_match_does_not_depend_on_how_an_accent_is_stored(tmp_path: Path) -> None:
    targets = ["Café Müller", "４２", "naïve", "résumé"]
    answers = [unicodedata.normalize("NFD", "Café Müller"), "42", "naïve", "resume"]
    _, evaluation = told(tmp_path, targets, answers)
    match = scores(evaluation)["exact_match"]
    assert match.value == 0.75 and match.signature == "text:unicode-2"


def test_lm_evals_own_options_of_an_exact_match_hold_in_any_script(tmp_path: Path) -> None:
    more = CORPUS % ("", ", ignore_case: true, ignore_punctuation: true, ignore_numbers: true")
    targets, answers = ["ÉTÉ", "面包店", "été", "cafe"], ["été!", "面包店。", "été ١٢", "CAFE, 7"]
    _, evaluation = told(tmp_path, targets, answers, more=more)
    rows = next(r for r in evaluation.rows if r.metric == "exact_match")
    # A space stays where only a number went, as in lm-eval.
    assert rows.values[:, 0].tolist() == [1.0, 1.0, 0.0, 0.0]


def test_an_ascii_task_has_lm_evals_numbers_and_no_new_name(tmp_path: Path) -> None:
    targets = ["the cat sat on the mat", "dogs bark at night"]
    _, evaluation = told(tmp_path, targets, ["the cat sat on a mat", "dogs bark at night"])
    own = scores(evaluation)
    assert own["exact_match"].value == 0.5 and own["exact_match"].signature is None
    assert "tok:13a" in str(own["bleu"].signature) and own["bleu"].note is None


def test_several_right_answers_are_several_references_and_not_a_perfect_score(
    tmp_path: Path,
) -> None:
    targets = [
        ["the cat sat on the mat", "a cat was on the mat"],
        ["dogs bark at night"],
    ]
    answers = ["a dog was on the mat", "dogs bark at night now"]
    _, evaluation = told(tmp_path, targets, answers, target="{{target}}")
    bleu = scores(evaluation)["bleu"]
    theirs = sacrebleu.corpus_bleu(
        answers, [[targets[0][0], targets[1][0]], [targets[0][1], None]]
    ).score
    assert bleu.value == pytest.approx(theirs, rel=1e-12)
    assert "nrefs:var" in str(bleu.signature)


def test_a_part_of_a_task_is_measured_by_the_rules_of_the_whole(tmp_path: Path) -> None:
    more = "process_results: !function own.both\n" + (
        "metric_list: [{metric: rouge1, aggregation: mean, higher_is_better: true}]"
    )
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "own.py").write_text(
        "from steelyard.tasks.metrics.summarisation import rouge\n\n\n"
        "def both(doc, results):\n"
        "    return {'rouge1': rouge([doc['target']], results[0])['rouge1']}\n"
    )
    targets, answers = ["caf na ve", "Žluťoučký"], ["café naïve", "Žluťoučký"]
    part, evaluation = told(tmp_path, targets, answers, more=more)
    (score,) = scores(evaluation).values()
    assert (score.value, score.signature) == (0.5, "tok:unicode-2|stem:porter|refs:mean")
    first = part.sample_ids["told"][0]
    (alone,) = part.score("told", [first]).scores
    assert (alone.value, alone.signature) == (0.0, score.signature)


def test_word_perplexity_of_chinese_is_unscored_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in CHINESE]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "tasks" / "rolled.yaml").write_text(
        "task: rolled\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path}/rows.jsonl}}}}\n"
        "test_split: test\noutput_type: loglikelihood_rolling\ndoc_to_text: ''\n"
        "doc_to_target: text\nmetric_list:\n"
        "  - {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}\n"
        "  - {metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}\n"
    )
    built = build(load_suite({"include": ["tasks"], "tasks": ["rolled"]}, folder=tmp_path))
    evaluation = evaluate(Answering(), built, checkpoint=checkpoint(tmp_path))
    own = scores(evaluation)
    assert own["word_perplexity"].value is None
    assert own["word_perplexity"].flags == {"text without spaces": 3}
    assert "bits_per_byte" in str(own["word_perplexity"].note)
    assert own["bits_per_byte"].value is not None
