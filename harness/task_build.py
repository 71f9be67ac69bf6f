"""Builds a suite's lm-eval tasks once, for every checkpoint that is scored on it.

Loading documents, drawing the limit, few-shot contexts and templates costs as much as scoring a
small model, and none of it depends on the weights: requests are kept and handed out afresh for
each checkpoint (and built anew only where a chat template makes the prompts another's).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import ConfigError, DataError, SteelyardError, UnknownNameError
from steelyard.harness.files.digests import digest_json, file_digest
from steelyard.harness.selection import stratified
from steelyard.harness.suites import EvaluateMetric, ExtraMetric, Suite, SuiteTask
from steelyard.harness.task_data import check_examples, overrides
from steelyard.harness.task_files import task_files
from steelyard.harness.task_identity import content_digest, documents_digest, task_digest
from steelyard.harness.task_metadata import TaskMetadata, choice_floors, task_metadata

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

#: Which items a limit keeps and which examples stand in a prompt do not follow the experiment's
#: seed: a recipe trained with another seed is scored on the same items. lm-eval's own default.
SUITE_SEED = 1234


@dataclass(frozen=True)
class BuiltTask:
    """One lm-eval task, narrowed to its documents."""

    name: str
    task: Any
    """``lm_eval.api.task.Task``; its evaluation documents are the chosen ones."""
    documents: Sequence[Any]
    num_fewshot: int
    limit: int | None
    metadata: TaskMetadata
    task_digest: str
    data_digest: str
    weight: float = 1.0
    evaluate: tuple[EvaluateMetric, ...] = ()
    """Metrics of ``evaluate`` that the suite asks for beside the task's own."""
    extras: tuple[ExtraMetric, ...] = ()
    """Metrics by an extra model that the suite asks for."""
    first: BuiltTask | None = None
    """The first pass of a task that asks twice, over the same documents."""

    @property
    def output_type(self) -> str:
        """What the model is asked for: multiple_choice, generate_until, loglikelihood, ..."""
        return str(self.task.OUTPUT_TYPE)

    @property
    def config(self) -> Any:
        """The task's lm-eval configuration."""
        return self.task.config


@dataclass
class BuiltSuite:
    """A suite's tasks with their documents; requests are built at the first use and kept."""

    suite: Suite
    tasks: tuple[BuiltTask, ...]
    seed: int
    apply_chat_template: bool = False
    system: str | None = None
    fidelity: BuiltTask | None = None
    """Whose documents are the text of the divergence; None where the suite names none."""
    cost: BuiltTask | None = None
    """From whose documents the prompts of the cost measurement are cut."""
    _requests: dict[str, dict[str, list[Instance]]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """What is asked, and how: tasks, documents, shots, seed, template policy."""
        tasks = [(t.name, t.task_digest, t.data_digest, t.num_fewshot, t.limit) for t in self.tasks]
        fidelity = None if self.fidelity is None else self.fidelity.data_digest
        asked: list[Any] = [tasks, fidelity, self.seed, self.apply_chat_template, self.system]
        asked += [_metrics_digest(t) for t in self.tasks if t.evaluate]
        asked += [[m.model_dump(mode="json") for m in t.extras] for t in self.tasks if t.extras]
        if self.cost is not None and self.suite.cost is not None:
            asked.append([self.cost.data_digest, self.suite.cost.model_dump(mode="json")])
        return digest_json(asked)

    def requests(self, lm: Any) -> dict[str, list[Instance]]:
        """Fresh requests of every task, ready to be answered by ``lm``.

        Of a task that asks twice they are those of its first pass.
        """
        key = "" if not self.apply_chat_template else digest_json(_template(lm))
        if key not in self._requests:
            self._requests[key] = {t.name: self.requests_of(t.first or t, lm) for t in self.tasks}
        return {
            name: [replace(r, resps=[], filtered_resps={}) for r in requests]
            for name, requests in self._requests[key].items()
        }

    def requests_of(self, built: BuiltTask, lm: Any) -> list[Instance]:
        """One task's requests, built anew."""
        task = built.task
        task.set_fewshot_seed(self.seed)
        with quiet_building():
            try:
                type(task).build_all_requests(
                    task,
                    system_instruction=self.system,
                    apply_chat_template=self.apply_chat_template,
                    fewshot_as_multiturn=self.apply_chat_template,
                    chat_template=lm.apply_chat_template if self.apply_chat_template else None,
                    tokenizer_name="",
                )
            except SteelyardError:
                raise
            except Exception as error:
                raise _task_error(built.name, error) from error
        return list(task.instances)


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

    from steelyard.harness.task_files import check_task_files, package_folder

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
        found = [_narrowed(name, task, spec, seed) for name, task in loaded.items()]
    return [_with_first_pass(manager, built, spec, seed) for built in found]


def _with_first_pass(manager: Any, built: BuiltTask, spec: SuiteTask, seed: int) -> BuiltTask:
    """``built`` with the first pass that it names, changed as the suite changes ``built``."""
    from steelyard.harness.evaluation.second_pass import with_first_pass

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


def _narrowed(name: str, task: Any, spec: SuiteTask, seed: int) -> BuiltTask:
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
    metadata = task_metadata(task, name)
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


def _metrics_digest(built: BuiltTask) -> list[Any]:
    """What a task is measured by besides its own metrics, local modules by their content."""
    return [
        [m.model_dump(mode="json", exclude={"module"}), Path(m.module).name, _content(m.module)]
        for m in built.evaluate
    ]


def _content(module: str) -> str | None:
    return file_digest(Path(module)) if module.endswith(".py") else None


def _taken(documents: Any, indices: list[int]) -> Any:
    return (
        documents.select(indices)
        if hasattr(documents, "select")
        else [documents[index] for index in indices]
    )


def _template(lm: Any) -> str:
    template = lm.chat_template(True)
    if not template:
        raise ConfigError(
            "the tokenizer has no chat template", key="chat_template", fix="set it to false"
        )
    return str(template)


def _task_error(name: str, error: Exception) -> SteelyardError:
    if isinstance(error.__cause__, SteelyardError):
        return error.__cause__
    text = (str(error).strip().splitlines() or [""])[0]
    said = f"task '{name}' cannot be built: {type(error).__name__}: {text}"
    if isinstance(error, (OSError, ConnectionError)):
        return DataError(said, fix="is its data set on this machine, or the hub within reach?")
    return ConfigError(said, fix=f"check it with `steelyard tasks check {name}`")


@contextmanager
def quiet_building() -> Iterator[None]:
    """No chatter and no bars of lm-eval, and templates compiled once instead of at every call."""
    from lm_eval import utils
    from lm_eval.api import task as task_module

    from steelyard.harness.environment import quiet

    render, bar = utils.apply_template, task_module.tqdm
    utils.apply_template = lambda template, document: _compiled(template).render(**document)
    task_module.tqdm = lambda items, **_: items
    try:
        with quiet():
            yield
    finally:
        utils.apply_template, task_module.tqdm = render, bar


@lru_cache(maxsize=1024)
def _compiled(template: str) -> Any:
    from lm_eval import utils

    return utils.env.from_string(template)
