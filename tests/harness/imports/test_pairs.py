"""A winner for each prompt becomes a win rate that a gate holds, and Bradley-Terry ratings."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from steelyard.harness.errors import DataError, MissingExtraError
from steelyard.harness.imports.bradley_terry import Battle, ratings
from steelyard.harness.imports.pairs import PairSettings, read_pairs
from tests.harness.imports.conftest import Steelyard

HEADER = ("prompt", "model_a", "model_b", "winner", "judge")


def arena(path: Path, lines: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    return path


def duel(wins: int, ties: int, losses: int, model: str = "new") -> list[tuple[str, ...]]:
    winners = ["a"] * wins + ["tie"] * ties + ["b"] * losses
    return [(f"prompt {i}", model, "base", w, "human") for i, w in enumerate(winners)]


POLICY = "rules:\n  - {task: pairs, margin: 0.05}\n"


@pytest.mark.parametrize(
    ("battles", "code"), [(duel(220, 20, 60), 0), (duel(60, 20, 220), 1), (duel(8, 0, 8), 4)]
)
def test_the_gate_holds_a_win_rate_against_one_half(
    steelyard: Steelyard, battles: list[tuple[str, ...]], code: int
) -> None:
    arena(Path("arena.csv"), battles)
    assert steelyard("import", "pairs", "arena.csv", "--baseline", "base").code == 0
    Path("policy.yaml").write_text(POLICY)
    done = steelyard("gate", "imported/new", "-p", "policy.yaml", "-b", "imported/base")
    assert done.code == code, done.out


def test_a_winner_who_is_called_like_the_others_place_is_not_guessed(tmp_path: Path) -> None:
    file = arena(tmp_path / "arena.csv", [("q", "b", "a", "a", "human")])
    with pytest.raises(DataError, match=r"line 2: the winner is not clear \(got 'a'\); "):
        read_pairs(file, PairSettings(baseline="a"))
    clear = arena(tmp_path / "clear.csv", [("q", "b", "a", "model_a", "human")])
    runs = read_pairs(clear, PairSettings(baseline="a", with_ratings=False))
    assert {run.run.candidate: run.rows[0].values[0, 0] for run in runs} == {"b": 1.0, "a": 0.5}


def test_a_row_is_what_the_candidate_won(tmp_path: Path) -> None:
    lines = [
        ("p1", "new", "base", "model_a", "j"),
        ("p2", "base", "new", "a", "j"),
        ("p3", "base", "new", "Tie (bothbad)", "j"),
        ("p4", "new", "base", "new", "j"),
    ]
    runs = {
        i.run.candidate: i
        for i in read_pairs(arena(tmp_path / "x.csv", lines), PairSettings("base"))
    }
    assert runs["new"].rows[0].values[:, 0].tolist() == [1.0, 0.0, 0.5, 1.0]
    assert runs["base"].rows[0].values[:, 0].tolist() == [0.5] * 4
    assert runs["new"].rows[0].sample_ids == runs["base"].rows[0].sample_ids
    assert runs["new"].run.scores[0].value == 0.625


def test_several_judgments_of_a_prompt_are_one_row(tmp_path: Path) -> None:
    lines = [
        ("p", "new", "base", "a", "alice"),
        ("p", "new", "base", "b", "bob"),
        ("p", "base", "new", "b", "alice"),  # asked again in the other order
        ("q", "new", "base", "b", "alice"),
    ]
    found = read_pairs(arena(tmp_path / "x.csv", lines), PairSettings("base"))
    rows = next(i for i in found if i.run.candidate == "new").rows[0]
    assert rows.values[:, 0].tolist() == [pytest.approx(2 / 3), 0.0]


def test_two_judges_do_not_compare(steelyard: Steelyard) -> None:
    arena(Path("x.csv"), [line[:4] for line in duel(30, 0, 20)], HEADER[:4])
    for judge in ("human", "gpt-4"):
        steelyard("import", "pairs", "x.csv", "-b", "base", "--judge", judge, "-e", judge)
    done = steelyard("compare", "human/base", "gpt-4/new")
    assert done.code == 3
    assert "judge: human" in done.out
    assert "judge: gpt-4" in done.out


def test_the_baseline_is_the_one_model_that_met_all_others(tmp_path: Path) -> None:
    file = arena(tmp_path / "x.csv", [*duel(3, 1, 2, "lora"), *duel(2, 1, 3, "dpo")])
    found = read_pairs(file)
    assert sorted(i.run.candidate for i in found) == ["base", "dpo", "lora"]
    assert all(i.run.signatures[0].decoding == "against base" for i in found)


def test_candidates_on_different_prompts_get_a_baseline_each(tmp_path: Path) -> None:
    file = arena(tmp_path / "x.csv", [*duel(3, 1, 2, "lora"), *duel(2, 1, 2, "dpo")])
    assert sorted(i.run.candidate for i in read_pairs(file)) == [
        "base-vs-dpo",
        "base-vs-lora",
        "dpo",
        "lora",
    ]


@settings(max_examples=40, deadline=None)
@given(wins=st.integers(1, 60), ties=st.integers(0, 20), losses=st.integers(1, 60))
def test_two_models_are_rated_by_their_odds(wins: int, ties: int, losses: int) -> None:
    # The maximum of the two-model likelihood is known: strengths stand as wins to losses.
    assume(wins + ties + losses > 2)
    won = [1.0] * wins + [0.5] * ties + [0.0] * losses
    battles = [Battle(str(i), 0, 1, w) for i, w in enumerate(won)]
    first, second = ratings(battles, 2, draws=100)
    odds = (wins + ties / 2) / (losses + ties / 2)
    assert first.value is not None
    assert second.value is not None
    assert first.value - second.value == pytest.approx(400 * math.log10(odds), abs=0.1)
    assert first.value + second.value == pytest.approx(2000)


def test_the_interval_of_a_rating_is_that_of_its_log_odds() -> None:
    # Delta method: the standard error of log(w / l) is sqrt(1/w + 1/l).
    battles = [Battle(str(i), 0, 1, float(i < 180)) for i in range(300)]
    rating = ratings(battles, 2, draws=1000)[0]
    half = 1.96 * math.sqrt(1 / 180 + 1 / 120) * 400 / math.log(10) / 2
    assert rating.low is not None
    assert rating.high is not None
    assert rating.high - rating.low == pytest.approx(2 * half, rel=0.1)


def test_a_model_that_never_lost_has_no_rating() -> None:
    battles = [Battle(str(i), 0, 1, 1.0) for i in range(20)]
    found = ratings(battles, 2)
    assert [rating.value for rating in found] == [None, None]
    assert "never lost" in found[0].note


def test_ratings_stand_in_every_run(tmp_path: Path) -> None:
    file = arena(tmp_path / "x.csv", [*duel(60, 10, 30, "lora"), *duel(30, 10, 60, "dpo")])
    rated = {i.run.candidate: i.run.score("pairs", "bradley_terry") for i in read_pairs(file)}
    values = {name: score.value for name, score in rated.items() if score is not None}
    assert values["dpo"] < values["base"] < values["lora"]
    for score in rated.values():
        assert score is not None
        assert score.low is not None
        assert score.low < score.value < score.high


def test_without_evalica_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evalica", None)
    battles = [Battle("1", 0, 1, 1.0), Battle("2", 0, 1, 0.0)]
    with pytest.raises(MissingExtraError, match=r"steelyard\[pairs\]"):
        ratings(battles, 2)


@pytest.mark.parametrize(
    ("lines", "options", "says"),
    [
        ([("p", "a", "b", "c", "j")], ["-b", "a"], "line 2: unknown winner"),
        ([("p", "a", "b", "", "j")], ["-b", "a"], "line 2: unknown winner"),
        ([("p", "a", "a", "a", "j")], ["-b", "a"], "stands against itself"),
        ([("p", "a", "", "a", "j")], ["-b", "a"], "'model_b' is empty"),
        ([("p", "a", "b", "a", "j")] * 2, ["-b", "a"], "stands twice (line 2 and line 3)"),
        ([("p", "a", "b", "a", "j")], [], "name one with --baseline: a, b"),
        ([("p", "a", "b", "a", "j")], ["-b", "base"], "no model 'base'"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    steelyard: Steelyard, lines: list[tuple[str, ...]], options: list[str], says: str
) -> None:
    arena(Path("x.csv"), lines)
    done = steelyard("import", "pairs", "x.csv", *options)
    assert done.code == 2
    assert says in done.err
    assert len(done.err.splitlines()) == 1


def test_each_line_that_cannot_be_used_is_told_up_to_twenty(steelyard: Steelyard) -> None:
    arena(Path("x.csv"), [(f"p{i}", "a", "b", "a" if i % 3 else "c", "j") for i in range(6)])
    done = steelyard("import", "pairs", "x.csv", "-b", "a")
    assert done.code == 2
    first, second = done.err.splitlines()
    assert "x.csv: line 2: unknown winner (got 'c')" in first
    assert "x.csv: line 5: unknown winner (got 'c')" in second
    arena(Path("y.csv"), [(f"p{i}", "a", "b", "c", "j") for i in range(100)])
    lines = steelyard("import", "pairs", "y.csv", "-b", "a").err.splitlines()
    assert len(lines) == 21 and "and 80 more mistakes" in lines[-1]


@pytest.mark.parametrize("weight", ["3", "-1", "nan", ""])
def test_weights_are_refused_by_row_and_never_left_out_in_silence(
    tmp_path: Path, weight: str
) -> None:
    (tmp_path / "w.csv").write_text(
        f"prompt,model_a,model_b,winner,weight\np,base,new,b,1\nq,base,new,a,{weight}\n"
    )
    with pytest.raises(DataError, match=r"line 3.*'weight' is not 1 in every row"):
        read_pairs(tmp_path / "w.csv", PairSettings("base"))
    (tmp_path / "w.csv").write_text("prompt,model_a,model_b,winner,weight\np,base,new,b,1.0\n")
    assert read_pairs(tmp_path / "w.csv", PairSettings("base"))[0].run.scores[0].value == 1
