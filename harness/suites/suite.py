"""Suites as data: which tasks, with how many shots and items, and where to find their YAMLs.

A suite is a YAML file (built in under ``tasks/suites``, or the user's own), a list of task names,
or the same mapping inline in an experiment file:

    name: mine
    extends: smoke                       # a suite or several; later entries replace earlier ones
    without: [microworld_text]           # tasks of those suites that this one leaves out
    include: [local_data]                # folders with lm-eval task YAMLs, relative to this file
    tasks:
      - gsm8k
      - {task: mmlu, num_fewshot: 5, limit: 100}
      - {task: triviaqa, data: {path: ours.csv, fields: {question: q, answer: a}}}
      - {task: dialogsum, evaluate: [{module: my_metric.py, result: score}]}
    parity: lm-eval                      # special tokens as lm-eval has them (default: steelyard)
    fidelity: {task: wikitext2, limit: 8}
    cost: {task: wikitext2, prompt_tokens: 128, new_tokens: 64, batch_size: 1}

Nothing heavy is imported here: task files are read as text, without lm-eval.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from steelyard.harness.errors import (
    Collected,
    ConfigError,
    DataError,
    UnknownNameError,
    did_you_mean,
    located,
)
from steelyard.harness.files import YamlFile, allowed_names, ordinary_bytes, read_yaml, validated
from steelyard.harness.records import Parity, Record
from steelyard.harness.suites.documents import TaskData
from steelyard.harness.suites.metadata import LANGUAGE
from steelyard.harness.suites.task_files import (
    lm_eval_names,
    named_twice,
    package_folder,
    task_files,
    task_tags,
)

_SUFFIXES = (".yaml", ".yml")

#: A suite's name or file, a list of tasks, or the mapping of a suite file.
SuiteSpec = str | Sequence[str | Mapping[str, object]] | Mapping[str, object]


class EvaluateMetric(Record):
    """The options of ``steelyard.tasks.metrics.evaluated``, where they stand beside a task."""

    module: str
    result: str | None = None
    options: Mapping[str, object] = Field(default_factory=dict)
    higher_is_better: bool = True
    several_references: bool = False


class ExtraMetric(Record):
    """A metric that needs a model of its own (``tasks.metrics.judged``), and that model."""

    metric: str
    model: str | None = None
    """A local folder (relative to the suite's file) or a hub id."""


class SuiteTask(Record):
    """One task (or lm-eval group or tag) of a suite; None takes the task's own setting."""

    task: str
    num_fewshot: int | None = Field(default=None, ge=0)
    limit: int | None = Field(default=None, ge=1)
    """Items, chosen stratified and the same for every checkpoint; None: all."""
    limit_for: Literal["each", "all"] = "each"
    """Of a group or tag: whether ``limit`` is for each of its tasks, or for all together, in
    proportion to their sizes."""
    chance: float | None = None
    language: str | None = Field(default=None, pattern=LANGUAGE)
    """The language of the right answers, where the task's own metadata name none."""
    data: TaskData | None = None
    """Documents from a file or a pinned hub data set in place of the task's own."""
    description: str | None = None
    """Said before every prompt, in place of what the task says there."""
    evaluate: tuple[EvaluateMetric, ...] = ()
    """Metrics of Hugging Face ``evaluate`` beside the task's own, one row a sample."""
    extras: tuple[ExtraMetric, ...] = ()
    """Metrics by an extra model: entailment, embeddings, a classifier of toxicity."""


class FidelityText(Record):
    """Over which documents a checkpoint's divergence from its parent is measured."""

    task: str
    limit: int | None = Field(default=None, ge=1)


class CostMeasure(Record):
    """How latency, throughput, memory and energy of answering are measured
    (``steelyard.harness.evaluation.cost``).
    """

    task: str
    """A task from whose documents' texts the prompts are cut."""
    prompt_tokens: int = Field(default=64, ge=1)
    new_tokens: int = Field(default=32, ge=2)
    batch_size: int = Field(default=1, ge=1)
    queries: int = Field(default=8, ge=1)
    """Batches in each pass."""
    passes: int = Field(default=6, ge=2)
    """Each answers every query again; fewer than six give no interval."""
    warmup: int = Field(default=2, ge=1)
    """Batches that are answered first and not counted."""


class Suite(Record):
    """A validated suite; ``include`` holds absolute folders."""

    name: str
    tasks: tuple[SuiteTask, ...]
    """May be empty where ``cost`` alone is measured."""
    include: tuple[str, ...] = ()
    fidelity: FidelityText | None = None
    cost: CostMeasure | None = None
    extends: tuple[str, ...] = ()
    description: str | None = None
    parity: Parity = "steelyard"
    """By whose rule special tokens are put in where that is another number."""

    @property
    def task_names(self) -> tuple[str, ...]:
        """Every task that must exist: those scored, and those whose texts are used besides."""
        besides = (self.fidelity, self.cost)
        return (*(t.task for t in self.tasks), *(text.task for text in besides if text))


class _SuiteFile(Record):
    """The keys of a suite file, before ``extends`` and paths are resolved."""

    name: str | None = None
    tasks: tuple[SuiteTask, ...] = ()
    include: str | tuple[str, ...] = ()
    fidelity: FidelityText | None = None
    cost: CostMeasure | None = None
    extends: str | tuple[str, ...] = ()
    without: str | tuple[str, ...] = ()
    description: str | None = None
    parity: Parity | None = None

    @field_validator("tasks", mode="before")
    @classmethod
    def _bare_names(cls, value: object) -> object:
        if not isinstance(value, (list, tuple)):
            return value
        return [{"task": task} if isinstance(task, str) else task for task in value]


def load_suite(
    spec: SuiteSpec,
    *,
    folder: Path,
    limit: int | None = None,
    parity: Parity | None = None,
) -> Suite:
    """A suite by name, by file, as a list of tasks, or as an inline mapping.

    ``folder`` is what files and ``include`` are relative to; ``limit`` caps every task's items, and
    ``parity`` replaces the suite's own.
    Raises ``UnknownNameError`` for a suite or task that does not exist, ``ConfigError`` otherwise.
    """
    with allowed_names("suite"), located(key="suite"):
        suite = _resolve(spec, folder, ())
    if limit is not None:
        suite = _capped(suite, limit)
    if parity is not None:
        suite = suite.model_copy(update={"parity": parity})
    _require_known(suite)
    return suite


def list_suites() -> list[str]:
    """Names of the built-in suites."""
    folder = package_folder("steelyard.tasks") / "suites"
    return sorted(path.stem for path in folder.glob("*.yaml"))


def list_tasks(include: Sequence[str] = ()) -> list[str]:
    """Names of the built-in tasks and of those under ``include``, without importing lm-eval."""
    return sorted(task_files(include))


def task_file(name: str, include: Sequence[str] = ()) -> Path:
    """The YAML file that defines a task of ours. Raises ``UnknownNameError``."""
    files = task_files(include)
    if name not in files:
        raise UnknownNameError(f"no task named '{name}'", fix=did_you_mean(name, files))
    return files[name]


def _resolve(spec: SuiteSpec, folder: Path, chain: tuple[str, ...]) -> Suite:
    if isinstance(spec, str):
        path = _suite_path(spec, folder)
        if str(path) in chain:
            loop = " -> ".join(Path(p).stem for p in (*chain, str(path)))
            raise ConfigError(f"suites extend one another in a circle: {loop}", file=path)
        source = YamlFile.read(path)
        with source.reading():
            return _assembled(source.content, path.stem, path.parent, (*chain, str(path)))
    if isinstance(spec, Mapping):
        return _assembled(spec, "inline", folder, chain)
    return _assembled({"tasks": list(spec)}, "tasks", folder, chain)


def _suite_path(spec: str, folder: Path) -> Path:
    if spec.endswith(_SUFFIXES) or "/" in spec:
        path = folder / Path(spec).expanduser()  # an absolute one stays what it is
        if path.exists():
            ordinary_bytes(path, ConfigError)
        else:
            near = did_you_mean(path.name, [p.name for p in path.parent.glob("*.y*ml")])
            raise UnknownNameError("no such suite file", file=path, fix=near)
        return path
    built_in = package_folder("steelyard.tasks") / "suites" / f"{spec}.yaml"
    beside = next((p for s in _SUFFIXES if (p := folder / f"{spec}{s}").is_file()), None)
    if built_in.is_file():
        return built_in
    if beside is not None and "tasks" in read_yaml(beside):
        return beside
    raise UnknownNameError(f"no suite named '{spec}'", fix=did_you_mean(spec, list_suites()))


def _assembled(
    content: Mapping[str, object], default_name: str, folder: Path, chain: tuple[str, ...]
) -> Suite:
    """The suite of one file or mapping over those that it extends; raises every mistake in it."""
    keys = validated(_SuiteFile, content)
    problems = Collected()
    parents: list[Suite] = []
    for name in _listed(keys.extends):
        with problems.of(key="extends"):
            parents.append(_resolve(name, folder, chain))
    own = _own_tasks(keys.tasks, folder, problems)
    with problems.of(key="extends"):
        _require_agreement(parents, {*own, *_listed(keys.without)})
    inherited_tasks = {t.task: t for parent in parents for t in parent.tasks}
    for name in _listed(keys.without) if len(parents) == len(_listed(keys.extends)) else ():
        if inherited_tasks.pop(name, None) is None:
            fix = did_you_mean(name, inherited_tasks)
            with problems.of(key="without"):
                raise ConfigError("no such task to leave out", value=name, fix=fix)
    folders: list[str] = []
    for path in _listed(keys.include):
        with problems.of(key="include"):
            folders.append(str(_folder(path, folder)))
    problems.raise_any()
    merged = inherited_tasks | own
    costs = [keys.cost, *(p.cost for p in reversed(parents))]
    cost = next((c for c in costs if c is not None), None)
    if not merged and cost is None:
        raise ConfigError("a suite needs at least one task", key="tasks")
    inherited = tuple(path for parent in parents for path in parent.include)
    fidelity = [p.fidelity for p in parents if p.fidelity is not None]
    parities = {p.parity for p in parents}
    return Suite(
        name=keys.name or default_name,
        tasks=tuple(merged.values()),
        include=tuple(dict.fromkeys((*inherited, *folders))),
        fidelity=keys.fidelity or (fidelity[-1] if fidelity else None),
        cost=cost,
        extends=_listed(keys.extends),
        description=keys.description,
        parity=keys.parity or ("lm-eval" if "lm-eval" in parities else "steelyard"),
    )


def _require_agreement(parents: Sequence[Suite], decided: Collection[str]) -> None:
    """Raises ``ConfigError`` where two of the suites ask one task in two ways.

    ``decided`` names tasks that the suite lists itself, or leaves out.
    """
    asked: dict[str, tuple[Suite, SuiteTask]] = {}
    for parent in parents:
        for task in parent.tasks:
            other, before = asked.setdefault(task.task, (parent, task))
            if task != before and task.task not in decided:
                differing = [
                    name
                    for name in SuiteTask.model_fields
                    if getattr(task, name) != getattr(before, name)
                ]
                raise ConfigError(
                    f"'{other.name}' and '{parent.name}' ask the task '{task.task}' with another "
                    + ", ".join(differing),
                    fix="list the task here, as it is meant",
                )


def _listed(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _own_tasks(
    tasks: Sequence[SuiteTask], folder: Path, problems: Collected
) -> dict[str, SuiteTask]:
    """By name the tasks that a suite lists itself."""
    own: dict[str, SuiteTask] = {}
    for i, task in enumerate(tasks):
        with problems.of(key=f"tasks.{i}"):
            if task.task in own:
                raise ConfigError("a task stands twice", value=task.task)
            own[task.task] = _placed(task, folder)
    return own


def _placed(task: SuiteTask, folder: Path) -> SuiteTask:
    """A task of the suite with its files where they lie, which is beside the suite's own."""
    try:
        data = None if task.data is None else task.data.relative_to(folder)
    except DataError as error:  # it names the data file; where that is asked for says more
        raise ConfigError(str(error), key="data") from None
    modules = []
    for metric in task.evaluate:
        path = folder / Path(metric.module).expanduser()
        if metric.module.endswith(".py") and not path.is_file():
            raise ConfigError("no such metric module", key="evaluate", value=metric.module)
        local = metric.module.endswith(".py")
        modules.append(metric.model_copy(update={"module": str(path.resolve())} if local else {}))
    extras = tuple(
        extra.model_copy(update={"model": str((folder / extra.model).resolve())})
        if extra.model and (folder / extra.model).is_dir()
        else extra
        for extra in task.extras
    )
    return task.model_copy(update={"data": data, "evaluate": tuple(modules), "extras": extras})


def _folder(text: str, folder: Path) -> Path:
    path = (folder / Path(text).expanduser()).resolve()
    if not path.is_dir():
        raise ConfigError("no such folder", value=text)
    return path


def _capped(suite: Suite, limit: int) -> Suite:
    def cap(own: int | None) -> int:
        return limit if own is None else min(own, limit)

    tasks = tuple(t.model_copy(update={"limit": cap(t.limit)}) for t in suite.tasks)
    return suite.model_copy(update={"tasks": tasks})


def _require_known(suite: Suite) -> None:
    """Every named task exists; the 14,000 names of lm-eval are read only where ours lack one."""
    ours = task_files(suite.include)
    twice = named_twice(suite.include)
    for name in suite.task_names:
        if name in twice:
            one, other = twice[name]
            raise ConfigError(
                f"{other.name} defines the task '{name}' too", file=one, fix="keep one of them"
            )
    missing = [name for name in suite.task_names if name not in ours]
    if missing:
        tags = task_tags(suite.include)
        missing = [name for name in missing if name not in tags]
    if not missing:
        return
    theirs = lm_eval_names()
    for name in missing:
        if name not in theirs:
            near = did_you_mean(name, ours)
            fix = near if "did you mean" in near else did_you_mean(name, theirs)
            if "did you mean" not in fix:
                fix = "see `steelyard list tasks`, or name its folder under include:"
            raise UnknownNameError(
                f"suite '{suite.name}' names a task that does not exist: '{name}'", fix=fix
            )
