"""Builds a suite's lm-eval tasks once, for every checkpoint that is scored on it.

Loading documents, drawing the limit, few-shot contexts and templates costs as much as scoring a
small model, and none of it depends on the weights: requests are kept and handed out afresh for
each checkpoint (and built anew only where a chat template makes the prompts another's).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import ConfigError, SteelyardError, UnknownNameError, located
from steelyard.harness.files.yaml_file import lines_of
from steelyard.harness.suites.built import (
    SUITE_SEED,
    BuiltSuite,
    BuiltTask,
    _task_error,
    quiet_building,
)
from steelyard.harness.suites.documents import check_examples, overrides
from steelyard.harness.suites.identity import content_digest, documents_digest, task_digest
from steelyard.harness.suites.limit import stratified
from steelyard.harness.suites.metadata import TaskMetadata, choice_floors, task_metadata
from steelyard.harness.suites.suite import Suite, SuiteTask
from steelyard.harness.suites.task_files import task_files

if TYPE_CHECKING:
    pass


def build(
    suite: Suite,
    *,
    seed: int = SUITE_SEED,
    few_shot_seed: int | None = None,
    apply_chat_template: bool = False,
    system: str | None = None,
) -> BuiltSuite:
    """Load every task of ``suite`` with the documents that its limit keeps.

    ``seed`` draws limits, and few-shot examples unless ``few_shot_seed`` is given. Raises
    ``UnknownNameError`` for a missing task, ``ConfigError`` or ``DataError`` for one that does not
    load.
    """
    manager = _task_manager(suite)
    tasks: dict[str, BuiltTask] = {}
    for spec in suite.tasks:
        for built in _load(manager, spec, seed):
            if built.name in tasks:
                raise ConfigError(f"suite '{suite.name}' holds the task '{built.name}' twice")
            tasks[built.name] = built
    fidelity = None
    if suite.fidelity is not None:
        spec = SuiteTask(task=suite.fidelity.task, limit=suite.fidelity.limit)
        fidelity = _load(manager, spec, seed)[0]
    cost = None
    if suite.cost is not None:
        cost = _load(manager, SuiteTask(task=suite.cost.task), seed)[0]
    return BuiltSuite(
        suite=suite,
        tasks=tuple(tasks.values()),
        seed=seed if few_shot_seed is None else few_shot_seed,
        apply_chat_template=apply_chat_template,
        system=system,
        fidelity=fidelity,
        cost=cost,
    )


def _task_manager(suite: Suite) -> Any:
    from lm_eval.tasks import TaskManager

    from steelyard.harness.suites.task_files import check_task_files, package_folder

    ours = task_files(suite.include)
    # Indexing lm-eval's own 14,000 names takes 7 s: only where one of them is meant.
    defaults = any(name not in ours for name in suite.task_names)
    folders = [str(package_folder("steelyard.tasks")), *suite.include]
    for folder in suite.include:
        check_task_files(Path(folder))
    with quiet_building():
        try:
            return TaskManager(include_path=folders, include_defaults=defaults)
        except Exception as error:
            raise _task_error(", ".join(suite.task_names[:3]), error) from error


def _load(manager: Any, spec: SuiteTask, seed: int) -> list[BuiltTask]:
    with quiet_building():
        try:
            loaded = manager.load([_wanted(spec)])["tasks"]
        except SteelyardError:
            raise
        except KeyError as error:
            if "not a registered task" not in str(error):
                raise _task_error(spec.task, error) from error
            raise UnknownNameError(f"no task named '{spec.task}'") from error
        except Exception as error:
            raise _task_error(spec.task, error) from error
        narrowed = [
            _narrowed(name, task, spec, seed, _metadata(manager, name, task))
            for name, task in loaded.items()
        ]
    return [_with_first_pass(manager, built, spec, seed) for built in narrowed]


def _metadata(manager: Any, name: str, task: Any) -> TaskMetadata:
    """What the task says of itself; a mistake there names the YAML file that lm-eval read."""
    entry = manager.task_index.get(name)
    path = None if entry is None else entry.yaml_path
    with located(file=path or f"task {name}", line_of=None if path is None else lines_of(path)):
        return task_metadata(task, name)


def _with_first_pass(manager: Any, built: BuiltTask, spec: SuiteTask, seed: int) -> BuiltTask:
    """``built`` with the first pass that it names, changed as the suite changes ``built``."""
    from steelyard.harness.suites.built import with_first_pass

    name = built.metadata.first_pass
    if name is None:
        return built
    asked = SuiteTask(task=name, data=spec.data, description=spec.description)
    (first,) = _load(manager, asked, seed)
    return with_first_pass(built, first)


def _wanted(spec: SuiteTask) -> str | dict[str, Any]:
    """What lm-eval is asked for: a name, or the task as member of a group, which may change it."""
    changed = overrides(spec.data) if spec.data is not None else {}
    if spec.description is not None:
        changed["description"] = spec.description
    return {"group": "changed", "task": [{"task": spec.task, **changed}]} if changed else spec.task


def _narrowed(
    name: str, task: Any, spec: SuiteTask, seed: int, metadata: TaskMetadata
) -> BuiltTask:
    """The task with its documents cut to the limit, in place of lm-eval's ``limit``/``samples``.

    lm-eval's own ``samples=`` numbers documents by position in the given list, so an unsorted list
    swaps their ids; a task whose documents are the chosen ones has no such trap.
    """
    if getattr(task, "UNSAFE_CODE", False):
        raise ConfigError(f"task '{name}' runs the code that a model wrote, which is off")
    if spec.num_fewshot is not None:
        task.set_config("num_fewshot", spec.num_fewshot)
    elif task.get_config("num_fewshot") is None:
        task.set_config("num_fewshot", 0)
    task.set_fewshot_seed(seed)
    if spec.data is not None:
        check_examples(task, name, int(task.get_config("num_fewshot") or 0))
    if spec.chance is not None:
        metadata = metadata.model_copy(update={"chance": spec.chance})
    documents = task.eval_docs
    digests = [content_digest(document) for document in documents]
    if spec.limit is not None and spec.limit < len(digests):
        strata = [metadata.stratum(document) for document in documents]
        chosen = stratified(digests, strata, spec.limit, seed)
        digests = [digests[index] for index in chosen]
        documents = _taken(documents, chosen)
    setattr(task, "test_docs" if task.has_test_docs() else "validation_docs", lambda: documents)
    return BuiltTask(
        name=name,
        task=task,
        documents=documents,
        num_fewshot=int(task.get_config("num_fewshot") or 0),
        limit=spec.limit,
        metadata=choice_floors(metadata, task, documents),
        task_digest=task_digest(task, int(task.get_config("num_fewshot") or 0)),
        data_digest=documents_digest(digests),
        weight=spec.weight,
        evaluate=spec.evaluate,
        extras=spec.extras,
    )


def _taken(documents: Any, indices: list[int]) -> Any:
    return (
        documents.select(indices)
        if hasattr(documents, "select")
        else [documents[index] for index in indices]
    )
