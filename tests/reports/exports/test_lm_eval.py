"""What we export as lm-eval's files is read by lm-eval's own functions, and by us as it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from steelyard.harness.compare import Scored
from steelyard.harness.imports import Imported
from steelyard.harness.imports.lm_eval import read_lm_eval
from steelyard.reports.exports.lm_eval import lm_eval_files
from tests.harness.imports.conftest import Steelyard
from tests.harness.scored_runs import rows, sample, zero_one
from tests.harness.scored_runs import scored as scored_of


def written(scored: Scored, folder: Path) -> list[Path]:
    paths = []
    for name, text in lm_eval_files(scored):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        paths.append(path)
    return paths


def back(scored: Scored, folder: Path) -> Imported:
    written(scored, folder)
    (imported,) = read_lm_eval([folder])
    return imported


def test_lm_eval_finds_the_files_their_tasks_and_their_date(scored: Scored, tmp_path: Path) -> None:
    from lm_eval.utils import (
        get_file_datetime,
        get_file_task_name,
        get_latest_filename,
        get_results_filenames,
        get_sample_results_filenames,
    )

    names = [str(path) for path in written(scored, tmp_path)]
    (results,) = get_results_filenames(names)
    samples = get_sample_results_filenames(names)
    assert get_latest_filename([results]) == results
    assert {get_file_task_name(Path(name).name) for name in samples} == set(scored.tasks)
    dates = {get_file_datetime(Path(name).name) for name in samples}
    assert dates == {Path(results).name.removeprefix("results_").removesuffix(".json")}


def test_lm_eval_prints_its_table_from_our_results(scored: Scored, tmp_path: Path) -> None:
    from lm_eval.utils import make_table

    content = json.loads(written(scored, tmp_path)[-1].read_text())
    table = make_table(content)
    score = scored.run.score("microworld_choice", "acc")
    assert score is not None
    line = next(line for line in table.splitlines() if line.startswith("|microworld_choice"))
    assert f"{score.value:.4f}" in line
    error = content["results"]["microworld_choice"]["acc_stderr,none"]
    assert f"{error:.4f}" in line


def test_results_and_samples_have_the_keys_that_lm_evals_schema_asks_for(
    scored: Scored, lm_eval_output: Path, tmp_path: Path
) -> None:
    # Types are not asked: lm-eval's own files ("N/A", nested metadata) do not hold theirs.
    from lm_eval.result_schema import EvalResults, SampleResult
    from pydantic import TypeAdapter, ValidationError

    def missing(file: Path) -> set[str]:
        try:
            TypeAdapter(EvalResults).validate_python(json.loads(file.read_text()))
        except ValidationError as error:
            return {str(e["loc"][0]) for e in error.errors() if e["type"] == "missing"}
        return set()

    *samples, results = written(scored, tmp_path)
    assert missing(results) <= missing(next(lm_eval_output.glob("results_*.json")))
    keys = set(SampleResult.__annotations__)
    for path in samples:
        for line in path.read_text().splitlines():
            assert keys <= set(json.loads(line))


def test_the_datasets_library_loads_the_samples_as_lm_eval_means_them(
    scored: Scored, tmp_path: Path
) -> None:
    from datasets import load_dataset

    choice = next(p for p in written(scored, tmp_path) if "samples_microworld_choice" in p.name)
    loaded = load_dataset(
        "json", data_files=str(choice), split="train", cache_dir=str(tmp_path / "cache")
    )
    held = scored.rows["microworld_choice", "acc"]
    assert loaded["acc"][:] == held.values[:, 0].tolist()


def test_hashes_are_made_as_lm_eval_makes_them(
    scored: Scored, lm_eval_output: Path, tmp_path: Path
) -> None:
    theirs = next(lm_eval_output.glob("samples_microworld_translate_*.jsonl"))
    ours = next(p for p in written(scored, tmp_path) if "translate" in p.name)
    for one, other in zip(*(p.read_text().splitlines() for p in (theirs, ours)), strict=True):
        assert json.loads(one)["prompt_hash"] == json.loads(other)["prompt_hash"]


def test_a_round_trip_gives_every_number_again(scored: Scored, tmp_path: Path) -> None:
    again = back(scored, tmp_path)
    for score in scored.run.scores:
        found = again.run.score(score.task, score.metric)
        assert found is not None
        for field in ("value", "low", "high", "n", "unscored", "kind", "family", "primary"):
            assert getattr(found, field) == getattr(score, field), (score.metric, field)
        assert found.higher_is_better == score.higher_is_better
    rows_again = {(r.task, r.metric): r for r in again.rows}
    assert set(rows_again) == set(scored.rows)
    for key, held in scored.rows.items():
        assert np.array_equal(rows_again[key].values, held.values)
        assert rows_again[key].clusters == held.clusters


def test_prompts_answers_and_slices_come_back_too(scored: Scored, tmp_path: Path) -> None:
    again = back(scored, tmp_path)
    texts = sorted((s.task, s.prompt, s.target, s.responses) for s in again.samples)
    assert texts == sorted(
        (s.task, s.prompt, s.target, s.responses) for s in (scored.samples or {}).values()
    )
    assert {tuple(s.slices) for s in again.samples if "choice" in s.task} == {
        ("domain", "relation")
    }


def test_unscored_samples_and_their_flags_come_back(tmp_path: Path) -> None:
    values = zero_one(40, 0.5)
    kept = np.ones(40, dtype=bool)
    kept[:3] = False
    held = rows("exam", "acc", values, scored=kept, flags=["tied"] * 3 + [""] * 37)
    samples = [sample("exam", id, document={"q": id}) for id in held.sample_ids]
    again = back(scored_of("base", [held], samples=samples), tmp_path)
    assert again.rows[0].scored.tolist() == kept.tolist()
    assert again.rows[0].flags == held.flags
    assert again.run.scores[0].unscored == 3


@pytest.mark.parametrize("old", [False, True])
def test_what_a_divergence_was_measured_from_comes_back(tmp_path: Path, old: bool) -> None:
    held = rows("fidelity", "kl_per_token", np.column_stack([np.ones(40), np.full(40, 9.0)]))
    fields = {("fidelity", "kl_per_token"): {"kind": "corpus", "value": 1 / 9}}
    run = scored_of("x", [held], scores=fields, signatures={"fidelity": {"reference": "abc"}})
    paths = written(run, tmp_path)
    if old:  # as version 1 wrote it
        content = json.loads(paths[-1].read_text())
        config = content["configs"]["fidelity"]
        del config["steelyard_reference"]
        config["generation_kwargs"] = "divergence from abc"
        paths[-1].write_text(json.dumps(content))
    (imported,) = read_lm_eval([tmp_path])
    signature = imported.run.signature("fidelity")
    assert signature is not None and (signature.reference, signature.decoding) == ("abc", None)


@pytest.mark.parametrize("rule", ["steelyard", "lm-eval", None])
def test_whose_rule_put_special_tokens_in_comes_back(tmp_path: Path, rule: str | None) -> None:
    held = rows("exam", "acc", zero_one(40, 0.5))
    run = scored_of("x", [held], signatures={"exam": {"parity": rule}})
    written(run, tmp_path)
    (imported,) = read_lm_eval([tmp_path])
    signature = imported.run.signature("exam")
    assert signature is not None and signature.parity == rule


def test_rows_without_texts_are_exported_by_their_ids(tmp_path: Path) -> None:
    held = rows("exam", "acc", zero_one(40, 0.5))
    again = back(scored_of("base", [held]), tmp_path)
    assert again.rows[0].values.tolist() == held.values.tolist()


def test_a_task_whose_name_is_a_path_stays_in_its_folder(tmp_path: Path) -> None:
    held = rows("../../exam", "acc", zero_one(20, 0.5))
    paths = written(scored_of("base", [held]), tmp_path / "out")
    assert {path.parent.name for path in paths} == {"test__base"}
    (imported,) = read_lm_eval([tmp_path / "out"])
    assert imported.rows[0].task == "../../exam"


def test_the_command_writes_what_the_gate_accepts_as_a_baseline(
    lm_eval_output: Path, steelyard: Steelyard
) -> None:
    Path("policy.yaml").write_text("rules:\n  - {task: microworld_choice, margin: 0.1}\n")
    steelyard("import", "lm-eval", lm_eval_output, "--name", "base")
    for name in ("one", "two"):
        done = steelyard("export", "imported/base", "--to", "lm-eval", "-o", name)
        assert done.code == 0
        assert done.out.splitlines()[-1].startswith(f"{name}/imported__base/results_")
        assert steelyard("import", "lm-eval", name, "--name", name, "-e", name).code == 0
    done = steelyard("gate", "two/two", "-p", "policy.yaml", "-b", "one/one")
    assert done.code == 0, done.out


@pytest.mark.parametrize("target", ["lm-eval", "csv", "parquet", "every-eval", "model-card"])
def test_a_run_that_is_not_there_is_one_line_and_writes_nothing(
    steelyard: Steelyard, target: str
) -> None:
    done = steelyard("export", "imported/nobody", "--to", target, "-o", "out")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert not Path("out").exists()


def test_two_checkpoints_trained_on_other_samples_are_still_asked_the_same(tmp_path: Path) -> None:
    held = rows("known", "acc", zero_one(20, 0.7))

    def checkpoint(name: str, marks: list[str | None]) -> Scored:
        texts = [
            sample(
                "known",
                id,
                document={"question": id},
                slices={} if mark is None else {"in_training_data": mark},
            )
            for id, mark in zip(held.sample_ids, marks, strict=True)
        ]
        return scored_of(name, [held], samples=texts)

    base = back(checkpoint("base", [None] * 20), tmp_path / "base")
    tuned = back(checkpoint("tuned", ["yes"] * 5 + ["no"] * 15), tmp_path / "tuned")
    assert base.run.signatures[0] == tuned.run.signatures[0]
    assert {s.sample_id for s in base.samples} == {s.sample_id for s in tuned.samples}
    marks = [s.slices.get("in_training_data") for s in tuned.samples]
    assert sorted(str(mark) for mark in marks) == ["no"] * 15 + ["yes"] * 5
