"""Every plugin, built in or from another package, can be listed and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steelyard.harness.cli.verbs import listing, show
from steelyard.harness.plugins.names import plugin_names
from tests.guide_package import PLUGINS


def printed(app: object, *words: str) -> object:
    result = CliRunner().invoke(app, [*words, "--format", "json"])  # type: ignore[arg-type]
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("group", PLUGINS)
def test_a_group_is_listed_with_what_each_plugin_does(group: str) -> None:
    rows = printed(listing.app, group)
    assert isinstance(rows, list)
    assert [row[group.removesuffix("s")] for row in rows] == plugin_names(group)
    assert PLUGINS[group] in plugin_names(group)
    assert all(row["does"] for row in rows)


@pytest.mark.parametrize("group", PLUGINS)
def test_each_is_shown_with_what_it_is(group: str) -> None:
    for name in (PLUGINS[group], plugin_names(group)[0]):
        fields = printed(show.app, name)
        assert isinstance(fields, dict)
        assert fields[group.removesuffix("s")] == name
        assert fields["does"]


def test_one_that_does_not_load_is_listed_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "broken_metrics-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-metrics\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[steelyard.metrics]\nbroken = gone_away:Broken\n")
    monkeypatch.syspath_prepend(tmp_path)
    rows = printed(listing.app, "metrics")
    assert isinstance(rows, list)
    (row,) = [row for row in rows if row["metric"] == "broken"]
    assert "of the package broken-metrics cannot be loaded: ModuleNotFoundError" in row["does"]
    assert {tuple(row) for row in rows} == {("metric", "kind", "better", "does")}
