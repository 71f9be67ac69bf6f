"""Builds a suite's lm-eval tasks once, for every checkpoint that is scored on it.

Loading documents, drawing the limit, few-shot contexts and templates costs as much as scoring a
small model, and none of it depends on the weights: requests are kept and handed out afresh for
each checkpoint (and built anew only where a chat template makes the prompts another's).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.errors import (
    Collected,
    ConfigError,
    DataError,
    MissingExtraError,
    SteelyardError,
    located,
)
from steelyard.harness.files import lines_of
from steelyard.harness.records import Failure, stage_name
from steelyard.harness.suites.built import (
    SUITE_SEED,
    BuiltSuite,
    BuiltTask,
    building,
    with_first_pass,
    with_parity,
)
from steelyard.harness.suites.documents import check_examples, overrides
from steelyard.harness.suites.examples import check_pool
from steelyard.harness.suites.groups import BuiltGroup, built_groups
from steelyard.harness.suites.identity import (
    content_digest,
    documents_digest,
    dumped_digest,
    task_digest,
)
from steelyard.harness.suites.limit import shares, stratified
from steelyard.harness.suites.local_files import local_files_as_they_are
from steelyard.harness.suites.metadata import TaskMetadata, choice_floors, task_metadata
from steelyard.harness.suites.narrowed import Documents, narrowed
from steelyard.harness.suites.suite import Suite, SuiteTask
from steelyard.harness.suites.task_files import (
    check_task_files,
    package_folder,
    task_files,
    task_tags,
)
from steelyard.harness.suites.task_settings import check_entries, check_task_settings
from steelyard.harness.suites.written_rows import require_as_written

if TYPE_CHECKING:
    from lm_eval.api.group import Group
    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager


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
    ``UnknownNameError`` for a missing task, ``ConfigError`` for a mistake in a file of the suite's.
    A task that this machine cannot build (a package or data that are not here) is among the
    ``missing`` of the suite; where no other is left, what it misses is raised.
    """
    manager = _task_manager(suite)
    tasks: dict[str, BuiltTask] = {}
    groups: dict[str, BuiltGroup] = {}
    missing: dict[str, SteelyardError] = {}
    problems = Collected()
    for spec in suite.tasks:
        try:
            loaded, own_groups = _load(manager, spec, seed)
        except SteelyardError as error:
            if _is_of_this_machine(error):
                missing[spec.task] = error
            else:
                problems.errors.append(error)
            continue
        for built in loaded:
            if built.name in tasks:
                raise ConfigError(f"suite '{suite.name}' holds the task '{built.name}' twice")
            tasks[built.name] = built
        groups |= {group.name: group for group in own_groups}
    problems.raise_any()
    if missing and not tasks:
        raise next(iter(missing.values()))
    fidelity = None
    if suite.fidelity is not None:
        spec = SuiteTask(task=suite.fidelity.task, limit=suite.fidelity.limit)
        fidelity = _one(manager, spec, seed)
    cost = None
    if suite.cost is not None:
        cost = _one(manager, SuiteTask(task=suite.cost.task), seed)
    return BuiltSuite(
        suite=suite,
        tasks=tuple(with_parity(task, suite.parity) for task in tasks.values()),
        seed=seed if few_shot_seed is None else few_shot_seed,
        apply_chat_template=apply_chat_template,
        system=system,
        fidelity=fidelity,
        cost=cost,
        groups=tuple(groups.values()),
        missing=tuple(
            Failure(stage=stage_name("score", name), message=str(error))
            for name, error in missing.items()
        ),
    )


def _is_of_this_machine(error: SteelyardError) -> bool:
    """Whether a task fails for what is not here, or in the task's own code, not for a mistake in
    the suite.
    """
    foreign = error.__cause__ is not None and not isinstance(error.__cause__, SteelyardError)
    return isinstance(error, (MissingExtraError, DataError)) or foreign


def _task_manager(suite: Suite) -> TaskManager:
    from lm_eval.tasks import TaskManager

    ours = task_files(suite.include)
    # Indexing lm-eval's own 14,000 names takes 7 s: only where one of them is meant.
    own = {*ours, *task_tags(suite.include)}
    defaults = any(name not in own for name in suite.task_names)
    folders = [str(package_folder("steelyard.tasks")), *suite.include]
    for folder in suite.include:
        check_task_files(Path(folder))
    with building(", ".join(suite.task_names[:3])):
        return TaskManager(include_path=folders, include_defaults=defaults)


def _load(
    manager: TaskManager, spec: SuiteTask, seed: int
) -> tuple[list[BuiltTask], list[BuiltGroup]]:
    """The tasks that an entry of a suite stands for, and the groups of them that have a score."""
    with building(spec.task), local_files_as_they_are():
        tasks, groups = _loaded(manager, spec)
        limits = _limits(spec, tasks)
        built = [
            _built(
                name,
                task,
                spec.model_copy(update={"limit": limits[name]}),
                seed,
                _metadata(manager, name, task),
            )
            for name, task in tasks.items()
        ]
        scored_groups = built_groups(groups)
    return [_with_first_pass(manager, task, spec, seed) for task in built], scored_groups


def _limits(spec: SuiteTask, tasks: Mapping[str, Task]) -> dict[str, int | None]:
    """The limit of each task that an entry stands for."""
    if spec.limit is None or spec.limit_for == "each":
        return dict.fromkeys(tasks, spec.limit)
    if spec.limit < len(tasks):
        raise ConfigError(
            f"'{spec.task}' has {len(tasks)} tasks, which share a limit for all of them",
            key="limit",
            value=spec.limit,
            fix=f"raise it to {len(tasks)} or more",
        )
    sizes = [len(task.eval_docs) for task in tasks.values()]
    return dict(zip(tasks, shares(sizes, spec.limit), strict=True))


def _one(manager: TaskManager, spec: SuiteTask, seed: int) -> BuiltTask:
    """The task (of a group the first) whose texts are used."""
    return _load(manager, spec, seed)[0][0]


def _metadata(manager: TaskManager, name: str, task: Task) -> TaskMetadata:
    """What the task says of itself; a mistake there names the YAML file that lm-eval read.

    Settings that nothing would read are mistakes, too.
    """
    entry = manager.task_index.get(name)
    path = None if entry is None else entry.yaml_path
    with located(file=path or f"task {name}", line_of=None if path is None else lines_of(path)):
        config = getattr(task, "config", None)
        check_task_settings(config)
        if path is None or not path.is_relative_to(package_folder("lm_eval")):
            check_entries(config)
        return task_metadata(task, name)


def _with_first_pass(
    manager: TaskManager, built: BuiltTask, spec: SuiteTask, seed: int
) -> BuiltTask:
    """``built`` with the first pass that it names, changed as the suite changes ``built``."""
    name = built.metadata.first_pass
    if name is None:
        return built
    asked = SuiteTask(task=name, data=spec.data, description=spec.description)
    first = _one(manager, asked, seed)
    return with_first_pass(built, first)


def _loaded(
    manager: TaskManager, spec: SuiteTask
) -> tuple[Mapping[str, Task], Mapping[str, Group]]:
    """lm-eval's tasks and groups of one entry, which may change them.

    A task is changed as the member of a group. Of a group or tag each task is changed by its own
    name: changed as a whole, lm-eval would give its name to each of its tasks, and keep the last.
    """
    entry = manager.task_index.get(spec.task)
    several = entry is not None and entry.kind.name in ("GROUP", "TAG")
    if spec.data is not None and several:
        raise ConfigError(
            f"'{spec.task}' stands for several tasks, and data are those of one",
            key="data",
            fix="name the tasks, each with its own data",
        )
    changed = {} if spec.data is None else overrides(spec.data)
    if spec.description is not None:
        changed["description"] = spec.description
    plain = manager.load([spec.task]) if several or not changed else None
    groups = {} if plain is None else plain["groups"]
    if plain is not None and not changed:
        return plain["tasks"], groups
    names = [spec.task] if plain is None else list(plain["tasks"])
    members = [{"task": name, **changed} for name in names]
    return manager.load([{"group": "changed", "task": members}])["tasks"], groups


def _built(name: str, task: Task, spec: SuiteTask, seed: int, metadata: TaskMetadata) -> BuiltTask:
    """The task with its documents cut to the limit, in place of lm-eval's ``limit``/``samples``."""
    if getattr(task, "UNSAFE_CODE", False):
        raise ConfigError(f"task '{name}' runs the code that a model wrote, which is off")
    if spec.num_fewshot is not None:
        task.set_config("num_fewshot", spec.num_fewshot)
    elif task.get_config("num_fewshot") is None:
        task.set_config("num_fewshot", 0)
    shots = int(task.get_config("num_fewshot") or 0)
    task.set_fewshot_seed(seed)
    if spec.data is not None:
        check_examples(task, name, shots)
    check_pool(task, name, shots)
    require_as_written(task, name)
    if spec.chance is not None:
        metadata = metadata.model_copy(update={"chance": spec.chance})
    if spec.language is not None:
        metadata = metadata.model_copy(update={"language": spec.language})
    documents, digests = _chosen(task.eval_docs, metadata, spec.limit, seed)
    task = narrowed(task, documents)
    return BuiltTask(
        name=name,
        task=task,
        documents=documents,
        num_fewshot=shots,
        limit=spec.limit,
        metadata=choice_floors(metadata, task, documents),
        task_digest=task_digest(task, shots),
        data_digest=documents_digest(digests),
        dumped_digest=_dumped(task),
        evaluate=spec.evaluate,
        extras=spec.extras,
    )


def _dumped(task: Task) -> str | None:
    """The digest of what lm-eval writes of the task into its results; None where it cannot."""
    try:
        config = json.loads(json.dumps(task.dump_config(), default=str))
    except (AttributeError, TypeError, ValueError):
        return None
    return dumped_digest(task.VERSION, config)


def _chosen(
    documents: Documents, metadata: TaskMetadata, limit: int | None, seed: int
) -> tuple[Documents, list[str]]:
    """The documents that the limit keeps, and their digests."""
    digests = [content_digest(document) for document in documents]
    if limit is None or limit >= len(digests):
        return documents, digests
    strata = [metadata.stratum(document) for document in documents]
    chosen = stratified(digests, strata, limit, seed)
    if hasattr(documents, "select"):  # a data set of Hugging Face's
        rest: Documents = documents.select(chosen)
    else:
        rest = [documents[index] for index in chosen]
    return rest, [digests[index] for index in chosen]
