from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from steelyard.harness.scoring import decoder_only, open_model
from steelyard.harness.scoring.journal import Journal
from tests.harness.scoring import tiny

ROOT = Path(__file__).resolve().parents[3]
WORDS = tiny.TEXT.split()


def requests(kind: str, documents: int = 16) -> list[Any]:
    """Few-shot prompts that share a prefix, so that packs stand on kept anchors."""
    draw = random.Random(0)
    shots = " ".join(draw.choice(WORDS) for _ in range(24))
    found = []
    for n in range(documents):
        prompt = f"{shots} question {n} {' '.join(draw.choice(WORDS) for _ in range(6))}"
        if kind == "loglikelihood":
            found += [tiny.instance(kind, prompt, f" {draw.choice(WORDS)} {c}") for c in "ABC"]
        elif kind == "loglikelihood_rolling":
            found.append(tiny.instance(kind, prompt * (1 + n % 4)))
        else:
            found.append(tiny.instance(kind, prompt, {"until": ["th"], "max_gen_toks": 12}))
    return found


def answer(lm: Any, kind: str) -> list[Any]:
    return list(getattr(lm, kind)(requests(kind)))


def open_small(model: Path, journal: Journal | None = None) -> Any:
    return open_model(
        model, device="cpu", max_length=96, tokens_per_batch=150, journal=journal, report=_ignore
    )


def _ignore(_: object) -> None:
    pass


@pytest.mark.parametrize("kind", ["loglikelihood", "loglikelihood_rolling", "generate_until"])
@pytest.mark.parametrize("kept", [0.2, 0.7])
def test_a_run_cut_anywhere_and_resumed_has_the_same_bits(
    kind: str, kept: float, llama: Path, tmp_path: Path
) -> None:
    undisturbed = answer(open_small(llama), kind)
    path = tmp_path / "j"
    with Journal(path, "c") as journal:
        assert answer(open_small(llama, journal), kind) == undisturbed
    os.truncate(path, int(path.stat().st_size * kept))
    with Journal(path, "c") as journal:
        assert answer(open_small(llama, journal), kind) == undisturbed


def test_only_what_is_missing_is_scored_after_a_cut(llama: Path, tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, "c") as journal:
        whole = open_small(llama, journal)
        answer(whole, "loglikelihood")
    os.truncate(path, int(path.stat().st_size * 0.6))
    with Journal(path, "c") as journal:
        resumed = open_small(llama, journal)
        before = resumed.inner.rung.tokens
        answer(resumed, "loglikelihood")
    assert 0 < resumed.inner.rung.tokens - before < 0.6 * whole.inner.rung.tokens


def test_what_was_answered_to_its_end_is_found_without_encoding_a_text(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [*requests("loglikelihood"), tiny.instance("loglikelihood", "the fox", "")]
    with Journal(tmp_path / "j", "c") as journal:
        first = open_small(llama, journal)
        answers = first.loglikelihood(asked)
    with Journal(tmp_path / "j", "c") as journal:
        again = open_small(llama, journal)
        monkeypatch.setattr(again.inner.encoder, "encode_all", None)
        assert again.loglikelihood(asked) == answers
        assert again.scoring_record()["notes"] == first.scoring_record()["notes"] != []
        with pytest.raises(TypeError):
            again.loglikelihood(asked[:-1])


def test_the_budget_of_the_first_start_is_kept(llama: Path, tmp_path: Path) -> None:
    with Journal(tmp_path / "j", "c") as journal:
        first = answer(open_small(llama, journal), "loglikelihood")
    with Journal(tmp_path / "j", "c") as journal:
        count = len(journal)
        other = open_model(
            llama, device="cpu", max_length=96, tokens_per_batch=999, journal=journal
        )
        assert answer(other, "loglikelihood") == first
        assert len(journal) == count


@pytest.mark.parametrize(("kind", "fitting"), [("loglikelihood", 80), ("generate_until", 60)])
def test_an_out_of_memory_halves_the_pack_and_the_record_says_so(
    kind: str, fitting: int, llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answer(open_small(llama), kind)
    lm = open_small(llama)
    forward = lm.model.forward

    def small_memory(*args: Any, **options: Any) -> Any:
        if options["input_ids"].numel() > fitting:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return forward(*args, **options)

    monkeypatch.setattr(lm.model, "forward", small_memory)
    found = answer(lm, kind)
    if kind == "generate_until":
        assert found == expected
    else:
        assert [v for v, _ in found] == pytest.approx([v for v, _ in expected], rel=1e-6)
    assert lm.scoring_record()["out_of_memory"] > 0


def test_an_out_of_memory_in_the_reduction_halves_the_pack_too(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answer(open_small(llama), "loglikelihood")
    whole = decoder_only.token_scores

    def small_memory(logits: Any, *rest: Any) -> Any:
        if logits.shape[0] > 8:
            raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB")
        return whole(logits, *rest)

    monkeypatch.setattr(decoder_only, "token_scores", small_memory)
    lm = open_small(llama)
    found = answer(lm, "loglikelihood")
    assert [v for v, _ in found] == pytest.approx([v for v, _ in expected], rel=1e-6)
    assert lm.scoring_record()["out_of_memory"] > 0


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from steelyard.harness.scoring.journal import Journal
from tests.harness.scoring.test_resume import answer, open_small
with Journal(Path(sys.argv[2]), "c") as journal:
    lm = open_small(Path(sys.argv[1]), journal)
    print("open", flush=True)
    for kind in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
        print(answer(lm, kind), flush=True)
"""


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing_and_change_no_score(
    llama: Path, tmp_path: Path
) -> None:
    draw = random.Random(0)
    path = tmp_path / "j"
    command = [sys.executable, "-c", SCRIPT, str(llama), str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    kept = 0
    for _ in range(int(os.environ.get("STEELYARD_KILLS", "6"))):
        run = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert run.stdout is not None
        run.stdout.readline()
        time.sleep(draw.uniform(0, 0.4))
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        run.stdout.close()
        if path.exists():
            with Journal(path, "c") as journal:
                assert len(journal) >= kept
                kept = len(journal)
    last = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lm = open_small(llama)
    kinds = ("loglikelihood", "loglikelihood_rolling", "generate_until")
    assert last.stdout.splitlines()[1:] == [str(answer(lm, kind)) for kind in kinds]
