"""One number by which training stops, or a sweep chooses: a task's metric, or held-out loss.

It is what a choice is made on, so it is no evidence afterwards: where it is asked on items that the
gate holds a rule against, the report says so (:func:`selection_notes`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.errors import ConfigError, ScoringError, did_you_mean
from steelyard.harness.evaluation import code
from steelyard.harness.files import digest_json
from steelyard.harness.plugins import ValidationTask
from steelyard.harness.scoring import Scorer
from steelyard.harness.suites import BuiltSuite, build, load_suite

if TYPE_CHECKING:
    from lm_eval.api.model import LM

    from steelyard.harness.records import Checkpoint


@dataclass(frozen=True)
class Measured:
    """One checkpoint's number."""

    value: float
    name: str
    """``task metric``."""
    higher_is_better: bool


def built(spec: ValidationTask) -> BuiltSuite:
    """The task with its documents, once for all checkpoints.

    Raises ``UnknownNameError`` or ``ConfigError``.
    """
    mapping = {
        "name": "validation",
        "include": list(spec.include),
        "tasks": [{"task": spec.task, "limit": spec.limit}],
    }
    return build(load_suite(mapping, folder=Path.cwd()))


def choice_digest(spec: ValidationTask) -> str:
    """Digest of the validation task, its documents, and the code that scores it.

    A recipe that chooses by a task is another one where the task changed. The task is built once
    for all that choose by it, and again where one of its files changed since.
    Raises ``UnknownNameError`` or ``ConfigError``.
    """
    asked = (spec.task, spec.limit, spec.include, Path.cwd())
    files, stamps, digest = _built_before.get(asked, ((), (), ""))
    if not digest or stamps != _stamps(files, spec.include):
        suite = built(spec)
        files = tuple(_data_files(suite))
        stamps, digest = _stamps(files, spec.include), suite.digest
        _built_before[asked] = (files, stamps, digest)
    return digest_json([digest, code.scoring_code()])


_Asked = tuple[str | None, int | None, tuple[str, ...], Path]
#: (path, time written in ns, bytes) of each file.
_Stamps = tuple[tuple[str, int, int], ...]
#: What :func:`choice_digest` built in this process: data files, when they were written, digest.
_built_before: dict[_Asked, tuple[tuple[str, ...], _Stamps, str]] = {}


def _data_files(suite: BuiltSuite) -> Iterator[str]:
    """The local data files that the tasks' YAMLs name."""
    for task in suite.tasks:
        named = (getattr(task.config, "dataset_kwargs", None) or {}).get("data_files")
        for files in named.values() if isinstance(named, Mapping) else [named]:
            yield from [files] if isinstance(files, str) else files or ()


def _stamps(files: Sequence[str], folders: Sequence[str]) -> _Stamps:
    """(path, time written, size) of the files, and of all under the folders."""
    paths = [Path(file) for file in files]
    paths += [path for folder in folders for path in sorted(Path(folder).rglob("*"))]
    stats = [(path, path.stat()) for path in paths if path.is_file()]
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)


def task_value(
    lm: LM | Scorer, suite: BuiltSuite, spec: ValidationTask, like: Checkpoint
) -> Measured:
    """The metric of ``lm`` on the validation task; ``like`` describes its tokenizer.

    Raises ``ScoringError`` where the task fails or gives no such number.
    """
    # Imported here: reading a recipe that chooses by a score loads no numpy.
    from steelyard.harness.evaluation.evaluating import evaluate

    evaluation = evaluate(lm, suite, checkpoint=like)
    for failure in evaluation.failures:
        raise ScoringError(f"{failure.stage}: {failure.message}")
    scores = {score.metric: score for score in evaluation.scores}
    wanted = spec.metric or next((m for m, s in scores.items() if s.primary), next(iter(scores)))
    if wanted not in scores:
        fix = did_you_mean(wanted, scores)
        raise ConfigError(f"task '{spec.task}' has no metric '{wanted}'", fix=fix)
    score = scores[wanted]
    if score.value is None or not math.isfinite(score.value):
        raise ScoringError(f"{spec.task}: {wanted} has no value on {score.n} items")
    return Measured(score.value, f"{spec.task} {wanted}", score.higher_is_better)


def held_out_loss(lm: Scorer, pairs: Sequence[tuple[str, str]], name: str) -> Measured:
    """Nats per completion byte of held-out (prompt, completion) ``pairs``, by the scorer.

    Per byte, so that a longer tokenisation does not look like knowledge. ``name`` says of what.
    """
    from lm_eval.api.instance import Instance

    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    nats = -sum(answer[0] for answer in lm.loglikelihood(requests))
    size = sum(len(completion.encode()) for _, completion in pairs)
    return Measured(nats / size, f"loss per byte of {name}", False)
