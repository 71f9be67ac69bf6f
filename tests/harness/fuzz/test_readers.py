"""Whatever stands in a file, its reader returns or says in one line what is wrong.

``benchmarks/fuzz_readers.py`` does the same for as long as one likes, with the memory bounded.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.harness.errors import SteelyardError
from tests.harness.fuzz.later_readers import LATER
from tests.harness.fuzz.readers import READERS, attempt, prepared

#: What building a task or a suite costs makes few files of it enough here.
SLOW = ("experiment", "suite", "task")


@pytest.mark.parametrize("name", [n for n in READERS if n not in SLOW])
def test_hostile_files_are_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    _hunt(name, tmp_path, examples=12)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in READERS if name not in LATER])
def test_many_hostile_files_are_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    _hunt(name, tmp_path, examples=40 if name in SLOW else 150)


def _hunt(name: str, tmp_path: Path, examples: int) -> None:
    reader = READERS[name]
    folder = prepared(reader, tmp_path / "x")

    @settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(data=st.data())
    def one(data: st.DataObject) -> None:
        attempt(reader, folder, data.draw(reader.content()))

    one()


# --- files that are small and stand for much ------------------------------------------------

READ = """
import resource, sys
from pathlib import Path
from tests.harness.fuzz.readers import READERS, attempt
reader = READERS[{name!r}]
try:
    reader.read(Path({warm!r}))  # libraries load before the memory is bounded
except Exception:
    pass
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + {megabytes} * 1024 * 1024
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from steelyard.harness.files import parquet_file
from steelyard.harness.errors import SteelyardError
parquet_file.MAX_UNCOMPRESSED_BYTES = 64 * 1024 * 1024  # a small scale costs the test less
try:
    reader.read(Path({path!r}))
except SteelyardError as error:
    print(error)
"""


def _bounded(name: str, path: Path, megabytes: int) -> str:
    """What the reader says of ``path`` in a process whose memory may grow by so much."""
    warm = path.with_name(f"warm{path.suffix}")
    warm.write_text("x")
    code = READ.format(name=name, path=str(path), warm=str(warm), megabytes=megabytes)
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-1500:]
    assert "Traceback" not in done.stderr
    return done.stdout.strip()


def _sparse(path: Path, size: int, start: bytes = b"") -> Path:
    """A file that is ``size`` bytes long and takes no room on the disk."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["items jsonl", "items csv"])
def test_a_line_of_ten_gigabytes_is_refused_before_it_fills_the_memory(
    name: str, tmp_path: Path
) -> None:
    path = _sparse(tmp_path / READERS[name].file, 10 * 1000**3, b'{"id": "')
    assert "line 1 is longer than 67108864 characters" in _bounded(name, path, megabytes=1024)


@pytest.mark.parametrize("name", ["lm-eval results", "every-eval-ever", "run record", "manifest"])
def test_ten_gigabytes_of_json_are_refused_unread(name: str, tmp_path: Path) -> None:
    file = Path(READERS[name].file)
    path = _sparse(tmp_path / file.name, 10 * 1000**3, b'{"results": ')
    started = time.process_time()
    with pytest.raises(SteelyardError, match="10000000000 bytes of JSON, more than"):
        READERS[name].read(path)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("name", ["experiment", "policy", "suite", "task"])
def test_a_yaml_file_of_gigabytes_is_refused_unread(name: str, tmp_path: Path) -> None:
    path = _sparse(tmp_path / READERS[name].file, 10 * 1000**3)
    with pytest.raises(SteelyardError, match="larger than 1000000 bytes"):
        READERS[name].read(path)


@pytest.mark.parametrize("name", ["experiment", "policy", "suite"])
def test_yaml_that_expands_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    lines = ["a0: &a0 [x, x, x]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 16)]
    path.write_text("\n".join(lines))  # 3**16 values in 45 aliases
    with pytest.raises(SteelyardError, match="aliases expand to more than 100000 values"):
        READERS[name].read(path)
    path.write_text("a: &a [*a]\n")
    with pytest.raises(SteelyardError, match="an alias stands for what it is in"):
        READERS[name].read(path)


def test_a_task_beside_the_suite_that_expands_is_refused(tmp_path: Path) -> None:
    reader = READERS["task"]
    lines = ["task: mine", "a0: &a0 [x, x, x]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 16)]
    (tmp_path / "mine.yaml").write_text("\n".join(lines))
    with pytest.raises(SteelyardError, match="aliases expand to more than 100000 values"):
        reader.read(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    "name", ["items jsonl", "lm-eval samples", "lm-eval results", "every-eval-ever", "config.json"]
)
def test_deep_nesting_is_one_line(name: str, tmp_path: Path) -> None:
    folder = prepared(READERS[name], tmp_path / "x")
    assert attempt(READERS[name], folder, b"[" * 200_000) == "refused"
    assert attempt(READERS[name], folder, b'{"a":' * 200_000) == "refused"


def _bomb(value_bytes: int, rows: int) -> bytes:
    """Parquet of a few kB whose one column says the same long text ``rows`` times over."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = pa.DictionaryArray.from_arrays(
        pa.array([0] * rows, pa.int32()), pa.array(["x" * value_bytes])
    )
    ids = pa.array([str(i) for i in range(rows)])
    out = io.BytesIO()
    pq.write_table(
        pa.table({"id": ids, "prompt": texts}), out, compression="zstd", store_schema=False
    )
    return out.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["items parquet", "data parquet"])
def test_a_small_parquet_that_stands_for_terabytes_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(_bomb(value_bytes=4_000_000, rows=300_000))
    assert path.stat().st_size < 3_000_000
    assert "bytes unpacked" in _bounded(name, path, megabytes=1024)


def test_a_journal_larger_than_the_memory_is_read_in_windows(tmp_path: Path) -> None:
    from steelyard.harness.scoring.journal import Journal

    with Journal(tmp_path / "x.journal", "d") as journal:
        journal.append("k", ["a"], [[-1.0, True]])
    size = (tmp_path / "x.journal").stat().st_size
    with (tmp_path / "x.journal").open("r+b") as file:
        file.truncate(20 * 1000**3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Journal(tmp_path / "x.journal", "d") as journal:
        assert journal.pack("k") == [[-1.0, True]]
        assert journal.dropped_bytes == 20 * 1000**3 - size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_nothing_that_an_experiment_file_names_is_written_outside(tmp_path: Path) -> None:
    from steelyard.harness.experiment.file import load_experiment
    from tests.harness.fuzz.readers import EXPERIMENT, _lines_beside

    _lines_beside(tmp_path)
    file = tmp_path / "x.yaml"
    for name in ("../up", "/etc/x", "a/b", "..", ".", "", "a\0b", "x" * 65):
        for content in (
            EXPERIMENT | {"name": name},
            EXPERIMENT | {"candidates": {name: {"trainer": "none"}}},
        ):
            file.write_text(json.dumps(content))
            with pytest.raises(SteelyardError, match="not a usable name"):
                load_experiment(file)
