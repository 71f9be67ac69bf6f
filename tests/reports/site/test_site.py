"""The leaderboard's site: what is on its pages, what a new run rewrites, what stays untouched."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from lxml import html

from steelyard.harness.errors import NewerVersionError, StoreError
from steelyard.harness.records import Rows, Run, Score
from steelyard.reports.document import Document, Notice, Number, Table
from steelyard.reports.site import head_to_head_page
from steelyard.reports.site.build import write_leaderboard
from steelyard.reports.site.head_to_head import ratings, win_rate
from steelyard.reports.site.head_to_head_page import head_to_head_document
from steelyard.reports.site.items import pair_items
from steelyard.reports.site.names import model_path, slug, task_path
from steelyard.reports.site.ranks import normalised, on_front
from steelyard.reports.site.standings import Standings
from steelyard.reports.site.task_page import task_document
from tests.reports.fake_runs import NAMES, TASKS, fake_run
from tests.reports.hostile import CORPUS


def rows_of(right: dict[str, Sequence[float]], task: str = "microworld_known"):
    """Rows of one accuracy task by candidate, ids and all."""

    def find(id: str) -> list[Rows]:
        name = bytes.fromhex(id.rstrip("0")).decode().rpartition("-")[2]
        values = right.get(name)
        if values is None:
            return []
        n = len(values)
        ids = tuple(f"sample {i}" for i in range(n))
        return [
            Rows(task, "correct", ids, np.array(values, dtype=float)[:, None],
                 np.ones(n, dtype=bool), ("",) * n, (None,) * n)
        ]  # fmt: skip

    return find


NO_ROWS = rows_of({})


def eight() -> list[Run]:
    return [fake_run(name) for name in NAMES]


def build(runs: Sequence[Run], folder: Path):
    return write_leaderboard(runs, folder, NO_ROWS)


def test_the_newest_run_is_the_latest_instant_and_not_the_latest_text() -> None:
    # 00:30 in Shanghai is 16:30 UTC of the day before: half an hour older than 17:00 UTC.
    older = fake_run("full").model_copy(
        update={"id": "a" * 32, "created_at": "2026-08-19T00:30:00+08:00"}
    )
    newer = fake_run("full").model_copy(
        update={"id": "b" * 32, "created_at": "2026-08-18T17:00:00Z"}
    )
    for runs in ([older, newer], [newer, older]):
        (entry,) = Standings(runs).entries
        assert entry.run.id == newer.id


def test_a_time_without_a_zone_is_one_instant_on_every_machine() -> None:
    naive = fake_run("full").model_copy(update={"created_at": "2026-08-18T17:00:00"})
    assert naive.made == 1_787_072_400.0  # 2026-08-18T17:00:00Z, by `date -d ... +%s`


# --- what is rebuilt ---------------------------------------------------------------------------


def test_the_same_runs_give_the_same_bytes_wherever_and_in_whatever_order(tmp_path: Path) -> None:
    first = build(eight(), tmp_path / "a")
    build(eight()[::-1], tmp_path / "b")
    assert len(first.written) == 4 + 10 + 1 + 8  # first page, downloads; tasks; suite; models
    for path in first.written:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    build(eight(), tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.html")}
    again = build(eight(), tmp_path)
    assert (again.written, again.removed, len(again.unchanged)) == ([], [], 23)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.html")} == before


def test_a_new_run_of_one_task_rewrites_only_the_pages_that_speak_of_it(tmp_path: Path) -> None:
    build(eight(), tmp_path)
    new = fake_run("full", "later")
    new = new.model_copy(
        update={"scores": tuple(s for s in new.scores if s.task == "microworld_known")}
    )
    done = build([*eight(), new], tmp_path)
    assert set(done.written) == {
        "index.html",
        "leaderboard.json",
        "leaderboard.csv",
        "leaderboard.parquet",
        model_path(new),
        task_path("microworld_known"),
        f"head-to-head/{slug('core')}.html",
    }
    assert len(done.unchanged) == 23 - 6


def test_a_page_of_a_run_that_is_gone_is_removed_and_a_strange_file_is_not(tmp_path: Path) -> None:
    build(eight(), tmp_path)
    (tmp_path / "models" / "mine.html").write_text("mine")
    done = build(eight()[:7], tmp_path)
    assert done.removed == [model_path(eight()[7])]
    assert (tmp_path / "models" / "mine.html").read_text() == "mine"


def test_a_page_that_was_changed_by_hand_is_written_again(tmp_path: Path) -> None:
    build(eight(), tmp_path)
    (tmp_path / "index.html").write_text("oops")
    assert build(eight(), tmp_path).written == ["index.html"]


@pytest.mark.parametrize("damage", ["{", '{"version": 0}', '{"version": 1, "files": 3}', "[]"])
def test_a_damaged_manifest_costs_time_and_nothing_else(tmp_path: Path, damage: str) -> None:
    build(eight(), tmp_path)
    (tmp_path / "steelyard-site.json").write_text(damage)
    assert build(eight(), tmp_path).written == []
    assert build(eight(), tmp_path).written == []


def test_a_site_of_a_newer_steelyard_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "steelyard-site.json").write_text('{"version": 99, "pages": 3}')
    with pytest.raises(NewerVersionError, match=r"a newer Steelyard's site; upgrade, or choose"):
        build(eight(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["steelyard-site.json"]


def test_only_what_is_recorded_as_current_is_ranked_whatever_its_date(tmp_path: Path) -> None:
    bad = fake_run("full")
    other = b"again-full".hex().ljust(32, "0")
    good = bad.model_copy(update={"id": other, "created_at": "2099-01-01T00:00:00Z"})
    (entry,) = Standings([bad, good], {bad.id}).entries
    assert entry.run.id == bad.id
    write_leaderboard([bad, good], tmp_path, NO_ROWS, current={bad.id})
    page = (tmp_path / model_path(bad)).read_text()
    assert f"Run {bad.id[:12]} of" in page
    assert f"Run {other[:12]} of" not in page
    # Another one is current: the same runs give other pages.
    again = write_leaderboard([bad, good], tmp_path, NO_ROWS, current={good.id}).written
    assert {"index.html", str(model_path(bad))} <= set(again)


def test_a_manifest_cannot_make_us_remove_what_lies_elsewhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("")
    site = tmp_path / "site"
    build(eight(), site)
    manifest = json.loads((site / "steelyard-site.json").read_text())
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    manifest["files"]["../victim"] = {"inputs": "", "content": empty}
    (site / "steelyard-site.json").write_text(json.dumps(manifest))
    build(eight(), site)
    assert victim.exists()


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("")
    with pytest.raises(StoreError) as error:
        build(eight(), tmp_path / "site")
    assert "\n" not in str(error.value)


def test_the_same_run_in_two_workspaces_counts_once() -> None:
    assert len(Standings([*eight(), *eight()]).entries) == 8


# --- standings ---------------------------------------------------------------------------------


def accuracy(value: float, chance: float | None, higher: bool = True) -> Score:
    return Score(
        task="t", metric="m", value=value, low=value - 0.1, high=value + 0.1, n=9,
        kind="accuracy", higher_is_better=higher, chance=chance,
    )  # fmt: skip


def test_normalised_is_nought_at_chance_and_one_when_perfect() -> None:
    # The Open LLM Leaderboard's example: 4 choices, so .25 is 0 and .625 is .5.
    assert normalised(accuracy(0.25, 0.25)).value == 0
    assert normalised(accuracy(1.0, 0.25)).value == 1
    assert normalised(accuracy(0.625, 0.25)).value == pytest.approx(0.5)
    lower = normalised(accuracy(0.1, 0.5, higher=False))
    assert lower.value == pytest.approx(0.8)
    assert lower.low == pytest.approx(0.6)
    assert lower.high == pytest.approx(1.0)
    assert normalised(accuracy(0.5, None)) is None


def test_a_front_leaves_out_only_what_something_cheaper_beats_beyond_the_intervals() -> None:
    scores = [accuracy(v, None) for v in (0.5, 0.9, 0.6, 0.2, 0.9)]
    assert on_front(scores, [1, 2, 3, 0.5, None]) == [True, True, False, True, False]
    assert on_front([accuracy(0.5, None), accuracy(0.9, None)], [1, 1]) == [False, True]


def test_an_adapter_is_as_large_as_itself_and_its_base() -> None:
    base, lora = fake_run("base"), fake_run("lora")
    checkpoint = lora.checkpoint.model_copy(update={"base_digest": base.checkpoint.digest})
    standings = Standings([base, lora.model_copy(update={"checkpoint": checkpoint})])
    sizes = {e.run.candidate: standings.size(e) for e in standings.entries}
    assert sizes == {"base": 8_100_000, "lora": 8_100_000 + 420_000}
    assert Standings([lora]).size(Standings([lora]).entries[0]) is None


def with_settings(run: Run, **values: object) -> Run:
    signatures = tuple(s.model_copy(update=values) for s in run.signatures)
    return run.model_copy(update={"signatures": signatures})


def tables(document: Document) -> list[Table]:
    return [block for _, block in document.blocks() if isinstance(block, Table)]


def test_a_task_page_has_a_table_for_each_group_named_by_what_differs() -> None:
    runs = eight()
    runs[3] = with_settings(runs[3], few_shot=5)
    runs[4] = with_settings(runs[4], few_shot=5, limit=10)
    runs[5] = runs[5].model_copy(update={"imported_from": "lm-eval, a.json"})
    page = task_document(Standings(runs), "microworld_known")
    found = {table.caption: len(table.rows) for table in tables(page)}
    assert found == {
        "5 runs: made here, few-shot 0, no limit": 5,
        "1 run: imported, few-shot 0, no limit": 1,
        "1 run: made here, few-shot 5, limit 10": 1,
        "1 run: made here, few-shot 5, no limit": 1,
    }
    assert tables(page)[0].rows[0].cells[1].value >= tables(page)[0].rows[1].cells[1].value


def test_a_task_page_of_very_many_runs_shows_the_best_and_counts_the_others() -> None:
    tasks = tuple(t for t in TASKS if t.task == "microworld_known")
    runs = [fake_run(NAMES[i % 8], f"experiment {i}", tasks) for i in range(503)]
    runs = [run.model_copy(update={"id": f"{i:032x}"}) for i, run in enumerate(runs)]
    (table,) = tables(task_document(Standings(runs), "microworld_known"))
    assert len(table.rows) == 500
    assert table.caption == "503 runs"
    assert "3 further runs" in table.note
    assert table.rows[0].cells[2].text == "1–126"


def test_an_imported_run_says_so_on_each_of_its_pages(tmp_path: Path) -> None:
    runs = [fake_run("base"), fake_run("full").model_copy(update={"imported_from": "a.json"})]
    build(runs, tmp_path)
    for path in ("index.html", task_path("microworld_known"), model_path(runs[1])):
        assert "imported from a.json" in (tmp_path / path).read_text()


def test_each_suite_has_its_columns_and_its_rows(tmp_path: Path) -> None:
    other = fake_run("base", "else").model_copy(update={"suite": "second"})
    scores = tuple(s for s in other.scores if s.task == "microworld_known")
    build([*eight(), other.model_copy(update={"scores": scores})], tmp_path)
    page = html.parse(str(tmp_path / "index.html"))
    heads = page.xpath("//div[@id='standings']//th[@data-suites]")
    both = [h for h in heads if h.get("data-suites") == "core␟second"]
    assert {h.xpath("./button/text()")[0] for h in both} == {"known"}
    assert page.xpath("//select[@data-name='suite']/@data-first") == ["core"]


# --- numbers and files -------------------------------------------------------------------------


def test_every_score_on_the_first_page_is_the_one_in_the_downloads_and_the_record(
    tmp_path: Path,
) -> None:
    import pyarrow.parquet as pq

    runs = eight()
    build(runs, tmp_path)
    recorded = {
        (run.id, s.task, s.metric): s.value
        for run in runs
        for s in run.scores
        if s.family != "fidelity"
    }
    lines = list(csv.DictReader(io.StringIO((tmp_path / "leaderboard.csv").read_text())))
    assert {(x["run"], x["task"], x["metric"]): float(x["value"]) for x in lines} == recorded
    parquet = pq.read_table(tmp_path / "leaderboard.parquet").to_pylist()
    assert {(x["run"], x["task"], x["metric"]): x["value"] for x in parquet} == recorded
    content = json.loads((tmp_path / "leaderboard.json").read_text())
    assert {
        (run["run"], s["task"], s["metric"]): s["value"]
        for run in content["runs"]
        for s in run["scores"]
    } == recorded
    page = html.parse(str(tmp_path / "index.html"))
    cells = page.xpath("//div[@id='standings']//tbody//td[@data-low]/@data-value")
    assert sorted(map(float, cells)) == sorted(recorded.values())


def test_every_link_leads_to_a_file_of_the_site(tmp_path: Path) -> None:
    build(eight(), tmp_path)
    for path in tmp_path.rglob("*.html"):
        for link in html.parse(str(path)).xpath("//a/@href"):
            target, _, place = link.partition("#")
            assert target == "" or (path.parent / target).is_file(), (path, link)
            if place:
                assert html.parse(str(path)).xpath(f"//*[@id='{place}']")


def test_names_of_files_are_plain_whatever_a_run_is_called(tmp_path: Path) -> None:
    names = [slug(text) for text in CORPUS]
    assert len(set(names)) == len(CORPUS)
    assert all(name.replace("-", "").isalnum() and len(name) < 80 for name in names)
    assert slug("a/b") != slug("a b")


# --- head to head ------------------------------------------------------------------------------

RIGHT = {
    "base": [1, 1, 1, 0, 0, 0, 1, 0],
    "full": [1, 0, 1, 1, 0, 1, 0, 1],
    "lora": [0, 0, 0, 1, 1, 0, 0, 0],
}


def three() -> Standings:
    return Standings([fake_run(name) for name in RIGHT])


def known_pairs(standings: Standings):
    return list(pair_items(standings.entries, [("microworld_known", "correct")], rows_of(RIGHT)))


def test_a_win_rate_counts_wins_losses_and_halves_of_ties() -> None:
    found = {(p.a, p.b): win_rate([p]) for p in known_pairs(three())}
    rate = found[0, 1]  # base against full: 2 wins, 3 losses, 3 ties
    assert (rate.wins, rate.losses, rate.ties, rate.items) == (2, 3, 3, 8)
    assert rate.value == pytest.approx(3.5 / 8)
    # Wilson (1927) of 3.5 in 8 at 95%: .45777 -+ .28328.
    assert (rate.low, rate.high) == pytest.approx((0.17449, 0.74105), abs=1e-5)
    assert rate.turned.value == pytest.approx(4.5 / 8)


def test_two_ratings_are_the_odds_of_their_wins() -> None:
    pytest.importorskip("evalica", reason="the extra `pairs` is not installed")
    pairs = [p for p in known_pairs(three()) if (p.a, p.b) == (0, 1)]
    first, second = ratings(pairs, 2)
    # Bradley & Terry (1952): with two players the odds are wins over losses; 400 log10(3.5/4.5).
    assert first.value - second.value == pytest.approx(400 * np.log10(3.5 / 4.5), abs=1e-3)
    assert first.low < first.value < first.high


def test_runs_under_other_settings_never_meet() -> None:
    runs = [fake_run(name) for name in RIGHT]
    runs[1] = with_settings(runs[1], few_shot=5)
    pairs = known_pairs(Standings(runs))
    assert [(p.a, p.b) for p in pairs] == [(0, 2)]


def test_samples_pair_by_content_and_never_by_place() -> None:
    find = rows_of(RIGHT)

    def turned(id: str) -> list[Rows]:
        rows = find(id)
        if not rows or rows[0].values[:, 0].tolist() != RIGHT["full"]:
            return rows
        one = rows[0]
        return [Rows(one.task, one.metric, one.sample_ids[::-1], one.values[::-1], one.scored,
                     one.flags, one.clusters)]  # fmt: skip

    entries = three().entries
    pairs = list(pair_items(entries, [("microworld_known", "correct")], turned))
    assert win_rate([pairs[0]]).value == pytest.approx(3.5 / 8)


def test_without_evalica_the_page_says_so_and_shows_the_rest(monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "evalica", None)
    page = head_to_head_document(three(), "core", rows_of(RIGHT), limit=9)
    notices = [b.text for _, b in page.blocks() if isinstance(b, Notice)]
    assert any("steelyard[pairs]" in text for text in notices)
    assert {t.id for t in tables(page)} == {"ratings", "matrix", "pairs"}
    assert "Rating" not in [c.title for c in tables(page)[0].columns]


def test_a_suite_without_common_items_says_so(tmp_path: Path) -> None:
    page = head_to_head_document(three(), "core", NO_ROWS, limit=9)
    assert any("No two runs" in b.text for _, b in page.blocks() if isinstance(b, Notice))


def test_only_the_newest_runs_meet_and_the_page_counts_the_others() -> None:
    runs = [
        run.model_copy(update={"created_at": f"2026-11-{10 + i}T00:00:00+00:00"})
        for i, run in enumerate(eight())
    ]
    entries = Standings(runs).entries
    kept = head_to_head_page.contestants(entries, 3)
    assert {entry.run.candidate for entry in kept} == {"orpo", "int8", "nf4"}
    page = head_to_head_document(Standings(runs), "core", NO_ROWS, limit=3)
    assert "5 older runs" in page.headline


def test_the_matrix_and_its_mirror_add_up_to_one() -> None:
    page = head_to_head_document(three(), "core", rows_of(RIGHT), limit=9)
    matrix = next(t for t in tables(page) if t.id == "matrix")
    cells = [[c.value for c in row.cells[1:] if isinstance(c, Number)] for row in matrix.rows]
    for i in range(3):
        assert cells[i][i] is None
        for j in range(i):
            assert cells[i][j] + cells[j][i] == pytest.approx(1)
