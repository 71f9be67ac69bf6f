"""The tail of the divergence from the parent, as a histogram that adds up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from steelyard.harness.plugins import Plugin, Sample
from steelyard.harness.records import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Bins of equal ratio from 1e-9 to 1e3 nats: 1.11 each, and the quantile is interpolated within.
LOW, HIGH, BINS = 1e-9, 1e3, 256


class KlPercentile99(Plugin):
    """99th percentile over tokens of KL(parent || child), nats.

    Rows are counts of tokens in 256 logarithmic bins, so that documents add up and a bootstrap
    needs no tokens; the value is within a bin's ratio (11%, interpolated) of the plain percentile.
    """

    kind: ClassVar[Kind] = "corpus"
    unit: ClassVar[str | None] = "nats"
    per_token: ClassVar[bool] = True
    name: str = "kl_p99"
    higher_is_better: bool = False

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, ...] | None:
        """Counts of the text's tokens by divergence; None for a text without tokens."""
        import numpy as np

        values = sample.values.get(self.name)
        if values is None or len(values) == 0:
            return None
        clipped = np.clip(np.asarray(values, dtype=np.float64), LOW, HIGH)
        counts, _ = np.histogram(np.log(clipped), bins=_edges())
        return tuple(counts.astype(float).tolist())

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 256) counts -> percentile; 0 where it lies in the lowest bin."""
        import numpy as np

        counts = np.atleast_2d(rows).sum(axis=0)
        below = np.cumsum(counts)
        wanted = 0.99 * below[-1]
        index = int(np.searchsorted(below, wanted))
        if index == 0:
            return 0.0
        share = (wanted - below[index - 1]) / counts[index]
        edges = _edges()
        return float(np.exp(edges[index] + share * (edges[index + 1] - edges[index])))


def _edges() -> NDArray[np.float64]:
    import numpy as np

    return np.linspace(math.log(LOW), math.log(HIGH), BINS + 1)
