"""The second round on stores: a workspace of somebody else's, and a location that others write."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

from benchmarks.attack.attacks import NotTriedError, attack, require
from benchmarks.attack.command import TIMED_OUT, steelyard
from benchmarks.attack.ground import (
    canary_pickle,
    changed_json,
    ended_well,
    evaluate,
    experiment,
    files_below,
    harmless,
    in_one_line,
    model,
    refused,
    ruined,
    untouched,
    write_json,
)
from benchmarks.attack.limits import MEMORY_MB
from benchmarks.attack.losses import ITEMS, imported

WRONG, LOST, LIMIT = "wrong number", "lost or stuck", "error, limit, litter"
VERBS: tuple[tuple[str, ...], ...] = (
    ("list", "runs"),
    ("store", "check"),
    ("store", "rebuild"),
    ("leaderboard", "-o", "site"),
    ("report", "imported", "-b", "old", "-o", "page"),
    ("store", "copy", "copied"),
    ("store", "gc", "--delete"),
)


def bears(place: Path, outside: Path | None = None) -> None:
    """Each verb ends in a line or works, and writes nothing outside of ``place``."""
    before = files_below(outside) if outside else set()
    for verb in VERBS:
        ended = steelyard(*verb, cwd=place, memory_mb=MEMORY_MB, seconds=60)
        name = " ".join(verb)
        require(ended.code != TIMED_OUT, f"{name} never ends")
        require(ended.code in (0, 2, 3), f"{name}: {ended.brief()}")
        require("Traceback" not in ended.printed, f"{name}: traceback")
        harmless(ended.printed)
    if outside:
        inside = str(place.relative_to(outside)) + "/"
        written = {n for n in files_below(outside) - before if not n.startswith(inside)}
        require(not written, f"written outside: {sorted(written)[:3]}")


RECORDS: dict[str, dict[str, object]] = {
    "an experiment that is a path": {"experiment": "../../../evil"},
    "a candidate that is a path": {"candidate": str(Path(gettempdir()) / "evil-candidate")},
    "an id of another run": {"id": "0" * 32},
    "an id that is a path": {"id": "../../evil"},
    "a date beyond dates": {"created_at": "99999-01-01T00:00:00"},
    "a date with escapes": {"created_at": "\x1b[2J"},
    "scores that are none": {"scores": [{"task": "t"}]},
    "a suite with markup": {"suite": "<script>x</script>\x1b]0;x\x07"},
    "a hundred thousand notes": {"notes": ["x"] * 100_000},
    "an older version": {"schema_version": 0},
    "a version that is text": {"schema_version": "2; DROP"},
}


def _record(name: str, changes: dict[str, object]) -> None:
    @attack(f"store: {name}", LIMIT, f"a run's record with {name}: every verb bears it")
    def attempt(place: Path) -> None:
        home = place / "deep" / "home"
        home.mkdir(parents=True)
        changed_json(imported(home) / "run.json", **changes)
        bears(home, outside=place)


for _name, _changes in RECORDS.items():
    _record(_name, _changes)


def _index_of(place: Path) -> Path:
    path = place / ".steelyard" / "index.sqlite"
    if not path.exists():
        ended_well(steelyard("store", "rebuild", cwd=place))
        ended_well(steelyard("list", "runs", cwd=place))
    if not path.exists():
        raise NotTriedError("the workspace has no index")
    return path


def _other_index(place: Path) -> None:
    """An index that lists the run under a name that its record does not have."""
    with sqlite3.connect(_index_of(place)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        for table in names:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info('{table}')")]
            if "candidate" in columns:
                connection.execute(f"UPDATE '{table}' SET candidate = 'renamed'")


def _trigger(place: Path) -> None:
    with sqlite3.connect(_index_of(place)) as connection:
        for (table,) in list(
            connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ):
            connection.execute(
                f"CREATE TRIGGER 't{table}' AFTER INSERT ON '{table}' "
                f"BEGIN DELETE FROM '{table}'; END"
            )


def _empty_index(place: Path) -> None:
    path = _index_of(place)
    path.unlink()
    sqlite3.connect(path).close()


def _folder_as_index(place: Path) -> None:
    path = _index_of(place)
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "an index of garbage": lambda p: _index_of(p).write_bytes(b"garbage" * 999),
    "an index without tables": _empty_index,
    "an index with triggers": _trigger,
    "an index that is a folder": _folder_as_index,
    "runs/ as a file": lambda p: (
        shutil.rmtree(p / ".steelyard" / "runs"),
        (p / ".steelyard" / "runs").write_text(""),
    ),
    "a run's folder that is a link to /": lambda p: (p / ".steelyard/runs" / ("a" * 32)).symlink_to(
        "/"
    ),
    "a stage of garbage": lambda p: (
        (p / ".steelyard/stages").mkdir(exist_ok=True),
        (p / ".steelyard/stages/x.json").write_text("["),
    ),
    "a checkpoint's folder of garbage": lambda p: (
        (p / ".steelyard/checkpoints" / ("b" * 16)).mkdir(parents=True),
        (p / ".steelyard/checkpoints" / ("b" * 16) / "manifest.json").write_text("{}"),
    ),
}


def _damaged(name: str, damage: Callable[[Path], object]) -> None:
    @attack(f"store: {name}", LOST, f"a workspace with {name}: every verb bears it")
    def attempt(place: Path) -> None:
        home = place / "deep" / "home"
        home.mkdir(parents=True)
        imported(home)
        damage(home)
        bears(home, outside=place)
        require(Path("/etc/passwd").exists(), "gc followed a link")


for _name, _damage in DAMAGES.items():
    _damaged(_name, _damage)


@attack("store: renamed in the index", WRONG, "an index that renames a run does not choose it")
def renamed_in_the_index(place: Path) -> None:
    """The record says what a run is; the index is a convenience."""
    imported(place)
    _other_index(place)
    ended = steelyard("show", "imported/renamed", cwd=place)
    if ended.code == 0:
        require("imported/renamed" not in ended.out, "the index decides what a run is called")


@attack("store: exchanged weights", WRONG, "weights exchanged in the workspace are not scored")
def exchanged_weights(place: Path) -> None:
    """The checkpoint's folder is called by its digest."""
    experiment(place, {"a": "trainer: prune, amount: 0.01"})
    ended_well(steelyard("train", "x.yaml", cwd=place))
    bad = ruined(place / "bad")
    for path in place.glob(".steelyard/checkpoints/*/model.safetensors"):
        path.chmod(0o644)
        shutil.copyfile(bad / "model.safetensors", path)
    ended = steelyard("run", "x.yaml", "--no-gate", cwd=place)
    require(ended.code in (0, 2), ended.brief())
    if ended.code == 0:
        shown = steelyard("show", "x/a", "-f", "json", cwd=place)
        value = [s["value"] for s in json.loads(shown.out)["scores"] if s["metric"] == "acc"]
        require(not value or value[0] > 0.9, f"the exchanged weights were scored: {value}")


@attack(
    "store: pickle", "foreign code", "a pickle that lies in a checkpoint's folder is not opened"
)
def pickle_in_the_store(place: Path) -> None:
    """Beside the weights, and under every name that a library looks for."""
    experiment(place, {"a": "trainer: prune, amount: 0.01"})
    ended_well(steelyard("train", "x.yaml", cwd=place))
    for folder in place.glob(".steelyard/checkpoints/*"):
        for name in (
            "pytorch_model.bin",
            "adapter_model.bin",
            "training_args.bin",
            "optimizer.pt",
            "scheduler.pt",
            "rng_state.pth",
            "model.pkl",
        ):
            canary_pickle(folder / name, place / "canary")
    unfinished = place / ".steelyard" / "unfinished"
    for folder in [p for p in unfinished.glob("*") if p.is_dir()]:
        canary_pickle(folder / "optimizer.pt", place / "canary")
    ended = steelyard("run", "x.yaml", "--no-gate", cwd=place)
    untouched(place / "canary")
    if ended.code:
        in_one_line(ended)


@attack("store: poisoned journal", LIMIT, "a journal of garbage costs its answers and nothing else")
def poisoned_journal(place: Path) -> None:
    """Bytes turned, cut, doubled, and another model's under this one's name."""
    model(place / "m")
    ended_well(evaluate(place, "m"))
    for path in place.glob(".steelyard/journal/*"):
        content = path.read_bytes()
        for damaged in (
            content[:-7],
            content[: len(content) // 2],
            content + content,
            b"",
            b"\0" * 99,
        ):
            path.write_bytes(damaged)
            for run in place.glob(".steelyard/runs/*"):
                shutil.rmtree(run)
            for stage in place.glob(".steelyard/stages/*"):
                stage.unlink()
            ended_well(steelyard("store", "rebuild", cwd=place))
            ended = evaluate(place, "m")
            require(ended.code == 0 and "1.000" in ended.out, f"after damage: {ended.brief()}")


# --- a store that many share -----------------------------------------------------------------


@contextmanager
def shared(place: Path) -> Iterator[str]:
    """The address of a new store with one imported run in it; its files under ``files/``."""
    from tests.postgresql import programs, serving

    if programs() is None:
        raise NotTriedError("PostgreSQL is not installed")
    with serving("-c fsync=off") as server:
        url = f"{server.create('attack')}?artifacts=file://{place}/files"
        (place / "old.csv").write_text(ITEMS)
        ended_well(steelyard("import", "items", "old.csv", "--store", url, cwd=place))
        yield url


def _marker(place: Path) -> Path:
    return next((place / "files" / "runs").glob("*.json"))


def _leading_out(place: Path, name: str) -> None:
    marker = json.loads(_marker(place).read_text())
    entry = next(iter(marker["files"].values()))
    write_json(_marker(place), {**marker, "files": {**marker["files"], name: entry}})


def _content(place: Path, change: Callable[[bytes], bytes]) -> None:
    for path in (place / "files" / "runs").glob("*/*/rows.parquet"):
        path.write_bytes(change(path.read_bytes()))


def _linked(place: Path) -> None:
    for path in (place / "files" / "runs").glob("*/*/samples.parquet"):
        path.unlink()
        path.symlink_to("/etc/passwd")


SHARED: dict[str, Callable[[Path], object]] = {
    "a marker that leads out": lambda p: _leading_out(p, "../../../evil"),
    "a marker with an absolute path": lambda p: _leading_out(
        p, str(Path(gettempdir()) / "evil-marker")
    ),
    "a marker with a Windows path": lambda p: _leading_out(p, "..\\evil"),
    "a marker of a newer version": lambda p: changed_json(_marker(p), version=99),
    "a marker that is a list": lambda p: _marker(p).write_text("[]"),
    "a marker of gigabytes": lambda p: _marker(p).open("r+b").truncate(5 * 1000**3),
    "a marker whose attempt is a path": lambda p: changed_json(_marker(p), attempt="../../x"),
    "rows with a byte turned": lambda p: _content(
        p, lambda b: b[:40] + bytes([b[40] ^ 1]) + b[41:]
    ),
    "rows cut short": lambda p: _content(p, lambda b: b[:-9]),
    "rows of a gigabyte": lambda p: _content(p, lambda b: b + bytes(10**8)),
    "samples that are a link": _linked,
    "a folder beside without a marker": lambda p: (
        p / "files/runs" / ("c" * 32) / ("d" * 32)
    ).mkdir(parents=True),
}


@attack("store: shared location", LOST, f"{len(SHARED)} kinds of damage by who writes the location")
def shared_location(place: Path) -> None:
    """Another machine with an empty cache reads what is there."""
    with shared(place) as url:
        whole = place / "whole"
        shutil.copytree(place / "files", whole)
        for number, (name, damage) in enumerate(SHARED.items()):
            shutil.rmtree(place / "files")
            shutil.copytree(whole, place / "files")
            damage(place)
            machine = place / "machines" / str(number)
            machine.mkdir(parents=True)
            before = files_below(place)
            for verb in (
                ("show", "imported/old"),
                ("compare", "imported/old", "imported/old"),
                ("store", "check"),
            ):
                ended = steelyard(
                    *verb, "--store", url, cwd=machine, seconds=90, memory_mb=MEMORY_MB
                )
                require(ended.code != TIMED_OUT, f"{name}: {verb[0]} never ends")
                require(ended.code in (0, 2, 3), f"{name}: {verb[0]}: {ended.brief()}")
                require("Traceback" not in ended.printed, f"{name}: traceback")
                require("root:x:" not in ended.printed, f"{name}: a file is printed")
            inside = (f"machines/{number}/", "files/")
            outside = {n for n in files_below(place) - before if not n.startswith(inside)}
            require(not outside, f"{name}: written outside: {sorted(outside)[:2]}")
            held = [p for p in machine.rglob("*") if p.is_file() and b"root:x:" in p.read_bytes()]
            require(not held, f"{name}: a file of the machine came into the cache")


@attack("store: names as SQL", LOST, "names that are SQL do nothing to a database")
def names_as_sql(place: Path) -> None:
    """In arguments and in what is imported."""
    words = ("x'; DROP TABLE runs; --", "%", "_", "\\", "$$", ":name", "{0}", "' OR '1'='1")
    with shared(place) as url:
        for word in words:
            for verb in (
                ("show", word),
                ("show", f"imported/{word}"),
                ("report", word),
                ("compare", word, "imported/old"),
            ):
                ended = steelyard(*verb, "--store", url, cwd=place, seconds=60)
                require(ended.code in (2, 3), f"{verb}: {ended.brief()}")
                in_one_line(ended)
            steelyard("import", "items", "old.csv", "--task-name", word, "--store", url, cwd=place)
        ended = steelyard("show", "imported/old", "--store", url, cwd=place)
        require(ended.code == 0, f"the run is gone: {ended.brief()}")


@attack("store: percent names", WRONG, "a name with % or _ is no pattern")
def no_pattern(place: Path) -> None:
    """``show imp%`` must not find ``imported``."""
    imported(place)
    for word in ("imported/%", "imported/ol_", "%", "imp%/old", "imported/*"):
        refused(steelyard("show", word, cwd=place))
