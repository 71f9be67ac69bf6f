"""Every Eval Ever records and codecarbon's emissions come in with their own numbers, marked."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.imports.codecarbon import read_codecarbon
from steelyard.harness.imports.every_eval_ever import read_every_eval_ever
from steelyard.harness.store import open_store
from steelyard.reports.exports.every_eval_ever import every_eval_ever
from tests.harness.imports.conftest import Steelyard
from tests.reports.fake_runs import fake_run


def record(path: Path, **changes: Any) -> Path:
    content = every_eval_ever(fake_run("full"), organization="Us")
    path.write_text(json.dumps({**content, **changes}))
    return path


def test_a_record_that_we_exported_comes_back_with_its_numbers(tmp_path: Path) -> None:
    ours = fake_run("full")
    run = read_every_eval_ever(record(tmp_path / "x.json")).run
    assert len(run.scores) == len(ours.scores)
    for score in ours.scores:
        back = run.score(score.task, score.metric)
        assert back is not None
        assert (back.value, back.low, back.high) == (score.value, score.low, score.high)
        assert (back.n, back.higher_is_better) == (score.n, score.higher_is_better)
    assert run.imported_from is not None
    assert run.imported_from.startswith("Every Eval Ever by Us, x.json (SHA-256 ")


def test_a_records_standard_error_becomes_an_interval(tmp_path: Path) -> None:
    results = [
        {
            "evaluation_name": "exam",
            "metric_config": {"lower_is_better": True},
            "score_details": {"score": 0.5, "uncertainty": {"standard_error": {"value": 0.1}}},
        }
    ]
    score = read_every_eval_ever(
        record(tmp_path / "x.json", evaluation_results=results)
    ).run.scores[0]
    assert (score.low, score.high) == (
        pytest.approx(0.304, abs=1e-3),
        pytest.approx(0.696, abs=1e-3),
    )
    assert not score.higher_is_better


def result(score: float, uncertainty: Any = None, **config: Any) -> dict[str, Any]:
    return {
        "evaluation_name": "exam",
        "metric_config": {"metric_name": "accuracy", "min_score": 0, "max_score": 1, **config},
        "score_details": {"score": score, "uncertainty": uncertainty or {}},
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (result(85.0), "outside the metric's own scale, 0 to 1 (got 85.0)"),
        (result(0.5, lower_is_better="false"), "lower_is_better is neither true nor false"),
        (
            result(0.5, {"confidence_interval": {"lower": 0.6, "upper": 0.4}}),
            "the interval ends before it begins",
        ),
        (result(0.5, {"standard_error": {"value": -0.1}}), "a standard error is not negative"),
        (
            result(
                0.5,
                {"confidence_interval": {"lower": 0.4, "upper": 0.6, "confidence_level": 950}},
            ),
            "confidence_level lies between 0 and 1",
        ),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(
    tmp_path: Path, content: dict[str, Any], says: str
) -> None:
    file = record(tmp_path / "x.json", evaluation_results=[content])
    with pytest.raises(DataError) as caught:
        read_every_eval_ever(file)
    assert says in str(caught.value)
    assert "evaluation_results.0" in str(caught.value)


def test_a_confidence_in_per_cent_is_one_and_an_interval_beside_its_score_is_none(
    tmp_path: Path,
) -> None:
    whole = {"confidence_interval": {"lower": 0.4, "upper": 0.6, "confidence_level": 90}}
    beside = {"confidence_interval": {"lower": 0.6, "upper": 0.8}}
    scores = [
        read_every_eval_ever(
            record(tmp_path / f"{i}.json", evaluation_results=[result(0.5, doubt)])
        ).run.scores[0]
        for i, doubt in enumerate((whole, beside))
    ]
    assert (scores[0].low, scores[0].high, scores[0].confidence) == (0.4, 0.6, 0.9)
    assert (scores[1].low, scores[1].high) == (None, None)
    assert scores[1].note == "the record's interval, 0.6 to 0.8, does not hold its score: left out"


def test_a_standard_error_of_zero_is_no_certainty(tmp_path: Path) -> None:
    # leaderboard_math's algebra_hard as published: 14 of 307 right, standard error 0.0
    # (EleutherAI/lm-evaluation-harness #3966); Wilson's interval by statsmodels 0.14.
    doubt = {"standard_error": {"value": 0.0}}
    known = result(14 / 307, {**doubt, "num_samples": 307})
    unknown = {**result(14 / 307, doubt), "evaluation_name": "other"}
    run = read_every_eval_ever(record(tmp_path / "x.json", evaluation_results=[known, unknown])).run
    assert (run.scores[0].low, run.scores[0].high) == (
        pytest.approx(0.027356, abs=1e-6),
        pytest.approx(0.075080, abs=1e-6),
    )
    assert (run.scores[1].low, run.scores[1].high) == (None, None)
    assert run.scores[1].note == "no interval: the record's standard error is 0"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "holds no JSON object"),
        ('{"evaluation_id": "x", "model_info": {"name": "y"}}', "no evaluation_results"),
        (
            '{"evaluation_id": "x", "model_info": {"a": 1}, "evaluation_results": [{}]}',
            "evaluation_results.0: has no evaluation_name",
        ),
        (
            '{"evaluation_id": "x", "model_info": {"a": 1}, "evaluation_results": '
            '[{"evaluation_name": "t", "score_details": {"score": NaN}}]}',
            "evaluation_results.0: has no finite score",
        ),
    ],
)
def test_what_is_no_record_is_one_line(steelyard: Steelyard, content: str, says: str) -> None:
    Path("x.json").write_text(content)
    done = steelyard("import", "every-eval-ever", "x.json")
    assert done.code == 2
    assert says in done.err
    assert len(done.err.splitlines()) == 1


def emissions(path: Path, *rows: dict[str, Any]) -> Path:
    """A file as codecarbon itself writes it."""
    from codecarbon.output_methods.emissions_data import EmissionsData

    names = list(EmissionsData.__dataclass_fields__)
    plain: dict[str, Any] = dict.fromkeys(names, "")
    plain |= {
        "timestamp": "2026-05-01T10:00:00", "project_name": "tuning", "run_id": "abcd1234",
        "duration": 3600.0, "emissions": 0.0056, "cpu_energy": 0.06, "gpu_energy": 0.0,
        "ram_energy": 0.04, "energy_consumed": 0.1, "country_iso_code": "FRA", "pue": 1.0,
        "codecarbon_version": "3.3.2", "cpu_model": "Xeon", "cpu_count": 2,
    }  # fmt: skip
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows([{**plain, **row} for row in rows or ({},)])
    return path


def test_emissions_are_energy_in_our_units_and_estimated(tmp_path: Path) -> None:
    run = read_codecarbon(emissions(tmp_path / "emissions.csv")).run
    (energy,) = run.energy
    assert (energy.energy_kwh, energy.seconds, energy.phase) == (0.1, 3600.0, "train")
    assert energy.co2e_g == pytest.approx(5.6)
    assert energy.grade == "estimated"
    assert energy.intensity is not None
    assert energy.intensity.g_per_kwh == pytest.approx(56.0)
    assert {c.name: c.energy_kwh for c in energy.components} == {"cpu": 0.06, "ram": 0.04}
    assert run.imported_from is not None
    assert run.imported_from.startswith("codecarbon 3.3.2, emissions.csv (SHA-256 ")


def test_no_country_is_no_grams(tmp_path: Path) -> None:
    file = emissions(tmp_path / "emissions.csv", {"country_iso_code": "", "emissions": 0.0475})
    (energy,) = read_codecarbon(file).run.energy
    assert (energy.co2e_g, energy.intensity) == (None, None)
    assert energy.energy_kwh == 0.1


def test_of_a_tracker_that_wrote_twice_the_last_line_is_the_total(tmp_path: Path) -> None:
    file = emissions(tmp_path / "e.csv", {"energy_consumed": 0.02}, {"energy_consumed": 0.1})
    assert read_codecarbon(file).run.energy[0].energy_kwh == 0.1


def test_two_trackers_in_one_file_must_be_told_apart(steelyard: Steelyard) -> None:
    emissions(Path("e.csv"), {}, {"run_id": "ffff", "project_name": "other"})
    done = steelyard("import", "codecarbon", "e.csv")
    assert done.code == 2
    assert "name one with --run-id or --project: abcd1234 (tuning), ffff (other)" in done.err
    assert steelyard("import", "codecarbon", "e.csv", "--project", "other").code == 0


def test_a_run_gets_the_energy_and_keeps_its_rows(steelyard: Steelyard) -> None:
    Path("x.csv").write_text("id,acc\n" + "".join(f"{i},1\n" for i in range(30)))
    emissions(Path("e.csv"))
    steelyard("import", "items", "x.csv", "--name", "new")
    before = open_store(Path(".steelyard")).get("imported/new")
    done = steelyard("import", "codecarbon", "e.csv", "--run", "imported/new")
    assert done.code == 0, done.err
    store = open_store(Path(".steelyard"))
    after = store.get("imported/new")
    assert after.id != before.id
    assert [e.energy_kwh for e in after.energy] == [0.1]
    assert len(store.rows(after.id)[0].sample_ids) == 30
    assert store.get(before.id).energy == ()
    again = steelyard("import", "codecarbon", "e.csv", "--run", "imported/new")
    assert again.code == 2
    assert "has energy of its train phase already" in again.err


def test_energy_alone_stands_on_the_leaderboard(steelyard: Steelyard) -> None:
    emissions(Path("e.csv"))
    Path("x.csv").write_text("id,acc\n" + "".join(f"{i},1\n" for i in range(30)))
    steelyard("import", "items", "x.csv", "--name", "new")
    steelyard("import", "codecarbon", "e.csv")
    assert steelyard("leaderboard", "-o", "site").code == 0
    page = Path("site/index.html").read_text()
    assert "codecarbon 3.3.2, e.csv" in page


@pytest.mark.parametrize("verb", ["lm-eval", "items", "pairs", "every-eval-ever", "codecarbon"])
def test_each_import_has_a_help_page_with_an_example(steelyard: Steelyard, verb: str) -> None:
    done = steelyard("import", verb, "--help")
    assert done.code == 0
    assert f"steelyard import {verb}" in " ".join(done.out.split())
    missing = steelyard("import", verb, "nowhere.csv")
    assert missing.code == 2
    assert len(missing.err.splitlines()) == 1
