"""A suite built once: its lm-eval tasks with what identifies them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.environment import quiet
from steelyard.harness.errors import ConfigError, DataError, SteelyardError, UnknownNameError
from steelyard.harness.files import code_digest, digest_json
from steelyard.harness.plugins import TaskTexts, missing_package
from steelyard.harness.records import Failure, Parity
from steelyard.harness.suites.examples import Questions, check_every_document
from steelyard.harness.suites.groups import BuiltGroup
from steelyard.harness.suites.identity import content_digest
from steelyard.harness.suites.metadata import TaskMetadata
from steelyard.harness.suites.narrowed import Documents, as_lm_eval_measures, narrowed
from steelyard.harness.suites.references import task_texts
from steelyard.harness.suites.suite import EvaluateMetric, ExtraMetric, Suite

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM
    from lm_eval.api.task import Task, TaskConfig


#: Which items a limit keeps and which examples stand in a prompt do not follow the experiment's
#: seed: a recipe trained with another seed is scored on the same items. lm-eval's own default.
SUITE_SEED = 1234


@dataclass(frozen=True)
class BuiltTask:
    """One lm-eval task, narrowed to its documents."""

    name: str
    task: Task
    """Its evaluation documents are the chosen ones."""
    documents: Documents
    num_fewshot: int
    limit: int | None
    metadata: TaskMetadata
    task_digest: str
    data_digest: str
    dumped_digest: str | None = None
    """Of the task's configuration as lm-eval dumps it: see ``same_as`` of a signature."""
    evaluate: tuple[EvaluateMetric, ...] = ()
    """Metrics of ``evaluate`` that the suite asks for beside the task's own."""
    extras: tuple[ExtraMetric, ...] = ()
    """Metrics by an extra model that the suite asks for."""
    first: BuiltTask | None = None
    """The first pass of a task that asks twice, over the same documents."""
    whole: BuiltTask | None = None
    """The task of which this is a part; None: it is whole."""
    parity: Parity = "steelyard"
    """Whose measures of text these are: lm-eval's know no language and no other spelling."""

    @cached_property
    def texts(self) -> TaskTexts:
        """The right answers of the whole task: a part of it is measured by the same rules."""
        if self.whole is not None:
            return self.whole.texts
        texts = task_texts(self.task, self.documents, self.metadata.language)
        return replace(texts, like_lm_eval=self.parity == "lm-eval")

    @property
    def filters(self) -> tuple[str, ...]:
        """The names of the filters behind which the task is measured."""
        return tuple(str(ensemble.name) for ensemble in getattr(self.task, "_filters", ()))

    def words_for_nothing(self, filter_name: str) -> frozenset[str]:
        """What the steps of a filter put where they find nothing: ``[invalid]`` of a regex."""
        ensembles = getattr(self.task, "_filters", ())
        steps = [step() for e in ensembles if e.name == filter_name for step in e.filters]
        return frozenset(str(step.fallback) for step in steps if hasattr(step, "fallback"))

    @property
    def output_type(self) -> str:
        """What the model is asked for: multiple_choice, generate_until, loglikelihood, ..."""
        return str(self.task.OUTPUT_TYPE)

    @property
    def without_examples(self) -> Collection[str]:
        """Content digests of documents that cannot be asked with as many few-shot examples."""
        questions: Questions = self.task.questions
        return questions.without_examples

    @property
    def config(self) -> TaskConfig:
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
    groups: tuple[BuiltGroup, ...] = ()
    """Groups of the tasks that have a score of their own."""
    missing: tuple[Failure, ...] = ()
    """Tasks of the suite that this machine cannot build, and why: a run without them is
    incomplete."""
    _requests: dict[str, tuple[dict[str, list[Instance]], dict[str, SteelyardError]]] = field(
        default_factory=dict
    )

    @property
    def summary(self) -> str:
        """How much is asked, in words: ``mine: 3 tasks, at most 40 items of each``."""
        parts = [f"{self.suite.name}: {len(self.tasks)} tasks"]
        limits = {task.limit for task in self.tasks}
        if len(limits) == 1 and None not in limits and len(self.tasks) > 1:
            parts.append(f"at most {limits.pop()} items of each")
        elif limits - {None}:
            items = sum(len(task.documents) for task in self.tasks)
            parts.append(f"{items} items in all")
        parts += [f"{len(self.missing)} cannot be built here"] if self.missing else []
        return ", ".join(parts)

    @property
    def digest(self) -> str:
        """What is asked, and how: tasks, documents, shots, seed, template policy."""
        tasks = [(t.name, t.task_digest, t.data_digest, t.num_fewshot, t.limit) for t in self.tasks]
        fidelity = None if self.fidelity is None else self.fidelity.data_digest
        asked: list[object] = [tasks, fidelity, self.seed, self.apply_chat_template, self.system]
        asked += [failure.stage for failure in self.missing]
        asked += [[group.name, group.digest] for group in self.groups]
        asked += [_metrics_digest(t) for t in self.tasks if t.evaluate]
        asked += [[m.model_dump(mode="json") for m in t.extras] for t in self.tasks if t.extras]
        asked += [[t.name, t.metadata.language] for t in self.tasks if t.metadata.language]
        if self.cost is not None and self.suite.cost is not None:
            asked.append([self.cost.data_digest, self.suite.cost.model_dump(mode="json")])
        if self.suite.parity != "steelyard":
            asked.append(["parity", self.suite.parity])
        return digest_json(asked)

    def requests(self, lm: LM) -> dict[str, list[Instance]]:
        """Fresh requests of every task, ready to be answered by ``lm``.

        Of a task that asks twice they are those of its first pass. Raises for the first task whose
        documents cannot be asked.
        """
        requests, unasked = self.requests_or_failures(lm)
        for error in unasked.values():
            raise error
        return requests

    def requests_or_failures(
        self, lm: LM
    ) -> tuple[dict[str, list[Instance]], dict[str, SteelyardError]]:
        """``requests`` of the tasks that can be asked, and why the others cannot."""
        key = "" if not self.apply_chat_template else digest_json(_chat_of(lm))
        if key not in self._requests:
            self._requests[key] = {}, {}
            asked, unasked = self._requests[key]
            for task in self.tasks:
                try:
                    asked[task.name] = self.requests_of(task.first or task, lm)
                except SteelyardError as error:
                    unasked[task.name] = error
        asked, unasked = self._requests[key]
        fresh = {
            name: [replace(r, resps=[], filtered_resps={}) for r in requests]
            for name, requests in asked.items()
        }
        return fresh, unasked

    def requests_of(self, built: BuiltTask, lm: LM) -> list[Instance]:
        """One task's requests, built anew."""
        task = built.task
        task.set_fewshot_seed(self.seed)
        with building(built.name):
            task.build_all_requests(
                system_instruction=self.system,
                apply_chat_template=self.apply_chat_template,
                fewshot_as_multiturn=self.apply_chat_template,
                chat_template=lm.apply_chat_template if self.apply_chat_template else None,
                tokenizer_name="",
            )
            if built.without_examples:
                digests = map(content_digest, built.documents)
                check_every_document(task.questions, digests, built.name, built.num_fewshot)
        return list(task.instances)


def _metrics_digest(built: BuiltTask) -> list[object]:
    """What a task is measured by besides its own metrics, local modules by their content."""
    return [
        [m.model_dump(mode="json", exclude={"module"}), Path(m.module).name, _content(m.module)]
        for m in built.evaluate
    ]


def _content(module: str) -> str | None:
    return code_digest(Path(module)) if module.endswith(".py") else None


def _chat_of(lm: LM) -> list[object]:
    """What a chat becomes a prompt by: two models may have one template and other tokens in it."""
    special = getattr(getattr(lm, "tokenizer", None), "special_tokens_map", {})
    return [_template(lm), sorted((name, str(token)) for name, token in dict(special).items())]


def _template(lm: LM) -> str:
    template = lm.chat_template(True)
    if not template:
        raise ConfigError(
            "the tokenizer has no chat template", key="chat_template", fix="set it to false"
        )
    return str(template)


@contextmanager
def building(name: str) -> Iterator[None]:
    """Within this block lm-eval is quiet, and what it raises is one line about a task."""
    with quiet():
        try:
            yield
        except (SteelyardError, MemoryError):  # the memory is the machine's, not the task's
            raise
        except Exception as error:
            raise _told_of(name, error) from error


def _told_of(name: str, error: Exception) -> SteelyardError:
    if isinstance(error.__cause__, SteelyardError):
        return error.__cause__
    if (missing := missing_package(error, f"task '{name}'")) is not None:
        return missing
    if isinstance(error, KeyError) and "not a registered task" in str(error):
        return UnknownNameError(f"no task named '{name}'")
    text = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, IndexError) and "size 0" in text:
        return DataError(f"task '{name}' has no documents to ask", fix="is its split empty?")
    message = f"task '{name}' cannot be built: {type(error).__name__}: {text}"
    if isinstance(error, (OSError, ConnectionError)):
        return DataError(message, fix="is its data set on this machine, or the hub within reach?")
    return ConfigError(message, fix=f"check it with `steelyard tasks check {name}`")


def with_first_pass(built: BuiltTask, first: BuiltTask) -> BuiltTask:
    """``built`` with its first pass, which asks the documents of ``built``.

    Raises ``ConfigError`` where the first pass gives no texts or nothing can be made of them.
    """
    key = "metadata.steelyard.first_pass"
    if first.output_type != "generate_until":
        problem = f"the first pass of '{built.name}' must generate text"
        raise ConfigError(problem, key=key, value=first.name, fix="name a generate_until task")
    if not callable(getattr(built.task, "after", None)):
        fix = "name a class with `after(doc, answers)` under class:"
        raise ConfigError(f"task '{built.name}' has a first pass and no `after`", key=key, fix=fix)
    return replace(
        built,
        first=with_documents(first, built.documents),
        task_digest=digest_json([built.task_digest, first.task_digest]),
    )


def with_parity(built: BuiltTask, parity: Parity) -> BuiltTask:
    """``built`` as it measures texts under ``parity``."""
    if parity != "lm-eval":
        return built
    return replace(built, parity=parity, task=as_lm_eval_measures(built.task))


def with_documents(built: BuiltTask, documents: Documents) -> BuiltTask:
    """The task with other documents; the one that is handed in is left as it was."""
    return replace(built, task=narrowed(built.task, documents), documents=documents)
