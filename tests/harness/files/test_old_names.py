"""Everything of the project's old name that people have on disk is still read."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from steelyard.harness.errors import ConfigError
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.files import old_names
from steelyard.harness.scoring.journal import Journal
from steelyard.harness.suites.metadata import task_metadata
from steelyard.harness.suites.task_files import task_summary
from steelyard.reports.site.writing import File, write_site


def task_with(metadata: dict[str, object]) -> SimpleNamespace:
    return SimpleNamespace(config=SimpleNamespace(metadata=metadata))


def test_a_tasks_metadata_are_read_under_the_old_key_and_the_new_key_wins(tmp_path: Path) -> None:
    assert task_metadata(task_with({"assay": {"family": "safety"}}), "t").family == "safety"
    both = {"assay": {"family": "safety"}, "steelyard": {"family": "quality"}}
    assert task_metadata(task_with(both), "t").family == "quality"
    with pytest.raises(ConfigError, match=r"metadata\.assay\.famly"):
        task_metadata(task_with({"assay": {"famly": "safety"}}), "t")
    file = tmp_path / "t.yaml"
    file.write_text("task: t\noutput_type: generate_until\nmetadata: {assay: {family: safety}}\n")
    assert task_summary(file)["family"] == "safety"


def test_the_old_backend_in_an_experiment_file_is_ours(tmp_path: Path) -> None:
    content = {"name": "x", "base": "microworld", "suite": "microworld", "backend": "assay"}
    assert load_experiment(content).settings.backend == "steelyard"
    assert old_names.backend("lm-eval:vllm") == "lm-eval:vllm"
    assert old_names.backend("lm-eval:assay") == "lm-eval:steelyard"


def test_keys_of_an_exported_line_are_read_by_their_present_names() -> None:
    line = {"assay_rows": ["bleu"], "assay_flags": {"bleu": "tied"}, "bleu": [1], "assay": 1}
    assert old_names.with_present_names(line) == {
        "steelyard_rows": ["bleu"],
        "steelyard_flags": {"bleu": "tied"},
        "bleu": [1],
        "assay": 1,
    }


def test_a_journal_of_before_is_read_and_carried_on(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, "d" * 64) as journal:
        journal.append("key", ["asked"], [[-1.5, True]])
    content = path.read_bytes()
    new, old = old_names.JOURNAL_MAGIC, old_names.OLD_JOURNAL_MAGIC
    path.write_bytes(old + content.removeprefix(new))
    with Journal(path, "d" * 64) as journal:
        assert journal.is_old and journal.pack("key") == [[-1.5, True]]
        journal.append("more", ["asked"], ["text"])
    with Journal(path, "d" * 64) as journal:
        assert journal.pack("more") == ["text"]
    assert path.read_bytes().startswith(old)


def test_a_site_of_before_is_brought_up_to_date_in_place(tmp_path: Path) -> None:
    write_site(tmp_path, {"a.html": File("1", lambda: "a"), "b.html": File("1", lambda: "b")})
    (tmp_path / "steelyard-site.json").rename(tmp_path / "assay-site.json")
    done = write_site(tmp_path, {"a.html": File("1", lambda: "a")})
    assert (done.unchanged, done.removed) == (["a.html"], ["b.html"])
    assert not (tmp_path / "assay-site.json").exists()
    assert json.loads((tmp_path / "steelyard-site.json").read_text())["files"].keys() == {"a.html"}
