"""The gate under pytest: rules as tests, warnings as warnings, and no trace without its options."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import entry_points

import pytest

from steelyard.harness.gate import decide
from tests.harness.gate.toy_gate import toy_run, write_toy_gate

pytest_plugins = ["pytester"]

HEAVY = {
    "numpy",
    "scipy",
    "torch",
    "pandas",
    "pydantic",
    "transformers",
    "lm_eval",
    "yaml",
    "typer",
}


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("toys")
    write_toy_gate(folder)
    return folder


@pytest.fixture
def gated(pytester: pytest.Pytester, toys, monkeypatch):
    """pytest with the toy policy and baseline, in a folder with one test of its own."""
    if not [e for e in entry_points(group="pytest11") if e.name == "steelyard"]:
        pytest.skip("installed before the plugin was: pip install --no-deps -e .")
    pytester.makepyfile(test_own="def test_own():\n    pass\n")
    for file in toys.iterdir():
        (pytester.path / file.name).write_bytes(file.read_bytes())

    def run(*candidates: str, options: tuple[str, ...] = ()):
        runs = [word for c in candidates for word in ("--steelyard-run", f"{c}.steelyard.json.gz")]
        policy = (
            "--steelyard-policy",
            "policy.yaml",
            "--steelyard-baseline",
            "base.steelyard.json.gz",
        )
        return pytester.runpytest(*policy, *runs, *options)

    return run


def test_importing_the_plugin_loads_nothing_heavy() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules)\n"
        "import steelyard.harness.cli.pytest_plugin, json\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert not {name.partition(".")[0] for name in loaded} & HEAVY
    assert [name for name in loaded if name.startswith("steelyard")] == [
        "steelyard",
        "steelyard.harness",
        "steelyard.harness.cli",
        "steelyard.harness.cli.pytest_plugin",
    ]


def test_a_rule_that_holds_is_a_passed_test_beside_the_project_s_own(gated) -> None:
    result = gated("good", options=("-v",))
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["policy.yaml::good: keeps what it knew (known: acc) PASSED*"])
    assert result.ret == 0


def test_a_regression_is_a_failed_test_whose_message_is_the_rule_s_line(gated) -> None:
    result = gated("bad")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["bad: keeps what it knew*: fail: known: acc: fell 15.0 points*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_a_rule_that_only_warns_is_a_warning_and_no_test(gated) -> None:
    result = gated("warned")
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(["*GateWarning: warned: keeps style*fail*"])


@pytest.mark.parametrize("action", ["error", "ignore"])
def test_a_filter_neither_makes_a_warning_block_nor_hides_it(gated, action) -> None:
    result = gated("warned", options=("-W", action))
    result.assert_outcomes(passed=2, warnings=1)
    assert result.ret == 0


def test_not_comparable_is_a_failure_that_says_so(gated) -> None:
    result = gated("short")
    result.assert_outcomes(passed=1, failed=2, warnings=1)
    result.stdout.fnmatch_lines(["short: keeps what it knew*: not comparable: *1 of 600*"])


@pytest.mark.parametrize(
    ("says", "outcomes"),
    [("block", {"passed": 1, "failed": 1}), ("pass", {"passed": 2, "warnings": 1})],
)
def test_inconclusive_is_what_the_rule_says(gated, pytester, says, outcomes) -> None:
    policy = f"rules:\n  - {{task: known, margin: 0.05, on_inconclusive: {says}}}\nscope: rules\n"
    (pytester.path / "policy.yaml").write_text(policy)
    gated("unsure").assert_outcomes(**outcomes)


def test_each_candidate_has_its_own_tests_and_k_chooses_among_them(gated) -> None:
    gated("good", "bad").assert_outcomes(passed=2, failed=1)
    gated("good", "bad", options=("-k", "good")).assert_outcomes(passed=1, deselected=2)


def test_two_rules_of_one_name_are_two_tests(gated, pytester) -> None:
    rule = "  - {name: same, task: known, margin: 0.05}\n"
    (pytester.path / "policy.yaml").write_text(f"scope: rules\nrules:\n{rule}{rule}")
    result = gated("good", options=("--collect-only", "-q"))
    lines = [line for line in result.outlines if line.startswith("policy.yaml::")]
    assert len(set(lines)) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--steelyard-policy", "policy.yaml"),
            "*no candidate; name at least one --steelyard-run*",
        ),
        (("--steelyard-run", "x"), "*need --steelyard-policy FILE*"),
        (("--steelyard-policy", "nope.yaml", "--steelyard-run", "x"), "*nope.yaml*"),
        (("--steelyard-policy", "policy.yaml", "--steelyard-run", "x"), "*no baseline named*"),
    ],
)
def test_half_a_gate_is_a_usage_error_in_one_line(gated, pytester, options, said) -> None:
    result = pytester.runpytest(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])
    assert "Traceback" not in result.stderr.str() and "INTERNALERROR" not in result.stdout.str()


def test_without_its_options_pytest_is_as_if_the_plugin_were_not_there(gated, pytester) -> None:
    shown = []
    for options in ((), ("-p", "no:steelyard")):
        result = pytester.runpytest("-v", "-p", "no:cacheprovider", *options)
        result.assert_outcomes(passed=1)
        kept = ("collected", "test_own", "warning")
        shown.append([line for line in result.outlines if any(word in line for word in kept)])
    assert shown[0] == shown[1]


def test_the_fixture_gives_the_verdict_and_leaves_the_assertion_to_the_test(
    gated, pytester
) -> None:
    pytester.makepyfile(
        test_gate="""
        def test_bad(steelyard_gate):
            verdict = steelyard_gate(
                "policy.yaml", "bad.steelyard.json.gz", "base.steelyard.json.gz"
            )
            assert (verdict.verdict, verdict.exit_code) == ("fail", 1)

        def test_rules_in_the_test(steelyard_gate):
            rules = {"rules": [{"task": "known", "margin": 0.3}], "draws": 1000, "scope": "rules"}
            verdict = steelyard_gate(
                rules, "bad.steelyard.json.gz", baseline="base.steelyard.json.gz"
            )
            assert verdict.exit_code == 0, verdict.summary

        def test_scored_runs(steelyard_gate):
            from steelyard.harness.compare.baseline_file import load
            base, good = load("base.steelyard.json.gz"), load("good.steelyard.json.gz")
            assert steelyard_gate("policy.yaml", good, base).verdict == "pass"
        """
    )
    pytester.runpytest("test_gate.py").assert_outcomes(passed=3)


@pytest.mark.parametrize("scope", ["all", "rules"])
def test_a_run_that_stopped_half_way_never_passes(tmp_path, scope) -> None:
    whole = toy_run("new")
    stopped = replace(whole, run=whole.run.model_copy(update={"complete": False}))
    rules = {"rules": [{"task": "known", "margin": 0.05}], "scope": scope, "draws": 1000}
    (good, bad) = decide(rules, [whole, stopped], toy_run("base"), workspace=tmp_path)
    assert (good.verdict, good.exit_code) == ("pass", 0)
    assert (bad.verdict, bad.exit_code) == ("not_comparable", 3)
    assert "incomplete" in bad.rules[0].why and bad.rules[0].exit_code == 3
