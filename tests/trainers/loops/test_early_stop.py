"""Early stop: the best state is kept, a kill changes nothing, the manifest says what happened."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.checkpoints import load_model
from steelyard.harness.errors import DataError
from steelyard.harness.experiment.data_sets import read_rows
from steelyard.harness.records import Checkpoint
from tests.trainers import tiny_jobs
from tests.trainers.loops.test_training import Killed

#: So fast that the loss on rows held out soon rises again.
FAST = {"steps": 24, "batch_size": 4, "learning_rate": 3e-2, "scheduler": "constant"}
LOOK = {"every": 3, "patience": 2, "holdout": 0.25}


def looks(checkpoint: Checkpoint) -> tuple[dict[int, float], int, str]:
    """The numbers by step, the step that was kept, and the whole note."""
    (note,) = (n for n in checkpoint.manifest.notes if n.startswith("early stop"))
    found = {int(at): float(value) for value, at in re.findall(r"([\d.]+) at (\d+)", note)}
    return found, int(re.findall(r"state of step (\d+) kept", note)[0]), note


def test_the_state_that_is_kept_is_the_best_one_and_its_loss_is_what_was_noted(
    base: Checkpoint, tmp_path: Path
) -> None:
    import torch

    full = tiny_jobs.train("full", base, tmp_path / "full", early_stop=LOOK, **FAST)
    found, kept, note = looks(full)
    assert found[kept] == min(found.values())
    assert list(found)[-1] == kept + 6, "two looks without an improvement, and no third"
    assert "by held-out loss: stopped" in note
    assert full.manifest.steps == kept
    assert not (full.folder / "states").exists()
    # The kept weights give the noted loss again on the rows that were held out.
    from steelyard.trainers.loops import training
    from steelyard.trainers.loops.early_stop import EarlyStop, divided

    source = tiny_jobs.supervised(tmp_path)
    rows, _ = training.in_memory(read_rows(source, ("prompt", "completion")))

    class Job:
        seed = 0
        data = (source,)

    _, held_out = divided(rows, EarlyStop(**LOOK), Job())  # type: ignore[arg-type]
    model, tokenizer = load_model(full)
    nats, tokens = 0.0, 0
    for row in held_out or ():
        ids = tokenizer(row["prompt"] + row["completion"])["input_ids"] + [tokenizer.eos_token_id]
        start = len(tokenizer(row["prompt"])["input_ids"])
        with torch.inference_mode():
            log_p = model(torch.tensor([ids])).logits.log_softmax(-1)[0]
        nats -= sum(float(log_p[i - 1, ids[i]]) for i in range(start, len(ids)))
        tokens += len(ids) - start
    assert nats / tokens == pytest.approx(found[kept], rel=0.02)


@pytest.mark.parametrize("name", ["lora", pytest.param("dpo", marks=pytest.mark.slow)])
def test_killed_and_resumed_stops_where_the_undisturbed_run_stops(
    base: Checkpoint, tmp_path: Path, name: str
) -> None:
    options: dict[str, Any] = {**FAST, "early_stop": LOOK, "rank": 4}
    whole = tiny_jobs.train(name, base, tmp_path / "whole" / name, **options)
    found, _, _ = looks(whole)
    state = tmp_path / "state"
    state.mkdir()
    kill_at = max(list(found)[-1] - 1, 5)

    def kill(done: int, total: int | None, message: str) -> None:
        if done == kill_at:
            raise Killed

    with pytest.raises(Killed):
        tiny_jobs.train(
            name, base, tmp_path / "killed" / name, state_folder=state, progress=kill, **options
        )
    again = tiny_jobs.train(name, base, tmp_path / "again" / name, state_folder=state, **options)
    assert again.manifest.digest == whole.manifest.digest
    assert looks(again) == looks(whole)


@pytest.mark.slow
def test_a_suite_s_task_decides_and_does_not_move_the_weights(tmp_path: Path) -> None:
    """Asking a task draws nothing from what training draws: the steps are those without it."""
    from steelyard.harness.checkpoints import open_base
    from steelyard.tasks.microworld.training import write

    write(tmp_path / "data")
    from steelyard.harness.plugins.protocols import DataSource

    start = open_base("microworld")
    data = DataSource("facts", tmp_path / "data" / "facts_b.jsonl")
    options: dict[str, Any] = {
        "data": data, "steps": 8, "batch_size": 8, "rank": 4, "lora_dropout": 0.1,
        "learning_rate": 2e-3,
    }  # fmt: skip
    look = {"every": 4, "holdout": 0.02}
    task = {"task": "microworld_known", "limit": 6}
    asked = tiny_jobs.train("lora", start, tmp_path / "a" / "l", early_stop=look | task, **options)
    plain = tiny_jobs.train("lora", start, tmp_path / "b" / "l", early_stop=look, **options)
    assert asked.manifest.loss_curve == plain.manifest.loss_curve
    found, _, note = looks(asked)
    assert "early stop by microworld_known correct" in note
    assert set(found) == {4, 8}
    assert all(round(value * 6) == pytest.approx(value * 6, abs=0.01) for value in found.values())


def test_a_prompt_is_never_on_both_sides(tmp_path: Path) -> None:
    from steelyard.trainers.loops import training
    from steelyard.trainers.loops.early_stop import EarlyStop, divided

    rows, _ = training.in_memory([{"prompt": f"p{i % 7}", "completion": str(i)} for i in range(40)])

    class Job:
        seed = 3
        data = ()

    trained, held_out = divided(rows, EarlyStop(holdout=0.3), Job())  # type: ignore[arg-type]
    assert held_out is not None
    assert not set(trained["prompt"]) & set(held_out["prompt"])
    assert len(trained) + len(held_out) == 40
    assert len(held_out) >= 12


def test_sixty_thousand_rows_are_divided_in_no_time() -> None:
    import time

    from steelyard.trainers.loops.early_stop import EarlyStop, divided

    class Lines:
        column_names = ("prompt",)

        def __getitem__(self, name: str) -> list[str]:
            return [f"a long common beginning {i}" for i in range(60_000)]

        def select(self, at: list[int]) -> list[int]:
            return at

    class Job:
        seed = 0
        data = ()

    began = time.process_time()
    trained, held_out = divided(Lines(), EarlyStop(holdout=0.2), Job())  # type: ignore[arg-type]
    assert time.process_time() - began < 2  # a fifth of a second; anew for each key, many seconds
    assert held_out is not None
    assert (len(trained), len(held_out)) == (48_000, 12_000)


def test_holding_out_everything_is_refused(base: Checkpoint, tmp_path: Path) -> None:
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", [{"prompt": "a", "completion": " b"}] * 5)
    with pytest.raises(DataError, match="holds out 10% of 5 rows, which leaves none"):
        tiny_jobs.train("full", base, tmp_path / "full", data=data, steps=1, early_stop={})
