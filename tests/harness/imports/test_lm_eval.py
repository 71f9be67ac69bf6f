"""lm-eval's output folders become runs that compare and gate like runs made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.imports import Imported
from steelyard.harness.imports.lm_eval import read_lm_eval, samples_file
from tests.harness.imports.conftest import (
    Steelyard,
    copy_of,
    lines_of,
    results_of,
    with_lost_answers,
    write_lines,
)

POLICY = "rules:\n  - {task: microworld_choice, margin: 0.1}\n"


def read(folder: Path, **options: object) -> Imported:
    (imported,) = read_lm_eval([folder], **options)  # type: ignore[arg-type]
    return imported


@pytest.fixture(scope="module")
def imported(lm_eval_output: Path) -> Imported:
    """lm-eval's folder as it is, read once."""
    return read(lm_eval_output)


def test_the_scores_are_those_that_lm_eval_printed(
    lm_eval_output: Path, imported: Imported
) -> None:
    run, printed = imported.run, results_of(lm_eval_output)["results"]
    compared = 0
    for score in run.scores:
        theirs = printed[score.task][f"{score.metric},none"]
        if score.kind == "calibration":  # ours is debiased, theirs is not
            continue
        assert score.value == pytest.approx(theirs, rel=1e-9), score.metric
        assert score.low is not None
        assert score.high is not None
        assert score.low <= score.value <= score.high
        compared += 1
    assert compared == 8


def test_the_rows_are_lm_evals_samples(lm_eval_output: Path, imported: Imported) -> None:
    rows = {(r.task, r.metric): r for r in imported.rows}
    lines = lines_of(lm_eval_output, "microworld_choice")
    accuracy = rows["microworld_choice", "acc"]
    assert accuracy.values[:, 0].tolist() == [line["acc"] for line in lines]
    assert len(set(accuracy.sample_ids)) == len(lines) == 320
    words = rows["microworld_text", "word_perplexity"]
    theirs = [line["word_perplexity"] for line in lines_of(lm_eval_output, "microworld_text")]
    assert words.values.tolist() == theirs
    assert rows["microworld_translate", "bleu"].values.shape[1] == 10


def test_the_run_says_where_it_came_from_and_claims_no_energy(
    lm_eval_output: Path, imported: Imported
) -> None:
    run = imported.run
    file = next(lm_eval_output.glob("results_*.json"))
    assert run.imported_from is not None
    assert file.name in run.imported_from
    assert run.checkpoint.digest[:12] in run.imported_from
    assert len(run.checkpoint.notes) == 4
    assert all("SHA-256" in note for note in run.checkpoint.notes)
    assert [energy.energy_kwh for energy in run.energy] == [None]
    assert run.energy[0].grade == "unavailable"
    assert run.candidate == "org__base"


def test_the_signature_holds_what_decides_comparability(
    lm_eval_output: Path, imported: Imported, tmp_path: Path
) -> None:
    content = results_of(lm_eval_output)
    signature = imported.run.signature("microworld_choice")
    again = copy_of(
        lm_eval_output,
        tmp_path / "again",
        {"n-shot": {**content["n-shot"], "microworld_choice": 5}, "chat_template_sha": "abc"},
    )
    changed = read(again).run.signature("microworld_choice")
    assert signature is not None
    assert changed is not None
    assert (signature.few_shot, changed.few_shot, changed.few_shot_seed) == (0, 5, 1234)
    assert signature.template is None
    assert changed.template is not None
    assert changed.task_digest == signature.task_digest
    versions = {**content["versions"], "microworld_choice": 2.0}
    newer = read(copy_of(lm_eval_output, tmp_path / "newer", {"versions": versions})).run
    found = newer.signature("microworld_choice")
    assert found is not None
    assert found.task_digest != signature.task_digest


def test_answers_and_their_right_ones_are_kept_as_text(
    lm_eval_output: Path, imported: Imported
) -> None:
    line = lines_of(lm_eval_output, "microworld_choice")[0]
    sample = next(s for s in imported.samples if s.task == "microworld_choice")
    likelihoods = [float(pair[0]) for pair in line["filtered_resps"]]
    assert sample.responses[0] == line["doc"]["choices"][int(np.argmax(likelihoods))]
    assert sample.target == line["doc"]["choices"][line["doc"]["gold"]]
    assert sample.prompt == line["doc"]["prompt"]


@pytest.mark.parametrize(("lost", "code", "word"), [(60, 1, "FAIL"), (0, 0, "PASS")])
def test_the_gate_blocks_a_planted_regression_and_lets_an_equal_model_pass(
    lm_eval_output: Path, tmp_path: Path, steelyard: Steelyard, lost: int, code: int, word: str
) -> None:
    candidate = with_lost_answers(lm_eval_output, tmp_path / "candidate", lost)
    Path("policy.yaml").write_text(POLICY)
    for folder, name in ((lm_eval_output, "base"), (candidate, "new")):
        assert steelyard("import", "lm-eval", folder, "--name", name).code == 0
    gate = ("gate", "imported/new", "--policy", "policy.yaml", "--baseline", "imported/base")
    done = steelyard(*gate, "--format", "json")
    assert done.code == code, done.out + done.err
    assert word in done.out


def test_the_gate_refuses_to_compare_when_a_row_is_missing(
    lm_eval_output: Path, tmp_path: Path, steelyard: Steelyard
) -> None:
    candidate = copy_of(lm_eval_output, tmp_path / "candidate")
    write_lines(candidate, "microworld_choice", lines_of(candidate, "microworld_choice")[:-1])
    Path("policy.yaml").write_text(POLICY)
    steelyard("import", "lm-eval", lm_eval_output, "--name", "base")
    said = steelyard("import", "lm-eval", candidate, "--name", "new")
    assert "lm-eval scored 320 samples" in said.err
    done = steelyard(
        "gate", "imported/new", "--policy", "policy.yaml", "--baseline", "imported/base"
    )
    assert done.code == 3
    assert "1 of 320 baseline samples have no row in the candidate" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"n-shot": {"microworld_choice": 5}}, "the number of few-shot examples changed"),
        ({"chat_template_sha": "abc"}, "the chat template changed"),
        ({"versions": {"microworld_choice": 9}}, "the task's definition changed"),
    ],
)
def test_the_gate_refuses_results_that_were_made_in_another_way(
    lm_eval_output: Path,
    tmp_path: Path,
    steelyard: Steelyard,
    changed: dict[str, object],
    says: str,
) -> None:
    candidate = copy_of(lm_eval_output, tmp_path / "candidate", changed)
    Path("policy.yaml").write_text(POLICY)
    steelyard("import", "lm-eval", lm_eval_output, "--name", "base")
    steelyard("import", "lm-eval", candidate, "--name", "new")
    gate = ("gate", "imported/new", "--policy", "policy.yaml", "--baseline", "imported/base")
    done = steelyard(*gate, "--format", "json")
    assert done.code == 3
    assert says in done.out


def test_one_reworded_prompt_is_a_sample_without_a_partner(
    lm_eval_output: Path, tmp_path: Path, steelyard: Steelyard
) -> None:
    candidate = copy_of(lm_eval_output, tmp_path / "candidate")
    lines = lines_of(candidate, "microworld_choice")
    lines[17]["prompt_hash"] = "0" * 64
    write_lines(candidate, "microworld_choice", lines)
    Path("policy.yaml").write_text(POLICY)
    steelyard("import", "lm-eval", lm_eval_output, "--name", "base")
    steelyard("import", "lm-eval", candidate, "--name", "new")
    gate = ("gate", "imported/new", "--policy", "policy.yaml", "--baseline", "imported/base")
    done = steelyard(*gate, "--format", "json")
    assert done.code == 3
    assert "1 of 320 candidate samples have no row in the baseline" in done.out


def test_an_imported_run_is_a_baseline_file_like_any_other(
    lm_eval_output: Path, tmp_path: Path, steelyard: Steelyard
) -> None:
    candidate = with_lost_answers(lm_eval_output, tmp_path / "candidate", 60)
    Path("policy.yaml").write_text(POLICY)
    steelyard("import", "lm-eval", lm_eval_output, "--name", "base")
    assert steelyard("baseline", "save", "imported/base", "-o", "base.steelyard.json.gz").code == 0
    steelyard("import", "lm-eval", candidate, "--name", "new", "-w", "elsewhere")
    gate = ("gate", "imported/new", "-p", "policy.yaml", "-b", "base.steelyard.json.gz")
    assert steelyard(*gate, "-w", "elsewhere").code == 1


def test_rows_in_another_order_change_nothing(
    lm_eval_output: Path, tmp_path: Path, steelyard: Steelyard
) -> None:
    candidate = copy_of(lm_eval_output, tmp_path / "candidate")
    write_lines(candidate, "microworld_choice", lines_of(candidate, "microworld_choice")[::-1])
    Path("policy.yaml").write_text(POLICY)
    steelyard("import", "lm-eval", lm_eval_output, "--name", "base")
    steelyard("import", "lm-eval", candidate, "--name", "new")
    done = steelyard(
        "gate", "imported/new", "--policy", "policy.yaml", "--baseline", "imported/base"
    )
    assert done.code == 0, done.out


def test_a_gate_on_bare_aggregates_says_that_there_are_no_rows(
    lm_eval_output: Path, tmp_path: Path, steelyard: Steelyard
) -> None:
    for name in ("base", "new"):
        folder = copy_of(lm_eval_output, tmp_path / name, {"date": len(name)})
        for file in folder.glob("samples_*.jsonl"):
            file.unlink()
        assert "cannot test it" in steelyard("import", "lm-eval", folder, "--name", name).err
    Path("policy.yaml").write_text(POLICY)
    done = steelyard(
        "gate", "imported/new", "--policy", "policy.yaml", "--baseline", "imported/base"
    )
    assert done.code == 3
    assert "no rows" in done.out


def test_imported_runs_stand_in_comparison_report_and_leaderboard(
    lm_eval_output: Path, tmp_path: Path, steelyard: Steelyard
) -> None:
    candidate = with_lost_answers(lm_eval_output, tmp_path / "candidate", 60)
    steelyard("import", "lm-eval", lm_eval_output, "--name", "base")
    steelyard("import", "lm-eval", candidate, "--name", "new")
    assert steelyard("compare", "imported/base", "imported/new").code == 0
    assert steelyard("report", "imported", "-o", "page").code == 0
    assert "imported from lm-eval" in Path("page/report.html").read_text()
    assert steelyard("leaderboard", "-o", "site").code == 0
    assert "imported from lm-eval" in Path("site/index.html").read_text()


def test_the_same_files_are_the_same_run(lm_eval_output: Path, steelyard: Steelyard) -> None:
    first = json.loads(steelyard("import", "lm-eval", lm_eval_output, "--format", "json").out)
    again = json.loads(steelyard("import", "lm-eval", lm_eval_output, "--format", "json").out)
    assert (first[0]["new"], again[0]["new"]) == (True, False)
    assert first[0]["id"] == again[0]["id"]


def test_equal_log_likelihoods_on_every_choice_are_no_answer(
    lm_eval_output: Path, tmp_path: Path
) -> None:
    candidate = copy_of(lm_eval_output, tmp_path / "tied")
    lines = lines_of(candidate, "microworld_choice")
    for line in lines[:7]:
        line["filtered_resps"] = [["-1.0", "False"]] * 4
    write_lines(candidate, "microworld_choice", lines)
    score = read(candidate).run.score("microworld_choice", "acc")
    assert score is not None
    assert (score.n, score.unscored, score.flags) == (313, 7, {"tied": 7})


@pytest.mark.parametrize("value", [float("nan"), "nan", None, "", float("inf")])
@pytest.mark.parametrize("place", [0, 3])
def test_a_choice_whose_log_likelihood_is_no_number_leaves_its_row_unscored(
    lm_eval_output: Path, tmp_path: Path, value: object, place: int
) -> None:
    # numpy's argmax of NaN is NaN's own place: lm-eval counts the row as right or wrong by it.
    candidate = copy_of(lm_eval_output, tmp_path / "broken")
    lines = lines_of(candidate, "microworld_choice")
    for line in lines[:7]:
        line["filtered_resps"][place][0] = value
        line["acc"] = 1.0
    write_lines(candidate, "microworld_choice", lines)
    score = read(candidate).run.score("microworld_choice", "acc")
    assert score is not None
    assert (score.n, score.unscored) == (313, 7)
    assert score.flags == {"NaN": 7}


def test_a_task_without_a_single_number_is_not_comparable(
    lm_eval_output: Path, tmp_path: Path, steelyard: Steelyard
) -> None:
    candidate = copy_of(lm_eval_output, tmp_path / "empty")
    for task in ("microworld_choice", "microworld_text", "microworld_translate"):
        lines = lines_of(candidate, task)
        for line in lines:
            line.update(dict.fromkeys(line["metrics"], float("nan")))
        write_lines(candidate, task, lines)
    (tmp_path / "policy.yaml").write_text('rules:\n  - {task: "*", margin: 0.001}\n')
    for folder, name in ((lm_eval_output, "base"), (candidate, "new")):
        assert steelyard("import", "lm-eval", folder, "--name", name).code == 0
    done = steelyard("gate", "imported/new", "-b", "imported/base", "-p", "policy.yaml")
    assert done.code == 3, done.err
    assert "60 of 60 samples of the candidate have a log-likelihood" in done.out


def test_two_filters_of_one_task_are_two_metrics(lm_eval_output: Path, tmp_path: Path) -> None:
    folder = copy_of(lm_eval_output, tmp_path / "filters")
    lines = [
        {**line, "filter": name, "exact_match": value, "metrics": ["exact_match"]}
        for name, value in (("strict-match", 0.0), ("flexible-extract", 1.0))
        for line in lines_of(folder, "microworld_choice")
    ]
    write_lines(folder, "microworld_choice", lines)
    content = results_of(folder)
    content["results"]["microworld_choice"] = {
        "exact_match,strict-match": 0.0,
        "exact_match,flexible-extract": 1.0,
    }
    next(folder.glob("results_*.json")).write_text(json.dumps(content))
    scores = {s.metric: s for s in read(folder).run.scores if s.task == "microworld_choice"}
    assert {name: score.value for name, score in scores.items()} == {
        "exact_match,strict-match": 0.0,
        "exact_match,flexible-extract": 1.0,
    }
    assert all(score.kind == "accuracy" for score in scores.values())


def test_a_number_that_the_samples_do_not_give_stands_without_rows(
    lm_eval_output: Path, tmp_path: Path
) -> None:
    content = results_of(lm_eval_output)
    content["results"]["microworld_choice"]["acc,none"] = 0.123
    folder = copy_of(lm_eval_output, tmp_path / "own", {"results": content["results"]})
    imported = read(folder)
    score = imported.run.score("microworld_choice", "acc")
    assert score is not None
    assert (score.value, score.low) == (0.123, None)
    assert ("microworld_choice", "acc") not in {(r.task, r.metric) for r in imported.rows}


def test_a_file_that_a_second_run_was_appended_to_is_refused(
    lm_eval_output: Path, tmp_path: Path, steelyard: Steelyard
) -> None:
    folder = copy_of(lm_eval_output, tmp_path / "twice")
    write_lines(folder, "microworld_choice", lines_of(folder, "microworld_choice") * 2)
    done = steelyard("import", "lm-eval", folder)
    assert done.code == 2
    assert "doc_id 0 stands 2 times" in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path(".steelyard/runs").exists()


def test_samples_without_hashes_pair_by_their_content(lm_eval_output: Path, tmp_path: Path) -> None:
    ids = []
    for name in ("one", "two"):
        folder = copy_of(lm_eval_output, tmp_path / name, {"date": float(len(name))})
        lines = lines_of(folder, "microworld_choice")
        for line in lines:
            for key in ("doc_hash", "prompt_hash", "target_hash"):
                line.pop(key)
        write_lines(folder, "microworld_choice", lines if name == "one" else lines[::-1])
        rows = next(r for r in read(folder).rows if r.metric == "acc")
        ids.append(rows.sample_ids)
    assert ids[0] == ids[1][::-1]
    assert len(set(ids[0])) == 320


def test_cluster_and_slices_are_fields_of_the_documents(lm_eval_output: Path) -> None:
    imported = read(lm_eval_output, cluster="relation", slices=("form",))
    sample = next(s for s in imported.samples if s.task == "microworld_choice")
    assert sample.cluster == sample.document["relation"]
    assert sample.slices["form"] == str(sample.document["form"])


def test_a_field_that_no_document_has_is_one_line(
    lm_eval_output: Path, steelyard: Steelyard
) -> None:
    done = steelyard("import", "lm-eval", lm_eval_output, "--cluster", "relatoin")
    assert done.code == 2
    assert "did you mean 'relation'" in done.err


def test_a_task_whose_name_begins_anothers_has_samples_of_its_own(tmp_path: Path) -> None:
    results = tmp_path / "results_2026-01-01T00-00-00.1.json"
    for task in ("arc", "arc_easy"):
        (tmp_path / f"samples_{task}_2026-01-01T00-00-00.1.jsonl").touch()
    found = samples_file(results, "arc")
    assert found is not None
    assert found.name == "samples_arc_2026-01-01T00-00-00.1.jsonl"


def test_todays_results_file_is_read_with_its_filters_and_directions(tmp_path: Path) -> None:
    file = tmp_path / "results_2026.json"
    content = {
        "results": {
            "arc": {"alias": "arc", "acc,none": 0.5, "acc_stderr,none": 0.1},
            "wiki": {"word_perplexity,none": 20.0, "word_perplexity_stderr,none": "N/A"},
            "broken": {"acc,none": float("nan"), "acc_stderr,none": float("nan")},
        },
        "higher_is_better": {"arc": {"acc": True}, "wiki": {"word_perplexity": False}},
        "n-samples": {"arc": {"original": 100, "effective": 25}},
        "n-shot": {"arc": 5},
        "config": {"model_args": {"pretrained": "org/model"}, "limit": 0.25},
        "task_hashes": {"arc": "abc"},
        "date": 1780000000.0,
    }
    file.write_text(json.dumps(content))
    run = read(file).run
    accuracy = run.score("arc", "acc")
    assert accuracy is not None
    assert (accuracy.value, accuracy.n, accuracy.primary) == (0.5, 25, True)
    assert accuracy.low == pytest.approx(0.304, abs=1e-3)
    error = run.score("arc", "acc_stderr")
    assert error is not None
    assert error.value == 0.1
    perplexity = run.score("wiki", "word_perplexity")
    assert perplexity is not None
    assert (perplexity.higher_is_better, perplexity.low) == (False, None)
    broken = run.score("broken", "acc")
    assert broken is not None
    assert broken.value is None
    signature = run.signature("arc")
    assert signature is not None
    assert (signature.few_shot, signature.limit, signature.data_digest) == (5, 25, "abc")
    assert run.checkpoint.base == "org/model"


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"results": {}}', "[" * 100_000])
def test_a_file_that_is_no_result_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(content)
    with pytest.raises(DataError, match=r"x\.json") as error:
        read(file)
    assert "\n" not in str(error.value)


def test_the_fifteen_pythia_files_are_imported_with_their_errors(
    real_data: Path, steelyard: Steelyard
) -> None:
    done = steelyard("import", "lm-eval", real_data / "pythia_lmeval", "--format", "json")
    assert done.code == 0
    assert len(json.loads(done.out)) == 15
    assert steelyard("leaderboard", "-o", "site").code == 0
    table = json.loads(Path("site/leaderboard.json").read_text())
    text = json.dumps(table)
    # The published values (EleutherAI/pythia, evals/pythia-v1), final step of 70m, 160m, 410m.
    for value in ("0.185", "0.328", "0.516"):
        assert value in text
    assert "acc stderr" in text
