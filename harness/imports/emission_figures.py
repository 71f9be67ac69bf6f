"""Whether the figures of one line of ``emissions.csv`` can all be true at once."""

from __future__ import annotations

from collections.abc import Mapping

from steelyard.harness.errors import DataError
from steelyard.harness.imports.numbers import number

_PARTS = ("cpu_energy", "gpu_energy", "ram_energy")
#: codecarbon writes its sum from the same numbers; rounding is all that may lie between.
_APART = 0.01
#: No country's electricity comes near it: burning lignite alone makes about 1,100.
_MOST_GRAMS_PER_KWH = 2000.0
#: A tracker sees one machine: eight GPUs draw 10 kW, and a rack of such machines 100.
_MOST_WATTS = 100_000.0
#: A tracker reads its meters every few seconds; a shorter task may see none of it.
_SECONDS = 1.0


def require_sound(record: Mapping[str, object]) -> None:
    """Raises ``DataError`` for a negative part, parts that are not the whole, an energy of nothing
    over a time, more power than a machine draws, a PUE below 1, and more grams than any power
    station makes of that energy.
    """
    whole, seconds = number(record.get("energy_consumed")), number(record.get("duration"))
    parts = {name: part for name in _PARTS if (part := number(record.get(name))) is not None}
    negative = next((name for name, part in parts.items() if part < 0), None)
    if negative is not None:
        fix = "its counter ran over or was reset: measure again"
        raise DataError("an energy is not negative", key=negative, value=parts[negative], fix=fix)
    if whole is None:
        return
    if len(parts) == len(_PARTS) and abs(sum(parts.values()) - whole) > _APART * whole + 1e-12:
        raise DataError(
            f"is {whole:g} kWh, but cpu, gpu and ram together are {sum(parts.values()):g} kWh",
            key="energy_consumed",
            fix="one of them is damaged: take them from the tracker's own log",
        )
    if whole == 0 and seconds is not None and seconds >= _SECONDS:
        raise DataError(
            f"is 0 kWh in {seconds:g} s: the tracker measured nothing",
            key="energy_consumed",
            fix="measure again, with a longer task or a shorter measure_power_secs",
        )
    if seconds is not None and whole * 3.6e6 > _MOST_WATTS * seconds:
        shown = f"{whole * 3600 / seconds:,.0f} kW" if seconds else "no time at all"
        raise DataError(
            f"is {whole:g} kWh in {seconds:g} s ({shown}), more than a machine draws",
            key="energy_consumed",
            fix="codecarbon writes kWh and seconds; are these joules, Wh or milliseconds?",
        )
    pue = number(record.get("pue"))
    if pue is not None and pue < 1:
        fix = "codecarbon multiplies every energy by it: write the one that was used, 1 where none"
        raise DataError("a PUE is 1 or more", key="pue", value=pue, fix=fix)
    kilograms = number(record.get("emissions"))
    if kilograms is not None and whole > 0 and kilograms * 1000 / whole > _MOST_GRAMS_PER_KWH:
        raise DataError(
            f"are {kilograms * 1000 / whole:,.0f} g of CO2 for each kWh, more than any electricity "
            "has",
            key="emissions",
            fix="codecarbon writes kilograms and kWh; are these grams or Wh?",
        )
