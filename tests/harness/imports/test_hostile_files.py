"""Whatever stands in a file of others, an import reads it or says in one line that it cannot."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.harness.errors import DataError, SeveralError, SteelyardError
from steelyard.harness.imports.every_eval_ever import read_every_eval_ever
from steelyard.harness.imports.imported import plain_name, require_name
from steelyard.harness.imports.lm_eval import read_lm_eval
from steelyard.harness.store import open_store
from tests.harness.imports.conftest import Steelyard, copy_of, lines_of, write_lines
from tests.reports.hostile import CORPUS

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
TASK = "exam"
RESULTS = {
    "results": {TASK: {"acc,none": 0.5, "acc_stderr,none": 0.1}},
    "configs": {TASK: {"task": TASK, "metadata": {"version": 1}}},
    "n-samples": {TASK: {"effective": 1}},
}
SAMPLE = {
    "doc_id": 0, "doc": {"q": "?"}, "target": "1", "filter": "none", "metrics": ["acc"], "acc": 1.0,
    "arguments": {"gen_args_0": {"arg_0": "p", "arg_1": "a"}, "gen_args_1": {"arg_0": "p"}},
    "resps": [[["-1", "False"]], [["-2", "False"]]],
    "filtered_resps": [["-1", "False"], ["-2", "False"]],
}  # fmt: skip
RESULT_KEYS = (
    "results", "configs", "n-samples", "versions", "n-shot", "higher_is_better", "group_subtasks",
    "config", "date", "max_length", "task_hashes", "model_name", "lm_eval_version",
    "chat_template_sha", "tokenizer_eos_token", "total_evaluation_time_seconds",
)  # fmt: skip


def read_or_refuse(results: object, sample: object) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        moment = "2026-01-01T00-00-00.1"
        (folder / f"results_{moment}.json").write_text(json.dumps(results))
        (folder / f"samples_{TASK}_{moment}.jsonl").write_text(json.dumps(sample) + "\n")
        try:
            for imported in read_lm_eval([folder]):
                open_store(folder / "store").put(imported.run, imported.rows, imported.samples)
        except SteelyardError as error:
            assert_a_line_each(error)


def assert_a_line_each(error: SteelyardError) -> None:
    errors = error.errors if isinstance(error, SeveralError) else (error,)
    assert len(str(error).splitlines()) == len(errors)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(key=st.sampled_from(RESULT_KEYS), value=JSON, nested=st.booleans())
def test_any_value_in_a_results_file(key: str, value: Any, nested: bool) -> None:
    read_or_refuse({**RESULTS, key: {TASK: value} if nested else value}, SAMPLE)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(key=st.sampled_from([*SAMPLE, "doc_hash", "steelyard_rows", "steelyard_flags"]), value=JSON)
def test_any_value_in_a_sample(key: str, value: Any) -> None:
    read_or_refuse(RESULTS, {**SAMPLE, key: value})


@settings(max_examples=100, deadline=None)
@given(
    key=st.sampled_from(["evaluation_id", "model_info", "source_metadata", "eval_library",
                         "evaluation_timestamp", "retrieved_timestamp", "evaluation_results"]),
    value=JSON,
)  # fmt: skip
def test_any_value_in_an_every_eval_ever_record(key: str, value: Any) -> None:
    result = {"evaluation_name": "x", "metric_config": {}, "score_details": {"score": 1}}
    plain = {"evaluation_id": "e", "model_info": {"id": "m"}, "evaluation_results": [result]}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "record.json"
        file.write_text(json.dumps({**plain, key: value}))
        try:
            read_every_eval_ever(file)
        except SteelyardError as error:
            assert_a_line_each(error)


@given(text=st.text())
def test_any_text_becomes_a_name_that_a_run_may_have(text: str) -> None:
    require_name(plain_name(text), "candidate")


@pytest.mark.parametrize("text", CORPUS[:18])
def test_hostile_answers_and_names_come_through_the_command_harmless(
    lm_eval_output: Path, tmp_path: Path, steelyard: Steelyard, text: str
) -> None:
    folder = copy_of(
        lm_eval_output, tmp_path / "hostile", {"config": {"model_args": {"pretrained": text}}}
    )
    lines = lines_of(folder, "microworld_translate")
    lines[0]["doc"] = {text: text}
    lines[0]["resps"] = [[text]]
    write_lines(folder, "microworld_translate", lines)
    done = steelyard("import", "lm-eval", folder)
    assert done.code == 0, done.err
    shown = done.out + done.err
    assert not [c for c in shown if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]
    assert "\u202e" not in shown


def test_a_link_in_a_folder_of_results_that_leads_out_of_it_is_refused(tmp_path: Path) -> None:
    moment = "2026-01-01T00-00-00.1"
    names = (f"results_{moment}.json", f"samples_{TASK}_{moment}.jsonl")
    whole = tmp_path / "whole"
    whole.mkdir()
    for name, content in zip(names, (RESULTS, SAMPLE), strict=True):
        (whole / name).write_text(json.dumps(content) + "\n")
    for linked in names:
        folder = tmp_path / linked
        folder.mkdir()
        for name in names:
            if name == linked:
                (folder / name).symlink_to(whole / name)
            else:
                (folder / name).write_bytes((whole / name).read_bytes())
        with pytest.raises(DataError, match=f"{linked}: is a link that leads out of the folder"):
            list(read_lm_eval([folder]))


def test_a_folder_of_results_may_be_a_link_and_the_hubs_cache_links_within_itself(
    tmp_path: Path,
) -> None:
    moment = "2026-01-01T00-00-00.1"
    cached = tmp_path / "datasets--org--results"
    blobs, snapshot = cached / "blobs", cached / "snapshots" / "0123"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for name, content in (
        (f"results_{moment}.json", RESULTS),
        (f"samples_{TASK}_{moment}.jsonl", SAMPLE),
    ):
        (blobs / name).write_text(json.dumps(content) + "\n")
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    (tmp_path / "mine").symlink_to(snapshot)
    for folder in (snapshot, tmp_path / "mine"):
        (imported,) = read_lm_eval([folder])
        assert [score.value for score in imported.run.scores if score.metric == "acc"] == [0.5]
