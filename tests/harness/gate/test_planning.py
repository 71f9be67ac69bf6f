"""What a gate needs is known before anything is scored."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.harness.errors import ConfigError
from steelyard.harness.gate import load_gate
from steelyard.harness.gate.planning import plan
from steelyard.harness.records import Energy
from tests.harness.scored_runs import rows, scored, with_flips, zero_one

RULE = {"task": "known", "margin": 0.02}


def planned(baseline, *rules, like=None, **options):
    return plan(load_gate({"rules": list(rules or (RULE,))}), baseline, like, **options)


def run(name, values, metric="acc", **options):
    return scored(name, [rows("known", metric, values)], **options)


@pytest.mark.parametrize("margin", [0.01, 0.02, 0.03])
@pytest.mark.parametrize("discordance", [0.06, 0.10, 0.15])
def test_samples_needed_are_those_of_the_reference_table(margin, discordance):
    # One-sided .05, 80% power, equal models: (1.645 + .842)^2 * discordance / margin^2, rounded up.
    table = {
        0.01: {0.06: 3712, 0.10: 6186, 0.15: 9278},
        0.02: {0.06: 928, 0.10: 1547, 0.15: 2320},
        0.03: {0.06: 413, 0.10: 688, 0.15: 1031},
    }
    base = run("base", zero_one(1319, 0.7))
    rule = {"task": "known", "margin": margin}
    (found,) = planned(base, rule, discordance=discordance)
    assert found.items_needed == table[margin][discordance]
    assert found.decidable is (found.items_needed <= 1319)


def test_more_power_and_more_discordance_need_more_samples():
    base = run("base", zero_one(500, 0.7))
    least = planned(base, discordance=0.05)[0].items_needed
    assert least < planned(base, discordance=0.1)[0].items_needed
    assert least < planned(base, discordance=0.05, power=0.95)[0].items_needed


def test_a_scored_candidate_says_how_many_samples_change():
    base = zero_one(1000, 0.7)
    (found,) = planned(run("base", base), like=run("like", with_flips(base, 20, 19)))
    # One flip more than was seen: 40 of 1001 (steelyard.harness.stats.power.discordance_of).
    assert found.items_needed == pytest.approx(1546 * (40 / 1001) / 0.1, rel=0.01)
    assert "39 of 1000 samples changed in 'like'" in found.why


def test_margin_zero_cannot_be_planned_for_an_equal_candidate():
    (found,) = planned(run("base", zero_one(100, 0.7)), {"task": "known", "margin": 0.0})
    assert found.items_needed is None and found.decidable is False
    assert "only a gain decides" in found.why


def test_scores_whose_spread_is_unknown_ask_for_a_candidate_like_it():
    values = np.column_stack([np.full(50, -40.0), np.full(50, 20.0)])
    kind = {("known", "word_perplexity"): {"kind": "perplexity"}}
    base = scored("base", [rows("known", "word_perplexity", values)], scores=kind)
    (found,) = planned(base)
    assert found.decidable is None and "--like" in found.why


def test_time_and_energy_are_the_baselines_own_per_sample():
    base = run("base", zero_one(2000, 0.7))
    spent = Energy(phase="score", seconds=200.0, energy_kwh=0.4, grade="estimated", meter="fake")
    base = type(base)(base.run.model_copy(update={"energy": (spent,)}), base.rows, base.samples)
    (found,) = planned(base)
    assert found.seconds == pytest.approx(0.1 * found.items_needed)
    assert found.energy_kwh == pytest.approx(0.0002 * found.items_needed)


def test_a_rule_that_selects_nothing_is_an_error():
    with pytest.raises(ConfigError, match="matches no task"):
        planned(run("base", zero_one(100, 0.7)), {"task": "gone", "margin": 0.1})


def test_a_plan_asks_for_no_fewer_samples_than_unchanged_ones_need():
    # Graded rows that hardly change: by their spread a few would do, by the rule of three 99.
    values = np.linspace(0.2, 0.7, 300)
    as_graded = {"metric": "rougeL", "scores": {("known", "rougeL"): {"kind": "bounded"}}}
    like = run("like", values + 1e-4 * (np.arange(300) % 2), **as_graded)
    rule = {"task": "known", "margin": 0.03}
    (needs,) = planned(run("base", values, **as_graded), rule, like=like)
    assert needs.items_needed == 99
