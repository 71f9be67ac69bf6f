"""Ways in which the gate was fooled a third time: by names that look like patterns, and by fields
and answers that are not there."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.harness.errors import ConfigError
from steelyard.harness.gate import judge, load_gate
from tests.harness.scored_runs import rows, sample, scored, with_flips, zero_one

BASE = zero_one(1000, 0.7)
#: Falls by 20 points: no margin here allows it.
LOST = with_flips(BASE, 200, 0)


def verdict(baseline, candidate, *rules, **options):
    (judged,) = judge(
        load_gate({"rules": list(rules), "draws": 1000, **options}), baseline, [candidate]
    )
    return judged


def run(name, tasks, **options):
    return scored(name, [rows(task, "acc", values) for task, values in tasks.items()], **options)


# --- names that are patterns too -------------------------------------------------------------


@pytest.mark.parametrize("name", ["t[1]", "t[!1]", "a*b", "what?", "a\\b", "[", "!t"])
def test_a_task_is_gated_by_its_own_name_whatever_signs_it_holds(name):
    base, fell = run("base", {name: BASE}), run("new", {name: LOST})
    assert verdict(base, fell, {"task": name, "margin": 0.05}).exit_code == 1
    assert verdict(base, base, {"task": name, "margin": 0.05}).exit_code == 0


def test_a_name_that_exists_is_meant_before_what_it_would_match():
    base = run("base", {"t[1]": BASE, "t1": BASE})
    judged = verdict(base, run("new", {"t[1]": BASE, "t1": LOST}), {"task": "t[1]", "margin": 0.05})
    assert [rule.task for rule in judged.rules] == ["t[1]"]
    # Without that task the same letters are the pattern that they were.
    base = run("base", {"t1": BASE})
    assert verdict(base, run("new", {"t1": LOST}), {"task": "t[1]", "margin": 0.05}).exit_code == 1


def test_a_candidate_cannot_call_a_task_as_the_pattern_is_called():
    base = run("base", {"kept/a": BASE})
    new = run("new", {"kept/a": LOST, "kept/*": BASE})
    rule = {"task": "kept/*", "margin": 0.05, "on_missing": "pass"}
    assert verdict(base, new, rule).exit_code == 1


def test_a_waiver_is_of_the_task_of_that_name():
    base = run("base", {"t[1]": BASE})
    rule = {"task": "t[1]", "margin": 0.05}
    assert verdict(base, base, rule, waive_contamination={"t[1]": "known"}).exit_code == 0


# --- slices of what is not there -------------------------------------------------------------


def sliced(name, values, subjects, *, scored_rows=None, **options):
    held = rows("known", "acc", values, scored=scored_rows)
    texts = [
        sample("known", id, slices={} if subject is None else {"subject": subject})
        for id, subject in zip(held.sample_ids, subjects, strict=True)
    ]
    return scored(name, [held], samples=texts, **options)


SUBJECTS = ["law"] * 200 + ["art"] * 800
RULE = {"task": "known", "slice": "subject=*", "margin": 0.05}


def test_a_slice_of_which_nothing_is_scored_does_not_vanish_from_its_rule():
    answered = np.array([subject == "art" for subject in SUBJECTS])
    runs = [sliced(name, BASE, SUBJECTS, scored_rows=answered) for name in ("base", "new")]
    judged = verdict(*runs, RULE)
    assert judged.exit_code == 3
    assert "[subject=law]: none of its samples is scored in both runs" in judged.rules[1].why


@pytest.mark.parametrize("task", ["known", "*"])
def test_a_candidate_that_lacks_the_field_is_not_comparable(task):
    base = scored("base", [rows("known", "acc", BASE), rows("other", "acc", BASE)])
    other = rows("other", "acc", BASE)
    marked = [sample("other", id, slices={"subject": "law"}) for id in other.sample_ids]
    bare = [sample("known", id) for id in base.rows["known", "acc"].sample_ids]
    new = scored("new", [rows("known", "acc", LOST), other], samples=[*bare, *marked])
    judged = verdict(base, new, {**RULE, "task": task})
    assert judged.exit_code == 3
    assert "the candidate's have no field 'subject'" in judged.rules[0].why


def test_a_baseline_that_lacks_the_field_is_not_cut_by_the_candidates():
    judged = verdict(
        sliced("base", BASE, [None] * 1000), sliced("new", LOST, SUBJECTS), RULE, draws=1000
    )
    assert judged.exit_code == 3
    assert "the baseline's documents have no field 'subject'" in judged.rules[0].why


def test_a_field_that_neither_run_has_is_a_mistake_of_the_policy():
    runs = [sliced(name, BASE, SUBJECTS) for name in ("base", "new")]
    with pytest.raises(ConfigError, match="did you mean 'subject=law'"):
        verdict(*runs, {**RULE, "slice": "subjct=law"})


@pytest.mark.parametrize("subject", ["c[1]", "what?", "*"])
def test_a_slice_is_gated_by_its_own_name_whatever_signs_it_holds(subject):
    subjects = [subject] * 200 + ["c1"] * 800
    fell = np.concatenate([with_flips(BASE[:200], 60, 0), BASE[200:]])
    runs = sliced("base", BASE, subjects), sliced("new", fell, subjects)
    judged = verdict(*runs, {**RULE, "slice": f"subject={subject}"})
    assert judged.exit_code == 1
    assert len(judged.rules) == (2 if subject == "*" else 1)


# --- rows that are not there -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["perplexity", "corpus"])
@pytest.mark.parametrize("empty", ["base", "new", "both"])
def test_a_task_of_which_no_row_holds_a_number_is_not_comparable(kind, empty):
    # A file without a single number says nothing of how many a row would hold: one column.
    fields = {("known", "m"): {"kind": kind, "higher_is_better": kind == "corpus"}}

    def side(name):
        if empty in (name, "both"):
            held = rows("known", "m", np.zeros((50, 1)), scored=np.zeros(50, dtype=bool))
        else:
            held = rows("known", "m", np.tile([-2.0, 3.0], (50, 1)))
        return scored(name, [held], scores=fields)

    judged = verdict(side("base"), side("new"), {"task": "known", "margin": 0.02})
    assert judged.exit_code == 3


@pytest.mark.parametrize("flag", ["not finite", "NaN"])
def test_a_log_likelihood_that_is_no_number_in_both_runs_is_no_pass(flag):
    answered = np.arange(1000) >= 400
    flags = [flag] * 400 + [""] * 600
    runs = [
        scored(name, [rows("known", "acc", BASE, scored=answered, flags=flags)])
        for name in ("base", "new")
    ]
    judged = verdict(*runs, {"task": "known", "margin": 0.05})
    assert judged.exit_code == 3
    assert "400 of 1000 samples of the baseline have a log-likelihood" in judged.rules[0].why


def test_rows_of_other_widths_are_not_comparable():
    fields = {("known", "bleu"): {"kind": "corpus"}}
    base, new = (
        scored(name, [rows("known", "bleu", np.ones((50, width)))], scores=fields)
        for name, width in (("base", 10), ("new", 2))
    )
    judged = verdict(base, new, {"task": "known", "margin": 0.02})
    assert judged.exit_code == 3
    assert "a row holds 10 numbers in the baseline and 2 in the candidate" in judged.rules[0].why


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("side", ["base", "new"])
def test_a_score_that_a_run_states_twice_is_none(order, side):
    held = [rows("known", "acc", LOST), rows("known", "acc", BASE)]
    twice = scored(side, [held[i] for i in order])
    other = run("other", {"known": BASE})
    pair = (twice, other) if side == "base" else (other, twice)
    assert verdict(*pair, {"task": "known", "margin": 0.05}).exit_code == 3
    assert verdict(*pair, {"task": "known", "min": 0.4}).exit_code == 3
