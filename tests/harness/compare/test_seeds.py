"""Several seeds of one recipe, on the same items: seeds and items are crossed."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.harness.compare import compare, recipe_deltas
from tests.harness.scored_runs import rows, scored, with_flips, zero_one

BASE = zero_one(1000, 0.7)


def seeds_of(values, **options):
    return [
        scored(
            f"lora-{seed}",
            [rows("known", "acc", held)],
            checkpoint={"trainer": "lora", "recipe": {"rank": 8}, "seed": seed},
            **options,
        )
        for seed, held in enumerate(values)
    ]


def test_each_claim_has_its_own_interval():
    # The same 10, 20 and 30 items lost: deltas -.01, -.02, -.03, mean -.02, s .01,
    # t(2) = 4.3027, reach .02484 for the recipe on these items.
    base = scored("base", [rows("known", "acc", np.ones(1000))])
    values = [np.r_[np.zeros(lost), np.ones(1000 - lost)] for lost in (10, 20, 30)]
    runs = seeds_of(values)
    (recipe,) = recipe_deltas(compare(base, runs), runs, base)
    assert (recipe.seeds, recipe.models) == (3, 3)
    assert recipe.mean == pytest.approx(-0.02)
    assert recipe.standard_deviation == pytest.approx(0.01)
    assert recipe.here == pytest.approx((-0.04484, 0.00484), abs=5e-6)
    # Items: 10 lost by three, 10 by two, 10 by one; mean over seeds 1, 2/3, 1/3 and 970 zeros:
    # variance (10 + 40/9 + 10/9 - 1000 x .0004) / 999 / 1000, t(999) = 1.9623.
    variance = (10 + 40 / 9 + 10 / 9 - 0.4) / 999 / 1000
    half = 1.9623 * variance**0.5
    assert recipe.checkpoints == pytest.approx((-0.02 - half, -0.02 + half), abs=5e-6)
    # Crossed it is wider than either, and narrower than their sum.
    assert -0.02 - half - 0.02484 < recipe.low < -0.04484
    assert recipe.verdict == "inconclusive"


def test_identical_seeds_keep_the_items_noise():
    # Ten seeds that are one model: 17% was what the spread over them covered.
    base = scored("base", [rows("known", "acc", BASE)])
    after = with_flips(BASE, 60, 40)
    runs = seeds_of([after] * 10)
    (recipe,) = recipe_deltas(compare(base, runs), runs, base)
    assert recipe.standard_deviation == pytest.approx(0)
    lone = compare(base, runs[:1])[0].deltas[0]
    assert recipe.low == pytest.approx(lone.low, abs=1e-3)
    assert recipe.high == pytest.approx(lone.high, abs=1e-3)


def test_clusters_of_items_are_what_is_drawn():
    labels = [f"c{i // 10}" for i in range(1000)]
    base = scored("base", [rows("known", "acc", BASE, clusters=labels)])
    fell = BASE.copy()
    fell[:200] = 0
    plain = seeds_of([fell] * 3)
    together = [
        scored(
            run.name,
            [rows("known", "acc", fell, clusters=labels)],
            checkpoint={"trainer": "lora", "recipe": {"rank": 8}, "seed": seed},
        )
        for seed, run in enumerate(plain)
    ]
    lone = scored("base", [rows("known", "acc", BASE)])
    (narrow,) = recipe_deltas(compare(lone, plain), plain, lone)
    (wide,) = recipe_deltas(compare(base, together), together, base)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


@pytest.mark.parametrize("kind", ["bounded", "perplexity", "corpus"])
def test_every_kind_has_the_three_claims(kind):
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 60, 300).astype(float)
    metric = {"bounded": "f1", "perplexity": "word_perplexity", "corpus": "kl_per_token"}[kind]

    def draw(shift):
        if kind == "bounded":
            return np.clip(items + shift + rng.normal(0, 0.02, 300), 0, 1)
        sums = lengths * (items + 1 + shift + rng.normal(0, 0.02, 300))
        sums = -sums if kind == "perplexity" else sums
        return np.column_stack([sums, lengths])

    items = rng.beta(5, 3, 300) * 0.5
    fields = {("t", metric): {"kind": kind, "higher_is_better": kind == "bounded"}}

    def run(name, shift, **options):
        return scored(name, [rows("t", metric, draw(shift))], scores=fields, **options)

    base = run("base", 0.0)
    made = {"trainer": "lora", "recipe": {"rank": 8}}
    runs = [run(f"s{i}", 0.1 + 0.01 * i, checkpoint={**made, "seed": i}) for i in range(3)]
    (recipe,) = recipe_deltas(compare(base, runs), runs, base)
    for low, high in (recipe.checkpoints, recipe.here, (recipe.low, recipe.high)):
        assert low < recipe.mean < high
    assert recipe.high - recipe.low >= recipe.here[1] - recipe.here[0]
    assert recipe.verdict == ("better" if kind == "bounded" else "worse")


def test_a_word_must_hold_over_all_recipes_and_tasks():
    tasks = [f"t{i}" for i in range(20)]
    base = scored("base", [rows(t, "acc", BASE) for t in tasks])
    runs = [
        scored(
            f"lora-{seed}",
            [rows(t, "acc", with_flips(BASE, lost, 0, seed=seed)) for t in tasks],
            checkpoint={"trainer": "lora", "recipe": {"rank": 8}, "seed": seed},
        )
        for seed, lost in enumerate((60, 70, 80))
    ]
    family = recipe_deltas(compare(base, runs), runs, base)
    alone = [dict(vars(d)) for d in family]
    assert all(d["high"] < 0 for d in alone)
    # t(2) at .05 / 20 one-sided .00125 is 19.96: three seeds cannot carry twenty claims.
    assert {d.verdict for d in family} == {"inconclusive"}
    assert {d.questions for d in family} == {20}
