"""A meter whose joules are given: the same energy and seconds for every window, on any machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from steelyard.harness.energy.config import EnergyConfig
from steelyard.harness.energy.reading import JOULES_PER_KWH, WindowReading
from steelyard.harness.records import EnergyComponent

DEFAULT_JOULES = {"cpu": 3600.0, "ram": 360.0}


class FakeMeter:
    """For tests and rehearsals: each window takes ``joules`` and ``seconds``, whatever it does.

    Args:
        config: where the electricity comes from.
        joules: by component (cpu, gpu, ram); graded ``measured``.
        seconds: the length that every window reports.
    """

    def __init__(
        self,
        config: EnergyConfig | None = None,
        *,
        joules: Mapping[str, float] = DEFAULT_JOULES,
        seconds: float = 1.0,
    ) -> None:
        self._config = config or EnergyConfig(meter="fake")
        self._joules = dict(joules)
        self._seconds = seconds
        self.windows: list[str] = []
        """Names of the windows opened so far."""

    @contextmanager
    def window(self, name: str) -> Iterator[WindowReading]:
        """Give the block its fixed joules; an interrupted block is marked."""
        self.windows.append(name)
        reading = WindowReading(self._config, "fake", seconds=self._seconds)
        try:
            yield reading
        except BaseException as error:
            reading.notes.append(f"interrupted by {type(error).__name__}")
            raise
        finally:
            reading.components = tuple(
                EnergyComponent.model_validate(
                    {
                        "name": part,
                        "energy_kwh": joules / JOULES_PER_KWH,
                        "grade": "measured",
                        "method": "fake",
                    }
                )
                for part, joules in self._joules.items()
            )

    def close(self) -> None:
        """Nothing to stop."""
