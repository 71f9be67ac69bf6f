"""Rules on forgetting: of what the baseline had right, how much may be wrong now."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from steelyard.harness.errors import ConfigError, SteelyardError
from steelyard.harness.gate import judge, load_gate, plan
from tests.harness.scored_runs import rows, scored, with_flips, zero_one

BASE = zero_one(500, 0.6)
RULE = {"task": "known", "max_forgotten": 0.05}


def run(name, values, clusters=None, **score):
    held = [rows("known", "acc", values, clusters=clusters)]
    return scored(name, held, scores={("known", "acc"): score})


def verdict(candidate, *rules, baseline=None, **options):
    policy = {"rules": list(rules or (RULE,)), "draws": 1000, **options}
    (only,) = judge(load_gate(policy), baseline or run("base", BASE), [candidate])
    return only


def lost(count, gained=0):
    return run("new", with_flips(BASE, count, gained))


@pytest.mark.parametrize("count", range(0, 40))
def test_the_verdict_is_that_of_the_exact_binomial_test_on_what_the_baseline_had_right(count):
    fewer = binomtest(count, 300, 0.05, alternative="less").pvalue <= 0.05
    more = binomtest(count, 300, 0.05, alternative="greater").pvalue <= 0.05
    expected = "pass" if fewer else "fail" if more else "inconclusive"
    assert verdict(lost(count)).verdict == expected


def test_as_many_gained_as_lost_hides_nothing():
    swapped = lost(60, 60)
    assert verdict(swapped, {"task": "known", "margin": 0.05}).exit_code == 0
    failed = verdict(swapped)
    assert failed.exit_code == 1
    rule = failed.rules[0]
    assert rule.why == (
        "known: acc: 60 of 300 samples that the baseline had right are wrong now (20.0%, 95% "
        "interval 15.6% to 25.0%), at most 0.05 of them may be: FAIL"
    )
    interval = binomtest(60, 300).proportion_ci()
    assert (rule.delta, rule.n, rule.margin) == (-0.2, 300, 0.05)
    assert (rule.low, rule.high) == pytest.approx((-interval.high, -interval.low))
    assert rule.p_adjusted is None


def test_forgetting_is_a_question_of_its_own_in_holms_count():
    # 23 of 300 at 5%: p = .029 alone, above .05 / 2 beside a margin that is open as well.
    assert binomtest(23, 300, 0.05, alternative="greater").pvalue == pytest.approx(0.0289, abs=5e-4)
    both = verdict(lost(23), RULE, {"task": "known", "margin": 0.04})
    assert verdict(lost(23)).exit_code == 1
    assert both.exit_code == 4
    assert "not after Holm's correction over 2" in both.rules[0].why


def test_on_these_items_the_bound_itself_is_allowed():
    assert verdict(lost(15), claim="benchmark").exit_code == 0
    assert verdict(lost(16), claim="benchmark").exit_code == 1


def test_too_few_right_answers_say_how_many_it_takes():
    # .95^58 = .051 and .95^59 = .048.
    values = np.repeat([1.0, 0.0], [58, 100])
    few = verdict(run("new", values), baseline=run("base", values))
    assert few.exit_code == 4
    assert "takes 59 samples that the baseline had right" in few.rules[0].why
    enough = np.repeat([1.0, 0.0], [59, 100])
    assert verdict(run("new", enough), baseline=run("base", enough)).exit_code == 0


def test_a_baseline_that_had_nothing_right_cannot_be_judged():
    nothing = run("base", np.zeros(50))
    held = verdict(run("new", np.ones(50)), baseline=nothing)
    assert held.exit_code == 3
    assert "the baseline had none of its samples right" in held.rules[0].why


def test_samples_of_one_document_count_once():
    # Ten documents of sixty samples, one forgotten whole: as single samples 60 of 600 is a FAIL.
    base, new = np.ones(600), np.repeat([0.0, 1.0], [60, 540])
    documents = [f"d{i // 60}" for i in range(600)]
    alone = verdict(run("new", new), baseline=run("base", base))
    together = verdict(run("new", new, documents), baseline=run("base", base, documents))
    assert (alone.exit_code, together.exit_code) == (1, 4)


def test_where_less_is_better_a_zero_is_what_was_right():
    base, new = run("base", 1 - BASE, higher_is_better=False), 1 - with_flips(BASE, 60, 60)
    held = verdict(run("new", new, higher_is_better=False), baseline=base)
    assert "60 of 300 samples" in held.rules[0].why


def test_a_plan_counts_what_the_baseline_had_right():
    planned = plan(load_gate({"rules": [RULE]}), run("base", BASE), lost(0))
    (rule,) = planned
    assert (rule.items_at_hand, rule.items_needed, rule.decidable) == (300, 59, True)


def test_what_is_no_share_of_right_answers_is_refused():
    bounded = run("base", BASE * 0.5, kind="bounded")
    with pytest.raises(SteelyardError, match="no 0/1 metric"):
        verdict(run("new", BASE * 0.5, kind="bounded"), baseline=bounded)
    with pytest.raises(SteelyardError, match="a model that guesses"):
        verdict(
            run("new", BASE, chance=0.25),
            {"task": "known", "max_forgotten": 0.8},
            baseline=run("base", BASE, chance=0.25),
        )


@pytest.mark.parametrize(
    "rule",
    [
        {"task": "known", "max_forgoten": 0.02},
        {"task": "known", "max_forgotten": 0.02, "margin": 0.01},
        {"task": "known", "max_forgotten": 2},
        {"task": "known", "max_forgotten": True},
        {"metric": "energy_kwh", "max_forgotten": 0.1},
    ],
)
def test_a_rule_that_cannot_be_meant_is_one_line_with_the_key(rule):
    with pytest.raises(ConfigError) as refused:
        load_gate({"rules": [rule]})
    assert len(str(refused.value).splitlines()) == 1
    assert "max_forgotten" in str(refused.value) or "energy_kwh" in str(refused.value)
