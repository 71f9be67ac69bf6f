"""The five plugins of docs/plugins.md, installed as a package of their own, make one run."""

from __future__ import annotations

import json
import subprocess
import sys
from os import environ
from pathlib import Path

import pytest

from tests import guide_package

EXPERIMENT = """\
name: guide
base: microworld
candidates:
  small: {trainer: shrink, factor: 0.9}
suite: {tasks: [mine], include: [tasks]}
energy: {meter: constant, country: FRA}
report: [json, outline]
"""
TASK = """\
task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/mine.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0, steelyard: {also: [length_ratio]}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return guide_package.install(tmp_path_factory.mktemp("guide"))


def steelyard(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = f"{site}:{guide_package.ROOT}:{environ.get('PYTHONPATH', '')}"
    return subprocess.run(
        [sys.executable, "-m", "steelyard", *words],
        cwd=folder,
        env={**environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_a_distribution_with_an_entry_point_for_each_plugin(site: Path) -> None:
    (points,) = site.glob("my_plugins-0.1.dist-info/entry_points.txt")
    for group, name in guide_package.PLUGINS.items():
        assert f"[steelyard.{group}]\n{name} = my_plugins.{name}:" in points.read_text()
    for file in (site / "my_plugins").glob("*.py"):
        assert len(file.read_text().splitlines()) < 40


@pytest.mark.slow  # tests/contracts holds each of the five to its protocol
def test_one_run_trains_measures_executes_and_reports_with_them(site: Path, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mine.yaml").write_text(TASK.replace("FOLDER", str(tmp_path)))
    lines = [{"question": f"Who lives in house {n}?", "answer": "nobody at all"} for n in range(4)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    done = steelyard(site, tmp_path, "run", "experiment.yaml", "--executor", "budget")
    assert done.returncode == 0, done.stderr
    outline = (tmp_path / ".steelyard" / "reports" / "guide" / "report.outline.txt").read_text()
    assert outline.splitlines()[0] == "guide"
    assert "- " in outline
    shown = steelyard(site, tmp_path, "show", "guide/small", "--format", "json")
    run = json.loads(shown.stdout)
    (ratio,) = [score for score in run["scores"] if score["metric"] == "length_ratio"]
    assert ratio["n"] == 4
    assert 0 <= ratio["value"] <= 8 / 3
    assert {energy["meter"] for energy in run["energy"]} == {"constant"}
