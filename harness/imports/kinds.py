"""Metrics of imported tables: how rows of each kind become a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from steelyard.harness.plugins import Metric, Sample, load_plugin, plugin_names
from steelyard.harness.records import Kind, Scale
from steelyard.harness.stats import CALIBRATION_METHODS, summed_score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TableMetric:
    """A metric whose rows came ready made: it only aggregates, by what its kind means."""

    name: str
    kind: Kind
    higher_is_better: bool
    scale: Scale | None = None
    method: str | None = None

    def measure(self, sample: Sample, responses: Sequence[object]) -> tuple[float, ...] | None:
        """None: rows of a table were measured elsewhere."""
        return None

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, k) -> score: a mean, a perplexity or a geometric mean."""
        held = summed_score(self.kind, None, rows)
        return held.shown(float(held.score(held.columns(rows).sum(axis=0)[None, :])[0]))


def _calibration_method(name: str) -> str:
    """Which calibration error a table's column is, as far as its name says."""
    return next((m for m in CALIBRATION_METHODS if m in name.lower()), "ece")


def table_metric(name: str, kind: Kind, higher_is_better: bool) -> Metric:
    """The metric called ``name``; a perplexity of ours keeps its own unit (bits_per_byte)."""
    if kind == "perplexity" and name in plugin_names("metrics"):
        registered: Metric = load_plugin("metrics", name)()
        if registered.kind == kind:
            return registered
    scale: Scale | None = "nats" if kind == "perplexity" else None
    method = _calibration_method(name) if kind == "calibration" else None
    return cast(Metric, TableMetric(name, kind, higher_is_better, scale, method))
