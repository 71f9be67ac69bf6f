"""Words are claims of a family: at most one comparison in twenty of equal models holds any."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.harness.compare import compare
from steelyard.harness.compare.families import adjusted, adjusted_slices
from steelyard.harness.records import Delta
from tests.harness.scored_runs import rows, scored, with_flips, zero_one

QUIET = ("inconclusive", "identical")


def delta(task: str, p_value: float | None, change: float = 0.1, **fields: object) -> Delta:
    plain = {
        "task": task,
        "metric": "acc",
        "family": "quality",
        "kind": "accuracy",
        "primary": True,
        "higher_is_better": True,
        "baseline": 0.5,
        "candidate": 0.5 + change,
        "delta": change,
        "p_value": p_value,
    }
    return Delta(**{**plain, **fields})


def test_holm_runs_over_all_candidates_and_tasks():
    # By hand over (.01, .02, .04, .3): .04, .06, .08, .3.
    first, second = adjusted(
        [
            [delta("a", 0.01), delta("b", 0.3)],
            [delta("a", 0.02), delta("b", 0.04, -0.1)],
        ]
    )
    assert [d.p_adjusted for d in first] == pytest.approx([0.04, 0.3])
    assert [d.p_adjusted for d in second] == pytest.approx([0.06, 0.08])
    assert [d.verdict for d in first] == ["better", "inconclusive"]
    assert [d.verdict for d in second] == ["inconclusive", "inconclusive"]


def test_another_metric_speaks_only_where_the_primary_one_does():
    other = {"metric": "f1", "primary": False}
    (deltas,) = adjusted(
        [
            [
                delta("a", 1e-6),
                delta("a", 1e-4, **other),
                delta("b", 0.5),
                delta("b", 1e-9, **other),
            ]
        ]
    )
    assert [d.verdict for d in deltas] == ["better", "better", "inconclusive", "inconclusive"]
    assert deltas[3].p_adjusted == deltas[2].p_adjusted == pytest.approx(0.5)


def test_a_task_whose_primary_metric_has_no_test_asks_with_what_it_has():
    (deltas,) = adjusted([[delta("a", None), delta("a", 0.001, metric="f1", primary=False)]])
    assert deltas[0].p_adjusted is None and deltas[0].verdict is None
    assert deltas[1].verdict == "better"


def test_slices_are_a_family_of_their_own_over_all_candidates():
    # Benjamini-Hochberg by hand over (.01, .02, .9): .03, .03, .9.
    first, second = adjusted_slices([[delta("a", 0.01), delta("a", 0.9)], [delta("a", 0.02)]])
    assert [d.p_adjusted for d in first] == pytest.approx([0.03, 0.9])
    assert [d.p_adjusted for d in second] == pytest.approx([0.03])


def equal_runs(rng: np.random.Generator, candidates: int, tasks: int) -> list:
    """A base and candidates that differ from it on a tenth of the items, by chance alone."""
    base = [(rng.random(100) < 0.7).astype(float) for _ in range(tasks)]
    runs = [scored("base", [rows(f"t{i}", "acc", v) for i, v in enumerate(base)])]
    for number in range(candidates):
        held = []
        for i, values in enumerate(base):
            changed = rng.random(100) < 0.1
            drawn = (rng.random(100) < 0.7).astype(float)
            held.append(rows(f"t{i}", "acc", np.where(changed, drawn, values)))
        runs.append(scored(f"c{number}", held))
    return runs


def test_a_comparison_of_equal_models_says_nothing():
    """Whole comparisons of 5 candidates on 8 tasks; each by itself would say four words."""
    rng = np.random.default_rng(0)
    spoken = alone = 0
    for _ in range(20):
        base, *candidates = equal_runs(rng, 5, 8)
        deltas = [d for c in compare(base, candidates, slices=False) for d in c.deltas]
        spoken += any(d.verdict not in QUIET for d in deltas)
        alone += sum(d.p_value is not None and d.p_value < 0.1 for d in deltas)
    assert alone >= 10
    assert spoken <= 3  # 1 of 20 expected at most; 4 or more have probability .016


def test_a_fall_of_five_points_on_one_task_of_twenty_is_called():
    base = [zero_one(1000, 0.7, seed=i) for i in range(20)]
    runs = [scored("base", [rows(f"t{i}", "acc", v) for i, v in enumerate(base)])]
    for number in range(10):
        held = []
        for i, values in enumerate(base):
            lost, gained = (75, 25) if (number, i) == (3, 7) else (50, 50)
            held.append(rows(f"t{i}", "acc", with_flips(values, lost, gained, seed=i)))
        runs.append(scored(f"c{number}", held))
    found = compare(runs[0], runs[1:], slices=False)
    spoken = [(c.candidate, d.task, d.verdict) for c in found for d in c.deltas
              if d.verdict not in QUIET]  # fmt: skip
    assert spoken == [("c3", "t7", "worse")]
