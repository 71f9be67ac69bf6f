from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from steelyard.harness.compare import compare, generation_notes, part_notes, recipe_deltas
from steelyard.harness.errors import ConfigError
from steelyard.harness.records import Failure
from tests.harness.scored_runs import rows, sample, scored, with_flips, zero_one

BASE = zero_one(500, 0.6)


def _one(baseline, candidate, **options):
    (found,) = compare(baseline, [candidate], draws=1000, **options)
    return found


def test_a_run_against_itself_changes_nothing_and_is_comparable():
    run = scored("base", [rows("known", "acc", BASE)])
    found = _one(run, run)
    assert found.comparable and found.problems == ()
    (delta,) = found.deltas
    assert (delta.delta, delta.p_value, delta.verdict) == (0.0, 1.0, "identical")
    assert found.flip_counts[0].lost == found.flip_counts[0].gained == 0


def test_flips_and_forgetting_rate_count_what_was_planted():
    base = scored("base", [rows("known", "acc", BASE)])
    worse = scored("bad", [rows("known", "acc", with_flips(BASE, 60, 10))])
    found = _one(base, worse)
    (count,) = found.flip_counts
    assert (count.lost, count.gained, count.right_before) == (60, 10, 300)
    assert count.forgetting_rate == pytest.approx(0.2)
    (delta,) = found.deltas
    assert delta.delta == pytest.approx(-0.1)
    assert delta.verdict == "worse"
    assert delta.low < -0.1 < delta.high < 0


def test_the_order_of_rows_does_not_matter():
    base, after = rows("rouge", "r", BASE * 0.7), rows("rouge", "r", with_flips(BASE, 30, 20) * 0.7)
    kind = {("rouge", "r"): {"kind": "bounded"}}
    order = np.random.default_rng(3).permutation(500)

    def shuffled(held):
        return dataclasses.replace(
            held,
            values=held.values[order],
            sample_ids=tuple(held.sample_ids[i] for i in order),
        )

    straight = _one(scored("base", [base], scores=kind), scored("new", [after], scores=kind))
    for before, now in ((shuffled(base), after), (base, shuffled(after))):
        assert straight == _one(
            scored("base", [before], scores=kind), scored("new", [now], scores=kind)
        )


def test_rows_pair_by_content_and_not_by_index():
    base = rows("known", "acc", [1, 0, 1, 0], ids=["a", "b", "c", "d"])
    other = rows("known", "acc", [0, 1, 0, 1], ids=["b", "a", "d", "c"])
    found = _one(scored("base", [base]), scored("same", [other]))
    assert found.comparable
    assert found.deltas[0].delta == 0.0
    assert found.flip_counts[0].lost == 0


def test_a_lower_is_better_metric_turns_so_that_positive_is_better():
    fields = {("unknown", "made_up"): {"higher_is_better": False}}
    base = scored("base", [rows("unknown", "made_up", BASE)], scores=fields)
    fewer = scored("honest", [rows("unknown", "made_up", with_flips(BASE, 100, 0))], scores=fields)
    found = _one(base, fewer)
    assert found.deltas[0].delta == pytest.approx(0.2)
    assert found.deltas[0].verdict == "better"
    assert (found.flip_counts[0].lost, found.flip_counts[0].gained) == (0, 100)
    assert found.flip_counts[0].right_before == 200


def test_a_sample_that_flips_in_every_candidate_stands_out():
    ids = [f"known-{i:05d}" for i in range(4)]
    texts = [sample("known", id, responses=(f"answer {id}",)) for id in ids]
    base = scored("base", [rows("known", "acc", [1, 1, 1, 0], ids=ids)], samples=texts)
    one = scored("one", [rows("known", "acc", [0, 0, 1, 0], ids=ids)], samples=texts)
    two = scored("two", [rows("known", "acc", [0, 1, 0, 0], ids=ids)], samples=texts)
    first, second = compare(base, [one, two])
    assert {f.sample_id: f.flips_in_every_candidate for f in first.flips} == {
        ids[0]: True,
        ids[1]: False,
    }
    assert [f.sample_id for f in second.flips] == [ids[0], ids[2]]
    assert first.flips[0].baseline_response == f"answer {ids[0]}"


def test_a_baseline_without_text_says_so_in_its_flips():
    ids = ["a", "b"]
    base = scored("base", [rows("known", "acc", [1, 1], ids=ids)])
    new = scored(
        "new",
        [rows("known", "acc", [0, 1], ids=ids)],
        samples=[sample("known", id) for id in ids],
    )
    (flip,) = _one(base, new).flips
    assert "not kept" in flip.baseline_response
    assert flip.candidate_response == "yes"


def test_slices_by_field_find_the_one_that_fell():
    n = 400
    base, after = np.ones(n), np.ones(n)
    after[:40] = 0
    ids = [f"known-{i:05d}" for i in range(n)]
    texts = [
        sample("known", id, slices={"subject": "law" if i < 60 else "other"})
        for i, id in enumerate(ids)
    ]
    found = _one(
        scored("base", [rows("known", "acc", base, ids=ids)]),
        scored("new", [rows("known", "acc", after, ids=ids)], samples=texts),
    )
    by_name = {delta.slice: delta for delta in found.slices}
    assert by_name["subject=law"].delta == pytest.approx(-40 / 60)
    assert by_name["subject=law"].p_adjusted < 1e-6
    assert by_name["subject=other"].delta == 0


def test_length_quartiles_are_slices_too():
    ids = [f"known-{i:05d}" for i in range(400)]
    texts = [sample("known", id, prompt="x" * (i + 1)) for i, id in enumerate(ids)]
    base = np.ones(400)
    after = base.copy()
    after[300:] = 0
    found = _one(
        scored("base", [rows("known", "acc", base, ids=ids)]),
        scored("new", [rows("known", "acc", after, ids=ids)], samples=texts),
    )
    deltas = {delta.slice: delta.delta for delta in found.slices}
    assert deltas == {
        "prompt_length=shortest quarter": 0,
        "prompt_length=second quarter": 0,
        "prompt_length=third quarter": 0,
        "prompt_length=longest quarter": -1,
    }


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("task_digest", "other", "definition changed"),
        ("data_digest", "other", "documents changed"),
        ("few_shot", 5, "few-shot examples changed"),
        ("template", "chatml", "chat template changed"),
        ("limit", 100, "limit"),
        ("decoding", "temperature 1", "decoding"),
        ("chat_time", "2026-01-01T12:00:00", "chat template reads the clock"),
    ],
)
def test_a_changed_signature_voids_the_comparison_and_names_the_field(field, value, words):
    base = scored("base", [rows("known", "acc", BASE)])
    new = scored("new", [rows("known", "acc", BASE)], signatures={"known": {field: value}})
    found = _one(base, new)
    assert not found.comparable
    assert any("known" in line and words in line for line in found.problems)
    assert [d.field for d in found.differences if d.voids] == [field]
    assert found.deltas[0].delta is None


@pytest.mark.parametrize(
    ("before", "after", "comparable"),
    [
        ("lm-eval", "steelyard", False),
        ("lm-eval", None, True),
        (None, "steelyard", True),
        ("lm-eval", "lm-eval", True),
    ],
)
def test_runs_pair_where_special_tokens_were_put_in_alike(before, after, comparable):
    base, new = (
        scored("base", [rows("known", "acc", BASE)], signatures={"known": {"parity": rule}})
        for rule in (before, after)
    )
    found = _one(base, new)
    assert found.comparable is comparable
    assert ("special tokens" in str(found.problems)) is not comparable


def test_other_generation_defaults_are_named_and_do_not_void():
    base = scored(
        "base", [rows("known", "acc", BASE)], signatures={"known": {"generation_defaults": "{}"}}
    )
    penalty = {"generation_defaults": '{"repetition_penalty": 3.0}'}
    new = scored("new", [rows("known", "acc", BASE)], signatures={"known": penalty})
    found = _one(base, new)
    assert found.comparable
    (difference,) = found.differences
    assert (difference.field, difference.voids) == ("generation_defaults", False)
    assert (difference.baseline, difference.candidate) == ("{}", '{"repetition_penalty": 3.0}')
    (note,) = generation_notes([found])
    assert note.startswith("Texts of new were generated under other settings of the model's own")
    assert note.endswith("than the baseline's: repetition_penalty none -> 3.0.")


def test_another_tokenizer_or_chat_template_is_named():
    base, same = (scored(name, [rows("known", "acc", BASE)]).run for name in ("base", "same"))
    digests = base.checkpoint.digests
    others = {
        "new": {"tokenizer": "other"},
        "chat": {"chat_template": "other"},
        "both": {"tokenizer": "other", "chat_template": "other"},
    }
    runs = [
        base.model_copy(
            update={
                "candidate": name,
                "checkpoint": base.checkpoint.model_copy(
                    update={"digests": digests.model_copy(update=changed)}
                ),
            }
        )
        for name, changed in others.items()
    ]
    assert part_notes(base, [same, *runs]) == [
        "Another tokenizer than the baseline's: new.",
        "Another chat template than the baseline's: chat.",
        "Another tokenizer and chat template than the baseline's: both.",
    ]
    imported = [run.model_copy(update={"imported_from": "lm-eval"}) for run in runs]
    assert part_notes(base, imported) == []


def test_a_baseline_that_says_no_generation_defaults_is_not_told_to_differ():
    base = scored("base", [rows("known", "acc", BASE)])
    stated = {"known": {"generation_defaults": '{"eos_token_id": 2}'}}
    new = scored("new", [rows("known", "acc", BASE)], signatures=stated)
    assert not _one(base, new).differences


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"versions": {"torch": "2.14"}}])
def test_another_dtype_or_library_version_is_told_and_does_not_void(change):
    base = scored("base", [rows("known", "acc", BASE)])
    new = scored("new", [rows("known", "acc", BASE)], signatures={"known": change})
    found = _one(base, new)
    assert found.comparable
    assert len(found.differences) == 1 and not found.differences[0].voids


def test_another_tokenizer_voids_only_what_counts_tokens():
    kinds = {
        ("wiki", "token_perplexity"): {
            "kind": "perplexity",
            "higher_is_better": False,
            "per_token": True,
        },
        ("wiki", "byte_perplexity"): {"kind": "perplexity", "higher_is_better": False},
    }
    values = np.column_stack([-np.arange(1.0, 31), np.full(30, 10.0)])
    held = [rows("wiki", "token_perplexity", values), rows("wiki", "byte_perplexity", values)]
    base = scored("base", held, scores=kinds)
    new = scored("new", held, scores=kinds, signatures={"wiki": {"tokenizer": "other"}})
    found = _one(base, new)
    by_metric = {d.metric: d.delta for d in found.deltas}
    assert by_metric == {"token_perplexity": None, "byte_perplexity": 0.0}
    (problem,) = found.problems
    assert "token_perplexity" in problem and "byte_perplexity" not in problem


def test_three_seeds_of_one_recipe_allow_a_claim_about_it():
    base = scored("base", [rows("known", "acc", BASE)])
    runs = [
        scored(
            f"lora-{seed}",
            [rows("known", "acc", BASE)],
            checkpoint={"trainer": "lora", "recipe": {"rank": 8}, "seed": seed},
        )
        for seed in range(3)
    ]
    assert "not the recipe" in compare(base, runs[:1])[0].claim
    assert "too few" in compare(base, runs[:2])[0].claim
    assert "over 3 seeds" in compare(base, runs)[0].claim


def test_p_values_of_primary_metrics_are_holm_adjusted():
    # Holm by hand: p = (.01, .04) -> (.02, .04)
    base = [rows("a", "acc", np.ones(200)), rows("b", "acc", np.ones(200))]
    new = [
        rows("a", "acc", with_flips(np.ones(200), 12, 0)),
        rows("b", "acc", with_flips(np.ones(200), 8, 0)),
    ]
    a, b = _one(scored("base", base), scored("new", new)).deltas
    assert a.p_value == pytest.approx(2**-11) and b.p_value == pytest.approx(2**-7)
    assert a.p_adjusted == pytest.approx(2 * 2**-11)
    assert b.p_adjusted == pytest.approx(2**-7)


def test_a_baseline_without_scores_is_an_error():
    with pytest.raises(ConfigError, match="no scores"):
        compare(scored("base", []), [scored("new", [])])


def test_a_change_no_larger_than_the_noise_floor_is_not_a_claim():
    base = scored("base", [rows("known", "acc", BASE)])
    bf16 = scored(
        "base-bf16",
        [rows("known", "acc", with_flips(BASE, 25, 0))],
        signatures={"known": {"dtype": "bfloat16"}},
        checkpoint={"digest": "checkpoint-base"},
    )
    for lost, verdict in ((20, "inconclusive"), (40, "worse")):
        new = scored("new", [rows("known", "acc", with_flips(BASE, lost, 0, seed=5))])
        (plain,) = compare(base, [new])[0].deltas
        (held,) = compare(base, [new], noise=[bf16])[0].deltas
        assert plain.verdict == "worse" and held.verdict == verdict
        assert held.delta == plain.delta
    (held,) = compare(base, [scored("new", [bf16.rows["known", "acc"]])], noise=[bf16])[0].deltas
    assert "dtype bfloat16 alone moves the baseline by 0.05" in held.note
    with pytest.raises(ConfigError, match="another checkpoint"):
        compare(base, [new], noise=[new])


def test_seeds_that_were_made_from_copies_of_one_candidate_are_one_recipe():
    base = scored("base", [rows("known", "acc", BASE)])

    def merged(seed, copies):
        recipe = {"sources": [{"model": f"a-seed{seed}"}, "b"]}
        made = {"trainer": "merge", "recipe": recipe, "seed": seed, "copies": copies}
        return scored(f"soup-{seed}", [rows("known", "acc", BASE)], checkpoint=made)

    copies = [merged(seed, {f"a-seed{seed}": "a"}) for seed in range(3)]
    assert "over 3 seeds" in compare(base, copies)[0].claim
    # A name alone says nothing: a user may call a candidate so.
    assert "one seed" in compare(base, [merged(seed, {}) for seed in range(3)])[0].claim


@pytest.mark.parametrize(("different", "verdict"), [(1, None), (2, None), (3, "worse")])
def test_seeds_that_made_the_same_model_are_one_draw(different, verdict):
    # SlopDotCash/asi #27 with a step that draws nothing, as pruning: -.1 [-.1, -.1] was "worse".
    base = scored("base", [rows("known", "acc", BASE)])
    runs = [
        scored(
            f"pruned-{seed}",
            [rows("known", "acc", with_flips(BASE, 50 + seed % different, 0))],
            checkpoint={
                "trainer": "prune",
                "recipe": {"amount": 0.5},
                "seed": seed,
                "digest": f"model-{seed % different}",
            },
        )
        for seed in range(4)
    ]
    (found,) = recipe_deltas(compare(base, runs), runs, base)
    assert (found.seeds, found.models, found.verdict) == (4, different, verdict)
    assert (found.low is None) == (different == 1)
    (claim, *_) = {comparison.claim for comparison in compare(base, runs)}
    expected = {1: "the same one with 4 seeds", 2: "made 2 different models", 3: "over 4 seeds"}
    assert expected[different] in claim


def test_rouge_without_a_name_is_rouge_scores_own_and_no_other():
    values = [rows("sums", "rougeL", BASE)]
    named = {"bounded": "tok:rouge_score|stem:porter|refs:mean", "unicode": "tok:unicode-2|stem:no"}
    runs = {
        name: scored("base", values, scores={("sums", "rougeL"): {"signature": signature}})
        for name, signature in {"unnamed": None, **named}.items()
    }
    assert _one(runs["unnamed"], runs["bounded"]).comparable
    assert _one(runs["bounded"], runs["unnamed"]).comparable
    for before, after in (("unnamed", "unicode"), ("bounded", "unicode")):
        (problem,) = _one(runs[before], runs[after]).problems
        assert "signature changed" in problem and "tok:unicode-2" in problem


def test_a_baseline_without_scores_says_what_failed():
    bare = scored("base", [])
    failure = Failure(stage="quiz", message="no field 'answer'")
    failed = dataclasses.replace(bare, run=bare.run.model_copy(update={"failures": (failure,)}))
    other = scored("new", [rows("known", "acc", BASE)])
    with pytest.raises(ConfigError, match=r"has no scores; quiz: no field 'answer'$"):
        compare(failed, [other])
