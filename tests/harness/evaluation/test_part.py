"""A part of a suite gives the rows that the whole would have given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steelyard.harness.errors import ScoringError
from steelyard.harness.evaluation.evaluating import BuiltSuite, build, evaluate
from steelyard.harness.evaluation.part import PartEvaluation
from steelyard.harness.suites.suite import load_suite
from tests.harness.toy_suite import Answering, checkpoint, write_suite


@pytest.fixture
def built(tmp_path: Path) -> BuiltSuite:
    file = write_suite(tmp_path)
    return build(load_suite(str(file), folder=tmp_path))


def model() -> Answering:
    return Answering(
        loglikelihood=lambda context, text: -float(len(context) * 31 + len(text) * 17 % 7),
        generate=lambda context: f"alpha {context[-3:]}",
    )


def test_what_will_be_asked_is_what_a_full_run_records(built: BuiltSuite, tmp_path: Path) -> None:
    full = evaluate(model(), built, checkpoint=checkpoint(tmp_path))
    part = PartEvaluation(model(), built, checkpoint(tmp_path))
    assert part.signatures == full.signatures
    assert set(part.samples) == {(s.task, s.sample_id) for s in full.samples}
    for sample in full.samples:
        asked = part.samples[sample.task, sample.sample_id]
        # The name by lm-eval's hashes comes with the answer.
        assert asked == sample.model_copy(update={"responses": (), "twin_id": None})


@pytest.mark.parametrize("task", ["toy_choice", "toy_translate", "toy_text"])
def test_rows_of_a_part_are_those_of_the_whole(
    built: BuiltSuite, tmp_path: Path, task: str
) -> None:
    full = evaluate(model(), built, checkpoint=checkpoint(tmp_path))
    part = PartEvaluation(model(), built, checkpoint(tmp_path))
    chosen = part.sample_ids[task][5::7][::-1]
    found = part.score(task, chosen)
    whole = {rows.metric: rows for rows in full.rows if rows.task == task}
    assert {rows.metric for rows in found.rows} == set(whole)
    for rows in found.rows:
        place = {id: i for i, id in enumerate(whole[rows.metric].sample_ids)}
        assert set(rows.sample_ids) == set(chosen)
        where = [place[id] for id in rows.sample_ids]
        np.testing.assert_array_equal(rows.values, whole[rows.metric].values[where])


def test_only_the_chosen_samples_are_asked(built: BuiltSuite, tmp_path: Path) -> None:
    lm = model()
    part = PartEvaluation(lm, built, checkpoint(tmp_path))
    part.score("toy_translate", part.sample_ids["toy_translate"][:3])
    assert len(lm.asked) == 3


def test_a_part_leaves_the_suite_as_it_was(built: BuiltSuite, tmp_path: Path) -> None:
    before = evaluate(model(), built, checkpoint=checkpoint(tmp_path))
    part = PartEvaluation(model(), built, checkpoint(tmp_path))
    part.score("toy_text", part.sample_ids["toy_text"][:2])
    assert evaluate(model(), built, checkpoint=checkpoint(tmp_path)).scores == before.scores


def test_an_unknown_sample_is_named(built: BuiltSuite, tmp_path: Path) -> None:
    part = PartEvaluation(model(), built, checkpoint(tmp_path))
    with pytest.raises(ScoringError, match=r"toy_text.*no sample 'x'"):
        part.score("toy_text", ["x"])


def test_a_part_that_cannot_be_scored_says_why(built: BuiltSuite, tmp_path: Path) -> None:
    def fails(text: str) -> float:
        raise RuntimeError("no more")

    part = PartEvaluation(Answering(rolling=fails), built, checkpoint(tmp_path))
    with pytest.raises(ScoringError, match="RuntimeError: no more"):
        part.whole(["toy_text"])
