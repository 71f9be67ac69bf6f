"""What has fooled other gates; each of these exits with anything but 0 here."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from steelyard.harness.compare import compare
from steelyard.harness.errors import ConfigError
from steelyard.harness.gate import judge, load_gate
from steelyard.harness.records import Failure
from tests.harness.scored_runs import rows, sample, scored, with_flips, zero_one

BASE = zero_one(1000, 0.7)
RULE = {"task": "known", "margin": 0.02}


def verdict(baseline, candidate, *rules, **options):
    gate = load_gate({"rules": list(rules or (RULE,)), "draws": 1000, **options})
    (found,) = judge(gate, baseline, [candidate])
    return found


def base_run(*tasks, **options):
    held = [rows(task, "acc", BASE) for task in tasks or ("known",)]
    return scored("base", held, **options)


# --- the eleven -----------------------------------------------------------------------------


def test_1_nothing_to_compare_is_an_error():
    gate = load_gate({"rules": [RULE]})
    with pytest.raises(ConfigError, match="no candidate"):
        judge(gate, base_run(), [])
    with pytest.raises(ConfigError, match="no rules"):
        load_gate({"rules": []})
    with pytest.raises(ConfigError, match="matches no task"):
        judge(gate, scored("base", []), [scored("new", [])])
    empty = scored("base", [rows("known", "acc", np.zeros((0, 1)))])
    assert verdict(empty, empty).exit_code == 3


@pytest.mark.parametrize(
    "rule", [RULE, {"task": "*", "margin": 0.02}, {"task": "other", "min": 0.1}]
)
def test_2_a_benchmark_missing_from_the_candidate_is_not_comparable(rule):
    base = base_run("known", "other")
    new = scored("new", [rows("other", "acc", BASE)])
    found = verdict(base, new, rule)
    assert found.exit_code == 3
    assert any("known: " in r.why and "the candidate does not" in r.why for r in found.rules)


def test_3_400_of_1000_rows_lost_is_not_a_pass_on_the_rest():
    ids = base_run().rows["known", "acc"].sample_ids
    new = scored("new", [rows("known", "acc", BASE[400:], ids=ids[400:])])
    found = verdict(base_run(), new)
    assert found.exit_code == 3
    assert "400 of 1000 baseline samples have no row in the candidate" in found.rules[0].why


def test_4_perplexity_can_be_gated():
    rng = np.random.default_rng(0)
    lengths = rng.integers(50, 90, 300).astype(float)
    before = np.column_stack([-3 * lengths + rng.normal(0, 5, 300), lengths])
    after = before - np.column_stack([0.1 * lengths, 0 * lengths])
    fields = {("wiki", "word_perplexity"): {"kind": "perplexity", "higher_is_better": False}}
    found = verdict(
        scored("base", [rows("wiki", "word_perplexity", before)], scores=fields),
        scored("new", [rows("wiki", "word_perplexity", after)], scores=fields),
        {"task": "wiki", "margin": 0.02},
    )
    assert found.exit_code == 1
    # exp(0.1) = 1.105: every document lost a tenth of a nat per word
    assert "10.5% worse" in found.rules[0].why


def test_5_equal_models_on_500_samples_are_decided_more_often_than_not():
    """An exact paired test at 10% discordance and margin 1.5 leaves elsewhere 51 of 60 open.

    The normal approximation's power is 28%: what n=500 cannot tell, nobody should. Where the
    items themselves are the claim, every full run is decided.
    """
    rng = np.random.default_rng(0)
    rule = {**RULE, "margin": 0.015}
    passed = decided = 0
    for _ in range(60):
        changed = rng.random(500) < 0.1
        before = (rng.random(500) < 0.7).astype(float)
        before[changed] = rng.random(changed.sum()) < 0.5
        after = np.where(changed, 1 - before, before)
        old = scored("base", [rows("known", "acc", before)])
        new = scored("new", [rows("known", "acc", after)])
        passed += verdict(old, new, rule).exit_code == 0
        decided += verdict(old, new, rule, claim="benchmark").exit_code in (0, 1)
    assert passed >= 12
    assert decided == 60


def test_6_pairing_finds_what_unpaired_means_cannot():
    # 30 of 1,000 lost and none gained: unpaired z = 1.5, paired z = 5.5.
    new = scored("new", [rows("known", "acc", with_flips(BASE, 30, 0))])
    found = verdict(base_run(), new, {"task": "known", "margin": 0.01})
    assert found.exit_code == 1


def test_7_rows_pair_by_content_so_their_order_says_nothing():
    order = np.random.default_rng(1).permutation(1000)
    held = base_run().rows["known", "acc"]
    moved = rows("known", "acc", BASE[order], ids=[held.sample_ids[i] for i in order])
    found = verdict(base_run(), scored("new", [moved]))
    assert found.exit_code == 0 and found.rules[0].delta == 0
    by_index = verdict(base_run(), scored("new", [rows("known", "acc", BASE[order])]))
    assert by_index.exit_code == 4


def test_8_a_drop_of_a_point_by_chance_does_not_block():
    """5 of 500: a point threshold blocks; here the interval reaches above the margin."""
    old = scored("base", [rows("known", "acc", BASE[:500])])
    new = scored("new", [rows("known", "acc", with_flips(BASE[:500], 28, 22))])
    found = verdict(old, new, {"task": "known", "margin": 0.01})
    assert found.rules[0].delta == pytest.approx(-0.012)
    assert found.exit_code == 4
    assert "finds a change of" in found.rules[0].why


def test_10_a_noisy_slice_is_not_an_alarm_after_adjustment():
    rng = np.random.default_rng(0)
    ids = [f"known-{i:05d}" for i in range(1200)]
    texts = [sample("known", id, slices={"subject": str(i // 60)}) for i, id in enumerate(ids)]
    alarms = raw = 0
    for _ in range(20):
        before = (rng.random(1200) < 0.7).astype(float)
        after = np.where(rng.random(1200) < 0.1, (rng.random(1200) < 0.7), before).astype(float)
        (found,) = compare(
            scored("base", [rows("known", "acc", before, ids=ids)], samples=texts),
            [scored("new", [rows("known", "acc", after, ids=ids)])],
        )
        subjects = [d for d in found.slices if d.slice and d.slice.startswith("subject")]
        assert len(subjects) == 20
        raw += any(d.delta <= -0.05 for d in subjects)
        alarms += any(d.p_adjusted < 0.05 for d in subjects)
    assert raw >= 12 and alarms <= 2


@pytest.mark.parametrize(
    "change",
    [
        {"template": "chatml"},
        {"limit": 500},
        {"few_shot": 5},
        {"task_digest": "v2"},
        {"decoding": "sampled"},
        {"data_digest": "v2"},
    ],
)
def test_11_other_templates_limits_and_versions_are_not_compared_without_a_word(change):
    new = scored("new", [rows("known", "acc", BASE)], signatures={"known": change})
    found = verdict(base_run(), new)
    assert found.exit_code == 3
    assert str(next(iter(change.values()))) in found.rules[0].why


# --- and more -------------------------------------------------------------------------------


def test_duplicated_rows_are_not_comparable():
    ids = base_run().rows["known", "acc"].sample_ids
    twice = rows("known", "acc", np.append(BASE, [1, 1]), ids=[*ids, ids[0], ids[0]])
    found = verdict(base_run(), scored("new", [twice]))
    assert found.exit_code == 3
    assert "2 of 1002 rows of the candidate are duplicates" in found.rules[0].why


def test_a_good_row_repeated_in_place_of_a_bad_one_is_found():
    held = base_run().rows["known", "acc"]
    good, bad = int(np.flatnonzero(BASE == 1)[0]), int(np.flatnonzero(BASE == 0)[0])
    values, ids = BASE.copy(), list(held.sample_ids)
    values[bad], ids[bad] = values[good], ids[good]
    found = verdict(base_run(), scored("new", [rows("known", "acc", values, ids=ids)]))
    assert found.exit_code == 3


def test_nan_in_a_scored_row_is_not_comparable():
    values = BASE.copy()
    values[3] = np.nan
    new = scored("new", [rows("known", "acc", values)], scores={("known", "acc"): {"value": 0.7}})
    found = verdict(base_run(), new)
    assert found.exit_code == 3
    assert "1 of 1000 scored rows of the candidate hold NaN" in found.rules[0].why


def test_tied_samples_and_samples_unscored_on_one_side_are_not_comparable():
    kept = np.ones(1000, dtype=bool)
    kept[:5] = False
    tied = rows("known", "acc", BASE, scored=kept, flags=["tied"] * 5 + [""] * 995)
    found = verdict(base_run(), scored("new", [tied]))
    assert found.exit_code == 3
    assert "5 of 1000 samples of the candidate give every choice the same" in found.rules[0].why
    unscored = rows("known", "acc", BASE, scored=kept)
    found = verdict(base_run(), scored("new", [unscored]))
    assert "5 of 1000 samples are unscored in the candidate" in found.rules[0].why
    assert found.exit_code == 3
    both = scored("base", [unscored])
    assert verdict(both, both).exit_code == 0


def test_a_rule_on_a_task_that_vanished_never_passes():
    base, new = base_run("known", "other"), scored("new", [rows("other", "acc", BASE)])
    assert verdict(base, new).exit_code == 3
    with pytest.raises(ConfigError, match=r"rules\.0\.task.*'known'"):
        verdict(new, new)
    assert verdict(base, new, {**RULE, "on_missing": "fail"}).exit_code == 1
    waived = verdict(base, new, {**RULE, "on_missing": "pass"}, {"task": "other", "margin": 0.02})
    assert waived.exit_code == 0 and "waived" in waived.rules[0].why


def test_a_metric_that_vanished_is_not_comparable():
    fields = {("known", "f1"): {"primary": False}}
    base = scored("base", [rows("known", "acc", BASE), rows("known", "f1", BASE)], scores=fields)
    found = verdict(base, scored("new", [rows("known", "acc", BASE)]), {**RULE, "metric": "f1"})
    assert found.exit_code == 3


def test_rows_lost_where_no_rule_looks_still_count_unless_the_policy_says_otherwise():
    base = base_run("known", "other")
    held = rows("other", "acc", BASE[7:], ids=base.rows["other", "acc"].sample_ids[7:])
    new = scored("new", [rows("known", "acc", BASE), held])
    found = verdict(base, new)
    assert found.exit_code == 3
    assert "7 of 1000 baseline samples" in found.rules[0].why
    assert verdict(base, new, scope="rules").exit_code == 0


def test_rows_lost_under_a_floor_are_not_waived_by_it():
    ids = base_run().rows["known", "acc"].sample_ids
    short = scored("new", [rows("known", "acc", BASE[7:], ids=ids[7:])])
    found = verdict(base_run(), short, {"task": "known", "min": 0.5})
    assert found.exit_code == 3
    assert "7 of 1000 baseline samples" in found.rules[0].why


def test_a_stale_checkpoint_under_a_new_name_is_noticed():
    trained = {
        "digest": "checkpoint-base",
        "steps": 300,
        "recipe_digest": "lora",
        "trainer": "lora",
    }
    stale = scored("lora", [rows("known", "acc", BASE)], checkpoint=trained)
    found = verdict(base_run(), stale)
    assert found.exit_code == 3
    assert "its weights are the baseline's" in found.rules[0].why
    assert verdict(base_run(), stale, scope="rules").exit_code == 3


def test_a_score_that_its_rows_do_not_give_is_not_comparable():
    lying = scored("new", [rows("known", "acc", BASE)], scores={("known", "acc"): {"value": 0.9}})
    found = verdict(base_run(), lying)
    assert found.exit_code == 3
    assert "score is 0.9, but its rows give 0.7" in found.rules[0].why


def test_an_incomplete_run_is_not_comparable_and_says_which_stage_failed():
    failed = dataclasses.replace(
        base_run(),
        run=base_run().run.model_copy(
            update={"complete": False, "failures": (Failure(stage="gsm8k", message="killed"),)}
        ),
    )
    found = verdict(base_run(), failed)
    assert found.exit_code == 3 and "gsm8k: killed" in found.rules[0].why


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"task": "knwon", "margin": 0.02}, "'known'"),
        ({"task": "known", "metric": "ac", "margin": 0.02}, "'acc'"),
        ({"suite": "cores", "margin": 0.02}, "'core'"),
        ({"task": "known", "slice": "subject=law", "margin": 0.02}, "no slice"),
        ({"metric": "rouge9", "margin": 0.02}, "rouge9"),
        ({"task": "known", "margin": 2}, "for 2 points write 0.02"),
        ({"task": "known", "min": 60}, "for 60 points write 0.6"),
        ({"task": "known", "max_ratio": 1.1}, "takes a margin"),
    ],
)
def test_a_selector_that_matches_nothing_or_a_bound_that_never_bites_is_an_error(rule, words):
    with pytest.raises(ConfigError, match=r"rules\.0\.") as caught:
        verdict(base_run(), base_run(), rule)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"metric": "word_perplexity", "margin": 2}, "for 2% write 0.02"),
        ({"metric": "bits_per_byte", "margin": 2}, "itself has only 0.5"),
        ({"metric": "word_perplexity", "margin": 0.02, "higher_is_better": True}, "leave it out"),
    ],
)
def test_a_margin_on_perplexity_in_the_wrong_units_or_direction_is_an_error(rule, words):
    lines = np.column_stack([np.full(100, -30.0), np.full(100, 10.0)])
    kinds = {"kind": "perplexity", "higher_is_better": False}
    held = [rows("text", "word_perplexity", lines), rows("text", "bits_per_byte", lines)]
    values = {"word_perplexity": 20.1, "bits_per_byte": 0.5}
    fields = {("text", name): {**kinds, "value": value} for name, value in values.items()}
    fields["text", "bits_per_byte"]["scale"] = "bits"
    base = scored("base", held, scores=fields)
    with pytest.raises(ConfigError, match=r"rules\.0\.") as caught:
        verdict(base, base, {"task": "text", **rule})
    assert words in str(caught.value)


def test_a_candidate_cannot_turn_the_metric_round():
    turned = scored(
        "new",
        [rows("known", "acc", with_flips(BASE, 300, 0))],
        scores={("known", "acc"): {"higher_is_better": False}},
    )
    assert verdict(base_run(), turned).exit_code == 3


@pytest.mark.parametrize("bound", [{"min": 0}, {"max": 1}, {"min": 0.0, "max": 1.0}])
def test_a_bound_that_no_share_can_miss_is_refused(bound):
    # promptfoo #9848: a threshold of 0 made an assertion that always passed.
    with pytest.raises(ConfigError, match="lies between 0 and 1, so this bound never fails"):
        verdict(base_run(), base_run(), {"task": "known", **bound})


def test_a_floor_says_how_much_of_the_task_it_did_not_see():
    # inspect_ai #4286: 40 of 1000 scored and right is not the same as 1000 of them.
    scored_rows = np.arange(1000) < 40
    held = rows("known", "acc", np.where(scored_rows, 1.0, np.nan), scored=scored_rows)
    lone = scored("new", [held])
    found = verdict(lone, lone, {"task": "known", "min": 0.5})
    assert "known: acc: 1 of 40 samples, 960 more are unscored (90% interval" in found.rules[0].why


def test_a_share_just_below_its_bound_is_not_rounded_up_to_it():
    from steelyard.harness.gate.costs import _rounded_down

    assert [_rounded_down(share) for share in (0.7997, 0.8, 0.0)] == ["79.9%", "80%", "0%"]
