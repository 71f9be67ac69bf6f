"""What trains and scores: a whole experiment, one checkpoint, or a model to ask oneself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.cli.attempts import failure_recorded
from steelyard.harness.cli.console import watching
from steelyard.harness.cli.experiments import (
    SuiteSetting,
    command,
    evaluation,
    model_of,
    run_experiment,
    run_name,
)
from steelyard.harness.cli.options import open_executor
from steelyard.harness.cli.reading import read_experiment
from steelyard.harness.environment import silence_libraries
from steelyard.harness.pipeline import Executor, Listener
from steelyard.harness.plugins import load_plugin, plugin_names
from steelyard.harness.records import Parity
from steelyard.harness.scoring import open_model as open_scorer
from steelyard.loaded import LoadedRun
from steelyard.results import Result, result_of

if TYPE_CHECKING:
    import torch
    from lm_eval.api.model import LM


def run(
    experiment: str | Path | Mapping[str, object],
    *,
    workspace: str | Path = ".steelyard",
    base: str | None = None,
    seed: int | None = None,
    limit: int | None = None,
    parity: Parity | None = None,
    candidates: Sequence[str] = (),
    gate: bool = True,
    output: str | Path | None = None,
    executor: str | Executor = "inline",
    workers: int | None = None,
    progress: bool | Listener = False,
) -> Result:
    """Train, score, compare, gate and report an experiment, as ``steelyard run`` does.

    What is done and unchanged is not done again, so a second call goes on where the first stopped.

    Args:
        experiment: an experiment file, or its content as a mapping (paths are then relative to the
            working directory).
        workspace: where checkpoints, runs and journals are kept.
        base: replaces the file's base: hub id, folder, GGUF file or ``microworld``.
        seed: replaces the file's seed.
        limit: at most so many samples a task, the same every time.
        parity: ``lm-eval`` puts special tokens in as lm-eval does; None is the file's own.
        candidates: only these and their parents.
        gate: False only reports: the gate decides nothing.
        output: a folder for the report files; None is ``reports/NAME`` in the workspace.
        executor: ``inline`` (this process), ``local`` (several), ``ray`` (a cluster), or an
            executor of your own.
        workers: most stages at a time, with ``local`` and ``ray``.
        progress: True draws it on standard error; a function is called with each :class:`Event`.

    A regression, and a candidate that failed, are in the result and not errors. Raises
    ``ConfigError``, ``DataError`` or ``UnknownNameError`` for a wrong file, before anything is
    trained, and ``ScoringError`` where the baseline could not be scored.

        result = steelyard.run("experiment.yaml", limit=50)
        result.passed, result.verdicts["lora"].summary, result.candidates["lora"].scores
    """
    place = Path(workspace)
    source: Path | Mapping[str, object]
    if isinstance(experiment, Mapping):
        source, commands = {key: _in_yaml(value) for key, value in experiment.items()}, []
    else:
        source = Path(experiment)
        commands = [command(source, place, base, seed, limit, parity)]
    with _listening(progress) as listener:
        with failure_recorded(place, source if isinstance(source, Path) else None):
            settings = read_experiment(source, base=base, seed=seed, limit=limit, parity=parity)
        conclusion = run_experiment(
            settings,
            workspace=place,
            only=candidates,
            gating=gate,
            output=None if output is None else Path(output),
            commands=commands,
            executor=open_executor(executor, workers) if isinstance(executor, str) else executor,
            listener=listener,
        )
    return result_of(conclusion)


def evaluate(
    model: str | Path,
    suite: SuiteSetting = "smoke",
    *,
    name: str | None = None,
    workspace: str | Path = ".steelyard",
    limit: int | None = None,
    seed: int | None = None,
    country: str | None = None,
    parity: Parity | None = None,
    progress: bool | Listener = False,
) -> LoadedRun:
    """Score one checkpoint on a suite and keep the run, as ``steelyard eval`` does.

    Args:
        model: a model folder, GGUF file, hub id, ``microworld``, or a run whose checkpoint is kept.
        suite: a suite by name or file, a list of tasks, or a suite written out as a mapping.
        name: the experiment that the run is stored under; the model's own name by default.
        workspace: where the run is kept.
        limit: at most so many samples a task, the same every time.
        seed: seed of the scoring; 0 by default.
        country: ISO 3166 alpha-3, for grams of CO2e.
        parity: ``lm-eval`` puts special tokens in as lm-eval does; None is the suite's own.
        progress: True draws it on standard error; a function is called with each :class:`Event`.

    A task that fails does not stop the others: ``record.failures`` names it and ``record.complete``
    is False. Raises ``ConfigError``, ``CheckpointError``, ``UnknownNameError`` (no such suite), or
    ``ScoringError`` where nothing could be scored.

        run = steelyard.evaluate("microworld", "microworld", limit=20)
        run.scores[["task", "metric", "value", "low", "high"]]
    """
    place = Path(workspace)
    with failure_recorded(place, name=name or run_name(str(model))):
        experiment = evaluation(
            str(model),
            suite,
            workspace=place,
            name=name,
            limit=limit,
            seed=seed,
            country=country,
            parity=parity,
        )
    silent = experiment.settings.model_copy(update={"report": ()})
    with _listening(progress) as listener:
        conclusion = run_experiment(
            replace(experiment, settings=silent), workspace=place, listener=listener
        )
    return LoadedRun(conclusion.runs[0])


def open_model(
    model: str | Path,
    *,
    workspace: str | Path = ".steelyard",
    adapter: str | Path | None = None,
    gguf_file: str | None = None,
    device: str | None = None,
    dtype: torch.dtype | str | None = None,
    max_length: int | None = None,
    tokens_per_batch: int | None = None,
    backend: str = "steelyard",
    parity: Parity = "steelyard",
) -> LM:
    """Open a checkpoint as an ``lm_eval.api.model.LM``, for lm-eval or for questions of one's own.

    Args:
        model: ``microworld``, a model or adapter folder, a GGUF file, a hub id, or a run whose
            checkpoint is kept in the workspace.
        workspace: where a run is looked up.
        adapter: a PEFT adapter folder to put on the model; it is checked to be applied.
        gguf_file: the file to read where a folder holds several.
        device: a torch device; the GPU where there is one, else the CPU.
        dtype: None is fp32 on a CPU and the checkpoint's own on a GPU.
        max_length: the context window in tokens; None takes the configuration's.
        tokens_per_batch: how many tokens run together; None derives it from the memory at hand.
        backend: ``steelyard``, ``hf``, or any lm-eval backend as ``lm-eval:NAME``.
        parity: ``lm-eval`` puts special tokens in as lm-eval does.

    Raises ``CheckpointError`` where the checkpoint cannot be opened or trusted, and
    ``UnknownNameError`` where there is no such backend.

        lm = steelyard.open_model("microworld")
        lm_eval.simple_evaluate(model=lm, tasks=["arc_easy"])
    """
    silence_libraries()
    source = model_of(str(model), Path(workspace))
    folder = load_plugin("bases", source)() if source in plugin_names("bases") else source
    return open_scorer(
        folder,
        adapter=adapter,
        gguf_file=gguf_file,
        device=device,
        dtype=dtype,
        max_length=max_length,
        tokens_per_batch=tokens_per_batch,
        backend=backend,
        parity=parity,
    )


@contextmanager
def _listening(progress: bool | Listener) -> Iterator[Listener]:
    if callable(progress):
        yield progress
    else:
        with watching(quiet=not progress) as listener:
            yield listener


def _in_yaml(value: object) -> object:
    """The value as it stands in a file: a path is text."""
    if isinstance(value, Mapping):
        return {str(key): _in_yaml(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_in_yaml(each) for each in value]
    return str(value) if isinstance(value, Path) else value
