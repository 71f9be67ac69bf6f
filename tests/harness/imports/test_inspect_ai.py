"""Logs that inspect_ai 0.3.285 wrote (events, messages and usage left out) become runs.

Thirty questions asked twice each: the base misses two of three in one repeat and one in both, the
tuned model most of the first twenty-four.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.harness.errors import DataError, SteelyardError
from steelyard.harness.imports import read_inspect_ai
from tests.harness.imports.conftest import Steelyard

DATA = Path(__file__).parent / "data"
BASE, TUNED = DATA / "inspect_base.json", DATA / "inspect_tuned.json"


def test_the_value_is_what_inspect_ai_printed() -> None:
    for file in (BASE, TUNED):
        (score,) = read_inspect_ai(file).run.scores
        (result,) = json.loads(file.read_text())["results"]["scores"]
        assert score.metric == result["name"] == "match"
        assert score.value == pytest.approx(result["metrics"]["accuracy"]["value"], abs=1e-12)
        assert score.primary


def test_repeats_of_a_sample_are_one_item() -> None:
    imported = read_inspect_ai(BASE)
    (rows,) = imported.rows
    assert len(rows.sample_ids) == 30
    # q1 and q7 are wrong once of twice, q12 both times.
    assert sorted(rows.values[:, 0]) == [0.0, 0.5, 0.5, *[1.0] * 27]
    assert imported.run.scores[0].kind == "bounded"
    assert imported.samples[0].prompt == "Is 0 even?" and imported.samples[0].target == "yes"


def test_two_logs_are_compared_and_gated(steelyard: Steelyard) -> None:
    for name, file in (("base", BASE), ("tuned", TUNED)):
        done = steelyard("import", "inspect", file, "--name", name, "--slice", "subject")
        assert done.code == 0, done.err
        assert "30 samples" in done.out
    Path("policy.yaml").write_text(
        "baseline: imported/base\nrules:\n  - {task: even, margin: 0.1}\n"
        "  - {task: even, slice: 'subject=*', margin: 0.1, tier: report}\n"
    )
    failed = steelyard("gate", "imported/tuned", "--policy", "policy.yaml")
    assert failed.code == 1, failed.out + failed.err
    assert steelyard("compare", "imported/base", "imported/tuned").code == 0


def test_the_zip_of_a_log_is_the_log(tmp_path: Path) -> None:
    log = json.loads(BASE.read_text())
    samples, reductions = log.pop("samples"), log.pop("reductions")
    with zipfile.ZipFile(tmp_path / "base.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_journal/start.json", "{}")
        for s in samples:
            archive.writestr(f"samples/{s['id']}_epoch_{s['epoch']}.json", json.dumps(s))
        archive.writestr("reductions.json", json.dumps(reductions))
        archive.writestr("header.json", json.dumps(log))
    packed, plain = read_inspect_ai(tmp_path / "base.eval"), read_inspect_ai(BASE)
    assert packed.run.scores == plain.run.scores
    assert packed.run.signatures == plain.run.signatures
    assert packed.rows[0].sample_ids == plain.rows[0].sample_ids


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    log = json.loads(BASE.read_text())
    change(log)
    (folder / "log.json").write_text(json.dumps(log))
    return folder / "log.json"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda log: log.update(status="cancelled"), "the run ended as 'cancelled'"),
        (
            lambda log: log.update(status="error", error={"message": "no key"}),
            "ended as 'error': no key",
        ),
        (lambda log: log.pop("samples"), "has no samples"),
        (lambda log: log["eval"].pop("task"), "is no log of inspect_ai"),
        (lambda log: log.pop("reductions"), "asked several times and never reduced"),
        (lambda log: log["samples"][3].update(id="q0"), "two samples are called 'q0'"),
        (
            lambda log: log["results"]["scores"][0]["metrics"]["accuracy"].update(value=0.99),
            "accuracy is 0.99 in its results, and its samples give 0.933333",
        ),
    ],
)
def test_a_log_that_says_nothing_sure_is_refused_in_a_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_inspect_ai(changed(tmp_path, change))
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.json")
    for path, words in ((tmp_path / "log.json", "is a pipe"), (tmp_path, "is a folder")):
        with pytest.raises(DataError, match=words):
            read_inspect_ai(path)
    with pytest.raises(DataError, match="No such file"):
        read_inspect_ai(tmp_path / "none.json")


def test_another_temperature_or_solver_is_not_comparable(tmp_path: Path) -> None:
    plain = read_inspect_ai(BASE).run.signatures[0]
    warm = changed(tmp_path, lambda log: log["eval"]["model_generate_config"].update(temperature=1))
    assert read_inspect_ai(warm).run.signatures[0].decoding != plain.decoding
    other = changed(tmp_path, lambda log: log["plan"]["steps"].append({"solver": "self_critique"}))
    assert read_inspect_ai(other).run.signatures[0].task_digest != plain.task_digest


def test_a_sample_without_a_number_is_unscored(tmp_path: Path) -> None:
    def unscored(log: dict[str, Any]) -> None:
        log["reductions"][0]["samples"][0]["value"] = float("nan")
        log["results"]["scores"][0]["metrics"]["accuracy"]["value"] = 27 / 29

    (score,) = read_inspect_ai(changed(tmp_path, unscored)).run.scores
    assert (score.n, score.unscored) == (29, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2)
    ),
    max_leaves=4,
)
PATHS = [
    ("eval",), ("eval", "packages"), ("eval", "config"), ("eval", "created"), ("eval", "scorers"),
    ("eval", "model_generate_config"), ("results",), ("results", "scores"), ("reductions",),
    ("reductions", 0), ("reductions", 0, "samples"), ("reductions", 0, "samples", 0),
    ("samples",), ("samples", 0), ("samples", 0, "id"), ("samples", 0, "input"), ("plan",),
    ("samples", 0, "metadata"), ("samples", 0, "output"), ("stats",), ("status",), ("error",),
]  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PATHS), value=JSON)
def test_any_value_in_a_log_is_read_or_refused_in_a_line(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[str | int, ...], value: Any
) -> None:
    log = json.loads(BASE.read_text())
    place = log
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file = tmp_path_factory.getbasetemp() / "any_log.json"
    file.write_text(json.dumps(log))
    try:
        read_inspect_ai(file)
    except SteelyardError as error:
        assert "\n" not in str(error)
