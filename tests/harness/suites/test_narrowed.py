"""A narrowed task: its own class's subclass, with chosen documents and prepared requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lm_eval import utils
from lm_eval.api.task import ConfigurableTask

from steelyard.harness.suites.build import build
from steelyard.harness.suites.built import BuiltTask, with_documents
from steelyard.harness.suites.identity import task_digest
from steelyard.harness.suites.narrowed import own_class, prepared
from steelyard.harness.suites.suite import load_suite
from steelyard.harness.suites.templates import templates_compiled_once
from tests.harness.toy_suite import Answering, write_suite


@pytest.fixture(scope="module")
def choice(tmp_path_factory: pytest.TempPathFactory) -> BuiltTask:
    file = write_suite(tmp_path_factory.mktemp("toy"))
    return build(load_suite(str(file), folder=file.parent, limit=6)).tasks[0]


def test_a_narrowed_task_is_still_of_the_class_it_was_loaded_with(choice: BuiltTask) -> None:
    assert isinstance(choice.task, ConfigurableTask)
    assert own_class(choice.task) is ConfigurableTask
    assert type(choice.task).__name__ == "ConfigurableTask"


def test_other_documents_leave_the_task_and_its_digest_as_they_were(choice: BuiltTask) -> None:
    fewer = with_documents(choice, choice.documents.select([4, 1]))  # type: ignore[attr-defined]
    assert [d["question"] for d in fewer.task.eval_docs] == [
        choice.documents[4]["question"], choice.documents[1]["question"]
    ]  # fmt: skip
    assert len(choice.task.eval_docs) == 6
    assert task_digest(fewer.task, 1) == task_digest(choice.task, 1) == choice.task_digest


def test_prepared_requests_are_asked_as_they_are_and_built_anew_without(choice: BuiltTask) -> None:
    choice.task.set_fewshot_seed(3)
    choice.task.build_all_requests()
    some = list(choice.task.instances[:4])
    asked = prepared(choice.task, some)
    asked.build_all_requests(limit=None, rank=0, world_size=1)
    assert asked.instances == some
    assert len(choice.task.instances) == 24


def test_an_aggregate_that_raises_gives_nothing_where_a_model_answers(choice: BuiltTask) -> None:
    def raising(values: Any) -> float:
        raise ZeroDivisionError

    choice.task._aggregation_list = {**choice.task._aggregation_list, "acc": raising}
    asked = prepared(choice.task, [])
    assert asked.aggregation()["acc"]([1.0]) is None
    assert asked.aggregation()["no such metric"]([1.0, 0.0]) == 0.5
    with pytest.raises(ZeroDivisionError):
        choice.task.aggregation()["acc"]([1.0])


def test_templates_compiled_once_give_the_same_text_and_leave_lm_eval_as_it_was() -> None:
    template, row = "{{a}}{% for c in b %} {{c}}{% endfor %}", {"a": 1, "b": "xy"}
    plain = utils.apply_template(template, row)
    with templates_compiled_once():
        assert utils.env.from_string(template) is utils.env.from_string(template)
        with templates_compiled_once():
            pass
        assert utils.apply_template(template, row) == plain == "1 x y"
    assert "from_string" not in vars(utils.env)
    assert utils.env.from_string(template) is not utils.env.from_string(template)


def test_a_task_of_ours_compiles_a_template_once_however_many_documents_it_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_suite(tmp_path)
    built = build(load_suite(str(file), folder=tmp_path))
    compiled: list[str] = []
    environment = type(utils.env)
    plain = environment.from_string
    monkeypatch.setattr(
        environment,
        "from_string",
        lambda self, text, **options: compiled.append(text) or plain(self, text, **options),
    )
    built.requests(Answering())
    assert len(compiled) == len(set(compiled))
