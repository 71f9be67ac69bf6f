"""YAML -> ``Experiment``: everything is checked before anything runs.

A wrong file costs one line that names the file, the key, the value and the likely fix; models are
not loaded and nothing is written before the whole file is known to be right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from steelyard.harness.errors import ConfigError, SteelyardError, UnknownNameError, did_you_mean
from steelyard.harness.experiment.expansion import Expanded, checked_seeds, expanded
from steelyard.harness.experiment.lineage import BASE, parents_first, sources_of
from steelyard.harness.experiment.noise import NoiseVariant
from steelyard.harness.experiment.resources import Resources, StageResources
from steelyard.harness.files import old_names
from steelyard.harness.files.validation import validated
from steelyard.harness.files.yaml_file import YamlFile, allowed_names, lines_of
from steelyard.harness.plugins.fields import beside
from steelyard.harness.plugins.names import load_plugin, load_trainer, plugin_names
from steelyard.harness.plugins.protocols import DataSource, Trainer

#: Names become folders and glob targets.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CANDIDATE_KEYS = ("trainer", "parent", "data", "seed", "resources", "accelerate")

ReportFormat = Literal["html", "markdown", "terminal", "json", "csv", "junit"]


class DataSpec(BaseModel):
    """One entry of ``data:``: a file, and which of its columns plays which role."""

    model_config = ConfigDict(frozen=True, extra="allow")

    path: str
    weight: float = Field(default=1.0, gt=0)


class ExperimentFile(BaseModel):
    """The keys of an experiment file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    base: str
    seed: int = Field(default=0, ge=0)
    seeds: tuple[int, ...] | None = None
    accelerate: str | None = None
    data: Mapping[str, DataSpec] = Field(default_factory=dict)
    candidates: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    suite: str | list[str | dict[str, Any]] | dict[str, Any]
    limit: int | None = Field(default=None, ge=1)
    backend: str = "steelyard"
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    chat_template: bool = False
    energy: Mapping[str, Any] = Field(default_factory=dict)
    noise: tuple[NoiseVariant, ...] = ()
    gate: Mapping[str, Any] | None = None
    resources: StageResources = StageResources()
    report: tuple[ReportFormat, ...] = ("html", "markdown")
    notes: tuple[str, ...] = ()

    _present_name = field_validator("backend")(old_names.backend)


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
class Experiment:
    """A validated experiment; ``candidates`` come parents first."""

    file: Path
    settings: ExperimentFile
    candidates: tuple[Candidate, ...]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By a name in the file: the candidates that stand for it, one a seed."""

    @property
    def name(self) -> str:
        """The experiment's name, the first half of ``experiment/candidate``."""
        return self.settings.name

    @property
    def folder(self) -> Path:
        """What relative paths in the file are relative to."""
        return self.file.parent

    @cached_property
    def names(self) -> frozenset[str]:
        """The candidates' names."""
        return frozenset(candidate.name for candidate in self.candidates)

    @cached_property
    def graph(self) -> dict[str, tuple[str, ...]]:
        """What each candidate is made from, by name: its parent, and its sources."""
        return {c.name: (c.parent, *c.sources) for c in self.candidates}

    def resolve(self, name: str) -> Path:
        """A base or checkpoint folder as the file names it: relative to the file, then to here."""
        meant = beside(name, self.folder)
        return meant if meant.exists() else Path(name).expanduser()

    def meant_by(self, names: Sequence[str]) -> tuple[str, ...]:
        """Candidates by the names that the file gives them, before seeds were written out."""
        return tuple(one for name in names for one in self.groups.get(name, (name,)))

    def candidate(self, name: str) -> Candidate:
        """The candidate called ``name``. Raises ``UnknownNameError``."""
        found = next((c for c in self.candidates if c.name == name), None)
        if found is None:
            names = [c.name for c in self.candidates]
            raise UnknownNameError(
                f"no candidate named '{name}'", file=self.file, fix=did_you_mean(name, names)
            )
        return found


def load_experiment(
    source: Path | Mapping[str, object],
    *,
    base: str | None = None,
    seed: int | None = None,
    limit: int | None = None,
    check_files: bool = True,
) -> Experiment:
    """Read, override and check an experiment file, or the same keys as a mapping.

    Paths are relative to the file, and in a mapping to the working directory. ``base``, ``seed``
    and ``limit`` replace the file's own. Raises ``ConfigError`` or ``DataError`` with one line;
    with ``check_files`` the data files are opened too.
    """
    path = source if isinstance(source, Path) else Path("experiment")
    with allowed_names(path):
        if isinstance(source, Path):
            return _loaded(YamlFile.read(source), base, seed, limit, check_files)
        return _loaded(YamlFile(path, dict(source), {}), base, seed, limit, check_files)


def _loaded(
    source: YamlFile, base: str | None, seed: int | None, limit: int | None, check_files: bool
) -> Experiment:
    path, content = source.path, dict(source.content)
    for key, value in (("base", base), ("seed", seed), ("limit", limit)):
        if value is not None:
            content[key] = value
    if seed is not None:
        content.pop("seeds", None)
    settings = validated(ExperimentFile, content, file=path, line_of=source.line_of)
    _check_name(settings.name, path, "name")
    specs = {name: dict(spec or {}) for name, spec in settings.candidates.items()}
    for candidate_name in specs:
        _check_candidate_name(candidate_name, path)
    parents_first(specs, path)  # a wrong parent is told by the name that the file gives it
    written_out = _written_out(specs, settings, path)
    order = parents_first(written_out.specs, path)
    sources = {name: _source(name, spec, path) for name, spec in settings.data.items()}
    candidates = tuple(_candidate(n, written_out, settings, sources, path) for n in order)
    if check_files:
        _check_data(candidates, path)
    return Experiment(
        file=path, settings=settings, candidates=candidates, groups=written_out.groups
    )


def _written_out(
    specs: Mapping[str, dict[str, Any]], settings: ExperimentFile, path: Path
) -> Expanded:
    """Seeds and sweeps as plain candidates."""
    if settings.seeds is not None:
        checked_seeds(settings.seeds, path, "seeds")
    found = expanded(specs, settings.seeds, path)
    for name in found.specs:
        _check_candidate_name(name, path)
    return found


def _check_name(name: str, path: Path, key: str) -> None:
    if not NAME.fullmatch(name):
        fix = "use letters, digits, '.', '_' and '-' (64 at most), a letter or digit first"
        raise ConfigError("not a usable name", file=path, key=key, value=name, fix=fix)


def _check_candidate_name(name: str, path: Path) -> None:
    _check_name(name, path, f"candidates.{name}")
    if name == BASE:
        fix = "give the candidate another name"
        raise ConfigError(
            "'base' means the base model itself", file=path, key="candidates.base", fix=fix
        )


def _source(name: str, spec: DataSpec, path: Path) -> DataSource:
    columns = spec.model_extra or {}
    for role, column in columns.items():
        if not isinstance(column, str):
            key = f"data.{name}.{role}"
            raise ConfigError("expected a column's name", file=path, key=key, value=column)
    return DataSource(
        name=name,
        path=beside(spec.path, path.parent),
        columns=dict(columns),
        weight=spec.weight,
    )


def _candidate(
    name: str,
    written_out: Expanded,
    settings: ExperimentFile,
    sources: Mapping[str, DataSource],
    path: Path,
) -> Candidate:
    key = f"candidates.{name}"
    spec = written_out.specs[name]
    trainer_name = spec.get("trainer")
    if not isinstance(trainer_name, str):
        known = ", ".join(plugin_names("trainers"))
        raise ConfigError("needs a trainer", file=path, key=f"{key}.trainer", fix=f"one of {known}")
    try:
        trainer_class = load_trainer(trainer_name)
    except (ConfigError, UnknownNameError) as error:
        key = f"{key}.trainer"
        raise ConfigError(error.message, file=path, key=key, fix=error.fix) from None
    options = {k: v for k, v in spec.items() if k not in _CANDIDATE_KEYS}
    trainer = _trainer(trainer_class, options, path, key)
    data = _data_of(name, spec.get("data"), sources, path)
    if not data and trainer.needs_data:
        roles = ", ".join(trainer.data_choices()[0])
        fix = f"name a data set with {roles}; {did_you_mean('', sources)}"
        raise ConfigError(f"trainer '{trainer_name}' needs data", file=path, key=key, fix=fix)
    seed = spec.get("seed", settings.seed)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(
            "expected a whole number from 0", file=path, key=f"{key}.seed", value=seed
        )
    accelerate = spec.get("accelerate", settings.accelerate)
    if accelerate is not None and ("accelerate" in spec or trainer.schedule is not None):
        launched = load_plugin("launchers", "accelerate")
        where = f"{key}.accelerate" if "accelerate" in spec else "accelerate"
        config = beside(str(accelerate), path.parent)
        trainer = launched(trainer, trainer_name, config, file=path, key=where)
    return Candidate(
        name=name,
        trainer_name=trainer_name,
        trainer=trainer,
        parent=spec.get("parent", BASE),
        data=data,
        seed=seed,
        sources=sources_of(spec),
        resources=_resources(spec.get("resources"), path, key),
        scored=name not in written_out.unscored,
    )


def _resources(given: object, path: Path, key: str) -> Resources | None:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        fix = "name cpus, gpus, memory_gb, accelerator or timeout_minutes"
        raise ConfigError("expected keys", file=path, key=f"{key}.resources", value=given, fix=fix)
    return validated(Resources, dict(given), file=path, key=f"{key}.resources")


def _trainer(
    trainer_class: type[Trainer], options: Mapping[str, Any], path: Path, key: str
) -> Trainer:
    return validated(
        trainer_class,
        options,
        file=path,
        key=key,
        line_of=lines_of(path),
        also=_CANDIDATE_KEYS,
        context={"folder": path.parent},
    )


def _data_of(
    name: str, given: object, sources: Mapping[str, DataSource], path: Path
) -> tuple[DataSource, ...]:
    names: Sequence[object] = [] if given is None else given if isinstance(given, list) else [given]
    for entry in names:
        if not isinstance(entry, str) or entry not in sources:
            raise ConfigError(
                "no such data set",
                file=path,
                key=f"candidates.{name}.data",
                value=entry,
                fix=did_you_mean(str(entry), sources),
            )
    return tuple(sources[str(entry)] for entry in names)


def _check_data(candidates: Sequence[Candidate], path: Path) -> None:
    """Open every data file with the roles that its trainers need, before any model loads."""
    from steelyard.harness.experiment.data_sets import check_data, roles_for

    for candidate in candidates:
        choices = candidate.trainer.inner.data_choices()
        for source in candidate.data:
            try:
                check_data(source, roles_for(source, choices))
            except SteelyardError as error:
                if error.key is None:
                    error.key = f"data.{source.name} (for {candidate.name}, {_needs(candidate)})"
                raise


def _needs(candidate: Candidate) -> str:
    kinds = (", ".join(roles) for roles in candidate.trainer.inner.data_choices())
    return f"{candidate.trainer_name} needs {' or '.join(kinds)}"
