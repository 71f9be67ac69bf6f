"""A number on the page is the number in the JSON is the number in the record, cell by cell."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from lxml import html

from steelyard.reports import words
from steelyard.reports.document import Change, Document, Flips, HeatMap, Number, Rules, Table
from steelyard.reports.renderers.csv_document import Csv
from steelyard.reports.renderers.html import Html
from steelyard.reports.renderers.json_document import Json
from tests.reports.fake_runs import FakeExperiment, fake_document, fake_experiment


@pytest.fixture(scope="module")
def fake() -> FakeExperiment:
    return fake_experiment()


@pytest.fixture(scope="module")
def document() -> Document:
    return fake_document()


@pytest.fixture(scope="module")
def read_back(document: Document) -> Document:
    return Document.model_validate_json(Json().render(document))


@pytest.fixture(scope="module")
def page(document: Document):
    return html.document_fromstring(Html().render(document))


def test_the_json_reads_back_as_the_same_document(document: Document, read_back: Document) -> None:
    assert read_back == document


def numbers(document: Document) -> list[Number]:
    found: list[Number] = []
    for _, block in document.blocks():
        if isinstance(block, Table):
            found += [c for row in block.rows for c in row.cells if isinstance(c, Number)]
        elif isinstance(block, HeatMap):
            found += [c for row in block.cells for c in row]
    return found


def recorded(fake: FakeExperiment, source: str):
    """The record that a source names, and the attribute where it names one."""
    kind, *path = source.split("/")
    if kind == "runs":
        run = next(run for run in fake.runs if run.id == path[0])
        if path[1] == "scores":
            score = run.score(path[2], path[3])
            return getattr(score, path[4]) if path[4:] else score
        if path[1] == "energy":
            energy = run.energy[int(path[2])]
            return (
                energy.components[int(path[4])]
                if path[3] == "components"
                else getattr(energy, path[3])
            )
        return getattr(run.checkpoint, path[2])
    found = next(
        c for c in fake.comparisons if (c.baseline_id, c.candidate_id) == (path[0], path[1])
    )
    if path[2] == "backward_transfer":
        return found.backward_transfer
    wanted = [r for r in getattr(found, path[2]) if (r.task, r.metric) == (path[3], path[4])]
    rest = path[5:]
    if path[2] == "slices":
        wanted = [r for r in wanted if r.slice == rest[0]]
        rest = rest[1:]
    assert len(wanted) == 1, source
    return getattr(wanted[0], rest[0]) if rest else wanted[0]


def test_every_number_is_the_one_in_the_record_it_names(
    fake: FakeExperiment, read_back: Document
) -> None:
    checked = 0
    for number in numbers(read_back):
        if number.source is not None:
            record = recorded(fake, number.source)
            if hasattr(record, "energy_kwh"):
                assert number.value == record.energy_kwh
            elif hasattr(record, "value"):
                assert (number.value, number.low, number.high) == (
                    record.value,
                    record.low,
                    record.high,
                )
            elif hasattr(record, "delta"):
                assert number.value == record.delta
            else:
                assert number.value == record, number.source
            checked += 1
        for change in number.changes:
            delta = recorded(fake, change.source or "")
            assert (change.delta, change.low, change.high) == (delta.delta, delta.low, delta.high)
            assert change.p_value == delta.p_value
            assert change.word == words.DELTA_WORDS[delta.verdict][0]
            checked += 1
    assert checked > 300


def test_a_number_without_a_source_is_a_sum_of_energy_or_time(read_back: Document) -> None:
    for number in numbers(read_back):
        if number.source is None and number.value is not None:
            assert number.unit in ("kWh", "g", "seconds"), number


def test_the_sum_of_the_experiment_counts_each_phase_once(
    fake: FakeExperiment, read_back: Document
) -> None:
    table = next(
        b for _, b in read_back.blocks() if isinstance(b, Table) and b.id == "energy-table"
    )
    together = table.rows[-1].cells[4]
    spent = [e.energy_kwh for run in fake.runs for e in run.energy if e.phase in ("train", "score")]
    assert math.isclose(together.value, math.fsum(spent), rel_tol=1e-12)


def squeezed(element) -> str:
    return " ".join(element.text_content().split())


def check_change(element, change: Change) -> None:
    assert float(element.get("data-delta")) == change.delta
    text = squeezed(element)
    for part in (change.word, words.change_value(change), words.change_interval(change)):
        assert part in text


def test_every_cell_of_every_table_of_the_page_shows_the_number_of_the_json(
    page, read_back: Document
) -> None:
    tables = [b for _, b in read_back.blocks() if isinstance(b, Table)]
    assert len(tables) >= 10
    for table in tables:
        rows = page.get_element_by_id(table.id).xpath(".//tbody/tr")
        assert len(rows) == len(table.rows)
        for element, row in zip(rows, table.rows, strict=True):
            for cell_element, cell in zip(element.xpath("./th|./td"), row.cells, strict=True):
                if not isinstance(cell, Number):
                    continue
                if cell.value is None:
                    assert cell_element.get("data-value") is None
                    assert squeezed(cell_element.xpath(".//*[@class='value']")[0]) == words.NONE
                    continue
                assert float(cell_element.get("data-value")) == cell.value
                assert squeezed(cell_element.xpath(".//*[@class='value']")[0]) == words.shown(cell)
                if cell.low is not None:
                    assert float(cell_element.get("data-low")) == cell.low
                    assert float(cell_element.get("data-high")) == cell.high
                    assert words.interval(cell) in squeezed(cell_element)
                if cell.grade:
                    assert cell.grade in squeezed(cell_element)
                changes = cell_element.xpath(".//*[@data-against]")
                for one, change in zip(changes, cell.changes, strict=True):
                    check_change(one, change)


def test_every_rule_and_flip_is_on_the_page(page, read_back: Document) -> None:
    for _, block in read_back.blocks():
        if isinstance(block, Rules):
            rows = page.get_element_by_id(block.id).xpath(".//tbody/tr")
            for row, rule in zip(rows, block.items, strict=True):
                assert rule.why in squeezed(row)
                assert float(row.xpath(".//*[@data-value]")[0].get("data-value")) == (
                    rule.numbers.delta
                )
        if isinstance(block, Flips):
            articles = page.get_element_by_id(block.id).xpath(".//article")
            for article, item in zip(articles, block.items, strict=True):
                answers = [dd.text_content() for dd in article.xpath(".//dd")]
                assert answers[2] == "".join(span.text for span in item.before)
                assert answers[3] == "".join(span.text for span in item.after)


def test_every_point_of_every_chart_is_the_number_of_the_json(page, read_back: Document) -> None:
    charts = json.loads(page.get_element_by_id("charts").text)
    for _, block in read_back.blocks():
        if block.type != "chart":
            continue
        factors = {"kWh": 1e3, "bytes": 1e-6}
        for axis, spec in (("x", block.x), ("y", block.y)):
            drawn = {trace["name"]: trace[axis] for trace in charts[block.id]["data"]}
            for series in block.series:
                values = [getattr(point, axis) for point in series.points]
                if series.points[0].x is not None:
                    factor = factors.get(spec.unit, 1.0)
                    assert drawn[series.name] == [v * factor for v in values]


def test_the_csv_holds_every_number_at_full_precision(read_back: Document) -> None:
    lines = list(csv.DictReader(io.StringIO(Csv().render(read_back))))
    written = [float(line["value"]) for line in lines if line["value"]]
    tables = [b for _, b in read_back.blocks() if isinstance(b, Table)]
    expected = [
        cell.value
        for table in tables
        for row in table.rows
        for cell in row.cells[1:]
        if isinstance(cell, Number) and cell.value is not None
    ]
    assert written == expected


@pytest.mark.parametrize(
    ("right", "of", "said"),
    [
        (1999, 2000, "0.9995"),
        (99_999, 100_000, "0.99999"),
        (1998, 2000, "0.999"),
        (2000, 2000, "1.000"),
        (1, 2500, "0.0004"),
        (0, 2500, "0"),
    ],
)
def test_rounding_makes_no_score_perfect_and_none_zero(right: int, of: int, said: str) -> None:
    assert words.plain(right / of, beside=(0.0, 0.05 if right < of / 2 else 1.0)) == said


def test_a_processors_rounding_is_still_a_perfect_score_and_a_difference_may_round_to_zero() -> (
    None
):
    assert words.plain(1 - 1e-13) == "1.000"
    assert words.plain(4e-4, signed=True, beside=(-0.02, 0.02)) == "+0.000"


def test_a_time_without_a_zone_is_not_called_utc() -> None:
    assert words.moment("2026-11-21T10:00:00+02:00") == "2026-11-21 08:00 UTC"
    assert words.moment("2026-11-21T10:00:00") == "2026-11-21 10:00"


@pytest.mark.parametrize(
    ("kwh", "said"),
    [(9.997e-4, "1 Wh"), (0.9996, "1 kWh"), (2.26e-4, "226 mWh"), (1.57e-3, "1.57 Wh")],
)
def test_an_energy_is_rounded_before_its_unit_is_chosen(kwh: float, said: str) -> None:
    assert words.energy(kwh) == said
