"""Suite x checkpoint -> scores, rows and samples, through ``lm_eval.evaluate``.

    built = build(load_suite("core", folder=Path()))         # once an experiment
    evaluation = evaluate(open_model(...), built, checkpoint=checkpoint)

A task that fails is a ``Failure`` and the others go on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steelyard.harness.checkpoints import added_tokens, likelihood_digest
from steelyard.harness.environment import quiet, versions
from steelyard.harness.errors import ScoringError, SteelyardError
from steelyard.harness.evaluation.answers import Entry
from steelyard.harness.evaluation.fidelity import measured_divergence
from steelyard.harness.evaluation.groups import group_scores, group_signature
from steelyard.harness.evaluation.rows import ScoredTask, score_task
from steelyard.harness.evaluation.second_pass import second_pass
from steelyard.harness.evaluation.window import Window
from steelyard.harness.plugins import Progress, no_progress
from steelyard.harness.records import (
    FIDELITY,
    Checkpoint,
    Failure,
    Rows,
    SampleRecord,
    Score,
    TaskSignature,
    stage_name,
)
from steelyard.harness.scoring import Scorer, as_scorer
from steelyard.harness.suites import BuiltSuite, BuiltTask, build, prepared, same_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM

__all__ = ["BuiltSuite", "BuiltTask", "Evaluation", "build", "divergence", "evaluate"]

#: How signatures spell a library: baseline files hold this name.
_SIGNED_AS = {"lm-eval": "lm_eval"}


@dataclass(frozen=True)
class Evaluation:
    """Everything that scoring one checkpoint on one suite gave."""

    scores: tuple[Score, ...] = ()
    rows: tuple[Rows, ...] = ()
    samples: tuple[SampleRecord, ...] = ()
    signatures: tuple[TaskSignature, ...] = ()
    failures: tuple[Failure, ...] = ()

    def merged(self, other: Evaluation) -> Evaluation:
        """Both evaluations' records, this one's first."""
        return Evaluation(
            scores=self.scores + other.scores,
            rows=self.rows + other.rows,
            samples=self.samples + other.samples,
            signatures=self.signatures + other.signatures,
            failures=self.failures + other.failures,
        )


def evaluate(
    lm: LM | Scorer,
    built: BuiltSuite,
    *,
    checkpoint: Checkpoint,
    progress: Progress = no_progress,
) -> Evaluation:
    """Score ``lm``, any ``lm_eval.api.model.LM`` that stands for ``checkpoint``, on the suite."""
    lm = as_scorer(lm)
    requests, unasked = built.requests_or_failures(lm)
    passes = {task.name: 1 if task.first is None else 2 for task in built.tasks}
    total = sum(passes[name] * len(own) for name, own in requests.items())
    lm.progress.expect(total)
    unscored = [_failure(name, error) for name, error in unasked.items()]
    evaluation, done = Evaluation(failures=(*built.missing, *unscored)), 0
    for task in built.tasks:
        if task.name in unasked:
            continue
        progress(done, total, task.name)
        evaluation = evaluation.merged(
            evaluate_task(lm, built, task, requests[task.name], checkpoint)
        )
        done += passes[task.name] * len(requests[task.name])
    progress(done, total, "")
    return evaluation.merged(_of_groups(built, evaluation))


def _of_groups(built: BuiltSuite, evaluation: Evaluation) -> Evaluation:
    """The scores of the suite's groups, with what they were scored under."""
    tasks = {task.name: task for task in built.tasks}
    scores = group_scores(built.groups, tasks, evaluation.scores)
    signatures = {signature.task: signature for signature in evaluation.signatures}
    named = [
        group_signature(
            group.name, group.digest, [signatures[t] for t in group.tasks if t in signatures]
        )
        for group in built.groups
        if any(score.task == group.name for score in scores)
    ]
    return Evaluation(scores, signatures=tuple(each for each in named if each is not None))


def fill(
    lm: Scorer, built: BuiltSuite, share: tuple[int, int], progress: Progress = no_progress
) -> None:
    """Answer shard ``share[0]`` of ``share[1]`` of every task into the journal of ``lm``.

    Requests go to ``lm`` in the calls in which lm-eval makes them (a task's requests of one type,
    each as often as it repeats): packs are cut within a call.
    """
    requests, _ = built.requests_or_failures(lm)
    for done, task in enumerate(built.tasks):
        progress(done, len(built.tasks), task.name)
        by_type: dict[str, list[Instance]] = {}
        for request in requests.get(task.name, ()):
            by_type.setdefault(request.request_type, []).extend([request] * request.repeats)
        for calls in by_type.values():
            lm.fill(calls, share)
    progress(len(built.tasks), len(built.tasks), "")


def divergence(
    lm: Scorer,
    parent_lm: Scorer,
    built: BuiltSuite,
    *,
    checkpoint: Checkpoint,
    parent: Checkpoint | None = None,
) -> Evaluation:
    """How far ``lm`` has moved from ``parent_lm`` over the suite's fidelity documents.

    Scores stand under the task ``fidelity``; an evaluation without scores where the suite names no
    fidelity task.
    """
    task = built.fidelity
    if task is None:
        return Evaluation()
    try:
        scored = measured_divergence(lm, parent_lm, task)
    except MemoryError:  # of the machine, not of the task: the run ends, and is no verdict
        raise
    except Exception as error:
        return Evaluation(failures=(_failure(FIDELITY, error),))
    signature = signature_of(lm, built, task, checkpoint, ())
    # Settings of generation change no log-likelihood, and so no divergence.
    reference = None if parent is None else likelihood_digest(parent.manifest.digests)
    # A divergence has one rule; before it had one, BOS was counted where a tokenizer puts it.
    added = lm.tokenizer is not None and bool(added_tokens(lm.tokenizer))
    update = {
        "task": FIDELITY,
        "decoding": None,
        "reference": reference,
        "parity": "steelyard" if added else None,
    }
    named = signature.model_copy(update=update)
    return Evaluation(scored.scores, scored.rows, scored.samples, (named,))


def evaluate_task(
    lm: Scorer,
    built: BuiltSuite,
    task: BuiltTask,
    requests: list[Instance],
    checkpoint: Checkpoint,
    ids: Sequence[str] | None = None,
) -> Evaluation:
    """Score one task, or the part of it whose documents ``ids`` name; what fails is a failure.

    Raises ``MemoryError``: that is of the machine, and says nothing of the task.
    """
    try:
        if task.first is not None:
            task, own_ids = second_pass(lm, task, requests)
            ids, requests = ids or own_ids, built.requests_of(task, lm)
        entries, printed = _answered(lm, task, requests)
        scored: ScoredTask = score_task(task, entries, printed, _window(lm), ids=ids)
    except MemoryError:
        raise
    except Exception as error:
        return Evaluation(failures=(_failure(task.name, error),))
    signature = signature_of(lm, built, task, checkpoint, requests)
    return Evaluation(scored.scores, scored.rows, scored.samples, (signature,))


def _answered(
    lm: Scorer, built: BuiltTask, requests: list[Instance]
) -> tuple[Sequence[Entry], Mapping[str, object]]:
    """lm-eval's logged samples and its results for one task."""
    import lm_eval

    with quiet():
        results = lm_eval.evaluate(
            lm=lm,
            task_dict={"tasks": {built.name: prepared(built.task, requests)}},
            log_samples=True,
            bootstrap_iters=0,
        )
    if results is None:
        raise ScoringError(f"task '{built.name}': this process has no results (rank above 0)")
    return results["samples"][built.name], results["results"][built.name]


def _window(lm: Scorer) -> Window:
    config = getattr(lm.model, "config", None)
    return Window(
        lm.max_length,
        lm.count_tokens,
        bool(getattr(config, "is_encoder_decoder", False)),
        0 if lm.tokenizer is None else len(added_tokens(lm.tokenizer).before),
    )


def signature_of(
    lm: Scorer,
    built: BuiltSuite,
    task: BuiltTask,
    checkpoint: Checkpoint,
    requests: Sequence[Instance],
) -> TaskSignature:
    """Under what the task is scored; known before it is. ``requests`` are all that it asks."""
    generates = task.output_type == "generate_until"
    decoding = getattr(task.config, "generation_kwargs", None) if generates else None
    digests = checkpoint.manifest.digests
    return TaskSignature(
        task=task.name,
        task_digest=task.task_digest,
        data_digest=task.data_digest,
        few_shot=task.num_fewshot,
        few_shot_seed=built.seed if task.num_fewshot else None,
        template=digests.chat_template if built.apply_chat_template else None,
        tokenizer=digests.tokenizer,
        dtype=lm.dtype or str(checkpoint.manifest.dtype),
        limit=task.limit,
        max_length=lm.max_length,
        decoding=None if decoding is None else _one_line(decoding),
        generation_defaults=lm.generation_defaults if generates else None,
        chat_time=lm.chat_time if built.apply_chat_template else None,
        backend=lm.backend,
        parity=lm.parity(requests),
        same_as=None if task.dumped_digest is None else _same_as(task),
        versions=_versions(task),
    )


def _same_as(task: BuiltTask) -> str:
    assert task.dumped_digest is not None
    return same_as(task.dumped_digest, task.data_digest)


def _one_line(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _versions(task: BuiltTask) -> dict[str, str]:
    """The versions of the libraries that may move a number of the task."""
    signed = versions("signature")
    if task.output_type == "generate_until":
        signed |= versions("text")
    return {_SIGNED_AS.get(name, name): number for name, number in signed.items()}


def _failure(task: str, error: Exception) -> Failure:
    if isinstance(error, SteelyardError):
        return Failure(stage=stage_name("score", task), message=str(error))
    first = (str(error).strip().splitlines() or [""])[0]
    return Failure(
        stage=stage_name("score", task), message=f"{type(error).__name__}: {first}"[:500]
    )
