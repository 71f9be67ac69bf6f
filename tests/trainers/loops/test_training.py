"""What every training loop promises: the loss is watched, bad rows are told, kills cost little."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import DataError, TrainingError
from steelyard.harness.records import Checkpoint
from tests.trainers import tiny_jobs

FAST = {"steps": 12, "batch_size": 4, "learning_rate": 1e-2}


def test_progress_tells_loss_and_time_left_at_every_step(base: Checkpoint, tmp_path: Path) -> None:
    told: list[tuple[int, int | None, str]] = []
    full = tiny_jobs.train(
        "full", base, tmp_path / "full", progress=lambda *a: told.append(a), **FAST
    )
    assert [(done, total) for done, total, _ in told] == [(i, 12) for i in range(1, 13)]
    assert told[-1][2].startswith(f"loss {full.manifest.loss_curve[-1].loss:.3f}, 0:00 left")


def test_training_lowers_the_loss_and_the_curve_keeps_it(base: Checkpoint, tmp_path: Path) -> None:
    full = tiny_jobs.train("full", base, tmp_path / "full", **FAST)
    curve = full.manifest.loss_curve
    assert [point.step for point in curve] == list(range(1, 13))
    assert curve[-1].loss < curve[0].loss / 2
    assert 0 <= curve[0].metrics["mean_token_accuracy"] <= 1
    assert full.manifest.parameters == full.manifest.parameters_trained


def test_a_long_curve_is_thinned_to_means(base: Checkpoint) -> None:
    from steelyard.trainers.loops.watch import CURVE_POINTS, Watch

    watch = Watch(None)  # type: ignore[arg-type]
    watch.log = [{"loss": float(step), "step": step} for step in range(1, 1002)]
    curve = watch.curve
    assert len(curve) <= CURVE_POINTS
    assert (curve[0].step, curve[0].loss) == (1, 1.0)
    assert (curve[1].step, curve[1].loss) == (12, 7.0)
    assert curve[-1].step == 1001


def test_a_loss_that_is_not_finite_stops_with_candidate_and_step(
    base: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"candidate 'wild': the loss is \S+ at step \d+"):
        tiny_jobs.train(
            "full", base, tmp_path / "wild", steps=40, learning_rate=1.0, scheduler="constant",
            data=tiny_jobs.write_rows(
                tmp_path / "d.jsonl", [{"prompt": "a", "completion": "b" * 20}] * 64
            ),
            dtype="float32", batch_size=64, weight_decay=1e30,
        )  # fmt: skip
    assert not (tmp_path / "wild" / "manifest.json").exists()


def test_a_loss_that_explodes_or_never_moves_is_noted() -> None:
    from steelyard.trainers.loops.watch import Watch

    for losses, expected in (
        ([1.0] * 10 + [9.0] * 10, "the loss exploded: 1 at first, 9 at the end"),
        ([2.5] * 20, "the loss never moved from 2.5"),
        ([2.5 - i / 20 for i in range(20)], None),
    ):
        watch = Watch(None)  # type: ignore[arg-type]
        watch.log = [{"loss": loss, "step": i + 1} for i, loss in enumerate(losses)]
        watch.judge()
        assert watch.notes == ([expected] if expected else [])


@pytest.mark.parametrize("name", ["full", "dpo", "orpo", "simpo"])
def test_rows_that_cutting_wipes_out_are_counted(
    base: Checkpoint, tmp_path: Path, name: str
) -> None:
    answers = {"completion": " b"} if name == "full" else {"chosen": " b .", "rejected": " the fox"}
    rows = [{"prompt": f"{i} " + "dog " * (40 if i < 3 else 1), **answers} for i in range(8)]
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", rows)
    trained = tiny_jobs.train(
        name, base, tmp_path / name, data=data, steps=1, max_length=24, batch_size=2
    )
    note = "3 of 8 rows dropped: the prompt alone fills max_length=24"
    assert note in trained.manifest.notes


def test_kto_and_reward_count_what_does_not_fit_too(base: Checkpoint, tmp_path: Path) -> None:
    pair = {"chosen": " b .", "rejected": " the fox"}
    rows = [{"prompt": f"{i} " + "dog " * (40 if i < 3 else 1), **pair} for i in range(8)]
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", rows)
    notes = {
        name: tiny_jobs.train(
            name, base, tmp_path / name, data=data, steps=1, max_length=24, batch_size=2, **more
        ).manifest.notes
        for name, more in (("kto", {}), ("reward", {"held_out": 0}))
    }
    assert "6 of 16 rows dropped: the prompt alone fills max_length=24" in notes["kto"]
    assert "3 of 8 rows dropped: an answer with its prompt exceeds max_length=24" in notes["reward"]


def test_data_with_nothing_left_to_learn_is_refused(base: Checkpoint, tmp_path: Path) -> None:
    rows = [{"prompt": "dog " * 40, "completion": " b"}] * 3
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", rows)
    with pytest.raises(DataError, match="nothing is left to learn"):
        tiny_jobs.train("full", base, tmp_path / "full", data=data, steps=1, max_length=24)


def test_repeated_rows_are_noted(base: Checkpoint, tmp_path: Path) -> None:
    rows = [{"prompt": "a", "completion": " b"}, {"prompt": "c", "completion": " d"}]
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", rows + rows[:1])
    full = tiny_jobs.train("full", base, tmp_path / "full", data=data, steps=1)
    assert "1 of 3 training rows repeat another" in full.manifest.notes


def test_another_seed_is_another_model(base: Checkpoint, tmp_path: Path) -> None:
    one, two = (
        tiny_jobs.train("full", base, tmp_path / str(seed), seed=seed, **FAST) for seed in (0, 1)
    )
    assert one.manifest.digest != two.manifest.digest


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


LAYERED: dict[str, Any] = FAST | {"layer_decay": 0.8, "unfreeze_over": 0.5}


def check_resumed(resumed: Checkpoint, whole: Checkpoint, at: str) -> None:
    assert resumed.manifest.digest == whole.manifest.digest
    assert resumed.manifest.loss_curve == whole.manifest.loss_curve
    note = rf"resumed from a state saved at step {at}: time and energy count from there"
    assert any(re.fullmatch(note, found) for found in resumed.manifest.notes)


def test_killed_and_resumed_equals_undisturbed(
    base: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With layers at rates of their own, half of them still frozen; all others in the contract."""
    from steelyard.trainers.loops import watch

    whole = tiny_jobs.train("full", base, tmp_path / "whole" / "full", **LAYERED)
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setattr(watch, "SAVE_EVERY_SECONDS", 0.0)

    def kill_at_eight(done: int, total: int | None, message: str) -> None:
        if done == 8:
            raise Killed

    with pytest.raises(Killed):
        tiny_jobs.train(
            "full", base, tmp_path / "killed" / "full",
            state_folder=state, progress=kill_at_eight, **LAYERED,
        )  # fmt: skip
    (state / "checkpoint-99").mkdir()  # half of a state, as a kill during saving leaves it
    steps = itertools.count()
    again = tiny_jobs.train(
        "full", base, tmp_path / "again" / "full",
        state_folder=state, progress=lambda *_: next(steps), **LAYERED,
    )  # fmt: skip
    assert next(steps) == 5  # steps 8 to 12
    check_resumed(again, whole, "7")


TO_BE_KILLED = """
import json, sys
from pathlib import Path
from steelyard.harness.checkpoints import open_base
from tests.trainers import tiny_jobs
from steelyard.trainers.loops import watch
watch.SAVE_EVERY_SECONDS = 0.0
base, folder, state, options = sys.argv[1:]
tiny_jobs.train(
    "full", open_base(base), Path(folder), state_folder=Path(state),
    progress=lambda done, *_: print(done, flush=True), **json.loads(options),
)
"""


@pytest.mark.slow
def test_a_process_killed_without_mercy_resumes_to_the_same_weights(
    base: Checkpoint, tmp_path: Path
) -> None:
    whole = tiny_jobs.train("full", base, tmp_path / "whole" / "full", **LAYERED)
    state = tmp_path / "state"
    state.mkdir()
    arguments = [str(base.folder), str(tmp_path / "killed"), str(state), json.dumps(LAYERED)]
    process = subprocess.Popen(
        [sys.executable, "-c", TO_BE_KILLED, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "6":
            process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    again = tiny_jobs.train(
        "full", base, tmp_path / "again" / "full", state_folder=state, **LAYERED
    )
    # The state of the step before is whole; that of the step itself may just have been.
    check_resumed(again, whole, r"\d+")
