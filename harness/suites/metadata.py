"""What a task says of itself for our reports: ``metadata: {steelyard: {...}}`` in its YAML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from steelyard.harness.errors import ConfigError
from steelyard.harness.files import validated
from steelyard.harness.files.old_names import own_part
from steelyard.harness.records import QUALITY, Record

if TYPE_CHECKING:
    from lm_eval.api.task import Task

#: Metrics whose chance level is that of picking a choice at random.
CHOICE_METRICS = ("acc", "acc_norm", "acc_bytes")
#: A language as BCP 47 and FLORES write it: two or three letters, then script or region.
LANGUAGE = r"^[a-z]{2,3}([-_][A-Za-z0-9]+)*$"


class TaskMetadata(Record):
    """The ``steelyard`` part of a task's metadata; every key may be left out."""

    family: str = QUALITY
    chance: float | None = None
    """What guessing scores on the primary metric."""
    chances: Mapping[str, float] = Field(default_factory=dict)
    """What guessing, or the best constant answer, scores on other metrics, by name."""
    majority: float | None = None
    """What the most frequent answer scores on the primary metric."""
    primary: str | None = None
    """The metric that stands for the task; None: the first of its list."""
    cluster: str | None = None
    """Field of the document whose equal values are not independent."""
    slices: tuple[str, ...] = ()
    """Fields of the document by which results are shown apart; the first one strata a limit."""
    also: tuple[str, ...] = ()
    """Metric plugins computed from the same values besides those that the task gives."""
    graded: tuple[str, ...] = ()
    """Metrics that this task gives as a share although their name stands for 0 or 1."""
    needs_variety: tuple[str, ...] = ()
    """Metrics that one and the same answer to everything would win; they are then unscored."""
    first_pass: str | None = None
    """The task that asks for what this one builds its questions from; see ``two_passes``."""
    advisory: bool = False
    """Shown, never to be gated on."""
    ungated: tuple[str, ...] = ()
    """Metrics that are shown and never to be gated on, though the task's others may be."""
    note: str | None = None
    language: str | None = Field(default=None, pattern=LANGUAGE)
    """The language of the answers (``zh``, ``ja``, ``pt-BR``): it chooses BLEU's tokenizer."""

    def stratum(self, document: Mapping[str, object]) -> str:
        """Which stratum of a limit a document belongs to."""
        return str(document.get(self.slices[0])) if self.slices else ""

    def is_advisory(self, metric: str) -> bool:
        """Whether a metric (its name, without a filter's) is shown and never gated on."""
        return self.advisory or metric in self.ungated

    def slices_of(self, document: Mapping[str, object]) -> dict[str, str]:
        """Slice field -> value of a document."""
        return {f: str(document[f]) for f in self.slices if document.get(f) is not None}

    def cluster_of(self, document: Mapping[str, object]) -> str | None:
        """The cluster that a document belongs to, or None where it stands alone."""
        if self.cluster is None or document.get(self.cluster) is None:
            return None
        return str(document[self.cluster])


def task_metadata(task: Task, name: str) -> TaskMetadata:
    """The validated metadata of an lm-eval task. Raises ``ConfigError`` naming the key."""
    metadata = getattr(getattr(task, "config", None), "metadata", None) or {}
    name_of_ours, ours = own_part(metadata) if isinstance(metadata, Mapping) else ("", None)
    if ours is None:
        return TaskMetadata()
    where = f"metadata.{name_of_ours}"
    if not isinstance(ours, Mapping):
        raise ConfigError("expected `key: value` lines", key=where)
    content = {key: value for key, value in ours.items() if value is not None}
    return validated(TaskMetadata, content, key=where)


def choice_floors(metadata: TaskMetadata, task: Task, documents: Iterable[object]) -> TaskMetadata:
    """``metadata`` with chance and majority of a multiple-choice task where it names none.

    Chance is the mean of right choices over choices; the majority baseline always gives the
    position that is right most often.
    """
    primary = metadata.primary or "acc"
    if str(task.OUTPUT_TYPE) != "multiple_choice" or primary not in CHOICE_METRICS:
        return metadata
    if metadata.chance is not None and metadata.majority is not None:
        return metadata
    shares, positions, n = 0.0, Counter[int](), 0
    for document in documents:
        right = right_choices(task, document)
        count = len(task.doc_to_choice(document)) if right else 0  # without choices none is right
        if count < 2:
            return metadata
        shares, n = shares + len(right) / count, n + 1
        positions.update(right)
    if n == 0:
        return metadata
    floors = {"chance": shares / n, "majority": max(positions.values()) / n}
    unnamed = {key: value for key, value in floors.items() if getattr(metadata, key) is None}
    return metadata.model_copy(update=unnamed)


def right_choices(task: Task, document: object) -> list[int]:
    """Indices of the right choices of a multiple-choice document; empty where none is named."""
    try:
        choices = list(task.doc_to_choice(document))
        # Several inputs with one target (Winogrande): the text names which input is right.
        label = task.doc_to_text(document) if task.multiple_input else task.doc_to_target(document)
    except (AttributeError, TypeError, KeyError, ValueError):
        return []
    labels = label if isinstance(label, (list, tuple)) else [label]
    labels = [int(x) if isinstance(x, float) and x.is_integer() else x for x in labels]
    places = [
        choices.index(label) if label in choices else -1 if isinstance(label, str) else label
        for label in labels
    ]
    return [int(place) for place in places if isinstance(place, int) and 0 <= place < len(choices)]
