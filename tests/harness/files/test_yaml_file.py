"""A YAML file knows on which line each of its keys stands, and errors take it from there."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from steelyard.harness.errors import ConfigError, SeveralError
from steelyard.harness.files.yaml_file import YamlFile, lines_of

TEXT = """\
name: tiny
candidates:
  lora: &defaults
    trainer: lora
    rank: 4
  v1.0:
    <<: *defaults
    rank: 8
gate:
  rules:
    - {task: known, margin: 0.02}
    - task: new
      margin: 0.1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("name", 1),
        ("candidates.lora.rank", 5),
        ("candidates.v1.0.rank", 8),
        ("candidates.v1.0.trainer", 4),  # where the merged key is written
        ("gate.rules.0.margin", 11),
        ("gate.rules[1].margin", 13),
        ("gate.rules.1", 12),
    ],
)
def test_every_key_has_the_line_where_it_is_written(file: Path, key: str, line: int) -> None:
    assert YamlFile.read(file).line_of(key) == line
    assert lines_of(file)(key) == line


def test_a_key_that_is_not_there_has_the_line_of_the_nearest_around_it(file: Path) -> None:
    source = YamlFile.read(file)
    assert source.line_of("candidates.lora.alpha") == 3
    assert source.line_of("suite") is None


def test_a_file_that_is_gone_has_no_lines_and_no_error_of_its_own(tmp_path: Path) -> None:
    assert lines_of(tmp_path / "gone.yaml")("name") is None


def test_an_error_while_a_file_is_read_names_file_line_and_key(file: Path) -> None:
    with pytest.raises(ConfigError) as caught, YamlFile.read(file).reading("candidates.lora"):
        raise ConfigError("must be even", key="rank", value=5)
    assert str(caught.value) == f"{file}:5: candidates.lora.rank: must be even (got 5)"


def test_every_key_that_stands_twice_is_told(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("a: 1\na: 2\nb: {c: 1, c: 2}\n")
    with pytest.raises(SeveralError) as caught:
        YamlFile.read(path)
    assert str(caught.value).splitlines() == [
        f"{path}:2: key 'a' stands twice; remove one",
        f"{path}:3: key 'c' stands twice; remove one",
    ]


def test_several_errors_travel_between_processes(tmp_path: Path) -> None:
    error = SeveralError([ConfigError("one", line=2), ConfigError("two", line=1)])
    assert str(pickle.loads(pickle.dumps(error))) == "line:1: two\nline:2: one"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("limit: 010", "'010' is a number in another base to YAML; write 10, or '010' in quotes"),
        ("seed: -0012", "write -12, or '-0012' in quotes"),
        ("ratio: 1:30", "'1:30' is a number in another base to YAML; write it out, or '1:30'"),
        ("{007: agent}", "write 7, or '007' in quotes"),
    ],
)
def test_a_number_that_yaml_reads_in_another_base_is_refused(
    tmp_path: Path, written: str, says: str
) -> None:
    # YAML 1.1: 010 is 8 (octal), 1:30 is 90 (base 60).
    path = tmp_path / "f.yaml"
    path.write_text(f"a: 1\n{written}\n" if written[0] != "{" else written)
    with pytest.raises(ConfigError) as caught:
        YamlFile.read(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{path}:{2 if written[0] != '{' else 1}: ")


def test_numbers_in_tens_and_texts_in_quotes_are_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("a: [0, 10, 0.5, -3, 1_000, 0x10, 1.0e-5]\nb: ['010', \"1:30\", 08]\n")
    content = YamlFile.read(path).content
    assert content["a"] == [0, 10, 0.5, -3, 1000, 16, 1e-5]
    assert content["b"] == ["010", "1:30", "08"]
