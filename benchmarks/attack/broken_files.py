"""Points 16 to 18: a line each for what is broken or full, litter, and what is installed."""

from __future__ import annotations

import csv
import io
import os
import re
import resource
import signal
import struct
from collections.abc import Callable
from pathlib import Path

from benchmarks.attack.attacks import NotTriedError, attack, require
from benchmarks.attack.command import TIMED_OUT, Ended, steelyard
from benchmarks.attack.ground import (
    ROOT,
    WEIGHTS,
    ended_well,
    evaluate,
    in_one_line,
    model,
    refused,
    write_json,
)
from benchmarks.attack.limits import LIMIT, MEMORY_MB, one_line_and_no_verdict
from benchmarks.attack.losses import ITEMS

# --- 16: a line each -------------------------------------------------------------------------


@attack("16 cell", LIMIT, "a CSV cell of 200,000 characters is read or refused", in_suite=True)
def long_cell(place: Path) -> None:
    """Python's reader stops at 131,072."""
    (place / "x.csv").write_text(f"id,acc,prompt\nq1,1,{'x' * 200_000}\nq2,0,y\n")
    ended = steelyard("import", "items", "x.csv", cwd=place)
    if ended.code:
        refused(ended, "x.csv")


def _gguf_files() -> dict[str, bytes]:
    head = b"GGUF" + struct.pack("<I", 3)
    one_key = head + struct.pack("<QQ", 0, 1) + struct.pack("<Q", 1) + b"k"
    return {
        "empty": b"",
        "magic": b"GGUF",
        "old": b"GGUF" + struct.pack("<I", 1) + bytes(40),
        "counts": head + struct.pack("<QQ", 2**63, 2**63),
        "key": head + struct.pack("<QQ", 0, 1) + struct.pack("<Q", 2**40) + b"x",
        "type": one_key + struct.pack("<I", 99),
        "array": one_key
        + struct.pack("<IIQ", 9, 8, 2**60),
        "nested": one_key + struct.pack("<I", 9)
        + struct.pack("<IQ", 9, 1) * 5000,
        "no architecture": head + struct.pack("<QQ", 0, 0),
        "tensor": head + struct.pack("<QQ", 1, 0) + struct.pack("<Q", 1) + b"t"
        + struct.pack("<I", 4) + struct.pack("<QQQQ", *(2**40,) * 4) + struct.pack("<IQ", 0, 0),
        "random": head + struct.pack("<QQ", 3, 3) + bytes(range(256)) * 20,
    }  # fmt: skip


def _gguf(name: str, content: bytes) -> None:
    @attack(f"16 gguf {name}", LIMIT, f"a broken GGUF file ({name}) is one line")
    def attempt(place: Path) -> None:
        folder = model(place / "m")  # a file without a tokenizer beside it is not looked at
        for part in (WEIGHTS, "config.json"):
            (folder / part).unlink()
        (folder / "m.gguf").write_bytes(content)
        ended = evaluate(place, "m/m.gguf", seconds=60, memory_mb=MEMORY_MB)
        require(ended.code != TIMED_OUT, "it never ends")
        refused(ended, "m.gguf")


for _name, _content in _gguf_files().items():
    _gguf(_name, _content)

TOKENIZERS: dict[str, object] = {
    "empty": {},
    "null": None,
    "list": [],
    "no vocabulary": {"model": {"type": "BPE"}},
    "unknown type": {"model": {"type": "Other", "vocab": {}, "merges": []}},
    "merge of nothing": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["x", "y"]]}},
    "ids beyond": {"model": {"type": "BPE", "vocab": {"a": 2**31}, "merges": []}},
    "negative id": {"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}},
    "bad pattern": {
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
        "pre_tokenizer": {
            "type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False,
        },
    },
    "bad normalizer": {
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
    },
}  # fmt: skip


def _tokenizer(name: str, content: object) -> None:
    @attack(f"16 tokenizer {name}", LIMIT, f"a broken tokenizer.json ({name}) is one line")
    def attempt(place: Path) -> None:
        write_json(model(place / "m") / "tokenizer.json", content)
        one_line_and_no_verdict(evaluate(place, "m", seconds=60, memory_mb=MEMORY_MB))


for _name, _tokens in TOKENIZERS.items():
    _tokenizer(_name, _tokens)


@attack("16 long ids", LIMIT, "ids and names of a thousand characters go through every export")
def long_ids(place: Path) -> None:
    """A file name holds 255 bytes."""
    rows = [["id", "task", "acc", "prompt"]]
    rows += [[f"{i}{'é' * 1000}", "t" * 1000 + "/x", i % 2, "p" * 2000] for i in range(20)]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    (place / "x.csv").write_text(text.getvalue())
    ended = steelyard("import", "items", "x.csv", cwd=place)
    if ended.code:
        return refused(ended)
    exports = ("lm-eval", "every-eval", "model-card", "eval-results", "parquet", "csv")
    for kind in exports:
        ended = steelyard("export", "imported/x", "--to", kind, cwd=place)
        require(ended.code in (0, 2), f"{kind}: {ended.brief()}")
        if ended.code:
            in_one_line(ended)
    for verb in (("compare", "imported/x", "imported/x"), ("leaderboard", "-o", "site"),
                 ("baseline", "save", "imported/x", "-o", "b.steelyard.json.gz")):  # fmt: skip
        ended = steelyard(*verb, cwd=place)
        require(ended.code in (0, 2), f"{verb[0]}: {ended.brief()}")
        if ended.code:
            in_one_line(ended)
    return None


@attack("16 full disk", LIMIT, "a full disk is told with the file's name")
def full_disk(place: Path) -> None:
    """A bound on the length of files stands for a disk without room."""
    (place / "x.csv").write_text(ITEMS * 1 + "".join(f"r{i},1\n" for i in range(20_000)))

    def bounded() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    ended = steelyard("import", "items", "x.csv", cwd=place, before=bounded)
    require(ended.code == 2, ended.brief())
    in_one_line(ended)
    require("error: :" not in ended.err, f"no file is named: {ended.brief()}")


@attack("16 read-only", LIMIT, "compare and gate work on a workspace that is read-only")
def read_only(place: Path) -> None:
    """As another user, to whom the files are readable."""
    if os.geteuid() != 0:
        raise NotTriedError("only root may become another user")
    for name, text in (("old", ITEMS), ("new", ITEMS.replace(",1", ",0", 2))):
        (place / f"{name}.csv").write_text(text)
        ended_well(steelyard("import", "items", f"{name}.csv", cwd=place))
    (place / "policy.yaml").write_text(
        "baseline: imported/old\nrules: [{task: items, margin: 0.45}]\n"
    )
    for path in [place, *place.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)

    def nobody() -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    readable = _readable_by_others(place)
    if not readable:
        raise NotTriedError("the temporary folder or the installation is private to root")
    for verb in (
        ("compare", "imported/old", "imported/new"),
        ("gate", "imported/new", "-p", "policy.yaml"),
        ("show", "imported/new"),
        ("list", "runs"),
        ("store", "check"),
    ):
        ended = _printed_beside(place, verb, nobody)
        require(ended.code in (0, 4), f"{' '.join(verb)}: {ended.brief()}")


def _printed_beside(place: Path, verb: tuple[str, ...], before: Callable[[], None]) -> Ended:
    """The command in ``place``, which the forking process may still write to."""
    return steelyard(*verb, cwd=place, before=before, environment={"HOME": "/nonexistent"})


def _readable_by_others(place: Path) -> bool:
    folders = [*place.parents, *ROOT.parents]
    return all(folder.stat().st_mode & 0o001 for folder in folders)


@attack("17", LIMIT, "what a killed run leaves behind is removed by the next start")
def litter(place: Path) -> None:
    """Folders of multiprocessing and of a writer that is gone."""
    temporary = place / "tmp"
    temporary.mkdir()
    (place / "old.csv").write_text(ITEMS)
    ended_well(steelyard("import", "items", "old.csv", cwd=place))
    before = _left(place)
    for _ in range(3):
        _killed_import(place)
    ended_well(steelyard("import", "items", "old.csv", cwd=place))
    left = _left(place) - before
    require(not left, f"left behind: {sorted(left)[:4]}")
    owners = list((place / ".steelyard" / "tmp").glob("*"))
    require(len(owners) <= 1, f"{len(owners)} folders of writers in tmp/")


def _killed_import(place: Path) -> None:
    def kill_at_rename() -> None:
        def kill(*_: object, **__: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        for owner, name in ((os, "rename"), (os, "replace"), (Path, "rename"), (Path, "replace")):
            setattr(owner, name, kill)

    (place / "other.csv").write_text(ITEMS + "z,1\n")
    steelyard("import", "items", "other.csv", cwd=place, before=kill_at_rename)


def _left(place: Path) -> set[str]:
    below = (path.relative_to(place) for path in (place / ".steelyard").rglob("*"))
    return {str(path) for path in below if "tmp" in path.parts}


@attack("18", LIMIT, "every pin of constraints.txt has hashes in requirements.lock", in_suite=True)
def hashes(place: Path) -> None:
    """pip takes no hashes in constraints without ``--require-hashes``: a lock has them, against
    which an installation is held (``.ci/installed.py``).
    """
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    locked = {line.split()[0].lower() for line in text.splitlines() if "--hash=sha256:" in line}
    pins = [line.split()[0].lower() for line in _requirements(ROOT / "constraints.txt")]
    bare = [pin for pin in pins if _plain(pin) not in {_plain(each) for each in locked}]
    require(bool(pins), "nothing is pinned")
    require(not bare, f"{len(bare)} of {len(pins)} pins have no hash: {', '.join(bare[:3])}")


def _requirements(file: Path) -> list[str]:
    lines = (line.strip() for line in file.read_text().splitlines())
    return [line for line in lines if "==" in line and not line.startswith("#")]


def _plain(pin: str) -> str:
    """A pin as an index spells it."""
    return re.sub(r"[-_.]+", "-", pin.partition("==")[0]) + pin.partition("==")[2]
