"""Seeds and sweeps become plain candidates when the file is read, by names that are easily told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.harness.errors import ConfigError
from steelyard.harness.experiment.choices import selection_notes
from steelyard.harness.experiment.expansion import MAX_TRIALS, expanded
from steelyard.harness.experiment.file import Experiment, load_experiment
from steelyard.harness.experiment.lineage import parents_first, sources_of

HEAD = """
name: t
base: microworld
suite: [microworld_known, microworld_new]
data: {d: {path: d.jsonl}, held: {path: d.jsonl}}
"""


def read(folder: Path, candidates: str, more: str = "") -> Experiment:
    (folder / "d.jsonl").write_text('{"prompt": "a", "completion": " b"}\n')
    file = folder / "t.yaml"
    file.write_text(f"{HEAD}{more}\ncandidates:\n{candidates}")
    return load_experiment(file)


SWEEP = """
  lora:
    trainer: lora
    data: d
    sweep: {rank: [4, 16], learning_rate: [1.0e-3, 2.5e-4]}
    select: {task: microworld_new, limit: 4}
"""


def test_a_sweep_is_a_candidate_for_each_combination_and_one_that_takes_the_best(
    tmp_path: Path,
) -> None:
    found = read(tmp_path, SWEEP + "  int8: {trainer: quantize, parent: lora, scheme: int8}\n")
    trials = [f"lora-rank{r}-lr{lr}" for r in (4, 16) for lr in ("1e-3", "2.5e-4")]
    assert [c.name for c in found.candidates] == [*trials, "lora", "int8"]
    assert [c.scored for c in found.candidates] == [False] * 4 + [True] * 2
    best = found.candidate("lora")
    assert (best.trainer_name, list(best.sources)) == ("select", trials)
    assert found.candidate("lora-rank16-lr2.5e-4").trainer.rank == 16  # type: ignore[attr-defined]
    # The trials' energy counts, because they are what the best one is made from.
    assert set(found.graph["lora"]) == {"base", *trials}


def test_seeds_follow_a_candidate_to_all_that_is_made_from_it(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "  a: {trainer: lora, data: d, seeds: [0, 7]}\n"
        "  b: {trainer: full, data: d}\n"
        "  c: {trainer: full, parent: a, data: d}\n"
        "  d: {trainer: merge, sources: [c, b]}\n",
    )
    graph = found.graph
    assert list(graph) == ["a-seed0", "a-seed7", "b", "c-seed0", "c-seed7", "d-seed0", "d-seed7"]
    assert graph["c-seed7"] == ("a-seed7",)
    assert graph["d-seed0"] == ("base", "c-seed0", "b")
    assert [c.seed for c in found.candidates] == [0, 7, 0, 0, 7, 0, 7]
    assert found.meant_by(["d", "b"]) == ("d-seed0", "d-seed7", "b")
    assert found.copies["c-seed7"] == "c" and "b" not in found.copies


def test_the_experiment_s_seeds_hold_for_every_candidate_and_sweep(tmp_path: Path) -> None:
    found = read(tmp_path, SWEEP, "seeds: [1, 2]")
    assert found.candidate("lora-seed2").sources == tuple(
        f"lora-rank{r}-lr{lr}-seed2" for r in (4, 16) for lr in ("1e-3", "2.5e-4")
    )
    one = load_experiment(tmp_path / "t.yaml", seed=5)
    assert [c.seed for c in one.candidates] == [5] * 5


@pytest.mark.parametrize(
    ("candidates", "said"),
    [
        (SWEEP.replace("rank:", "rnak:"), "candidates.lora.sweep.rnak.*did you mean 'rank'"),
        (
            SWEEP.replace("[4, 16]", "4"),
            "sweep.rank: expected a list of values .got 4",
        ),
        (SWEEP.replace("[4, 16]", str(list(range(1, 40)))), "39 x 2 = 78 trials, at most 64"),
        (SWEEP.replace("[4, 16]", "[4, 4]"), "two trials have one name"),
        (SWEEP.replace("data: d", "data: d\n    rank: 3"), "set and swept at once"),
        (SWEEP.replace("    select", "    # select"), "by what the best trial is chosen"),
        (SWEEP.replace("task: microworld_new,", ""), "task or data, not both or none"),
        (SWEEP.replace("limit: 4", "limits: 4"), "candidates.lora.limits.*did you mean 'limit'"),
        ("  a: {trainer: lora, data: d, select: {task: x}}\n", "among a sweep's trials"),
        ("  a: {trainer: lora, data: d, seeds: [0, 0]}\n", "candidates.a.seeds.*different whole"),
        ("  a: {trainer: lora, data: d, seeds: [0], seed: 1}\n", "seed or seeds, not both"),
        (
            "  a: {trainer: lora, data: d, seeds: [0, 1]}\n"
            "  b: {trainer: full, data: d, parent: a, seeds: [0, 2]}\n",
            r"seeds \[0, 2\] of 'b', but \[0, 1\] of 'a'",
        ),
        (
            "  a: {trainer: lora, data: d, seeds: [0, 1]}\n"
            "  b: {trainer: full, data: d, parent: a, seed: 2}\n",
            "candidates.b.seed.*follows the seeds of 'a'",
        ),
        (
            "  a: {trainer: lora, data: d, seeds: [0, 1]}\n  a-seed1: {trainer: full, data: d}\n",
            "two candidates have this name .got 'a-seed1'",
        ),
    ],
)
def test_a_wrong_sweep_or_seed_is_one_line_with_its_fix(
    tmp_path: Path, candidates: str, said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, candidates)
    assert "\n" not in str(raised.value)
    raised.match(said)


def test_a_choice_made_on_the_gate_s_own_items_is_told(tmp_path: Path) -> None:
    gate = "gate: {baseline: base, rules: [{task: 'microworld_n*', margin: 0.1}]}"
    child = "  int8: {trainer: quantize, parent: lora, scheme: int8}\n"
    (told,) = selection_notes(read(tmp_path, SWEEP + child, gate))
    assert "Selected on microworld_new, on which the gate holds a rule: lora, int8." in told
    (told,) = selection_notes(read(tmp_path, SWEEP))
    assert "which the suite scores too" in told
    by_data = SWEEP.replace("task: microworld_new, limit: 4", "data: held")
    assert selection_notes(read(tmp_path, by_data, gate)) == ()


names = st.sampled_from(["a", "b", "c", "d"])


@given(
    st.dictionaries(
        names, st.tuples(names, st.sampled_from([None, [0, 1]])), min_size=1, max_size=4
    )
)
def test_copies_of_one_seed_are_made_from_copies_of_that_seed(
    drawn: dict[str, tuple[str, list[int] | None]],
) -> None:
    specs: dict[str, dict[str, Any]] = {}
    for name, (parent, seeds) in sorted(drawn.items()):
        specs[name] = {"trainer": "full", "parent": parent if parent < name else "base"}
        if specs[name]["parent"] not in specs:
            specs[name]["parent"] = "base"
        if seeds:
            specs[name]["seeds"] = seeds
    found = expanded(specs, None)
    order = parents_first(found.specs, Path())
    assert sorted(order) == sorted(found.specs)
    for name, spec in found.specs.items():
        seeded_parent = "-seed" in str(spec.get("parent"))
        assert not seeded_parent or str(spec["parent"]).endswith(f"-seed{spec['seed']}"), name
        assert sources_of(spec) == ()
    assert sum(map(len, found.groups.values())) == len(found.specs)
    assert len(found.specs) <= MAX_TRIALS


def test_a_chain_of_three_thousand_is_put_in_order_however_it_is_written() -> None:
    chain = {
        f"c{i}": {"trainer": "full", "parent": f"c{i - 1}" if i else "base"} for i in range(3000)
    }
    backwards = dict(reversed(chain.items()))
    assert parents_first(backwards, Path()) == list(chain)
    chain["c0"]["parent"] = "c2999"
    with pytest.raises(ConfigError, match="parents form a cycle: c2999 -> c2998 -> "):
        parents_first(backwards, Path())


def test_more_candidates_than_a_driver_can_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelyard.harness.experiment.file.MAX_CANDIDATES", 5)
    with pytest.raises(ConfigError, match=r"candidates: 6 candidates with seeds and sweeps"):
        read(tmp_path, "  a: {trainer: full, data: d, steps: 1, seeds: [0, 1, 2, 3, 4, 5]}\n")
