from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from steelyard.harness.compare.pairing import part_of
from steelyard.harness.errors import ConfigError, ScoringError
from steelyard.harness.gate import load_gate
from steelyard.harness.gate.sequential import EarlyDecision
from steelyard.harness.gate.tracks import committed_order
from steelyard.harness.records import Contaminated
from tests.harness.scored_runs import rows, sample, scored, with_flips, zero_one

RULE = {"task": "known", "margin": 0.02}


def decide(baseline, candidate, *rules, whole=True, samples=None, early=None, **options):
    """Play the scorer: hand over the candidate's rows chunk by chunk."""
    gate = load_gate(
        {"rules": list(rules or (RULE,)), "sequential": True, "draws": 1000, **options}
    )
    ids = {task: candidate.rows[task, m].sample_ids for task, m in candidate.rows}
    decision = EarlyDecision(gate, baseline, candidate.run, ids, samples=samples, **(early or {}))
    while (chunk := decision.next_chunk()) is not None:
        held = [r for (task, _), r in candidate.rows.items() if task == chunk.task]
        decision.update(chunk, [part_of(r, chunk.sample_ids) for r in held])
    left = decision.outstanding
    full = None
    if left and whole:
        full = dataclasses.replace(
            candidate,
            run=candidate.run.model_copy(
                update={"scores": tuple(s for s in candidate.run.scores if s.task in left)}
            ),
            rows={key: r for key, r in candidate.rows.items() if key[0] in left},
        )
    return decision.outcome(full)


def run(name, values, **options):
    return scored(name, [rows("known", "acc", values)], **options)


BASE = zero_one(3000, 0.7)


def test_a_planted_regression_fails_after_a_part_of_the_samples():
    found = decide(run("base", BASE), run("bad", with_flips(BASE, 390, 90)))
    assert (found.verdict.verdict, found.verdict.exit_code) == ("fail", 1)
    assert found.used["known"] <= 1500
    assert found.saved_items == 3000 - found.used["known"]
    (rule,) = found.verdict.rules
    assert "of 3000 samples" in rule.why and rule.why.endswith("FAIL")
    assert rule.claim == "benchmark" and rule.n < 3000


def test_equal_models_pass_after_a_part_of_the_samples():
    found = decide(run("base", BASE), run("new", with_flips(BASE, 90, 90)))
    assert found.verdict.exit_code == 0
    assert found.used["known"] < 2400


def test_a_candidate_that_changes_nothing_passes_soon():
    found = decide(run("base", BASE), run("same", BASE))
    assert found.verdict.exit_code == 0 and found.used["known"] < 500


@pytest.mark.parametrize(("lost", "code"), [(3, 0), (5, 1), (4, 4)])
def test_a_full_pass_ends_open_only_at_exactly_the_margin(lost, code):
    base = zero_one(200, 0.7)
    # This checkpoint's order is not among the one in twenty that may err at the margin.
    new = run("new", with_flips(base, lost, 0), checkpoint={"digest": "1"})
    found = decide(run("base", base), new)
    assert found.verdict.exit_code == code


def test_what_was_saved_is_priced_at_what_was_spent():
    found = decide(run("base", BASE), run("same", BASE))
    used = found.used["known"]
    assert found.saved({"known": 60.0}) == pytest.approx(60.0 / used * (3000 - used))


LEARNT = Contaminated(task="known", items=3000, contaminated=400, data=("facts",))
LEARNT_SAMPLES = {
    ("known", id): sample("known", id, slices={"in_training_data": "yes" if i < 400 else "no"})
    for i, id in enumerate(f"known-{i:05d}" for i in range(3000))
}


def trained_on_the_test(*rules, **options):
    new = run("new", BASE)
    learnt = new.run.model_copy(update={"contamination": (LEARNT,)})
    new = dataclasses.replace(new, run=learnt)
    return decide(run("base", BASE), new, *rules, samples=LEARNT_SAMPLES, **options)


def test_a_candidate_that_was_trained_on_the_test_does_not_pass_early():
    found = trained_on_the_test()
    assert (found.verdict.exit_code, found.used["known"]) == (3, 0)
    assert "400 of its 3000 items are in the training data" in found.verdict.rules[0].why
    clean = trained_on_the_test({**RULE, "slice": "in_training_data=no"})
    assert clean.verdict.exit_code == 0


def test_a_waiver_holds_for_a_task_that_is_decided_early():
    found = trained_on_the_test(waive_contamination={"kno*": "the data teach it"})
    assert found.verdict.exit_code == 0 and found.used["known"] < 3000
    assert "waived: the data teach it" in found.verdict.rules[0].why
    with pytest.raises(ConfigError, match="did you mean 'known'"):
        trained_on_the_test(waive_contamination={"knwon": "a reason"})


def test_the_order_is_committed_and_can_be_drawn_again():
    ids = [f"{i:04d}" for i in range(50)]
    labels = [f"c{i // 2}" for i in range(50)]
    one = committed_order(ids, labels, "seed")
    assert one == committed_order(ids[::-1], labels[::-1], "seed")
    assert one != committed_order(ids, labels, "another seed")
    assert sorted(id for cluster in one for id in cluster) == ids
    assert all(len(cluster) == 2 for cluster in one)
    gate = load_gate({"rules": [RULE]})
    base, new = run("base", BASE), run("new", BASE)
    asked = {"known": base.rows["known", "acc"].sample_ids}
    commitments = {EarlyDecision(gate, base, new.run, asked).commitment for _ in range(2)}
    assert len(commitments) == 1


def test_the_order_follows_from_the_baseline_and_the_candidate_and_from_nothing_else():
    def commitment(rules=(RULE,), base=None, new=None, **options):
        base, new = base or run("base", BASE), new or run("new", BASE)
        gate = load_gate({"rules": list(rules), "sequential": True, **options})
        asked = {"known": base.rows["known", "acc"].sample_ids}
        return EarlyDecision(gate, base, new.run, asked).commitment

    plain = commitment()
    assert commitment([{**RULE, "name": "x", "margin": 0.03}], alpha=0.01, draws=5000) == plain
    renamed = run("new", BASE)
    other_name = dataclasses.replace(
        renamed, run=renamed.run.model_copy(update={"candidate": "x", "id": "other"})
    )
    assert commitment(new=other_name) == plain
    assert commitment(new=run("new", BASE, checkpoint={"digest": "another"})) != plain
    later = run("base", BASE, created_at="2026-02-01T00:00:00Z")
    assert commitment(base=later) != plain


def test_a_policy_cannot_try_seeds_until_one_passes():
    with pytest.raises(ConfigError, match="a policy has no seed"):
        load_gate({"rules": [RULE], "seed": 3})


def test_a_cost_that_must_be_judged_is_no_rule_for_an_early_decision():
    cost = {"metric": "seconds", "max_ratio": 1.2, "on_missing": "fail"}
    with pytest.raises(ConfigError, match="known only after a full run"):
        decide(run("base", BASE), run("new", BASE), RULE, cost)


def test_rows_out_of_the_committed_order_are_refused():
    base, new = run("base", BASE), run("new", BASE)
    asked = {"known": base.rows["known", "acc"].sample_ids}
    decision = EarlyDecision(load_gate({"rules": [RULE]}), base, new.run, asked)
    chunk = decision.next_chunk()
    held = part_of(new.rows["known", "acc"], chunk.sample_ids)
    decision.update(chunk, [held])
    with pytest.raises(ScoringError, match="committed order"):
        decision.update(chunk, [held])


def test_what_cannot_be_compared_is_said_before_anything_is_scored():
    base = run("base", BASE)
    new = run("new", BASE, signatures={"known": {"template": "chatml"}})
    found = decide(base, new)
    assert found.verdict.exit_code == 3 and found.used["known"] == 0
    reworded = rows("known", "acc", BASE, ids=["x", *base.rows["known", "acc"].sample_ids[1:]])
    found = decide(base, scored("new", [reworded]))
    assert found.verdict.exit_code == 3 and found.used["known"] == 0
    assert "1 of 3000 baseline samples have no row" in found.verdict.rules[0].why


@pytest.mark.parametrize("fault", ["lost", "unscored", "nan", "tied"])
def test_dropped_items_void_the_decision(fault):
    base = run("base", BASE)
    held = base.rows["known", "acc"]
    scored_flags = np.ones(3000, dtype=bool)
    values, flags = held.values.copy(), [""] * 3000
    if fault == "nan":
        values[:] = np.nan
    if fault in ("unscored", "tied"):
        scored_flags[:] = False
        flags = ["tied" if fault == "tied" else ""] * 3000
    new = run("new", BASE)
    broken = dataclasses.replace(held, values=values, scored=scored_flags, flags=tuple(flags))
    gate = load_gate({"rules": [RULE], "sequential": True})
    decision = EarlyDecision(gate, base, new.run, {"known": held.sample_ids})
    chunk = decision.next_chunk()
    asked = chunk.sample_ids[1:] if fault == "lost" else chunk.sample_ids
    decision.update(chunk, [part_of(broken, asked)])
    assert decision.next_chunk() is None
    assert decision.outcome().verdict.exit_code == 3


def test_clusters_are_drawn_whole():
    clusters = [f"doc {i // 4}" for i in range(3000)]
    base = scored("base", [rows("known", "acc", BASE, clusters=clusters)])
    gate = load_gate({"rules": [RULE]})
    ids = base.rows["known", "acc"].sample_ids
    decision = EarlyDecision(gate, base, run("new", BASE).run, {"known": ids})
    chunk = decision.next_chunk()
    assert {len(cluster) for cluster in chunk.clusters} == {4}
    bad = scored("bad", [rows("known", "acc", with_flips(BASE, 900, 90), clusters=clusters)])
    assert decide(base, bad).verdict.exit_code == 1


def test_several_rules_stop_each_on_its_own_and_a_failure_ends_the_rest():
    held = [rows(t, "acc", BASE) for t in ("a", "b")]
    bad = [rows("a", "acc", BASE), rows("b", "acc", with_flips(BASE, 600, 0))]
    rules = [{"task": "a", "margin": 0.02}, {"task": "b", "margin": 0.02}]
    found = decide(scored("base", held), scored("bad", bad), *rules)
    assert found.verdict.exit_code == 1
    assert found.used["b"] < 600
    kept = decide(
        scored("base", held), scored("bad", bad), *rules, early={"stop_at_failure": False}
    )
    assert [r.verdict for r in kept.verdict.rules] == ["pass", "fail"]


def test_the_task_that_decides_most_rules_soonest_is_scored_first():
    texts = [sample("b", f"b-{i:05d}", slices={"half": str(i % 2)}) for i in range(3000)]
    held = [rows("a", "acc", BASE), rows("b", "acc", BASE)]
    rules = [
        {"task": "a", "margin": 0.01},
        {"task": "b", "margin": 0.05},
        {"task": "b", "slice": "half=*", "margin": 0.05},
    ]
    gate = load_gate({"rules": rules})
    base = scored("base", held, samples=texts)
    ids = {t: base.rows[t, "acc"].sample_ids for t in ("a", "b")}
    decision = EarlyDecision(gate, base, scored("new", held).run, ids)
    assert decision.next_chunk().task == "b"


def test_rules_that_cannot_stop_early_are_decided_on_the_full_run_and_say_so():
    held = [rows("known", "acc", BASE), rows("sum", "acc", BASE[:300])]
    base, same = scored("base", held), scored("same", held)
    rules = [RULE, {"task": "sum", "min": 0.5}]
    found = decide(base, same, *rules)
    assert found.verdict.exit_code == 0
    assert found.used["sum"] == 300 and found.used["known"] < 3000
    unfinished = decide(base, same, *rules, whole=False)
    assert unfinished.verdict.exit_code == 4
    assert "decided on the full run" in unfinished.verdict.rules[-1].why


def test_perplexity_stops_early_only_within_stated_bounds():
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 40, 2000).astype(float)
    before = np.column_stack([-3 * lengths + rng.normal(0, 5, 2000), lengths])
    after = before - np.column_stack([0.1 * lengths + rng.normal(0, 2, 2000), 0 * lengths])
    fields = {("wiki", "word_perplexity"): {"kind": "perplexity", "higher_is_better": False}}
    base = scored("base", [rows("wiki", "word_perplexity", before)], scores=fields)
    new = scored("new", [rows("wiki", "word_perplexity", after)], scores=fields)
    found = decide(base, new, {"task": "wiki", "margin": 0.03, "clip": 0.2})
    assert found.verdict.exit_code == 1 and found.used["wiki"] < 1500
    assert "clipped at 0.2 nats" in found.verdict.rules[0].why
    whole = decide(base, new, {"task": "wiki", "margin": 0.03})
    assert whole.verdict.exit_code == 1 and whole.used["wiki"] == 2000


def test_a_waiver_holds_beside_a_task_that_is_scored_whole():
    lengths = np.full(200, 100.0)
    held = [
        rows("known", "acc", BASE),
        rows("wiki", "word_perplexity", np.column_stack([-3 * lengths, lengths])),
    ]
    fields = {("wiki", "word_perplexity"): {"kind": "perplexity", "higher_is_better": False}}
    base, new = (scored(name, held, scores=fields) for name in ("base", "new"))
    wiki = LEARNT.model_copy(update={"task": "wiki", "items": 200})
    learnt = new.run.model_copy(update={"contamination": (wiki, LEARNT)})
    new = dataclasses.replace(new, run=learnt)
    both = [RULE, {"task": "wiki", "margin": 0.03}]
    waived = {"known": "the data teach it", "wiki": "the data quote it"}
    found = decide(base, new, *both, waive_contamination=waived)
    assert found.verdict.exit_code == 0 and found.used["wiki"] == 200
    assert all("waived: the" in rule.why for rule in found.verdict.rules)
    assert decide(base, new, *both).verdict.exit_code == 3


def test_9_looking_after_every_chunk_does_not_raise_false_alarms():
    """A plain z-test that peeks every 50 items alarms in 19-26% of such runs."""
    rng = np.random.default_rng(0)
    alarms = 0
    base = run("base", BASE[:1000])
    for _ in range(40):
        # Worse by exactly the margin: PASS is false, and so is FAIL.
        new = run("new", with_flips(BASE[:1000], 60, 40, seed=int(rng.integers(1 << 30))))
        found = decide(base, new, early={"chunk_items": 50})
        alarms += found.verdict.exit_code != 4
    assert alarms <= 9  # 2 alpha of 40 is 4; 9 or more have probability .02


def test_the_population_form_may_end_open():
    base = zero_one(300, 0.7)
    found = decide(run("base", base), run("new", with_flips(base, 12, 10)), claim="population")
    assert found.verdict.exit_code == 4
    assert found.verdict.rules[0].claim == "population"
