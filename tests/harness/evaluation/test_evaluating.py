"""Scoring a suite: lm-eval's numbers, the same items forever, and what broken models get."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.harness.errors import SteelyardError, UnknownNameError
from steelyard.harness.evaluation.evaluating import (
    BuiltSuite,
    Evaluation,
    build,
    divergence,
    evaluate,
)
from steelyard.harness.evaluation.measuring import Measured
from steelyard.harness.evaluation.metric_choice import load_metric
from steelyard.harness.evaluation.scores import score_of
from steelyard.harness.plugins import Sample
from steelyard.harness.suites.suite import load_suite
from tests.harness.toy_suite import Answering, broken, checkpoint, write_suite


@pytest.fixture(scope="module")
def suite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def built(suite_file: Path) -> BuiltSuite:
    return build(load_suite(str(suite_file), folder=suite_file.parent))


def scored(lm: Any, built: BuiltSuite, folder: Path = Path()) -> Evaluation:
    return evaluate(lm, built, checkpoint=checkpoint(folder))


def noisy(seed: int) -> Answering:
    rng = random.Random(seed)
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    return Answering(
        lambda *_: -rng.expovariate(0.3),
        lambda _: " ".join(rng.choice(words) for _ in range(rng.randint(0, 9))),
        lambda text: -rng.expovariate(1 / len(text)),
    )


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_what_lm_eval_prints_for_the_same_answers(
    built: BuiltSuite, suite_file: Path, seed: int
) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    evaluation = scored(noisy(seed), built)
    assert not evaluation.failures
    manager = TaskManager(include_path=str(suite_file.parent / "tasks"), include_defaults=False)
    printed = lm_eval.simple_evaluate(
        model=noisy(seed),
        tasks=[task.name for task in built.tasks],
        task_manager=manager,
        bootstrap_iters=0,
    )["results"]
    # lm-eval pools requests by type; our tasks are asked one by one in the same order.
    for score in evaluation.scores:
        theirs = printed[score.task][f"{score.metric},none"]
        assert score.value == pytest.approx(theirs, rel=1e-12), (score.task, score.metric)
        assert score.note is None
        assert score.low is not None and score.low <= score.value <= score.high  # type: ignore[operator]
    assert len(evaluation.scores) == 11


def test_rows_give_back_every_score(built: BuiltSuite) -> None:
    evaluation = scored(noisy(7), built)
    for score, rows in zip(evaluation.scores, evaluation.rows, strict=True):
        metric = load_metric(score.metric)
        assert metric.aggregate(rows.values[rows.scored]) == pytest.approx(score.value, rel=1e-12)
        assert len(set(rows.sample_ids)) == len(rows.sample_ids) == score.n


def test_prompts_are_lm_evals_own(built: BuiltSuite, suite_file: Path) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    ours, theirs = Answering(), Answering()
    scored(ours, built)
    manager = TaskManager(include_path=str(suite_file.parent / "tasks"), include_defaults=False)
    names = [task.name for task in built.tasks]
    lm_eval.simple_evaluate(model=theirs, tasks=names, task_manager=manager, bootstrap_iters=0)
    assert sorted(map(repr, ours.asked)) == sorted(map(repr, theirs.asked))


@pytest.mark.parametrize("value", [math.nan, 0.0, -1.0, -math.inf])
def test_a_broken_model_is_unscored_and_never_above_chance(built: BuiltSuite, value: float) -> None:
    evaluation = scored(broken(value), built)
    assert not evaluation.failures
    for score in evaluation.scores:
        if score.task == "toy_choice":
            assert score.value is None and score.n == 0 and score.unscored == 24
            assert set(score.flags) <= {"tied", "not finite"}
            assert score.note == "no sample could be scored"
        if score.task == "toy_translate" and score.metric != "ter":
            assert score.value == 0
        if score.task == "toy_text" and not math.isfinite(value):
            assert score.value is None and score.flags == {"not finite": 24}


def test_one_tied_document_is_unscored_and_the_others_count(built: BuiltSuite) -> None:
    def likes_short(context: str, text: str) -> float:
        return -1.0 if "What is 5 + 5?" in context else -_length(text)

    evaluation = scored(Answering(likes_short), built)
    score = next(s for s in evaluation.scores if s.metric == "acc")
    assert (score.n, score.unscored, score.flags) == (23, 1, {"tied": 1})


def test_a_choice_that_asks_for_nothing_does_not_win(built: BuiltSuite) -> None:
    """A tokenizer may drop a choice's characters: then it is certain, whatever was asked."""

    def certain_of_ten(context: str, text: str) -> float:
        return 0.0 if "What is 5 + 5?" in context and text.strip() == "10" else -_length(text)

    for model, flags in (
        (Answering(certain_of_ten), {}),
        (_dropping("10", certain_of_ten), {"choice without a token": 1}),
    ):
        score = next(s for s in scored(model, built).scores if s.metric == "acc")
        assert score.flags == flags and score.unscored == len(flags)


def _length(text: str) -> float:
    """Its characters; of texts as long the greater number counts as the longer one."""
    return len(text) + int("0" + "".join(filter(str.isdigit, text))) / 1e6


def _dropping(dropped: str, likelihood: Any) -> Answering:
    class Dropping(Answering):
        def tok_encode(self, text: str) -> list[str]:
            return [word for word in text.split() if word != dropped]

    return Dropping(likelihood)


def test_a_generation_that_hits_its_limit_is_flagged_and_still_counts(built: BuiltSuite) -> None:
    evaluation = scored(Answering(generate=lambda _: "a b c d e f"), built)
    score = next(s for s in evaluation.scores if s.metric == "bleu")
    assert score.flags == {"length limit": 24} and score.n == 24


def test_the_interval_of_a_score_with_ends_stays_within_them() -> None:
    from sacrebleu import corpus_bleu

    texts = [f"the boat number {i} leaves at {i} in the morning" for i in range(20)]
    samples = [
        Sample("t", f"s{i}", {}, "p", text, {"bleu": (text, text)}) for i, text in enumerate(texts)
    ]
    bleu = load_metric("bleu")
    rows = [bleu.measure(s, (s.target,)) for s in samples]
    table = Measured("t", "bleu", samples, rows, [""] * 20).as_rows([None] * 20)
    score = score_of(bleu, table, samples)
    assert score.value == pytest.approx(corpus_bleu(texts, [texts]).score) == 100
    assert score.low is not None and 0 < score.low < 100
    assert score.high == 100


def test_one_failing_task_does_not_lose_the_others(built: BuiltSuite) -> None:
    def fails(_: str) -> str:
        raise RuntimeError("out of memory")

    evaluation = scored(Answering(generate=fails), built)
    assert [f.stage for f in evaluation.failures] == ["score toy_translate"]
    assert "out of memory" in evaluation.failures[0].message
    assert {s.task for s in evaluation.scores} == {"toy_choice", "toy_text"}


def test_scoring_again_asks_the_same_and_finds_the_same_samples(built: BuiltSuite) -> None:
    first, second = Answering(), Answering()
    one, two = scored(first, built), scored(second, built)
    assert first.asked == second.asked
    assert one.samples == two.samples and one.scores == two.scores


def test_a_limit_keeps_the_same_items_in_any_order_of_the_file(tmp_path: Path) -> None:
    ids = []
    for name, order in (("a", 1), ("b", -1)):
        file = write_suite(tmp_path / name)
        data = tmp_path / name / "choice.jsonl"
        lines = data.read_text().splitlines(keepends=True)[::order]
        data.write_text("".join(lines))
        spec = {"include": ["tasks"], "tasks": [{"task": "toy_choice", "num_fewshot": 0}]}
        suite = load_suite(spec, folder=file.parent, limit=6)
        evaluation = scored(Answering(), build(suite))
        ids.append({s.sample_id for s in evaluation.samples})
        assert sorted(s.slices["topic"] for s in evaluation.samples) == (
            ["huge"] * 2 + ["large"] * 2 + ["small"] * 2
        )
    assert ids[0] == ids[1] and len(ids[0]) == 6


def test_a_smaller_limit_keeps_a_subset_of_a_larger_one(suite_file: Path) -> None:
    kept = []
    for limit in (5, 9, 20):
        suite = load_suite(str(suite_file), folder=Path(), limit=limit)
        task = build(suite).tasks[0]
        kept.append({document["question"] for document in task.documents})
    assert kept[0] < kept[1] < kept[2]


def test_signatures_tell_tasks_documents_and_limits_apart(suite_file: Path) -> None:
    def signature(**changes: Any) -> Any:
        task = {"task": "toy_choice", **changes}
        spec = {"include": ["tasks"], "tasks": [task]}
        suite = load_suite(spec, folder=suite_file.parent)
        return scored(Answering(), build(suite)).signatures[0]

    plain, again, fewer, shots = (
        signature(),
        signature(),
        signature(limit=4),
        signature(num_fewshot=3),
    )
    assert plain == again
    assert plain.data_digest != fewer.data_digest and plain.task_digest == fewer.task_digest
    assert (shots.few_shot, plain.few_shot, shots.limit, fewer.limit) == (3, 1, None, 4)
    assert plain.backend == "Answering" and plain.max_length == 64


def test_chance_and_majority_come_from_the_documents(built: BuiltSuite) -> None:
    score = next(s for s in scored(Answering(), built).scores if s.metric == "acc")
    assert (score.chance, score.majority) == (0.25, 0.25)
    assert score.primary and score.family == "benchmark"


def test_divergence_from_oneself_is_zero_with_a_row_for_every_document(
    built: BuiltSuite, tmp_path: Path
) -> None:
    from steelyard.harness.scoring import open_model
    from tests.harness.scoring import tiny

    folder = tiny.save_llama(tmp_path / "llama")
    moved = tiny.save_llama(tmp_path / "moved", seed=1)
    lm, other, record = open_model(folder), open_model(moved), checkpoint(folder)
    same = divergence(lm, lm, built, checkpoint=record, parent=record)
    apart = divergence(other, lm, built, checkpoint=record, parent=record)
    values = {s.metric: s.value for s in same.scores}
    assert values == {
        "kl_per_token": 0.0,
        "kl_p99": 0.0,
        "top1_agreement": 1.0,
        "delta_log_likelihood": 0.0,
    }
    assert all(s.n == 5 and s.task == s.family == "fidelity" for s in same.scores)
    moved_by = {s.metric: s.value for s in apart.scores}
    assert moved_by["kl_per_token"] > 0.1 and moved_by["kl_p99"] > moved_by["kl_per_token"]  # type: ignore[operator]
    assert not same.failures and not apart.failures


def test_the_histogram_percentile_is_within_a_bin_of_the_plain_one() -> None:
    from steelyard.harness.plugins.protocols import Sample

    metric = load_metric("kl_p99")
    for seed in range(5):
        values = np.random.default_rng(seed).lognormal(-6, 2, 5000)
        rows = [
            metric.measure(Sample("t", str(i), {}, "", "", {"kl_p99": part}), ())
            for i, part in enumerate(np.split(values, 10))
        ]
        found = metric.aggregate(np.array(rows))
        assert found == pytest.approx(float(np.quantile(values, 0.99)), rel=0.06)


def test_suites_extend_one_another_and_name_the_likely_task(suite_file: Path) -> None:
    folder = suite_file.parent
    (folder / "more.yaml").write_text("extends: toy.yaml\ntasks: [{task: toy_text, limit: 2}]\n")
    suite = load_suite("more.yaml", folder=folder)
    assert [t.task for t in suite.tasks] == ["toy_choice", "toy_translate", "toy_text"]
    assert suite.tasks[2].limit == 2 and suite.fidelity is not None
    with pytest.raises(UnknownNameError, match="did you mean 'toy_text'"):
        load_suite({"include": ["tasks"], "tasks": ["toy_txt"]}, folder=folder)
    with pytest.raises(UnknownNameError, match="did you mean 'smoke'"):
        load_suite("smokee", folder=folder)
    with pytest.raises(SteelyardError, match="limit"):
        load_suite({"tasks": [{"task": "toy_text", "limit": 0}]}, folder=folder)
    (folder / "loop.yaml").write_text("extends: loop.yaml\ntasks: [toy_text]\n")
    with pytest.raises(SteelyardError, match="circle"):
        load_suite("loop.yaml", folder=folder)


def test_a_document_without_the_mapped_field_is_one_clear_line(suite_file: Path) -> None:
    tasks = suite_file.parent / "bad"
    tasks.mkdir()
    text = (suite_file.parent / "tasks" / "text.yaml").read_text()
    wrong = text.replace("toy_text", "bad_text").replace(
        "doc_to_target: text", 'doc_to_target: "{{body}}"'
    )
    (tasks / "bad.yaml").write_text(wrong)
    suite = load_suite({"include": ["bad"], "tasks": ["bad_text"]}, folder=suite_file.parent)
    with pytest.raises(SteelyardError, match=r"task 'bad_text' cannot be built.*body") as caught:
        build(suite)
    assert "\n" not in str(caught.value)


class Chatting(Answering):
    """A model with a chat template."""

    def chat_template(self, chat_template: bool | str = False) -> str:
        return "{{ messages }}"

    def apply_chat_template(self, chat_history: Any, add_generation_prompt: bool = True) -> str:
        turns = "".join(f"<{turn['role']}>{turn['content']}" for turn in chat_history)
        return turns + "<assistant>"


def test_a_chat_template_wraps_prompts_and_stands_in_the_signature(suite_file: Path) -> None:
    suite = load_suite(str(suite_file), folder=Path(), limit=3)
    built = build(suite, apply_chat_template=True)
    lm = Chatting()
    record = checkpoint(Path())
    digests = record.manifest.digests.model_copy(update={"chat_template": "d" * 64})
    manifest = record.manifest.model_copy(update={"digests": digests})
    evaluation = evaluate(
        lm, built, checkpoint=type(record)(Path(), manifest, weights_folder=Path())
    )
    prompt = next(s.prompt for s in evaluation.samples if s.task == "toy_choice")
    assert prompt.startswith("<user>Q: Shot?\nA:<assistant>") and prompt.endswith("<assistant>")
    assert {s.template for s in evaluation.signatures} == {"d" * 64}
    plain = build(suite)
    assert plain.digest != built.digest
    template = {s.template for s in scored(Answering(), plain).signatures}
    assert template == {None}


def test_a_users_own_metric_is_the_mean_of_its_number(suite_file: Path) -> None:
    folder = suite_file.parent / "own"
    folder.mkdir()
    (folder / "own.py").write_text(
        "def measure(doc, results):\n"
        "    return {'loudness': len(results[0]) / 10, 'pair': ('a', 'b'), 'odd': 2.0}\n"
    )
    text = (suite_file.parent / "tasks" / "translate.yaml").read_text()
    head = text.partition("metric_list:")[0].replace("toy_translate", "own_task")
    (folder / "own.yaml").write_text(
        head + "process_results: !function own.measure\n"
        "metric_list:\n"
        "  - {metric: loudness, aggregation: mean, higher_is_better: false}\n"
        "  - {metric: odd, aggregation: median, higher_is_better: true}\n"
        "metadata: {version: 1.0, steelyard: {primary: loudness}}\n"
    )
    suite = load_suite({"include": ["own"], "tasks": ["own_task"]}, folder=suite_file.parent)
    lm = Answering(generate=lambda context: context[:4])
    evaluation = scored(lm, build(suite))
    assert not evaluation.failures
    scores = {score.metric: score for score in evaluation.scores}
    assert set(scores) == {"loudness", "odd"}
    assert scores["loudness"].kind == "bounded" and not scores["loudness"].higher_is_better
    assert scores["loudness"].primary and scores["odd"].value == 2.0


def test_an_aggregate_of_the_tasks_own_keeps_its_value_and_has_no_rows(suite_file: Path) -> None:
    folder = suite_file.parent / "median"
    folder.mkdir()
    (folder / "own.py").write_text(
        "def measure(doc, results):\n    return {'size': float(len(doc['source'])) ** 3}\n"
    )
    text = (suite_file.parent / "tasks" / "translate.yaml").read_text()
    head = text.partition("metric_list:")[0].replace("toy_translate", "median_task")
    (folder / "own.yaml").write_text(
        head + "process_results: !function own.measure\n"
        "metric_list: [{metric: size, aggregation: median, higher_is_better: true}]\n"
    )
    suite = load_suite({"include": ["median"], "tasks": ["median_task"]}, folder=suite_file.parent)
    evaluation = scored(Answering(), build(suite))
    (score,) = evaluation.scores
    assert score.value == 27.0 and score.low is None and "own aggregate" in str(score.note)
    assert not evaluation.rows


def test_a_misspelt_key_of_the_metadata_is_named(suite_file: Path) -> None:
    folder = suite_file.parent / "misspelt"
    folder.mkdir()
    text = (suite_file.parent / "tasks" / "text.yaml").read_text()
    (folder / "t.yaml").write_text(
        text.replace("toy_text", "misspelt_text").replace("family:", "familly:")
    )
    spec = {"include": ["misspelt"], "tasks": ["misspelt_text"]}
    suite = load_suite(spec, folder=suite_file.parent)
    with pytest.raises(
        SteelyardError, match=r"metadata\.steelyard\.familly.*did you mean 'family'"
    ):
        build(suite)


def test_an_empty_reference_is_unscored_and_counted_whatever_the_metric(tmp_path: Path) -> None:
    file = write_suite(tmp_path, documents=6)
    data = tmp_path / "translate.jsonl"
    lines = data.read_text().splitlines()
    data.write_text("\n".join(['{"source": "s", "target": ""}', *lines[1:]]) + "\n")
    suite = build(load_suite({"include": ["tasks"], "tasks": ["toy_translate"]}, folder=tmp_path))
    silent = evaluate(Answering(generate=lambda _: ""), suite, checkpoint=checkpoint(file.parent))
    scores = {score.metric: score for score in silent.scores}
    assert scores["exact_match"].value == 0.0  # five wrong answers, and no right one
    assert scores["exact_match"].flags == {"empty reference": 1}
    assert all(score.unscored == 1 and score.n == 5 for score in scores.values())


def test_a_text_without_a_word_is_no_word_of_a_perplexity(tmp_path: Path) -> None:
    """lm-eval counts one word in an empty text and two in one of spaces."""
    file = write_suite(tmp_path)
    suite = load_suite({"include": ["tasks"], "tasks": ["toy_text"]}, folder=file.parent)
    values = []
    for texts in (["six words of a plain text"], ["six words of a plain text", "", "  "], ["", ""]):
        rows = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (tmp_path / "text.jsonl").write_text(rows)
        evaluation = scored(Answering(rolling=lambda text: -float(len(text))), build(suite))
        assert not evaluation.failures
        values.append({score.metric: score for score in evaluation.scores})
    plain, gaps, empty = values
    assert plain["word_perplexity"].value == pytest.approx(math.exp(25 / 6))
    assert gaps["word_perplexity"].value == plain["word_perplexity"].value
    assert gaps["word_perplexity"].flags == {"empty reference": 2}
    assert gaps["bits_per_byte"].unscored == 1  # spaces are bytes, and were predicted
    assert empty["bits_per_byte"].value is None and empty["bits_per_byte"].unscored == 2
