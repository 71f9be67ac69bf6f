from __future__ import annotations

import pytest

from steelyard.harness.errors import ConfigError
from steelyard.harness.gate import decide, in_policy, load_gate
from tests.harness.gate.toy_gate import write_toy_gate

RULE = {"task": "gsm8k", "margin": 0.02}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, ["gate.rules", "no rules", "passes everything"]),
        ({"rules": []}, ["gate.rules", "no rules"]),
        ({"rules": {"task": "gsm8k"}}, ["gate.rules", "list of rules"]),
        ({"rules": ["gsm8k"]}, ["gate.rules.0", "expected a rule", "gsm8k"]),
        ({"rules": [RULE], "alhpa": 0.1}, ["gate.alhpa", "unknown key", "'alpha'"]),
        ({"rules": [RULE], "alpha": 0.7}, ["gate.alpha", "0.7", "less than 0.5"]),
        ({"rules": [{**RULE, "margn": 1}]}, ["gate.rules.0.margn", "unknown key", "'margin'"]),
        ({"rules": [{**RULE, "margin": -0.02}]}, ["gate.rules.0.margin", "-0.02", "0 or more"]),
        ({"rules": [{**RULE, "margin": "2%"}]}, ["gate.rules.0.margin", "2%", "a number"]),
        ({"rules": [{**RULE, "margin": True}]}, ["gate.rules.0.margin", "a number"]),
        ({"rules": [{**RULE, "margin": float("nan")}]}, ["gate.rules.0.margin", "finite"]),
        ({"rules": [{**RULE, "tier": "blocks"}]}, ["gate.rules.0.tier", "blocks", "'block'"]),
        ({"rules": [{**RULE, "on_missing": "x"}]}, ["gate.rules.0.on_missing", "'fail'"]),
        ({"rules": [{"task": "gsm8k"}]}, ["gate.rules.0", "allows everything"]),
        ({"rules": [{"margin": 0.1}]}, ["gate.rules.0", "selects nothing"]),
        ({"rules": [{**RULE, "max_ratio": 1.2}]}, ["gate.rules.0", "keep one"]),
        ({"rules": [{**RULE, "slice": "law"}]}, ["gate.rules.0.slice", "law", "field=value"]),
        ({"rules": [{"task": "a", "min": 0.5, "max": 0.4}]}, ["nothing can pass"]),
        ({"rules": [{"metric": "energy_kwh", "margin": 1}]}, ["takes a max_ratio or a max"]),
    ],
)
def test_a_wrong_gate_is_one_line_with_file_key_value_and_fix(content, words):
    with pytest.raises(ConfigError) as caught:
        load_gate(content, file="experiment.yaml")
    line = str(caught.value)
    assert line.startswith("experiment.yaml: ") and "\n" not in line
    for word in words:
        assert word in line


def test_a_policy_file_reads_like_the_block_of_an_experiment(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("alpha: 0.1\nrules:\n  - {task: gsm8k, margin: 0.02}\n")
    whole = tmp_path / "experiment.yaml"
    whole.write_text("name: x\ngate:\n  alpha: 0.1\n  rules:\n  - {task: gsm8k, margin: 0.02}\n")
    assert load_gate(policy) == load_gate(whole)
    assert load_gate(policy).alpha == 0.1


def test_a_wrong_policy_file_names_itself(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules:\n  - {tsk: gsm8k, margin: 0.02}\n")
    with pytest.raises(ConfigError, match=r"policy\.yaml:2: rules\.0\.tsk: unknown key.*'task'"):
        load_gate(policy)
    with pytest.raises(ConfigError, match="no such file"):
        load_gate(tmp_path / "gone.yaml")


def test_every_mistake_of_a_policy_is_told_with_its_line(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "alhpa: 0.1\nrules:\n  - {task: gsm8k, margin: -1}\n  - gsm8k\n"
        "  - task: known\n    margn: 0.02\n    margin: 0.02\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_gate(policy)
    assert [line.removeprefix(f"{policy}:") for line in str(caught.value).splitlines()] == [
        "1: alhpa: unknown key; did you mean 'alpha'?",
        "3: rules.0.margin: a margin is how much worse is still allowed, so 0 or more (got -1)",
        "4: rules.1: expected a rule such as {task: gsm8k, margin: 0.02} (got 'gsm8k')",
        "6: rules.2.margn: unknown key; did you mean 'margin' or 'max_forgotten'?",
    ]


def test_a_mistake_in_a_policy_that_another_extends_names_the_file_where_it_stands(tmp_path):
    house = tmp_path / "house.yaml"
    house.write_text("alpha: 0.01\nrules:\n  - {task: safety, magrin: 0}\n")
    policy = tmp_path / "policy.yaml"
    policy.write_text("extends: house.yaml\nrules:\n  - {task: gsm8k, margin: 0.02}\n")
    with pytest.raises(ConfigError) as caught:
        load_gate(policy)
    assert f"{house}:3: rules.0.magrin: unknown key; did you mean 'margin' or 'min'?" in str(
        caught.value
    )


def test_a_gate_within_an_experiment_file_has_that_files_lines(tmp_path):
    file = tmp_path / "experiment.yaml"
    file.write_text("name: x\ngate:\n  rules:\n    - {task: gsm8k, margn: 1}\n")
    for source in (file, {"rules": [{"task": "gsm8k", "margn": 1}]}):
        with pytest.raises(ConfigError) as caught:
            load_gate(source, file=file)
        assert str(caught.value).startswith(f"{file}:4: gate.rules.0.margn: unknown key")


def test_an_error_about_a_rule_names_the_policy_in_which_it_is_written(tmp_path):
    house = tmp_path / "house.yaml"
    house.write_text("rules:\n  - {task: safety, margin: 0}\n  - {task: other, margin: 0}\n")
    policy = tmp_path / "policy.yaml"
    policy.write_text("extends: house.yaml\nrules:\n  - {task: gsm8k, margin: 0.02}\n")
    for key, place in [
        ("rules.1.task", f"{house}:3: rules.1.task"),
        ("rules.2", f"{policy}:3: rules.0"),
        ("baseline", f"{policy}: baseline"),
    ]:
        with pytest.raises(ConfigError) as caught, in_policy(policy):
            raise ConfigError("wrong", key=key)
        assert str(caught.value) == f"{place}: wrong"


def test_extends_keeps_the_other_policys_rules_and_gives_way_to_its_own_keys(tmp_path):
    (tmp_path / "house.yaml").write_text(
        "alpha: 0.01\nbaseline: base\nrules:\n  - {task: safety, margin: 0}\n"
    )
    policy = tmp_path / "policy.yaml"
    policy.write_text("extends: house.yaml\nalpha: 0.05\nrules:\n  - {task: gsm8k, margin: 0.02}\n")
    gate = load_gate(policy)
    assert [rule.task for rule in gate.rules] == ["safety", "gsm8k"]
    assert (gate.alpha, gate.baseline) == (0.05, "base")


def test_policies_that_extend_one_another_are_named(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ConfigError, match="in a circle"):
        load_gate(tmp_path / "a.yaml")


def test_claims_default_by_how_the_gate_runs_and_a_rule_may_name_its_own():
    gate = load_gate({"rules": [RULE, {**RULE, "claim": "benchmark"}]})
    assert [gate.claim_of(rule) for rule in gate.rules] == ["population", "benchmark"]
    gate = load_gate({"rules": [RULE], "sequential": True})
    assert gate.claim_of(gate.rules[0]) == "benchmark"


WRONG = """\
rules:
  - {task: known, margin: 0.05}
  - {task: knwon, margin: 0.05}
  - {task: style, metric: bleu, margin: 0.05}
"""


def test_every_rule_that_selects_nothing_is_told_with_its_line(tmp_path):
    write_toy_gate(tmp_path, WRONG)
    runs = [tmp_path / f"{name}.steelyard.json.gz" for name in ("good", "base")]
    policy = tmp_path / "policy.yaml"
    with pytest.raises(ConfigError) as caught:
        decide(policy, [runs[0]], runs[1], workspace=tmp_path / "ws")
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{policy}:3: rules.1.task: matches no task")
    assert second.startswith(f"{policy}:4: rules.2.metric: no task that the rule selects")
