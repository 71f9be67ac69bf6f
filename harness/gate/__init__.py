"""The gate: a policy of rules, held against the rows of a baseline and its candidates."""

from steelyard.harness.gate.deciding import decide
from steelyard.harness.gate.judging import judge
from steelyard.harness.gate.policy import Gate, Rule
from steelyard.harness.gate.policy_file import in_policy, load_gate

__all__ = ["Gate", "Rule", "decide", "in_policy", "judge", "load_gate"]
