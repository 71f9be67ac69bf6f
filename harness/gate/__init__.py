"""The gate: a policy of rules, held against the rows of a baseline and its candidates."""

from steelyard.harness.gate.corrections import among_all
from steelyard.harness.gate.deciding import decide
from steelyard.harness.gate.judging import judge
from steelyard.harness.gate.naming import baseline_name
from steelyard.harness.gate.planning import RulePlan, plan
from steelyard.harness.gate.policy import Gate, Rule
from steelyard.harness.gate.policy_file import in_policy, load_gate
from steelyard.harness.gate.sequential import EarlyDecision, EarlyOutcome

__all__ = [
    "EarlyDecision",
    "EarlyOutcome",
    "Gate",
    "Rule",
    "RulePlan",
    "among_all",
    "baseline_name",
    "decide",
    "in_policy",
    "judge",
    "load_gate",
    "plan",
]
