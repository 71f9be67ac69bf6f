"""Other tools read what is exported; what they wrote is imported with its own numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steelyard.harness.imports.lm_eval import read_lm_eval
from steelyard.reports.document import Table
from steelyard.reports.exports.every_eval_ever import every_eval_ever
from steelyard.reports.exports.model_card import model_card
from steelyard.reports.site.leaderboard import build_leaderboard
from tests.reports.fake_runs import NAMES, fake_run
from tests.reports.hostile import CORPUS


@pytest.mark.parametrize("name", NAMES)
def test_an_every_eval_ever_record_validates_against_its_schema(real_data: Path, name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads((real_data / "schemas/every_eval_ever-eval.schema.json").read_text())
    record = json.loads(json.dumps(every_eval_ever(fake_run(name), organization="Us")))
    jsonschema.validate(record, schema)
    assert len(record["evaluation_results"]) == len(fake_run(name).scores)


def test_the_hub_reads_the_model_card_and_its_grams() -> None:
    from huggingface_hub import ModelCard

    run = fake_run("dpo")
    card = ModelCard(model_card(run))
    results = {(r.dataset_name, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert results["microworld_known", "correct"] == 0.86
    assert len(results) == sum(score.primary for score in run.scores)
    train = [e.co2e_g for e in run.energy if e.phase in ("train", "inherited")]
    assert card.data.co2_eq_emissions["emissions"] == pytest.approx(sum(train), rel=1e-12)
    assert card.data.co2_eq_emissions["geographical_location"] == "FRA"


def test_a_card_of_a_model_that_was_not_trained_here_claims_no_grams() -> None:
    from huggingface_hub import ModelCard

    assert "co2_eq_emissions" not in ModelCard(model_card(fake_run("base"))).data.to_dict()


@pytest.mark.parametrize("text", CORPUS[:18])
def test_a_hostile_name_does_not_break_out_of_the_card(text: str) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard(model_card(fake_run("full"), name=text))
    assert card.data.eval_results
    assert "<script" not in card.text and "<img" not in card.text


def pythia(real_data: Path) -> list:
    return [imported.run for imported in read_lm_eval([real_data / "pythia_lmeval"])]


def test_the_pythia_files_make_a_leaderboard_with_their_numbers_and_errors(real_data: Path) -> None:
    runs = pythia(real_data)
    assert len(runs) == 15
    table = next(
        b
        for _, b in build_leaderboard(runs).blocks()
        if isinstance(b, Table) and b.id == "standings"
    )
    columns = {
        column.detail.split(" · ")[0]: index
        for index, column in enumerate(table.columns)
        if column.title == "lambada openai"
    }
    final = {
        row.cells[0].text.removeprefix("imported / ").split("_")[0]: row
        for row in table.rows
        if row.cells[0].text.endswith("step143000")
    }
    accuracy = {size: row.cells[columns["acc"]] for size, row in final.items()}
    # The published values (EleutherAI/pythia, evals/pythia-v1).
    assert {size: round(cell.value, 3) for size, cell in accuracy.items()} == {
        "70m": 0.185, "160m": 0.328, "410m": 0.516,
    }  # fmt: skip
    errors = {size: row.cells[columns["acc stderr"]].value for size, row in final.items()}
    for size, error in errors.items():
        assert 0.004 < error < 0.008
        assert accuracy[size].high - accuracy[size].value == pytest.approx(1.96 * error, rel=1e-3)
    assert all("imported from lm-eval" in row.cells[0].note for row in table.rows)
