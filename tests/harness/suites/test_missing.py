"""A suite on a machine that cannot build all of it: the rest is scored, what is missing told."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import ConfigError, MissingExtraError
from steelyard.harness.evaluation.evaluating import evaluate
from steelyard.harness.plugins.missing import OURS, missing_package
from steelyard.harness.suites import build, load_suite
from tests.harness.toy_suite import Answering, checkpoint, write_suite


@pytest.fixture(autouse=True)
def no_such_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not they are installed where the tests run."""
    for module in ("langdetect", "antlr4"):
        monkeypatch.setitem(sys.modules, module, None)


def broken_task(folder: Path, module: str, function: str = "helper.target") -> None:
    (folder / "tasks" / "helper.py").write_text(f"import {module}\n\ndef target(doc): return 'x'\n")
    (folder / "tasks" / "broken.yaml").write_text(
        "task: broken\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {folder}/text.jsonl}}}}\n"
        "test_split: test\noutput_type: generate_until\ndoc_to_text: text\n"
        f"doc_to_target: !function {function}\n"
        "generation_kwargs: {until: ['.'], max_gen_toks: 4}\n"
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )


def suite(folder: Path, *tasks: str) -> Any:
    return load_suite({"include": ["tasks"], "tasks": list(tasks)}, folder=folder)


def test_a_task_whose_package_is_missing_leaves_the_others_their_scores(tmp_path: Path) -> None:
    write_suite(tmp_path)
    broken_task(tmp_path, "langdetect")
    built = build(suite(tmp_path, "toy_choice", "broken", "toy_translate"))
    evaluation = evaluate(Answering(), built, checkpoint=checkpoint(tmp_path))
    assert {score.task for score in evaluation.scores} == {"toy_choice", "toy_translate"}
    (failure,) = evaluation.failures
    assert failure.stage == "score broken"
    assert "langdetect" in failure.message
    assert "; pip install 'steelyard[ifeval]', which brings lm-eval[ifeval]" in failure.message


def test_a_suite_without_its_task_is_another_suite_than_with_it(tmp_path: Path) -> None:
    write_suite(tmp_path)
    whole = build(suite(tmp_path, "toy_choice"))
    broken_task(tmp_path, "no_such_module_anywhere")
    assert build(suite(tmp_path, "toy_choice", "broken")).digest != whole.digest


def test_where_nothing_else_is_left_the_missing_package_is_the_error(tmp_path: Path) -> None:
    write_suite(tmp_path)
    broken_task(tmp_path, "antlr4")
    with pytest.raises(MissingExtraError, match=r"task 'broken' needs .* 'steelyard\[math\]'"):
        build(suite(tmp_path, "broken"))


def test_a_function_that_a_task_names_and_that_is_not_there_is_no_missing_package(
    tmp_path: Path,
) -> None:
    write_suite(tmp_path)
    broken_task(tmp_path, "json", "hepler.target")
    with pytest.raises(ConfigError, match="Cannot import module 'hepler'"):
        build(suite(tmp_path, "broken"))


def test_documents_that_cannot_be_asked_leave_the_other_tasks_their_scores(tmp_path: Path) -> None:
    write_suite(tmp_path)
    text = (tmp_path / "tasks" / "choice.yaml").read_text()
    own = text.replace("fewshot_split: train\n", "").replace("num_fewshot: 1", "num_fewshot: 24")
    (tmp_path / "tasks" / "choice.yaml").write_text(own.replace(", train: ", ", unused: "))
    built = build(suite(tmp_path, "toy_choice", "toy_translate"))
    evaluation = evaluate(Answering(), built, checkpoint=checkpoint(tmp_path))
    assert {score.task for score in evaluation.scores} == {"toy_translate"}
    assert "too few that are not the document itself" in evaluation.failures[0].message


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("langdetect", "ifeval"), ("immutabledict", "ifeval"), ("antlr4.tree", "math"),
        ("math_verify", "math"), ("tenacity", "api"), ("pycountry", "multilingual"),
    ],
)  # fmt: skip
def test_the_extra_that_brings_a_package_is_named(module: str, extra: str) -> None:
    """Held against what lm-eval 0.4.13 declares on the package index."""
    error = ModuleNotFoundError(f"No module named '{module}'", name=module)
    told = missing_package(error, "task 'x'")
    assert told is not None
    assert told.fix == f"pip install 'steelyard[{extra}]', which brings lm-eval[{extra}]"


def test_the_extras_that_are_named_are_there_and_bring_lm_eval_s() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    for name in OURS:
        assert any(line.startswith(f"lm-eval[{name}]") for line in extras[name])
