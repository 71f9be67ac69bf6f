"""Every command in docs/ecosystem.md runs as it stands there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from steelyard.reports.exports.every_eval_ever import every_eval_ever
from tests.harness.imports.conftest import ROOT, Steelyard, copy_of
from tests.harness.imports.test_others import emissions
from tests.harness.imports.test_pairs import arena, duel
from tests.reports.fake_runs import fake_run

GUIDE = (ROOT / "docs" / "ecosystem.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_every_command_of_the_guide_runs(lm_eval_output: Path, steelyard: Steelyard) -> None:
    copy_of(lm_eval_output, Path("out/base"))
    copy_of(lm_eval_output, Path("out/new"), {"date": 1780000000.0})
    policy = next(text for kind, text in BLOCKS if kind == "yaml")
    Path("policy.yaml").write_text(policy.replace("gsm8k", "microworld_choice"))
    for name, right in (("base", 0), ("new", 1)):
        lines = [f"{i},{i // 4},{int(i % 3 <= right)}" for i in range(120)]
        Path(f"{name}.csv").write_text("\n".join(["id,passage,acc", *lines]))
    arena(
        Path("arena.csv"),
        [tuple(w.replace("base", "base-model") for w in r) for r in duel(9, 2, 5)],
    )
    emissions(Path("emissions.csv"))
    record = every_eval_ever(fake_run("full"), organization="Us")
    Path("record.json").write_text(json.dumps(record))
    commands = [
        line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines() if line
    ]
    assert len(commands) > 10
    for command in commands:
        done = steelyard(*shlex.split(command)[1:])
        assert done.code == 0, f"{command}\n{done.out[-1500:]}{done.err}"
