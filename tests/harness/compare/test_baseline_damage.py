"""A baseline file outlives the code that wrote it: an old one is read, a newer one refused."""

from __future__ import annotations

import gzip
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from steelyard.harness.cli.main import main
from steelyard.harness.compare import baseline_file
from steelyard.harness.gate import judge, load_gate
from steelyard.harness.records import SCHEMA_VERSION
from tests.harness.compare.data.make_baseline_v1 import BYTES, CORRECT, IDS, LOG_LIKELIHOODS, save
from tests.harness.scored_runs import rows, scored

GOLDEN = Path(__file__).parent / "data" / "baseline-v1.assay.json.gz"


def document() -> dict:
    return json.loads(gzip.decompress(GOLDEN.read_bytes()))


def test_a_file_of_the_first_version_is_read_to_the_same_numbers() -> None:
    assert document()["schema_version"] == 1
    run = baseline_file.load(GOLDEN)
    assert (run.name, run.run.experiment, run.run.suite) == ("base", "test", "core")
    assert run.tasks == ("known", "wiki")
    correct, made_up = run.rows["known", "acc"], run.rows["known", "made_up"]
    wiki = run.rows["wiki", "byte_perplexity"]
    assert correct.sample_ids == wiki.sample_ids == IDS
    assert correct.values[:7, 0].tolist() == CORRECT[:7]
    assert correct.scored.tolist() == [True] * 7 + [False]
    assert math.isnan(correct.values[7, 0]) and correct.flags == ("",) * 7 + ("length limit",)
    assert correct.clusters[:3] == ("passage 0", "passage 0", "passage 1")
    assert made_up.sample_ids == IDS[:7]
    assert made_up.values[:, 0].tolist() == [0.0, 0.1, 0.2, 0.30000000000000004, 1e-300, 1.0, 0.5]
    np.testing.assert_array_equal(wiki.values, np.column_stack([LOG_LIKELIHOODS, BYTES]))
    scores = {(s.task, s.metric): s.value for s in run.run.scores}
    assert scores["known", "acc"] == 5 / 7
    assert scores["wiki", "byte_perplexity"] == pytest.approx(math.exp(15 / 74), rel=1e-15)
    (energy,) = run.run.energy
    assert (energy.energy_kwh, energy.grade, energy.co2e_g) == (0.0025, "measured", None)
    assert run.run.checkpoint.trainer == "lora" and run.run.checkpoint.seed is None
    assert len(run.samples) == 16
    assert run.samples["known", IDS[0]].prompt == "Where?"


def test_a_file_of_the_first_version_still_gates() -> None:
    gate = load_gate({"scope": "rules", "rules": [{"task": "wiki", "margin": 0.05}], "draws": 1000})
    worse = rows("wiki", "byte_perplexity", np.column_stack([np.array(LOG_LIKELIHOODS) * 2, BYTES]),
                 ids=IDS)  # fmt: skip
    fields = {("wiki", "byte_perplexity"): {
        "kind": "perplexity", "higher_is_better": False, "scale": "nats"}}  # fmt: skip
    new = scored("new", [worse], scores=fields)
    verdicts = judge(gate, baseline_file.load(GOLDEN), [new, baseline_file.load(GOLDEN)])
    assert [v.exit_code for v in verdicts] == [1, 0]


def test_a_newer_file_is_refused_with_one_clear_line(tmp_path, monkeypatch, capsys) -> None:
    newer = document() | {
        "schema_version": SCHEMA_VERSION + 1,
        "sha256": "of another kind",
    }
    file = tmp_path / "newer.steelyard.json.gz"
    file.write_bytes(gzip.compress(json.dumps(newer).encode()))
    (tmp_path / "policy.yaml").write_text("rules: [{task: wiki, margin: 0.05}]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["steelyard", "gate", str(GOLDEN), "-p", "policy.yaml", "-b", file.name]
    )
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "error: newer.steelyard.json.gz: was written by a newer Steelyard (schema 3, "
        "this one reads 2); "
        "upgrade steelyard"
    ]
    assert said.out == ""


def test_saving_a_run_of_a_store_twice_gives_the_same_bytes_on_every_python(tmp_path) -> None:
    one = save(tmp_path, "one.steelyard.json.gz").read_bytes()
    two = save(tmp_path, "two.steelyard.json.gz").read_bytes()
    assert one == two
    # RFC 1952: no name, no time, slowest compression, system unknown.
    assert one[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    file = tmp_path / "again.steelyard.json.gz"
    baseline_file.save(
        baseline_file.load(tmp_path / "one.steelyard.json.gz"), file, include_text=True
    )
    assert file.read_bytes() == one


#: 50,000 rows of ten tasks in a real run: correct or not; log-likelihood and bytes; a share.
@pytest.mark.parametrize(("kinds", "most_mb"), [(1, 2.0), (3, 3.5)])
def test_50_000_rows_take_a_few_megabytes_whatever_their_metrics(tmp_path, kinds, most_mb) -> None:
    rng = np.random.default_rng(0)
    held, fields = [], {}
    for i in range(10):
        ids = [rng.bytes(32).hex() for _ in range(5000)]
        task = f"task{i}"
        held += [
            rows(task, "acc", rng.integers(0, 2, 5000), ids=ids),
            rows(task, "bits_per_byte", np.column_stack(
                [rng.normal(-300, 90, 5000), rng.integers(100, 900, 5000)]), ids=ids),
            rows(task, "rougeL", rng.uniform(size=5000), ids=ids),
        ][:kinds]  # fmt: skip
        fields[task, "bits_per_byte"] = {"kind": "perplexity", "scale": "bits"}
        fields[task, "rougeL"] = {"kind": "bounded"}
    file = tmp_path / "big.steelyard.json.gz"
    baseline_file.save(scored("big", held, scores=fields), file)
    megabytes = file.stat().st_size / 1e6
    print(f"{kinds} metrics: {megabytes:.2f} MB")
    assert megabytes < most_mb
