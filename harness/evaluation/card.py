"""A task in full: what it asks, how it is measured, what guessing gives, what it costs to ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.checkpoints import open_base
from steelyard.harness.errors import ConfigError
from steelyard.harness.evaluation.part import PartEvaluation
from steelyard.harness.evaluation.questions import Questions
from steelyard.harness.files import read_text
from steelyard.harness.plugins import load_plugin, plugin_names
from steelyard.harness.records import SampleRecord, Score
from steelyard.harness.scoring import open_model
from steelyard.harness.suites import (
    BuiltSuite,
    BuiltTask,
    build,
    content_digest,
    load_suite,
    names_in,
)

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

#: Documents whose questions are put together to count what an item costs.
COUNTED = 100


@dataclass(frozen=True)
class Example:
    """One question as a model is asked it."""

    prompt: str
    target: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskCard:
    """What can be said of a task before any model has seen it."""

    task: str
    file: str | None
    output_type: str
    documents: int
    few_shot: int
    family: str
    primary: str | None
    chance: float | None
    majority: float | None
    cluster: str | None
    slices: tuple[str, ...]
    advisory: bool
    metrics: dict[str, str]
    """Metric name -> what it is, with its source."""
    requests_per_item: float
    tokens_per_100_items: int | None
    """Prompt tokens, each request counted whole; None without a tokenizer."""
    examples: tuple[Example, ...]
    problems: tuple[str, ...]
    """What would leave samples unscored or counts double."""


def built_suite(name: str, include: Sequence[str] = ()) -> BuiltSuite:
    """A suite of this one task or group. Raises what building it raises."""
    spec = {"name": name, "tasks": [name], "include": [str(Path(f).resolve()) for f in include]}
    return build(load_suite(spec, folder=Path()))


def task_cards(
    suite: BuiltSuite,
    *,
    examples: int = 1,
    count_tokens: Callable[[str], int] | None = None,
    file: Path | None = None,
) -> list[TaskCard]:
    """The cards of every task of a built suite, with ``examples`` questions each."""
    # Questions are the model's own only under a chat template, which is not applied here.
    questions = Questions(None, suite)
    return [_card(questions, task, examples, count_tokens, file) for task in suite.tasks]


def _card(
    questions: Questions,
    built: BuiltTask,
    examples: int,
    count_tokens: Callable[[str], int] | None,
    file: Path | None,
) -> TaskCard:
    meta = built.metadata
    asked = questions.questions(built.name)
    requests = questions.requests_of(built.name)
    return TaskCard(
        task=built.name,
        file=None if file is None else str(file),
        output_type=built.output_type,
        documents=len(asked),
        few_shot=built.num_fewshot,
        family=meta.family,
        primary=meta.primary,
        chance=meta.chance,
        majority=meta.majority,
        cluster=meta.cluster,
        slices=meta.slices,
        advisory=meta.advisory,
        metrics=_metrics(built),
        requests_per_item=sum(map(len, requests)) / max(len(asked), 1),
        tokens_per_100_items=_cost(requests, count_tokens),
        examples=tuple(
            Example(sample.prompt, sample.target, _choices(built, i))
            for i, sample in enumerate(asked[:examples])
        ),
        problems=tuple(_problems(built, asked)),
    )


def _metrics(built: BuiltTask) -> dict[str, str]:
    listed = getattr(built.config, "metric_list", None) or []
    names = [str(entry.get("metric")) for entry in listed] + list(built.metadata.also)
    registered = plugin_names("metrics")
    texts = {}
    for name in dict.fromkeys(names):
        text = load_plugin("metrics", name).__doc__ if name in registered else None
        texts[name] = " ".join((text or "the mean of a number that the task gives").split())
    return texts


def _cost(
    requests: Sequence[Sequence[Instance]], count_tokens: Callable[[str], int] | None
) -> int | None:
    if count_tokens is None or not requests:
        return None
    counted = requests[:COUNTED]
    texts = ["".join(map(str, _texts_read(request))) for item in counted for request in item]
    return round(100 * sum(map(count_tokens, texts)) / len(counted))


def _texts_read(request: Instance) -> tuple[object, ...]:
    """What the model reads: a generation's settings are not text."""
    arguments: tuple[object, ...] = request.args
    return arguments[:1] if request.request_type == "generate_until" else arguments


def _choices(built: BuiltTask, position: int) -> tuple[str, ...]:
    if built.output_type != "multiple_choice":
        return ()
    return tuple(map(str, built.task.doc_to_choice(built.documents[position])))


def _problems(built: BuiltTask, asked: Sequence[SampleRecord]) -> list[str]:
    """Faults of the documents, counted; each makes samples unscored, double, or worthless."""
    if not asked:
        return ["no documents"]
    faults = []
    # Not by prompt: few-shot examples differ from one copy to the next.
    copies = Counter(content_digest(document) for document in built.documents)
    doubled = sum(n - 1 for n in copies.values())
    empty_prompt = sum(not s.prompt.strip() for s in asked)
    empty_target = sum(not s.target.strip() for s in asked)
    if doubled:
        faults.append(f"{doubled} of {len(asked)} documents are copies of another")
    if empty_prompt and built.output_type != "loglikelihood_rolling":
        faults.append(f"{empty_prompt} of {len(asked)} prompts are empty")
    if empty_target:
        faults.append(f"{empty_target} of {len(asked)} right answers are empty")
    if built.output_type == "multiple_choice":
        short = sum(len(_choices(built, i)) < 2 for i in range(len(asked)))
        if short:
            faults.append(f"{short} of {len(asked)} have fewer than two choices: unscored")
    for field in (*built.metadata.slices, *filter(None, [built.metadata.cluster])):
        lacking = sum(field not in document for document in built.documents)
        if lacking:
            faults.append(f"{lacking} of {len(asked)} documents lack the field '{field}'")
    return faults


def try_out(suite: BuiltSuite, items: int = 3) -> tuple[list[Score], list[SampleRecord]]:
    """Score the first ``items`` of every task with the microworld's model.

    Its scores mean nothing on a task of another world; that there are any is the point. Raises
    ``ScoringError`` where a task cannot be scored.
    """
    checkpoint = open_base("microworld")
    lm = open_model(checkpoint.weights_folder, device="cpu", report=lambda _: None)
    part = PartEvaluation(lm, suite, checkpoint)
    scores: list[Score] = []
    samples: list[SampleRecord] = []
    for task, ids in part.sample_ids.items():
        evaluation = part.score(task, ids[:items])
        scores += evaluation.scores
        samples += evaluation.samples
    return scores, samples


def task_of_file(path: Path) -> tuple[str, Path]:
    """The name of the task that a YAML file defines, and the folder to include.

    Raises ``ConfigError`` where it defines none.
    """
    if not path.is_file():
        raise ConfigError("no such file", file=path, fix="name a task or its YAML file")
    names = sorted(names_in(read_text(path)))
    if not names:
        raise ConfigError("defines no task", file=path, key="task", fix="add `task: NAME`")
    return names[0], path.parent
