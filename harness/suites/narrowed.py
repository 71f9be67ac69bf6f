"""An lm-eval task narrowed to chosen documents: a subclass of the class that it was loaded with.

lm-eval numbers the documents of ``samples=`` by position in the list handed in, so that an unsorted
list swaps their ids; a task whose documents *are* the chosen ones has no such trap. It is handed
requests that were built before, so that a suite's are built once for every checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import ConfigError
from steelyard.harness.files import time_limit
from steelyard.harness.suites.examples import OtherExamples, Questions
from steelyard.harness.suites.generated_text import corrected
from steelyard.harness.suites.identity import own_class
from steelyard.harness.suites.metadata import right_choices
from steelyard.harness.suites.printing import printed
from steelyard.harness.suites.targets import as_meant, own_results, picks_a_choice
from steelyard.harness.suites.templates import templates_compiled_once

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import Task

    Aggregate = Callable[[Sequence[object]], float | None]
else:  # lm-eval costs seconds to import, and is here only with a task of its own
    Task = object


#: What a task's filters may take, and each of its answers besides: a pattern takes microseconds.
FILTER_SECONDS, FILTER_SECONDS_EACH = 60.0, 0.01

#: A data set's rows or a list of them: mappings, or whatever a user's task takes for a document.
Documents = Sequence[Any]


def _rendering(name: str) -> Callable[..., Any]:
    """The method of the task's own class, with its templates compiled once."""

    def method(task: Narrowed, *arguments: Any, **options: Any) -> Any:
        with templates_compiled_once():
            return getattr(super(Narrowed, task), name)(*arguments, **options)

    return method


def _printing(name: str) -> Callable[..., Any]:
    """... and with what a document lacks never printed as the word None."""

    def method(task: Narrowed, document: Any, *arguments: Any, **options: Any) -> Any:
        own = getattr(super(Narrowed, task), name)
        with templates_compiled_once():
            return printed(name, task, document, partial(own, document, *arguments, **options))

    return method


class Narrowed(Task):
    """What stands in front of a task's own class; everything else is that class's."""

    own_class: type[Task]
    chosen_documents: Documents
    prepared_requests: Sequence[Instance] | None = None
    """Built before; None builds them."""
    uncorrected: bool = False
    """Whether lm-eval's own metrics of text are left as they are."""
    questions: Questions
    """What documents and examples ask, and which documents have too few examples."""
    few_shot_seed: int = 0
    is_asked: bool = False
    """Whether its requests are being built."""

    doc_to_text = _printing("doc_to_text")
    _printed_target = _printing("doc_to_target")
    doc_to_choice = _printing("doc_to_choice")
    doc_to_prefix = _rendering("doc_to_prefix")

    def doc_to_target(self, document: Any, *arguments: Any, **options: Any) -> Any:
        """The right answer: see :func:`~steelyard.harness.suites.targets.as_meant`."""
        target = self._printed_target(document, *arguments, **options)
        return as_meant(self, target, document, *arguments)

    def build_qa_turn(self, *, a: Any = None, c: Any = None, **options: Any) -> Any:
        """One example; of several right choices by number the first is shown.

        lm-eval 0.4.13 stops there (EleutherAI/lm-evaluation-harness #3933).
        """
        by_number = isinstance(a, list) and bool(a) and isinstance(a[0], int)
        return super().build_qa_turn(a=a[0] if by_number and c else a, c=c, **options)

    def process_results(self, document: Any, results: Sequence[Any]) -> Mapping[str, Any]:
        """The values of one document, lm-eval's own metrics of text put right.

        lm-eval looks at the first document for whether there are several right answers: a list
        behind a text is compared as text, a text behind a list letter by letter. Nothing where the
        label is none of the choices of a generated answer: -1 would be the last.
        """
        with templates_compiled_once():
            if not own_results(self):
                target = self.doc_to_target(document)
                self.multiple_target = len(target) if isinstance(target, list) else 0
                if picks_a_choice(self) and not right_choices(self, document):
                    return {}
            values: Mapping[str, Any] = super().process_results(document, results)
            return values if self.uncorrected else corrected(self, document, results, values)

    def set_fewshot_seed(self, seed: int | None = None) -> None:
        """lm-eval's, kept besides for the examples that take others' places."""
        self.few_shot_seed = 0 if seed is None else seed
        super().set_fewshot_seed(seed)

    def fewshot_context(self, doc: Any, *arguments: Any, **options: Any) -> Any:
        """The prompt of a document, whose examples never ask what the document asks."""
        sampler = getattr(self, "sampler", None)
        if sampler is None:
            with templates_compiled_once():
                return super().fewshot_context(doc, *arguments, **options)
        with templates_compiled_once():
            self.sampler = OtherExamples(sampler, self.questions, doc, self.few_shot_seed)
            try:
                return super().fewshot_context(doc, *arguments, **options)
            finally:
                self.sampler = sampler

    def test_docs(self) -> Documents:
        """The chosen documents where the task is scored on its test split."""
        return self.chosen_documents if self.has_test_docs() else super().test_docs()

    def validation_docs(self) -> Documents:
        """The chosen documents where the task has no test split."""
        return super().validation_docs() if self.has_test_docs() else self.chosen_documents

    def build_all_requests(self, **options: Any) -> None:
        """The prepared requests where there are some, as lm-eval keeps them."""
        if self.prepared_requests is not None:
            self._instances = list(self.prepared_requests)
            return
        self.is_asked = True
        try:
            super().build_all_requests(**options)
        finally:
            self.is_asked = False

    def apply_filters(self) -> list[Instance] | None:
        """lm-eval's, which may take so long; a pattern that backtracks takes for ever."""
        seconds = FILTER_SECONDS + FILTER_SECONDS_EACH * len(self._instances or ())
        error = ConfigError(
            f"the task's filters take more than {seconds:,.0f} seconds for its answers",
            key=f"{self.config.task}.filter_list",
            fix="write its regex_pattern without repeats inside repeats, as (a+)+",
        )
        with time_limit(seconds, error):
            filtered: list[Instance] | None = super().apply_filters()
            return filtered

    def aggregation(self) -> Mapping[str, Aggregate]:
        """The task's own aggregates; none raises where answers are given by a model."""
        own: dict[str, Aggregate] = super().aggregation()
        return own if self.prepared_requests is None else _Unfailing(own)


def narrowed(task: Task, documents: Documents) -> Task:
    """A copy of the task whose evaluation documents are ``documents``."""
    narrow = _copy(task, chosen_documents=documents, _instances=None)
    # A part of the task shares what was noted when the whole one's prompts were made.
    noted = vars(task).get("questions")
    narrow.questions = Questions(narrow, set() if noted is None else noted.without_examples)
    return narrow


def as_lm_eval_measures(task: Task) -> Task:
    """A copy of a narrowed task whose metrics of text are lm-eval's, right or wrong."""
    return _copy(task, uncorrected=True)


def prepared(task: Task, requests: Sequence[Instance]) -> Task:
    """A copy of a narrowed task that is asked exactly ``requests``."""
    return _copy(task, prepared_requests=requests)


def _copy(task: Task, **state: object) -> Task:
    # Not through the constructor, which would load the data set again.
    copied = object.__new__(_subclass(own_class(task)))
    copied.__dict__.update(vars(task) | state)
    return copied


#: Own class -> the subclass with :class:`Narrowed` in front, made once.
_subclasses: dict[type, type] = {}


def _subclass(own: type[Task]) -> type[Task]:
    if own not in _subclasses:
        body = {"own_class": own, "__module__": own.__module__, "__doc__": own.__doc__}
        _subclasses[own] = type(own.__name__, (Narrowed, own), body)
    return _subclasses[own]


class _Unfailing(dict[str, "Aggregate"]):
    """Aggregates by metric name, lm-eval's mean where a task names none; None where one raises.

    An aggregate may choke on a broken model's NaN; scores are computed from rows anyway.
    """

    def __getitem__(self, name: str) -> Aggregate:
        from lm_eval.api.metrics import mean

        aggregate: Aggregate = self.get(name, mean)

        def unfailing(values: Sequence[object]) -> float | None:
            try:
                return aggregate(values)
            except Exception:  # whatever a user's aggregate raises on a broken model's values
                return None

        return unfailing
