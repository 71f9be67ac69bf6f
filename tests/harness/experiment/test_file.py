"""A wrong experiment file costs one line that names the file, the key, the value and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.harness.cli.reading import read_experiment
from steelyard.harness.errors import SeveralError, SteelyardError
from steelyard.harness.experiment.file import load_experiment

GOOD = """
name: tiny
base: microworld
data:
  facts: {path: facts.jsonl}
  pairs: {path: pairs.jsonl}
candidates:
  dpo: {trainer: dpo, parent: lora, data: pairs}
  lora: {trainer: lora, data: facts, rank: 4}
  int8: {trainer: quantize, parent: dpo, scheme: int8}
suite: microworld
gate:
  baseline: base
  rules: [{task: microworld_known, margin: 0.02}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "facts.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    (tmp_path / "good.yaml").write_text(GOOD)
    return tmp_path


def refusal(folder: Path, old: str, new: str) -> str:
    """The one line that a changed file is refused with."""
    assert old in GOOD
    path = folder / "wrong.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(SteelyardError) as caught:
        load_experiment(path)
    line = str(caught.value)
    assert "\n" not in line
    assert caught.value.exit_code == 2
    return line


def test_candidates_come_parents_first(folder: Path) -> None:
    experiment = load_experiment(folder / "good.yaml")
    assert [c.name for c in experiment.candidates] == ["lora", "dpo", "int8"]
    assert experiment.candidate("dpo").parent == "lora"
    assert experiment.candidate("lora").parent == "base"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("suite:", "siute:", ["wrong.yaml", "siute", "unknown key", "did you mean 'suite'"]),
        ("trainer: lora", "trainer: loar", ["candidates.lora.trainer", "did you mean 'lora'"]),
        ("rank: 4", "rnak: 4", ["candidates.lora.rnak", "unknown key", "'rank'"]),
        ("rank: 4", "rank: many", ["candidates.lora.rank", "'many'"]),
        ("rank: 4", "rank: -1", ["candidates.lora.rank", "-1"]),
        ("parent: lora", "parent: laro", ["candidates.dpo.parent", "'laro'", "'lora'"]),
        ("data: facts,", "data: fatcs,", ["candidates.lora.data", "'fatcs'", "'facts'"]),
        ("data: facts,", "parent: int8, data: facts,", ["cycle", "int8", "dpo", "lora"]),
        ("data: pairs", "data: facts", ["facts.jsonl", "chosen", "completion"]),
        ("path: facts.jsonl", "path: fakts.jsonl", ["fakts.jsonl", "facts.jsonl"]),
        ("suite: microworld", "", ["suite", "missing"]),
        ("name: tiny", "name: ../tiny", ["name", "'../tiny'", "letters"]),
        ("name: tiny", "name: [", ["wrong.yaml:4: expected"]),
        ("name: tiny", "name: tiny\nname: again", ["'name'", "twice"]),
    ],
)
def test_a_mistake_is_named_with_its_fix(folder: Path, old: str, new: str, said: list[str]) -> None:
    line = refusal(folder, old, new)
    for part in said:
        assert part in line, line


WRONG = """
name: ../tiny
bas: microworld
seeds: [1, 1]
data:
  facts: {path: facts.jsonl}
  pairs: {pth: pairs.jsonl}
candidates:
  lora:
    trainer: lora
    data: facts
    rnak: 4
    learning_rate: fast
  dpo: {trainer: dpo, parent: laro, data: pairs, beta: -1}
  full: {trainer: full, data: fatcs}
  base: {trainer: full, data: facts}
  swept: {trainer: lora, data: facts, sweep: {rank: [2, -3], alpha: [1]}, select: {data: facts}}
  int8: {trainer: quantise, parent: dpo, seed: -1}
  one: {trainer: full, parent: two, data: facts, resources: {cores: 2}}
  two: {trainer: full, parent: one, data: facts}
suite: microworld
limit: 0
"""


def test_every_mistake_of_a_file_is_told_at_once_with_its_line(folder: Path) -> None:
    path = folder / "wrong.yaml"
    path.write_text(WRONG)
    with pytest.raises(SeveralError) as caught:
        load_experiment(path)
    lines = [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]
    places = [tuple(line.split(": ")[:2]) for line in lines]
    assert places == [
        ("2", "name"),
        ("3", "bas"),
        ("4", "seeds"),
        ("7", "data.pairs.path"),
        ("12", "candidates.lora.rnak"),
        ("13", "candidates.lora.learning_rate"),
        ("14", "candidates.dpo.parent"),
        ("14", "candidates.dpo.beta"),
        ("15", "candidates.full.data"),
        ("16", "candidates.base"),
        ("17", "candidates.swept.sweep.alpha"),
        ("18", "candidates.int8.trainer"),
        ("18", "candidates.int8.seed"),
        ("19", "candidates.one.resources.cores"),
        ("20", "candidates.two.parent"),
        ("22", "limit"),
    ]
    assert caught.value.exit_code == 2


def test_what_other_rooms_say_to_a_file_is_told_beside_the_rest(folder: Path) -> None:
    path = folder / "wrong.yaml"
    text = GOOD.replace("rank: 4", "rnak: 4").replace("margin: 0.02", "margni: 0.02")
    path.write_text(text.replace("suite: microworld", "suite: microwrld\nenergy: {meter: nvlm}"))
    with pytest.raises(SeveralError) as caught:
        read_experiment(path)
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{path}:").split(": ")[:2] for line in lines] == [
        ["9", "candidates.lora.rnak"],
        ["11", "suite"],
        ["12", "energy.meter"],
        ["15", "gate.rules.0.margni"],
    ]


def test_a_validation_task_that_is_not_there_is_found_before_training(folder: Path) -> None:
    line = refusal(folder, "rank: 4}", "rank: 4, early_stop: {task: microworld_nwe}}")
    assert "wrong.yaml:9: candidates.lora" in line
    assert "did you mean 'microworld_new'" in line


def test_copies_of_a_candidate_tell_its_mistake_once(folder: Path) -> None:
    line = refusal(folder, "rank: 4}", "rank: -4, seeds: [0, 1, 2]}")
    assert "wrong.yaml:9: candidates.lora.rank" in line


def test_a_data_file_that_two_candidates_read_is_refused_once(folder: Path) -> None:
    (folder / "facts.jsonl").write_text('{"prompt": "a", "completion": ""}\n')
    more = "suite: microworld\n".join(GOOD.split("suite: microworld\n"))
    more = more.replace("  int8:", "  full: {trainer: full, data: facts}\n  int8:")
    (folder / "two.yaml").write_text(more)
    with pytest.raises(SteelyardError) as caught:
        load_experiment(folder / "two.yaml")
    assert "facts.jsonl: data.facts (for lora, lora needs prompt, completion" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_data_file_is_refused_by_name(folder: Path) -> None:
    (folder / "facts.jsonl").write_text("")
    with pytest.raises(SteelyardError, match=r"facts\.jsonl.*empty"):
        load_experiment(folder / "good.yaml")


def test_a_missing_experiment_names_the_one_that_is_there(folder: Path) -> None:
    with pytest.raises(SteelyardError, match=r"god\.yaml: no such file; did you mean 'good\.yaml'"):
        load_experiment(folder / "god.yaml")


def test_a_yaml_bomb_is_refused_at_once(folder: Path) -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [{', '.join(f'*a{i - 1}' for _ in range(9))}]" for i in range(1, 12)]
    (folder / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(SteelyardError, match="aliases"):
        load_experiment(folder / "bomb.yaml")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_bytes_at_all_bring_a_traceback(folder: Path, content: bytes) -> None:
    path = folder / "bytes.yaml"
    path.write_bytes(content)
    with pytest.raises(SteelyardError):
        load_experiment(path)
