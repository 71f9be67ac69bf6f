"""Metrics of Hugging Face ``evaluate``, by name or from a local module, one row a sample.

A module is a file that defines one subclass of ``evaluate.Metric``; a name is one that lies in the
library's cache already (nothing is fetched). The metric compares the generated text with the target
of one sample at a time, so that its rows can be paired and resampled; the score is their mean. Of a
metric that is not a mean over samples (a corpus BLEU, a correlation) that is another number than
the metric's own over all samples at once: for BLEU, chrF and TER use ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from steelyard.harness.errors import MetricError, did_you_mean
from steelyard.harness.plugins import Plugin, Sample
from steelyard.harness.records import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Evaluated(Plugin):
    """A metric of ``evaluate`` on each generated text against its target."""

    kind: ClassVar[Kind] = "bounded"
    module: str = Field(description="A name of evaluate's, or a local .py file.")
    result: str | None = Field(None, description="Which number of its result; its only one.")
    options: Mapping[str, Any] = Field(
        default_factory=dict, description="Passed on to its compute()."
    )
    higher_is_better: bool = Field(True, description="The direction of the number.")
    several_references: bool = Field(False, description="It takes a list of references a sample.")

    @property
    def name(self) -> str:
        """The module's name with the number that is read from it; never that of one of ours."""
        name = Path(self.module).stem
        return (
            f"evaluate_{name}" if self.result in (None, name) else f"evaluate_{name}_{self.result}"
        )

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float] | None:
        """The metric of one text; None for an empty target.

        Raises ``MetricError`` where the task generates no text or the metric gives no number.
        """
        if not responses or not isinstance(responses[0], str):
            raise MetricError(
                f"task '{sample.task}' generates no text for evaluate's '{self.name}'",
                key="evaluate",
                fix="use it with a task whose output_type is generate_until",
            )
        if not sample.target.strip():
            return None
        target: Any = [sample.target] if self.several_references else sample.target
        try:
            results = loaded(self.module).compute(
                predictions=[responses[0].strip()], references=[target], **dict(self.options)
            )
        except (TypeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise MetricError(
                f"evaluate's '{self.name}' refuses '{sample.task}': {reason}"
            ) from error
        return (self._number(results),)

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 1) -> mean."""
        return float(rows[:, 0].mean())

    def _number(self, found: Any) -> float:
        results = dict(found or {})
        key = self.result or (next(iter(results)) if len(results) == 1 else None)
        if key is None or key not in results:
            near = did_you_mean(str(self.result or ""), results)
            raise MetricError(
                f"evaluate's '{self.name}' gives {', '.join(map(str, results))}",
                key="evaluate.result",
                value=self.result,
                fix=near if self.result else "name one of them as result:",
            )
        try:
            return float(results[key])
        except (TypeError, ValueError):
            raise MetricError(
                f"evaluate's '{self.name}' gives no single number", key="evaluate.result", value=key
            ) from None


@lru_cache
def loaded(module: str) -> Any:
    """The metric object of a local file, or of a name that is in evaluate's cache.

    Raises ``MetricError`` where there is neither.
    """
    if module.endswith(".py"):
        return _from_file(Path(module))
    import evaluate

    if Path(module).exists():  # evaluate would import what lies there, whatever it is
        raise MetricError(
            f"the folder '{module}' in the working folder would be run in place of evaluate's",
            key="evaluate.module",
            fix="name the .py file itself, or work in another folder",
        )
    try:
        return evaluate.load(module)
    except Exception as error:  # offline it raises errors of four libraries
        raise MetricError(
            f"evaluate has no '{module}' on this machine ({type(error).__name__})",
            key="evaluate.module",
            fix="name a local .py file that defines it, or one of `steelyard list metrics`",
        ) from error


def _from_file(path: Path) -> Any:
    import importlib.util

    import evaluate

    if not path.is_file():
        raise MetricError("no such metric module", file=path, key="evaluate.module")
    spec = importlib.util.spec_from_file_location(f"steelyard_metric_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    python = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(python)
    except Exception as error:  # whatever a user's module raises
        raise MetricError(
            f"cannot be imported: {error}", file=path, key="evaluate.module"
        ) from error
    metrics = [
        thing
        for thing in vars(python).values()
        if isinstance(thing, type)
        and issubclass(thing, evaluate.Metric)
        and thing.__module__ == python.__name__
    ]
    if len(metrics) != 1:
        raise MetricError(
            f"defines {len(metrics)} subclasses of evaluate.Metric, one is needed", file=path
        )
    return metrics[0](keep_in_memory=True)
