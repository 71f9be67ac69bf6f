"""An experiment file read with everything that other rooms have to say to it, before anything runs.

Suite, gate and energy are checked where they are at home; their mistakes are told together with
those of the candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from steelyard.harness.energy import EnergyConfig
from steelyard.harness.experiment import Checks, Experiment, ExperimentFile, load_experiment
from steelyard.harness.files import validated
from steelyard.harness.gate import load_gate
from steelyard.harness.records import Parity
from steelyard.harness.suites import load_suite


def read_experiment(
    source: Path | Mapping[str, object],
    *,
    base: str | None = None,
    seed: int | None = None,
    limit: int | None = None,
    parity: Parity | None = None,
) -> Experiment:
    """The experiment; see :func:`steelyard.harness.experiment.file.load_experiment`.

    Raises ``SteelyardError`` with a line for each mistake, wherever in the file it is.
    """
    return load_experiment(source, base=base, seed=seed, limit=limit, parity=parity, checks=_CHECKS)


def _checked_suite(settings: ExperimentFile, file: Path) -> object:
    return load_suite(
        settings.suite, folder=file.parent, limit=settings.limit, parity=settings.parity
    )


def _checked_gate(settings: ExperimentFile, file: Path) -> object:
    return load_gate(settings.gate, file=file) if settings.gate else None


def _checked_energy(settings: ExperimentFile, file: Path) -> object:
    return validated(EnergyConfig, settings.energy, key="energy").checked()


_CHECKS: Checks = {"suite": _checked_suite, "gate": _checked_gate, "energy": _checked_energy}
