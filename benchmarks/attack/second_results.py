"""The second round on files of others: tables of items and pairs, lm-eval's, Every Eval Ever's."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir

from benchmarks.attack.attacks import attack, require
from benchmarks.attack.command import TIMED_OUT, Ended, steelyard
from benchmarks.attack.ground import ended_well, files_below, in_one_line, refused, write_json
from benchmarks.attack.limits import MEMORY_MB
from benchmarks.attack.losses import ITEMS

WRONG, LIMIT, LEAK = "wrong number", "error, limit, litter", "leak"


def scores_of(place: Path) -> dict[tuple[str, str], float | None]:
    """Task and metric -> value, over all runs of the workspace."""
    records = [json.loads(path.read_text()) for path in place.glob(".steelyard/runs/*/run.json")]
    return {(s["task"], s["metric"]): s["value"] for record in records for s in record["scores"]}


#: What a table says -> the accuracy that alone would be right; None where it must be refused.
TABLES: dict[str, tuple[str, bytes | str, float | None]] = {
    "underscore": ("x.csv", "id,acc\nq1,1_0\nq2,0\n", None),
    "other digits": ("x.csv", "id,acc\nq1,\u0661\nq2,0\n", 0.5),
    "hexadecimal": ("x.csv", "id,acc\nq1,0x1\nq2,0\n", None),
    "infinity": ("x.csv", "id,loss\nq1,1e999\nq2,0\n", None),
    "nan": ("x.csv", "id,acc\nq1,nan\nq2,1\n", None),
    "comma": ("x.csv", 'id,acc\nq1,"1,0"\nq2,0\n', None),
    "percent": ("x.csv", "id,acc\nq1,100%\nq2,0\n", None),
    "blank cell": ("x.csv", "id,acc\nq1,\nq2,1\n", None),
    "twice a column": ("x.csv", "id,acc,acc\nq1,1,0\nq2,0,1\n", None),
    "twice an id": ("x.csv", "id,acc\nq1,1\nq1,0\n", None),
    "open quote": ("x.csv", 'id,prompt,acc\nq1,"a,1\nq2,b,0\nq3,c,0\n', None),
    "more cells": ("x.csv", "id,acc\nq1,1,7\nq2,0\n", None),
    "fewer cells": ("x.csv", "id,acc,prompt\nq1,1\nq2,0,x\n", None),
    "null byte": ("x.csv", b"id,acc\nq1\0,1\nq2,0\n", None),
    "latin-1": ("x.csv", "id,acc\ncaf\xe9,1\nq2,0\n".encode("latin-1"), None),
    "utf-16": ("x.csv", "id,acc\nq1,1\nq2,0\n".encode("utf-16"), 0.5),
    "byte order mark": ("x.csv", b"\xef\xbb\xbfid,acc\nq1,1\nq2,0\n", 0.5),
    "carriage returns": ("x.csv", b"id,acc\rq1,1\rq2,0\r", 0.5),
    "line separator": ("x.jsonl", '{"id":"a\u2028b","acc":1}\n{"id":"c","acc":0}\n', 0.5),
    "twice a key": ("x.jsonl", '{"id":"a","acc":0,"acc":1}\n{"id":"b","acc":0}\n', None),
    "json NaN": ("x.jsonl", '{"id":"a","acc":NaN}\n{"id":"b","acc":1}\n', None),
    "boolean text": ("x.jsonl", '{"id":"a","acc":"true"}\n{"id":"b","acc":false}\n', 0.5),
    "nested value": ("x.jsonl", '{"id":"a","acc":[1]}\n{"id":"b","acc":0}\n', None),
    "-1 for unscored": ("x.jsonl", '{"id":"a","acc":-1}\n{"id":"b","acc":0}\n', None),
    "later column": ("x.jsonl", '{"id":"a","acc":1}\n{"id":"b","acc":0,"f1":1}\n', None),
    "huge integer": ("x.jsonl", '{"id":"a","acc":' + "9" * 5000 + '}\n{"id":"b","acc":0}\n', None),
    "gzip inside": ("x.jsonl", gzip.compress(b'{"id":"a","acc":1}\n'), None),
    "list of lists": ("x.json", '[["id","acc"],["a",1]]', None),
    "ids 1 and 1.0": ("x.jsonl", '{"id":1,"acc":1}\n{"id":"1","acc":0}\n', None),
}


def _table(name: str, file: str, content: bytes | str, accuracy: float | None) -> None:
    right = "refused" if accuracy is None else f"{accuracy} or refused"

    @attack(f"table: {name}", WRONG, f"a table of items with {name}: {right}", in_suite=True)
    def attempt(place: Path) -> None:
        raw = content if isinstance(content, bytes) else content.encode()
        (place / file).write_bytes(raw)
        ended = steelyard("import", "items", file, cwd=place, memory_mb=MEMORY_MB)
        if ended.code != 0:
            refused(ended, file)
            return
        value = scores_of(place).get(("items", "acc"))
        require(accuracy is not None, f"taken in, with {scores_of(place)}")
        require(value == accuracy, f"taken in with {value}")


for _name, (_file, _content, _accuracy) in TABLES.items():
    _table(_name, _file, _content, _accuracy)


# --- pairs -----------------------------------------------------------------------------------

PAIRS: dict[str, str] = {
    "itself": "prompt,model_a,model_b,winner\np,base,base,a\n",
    "winner unknown": "prompt,model_a,model_b,winner\np,base,x,c\n",
    "winner empty": "prompt,model_a,model_b,winner\np,base,x,\n",
    "judged twice": "prompt,model_a,model_b,winner\np,base,x,a\np,base,x,b\n",
    "model called a": "prompt,model_a,model_b,winner\np,b,a,a\nq,b,a,b\n",
    "model called tie": "prompt,model_a,model_b,winner\np,base,tie,tie\n",
    "no name": "prompt,model_a,model_b,winner\np,,x,b\n",
}


def _pair(name: str, content: str) -> None:
    @attack(f"pairs: {name}", WRONG, f"pairs where {name}: refused, not guessed", in_suite=True)
    def attempt(place: Path) -> None:
        (place / "x.csv").write_text(content)
        refused(steelyard("import", "pairs", "x.csv", cwd=place), "x.csv")


for _name, _pairs in PAIRS.items():
    _pair(_name, _pairs)


# --- lm-eval's results -----------------------------------------------------------------------

MOMENT = "2026-01-01T00-00-00.1"
RESULTS: dict[str, object] = {
    "results": {"exam": {"acc,none": 0.5, "acc_stderr,none": 0.1}},
    "configs": {"exam": {"task": "exam", "metadata": {"version": 1}}},
    "n-samples": {"exam": {"original": 4, "effective": 4}},
    "higher_is_better": {"exam": {"acc": True}},
    "config": {"model": "hf", "model_args": {"pretrained": "org/m"}},
    "model_name": "org/m",
}


def _sample(number: int, acc: float) -> dict[str, object]:
    answers = [["-1", "False"], ["-2", "False"]]
    return {
        "doc_id": number,
        "doc": {"q": f"q{number}"},
        "target": "0" if acc else "1",
        "filter": "none",
        "metrics": ["acc"],
        "acc": acc,
        "arguments": {
            "gen_args_0": {"arg_0": "p", "arg_1": "a"},
            "gen_args_1": {"arg_0": "p", "arg_1": "b"},
        },
        "resps": [[answer] for answer in answers],
        "filtered_resps": answers,
    }


def lm_eval(
    place: Path,
    results: Mapping[str, object] | None = None,
    samples: object = None,
    task: str = "exam",
) -> Ended:
    """``import lm-eval`` of a folder with four samples, two of them right."""
    folder = place / "out"
    folder.mkdir(exist_ok=True)
    write_json(folder / f"results_{MOMENT}.json", {**RESULTS, **(results or {})})
    lines = samples if isinstance(samples, list) else [_sample(i, float(i % 2)) for i in range(4)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / f"samples_{task}_{MOMENT}.jsonl").write_text(text)
    return steelyard("import", "lm-eval", "out", cwd=place, memory_mb=MEMORY_MB)


def _changed(**changes: object) -> list[dict[str, object]]:
    return [{**_sample(i, float(i % 2)), **(changes if i == 0 else {})} for i in range(4)]


SAMPLES: dict[str, list[dict[str, object]]] = {
    "a doc_id twice": _changed(doc_id=1),
    "another metric's value": _changed(acc="0.9x"),
    "an infinite value": _changed(acc=float("inf")),
    "a value of NaN": _changed(acc=float("nan")),
    "an accuracy of 7": _changed(acc=7.0),
    "other numbers than the results": [_sample(i, 1.0) for i in range(4)],
    "fewer samples than the results say": [_sample(0, 0.0), _sample(1, 1.0)],
    "more samples than the results say": [_sample(i, float(i % 2)) for i in range(40)],
}


def _samples(name: str, lines: list[dict[str, object]]) -> None:
    @attack(f"lm-eval: {name}", WRONG, f"lm-eval's samples hold {name}: never silently the score")
    def attempt(place: Path) -> None:
        ended = lm_eval(place, samples=lines)
        if ended.code != 0:
            refused(ended)
            return
        value = scores_of(place).get(("exam", "acc"))
        noted = (
            "warning" in ended.printed.lower()
            or "not" in ended.printed
            or "samples" in ended.printed
        )
        require(value in (0.5, None) or noted, f"{value} without a word: {ended.brief()}")


for _name, _lines in SAMPLES.items():
    _samples(_name, _lines)

NAMES = (
    "../../evil",
    str(Path(gettempdir()) / "evil-absolute"),
    "..",
    ".",
    "",
    "a/../../b",
    "con\0",
    "x" * 400,
    "-rf",
    "a\nb",
    "\u202eabc",
    "index.html",
    "%2e%2e%2fevil",
    "..\\..\\evil",
    "~root",
    "$(id)",
    "`id`",
)


@attack("result: model name", LIMIT, "a results file's model name chooses no path")
def model_names(place: Path) -> None:
    """Runs are called after models; pages and exports after runs."""
    home = place / "home"
    home.mkdir()
    before = files_below(place)
    for name in NAMES:
        ended = lm_eval(home, {"model_name": name, "config": {"model_args": {"pretrained": name}}})
        require(ended.code in (0, 2), f"{name!r}: {ended.brief()}")
    for verb in (
        ("leaderboard", "-o", "site"),
        ("report", "imported", "-o", "page", "-b", "org__m"),
    ):
        ended = steelyard(*verb, cwd=home)
        require(ended.code in (0, 2, 3), f"{verb[0]}: {ended.brief()}")
    _nothing_outside(place, home, before)


@attack("result: task name", LIMIT, "a results file's task name chooses no path", in_suite=True)
def task_names(place: Path) -> None:
    """Exports and pages of a leaderboard are called after tasks."""
    home = place / "deep" / "home"
    home.mkdir(parents=True)
    before = files_below(place)
    rows = ["id,task,acc"] + [
        f'q{i},"{n}",{i % 2}' for n in NAMES if n and "\0" not in n for i in (1, 2)
    ]
    (home / "x.csv").write_text("\n".join(rows) + "\n")
    if steelyard("import", "items", "x.csv", cwd=home).code == 0:
        for kind in ("lm-eval", "every-eval", "parquet", "csv", "model-card", "eval-results"):
            ended = steelyard("export", "imported/x", "--to", kind, "-o", "out", cwd=home)
            require(ended.code in (0, 2), f"{kind}: {ended.brief()}")
        ended = steelyard("leaderboard", "-o", "site", cwd=home)
        require(ended.code in (0, 2), ended.brief())
    _nothing_outside(place, home, before)


def _nothing_outside(place: Path, home: Path, before: set[str]) -> None:
    inside = str(home.relative_to(place)) + "/"
    outside = {name for name in files_below(place) - before if not name.startswith(inside)}
    outside |= {str(path) for path in Path("/tmp").glob("evil*")}
    require(not outside, f"written outside: {sorted(outside)[:3]}")


# --- baseline files --------------------------------------------------------------------------


def _baseline(place: Path) -> dict[str, object]:
    for name, text in (("old", ITEMS), ("new", ITEMS.replace(",1", ",0", 12))):
        (place / f"{name}.csv").write_text(text)
        ended_well(steelyard("import", "items", f"{name}.csv", cwd=place))
    ended_well(
        steelyard("baseline", "save", "imported/old", "-o", "b.steelyard.json.gz", cwd=place)
    )
    (place / "policy.yaml").write_text("rules: [{task: items, margin: 0.05}]\n")
    content: dict[str, object] = json.loads(
        gzip.decompress((place / "b.steelyard.json.gz").read_bytes())
    )
    return content


def _sealed(place: Path, document: Mapping[str, object]) -> None:
    """With a digest that is right, so that what is inside is looked at."""
    body = json.dumps(document["content"], sort_keys=True, separators=(",", ":"))
    whole = {**document, "sha256": hashlib.sha256(body.encode()).hexdigest()}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    (place / "b.steelyard.json.gz").write_bytes(gzip.compress(text.encode()))


GATE = ("gate", "imported/new", "-p", "policy.yaml", "-b", "b.steelyard.json.gz")


@attack("baseline: byte", WRONG, "a baseline with one value changed is refused", in_suite=True)
def changed_baseline(place: Path) -> None:
    """Its digest no longer fits."""
    document = _baseline(place)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    (place / "b.steelyard.json.gz").write_bytes(gzip.compress(text.replace("0.5", "0.4").encode()))
    refused(steelyard(*GATE, cwd=place), "b.steelyard.json.gz")


@attack("baseline: score", WRONG, "a baseline whose score its rows do not give is refused")
def other_score(place: Path) -> None:
    """A page would show one number and the gate test another."""
    document = _baseline(place)
    content = json.dumps(document["content"])
    run = document["content"]["run"]  # type: ignore[index]
    for score in run["scores"]:
        score["value"] = 0.123
    require(json.dumps(document["content"]) != content, "the attack changed nothing")
    _sealed(place, document)
    ended = steelyard(*GATE, cwd=place)
    require(ended.code != 0, ended.brief())
    if ended.code in (1, 4):
        shown = steelyard("compare", "b.steelyard.json.gz", "imported/new", cwd=place)
        require("0.123" not in shown.printed, "a score that the rows do not give is shown")


@attack("baseline: bomb", LIMIT, "a baseline of kilobytes that unpacks to gigabytes is refused")
def bomb(place: Path) -> None:
    """zlib packs zeros a thousandfold."""
    _baseline(place)
    with gzip.open(place / "b.steelyard.json.gz", "wb", compresslevel=1) as file:
        for _ in range(14):
            file.write(b" " * (32 * 1024 * 1024))
    ended = steelyard(*GATE, cwd=place, memory_mb=MEMORY_MB, seconds=60)
    require(ended.code != TIMED_OUT, "it never ends")
    refused(ended, "b.steelyard.json.gz")


@attack("baseline: newer", WRONG, "a baseline of a newer version is refused by that word")
def newer_baseline(place: Path) -> None:
    """Not read as far as it goes."""
    document = _baseline(place)
    _sealed(place, {**document, "schema_version": 99})
    ended = steelyard(*GATE, cwd=place)
    refused(ended)
    require("newer" in ended.err or "version" in ended.err, ended.brief())


@attack("baseline: two members", WRONG, "bytes behind a baseline's end are not ignored")
def two_members(place: Path) -> None:
    """A second gzip member: two readers might read two files."""
    _baseline(place)
    path = place / "b.steelyard.json.gz"
    path.write_bytes(path.read_bytes() + gzip.compress(b'{"content": {}}'))
    refused(steelyard(*GATE, cwd=place))


# --- Every Eval Ever and codecarbon ----------------------------------------------------------

EVERY: dict[str, object] = {
    "evaluation_id": "e",
    "model_info": {"id": "m", "name": "m"},
    "source_metadata": {},
    "evaluation_results": [
        {
            "evaluation_name": "x",
            "metric_config": {"lower_is_better": False},
            "score_details": {"score": 0.5},
        }
    ],
}
DETAILS: dict[str, dict[str, object]] = {
    "score of NaN": {"score": float("nan")},
    "score as text": {"score": "0.5x"},
    "score beyond a float": {"score": 10**400},
    "negative error": {"score": 0.5, "uncertainty": {"standard_error": {"value": -1}}},
    "infinite error": {"score": 0.5, "uncertainty": {"standard_error": {"value": float("inf")}}},
}


def _every(name: str, details: dict[str, object]) -> None:
    @attack(f"every-eval-ever: {name}", WRONG, f"a record with a {name}: refused, or without it")
    def attempt(place: Path) -> None:
        result = {**EVERY["evaluation_results"][0], "score_details": details}  # type: ignore[index]
        write_json(place / "x.json", {**EVERY, "evaluation_results": [result]})
        ended = steelyard("import", "every-eval-ever", "x.json", cwd=place)
        if ended.code:
            return refused(ended)
        text = next(place.glob(".steelyard/runs/*/run.json")).read_text()
        require("NaN" not in text and "Infinity" not in text, "stored as it is")
        score = json.loads(text)["scores"][0]
        require(score["low"] is None or score["low"] <= score["value"], f"an interval of {score}")
        return None


for _name, _details in DETAILS.items():
    _every(_name, _details)

EMISSIONS = "timestamp,project_name,run_id,duration,emissions,energy_consumed,country_iso_code\n"
ENERGY: dict[str, str] = {
    "negative": "2026-01-01T00:00:00,p,r,10,0.1,-0.2,FRA\n",
    "NaN": "2026-01-01T00:00:00,p,r,10,0.1,nan,FRA\n",
    "infinite": "2026-01-01T00:00:00,p,r,10,0.1,inf,FRA\n",
}


def _energy(name: str, rows: str) -> None:
    @attack(f"codecarbon: {name}", WRONG, f"an energy that is {name} is not taken in")
    def attempt(place: Path) -> None:
        (place / "emissions.csv").write_text(EMISSIONS + rows)
        ended = steelyard("import", "codecarbon", "emissions.csv", cwd=place)
        require(ended.code == 2, ended.brief())
        in_one_line(ended)


for _name, _rows in ENERGY.items():
    _energy(_name, _rows)
