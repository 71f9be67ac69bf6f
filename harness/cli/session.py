"""Opens what a verb works with: the workspace under its writer's lock, and one meter a process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from steelyard.harness.checkpoints import trust_python
from steelyard.harness.energy import EnergyConfig, open_meter
from steelyard.harness.errors import located
from steelyard.harness.experiment import Experiment
from steelyard.harness.files import lines_of, remove_abandoned, validated
from steelyard.harness.plugins import Meter
from steelyard.harness.store import FolderStore


@contextmanager
def session(experiment: Experiment, store: FolderStore) -> Iterator[Callable[[], Meter]]:
    """A meter, opened on first use and closed here, while the store is held beside other runs."""
    with located(file=experiment.file, line_of=lines_of(experiment.file)):
        config = validated(EnergyConfig, experiment.settings.energy, key="energy").checked()
    trust_python(experiment.settings.trust_remote_code)
    opened: list[Meter] = []

    def meter() -> Meter:
        if not opened:
            opened.append(open_meter(config))
        return opened[0]

    remove_abandoned()
    with store.leases.writing(shared=True):
        try:
            yield meter
        finally:
            # After workers, which end without removing their folders.
            store.layout.clean()
            remove_abandoned()
            for each in opened:
                each.close()
