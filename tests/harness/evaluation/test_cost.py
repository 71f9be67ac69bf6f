"""What answering costs: rows a query and pass, in pairs, apart from the journal."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from steelyard.harness.checkpoints import open_base
from steelyard.harness.compare import Scored, compare
from steelyard.harness.energy import EnergyConfig, open_meter
from steelyard.harness.energy.fake_meter import FakeMeter
from steelyard.harness.evaluation.cost import (
    COST,
    ENERGY_METRICS,
    _percentile,
    _rows,
    measured_cost,
)
from steelyard.harness.evaluation.evaluating import BuiltSuite, Evaluation, build
from steelyard.harness.gate import judge, load_gate
from steelyard.harness.records import Energy, Environment, Run
from steelyard.harness.scoring import open_model
from steelyard.harness.scoring.journal import Journal
from steelyard.harness.suites.suite import CostMeasure, load_suite

SPEC = {
    "tasks": [],
    "cost": {
        "task": "microworld_text",
        "prompt_tokens": 8,
        "new_tokens": 4,
        "batch_size": 2,
        "queries": 2,
        "passes": 6,
        "warmup": 1,
    },
}


@pytest.fixture(scope="module")
def built() -> BuiltSuite:
    return build(load_suite(SPEC, folder=Path()))


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journal") / "responses.journal"


@pytest.fixture(scope="module")
def lm(journal: Path):  # type: ignore[no-untyped-def]
    base = open_base("microworld")
    kept = Journal(journal, base.manifest.digest)
    return open_model(base.weights_folder, device="cpu", journal=kept)


def measured(lm, built, meter) -> tuple[Evaluation, tuple[Energy, ...]]:  # type: ignore[no-untyped-def]
    return measured_cost(lm, built, lambda: meter, open_base("microworld"))


@pytest.fixture(scope="module")
def done(lm, built: BuiltSuite, journal: Path):  # type: ignore[no-untyped-def]
    before = journal.stat().st_size if journal.exists() else 0
    meter = FakeMeter(EnergyConfig(meter="fake", country="FRA"), joules={"gpu": 720.0})
    found = measured(lm, built, meter)
    after = journal.stat().st_size if journal.exists() else 0
    assert after == before, "a latency must not come from the journal of responses"
    return found


def score(evaluation: Evaluation, metric: str):  # type: ignore[no-untyped-def]
    return next(s for s in evaluation.scores if s.metric == metric)


def run_of(evaluation: Evaluation, name: str) -> Scored:
    manifest = open_base("microworld").manifest.model_copy(update={"digest": name * 8})
    run = Run(
        id=name,
        experiment="e",
        candidate=name,
        suite=COST,
        checkpoint=manifest,
        scores=evaluation.scores,
        signatures=evaluation.signatures,
        environment=Environment(python="3", platform="p"),
        created_at="2026-01-01T00:00:00+00:00",
    )
    return Scored(run, {(r.task, r.metric): r for r in evaluation.rows})


def slower(evaluation: Evaluation, factor: float) -> Evaluation:
    """The same queries, each ``factor`` times as long."""
    rows = tuple(
        dataclasses.replace(r, values=r.values * factor) if r.metric.endswith("_seconds") else r
        for r in evaluation.rows
    )
    return dataclasses.replace(evaluation, rows=rows)


def test_every_query_of_every_pass_has_a_row_and_passes_are_the_clusters(done) -> None:  # type: ignore[no-untyped-def]
    evaluation, _ = done
    rows = {r.metric: r for r in evaluation.rows}
    latency = rows["latency_p50_seconds"]
    assert latency.values.shape == (6 * 2, 1) and (latency.values > 0).all()
    assert len(set(latency.sample_ids)) == 12 and len(set(latency.clusters)) == 6
    first = rows["time_to_first_token_p50_seconds"].values
    assert (first < latency.values).all()
    prefill, decode = (rows[f"{kind}_tokens_per_second"] for kind in ("prefill", "decode"))
    assert prefill.values == pytest.approx(2 * 8 / first)
    assert decode.values == pytest.approx(2 * 3 / (latency.values - first))


def test_percentiles_carry_order_statistics_and_the_conditions_are_said(done) -> None:  # type: ignore[no-untyped-def]
    evaluation, _ = done
    values = {r.metric: r for r in evaluation.rows}["latency_p50_seconds"].values.reshape(6, 2)
    p50, p95 = (score(evaluation, f"latency_p{p}_seconds") for p in (50, 95))
    # Six passes: the middle one's percentile lies between the least and the greatest, 97%.
    for found, percent in ((p50, 50), (p95, 95)):
        by_pass = np.percentile(values, percent, axis=1)
        assert (found.low, found.high) == (by_pass.min(), by_pass.max())
        assert found.value == np.median(by_pass) and found.n == 12
    for words in ("batch 2", "8 prompt and 4 new tokens", "2 queries x 6 passes after 1", "apart"):
        assert words in p50.note
    (signature,) = evaluation.signatures
    assert signature.hardware and signature.decoding == "batch 2, 8 + 4 tokens"


@pytest.mark.parametrize(("percent", "z"), [(50, 0.0), (95, 1.6449)])
def test_an_interval_holds_where_whole_passes_are_slower(percent: int, z: float) -> None:
    rng = np.random.default_rng(7)
    truth, covered, trials = np.exp(0.02 * z), 0, 300
    rows = _rows("latency", np.ones((6, 60)))
    for _ in range(trials):
        seconds = np.exp(rng.normal(0, 0.1, (6, 1)) + rng.normal(0, 0.02, (6, 60)))
        found = _percentile(rows, seconds, percent)
        covered += found.low <= truth <= found.high
    assert covered / trials > 0.93  # 31 of 32 by the order statistics of six
    found = _percentile(rows, seconds[:5], percent)
    assert found.value is not None and (found.low, found.high) == (None, None)


def test_a_meters_joules_arrive_as_energy_per_thousand_queries_and_tokens(done) -> None:  # type: ignore[no-untyped-def]
    evaluation, spent = done
    assert [energy.energy_kwh for energy in spent] == [720.0 / 3.6e6] * 6
    queries = 2 * 2  # two batches of two
    per_query = score(evaluation, "kwh_per_1k_queries")
    assert per_query.value == pytest.approx(1000 * 720.0 / 3.6e6 / queries, rel=1e-12)
    assert per_query.note.startswith("measured (gpu: fake)")
    per_token = score(evaluation, "kwh_per_1k_tokens")
    assert per_token.value == pytest.approx(per_query.value / (8 + 4), rel=1e-12)
    grams = score(evaluation, "co2e_g_per_1k_queries")
    assert grams.value == pytest.approx(per_query.value * spent[0].intensity.g_per_kwh)
    assert grams.note.startswith("advisory: derived from energy")


def test_without_a_meter_energy_is_unavailable_and_never_zero(lm, built: BuiltSuite) -> None:  # type: ignore[no-untyped-def]
    evaluation, spent = measured(lm, built, open_meter(EnergyConfig(meter="none")))
    assert not evaluation.failures and {e.energy_kwh for e in spent} == {None}
    for metric in ENERGY_METRICS:
        found = score(evaluation, metric)
        assert found.value is None and found.n == 0 and found.note.startswith("unavailable")


def test_a_modelled_energy_is_shown_and_never_gated_on(lm, built: BuiltSuite) -> None:  # type: ignore[no-untyped-def]
    class Modelled(FakeMeter):
        def window(self, name):  # type: ignore[no-untyped-def]
            return _Estimated(super().window(name))

    class _Estimated:
        def __init__(self, inner):  # type: ignore[no-untyped-def]
            self.inner = inner

        def __enter__(self):  # type: ignore[no-untyped-def]
            self.reading = self.inner.__enter__()
            return self.reading

        def __exit__(self, *error):  # type: ignore[no-untyped-def]
            self.inner.__exit__(*error)
            self.reading.components = tuple(
                part.model_copy(update={"grade": "estimated", "method": "20 W model"})
                for part in self.reading.components
            )

    evaluation, _ = measured(lm, built, Modelled())
    note = score(evaluation, "kwh_per_1k_queries").note
    assert note.startswith("advisory: estimated") and "20 W model" in note


def test_a_slower_model_is_worse_by_its_paired_ratio_and_fails_a_rule_on_it(done) -> None:  # type: ignore[no-untyped-def]
    evaluation, _ = done
    base, slow = run_of(evaluation, "base"), run_of(slower(evaluation, 1.5), "slow")
    (comparison,) = compare(base, [slow])
    delta = next(d for d in comparison.deltas if d.metric == "latency_p50_seconds")
    assert comparison.comparable and delta.verdict == "worse" and delta.kind == "ratio"
    assert delta.delta == pytest.approx(-0.405465, abs=1e-5)  # log 1.5
    for ratio, code in ((1.6, 0), (1.2, 1)):
        rule = {"metric": "latency_p50_seconds", "max_ratio": ratio}
        (verdict,) = judge(load_gate({"rules": [rule]}), base, [slow])
        assert verdict.exit_code == code, verdict.rules


def test_times_of_another_machine_are_not_compared(done) -> None:  # type: ignore[no-untyped-def]
    evaluation, _ = done
    (signature,) = evaluation.signatures
    elsewhere = signature.model_copy(update={"hardware": "another machine"})
    moved = dataclasses.replace(evaluation, signatures=(elsewhere,))
    (comparison,) = compare(run_of(evaluation, "base"), [run_of(moved, "moved")])
    assert not comparison.comparable
    assert "measured on other hardware" in comparison.problems[0]


def test_a_query_longer_than_the_window_and_a_model_elsewhere_are_said(
    lm,
    built: BuiltSuite,  # type: ignore[no-untyped-def]
) -> None:
    from tests.harness.toy_suite import Answering

    long = CostMeasure(task="microworld_text", prompt_tokens=250, new_tokens=32)
    suite = built.suite.model_copy(update={"cost": long})
    evaluation, _ = measured(lm, dataclasses.replace(built, suite=suite), FakeMeter())
    assert "longer than the model's window of 256" in evaluation.failures[0].message
    evaluation, spent = measured(Answering(), built, FakeMeter())
    assert "no model in this process to time" in evaluation.failures[0].message
    assert spent == () and not evaluation.scores


def test_the_bytes_of_a_quantised_weight_are_its_integers_and_its_scales() -> None:
    """A subclass of Tensor has no storage of its own: 8 x 4 bytes of integers, 8 scales."""
    import torch

    from steelyard.harness.evaluation.serving import _parts
    from tests.harness.scoring.passes.test_packed_linear import Quantised

    weight = torch.nn.Parameter(Quantised(torch.randn(8, 4)), requires_grad=False)
    assert sum(part.untyped_storage().nbytes() for part in _parts(weight)) == 8 * 4 + 8 * 4
