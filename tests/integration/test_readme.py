"""Every command in the README runs as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.partition("  #")[0].strip()
    for language, text in BLOCKS
    if language == "bash"
    for line in text.splitlines()
    if line.startswith("steelyard ")
]


def test_the_two_commands_of_the_start_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_the_first_experiment_is_a_valid_experiment_file(tmp_path: Path) -> None:
    from steelyard.harness.experiment.file import load_experiment

    text = next(t for language, t in BLOCKS if language == "yaml")
    assert yaml.safe_load(text)["name"] == "support-bot"
    (tmp_path / "train.jsonl").write_text('{"dialogue": "a", "summary": "b"}\n')
    (tmp_path / "experiment.yaml").write_text(text)
    experiment = load_experiment(tmp_path / "experiment.yaml")
    assert [c.name for c in experiment.candidates] == ["full", "lora", "nf4"]


def test_the_real_experiment_is_valid_and_finds_its_data(real_data: Path) -> None:
    # The run itself takes half an hour; its table stands in the README.
    from steelyard.harness.experiment.file import load_experiment
    from steelyard.harness.suites.suite import load_suite

    assert any("examples/smollm2.yaml" in command for command in COMMANDS)
    experiment = load_experiment(ROOT / "examples" / "smollm2.yaml")
    load_suite(experiment.settings.suite, folder=experiment.folder, limit=None)


@pytest.mark.slow
def test_every_verb_in_the_readme_runs(demo, steelyard) -> None:  # type: ignore[no-untyped-def]
    for command in COMMANDS:
        if "smollm2" in command:
            continue
        words = [str(ROOT / w) if w.startswith("examples/") else w for w in shlex.split(command)]
        done = steelyard(*words[1:], cwd=demo.folder.parent)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr}"
