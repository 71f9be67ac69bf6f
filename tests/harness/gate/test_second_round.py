"""Ways in which the gate was fooled a second time, by whoever chose the rows, the slices or the
margin; none of them passes."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.harness.errors import ConfigError
from steelyard.harness.gate import judge, load_gate
from tests.harness.scored_runs import rows, sample, scored, with_flips, zero_one

BASE = zero_one(1000, 0.7)


def verdict(baseline, candidate, *rules, **options):
    (found,) = judge(
        load_gate({"rules": list(rules), "draws": 1000, **options}), baseline, [candidate]
    )
    return found


def run(name, values, metric="acc", **options):
    fields = {("known", metric): options.pop("score", {})}
    return scored(name, [rows("known", metric, values)], scores=fields, **options)


PERPLEXITY = {"kind": "perplexity", "higher_is_better": False}


def documents(nats_a_word: float, words: float = 10.0) -> np.ndarray:
    noise = np.random.default_rng(0).normal(1, 0.02, 300)
    return np.column_stack([-nats_a_word * 10 * noise, np.full(300, words)])


def test_a_loss_taken_for_a_log_likelihood_cannot_be_tested():
    # exp(-loss) falls as the loss grows: 10% more nats would read "20.6% better".
    before, after = documents(2.0), documents(2.2)
    rule = {"task": "known", "margin": 0.02}
    fell = verdict(
        run("base", before, "word_perplexity", score=PERPLEXITY),
        run("new", after, "word_perplexity", score=PERPLEXITY),
        rule,
    )
    assert fell.exit_code == 1
    turned = verdict(
        run("base", before * [-1, 1], "word_perplexity", score=PERPLEXITY),
        run("new", after * [-1, 1], "word_perplexity", score=PERPLEXITY),
        rule,
    )
    assert turned.exit_code == 3
    assert "300 of 300 log-likelihoods are above 0" in turned.rules[0].why


def test_twice_the_words_for_one_log_likelihood_is_not_half_the_loss():
    new = run("new", documents(2.0, words=20), "word_perplexity", score=PERPLEXITY)
    base = run("base", documents(2.0), "word_perplexity", score=PERPLEXITY)
    found = verdict(base, new, {"task": "known", "margin": 0.02})
    assert found.exit_code == 3
    assert "300 of 300 samples are of another length (10 in the baseline, 20" in found.rules[0].why


def test_two_tables_of_equal_scores_are_not_one_checkpoint():
    # The digest of an import is that of its file: equal rows do not make equal weights.
    rule = {"task": "known", "margin": 0.02}
    one = {"checkpoint": {"digest": "of the file"}}
    both = [run(name, BASE[:1], **one) for name in ("base", "new")]
    assert verdict(*both, rule).exit_code == 0
    imported = [run(name, BASE[:1], **one, imported_from="csv, a.csv") for name in ("base", "new")]
    assert verdict(*imported, rule).exit_code == 4


# --- slices ---------------------------------------------------------------------------------


def sliced(name, values, subjects, **options):
    held = rows("known", "acc", values)
    texts = [
        sample("known", id, slices={} if subject is None else {"subject": subject})
        for id, subject in zip(held.sample_ids, subjects, strict=True)
    ]
    return scored(name, [held], samples=texts, **options)


SUBJECTS = ["law"] * 200 + ["art"] * 800
RULE = {"task": "known", "slice": "subject=*", "margin": 0.05}
#: All of the losses lie in law, which falls by 20 points.
LOST = np.concatenate([with_flips(BASE[:200], 40, 0), BASE[200:]])


def test_a_slice_that_fell_fails():
    found = verdict(sliced("base", BASE, SUBJECTS), sliced("new", LOST, SUBJECTS), RULE)
    assert found.exit_code == 1


def test_a_candidate_cannot_move_its_losses_into_a_larger_slice():
    moved = ["art"] * 200 + ["law"] * 800
    found = verdict(sliced("base", BASE, SUBJECTS), sliced("new", LOST, moved), RULE)
    assert found.exit_code == 3
    assert "1000 samples have another 'subject' in the candidate" in found.rules[0].why


def test_a_candidate_without_the_field_is_cut_by_the_baselines():
    found = verdict(sliced("base", BASE, SUBJECTS), sliced("new", LOST, [None] * 1000), RULE)
    assert found.exit_code == 1


def test_where_the_baseline_keeps_no_documents_an_imports_slices_are_its_own_word():
    base = scored("base", [rows("known", "acc", BASE)])
    found = verdict(base, sliced("new", LOST, SUBJECTS, imported_from="csv, a.csv"), RULE)
    assert found.exit_code == 3
    assert "save the baseline with --text" in found.rules[0].why
    # A run made here names its samples by their documents, the field included.
    assert verdict(base, sliced("new", LOST, SUBJECTS), RULE).exit_code == 1


def test_training_data_is_the_candidates_own_question():
    inside = ["yes"] * 200 + ["no"] * 800
    base = sliced("base", BASE, SUBJECTS)
    held = rows("known", "acc", LOST)
    texts = [
        sample("known", id, slices={"subject": subject, "in_training_data": mark})
        for id, subject, mark in zip(held.sample_ids, SUBJECTS, inside, strict=True)
    ]
    new = scored("new", [held], samples=texts)
    assert verdict(base, new, {**RULE, "slice": "in_training_data=no"}).exit_code == 0


# --- margins that nothing can fail ----------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "values", "margin", "words"),
    [
        ({}, BASE, 0.7, r"a model that gets nothing right \(0\) would pass.*below 0.7"),
        ({"chance": 0.5, "low": 0.67}, BASE, 0.2, r"guesses \(0.5\) would pass.*below 0.2"),
        (
            {"kind": "bounded", "higher_is_better": False},
            np.full(300, 0.5),
            0.6,
            r"nothing right \(1\) would pass.*below 0.5",
        ),
        (
            {"kind": "bounded"},
            np.linspace(10, 90, 300),
            50,
            r"nothing right \(0\) would pass.*below 50",
        ),
        (
            {**PERPLEXITY, "scale": "bits", "value": 3.0},
            documents(2.0),
            5.5,
            "margin is in bits|learnt nothing",
        ),
    ],
    ids=["all", "chance", "errors", "marks", "bits"],
)
def test_a_margin_that_a_broken_model_would_pass_is_refused(score, values, margin, words):
    base = run("base", values, score=score)
    with pytest.raises(ConfigError, match=f"(?s){words}"):
        verdict(base, base, {"task": "known", "margin": margin})


def test_a_baseline_that_guesses_has_nothing_to_lose():
    held = {"chance": 0.7, "low": 0.67}
    found = verdict(
        run("base", BASE, score=held),
        run("new", BASE, score=held),
        {"task": "known", "margin": 0.02},
    )
    assert found.exit_code == 0


def test_a_rule_that_only_tells_may_have_any_margin():
    base = run("base", BASE)
    found = verdict(base, base, {"task": "known", "margin": 0.8, "tier": "report"})
    assert found.exit_code == 0


@pytest.mark.parametrize("asked", [True, False])
def test_a_policy_cannot_turn_a_metric_round(asked):
    base = run("base", BASE, score={"higher_is_better": not asked})
    with pytest.raises(ConfigError, match="has a direction of its own"):
        verdict(base, base, {"task": "known", "margin": 0.02, "higher_is_better": asked})
    own = {"task": "known", "margin": 0.02, "higher_is_better": not asked}
    assert verdict(base, base, own).exit_code == 0


def test_a_reward_between_0_and_1_whose_rows_are_not_is_no_share():
    rng = np.random.default_rng(0)
    reward = rng.normal(0.4, 2.0, 500)
    before = run("base", reward, "reward", score={"kind": "bounded"})
    after = run("new", reward - 3 + rng.normal(0, 0.1, 500), "reward", score={"kind": "bounded"})
    found = verdict(before, after, {"task": "known", "margin": 1.5})
    assert found.exit_code == 1
    assert "points" not in found.rules[0].why


# --- what only one side can have ------------------------------------------------------------


def divergence(name, **options):
    table = rows(
        "fidelity", "kl_per_token", np.column_stack([np.full(50, 0.5), np.full(50, 100.0)])
    )
    fields = {
        ("fidelity", "kl_per_token"): {
            "kind": "corpus",
            "family": "fidelity",
            "higher_is_better": False,
            "value": 0.005,
        }
    }
    return scored(name, [rows("known", "acc", BASE), table], scores=fields, **options)


def test_every_task_means_those_that_a_base_can_have():
    base = scored("base", [rows("known", "acc", BASE)])
    found = verdict(base, divergence("new"), {"task": "*", "margin": 0.02})
    assert found.exit_code == 0
    assert [r.task for r in found.rules] == ["known"]
    named = verdict(base, divergence("new"), {"task": "fidelity", "margin": 0.02})
    assert named.exit_code == 3
