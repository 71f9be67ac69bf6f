from __future__ import annotations

import dataclasses
import gzip
import json

import numpy as np
import pytest

from steelyard.harness.compare import baseline_file, compare
from steelyard.harness.errors import DataError
from steelyard.harness.gate import judge, load_gate
from tests.harness.scored_runs import rows, sample, scored, with_flips, zero_one

IDS = tuple(f"{i:064x}" for i in range(200))


def _run(name="base", values=None, **options):
    values = zero_one(200, 0.6) if values is None else values
    rng = np.random.default_rng(0)
    second = np.column_stack([-rng.uniform(1, 9, 200), rng.integers(1, 30, 200)])
    held = [
        rows("known", "acc", values, ids=IDS, clusters=[f"c{i // 2}" for i in range(200)]),
        rows(
            "wiki",
            "byte_perplexity",
            second,
            ids=IDS,
            scored=np.arange(200) != 7,
            flags=["tied" if i == 7 else "" for i in range(200)],
        ),
    ]
    fields = {
        ("wiki", "byte_perplexity"): {
            "kind": "perplexity",
            "higher_is_better": False,
            "value": 2.5,
            "primary": False,
        }
    }
    return scored(name, held, scores=fields, **options)


def test_what_is_loaded_equals_what_was_saved(tmp_path):
    run = _run()
    file = tmp_path / "base.steelyard.json.gz"
    baseline_file.save(run, file)
    back = baseline_file.load(file)
    assert back.run == run.run
    assert back.samples is None
    for key, held in run.rows.items():
        found = back.rows[key]
        assert found.sample_ids == held.sample_ids
        np.testing.assert_array_equal(found.values[held.scored], held.values[held.scored])
        np.testing.assert_array_equal(found.scored, held.scored)
        assert (found.flags, found.clusters) == (held.flags, held.clusters)


def test_the_same_run_gives_the_same_bytes_whatever_the_order_of_its_rows(tmp_path):
    run = _run()
    order = np.random.default_rng(1).permutation(200)
    shuffled = {
        key: dataclasses.replace(
            held,
            sample_ids=tuple(held.sample_ids[i] for i in order),
            values=held.values[order],
            scored=held.scored[order],
            flags=tuple(held.flags[i] for i in order),
            clusters=tuple(held.clusters[i] for i in order),
        )
        for key, held in run.rows.items()
    }
    one, two = tmp_path / "one.steelyard.json.gz", tmp_path / "two.steelyard.json.gz"
    baseline_file.save(run, one)
    baseline_file.save(dataclasses.replace(run, rows=shuffled), two)
    assert one.read_bytes() == two.read_bytes()


def test_a_comparison_with_the_file_equals_one_with_the_run(tmp_path):
    run, file = _run(), tmp_path / "base.steelyard.json.gz"
    baseline_file.save(run, file)
    new = _run("new", with_flips(zero_one(200, 0.6), 20, 5))
    assert compare(run, [new], draws=1000) == compare(baseline_file.load(file), [new], draws=1000)


def test_prompts_and_answers_stay_out_unless_asked_for(tmp_path):
    texts = [sample("known", id, prompt="a secret prompt") for id in IDS]
    run, file = _run(samples=texts), tmp_path / "base.steelyard.json.gz"
    baseline_file.save(run, file)
    assert b"secret" not in gzip.decompress(file.read_bytes())
    baseline_file.save(run, file, include_text=True)
    assert baseline_file.load(file).samples == run.samples


def test_one_reworded_prompt_against_the_file_is_not_comparable(tmp_path):
    run, file = _run(), tmp_path / "base.steelyard.json.gz"
    baseline_file.save(run, file)
    held = dict(run.rows)
    known = held["known", "acc"]
    held["known", "acc"] = dataclasses.replace(known, sample_ids=("f" * 64, *known.sample_ids[1:]))
    gate = load_gate({"rules": [{"task": "known", "margin": 0.02}], "draws": 1000})
    (verdict,) = judge(gate, baseline_file.load(file), [dataclasses.replace(run, rows=held)])
    assert verdict.exit_code == 3
    assert "1 of 200 baseline samples have no row in the candidate" in verdict.rules[-1].why
    assert "1 of 200 candidate samples have no row in the baseline" in verdict.rules[-1].why


def test_50_000_rows_take_a_few_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    ids = [rng.bytes(32).hex() for _ in range(50_000)]
    held = rows("big", "rouge", rng.uniform(size=50_000).round(4), ids=ids)
    file = tmp_path / "big.steelyard.json.gz"
    baseline_file.save(scored("big", [held], scores={("big", "rouge"): {"kind": "bounded"}}), file)
    assert file.stat().st_size < 3_000_000


def _rewritten(file, change):
    document = json.loads(gzip.decompress(file.read_bytes()))
    change(document)
    file.write_bytes(gzip.compress(json.dumps(document).encode()))


def _edit_a_row(document):
    column = document["content"]["tasks"]["known"]["metrics"]["acc"]["values"][0]
    column[0] = 1 - column[0]


def _newer(document):
    document["schema_version"] = 99


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_edit_a_row, "torn or edited"),
        (lambda d: d["content"]["run"].update(candidate="other"), "torn or edited"),
        (_newer, "newer Steelyard"),
        (lambda d: d.update(format="else"), "not a baseline"),
        (lambda d: d.update(content=[]), "no content"),
        (lambda d: d.pop("sha256"), "torn or edited"),
        (lambda d: d.update(schema_version="1"), "schema_version"),
    ],
)
def test_an_edited_or_foreign_file_is_refused_in_one_line(tmp_path, change, words):
    file = tmp_path / "base.steelyard.json.gz"
    baseline_file.save(_run(), file)
    _rewritten(file, change)
    with pytest.raises(DataError, match=words) as caught:
        baseline_file.load(file)
    assert "\n" not in str(caught.value) and "base.steelyard.json.gz" in str(caught.value)


@pytest.mark.parametrize("part", [0, 10, 500, -1])
def test_a_torn_file_is_refused_in_one_line(tmp_path, part):
    file = tmp_path / "base.steelyard.json.gz"
    baseline_file.save(_run(), file)
    file.write_bytes(file.read_bytes()[:part])
    with pytest.raises(DataError, match=r"base\.steelyard\.json\.gz"):
        baseline_file.load(file)


@pytest.mark.parametrize(
    "payload",
    [
        b"not gzip at all",
        gzip.compress(b"[" * 100_000, mtime=0),
        gzip.compress(
            b'{"format": "steelyard baseline", "schema_version": 1, "content": NaN}', mtime=0
        ),
        gzip.compress(b"\xff\xfe", mtime=0),
    ],
)
def test_hostile_bytes_are_refused_in_one_line(tmp_path, payload):
    file = tmp_path / "base.steelyard.json.gz"
    file.write_bytes(payload)
    with pytest.raises(DataError, match=r"base\.steelyard\.json\.gz"):
        baseline_file.load(file)


def test_a_bomb_stops_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(baseline_file, "MAX_CONTENT_BYTES", 1_000_000)
    file = tmp_path / "bomb.steelyard.json.gz"
    file.write_bytes(gzip.compress(b" " * 5_000_000))
    with pytest.raises(DataError, match="unpacks to more"):
        baseline_file.load(file)


def _tampered(file, change):
    """An attacker recomputes the digest."""
    document = json.loads(gzip.decompress(file.read_bytes()))
    change(document["content"])
    document["sha256"] = baseline_file._digest(baseline_file._canonical(document["content"]))
    file.write_bytes(gzip.compress(json.dumps(document).encode()))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["tasks"]["known"].update(sample_ids=[1, 2]),
        lambda c: c["tasks"]["known"]["metrics"]["acc"].update(values=[]),
        lambda c: c["tasks"]["known"]["metrics"]["acc"].update(values=[[1]]),
        lambda c: c["tasks"]["known"]["metrics"]["acc"].update(flags={"9999": "tied"}),
        lambda c: c["tasks"]["known"]["metrics"]["acc"].update(flags={"x": "tied"}),
        lambda c: c["tasks"].update(known=None),
        lambda c: c["run"].update(scores="none"),
        lambda c: c.update(tasks=[]),
        lambda c: c.update(samples=[{"task": "known"}]),
    ],
)
def test_a_well_signed_file_with_impossible_content_is_refused(tmp_path, change):
    file = tmp_path / "base.steelyard.json.gz"
    baseline_file.save(_run(), file)
    _tampered(file, change)
    with pytest.raises(DataError, match="not a valid baseline"):
        baseline_file.load(file)


def test_an_incomplete_run_and_duplicated_rows_cannot_be_a_baseline(tmp_path):
    file = tmp_path / "base.steelyard.json.gz"
    with pytest.raises(DataError, match="incomplete"):
        baseline_file.save(_run(complete=False), file)
    twice = scored("base", [rows("known", "acc", [1, 1], ids=["a", "a"])])
    with pytest.raises(DataError, match="duplicated"):
        baseline_file.save(twice, file)
    with pytest.raises(DataError, match=r"end it in \.steelyard\.json\.gz"):
        baseline_file.save(_run(), tmp_path / "base.json")
    assert list(tmp_path.iterdir()) == []
