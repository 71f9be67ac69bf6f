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
    package = tmp_path / "source" / "my_trainers"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "shrink.py").write_text(source[1])
    (package.parent / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "my-trainers"\nversion = "0.1"\n' + entry[0] + "\n"
    )
    # A distribution of its own, installed by pip into a folder of its own.
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    pip += ["--no-build-isolation", "--target", str(tmp_path / "site"), str(package.parent)]
    subprocess.run(pip, check=True, capture_output=True)
    assert list((tmp_path / "site").glob("my_trainers-0.1.dist-info/entry_points.txt"))
    (tmp_path / "experiment.yaml").write_text(
        "name: guide\nbase: microworld\nsuite: microworld\n"
        "candidates:\n  small: {trainer: shrink, factor: 0.9}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "steelyard.harness.cli.main", "train", "experiment.yaml"],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "small" in done.stdout
