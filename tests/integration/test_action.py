"""The GitHub action and the example workflow: their shell runs as it stands, inputs stay words."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.gate.toy_gate import write_toy_gate

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
WORKFLOW = yaml.safe_load((ROOT / "examples" / "ci" / "train-and-gate.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
ALL_STEPS = [*ACTION["runs"]["steps"], *(s for j in WORKFLOW["jobs"].values() for s in j["steps"])]

HOSTILE = [
    "a b",
    "$(touch owned)",
    "`touch owned`",
    "'; touch owned; '",
    '" && touch owned "',
    "--help",
    "*",
    "\\",
    "${HOME}",
]


def as_bash(step: dict[str, Any], inputs: dict[str, str], folder: Path, **env: str):
    """One `run` step as GitHub runs `shell: bash`, with its `env` filled in from ``inputs``."""
    given = {name: spec.get("default", "") for name, spec in ACTION["inputs"].items()} | inputs
    filled = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: given[m[1]], value)
        for name, value in step["env"].items()
    }
    (folder / "temp").mkdir(exist_ok=True)
    (folder / "step.sh").write_text(step["run"])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", folder / "step.sh"],
        cwd=folder,
        env={
            "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "RUNNER_TEMP": str(folder / "temp"),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
            "GITHUB_ACTION_PATH": str(ROOT),
            **filled,
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def outputs(folder: Path) -> dict[str, str]:
    """The file GITHUB_OUTPUT as the runner reads it; a later value replaces an earlier one."""
    found, lines = {}, iter((folder / "output").read_text().split("\n"))
    for line in lines:
        if match := re.match(r"([\w-]+)<<(.+)", line):
            held: list[str] = []
            while (line := next(lines)) != match[2]:
                held.append(line)
            found[match[1]] = "\n".join(held)
        elif line:
            name, _, value = line.partition("=")
            found[name] = value
    return found


def stand_in(folder: Path, name: str, code: int) -> None:
    """A command that writes down its arguments, one a line of JSON, and exits with ``code``."""
    (folder / "bin").mkdir(exist_ok=True)
    file = folder / "bin" / name
    file.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"json.dump(sys.argv[1:], open({str(folder / 'argv.json')!r}, 'w'))\nsys.exit({code})\n"
    )
    file.chmod(0o755)


def test_no_expression_stands_in_a_shell_text_or_a_script() -> None:
    for step in ALL_STEPS:
        assert "${{" not in step.get("run", "")
        assert "${{" not in step.get("with", {}).get("script", "")


def test_every_foreign_action_is_pinned_to_a_commit() -> None:
    for step in ALL_STEPS:
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}|OWNER/steelyard@COMMIT", step["uses"])


def test_every_input_is_used_and_every_output_has_a_source() -> None:
    text = (ROOT / "action.yml").read_text()
    for name in ACTION["inputs"]:
        assert f"inputs.{name}" in text
    for name, spec in ACTION["outputs"].items():
        assert spec["value"] == f"${{{{ steps.gate.outputs.{name} }}}}"


def test_the_workflow_asks_for_no_more_than_it_needs() -> None:
    assert WORKFLOW["permissions"] == {}
    assert {name: job["permissions"] for name, job in WORKFLOW["jobs"].items()} == {
        "gate": {"contents": "read"},
        "comment": {"pull-requests": "write"},
    }
    assert "pull_request" in WORKFLOW[True]  # YAML 1.1 reads the key `on` as true


def test_the_workflow_gives_the_action_what_it_takes_and_requires() -> None:
    step = next(s for s in WORKFLOW["jobs"]["gate"]["steps"] if s.get("id") == "gate")
    required = {name for name, spec in ACTION["inputs"].items() if spec.get("required")}
    assert required <= set(step["with"]) <= set(ACTION["inputs"])


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_input_stays_one_word(tmp_path: Path, text: str) -> None:
    stand_in(tmp_path, "steelyard", 0)
    inputs = dict.fromkeys(("policy", "baseline", "workspace", "args"), text)
    done = as_bash(STEPS["Gate"], {**inputs, "candidates": f"{text}\n\nb\n"}, tmp_path)
    assert done.returncode == 0, done.stderr
    words = json.loads((tmp_path / "argv.json").read_text())
    assert words[:4] == ["gate", f"--policy={text}", f"--workspace={text}", "--github"]
    assert words[5:] == [f"--baseline={text}", text, "--", text, "b"]
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_requirement_stays_one_word(tmp_path: Path, text: str) -> None:
    stand_in(tmp_path, "python", 0)
    done = as_bash(STEPS["Install"], {"install": text}, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "argv.json").read_text())[-2:] == ["--", text]
    assert not list(tmp_path.rglob("owned"))


def test_without_a_requirement_the_action_installs_itself_under_its_own_pins(
    tmp_path: Path,
) -> None:
    stand_in(tmp_path, "python", 0)
    as_bash(STEPS["Install"], {}, tmp_path)
    words = json.loads((tmp_path / "argv.json").read_text())
    assert words[-1] == str(ROOT)
    assert Path(words[words.index("--constraint") + 1]).is_file()


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 127, 130])
def test_no_exit_code_is_remapped_and_a_verdict_is_always_there(tmp_path: Path, code: int) -> None:
    stand_in(tmp_path, "steelyard", code)
    done = as_bash(STEPS["Gate"], {"policy": "p", "candidates": "c"}, tmp_path)
    assert done.returncode == code
    assert outputs(tmp_path) == {"verdict": "error", "exit-code": str(code)}


@pytest.mark.parametrize(
    ("candidate", "verdict", "code"),
    [
        pytest.param("good", "pass", 0, marks=pytest.mark.slow),
        ("bad", "fail", 1),  # the others' codes go through the stand-in above
        pytest.param("nothing", "error", 2, marks=pytest.mark.slow),
        pytest.param("short", "not_comparable", 3, marks=pytest.mark.slow),
        pytest.param("unsure", "inconclusive", 4, marks=pytest.mark.slow),
    ],
)
def test_the_gate_itself_answers_through_the_action(tmp_path, candidate, verdict, code) -> None:
    folder = tmp_path / "a $(touch owned) checkout"
    folder.mkdir()
    write_toy_gate(folder)
    inputs = {
        "policy": "policy.yaml",
        "baseline": "base.steelyard.json.gz",
        "candidates": f"{candidate}.steelyard.json.gz",
        "args": "--junit=gate results.xml",
    }
    done = as_bash(STEPS["Gate"], inputs, folder)
    assert done.returncode == code, done.stderr
    found = outputs(folder)
    assert (found["verdict"], found["exit-code"]) == (verdict, str(code))
    assert found["comment"].startswith("<!-- steelyard gate policy.yaml -->\n")
    assert Path(found["comment-file"]).read_text() == found["comment"] + "\n"
    assert ("\n::error title=" in "\n" + done.stdout) == (code != 0)
    assert (folder / "summary.md").read_text().startswith("# gate policy.yaml")
    assert (folder / "gate results.xml").exists() == (code != 2)
    assert not list(tmp_path.rglob("owned"))


def test_a_usage_error_leaves_an_error_and_no_comment(tmp_path: Path) -> None:
    inputs = {"policy": "p.yaml", "candidates": "c", "args": "--no-such-option"}
    done = as_bash(STEPS["Gate"], inputs, tmp_path)
    assert done.returncode == 2
    assert outputs(tmp_path) == {"verdict": "error", "exit-code": "2"}


SCRIPT = """
const kept = JSON.parse(process.env.KEPT);
const did = [];
const github = {
  paginate: async (list, where) => kept,
  rest: { issues: {
    listComments: "list",
    updateComment: async (given) => did.push(["update", given]),
    createComment: async (given) => did.push(["create", given]),
  } },
};
const context = { repo: { owner: "o", repo: "r" }, issue: { number: 7 } };
(async () => { %s })().then(() => console.log(JSON.stringify(did)));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize(
    ("kept", "does"),
    [
        ([], "create"),
        ([("github-actions[bot]", "<!-- steelyard gate policy.yaml -->\nold")], "update"),
        ([("github-actions[bot]", "<!-- steelyard gate other.yaml -->\nold")], "create"),
        ([("somebody", "<!-- steelyard gate policy.yaml -->\nforged")], "create"),
        ([(None, None)], "create"),
    ],
)
def test_the_workflow_updates_its_own_comment_and_no_other(kept, does) -> None:
    (step,) = WORKFLOW["jobs"]["comment"]["steps"]
    comments = [{"id": 3, "user": login and {"login": login}, "body": body} for login, body in kept]
    body = "<!-- steelyard gate policy.yaml -->\nnew `${1}`"
    done = subprocess.run(
        ["node", "-e", SCRIPT % step["with"]["script"]],
        env={**os.environ, "COMMENT": body, "KEPT": json.dumps(comments)},
        capture_output=True,
        text=True,
        check=True,
    )
    ((verb, given),) = json.loads(done.stdout)
    assert (verb, given["body"], given["owner"]) == (does, body, "o")
    assert given.get("comment_id", 3) == 3 and given.get("issue_number", 7) == 7


def test_the_workflow_s_commands_are_commands_of_ours() -> None:
    lines = [s["run"] for s in WORKFLOW["jobs"]["gate"]["steps"] if "run" in s]
    assert lines == [
        "python -m pip install --requirement requirements.txt",
        "steelyard run experiment.yaml --no-gate",
    ]
