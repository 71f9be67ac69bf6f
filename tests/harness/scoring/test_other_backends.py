from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.errors import UnknownNameError
from steelyard.harness.scoring import open_model
from steelyard.harness.scoring.journal import Journal
from tests.harness.scoring import tiny


def test_any_lm_eval_backend_is_opened_by_name_and_journalled(tmp_path: Path) -> None:
    requests = [tiny.instance("loglikelihood", "a", f" {n}") for n in range(5)]
    with Journal(tmp_path / "j", "c") as journal:
        lm = open_model("anything", backend="lm-eval:dummy", journal=journal)
        first = lm.loglikelihood(requests)
    with Journal(tmp_path / "j", "c") as journal:
        again = open_model("anything", backend="lm-eval:dummy", journal=journal)
        # The dummy answers at random, so equal answers can only be the journal's.
        assert again.loglikelihood(requests) == first
        assert again.scoring_record()["backend"] == "lm-eval:dummy"


def test_the_hf_backend_by_name_gives_the_numbers_of_our_own(llama: Path) -> None:
    requests = [tiny.instance("loglikelihood", "who lives", f" {n}") for n in range(3)]
    theirs = open_model(
        llama, backend="lm-eval:hf,device=cpu,dtype=float32,batch_size=1"
    ).loglikelihood(requests)
    ours = open_model(llama, device="cpu").loglikelihood(requests)
    assert [value for value, _ in ours] == pytest.approx([v for v, _ in theirs], rel=1e-6)


@pytest.mark.parametrize("backend", ["lm-eval:vlm", "stelyard"])
def test_a_misspelt_backend_gets_a_suggestion(backend: str) -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        open_model("anything", backend=backend)
