"""Whether two runs may be compared at all, declared before any number is looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from steelyard.harness.compare.problems import Cause, Problem
from steelyard.harness.compare.scored import Scored
from steelyard.harness.records import ONCE_UNNAMED, Difference, Run, TaskSignature, stage_subject

#: Fields of a signature, and why another value makes two numbers incomparable.
VOIDING: Mapping[str, str] = {
    "task_digest": "the task's definition changed",
    "data_digest": "the task's documents changed",
    "few_shot": "the number of few-shot examples changed",
    "few_shot_seed": "other few-shot examples were drawn",
    "template": "the chat template changed",
    "chat_time": "the chat template reads the clock, and was told another time",
    "limit": "another limit on the number of samples",
    "decoding": "the decoding settings changed",
    "reference": "measured against another model",
    "hardware": "measured on other hardware",
    "parity": "special tokens were put in by another rule",
}
#: Fields that are told and do not void: the same question, asked on another machine or in another
#: number format. Quantisation is what a comparison is often about.
INFORMING = ("dtype", "backend", "generation_defaults")
#: Fields that an earlier version did not write: nothing is said where one side lacks them.
_YOUNGER = ("generation_defaults",)
#: What a run made here and one imported from lm-eval write in words of their own. Where both ran
#: one configuration on the same documents, the rest shows in the prompts, by which samples pair.
_IN_THE_SAMPLES = ("task_digest", "data_digest", "few_shot_seed", "template")
#: What a score says of itself; another value makes two numbers of one name incomparable.
_OF_A_SCORE = ("kind", "higher_is_better", "signature", "unit", "scale", "method")


def inspect_run(baseline: Run, candidate: Run) -> list[Problem]:
    """What stands in the way of comparing anything at all of two runs."""
    return [
        *_of_run(baseline, "baseline"),
        *_of_run(candidate, "candidate"),
        *_stated_twice(baseline, "baseline"),
        *_stated_twice(candidate, "candidate"),
        *_same_weights(baseline, candidate),
    ]


def inspect_task(
    baseline: Scored, candidate: Scored, task: str
) -> tuple[list[Difference], list[Problem]]:
    """How two runs differ in what one of the baseline's tasks asked, and what of it voids."""
    if task not in candidate.tasks:
        return [], [Problem("rows", "the baseline has this task and the candidate does not", task)]
    differences, problems = _of_task(baseline, candidate, task)
    return differences, [*problems, *_of_scores(baseline, candidate, task)]


def _of_run(run: Run, side: str) -> list[Problem]:
    """What an incomplete run may not be compared on: the tasks that failed, which have no rows."""
    if run.complete and not run.failures:
        return []
    text = f"the {side} run '{run.candidate}' is incomplete"
    tasks = [stage_subject("score", failure.stage) for failure in run.failures]
    scored = {score.task for score in run.scores}
    if not tasks or scored.intersection(tasks) or not scored:
        failures = "; ".join(f"{failure.stage}: {failure.message}" for failure in run.failures)
        return [Problem("run", f"{text}: {failures or 'stopped'}")]
    return [
        Problem("run", f"{text}: {failure.stage}: {failure.message}", task)
        for failure, task in zip(run.failures, tasks, strict=True)
    ]


def _stated_twice(run: Run, side: str) -> list[Problem]:
    """A score that a run states twice: rows hold one of them, and nobody knows which is meant."""
    counts = Counter((score.task, score.metric) for score in run.scores)
    text = f"the {side} states this score more than once"
    return [Problem("rows", text, *key) for key, count in counts.items() if count > 1]


def _same_weights(baseline: Run, candidate: Run) -> list[Problem]:
    """A training that changed no weight, or a stale checkpoint under a new name."""
    before, after = baseline.checkpoint, candidate.checkpoint
    claims_change = bool(after.steps) and after.recipe_digest != before.recipe_digest
    if before.digest != after.digest or not claims_change:
        return []
    return [
        Problem(
            "run",
            f"the candidate '{candidate.candidate}' says that it was trained for {after.steps} "
            f"steps, but its weights are the baseline's (checkpoint {after.digest[:12]}): stale?",
        )
    ]


def _of_task(
    baseline: Scored, candidate: Scored, task: str
) -> tuple[list[Difference], list[Problem]]:
    before, after = baseline.run.signature(task), candidate.run.signature(task)
    if before is None or after is None:
        if before is after:
            return [], []
        side = "baseline" if before is None else "candidate"
        return [], [Problem("signature", f"the {side} does not say how it was scored", task)]
    differences: list[Difference] = []
    problems: list[Problem] = []
    leave_out = {*_in_the_samples(baseline.run, candidate.run, before, after)}
    whole = _leaves_nothing_out(baseline.run, before) and _leaves_nothing_out(candidate.run, after)
    if whole and before.data_digest == after.data_digest:
        leave_out.add("limit")
    for name, was, now in _changed(before, after, leave_out):
        touched = _voided(name, baseline, task)
        differences.append(
            Difference(task=task, field=name, baseline=was, candidate=now, voids=touched != [])
        )
        why = VOIDING.get(name, f"another {name.replace('_', ' ')}")
        # A divergence carries what it diverges from; each candidate has a parent of its own.
        both = was is not None and now is not None
        cause: Cause = "reference" if name == "reference" and both else "signature"
        sides = _shortened_digest(was), _shortened_digest(now)
        text = f"{why} ({sides[0]} in the baseline, {sides[1]} in the candidate)"
        text += _hint(name, baseline.run, candidate.run, before, after)
        problems += [Problem(cause, text, task, metric) for metric in touched]
    return differences, problems


def _hint(
    name: str, baseline: Run, candidate: Run, before: TaskSignature, after: TaskSignature
) -> str:
    """What tells a run made here and an imported one apart, where their digests cannot be equal."""
    imported = [run.imported_from is not None for run in (baseline, candidate)]
    if name not in _IN_THE_SAMPLES or imported[0] == imported[1]:
        return ""
    scores = (*baseline.scores, *candidate.scores)
    if any(score.parts for score in scores if score.task == before.task):
        return "; lm-eval writes a group's number without its rows: hold its tasks together"
    if before.same_as is None or after.same_as is None:
        return "; score or import again, with lm-eval --log_samples, to hold them together"
    return "; lm-eval and this run differ in the task's configuration or in its documents"


def _leaves_nothing_out(run: Run, signature: TaskSignature) -> bool:
    """Whether a limit is no smaller than the set of documents."""
    asked = [s.n + s.unscored for s in run.scores if s.task == signature.task]
    return signature.limit is None or signature.limit > max(asked, default=signature.limit)


def _in_the_samples(
    baseline: Run, candidate: Run, before: TaskSignature, after: TaskSignature
) -> Collection[str]:
    """The fields that need not be equal, for the samples' names tell them."""
    one_imported = (baseline.imported_from is None) != (candidate.imported_from is None)
    same = before.same_as is not None and before.same_as == after.same_as
    return _IN_THE_SAMPLES if one_imported and same else ()


def _changed(
    before: TaskSignature, after: TaskSignature, leave_out: Collection[str]
) -> Iterator[tuple[str, str | None, str | None]]:
    for name in (*VOIDING, "tokenizer", "max_length", *INFORMING):
        was, now = getattr(before, name), getattr(after, name)
        if name in leave_out:
            continue
        if name == "few_shot_seed" and before.few_shot == after.few_shot == 0:
            continue
        if name == "parity" and None in (was, now):
            continue  # by either rule that side's numbers are the same
        if name in _YOUNGER and None in (was, now):
            continue
        if was != now:
            yield name, _text_or_none(was), _text_or_none(now)
    for package in sorted({*before.versions, *after.versions}):
        was, now = before.versions.get(package), after.versions.get(package)
        if was != now:
            yield f"versions.{package}", was, now


def _voided(name: str, baseline: Scored, task: str) -> list[str | None]:
    """The metrics that a changed field makes incomparable; [None]: all of the task."""
    if name in VOIDING:
        return [None]
    if name == "tokenizer":
        return [s.metric for s in baseline.scores_of(task).values() if s.per_token]
    if name == "max_length":
        # Rolling windows give each token another context; elsewhere a longer limit only helps
        # prompts that were cut, and those carry a flag.
        scores = baseline.scores_of(task).values()
        return [score.metric for score in scores if score.kind == "perplexity"]
    return []


def _of_scores(baseline: Scored, candidate: Scored, task: str) -> list[Problem]:
    problems = []
    after = candidate.scores_of(task)
    for score in baseline.scores_of(task).values():
        other = after.get(score.metric)
        if other is None:
            text = "the baseline has this metric and the candidate does not"
            problems.append(Problem("rows", text, task, score.metric))
            continue
        for name in _OF_A_SCORE:
            was, now = getattr(score, name), getattr(other, name)
            # A 0/1 metric that some answer was graded more finely in is a bounded one.
            graded = name == "kind" and {was, now} == {"accuracy", "bounded"}
            unnamed = name == "signature" and _went_without_a_name(was, now)
            if was != now and not graded and not unnamed:
                text = f"the metric's {name.replace('_', ' ')} changed ({was} to {now})"
                problems.append(Problem("signature", text, task, score.metric))
    return problems


def _went_without_a_name(was: str | None, now: str | None) -> bool:
    """Whether one score names the rules that the other was made by before they had a name."""
    return None in (was, now) and not ONCE_UNNAMED.isdisjoint((was, now))


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)


def _shortened_digest(value: str | None) -> str:
    if value is None:
        return "none"
    return value if len(value) <= 24 else f"{value[:12]}..."
