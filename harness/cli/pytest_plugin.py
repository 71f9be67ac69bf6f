"""The gate under pytest: each blocking rule of a policy is one test.

```
pytest --steelyard-policy policy.yaml --steelyard-baseline base.steelyard.json.gz \\
    --steelyard-run new.steelyard.json.gz
```

Installed, it is there in every pytest run of the environment: without its options it does nothing,
and importing it loads none of the statistics. ``-p no:steelyard`` takes it out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from steelyard.harness.compare import Scored
    from steelyard.harness.records import RuleResult, Verdict

DEFAULT_WORKSPACE = ".steelyard"


class GateWarning(UserWarning):
    """A rule that does not block, and does not hold."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, named apart from everybody else's."""
    group = parser.getgroup("steelyard", "the gate of steelyard")
    group.addoption("--steelyard-policy", metavar="FILE", help="each blocking rule becomes a test")
    group.addoption(
        "--steelyard-baseline", metavar="RUN", help="replaces the policy's: a run or file"
    )
    group.addoption(
        "--steelyard-run",
        metavar="RUN",
        action="append",
        default=[],
        help="a candidate: a run or a baseline file; may be given more than once",
    )
    group.addoption("--steelyard-workspace", metavar="FOLDER", default=DEFAULT_WORKSPACE)


def pytest_configure(config: pytest.Config) -> None:
    """Half of a gate is a mistake, not an empty success."""
    policy, runs = config.getoption("--steelyard-policy"), config.getoption("--steelyard-run")
    if policy and not runs:
        raise pytest.UsageError(
            "--steelyard-policy: no candidate; name at least one --steelyard-run"
        )
    if not policy and (runs or config.getoption("--steelyard-baseline")):
        raise pytest.UsageError(
            "--steelyard-run and --steelyard-baseline need --steelyard-policy FILE"
        )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Adds the rules before ``-k``, ``--deselect`` and ``--last-failed`` choose."""
    policy = config.getoption("--steelyard-policy")
    if policy:
        items.extend(PolicyFile.from_parent(session, path=Path(policy).resolve()).collect())


class PolicyFile(pytest.File):
    """A policy, held against the runs of the command line when tests are collected."""

    def collect(self) -> Iterator[RuleItem]:
        """One item a blocking rule and candidate; what else does not hold is a warning."""
        from steelyard.harness.errors import SteelyardError
        from steelyard.harness.gate import decide

        option = self.config.getoption
        try:
            verdicts = decide(
                self.path, option("--steelyard-run"), option("--steelyard-baseline"),
                workspace=Path(option("--steelyard-workspace")),
            )  # fmt: skip
        except SteelyardError as error:
            raise pytest.UsageError(str(error)) from None
        taken: dict[str, int] = {}
        for result in (result for verdict in verdicts for result in verdict.rules):
            if result.tier == "block":
                name = _name(result)
                taken[name] = taken.get(name, 0) + 1
                name += f" ({taken[name]})" if taken[name] > 1 else ""
                yield RuleItem.from_parent(self, name=name, result=result)
            if result.verdict != "pass" and not result.exit_code and result.tier != "report":
                self._tell(result)

    def _tell(self, result: RuleResult) -> None:
        """In pytest's list of warnings past every filter: a policy's word is not noise.

        Under ``-W error`` it would block, and under ``-W ignore`` vanish; ``tier: report`` is how a
        policy keeps silent.
        """
        warning = warnings.WarningMessage(
            GateWarning(_rule_line(result)), GateWarning, str(self.path), lineno=1
        )
        self.ihook.pytest_warning_recorded.call_historic(
            kwargs={
                "warning_message": warning,
                "when": "collect",
                "nodeid": self.nodeid,
                "location": None,
            }
        )


class RuleItem(pytest.Item):
    """One blocking rule, held against one candidate."""

    def __init__(self, *, result: RuleResult, **node: Any) -> None:
        super().__init__(**node)
        self.result = result
        self.user_properties.append(("steelyard_verdict", result.verdict))

    def runtest(self) -> None:
        """Passes, or fails with what the rule says; inconclusive is as the rule has it."""
        if self.result.exit_code:
            pytest.fail(_rule_line(self.result), pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        """The policy, and the rule in words."""
        return self.path, None, self.name


@pytest.fixture
def steelyard_gate(pytestconfig: pytest.Config) -> Callable[..., Verdict]:
    """``steelyard_gate(policy, candidate, baseline=None, workspace=None) -> Verdict``.

    ``policy``: a policy file or the rules as a mapping. ``candidate`` and ``baseline``: a run, a
    baseline file or a ``Scored``. Only a verdict comes back; what fails the test is its assertion,
    as in ``assert verdict.exit_code == 0, verdict.summary``.
    """

    def hold(
        policy: str | Path | Mapping[str, object],
        candidate: str | Path | Scored,
        baseline: str | Path | Scored | None = None,
        workspace: str | Path | None = None,
    ) -> Verdict:
        from steelyard.harness.gate import decide

        folder = Path(workspace or pytestconfig.getoption("--steelyard-workspace"))
        base = baseline or pytestconfig.getoption("--steelyard-baseline")
        (verdict,) = decide(policy, [candidate], base, workspace=folder)
        return verdict

    return hold


def _name(result: RuleResult) -> str:
    from steelyard.harness.files import one_line

    return one_line(f"{result.candidate}: {result.rule}").replace("::", ":")


def _rule_line(result: RuleResult) -> str:
    from steelyard.harness.files import one_line

    verdict = result.verdict.replace("_", " ")
    return one_line(f"{result.candidate}: {result.rule}: {verdict}: {result.why}", 2000)
