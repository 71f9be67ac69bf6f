"""The three steps of docs/scaling.md run as they stand there, and give the same numbers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.experiment.resources import Resources, ScoreResources
from steelyard.harness.store import FolderStore, open_store

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```bash\n(steelyard run .*)\n```", GUIDE)


def written(folder: Path) -> Path:
    file = folder / "sweep.yaml"
    file.write_text(re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL)[0])
    return file


def test_the_guide_names_every_resource(tmp_path: Path) -> None:
    assert load_experiment(written(tmp_path)).settings.resources.score.shards == 2
    for key in {*Resources.model_fields, *ScoreResources.model_fields}:
        assert f"| `{key}` |" in GUIDE


def same(expected: FolderStore, found: FolderStore) -> None:
    theirs, ours = ({run.candidate: run for run in store.find()} for store in (expected, found))
    assert set(ours) == {"base", "light", "half", "half-int8"} == set(theirs)
    for name, run in theirs.items():
        assert ours[name].scores == run.scores, name
        assert ours[name].checkpoint.digest == run.checkpoint.digest, name
        pairs = zip(expected.rows(run.id), found.rows(ours[name].id), strict=True)
        for a, b in pairs:
            assert a.sample_ids == b.sample_ids
            np.testing.assert_array_equal(a.values, b.values)


@pytest.mark.slow
def test_the_three_steps_give_the_same_bits(steelyard, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    written(tmp_path)
    for command in COMMANDS:
        done = steelyard(*shlex.split(command)[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        for stage in ("train half-int8", "score light 2/2", "score base"):
            verb, _, label = stage.partition(" ")
            assert re.search(rf"✓ {verb} +{label} ", done.stderr), (stage, done.stderr)
    inline, local, ray = (open_store(tmp_path / name) for name in (".steelyard", "two", "three"))
    same(inline, local)
    same(inline, ray)


def test_an_option_that_an_executor_lacks_is_told(in_process, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    written(tmp_path)
    done = in_process("run", "sweep.yaml", "--workers", "2", cwd=tmp_path)
    assert done.returncode == 2
    assert "error: --workers: executor 'inline' takes no such option; choose" in done.stderr
    done = in_process("run", "sweep.yaml", "--executor", "lokal", cwd=tmp_path)
    assert done.returncode == 2
    assert "no executor named 'lokal'; did you mean 'local'?" in done.stderr
