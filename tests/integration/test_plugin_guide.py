"""The trainer in docs/plugins.md works from a package of its own, through its entry point."""

from __future__ import annotations

import re
import subprocess
import sys
from os import environ
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def test_the_guide_s_trainer_is_a_candidate_like_any_other(tmp_path: Path) -> None:
    source = re.search(r"```python\n# my_trainers/shrink\.py\n(.*?)```", GUIDE, re.DOTALL)
    entry = re.search(r'\[project\.entry-points\."(.+?)"\]\n(\w+) = "(.+?)"', GUIDE)
    assert source
    assert entry
    assert len(source[1].splitlines()) < 40
    package = tmp_path / "site" / "my_trainers"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "shrink.py").write_text(source[1])
    info = tmp_path / "site" / "my_trainers-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-trainers\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[{entry[1]}]\n{entry[2]} = {entry[3]}\n")
    (tmp_path / "experiment.yaml").write_text(
        "name: guide\nbase: microworld\nsuite: microworld\n"
        "candidates:\n  small: {trainer: shrink, factor: 0.9}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.main", "train", "experiment.yaml"],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(tmp_path / "site"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "small" in done.stdout
