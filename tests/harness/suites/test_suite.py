"""Suites as data: what extends what, what is left out, and what a mistake is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.errors import SteelyardError
from steelyard.harness.suites.suite import list_suites, load_suite
from steelyard.harness.suites.task_files import task_files, task_summary


def test_a_suite_extends_another_without_some_of_its_tasks(tmp_path: Path) -> None:
    spec = {
        "extends": "smoke",
        "without": ["microworld_text"],
        "tasks": [{"task": "microworld_known", "limit": 3}, "microworld_new"],
    }
    suite = load_suite(spec, folder=tmp_path)
    limits = {task.task: task.limit for task in suite.tasks}
    assert limits == {
        "microworld_known": 3,  # a later entry replaces an earlier one
        "microworld_choice": 8,
        "microworld_translate": 8,
        "microworld_new": None,
    }
    assert suite.fidelity is not None and suite.fidelity.task == "microworld_text"


def test_costs_are_inherited_and_may_be_all_that_a_suite_measures(tmp_path: Path) -> None:
    alone = load_suite("cost", folder=tmp_path)
    assert alone.tasks == () and alone.cost is not None
    both = load_suite({"extends": ["cost", "smoke"]}, folder=tmp_path)
    assert both.cost == alone.cost and both.tasks
    own = {"task": "microworld_text", "batch_size": 4}
    changed = load_suite({"extends": "cost", "cost": own}, folder=tmp_path)
    assert changed.cost is not None and changed.cost.batch_size == 4


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"tasks": []}, "needs at least one task"),
        ({"tasks": ["microworld_knwon"]}, "does not exist: 'microworld_knwon'; did you mean"),
        ({"extends": "smok"}, "no suite named 'smok'; did you mean 'smoke'"),
        ({"extends": "smoke", "without": "microworld_texts"}, "no such task to leave out .* did"),
        ({"tasks": [{"task": "microworld_new", "limt": 3}]}, "tasks.0.limt: unknown key; did you"),
        ({"cost": {"task": "microworld_text", "batch": 3}}, "cost.batch: unknown key; .*batch_s"),
        ({"cost": {"task": "microworld_texts"}}, "does not exist: 'microworld_texts'; did you"),
        ({"cost": {"task": "microworld_text", "new_tokens": 1}}, "cost.new_tokens: .* or equal"),
        (["microworld_new", "microworld_new"], "a task stands twice"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_the_nearest_name(
    tmp_path: Path, spec: object, said: str
) -> None:
    with pytest.raises(SteelyardError, match=said) as caught:
        load_suite(spec, folder=tmp_path)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_every_mistake_of_a_suite_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "extends: smok\ntasks:\n  - microworld_new\n  - {task: gsm8k, data: {path: gone.jsonl}}\n"
        "  - microworld_new\ninclude: nowhere\n"
    )
    with pytest.raises(SteelyardError) as caught:
        load_suite("mine.yaml", folder=tmp_path)
    told = [line.removeprefix(f"{file}:") for line in str(caught.value).splitlines()]
    assert told[0].startswith("1: extends: no suite named 'smok'; did you mean 'smoke'?")
    assert told[1].startswith(f"4: tasks.1.data: {tmp_path / 'gone.jsonl'}: no such data file")
    assert told[2:] == [
        "5: tasks.2: a task stands twice (got 'microworld_new')",
        "6: include: no such folder (got 'nowhere')",
    ]


def test_suites_say_what_they_measure_and_tasks_what_they_ask_for() -> None:
    suites = ("core", "cost", "microworld", "open-llm-leaderboard-v2", "smoke")
    assert set(suites) <= set(list_suites())
    assert all(load_suite(name, folder=Path()).description for name in suites)
    known = task_summary(task_files()["microworld_known"])
    assert known["asks for"] == "generate_until" and known["primary metric"] == "correct"
    local = task_files([str(Path(__file__).parents[3] / "examples" / "local_data")])
    found = task_summary(local["leaderboard_bbh_snarks"])  # most of it stands in what it includes
    assert found == {
        "asks for": "multiple_choice",
        "family": "benchmark",
        "primary metric": "acc_norm",
    }
