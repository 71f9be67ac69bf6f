"""One candidate of the experiment file: its trainer with options, its data, seed and resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from steelyard.harness.errors import Collected, ConfigError, did_you_mean, located
from steelyard.harness.experiment.lineage import BASE, Block, sources_of
from steelyard.harness.experiment.resources import Resources
from steelyard.harness.files import validated
from steelyard.harness.plugins import (
    DataSource,
    Trainer,
    beside,
    load_plugin,
    load_trainer,
    plugin_names,
)
from steelyard.harness.suites import load_suite

_KEYS = ("trainer", "parent", "data", "seed", "resources", "accelerate")


@dataclass(frozen=True)
class Candidate:
    """One candidate: a trainer with its options, its parent and its data."""

    name: str
    trainer_name: str
    trainer: Trainer
    parent: str
    """Another candidate's name, or ``base``."""
    data: tuple[DataSource, ...]
    seed: int
    sources: tuple[str, ...] = ()
    """Other checkpoints that its trainer reads: candidates, ``base``, or models by name."""
    resources: Resources | None = None
    """What its training needs of a machine; None: what the experiment says for training."""
    scored: bool = True
    """Whether the suite scores it; the trials of a sweep never see the suite."""


@dataclass(frozen=True)
class Surroundings:
    """What the rest of the file says to a candidate."""

    folder: Path
    """Where its paths start."""
    seed: int
    data: Mapping[str, DataSource | None]
    """The data sets by name; None for one whose entry is wrong, which is an error of its own."""


def read_candidate(name: str, spec: Block, around: Surroundings) -> Candidate:
    """A plain candidate, as ``spec`` writes it.

    Raises ``ConfigError`` for everything that is wrong with it, with keys from the candidate's on.
    """
    problems = Collected()
    trainer: Trainer | None = None
    resources: Resources | None = None
    with problems.of():
        trainer = _trainer(spec, around.folder)
    with problems.of():
        _check_data(spec, trainer, around.data)
    with problems.of(key="seed"):
        _check_seed(spec.get("seed", around.seed))
    with problems.of(key="resources"):
        resources = _resources(spec.get("resources"))
    problems.raise_any()
    assert trainer is not None, "an error was raised where there is none"
    return Candidate(
        name=name,
        trainer_name=spec["trainer"],
        trainer=trainer,
        parent=spec.get("parent", BASE),
        data=tuple(filter(None, (around.data[str(n)] for n in _data_names(spec.get("data"))))),
        seed=spec.get("seed", around.seed),
        sources=sources_of(spec),
        resources=resources,
    )


def launched(candidate: Candidate, config: str, folder: Path) -> Candidate:
    """The candidate under accelerate's launcher. Raises ``ConfigError``."""
    launch = load_plugin("launchers", "accelerate")
    trainer = launch(candidate.trainer, candidate.trainer_name, beside(config, folder))
    return replace(candidate, trainer=trainer)


def check_validation(candidate: Candidate, folder: Path) -> None:
    """Find a validation task that does not exist before hours of training, not after.

    Raises ``UnknownNameError`` or ``ConfigError``.
    """
    for task in candidate.trainer.inner.validation_tasks:
        mapping = {"include": list(task.include), "tasks": [str(task.task)]}
        load_suite(mapping, folder=folder)


def _trainer(spec: Block, folder: Path) -> Trainer:
    name = spec.get("trainer")
    with located(key="trainer"):
        if not isinstance(name, str):
            names = ", ".join(plugin_names("trainers"))
            raise ConfigError("needs a trainer", fix=f"one of {names}")
        trainer_class = load_trainer(name)
    options = {key: value for key, value in spec.items() if key not in _KEYS}
    return validated(trainer_class, options, also=_KEYS, context={"folder": folder})


def _data_names(data: object) -> Sequence[object]:
    return [] if data is None else data if isinstance(data, list) else [data]


def _check_data(
    spec: Block, trainer: Trainer | None, data_sets: Mapping[str, DataSource | None]
) -> None:
    names = _data_names(spec.get("data"))
    for name in names:
        if not isinstance(name, str) or name not in data_sets:
            near = did_you_mean(str(name), data_sets)
            raise ConfigError("no such data set", key="data", value=name, fix=near)
    if not names and trainer is not None and trainer.needs_data:
        roles = ", ".join(trainer.data_choices()[0])
        fix = f"name a data set with {roles}; {did_you_mean('', data_sets)}"
        raise ConfigError(f"trainer '{spec['trainer']}' needs data", fix=fix)


def _check_seed(seed: object) -> None:
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigError("expected a whole number from 0", value=seed)


def _resources(resources: object) -> Resources | None:
    if resources is None:
        return None
    if not isinstance(resources, Mapping):
        fix = "name cpus, gpus, memory_gb, accelerator or timeout_minutes"
        raise ConfigError("expected keys", value=resources, fix=fix)
    return validated(Resources, resources)
