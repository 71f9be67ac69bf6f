"""A metric of another package that cannot be used is an error of its task, never another number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from steelyard.harness.evaluation.evaluating import Evaluation, evaluate
from steelyard.harness.suites.build import build
from steelyard.harness.suites.suite import load_suite
from tests.harness.toy_suite import Answering, checkpoint

MODULE = '''
from typing import ClassVar

from steelyard import Plugin


class Double(Plugin):
    """Twice the task's number."""

    kind: ClassVar[str] = "bounded"
    name: str = "double"
    higher_is_better: bool = True

    def measure(self, sample, responses):
        return (2 * sample.values["double"],)

    def aggregate(self, rows):
        return float(rows[:, 0].mean())


class Raises(Double):
    def measure(self, sample, responses):
        raise ZeroDivisionError("no words")


class ReadsTheAnswer(Double):
    def measure(self, sample, responses):
        return (float(len(responses[0])),)


class GivesText(Double):
    def measure(self, sample, responses):
        return "12"


class GivesOneNumber(Double):
    def measure(self, sample, responses):
        return 2.0


class GivesUnlikeRows(Double):
    def measure(self, sample, responses):
        return (1.0,) * (1 + int(sample.document["n"]) % 2)


class TooLarge(Double):
    def measure(self, sample, responses):
        raise MemoryError


class CannotAggregate(Double):
    def aggregate(self, rows):
        raise ArithmeticError("too many rows")


class Median(ReadsTheAnswer):
    def measure(self, sample, responses):
        return (float(sample.document["n"] == "3"),)

    def aggregate(self, rows):
        return 0.0


class NoMetric(Plugin):
    name: str = "double"


class TheOtherWay(Plugin):
    kind: ClassVar[str] = "bounded"
    name: str = "double"
    higher_is_better: ClassVar[bool] = False
    measure: ClassVar = lambda self, sample, responses: (1.0,)
    aggregate: ClassVar = lambda self, rows: 1.0
'''
TASK = """\
task: mine
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/mine.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{n}}}}"
doc_to_target: "{{{{n}}}}"
process_results: !function mine.results
metric_list:
  - {{metric: double, aggregation: mean, higher_is_better: true}}
"""


Scored = Callable[..., Evaluation]


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scored:
    """The task scored with a metric registered as ``double`` by a package of its own."""

    def score(target: str, metadata: str = "") -> Evaluation:
        info = tmp_path / "site" / "foreign_metrics-0.1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: foreign-metrics\nVersion: 0.1\n"
        )
        (info / "entry_points.txt").write_text(f"[steelyard.metrics]\ndouble = {target}\n")
        (info.parent / "foreign_metrics.py").write_text(MODULE)
        monkeypatch.syspath_prepend(info.parent)
        (tmp_path / "mine.jsonl").write_text("".join(f'{{"n": "{n}"}}\n' for n in range(12)))
        (tmp_path / "mine.py").write_text(
            "def results(doc, results):\n    return {'double': 1.0}\n"
        )
        (tmp_path / "mine.yaml").write_text(TASK.format(folder=tmp_path) + metadata)
        suite = load_suite({"tasks": ["mine"], "include": [str(tmp_path)]}, folder=tmp_path)
        answering = Answering(generate=lambda prompt: "a b")
        return evaluate(answering, build(suite), checkpoint=checkpoint(tmp_path))

    return score


@pytest.mark.parametrize(("target", "value"), [("Double", 2.0), ("ReadsTheAnswer", 3.0)])
def test_its_own_number_stands_whatever_the_task_aggregates(
    scored: Scored, target: str, value: float
) -> None:
    (score,) = scored(f"foreign_metrics:{target}").scores
    assert (score.metric, score.value, score.n, score.note) == ("double", value, 12, None)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("foreign_metrics:Raises", "cannot be measured: ZeroDivisionError: no words"),
        ("foreign_metrics:GivesText", "cannot be measured: TypeError: a row is one or more numb"),
        ("foreign_metrics:GivesOneNumber", "cannot be measured: TypeError"),
        ("foreign_metrics:GivesUnlikeRows", "its rows are not alike: they hold 1 and 2 numbers"),
        ("foreign_metrics:CannotAggregate", "its 12 rows give no score: ArithmeticError: too many"),
        ("foreign_metrics:Median", "its aggregate makes 0, and kind 'bounded' makes 0.0833333"),
        ("foreign_metrics:NoMetric", "is no metric: it has no kind, higher_is_better, measure"),
        ("foreign_metrics:TheOtherWay", "and the task differ in whether higher is better"),
        ("foreign_metrics:Gone", "of the package foreign-metrics cannot be loaded: AttributeError"),
        ("gone_metrics:Double", "cannot be loaded: ModuleNotFoundError: No module named 'gone_met"),
    ],
)
def test_where_it_cannot_be_used_the_task_fails_and_the_message_names_metric_task_and_reason(
    scored: Scored, target: str, reason: str
) -> None:
    evaluation = scored(target)
    assert not evaluation.scores
    (failure,) = evaluation.failures
    assert failure.stage == "score mine"
    assert "task mine: " in failure.message
    assert "'double'" in failure.message
    assert reason in failure.message


def test_one_that_a_task_asks_for_besides_fails_the_task_too(scored: Scored) -> None:
    asked = "metadata: {steelyard: {also: [double]}}\n"
    (failure,) = scored("foreign_metrics:Raises", asked).failures
    assert "task mine: metric 'double'" in failure.message


def test_memory_that_runs_out_is_of_the_machine_and_no_failure_of_the_task(scored: Scored) -> None:
    with pytest.raises(MemoryError):
        scored("foreign_metrics:TooLarge")
