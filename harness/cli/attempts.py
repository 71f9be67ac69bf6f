"""A verb that trains or scores leaves word that it began, and of its failure: see the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from steelyard.harness.errors import SteelyardError
from steelyard.harness.experiment import BASE, Experiment
from steelyard.harness.files import read_yaml
from steelyard.harness.pipeline import plan
from steelyard.harness.store import Attempt, FolderStore, is_there, open_store


def attempting(
    store: FolderStore, experiment: Experiment, only: Sequence[str], *, scoring: bool = True
) -> AbstractContextManager[Attempt]:
    """The attempt at ``only`` these candidates; at all of them where one of the names is wrong."""
    try:
        names = {stage.candidate for stage in plan(experiment, only, scoring=scoring)}
    except SteelyardError:
        names = {BASE, *experiment.names}
    file = experiment.file if experiment.file.is_file() else None
    return store.current.attempt(experiment.name, sorted(names), file)


@contextmanager
def failure_recorded(
    workspace: Path, file: Path | None = None, name: str | None = None
) -> Iterator[None]:
    """What fails within is known by the experiment's file or name: it has no current run then.

    A file that cannot be read makes a run exit with an error, and a gate after that would judge
    what was stored before.
    """
    try:
        yield
    except BaseException as error:
        if is_there(workspace):
            why = f"its last run ended early: {str(error) or type(error).__name__}"
            _record(workspace, file, name or _name_in(file), why)
        raise


def _record(workspace: Path, file: Path | None, name: str | None, why: str) -> None:
    try:
        open_store(workspace).current.failed(name, file, why)
    except SteelyardError:
        return  # read-only, or away: the error at hand is the one to tell


def _name_in(file: Path | None) -> str | None:
    """The experiment's name in a file that may be wrong in everything else."""
    if file is None:
        return None
    try:
        name = read_yaml(file).get("name")
    except SteelyardError:
        return None
    return name if isinstance(name, str) else None
