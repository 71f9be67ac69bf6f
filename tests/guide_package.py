"""The package of docs/plugins.md, built by pip and installed into a folder of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
#: The one plugin of each group.
PLUGINS = {
    "trainers": "shrink",
    "metrics": "length_ratio",
    "executors": "budget",
    "renderers": "outline",
    "meters": "constant",
}


def install(folder: Path) -> Path:
    """Write the guide's files, and install them as a user would; where they are found."""
    for language, name, text in re.findall(r"```(\w+)\n# (\S+\.\w+)\n(.*?)```", GUIDE, re.DOTALL):
        assert language in ("python", "toml")
        file = folder / "source" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (folder / "source" / "my_plugins" / "__init__.py").touch()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    pip += ["--no-build-isolation", "--target", str(folder / "site"), str(folder / "source")]
    subprocess.run(pip, check=True, capture_output=True)
    return folder / "site"
