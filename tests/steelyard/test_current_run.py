"""Train, run, fail and gate again: the gate judges the checkpoint that is meant, or nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import steelyard
from steelyard.harness.cli.main import main
from steelyard.harness.store import open_store
from tests.trainers import tiny_jobs

TEXT = """
name: small
base: ./model
candidates:
  {name}: {{trainer: prune, amount: {amount}}}
suite: [microworld_known]
limit: 2
report: []
"""


class Place:
    """A folder with an experiment, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "model").mkdir()
        tiny_jobs.save_base(folder / "model")
        (folder / "policy.yaml").write_text(
            "baseline: base\nscope: rules\nrules: [{task: microworld_known, margin: 0.5}]\n"
        )

    def write(self, amount: object, name: str = "pruned") -> None:
        (self.folder / "small.yaml").write_text(TEXT.format(amount=amount, name=name))

    def steelyard(self, *words: str) -> int:
        """The exit code of the command."""
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as leaving:
            patch.setattr(sys, "argv", ["steelyard", *words])
            main()
        return int(leaving.value.code or 0)

    def run(self, amount: object, name: str = "pruned") -> int:
        self.write(amount, name)
        return self.steelyard("run", "small.yaml", "--no-gate")

    def judged(self, name: str = "small/pruned") -> str | int:
        """The digest of the weights that a gate would judge, or what it exits with."""
        code = self.steelyard("gate", name, "--policy", "policy.yaml")
        if code in (2, 3):
            return code
        return open_store(self.folder / ".steelyard").get(name).checkpoint.digest


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


@pytest.fixture(autouse=True)
def _in_the_place(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)


@pytest.mark.slow
def test_the_gate_judges_the_recipe_of_the_last_run_and_nothing_after_a_failure(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.run(0.9) == 0
    bad = place.judged()
    assert place.run(0.1) == 0
    good = place.judged()
    assert {bad, good}.isdisjoint({2, 3}) and bad != good
    assert place.run(0.9) == 0  # nothing is trained or scored
    assert place.judged() == bad

    # Trained again and not scored: the checkpoint of the run is not the present one.
    place.write(0.1)
    assert place.steelyard("train", "small.yaml") == 0
    assert place.judged() == 3
    assert "is not scored; run the experiment again" in capsys.readouterr().err
    with pytest.raises(steelyard.NoCurrentRunError):
        steelyard.gate("policy.yaml", "small/pruned")
    for words in (
        ("compare", "small/base", "small/pruned"),
        ("baseline", "save", "small/pruned"),
        ("export", "small/pruned", "--to", "csv"),
        ("show", "small/pruned"),
        ("report", "small"),
    ):
        assert place.steelyard(*words) == 3, words
    place.write(0.9)
    assert place.steelyard("train", "small.yaml") == 0  # the weights of the run after all?
    assert place.judged() == 3  # it was cleared, and only a run settles it
    assert place.run(0.9) == 0
    assert place.judged() == bad

    # A training that fails, a file that cannot be read: exit 2, and then nothing is judged.
    for amount in ("1.5", "["):
        assert place.run(0.9) == 0
        assert place.judged() == bad
        place.write(amount)
        assert place.steelyard("run", "small.yaml") == 2
        assert place.judged() == 3, amount


@pytest.mark.slow
def test_a_renamed_candidate_is_found_under_its_name(place: Place) -> None:
    assert place.run(0.1, "pruned") == 0
    before = place.judged()
    assert place.run(0.1, "cut") == 0
    assert place.judged("small/cut") == before
    assert open_store(place.folder / ".steelyard").get("small/cut").candidate == "cut"


@pytest.mark.slow
def test_a_run_with_a_flipped_byte_is_put_away_and_made_again_from_its_journal(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelyard.harness.scoring import journal

    assert place.run(0.1, "cut") == 0
    store = open_store(place.folder / ".steelyard")
    run = store.get("small/cut")
    rows = store.layout.runs / run.id / "rows.parquet"
    whole = rows.read_bytes()
    rows.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    capsys.readouterr()
    assert place.judged("small/cut") == 2  # an error by file, and never another number

    def scored(*_: object) -> None:
        raise AssertionError("a pack was scored again")

    monkeypatch.setattr(journal.Journal, "_append", scored)
    assert place.run(0.1, "cut") == 0
    told = capsys.readouterr().err
    assert "rows.parquet: damaged" in told
    assert "put away in" in told
    again = open_store(place.folder / ".steelyard")
    assert again.get("small/cut").id == run.id
    assert rows.read_bytes() == whole
    assert place.judged("small/cut") == run.checkpoint.digest
