"""Few-shot examples: no prompt shows its document the answer.

lm-eval 0.4.13 leaves a document out of its own examples only where ``fewshot_split`` and
``test_split`` have one name, and then only an example that equals it field by field. A task with a
test split alone, one that is scored on its validation split, a file named for both, fixed
``samples`` that hold a test document, and a copy under another id all show their own answers there
(EleutherAI/lm-evaluation-harness #4145). Here an example that asks what the document asks is
replaced by another one of the pool; prompts without such an example are those of lm-eval.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import ConfigError, DataError
from steelyard.harness.suites.identity import content_digest
from steelyard.harness.suites.metadata import right_choices
from steelyard.harness.texts import caseless

if TYPE_CHECKING:
    from lm_eval.api.samplers import ContextSampler
    from lm_eval.api.task import Task

#: Marks around words that make no other question; a sign within or alone (3 + 5) does.
_MARKS = ".,;:!?\"'()[]{}«»“”‘’„…。，、；：！？「」『』（）【】¿¡।؟،؛"
#: A document as a task takes it.
Document = Any


@dataclass
class Questions:
    """What documents and examples of one task ask, read once for each.

    Two ask the same where the question and its choices, or the question and its right answer, hold
    the same words in any order: a copy whose choices were shuffled, whose wrong ones are others, or
    that differs in capitals, spaces, marks around words or an id, gives the answer away too.
    """

    task: Task
    without_examples: set[str] = field(default_factory=set)
    """Content digests of documents for which the pool holds too few other examples."""
    _read: dict[int, tuple[Document, frozenset[bytes], bool]] = field(default_factory=dict)

    def asked_by(self, example: Document) -> frozenset[bytes]:
        """Digests of what an example asks, in the task's words and in those of its examples."""
        return self._of(example)[1]

    def unlabelled(self, example: Document) -> bool:
        """Whether an example has no right answer to show: lm-eval shows the last choice for -1."""
        return self._of(example)[2]

    def _of(self, example: Document) -> tuple[Document, frozenset[bytes], bool]:
        # The example is kept with what was read, so that its id is not another's meanwhile.
        if id(example) not in self._read:
            config = self.task.fewshot_cfg
            wordings = [(None, None), (config.doc_to_text, config.doc_to_choice)]
            asked = frozenset(
                digest
                for wording in wordings
                for digest in _questions(self.task, example, *wording)
            )
            self._read[id(example)] = (example, asked, _unlabelled(self.task, example))
        return self._read[id(example)]

    def same(self, example: Document, document: Document, asked: frozenset[bytes]) -> bool:
        """Whether an example asks what the document asks; ``asked`` are the document's digests."""
        return not asked.isdisjoint(self.asked_by(example)) or _equal(example, document)


@dataclass(frozen=True)
class OtherExamples:
    """A task's sampler, as it is asked for the examples of one document."""

    sampler: ContextSampler
    questions: Questions
    document: Document
    seed: int

    def __getattr__(self, name: str) -> Any:
        """What else a task of its own class asks of its sampler, such as ``replace_df``."""
        if name == "sampler":  # while a copy is made of it
            raise AttributeError(name)
        return getattr(self.sampler, name)

    def sample(self, n: int, eval_doc: Document = None, **options: Any) -> list[Document]:
        """``n`` examples as lm-eval draws them, those that ask the document's question replaced.

        Fewer where the pool holds no others: the document is then noted as one that cannot be
        asked with ``n`` examples.
        """
        asked = self.questions.asked_by(self.document)
        drawn = self._drawn(n, eval_doc, options)
        examples = [e for e in drawn if self._may_be_shown(e, asked)]
        if len(examples) < n:
            more = (e for e in self._others(asked) if not _held(e, drawn))
            examples += islice(more, n - len(examples))
        if len(examples) < n:
            self.questions.without_examples.add(content_digest(self.document))
        return examples

    def _drawn(self, n: int, eval_doc: Document, options: Mapping[str, Any]) -> Sequence[Document]:
        try:
            return list(self.sampler.sample(n, eval_doc=eval_doc, **options))
        except (ValueError, AssertionError):
            # lm-eval draws one more than it shows, which a pool of just as many has not.
            return []

    def _others(self, asked: frozenset[bytes]) -> Iterator[Document]:
        """Examples that ask something else: in the pool's order where that is what is shown, else
        in an order of the document's own, so that no other document's examples depend on it.
        """
        from lm_eval.api.samplers import FirstNSampler

        pool = pool_of(self.sampler)
        if not isinstance(self.sampler, FirstNSampler):
            pool = list(pool)
            Random(f"{self.seed}:{content_digest(self.document)}").shuffle(pool)
        return (e for e in pool if self._may_be_shown(e, asked))

    def _may_be_shown(self, example: Document, asked: frozenset[bytes]) -> bool:
        own = self.questions.same(example, self.document, asked)
        return not own and not self.questions.unlabelled(example)


def pool_of(sampler: ContextSampler) -> Sequence[Document]:
    """The examples that a sampler draws from."""
    pool: Sequence[Document] = getattr(sampler, "df", None) or []
    return pool


def check_pool(task: Task, name: str, num_fewshot: int) -> None:
    """Whether the task has as many examples as it shows, and those that its YAML chooses.

    lm-eval 0.4.13 reads ``fewshot_indices`` and never hands them to its sampler: they are taken
    here. Raises ``ConfigError`` or ``DataError``.
    """
    from lm_eval.api.samplers import SAMPLER_REGISTRY

    sampler: ContextSampler | None = getattr(task, "sampler", None)
    if not num_fewshot or sampler is None or type(sampler) not in SAMPLER_REGISTRY.values():
        return
    indices = getattr(task.fewshot_cfg, "fewshot_indices", None)
    pool = pool_of(sampler)
    if indices:
        beyond = [index for index in indices if not 0 <= index < len(pool)]
        if beyond:
            raise ConfigError(
                f"task '{name}' chooses an example that is not there: it has {len(pool)}",
                key="fewshot_config.fewshot_indices",
                value=beyond[0],
            )
        pool = [pool[index] for index in indices]
        sampler.replace_df(pool)
    if len(pool) < num_fewshot:
        have = f"has {len(pool)}" if len(pool) else "has none"
        raise DataError(
            f"task '{name}' shows {num_fewshot} examples and {have}",
            key="num_fewshot",
            fix="name a file or split of examples, or num_fewshot: "
            + ("0" if not len(pool) else f"{len(pool)} or fewer"),
        )


def check_every_document(
    questions: Questions, digests: Iterable[str], name: str, num_fewshot: int
) -> None:
    """Raises ``DataError`` where no document at all can be asked with as many examples."""
    if questions.without_examples and questions.without_examples.issuperset(digests):
        raise DataError(
            f"task '{name}' shows {num_fewshot} examples and has too few that are not the "
            "document itself: its prompts would show their own answers",
            key="num_fewshot",
            fix="name other examples (`fewshot_split:`, or `data.few_shot` in the suite), or show "
            "fewer",
        )


def _questions(task: Task, document: Document, text: object, choice: object) -> Iterator[bytes]:
    """Digests of what a document asks; none where it cannot be put in these words.

    The words of question and choices, and those of question and right answer: a copy with other
    wrong choices gives the answer away too.
    """
    try:
        asked = task.doc_to_text(document, text) if text is not None else task.doc_to_text(document)
        choices: Sequence[object] = ()
        if task.config.doc_to_choice is not None or choice is not None:
            choices = (
                task.doc_to_choice(document, choice)
                if choice is not None
                else task.doc_to_choice(document)
            )
        # Several inputs (Winogrande): what doc_to_text gives is the place of the right one.
        question = list(_words(asked if isinstance(asked, str) else ""))
        words = [*question, *_words(choices)] or list(_words(task.doc_to_target(document)))
    except Exception:  # a template or function of the task's on a document of another shape
        return
    yield _digest("asked", words)
    if not question:
        return
    try:
        right = [choices[at] for at in right_choices(task, document)]
    except Exception:  # no label, or one of another shape
        return
    if right:
        yield _digest("answered", [*question, *_words(right)])


def _digest(what: str, words: Iterable[str]) -> bytes:
    parts = "\0".join([what, *sorted(words)])
    return hashlib.blake2b(parts.encode("utf-8", "replace")).digest()


def _unlabelled(task: Task, example: Document) -> bool:
    if task.config.doc_to_choice is None:
        return False
    try:
        label = task.doc_to_target(example, task.fewshot_cfg.doc_to_target)
    except Exception:  # of another shape than the documents; showing it says what is wrong
        return False
    return isinstance(label, int) and label < 0


def _words(value: object) -> Iterator[str]:
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _words(part)
    else:
        words = (word.strip(_MARKS) for word in caseless(str(value)).split())
        yield from filter(None, words)


def _equal(example: Document, document: Document) -> bool:
    try:
        return bool(example == document)
    except ValueError:  # arrays, which have no one answer
        return False


def _held(example: Document, examples: Sequence[Document]) -> bool:
    return any(example is held for held in examples)
