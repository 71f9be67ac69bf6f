"""What an experiment came to: its runs, what the comparison and the gate say, and the reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from steelyard.harness.cli.conclude import Conclusion
from steelyard.harness.cli.documents import render
from steelyard.harness.errors import EXIT_PASS
from steelyard.harness.records import Comparison, Failure, Verdict
from steelyard.loaded import LoadedRun
from steelyard.reports.document import Document


@dataclass(frozen=True, repr=False)
class Result:
    """Candidates held against one baseline. The mappings go by candidate, in the file's order."""

    baseline: LoadedRun
    candidates: Mapping[str, LoadedRun]
    comparisons: Mapping[str, Comparison]
    verdicts: Mapping[str, Verdict]
    """Empty where there is no gate."""
    failures: tuple[Failure, ...]
    """Of candidates that could not be trained or scored; the others went on."""
    files: Mapping[str, Path]
    """Format -> where the report was written."""
    document: Document
    """The report before it is rendered."""
    exit_code: int
    """What the command would exit with: 0 pass, 1 regression, 2 a candidate failed, 3 not
    comparable or incomplete, 4 inconclusive where a rule blocks on that."""

    @property
    def passed(self) -> bool:
        """Whether nothing failed and no rule of the gate blocks."""
        return self.exit_code == EXIT_PASS

    def text(self, format: str = "markdown") -> str:
        """The report in one of the formats of ``steelyard list renderers``."""
        return render(self.document, format)

    def __repr__(self) -> str:
        names = ", ".join(self.candidates) or "no candidates"
        return f"<Result {names} against {self.baseline.name}: exit code {self.exit_code}>"


def result_of(conclusion: Conclusion) -> Result:
    """What was concluded, by candidate."""
    baseline, *candidates = map(LoadedRun, conclusion.runs)
    return Result(
        baseline=baseline,
        candidates={run.record.candidate: run for run in candidates},
        comparisons={each.candidate: each for each in conclusion.comparisons},
        verdicts={each.candidate: each for each in conclusion.verdicts},
        failures=conclusion.failures,
        files=conclusion.files,
        document=conclusion.document,
        exit_code=conclusion.exit_code,
    )
