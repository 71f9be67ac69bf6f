"""Anything that a model or a data set can say survives a round trip through Parquet."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.harness.errors import StoreError
from steelyard.harness.records import Rows, SampleRecord
from steelyard.harness.store import open_store
from steelyard.harness.store.rows_file import read_rows, write_rows
from steelyard.harness.store.samples_file import read_samples, write_samples

HOSTILE = [
    "\x00",
    "a\x00b",
    "\x1b[2J\x1b]0;title\x07",
    '=cmd|"/c calc"!A1',
    "<script>alert(1)</script>",
    "\u202egnirts",
    "\ufeff\u200b",
    "line\r\nbreak\x85\u2028",
    "🤖👩‍👩‍👧",
    "a" * 100_000,
    "",
    "\\N",
    "null",
    '{"json": [1]}',
]

fast = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
text = st.text(max_size=40)
numbers = st.floats(allow_nan=False, width=64)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
sample_records = st.builds(
    SampleRecord,
    task=text,
    sample_id=text,
    prompt=text,
    target=text,
    responses=st.lists(text, max_size=3).map(tuple),
    document=st.dictionaries(text, json_values, max_size=3),
    slices=st.dictionaries(text, text, max_size=2),
    cluster=st.none() | text,
)


@st.composite
def row_groups(draw: st.DrawFn) -> Rows:
    n, k = draw(st.integers(0, 6)), draw(st.integers(1, 3))
    scored = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    flat = draw(st.lists(st.floats(width=64), min_size=n * k, max_size=n * k))
    values = np.array(flat, dtype=np.float64).reshape(n, k)
    values[~scored] = np.nan
    strings = st.lists(text, min_size=n, max_size=n).map(tuple)
    maybe = st.lists(st.none() | text, min_size=n, max_size=n).map(tuple)
    return Rows(draw(text), draw(text), draw(strings), values, scored, draw(strings), draw(maybe))


@fast
@given(st.lists(row_groups(), max_size=4))
def test_rows_round_trip_to_the_bit(groups: list[Rows]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.parquet")
        write_rows(path, groups)
        found = read_rows(path)
    assert len(found) == len(groups)
    for a, b in zip(groups, found, strict=True):
        assert (a.task, a.metric, a.sample_ids, a.flags, a.clusters) == (
            b.task,
            b.metric,
            b.sample_ids,
            b.flags,
            b.clusters,
        )
        assert a.values.shape == b.values.shape
        np.testing.assert_array_equal(a.scored, b.scored)
        np.testing.assert_array_equal(a.values, b.values)
        assert np.signbit(a.values[a.scored]).tolist() == np.signbit(b.values[b.scored]).tolist()


@fast
@given(st.lists(sample_records, max_size=5))
def test_samples_round_trip(samples: list[SampleRecord]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "samples.parquet")
        write_samples(path, samples)
        assert read_samples(path) == tuple(samples)


def test_hostile_strings_come_back_unchanged(tmp_path: Path, make: SimpleNamespace) -> None:
    store = open_store(tmp_path / ".steelyard")
    samples = [
        SampleRecord(
            task=t, sample_id=t, prompt=t, target=t, responses=(t, t), document={t: t}, cluster=t
        )
        for t in HOSTILE
    ]
    groups = [
        Rows(t, t, (t,), np.ones((1, 1)), np.ones(1, dtype=bool), (t,), (t,)) for t in HOSTILE
    ]
    run = make.run()
    store.put(run.model_copy(update={"candidate": HOSTILE[1]}), groups, samples)
    assert store.samples(run.id) == tuple(samples)
    assert [g.flags[0] for g in store.rows(run.id)] == HOSTILE
    assert store.get(run.id).candidate == HOSTILE[1]
    assert store.upkeep.check() == []


def test_half_a_character_becomes_a_replacement_character(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    store = open_store(tmp_path / ".steelyard")
    run = make.run()
    sample = SampleRecord(
        task="t", sample_id="s", prompt="\ud83e", target="\ud83e\udd16", responses=("x\udc80",)
    )
    store.put(run.model_copy(update={"suite": "s\ud800"}), [], [sample])
    (found,) = store.samples(run.id)
    assert (found.prompt, found.target, found.responses) == ("\ufffd", "🤖", ("x\ufffd",))
    assert store.get(run.id).suite == "s\ufffd"


def test_documents_hold_what_data_sets_hold(tmp_path: Path) -> None:
    document = {
        "id": np.int64(3),
        "x": np.float32(0.5),
        "vector": np.arange(2),
        "day": datetime.date(2026, 1, 2),
        "labels": {"b"},
        "picture": b"\x89PNG",
    }
    sample = SampleRecord(
        task="t", sample_id="s", prompt="p", target="", responses=(), document=document
    )
    write_samples(tmp_path / "s.parquet", [sample])
    assert read_samples(tmp_path / "s.parquet")[0].document == {
        "id": 3,
        "x": 0.5,
        "vector": [0, 1],
        "day": "2026-01-02",
        "labels": ["b"],
        "picture": "<bytes>",
    }


@pytest.fixture(scope="module")
def good_files(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    folder = tmp_path_factory.mktemp("good")
    write_rows(folder / "rows.parquet", [make.rows()])
    write_samples(folder / "samples.parquet", make.samples())
    return folder


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(["rows.parquet", "samples.parquet"]))
def test_a_damaged_file_is_one_error_line_and_never_another_number(
    good_files: Path, data: st.DataObject, name: str
) -> None:
    content = bytearray((good_files / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    path = good_files / f"damaged-{name}"
    path.write_bytes(content)
    read = read_rows if name.startswith("rows") else read_samples
    try:
        found = read(path)
    except StoreError as error:
        assert "\n" not in str(error)
    else:
        assert repr(found) == repr(read(good_files / name))


def test_a_foreign_parquet_file_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(StoreError, match="not written by Steelyard"):
        read_rows(tmp_path / "x.parquet")
