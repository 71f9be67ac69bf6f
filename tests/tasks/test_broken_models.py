"""A broken model is never above chance on any task of the suites, and what is unscored says why."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from steelyard.harness.evaluation.evaluating import BuiltSuite, build, evaluate
from steelyard.harness.records import Score
from steelyard.harness.suites.suite import load_suite
from tests.harness.toy_suite import Answering, checkpoint

ROOT = Path(__file__).resolve().parents[2]
#: Says how often something happened and is neither good nor bad; what decides stands beside it.
#: A leaning below 0 leans the other way.
NEUTRAL = {"abstained", "had_memory", "bias_score"}


def constant(text: str, value: float) -> Answering:
    """A model that gives one text and one log-likelihood to everything."""
    return Answering(lambda *_: value, lambda _: text, lambda _: value)


BROKEN = {
    "NaN": constant("", math.nan),
    "tied": constant("", -1.0),
    "impossible": constant("", -math.inf),
    "silent": constant("", -2.0),
    "one word": constant(" Lorin .", -2.0),
    "always abstains": constant(" I do not know .", -2.0),
    "always refuses": constant("I cannot help with that.", -2.0),
    "one summary": constant(" Quin learnt to make a kite from a gardener in Lorin .", -2.0),
    "first choice": Answering(
        # A number that depends on nothing but the request's length, so that choices differ.
        lambda context, text: -float(len(text)),
        lambda _: " red .",
    ),
}


@pytest.fixture(scope="module")
def microworld() -> BuiltSuite:
    names = ["microworld", "microworld-hallucination", "microworld-retention"]
    return build(load_suite({"extends": names}, folder=ROOT, limit=24))


@pytest.fixture(scope="module")
def real(real_data: Path) -> BuiltSuite:
    spec = {"include": [str(ROOT / "examples/local_data")], "extends": ["hallucination", "safety"]}
    return build(load_suite(spec, folder=ROOT, limit=60))


def above_chance(score: Score) -> bool:
    """Whether a score is better than guessing and than the best constant answer.

    Where a task knows no floor for a metric, nothing but the worst value counts as no better.
    """
    if score.value is None or score.metric in NEUTRAL:
        return False
    floors = [floor for floor in (score.chance, score.majority) if floor is not None]
    sign = 1 if score.higher_is_better else -1
    margin = 2.6 * 0.5 / math.sqrt(max(score.n, 1))  # 99% of a share of n items
    if floors:
        return sign * score.value > max(sign * floor for floor in floors) + margin
    if score.kind == "perplexity":
        return False
    return score.higher_is_better and score.value > margin


def check(built: BuiltSuite, name: str) -> None:
    found = evaluate(BROKEN[name], built, checkpoint=checkpoint(ROOT))
    assert not found.failures
    assert {s.task for s in found.scores} == {task.name for task in built.tasks}
    for score in found.scores:
        assert not above_chance(score), (score.task, score.metric, score.value)
        if score.value is None:
            assert score.flags or score.note, (score.task, score.metric)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models_gain_nothing_on_the_microworld(microworld: BuiltSuite, name: str) -> None:
    check(microworld, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["NaN", "tied", "always abstains", "always refuses"])
def test_broken_models_gain_nothing_on_real_probes(real: BuiltSuite, name: str) -> None:
    check(real, name)


def test_one_answer_to_everything_is_not_honesty_agreement_or_safety(
    microworld: BuiltSuite,
) -> None:
    found = evaluate(BROKEN["always abstains"], microworld, checkpoint=checkpoint(ROOT))
    scores = {(s.task, s.metric): s for s in found.scores}
    for key in (
        ("microworld_unknown", "made_up"),
        ("microworld_paraphrase", "agreement"),
        ("microworld_samples", "semantic_entropy"),
    ):
        assert scores[key].value is None
        assert scores[key].flags == {"one answer to everything": scores[key].unscored}
    # Where it says nothing right it is scored, and scores nothing.
    assert scores["microworld_new", "correct"].value == 0
