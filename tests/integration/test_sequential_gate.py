"""`steelyard gate --sequential`, in a folder that holds a policy and a baseline file and no run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from steelyard.harness.store import open_store

POLICY = """
rules:
  - {task: microworld_known, margin: 0.05}
  - {task: microworld_unknown, metric: made_up, margin: 0.05}
"""


@dataclass(frozen=True)
class Fresh:
    """A folder as CI sees it after a clone."""

    folder: Path
    bad: Path
    """The base with noise in its weights: a regression."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, in_process) -> Fresh:  # type: ignore[no-untyped-def]
    elsewhere, folder = (tmp_path_factory.mktemp(name) for name in ("elsewhere", "fresh"))
    done = in_process(
        "eval", "microworld", "--suite", "microworld", "--name", "base", cwd=elsewhere
    )
    assert done.returncode == 0, done.stderr
    done = in_process(
        "baseline", "save", "base/base", "-o", folder / "b.steelyard.json.gz", cwd=elsewhere
    )
    assert done.returncode == 0, done.stderr
    (folder / "policy.yaml").write_text(POLICY)
    return Fresh(folder, spoilt(elsewhere / "bad"))


def spoilt(folder: Path) -> Path:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from steelyard.harness.checkpoints import open_base

    source = open_base("microworld").weights_folder
    model = AutoModelForCausalLM.from_pretrained(source)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "layers" in name:
                weight += weight.std() * torch.randn_like(weight)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


def gate(in_process, fresh: Fresh, *candidates: object, policy: str = "policy.yaml", **options):  # type: ignore[no-untyped-def]
    return in_process(
        "gate",
        *candidates,
        "--sequential",
        *("-p", policy, "-b", "b.steelyard.json.gz"),
        *(word for key, value in options.items() for word in (f"--{key}", value)),
        cwd=fresh.folder,
    )


def decided_on(text: str) -> tuple[int, int]:
    used, total = re.search(r"decided on ([\d,]+) of ([\d,]+) samples", text).groups()  # type: ignore[union-attr]
    return int(used.replace(",", "")), int(total.replace(",", ""))


@pytest.mark.slow
def test_a_planted_regression_exits_1_after_at_most_half_of_the_items(fresh, in_process) -> None:  # type: ignore[no-untyped-def]
    done = gate(in_process, fresh, fresh.bad, format="markdown")
    assert done.returncode == 1, done.stdout + done.stderr
    used, total = decided_on(done.stdout)
    assert 0 < used <= total / 2
    # Of the two tasks that the rules are about, too.
    asked = [int(n) for n in re.findall(r"after (\d+) of \d+ samples", done.stdout)]
    assert 0 < sum(asked) <= (192 + 120) / 2
    # Another checkpoint in its place would be the second attempt.
    counts = open_store(fresh.folder / ".steelyard").current.gated
    assert counts.counted("base", "bad", "microworld", "another").number == 2


@pytest.mark.slow
def test_an_equal_candidate_exits_0_and_says_what_was_saved(fresh, in_process) -> None:  # type: ignore[no-untyped-def]
    done = gate(in_process, fresh, "microworld", format="json")
    assert done.returncode == 0, done.stdout + done.stderr
    text = json.dumps(json.loads(done.stdout))
    used, total = decided_on(text)
    assert used < total / 2
    assert re.search(r"saved [\d,]+ samples, [\d.]+ (s|min), [\d.e-]+ Wh \(estimated\)", text)


@pytest.mark.slow
def test_a_suite_that_asks_other_samples_is_not_comparable(fresh, in_process) -> None:  # type: ignore[no-untyped-def]
    done = gate(in_process, fresh, "microworld", suite="smoke")
    assert done.returncode in (2, 3), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_rule_that_cannot_stop_early_is_decided_on_its_whole_task(fresh, in_process) -> None:  # type: ignore[no-untyped-def]
    policy = "rules: [{task: microworld_translate, metric: bleu, margin: 1.0}]\n"
    (fresh.folder / "corpus.yaml").write_text(policy)
    done = gate(in_process, fresh, fresh.bad, policy="corpus.yaml", format="markdown")
    assert done.returncode == 1, done.stdout + done.stderr
    used, total = decided_on(done.stdout)
    assert 0 < used < total


@pytest.mark.slow
def test_several_candidates_share_one_building_of_the_suite(fresh, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    import typer

    from steelyard.harness.cli.verbs import gate_early
    from steelyard.harness.cli.verbs.gate import gate as gate_verb

    built = []
    build = gate_early.build
    monkeypatch.setattr(gate_early, "build", lambda *a, **k: built.append(1) or build(*a, **k))
    monkeypatch.chdir(fresh.folder)
    with pytest.raises(typer.Exit) as left:
        gate_verb(
            ["microworld", str(fresh.bad)],
            Path("policy.yaml"),
            baseline="b.steelyard.json.gz",
            sequential=True,
        )
    assert left.value.exit_code == 1
    assert len(built) == 1
    assert "1 of 2 candidates pass the gate" in capsys.readouterr().out
