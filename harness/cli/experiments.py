"""An experiment from its settings to what was decided, for the verbs and for Python programs.

Nothing here prints or leaves the process: a listener is told what happens, and errors are raised.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from steelyard.harness.cli.attempts import attempting
from steelyard.harness.cli.conclude import Conclusion, conclude, open_baseline
from steelyard.harness.cli.options import DEFAULT_WORKSPACE
from steelyard.harness.cli.session import session
from steelyard.harness.compare import Scored, open_run
from steelyard.harness.environment import silence_libraries
from steelyard.harness.errors import (
    ConfigError,
    NoCurrentRunError,
    SteelyardError,
    UnknownNameError,
    did_you_mean,
)
from steelyard.harness.experiment import BASE, Experiment, ExperimentFile
from steelyard.harness.files import validated
from steelyard.harness.gate import load_gate
from steelyard.harness.pipeline import (
    Executor,
    Inline,
    Listener,
    NoiseStage,
    Outcome,
    Pipeline,
    no_listener,
)
from steelyard.harness.plugins import plugin_names
from steelyard.harness.records import Parity
from steelyard.harness.store import FolderStore, is_there, open_store
from steelyard.harness.suites import load_suite

SuiteSetting = str | Sequence[str | Mapping[str, object]] | Mapping[str, object]
"""A suite by name or file, a list of tasks, or the suite written out, as in an experiment file."""


def run_experiment(
    experiment: Experiment,
    *,
    workspace: Path,
    only: Sequence[str] = (),
    gating: bool = True,
    output: Path | None = None,
    commands: Sequence[str] = (),
    executor: Executor | None = None,
    listener: Listener = no_listener,
    on_outcome: Callable[[Outcome, FolderStore], None] | None = None,
) -> Conclusion:
    """The whole loop over a validated experiment; writes the reports and returns what they say.

    Args:
        experiment: from :func:`steelyard.harness.experiment.file.load_experiment`.
        workspace: where checkpoints, runs and journals are kept.
        only: these candidates and their parents; every one where none is named.
        gating: whether the gate decides the exit code.
        output: the reports' folder; None is ``reports/NAME`` in the workspace.
        commands: what the report gives as the way to make its numbers again.
        executor: where stages run; None is this process.
        listener: told what happens.
        on_outcome: called after the last stage, before anything is compared.

    Raises ``SteelyardError`` for settings that cannot work, and ``ScoringError`` where the baseline
    could not be scored; a candidate that failed is a failure in the result.
    """
    silence_libraries()
    store = open_store(workspace)
    with ExitStack() as stack:
        with attempting(store, experiment, only) as attempt:
            check(experiment)
            meter = stack.enter_context(session(experiment, store))
            find_baseline(experiment, store)
            noise = NoiseStage(experiment, store, meter, listener)
            noise.check()
            stages = Pipeline(experiment, store, meter, listener, executor or Inline(), attempt)
            outcome = stages.run(only)
        if on_outcome is not None:
            on_outcome(outcome, store)
        return conclude(
            experiment,
            store,
            outcome,
            listener=listener,
            gating=gating,
            noise=noise,
            folder=output or workspace / "reports" / experiment.name,
            commands=commands,
        )


def check(experiment: Experiment) -> None:
    """Find what is wrong with suite and gate before hours of training, not after."""
    settings = experiment.settings
    load_suite(
        settings.suite, folder=experiment.folder, limit=settings.limit, parity=settings.parity
    )
    if settings.gate:
        load_gate(settings.gate, file=experiment.file)


def find_baseline(experiment: Experiment, store: FolderStore) -> None:
    """The gate's baseline, where it is not made by this experiment, must be there beforehand.

    Raises ``SteelyardError`` for a run or baseline file that is missing or cannot be read.
    """
    if not experiment.settings.gate:
        return
    gate = load_gate(experiment.settings.gate, file=experiment.file)
    made = {BASE, *(candidate.name for candidate in experiment.candidates)}
    if gate.baseline is None or gate.baseline.removeprefix(f"{experiment.name}/") in made:
        return
    try:
        open_baseline(gate, store, {}, experiment)
    except UnknownNameError:
        raise ConfigError(
            "no such candidate, run or baseline file",
            file=experiment.file,
            key="gate.baseline",
            value=gate.baseline,
            fix=did_you_mean(gate.baseline, made),
        ) from None


def command(
    file: Path,
    workspace: Path,
    base: str | None,
    seed: int | None,
    limit: int | None,
    parity: Parity | None,
) -> str:
    """The exact command to type again."""
    words = ["steelyard", "run", str(file)]
    if workspace != DEFAULT_WORKSPACE:
        words += ["--workspace", str(workspace)]
    options = {"--base": base, "--seed": seed, "--limit": limit, "--parity": parity}
    for name, value in options.items():
        if value is not None:
            words += [name, str(value)]
    return shlex.join(words)


# --- one checkpoint -------------------------------------------------------------------------


def evaluation(
    model: str,
    suite: SuiteSetting,
    *,
    workspace: Path,
    name: str | None = None,
    limit: int | None = None,
    seed: int | None = None,
    country: str | None = None,
    parity: Parity | None = None,
) -> Experiment:
    """An experiment without candidates: ``model`` is its base, and all that is scored.

    The rest is as in an experiment file. Raises ``ConfigError``.
    """
    content = {
        "name": name or run_name(model),
        "base": model_of(model, workspace),
        "suite": suite,
        "limit": limit,
        "parity": parity,
        "seed": seed or 0,
        "energy": {"country": country} if country else {},
    }
    file = Path("eval.yaml")
    return Experiment(file, validated(ExperimentFile, content, file=file), candidates=())


def model_of(model: str, workspace: Path) -> str:
    """The checkpoint's folder where ``model`` names a run of the workspace; else as it is."""
    if Path(model).exists() or model in plugin_names("bases") or not is_there(workspace):
        return model
    store = open_store(workspace)
    folder = checkpoint_folder(store, model)
    if folder is not None:
        return str(folder)
    try:
        return store.get(model).checkpoint.base
    except SteelyardError:
        return model


def checkpoint_folder(store: FolderStore, name: str) -> Path | None:
    """Where the checkpoint of a run lies, or a candidate's present one, scored or not.

    None where the store has no such run, or not its checkpoint. Raises ``NoCurrentRunError`` for a
    candidate whose last run failed before it had a checkpoint.
    """
    experiment, _, candidate = name.rpartition("/")
    digest = store.current.checkpoint(experiment, candidate) if experiment else None
    try:
        return store.checkpoints.get(digest or store.get(name).checkpoint.digest)
    except NoCurrentRunError:
        raise
    except SteelyardError:
        return None


def run_name(model: str) -> str:
    """A usable name for the run of a model that has none."""
    name = Path(model).name if Path(model).exists() else model
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:64] or "model"


# --- what is in the store -------------------------------------------------------------------


def current_runs(
    store: FolderStore, experiment: str, baseline: str = BASE
) -> tuple[Scored, list[Scored], list[str]]:
    """The current run of each candidate of an experiment: the baseline's, and the others', and a
    line for each candidate that has none now.

    ``baseline`` is a candidate of the experiment, another run or a baseline file. Raises
    ``UnknownNameError`` where the experiment has no runs, ``NoCurrentRunError`` where the baseline
    has none now.
    """
    current = store.current.of_experiment(experiment)
    if not current:
        fix = did_you_mean(experiment, {run.experiment for run in store.runs.summaries()})
        raise UnknownNameError(f"no runs of experiment '{experiment}'", fix=fix)
    own = current.get(baseline, baseline)
    if isinstance(own, NoCurrentRunError):
        raise own
    base = open_run(store, own)
    lacking = [str(each) for each in current.values() if isinstance(each, NoCurrentRunError)]
    ids = [each for each in current.values() if isinstance(each, str)]
    return base, [open_run(store, id) for id in ids if id != base.run.id], lacking
