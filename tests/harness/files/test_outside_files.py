"""What the hour of hostile files found: each is one line now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.harness.errors import ConfigError
from steelyard.harness.files.tables import records
from steelyard.harness.files.yaml_file import read_yaml
from steelyard.harness.imports.lm_eval_results import number
from steelyard.harness.suites.suite import load_suite


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!timestamp 9999-99-99alpha: 1\n", "'9999-99-99alpha' is not a timestamp"),
        ("a: !!int ''\n", "'' is not a int"),
        ("a: {b: [!!bool maybe]}\n", "'maybe' is not a bool"),
        ("a: !!map [b]\n", "expected `key: value` lines"),
    ],
)
def test_a_yaml_value_that_is_not_what_its_tag_says_is_named_with_its_line(
    text: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="policy.yaml:1: " + said) as told:
        read_yaml(file)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("name", "said"), [("\\0", "a null"), ("\\ud800", "half a")])
def test_a_path_that_python_refuses_is_one_line(name: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(f'name: mine\ninclude: "{name}"\ntasks: [microworld_known]\n')
    with pytest.raises(ConfigError, match=f"a path holds {said} character"):
        load_suite(str(file), folder=tmp_path)


def test_a_whole_number_that_no_float_can_hold_stays_text(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 7, "b": 1' + "0" * 400 + "}\n")
    ((_, row),) = records(file)
    assert row["a"] == 7
    assert row["b"] == "1" + "0" * 400


DAMAGED = """
import sys
from pathlib import Path
import pyarrow as pa
import pyarrow.parquet as pq
from steelyard.harness.experiment.data_sets import records
from steelyard.harness.errors import SteelyardError

file = Path(sys.argv[1])
pq.write_table(pa.table({"a": [1.0, None, 3.0]}), file)
sound = file.read_bytes()
footer = int.from_bytes(sound[-8:-4], "little")
refused = 0
for place in range(len(sound) - 8 - footer, len(sound) - 8):
    for change in (1, 16, 255):
        damaged = bytearray(sound)
        damaged[place] = (damaged[place] + change) % 256
        file.write_bytes(damaged)
        try:
            list(records(file))
        except SteelyardError:
            refused += 1
print(refused)
"""


def test_no_damaged_byte_of_a_parquet_footer_ends_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DAMAGED, str(tmp_path / "x.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout) > 100


def test_a_number_that_no_float_can_hold_is_no_number() -> None:
    assert number(10**400) is None
