"""Two folders of the same weights whose ``generation_config.json`` differs, in one workspace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import steelyard
from steelyard.harness.checkpoints import open_base

pytestmark = pytest.mark.slow

SUITE = {
    "name": "gen",
    "tasks": [
        {"task": "microworld_stories", "limit": 12},
        {"task": "microworld_known", "limit": 24},
    ],
}


def test_a_second_folder_is_asked_itself_and_not_answered_from_the_firsts_journal(
    tmp_path: Path,
) -> None:
    plain, penalised = tmp_path / "plain", tmp_path / "penalised"
    for folder in (plain, penalised):
        shutil.copytree(open_base("microworld").folder, folder)
    path = penalised / "generation_config.json"
    stated = {"repetition_penalty": 3.0, "no_repeat_ngram_size": 2}
    path.write_text(json.dumps(json.loads(path.read_text()) | stated))
    scores = {}
    for folder in (plain, penalised):
        run = steelyard.evaluate(
            str(folder), SUITE, name=folder.name, workspace=tmp_path / "workspace"
        ).record
        stories, known = (
            run.score("microworld_stories", "rougeL"),
            run.score("microworld_known", "correct"),
        )
        assert stories is not None and known is not None
        scores[folder.name] = (stories.value, known.value)
    assert scores["plain"] == (1.0, 1.0)
    # As lm-eval's ``hf`` answers under these settings, in a workspace of its own.
    assert scores["penalised"] == (pytest.approx(0.2238, abs=5e-5), pytest.approx(23 / 24))
