"""``kill -9`` of every verb and executor, at random moments and in the last second of each stage.

    python benchmarks/attack/kills.py --kills 200 --state kills.jsonl

A round draws a verb, an executor and two to four moments: of two, one lies anywhere in what the
undisturbed command took, one in the last second of a stage of it. The command is killed at each,
then run to its end, and its end is held against the undisturbed one: exit code, ids, rows, answers,
checkpoints, files. Nothing may be left in the workspace's ``tmp/``, in ``$TMPDIR`` (which is the
round's own), and no process that the round began. ``--state`` keeps the rounds that are done, so
that the same command goes on. Results: benchmarks/results/kills.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks.attack import command  # noqa: E402
from benchmarks.attack.ground import POLICY, experiment  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "kills.md"
WORKSPACE = ".steelyard"
SECONDS = 900.0
#: Until no process below a killed command is left. Two of Ray's own (the agents of its dashboard
#: and of its runtime environments) wait a minute for their server before they end; the others
#: seconds.
ORPHANS_SECONDS = 90.0
LOCAL = ("--executor", "local", "--workers", "2")
RAY = ("--executor", "ray", "--address", "local", "--workers", "2")


@dataclass(frozen=True)
class Plan:
    """A command that is killed, how often it is drawn, and whether its workspace begins empty."""

    arguments: tuple[str, ...]
    weight: int
    is_fresh: bool = False


PLANS: dict[str, Plan] = {
    "run, inline": Plan(("run", "x.yaml"), 6, True),
    "run, local": Plan(("run", "x.yaml", *LOCAL), 5, True),
    "run, ray": Plan(("run", "x.yaml", *RAY), 1, True),
    "train": Plan(("train", "x.yaml"), 3, True),
    "train, local": Plan(("train", "x.yaml", *LOCAL), 2, True),
    "eval": Plan(("eval", "microworld", "-s", "suite.yaml", "--limit", "40"), 4, True),
    "import items": Plan(("import", "items", "rows.csv"), 3),
    "compare": Plan(("compare", "x/base", "x/a"), 2),
    "gate": Plan(("gate", "x/a", "-p", "policy.yaml"), 2),
    "report": Plan(("report", "x", "-f", "html", "-f", "csv", "-o", "page"), 3),
    "leaderboard": Plan(("leaderboard", "-o", "site"), 2),
    "export": Plan(("export", "x/a", "--to", "lm-eval", "--to", "csv", "-o", "exported"), 2),
    "baseline save": Plan(("baseline", "save", "x/base", "-o", "b.steelyard.json.gz"), 2),
    "store rebuild": Plan(("store", "rebuild"), 3),
    "store gc": Plan(("store", "gc", "--delete"), 2),
    "store copy": Plan(("store", "copy", "copied"), 3),
    "store check": Plan(("store", "check"), 1),
    "plan": Plan(("plan", "x.yaml"), 1),
}


@dataclass
class Round:
    """One round: what was killed when, and what did not come out as it must."""

    seed: int
    plan: str
    moments: list[str] = field(default_factory=list)
    """Where each kill fell; a command that ended before is no kill."""
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Undisturbed:
    """How a command ends that nobody kills."""

    folder: Path
    code: int
    seconds: float
    stages: tuple[tuple[str, float], ...]
    """The log's word at a stage's beginning, and how long the stage took."""


def material(folder: Path) -> Path:
    """What every round begins with."""
    folder.mkdir(parents=True)
    recipes = {
        "a": "trainer: prune, amount: 0.1",
        "q": "trainer: quantize, scheme: absmax-int8, parent: a",
    }
    experiment(folder, recipes, suite="[microworld_known, microworld_unknown]", limit="24")
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "suite.yaml").write_text("name: s\ntasks: [microworld_known, microworld_samples]\n")
    rows = "".join(f"q{i},{i % 2},{'x' * 200}\n" for i in range(20_000))
    (folder / "rows.csv").write_text(f"id,acc,prompt\n{rows}")
    return folder


def started(plan: Plan, place: Path) -> command.Started:
    """The command in ``place`` with a ``$TMPDIR`` of its own."""
    temporary = place / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = {"TMPDIR": str(temporary), "STEELYARD_STORE": "", "RAY_TMPDIR": "/tmp"}
    return command.start(*plan.arguments, cwd=place, environment=environment)


def undisturbed(name: str, root: Path, finished: Path) -> Undisturbed:
    """The command's own end, once a campaign."""
    plan = PLANS[name]
    place = root / f"undisturbed-{name.replace(', ', '-').replace(' ', '-')}"
    shutil.copytree(root / "material" if plan.is_fresh else finished, place)
    seen = len(log_of(place))
    ended = started(plan, place).ended(SECONDS)
    if ended.code not in (0, 1, 4):
        sys.exit(f"{name} by itself: {ended.brief()}")
    return Undisturbed(place, ended.code, ended.seconds, tuple(stages(log_of(place)[seen:])))


def log_of(place: Path) -> list[str]:
    """The lines of the log of events."""
    path = place / WORKSPACE / "events.log"
    return path.read_text().splitlines() if path.exists() else []


def stages(log: Sequence[str]) -> list[tuple[str, float]]:
    """Each stage of a log: the words at its beginning and how long it took."""
    began: dict[str, datetime] = {}
    lasted = []
    for line in log:
        when, _, _, words = line.split(" ", 3)
        stage, _, event = words.partition(":")
        if event.startswith(" start"):
            began[stage] = datetime.fromisoformat(when)
        elif event.startswith((" done", " end")) and stage in began:
            took = datetime.fromisoformat(when) - began[stage]
            lasted.append((f"{stage}: start", took.total_seconds()))
    return lasted


def killed(plan: Plan, place: Path, alone: Undisturbed, draw: random.Random) -> str | None:
    """Start the command and kill it; where it was. None where it ended before."""
    seen = len(log_of(place))
    running = started(plan, place)
    stage, took = draw.choice(alone.stages) if alone.stages else ("", 0.0)
    if stage and draw.random() < 0.5:
        where = f"last second of {stage.partition(':')[0]}"
        if not wait_for(stage, place, seen, running.pid):
            return reaped(running)
        delay = max(0.0, took - draw.uniform(0.0, 1.0))
    else:
        where = "anywhere"
        delay = draw.uniform(0.0, alone.seconds)
    deadline = time.monotonic() + delay
    while time.monotonic() < deadline and alive(running.pid):
        time.sleep(min(0.005, max(0.0, deadline - time.monotonic())))
    if not alive(running.pid):
        return reaped(running)
    below = descendants(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    code = running.ended(60).code
    deadline = time.monotonic() + ORPHANS_SECONDS
    while any(alive(pid) for pid in below) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in below if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    word = f"{where}, {len(left)} processes outlived it" if left else where
    return word if code == 128 + signal.SIGKILL else None


def reaped(running: command.Started) -> None:
    """Take the ended command's code."""
    running.ended(SECONDS)


def wait_for(stage: str, place: Path, seen: int, pid: int) -> bool:
    """Until the log says that a stage began; False where the command ended without."""
    while alive(pid):
        if any(f" {stage}" in line for line in log_of(place)[seen:]):
            return True
        time.sleep(0.01)
    return False


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(stat[1]), []).append(int(folder.name))
    below, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        below += children
        waiting += children
    return below


def processes_in(place: Path) -> list[str]:
    """Processes whose working directory lies in ``place``."""
    there = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if (folder / "cwd").readlink().is_relative_to(place) and alive(int(folder.name)):
                there.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:80])
        except OSError:
            continue
    return there


def records(place: Path) -> dict[str, dict[str, object]]:
    """Run id -> its record."""
    paths = place.glob(f"{WORKSPACE}/runs/*/run.json")
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


def by_name(runs: dict[str, dict[str, object]]) -> dict[str, tuple[str, dict[str, object]]]:
    """``experiment/candidate`` -> id and record."""
    return {f"{r['experiment']}/{r['candidate']}": (run, r) for run, r in runs.items()}


def compared(place: Path, alone: Undisturbed) -> list[str]:
    """What is other than in the undisturbed end."""
    import numpy as np

    from steelyard.harness.store.rows_file import read_rows
    from steelyard.harness.store.samples_file import read_samples

    wrong = []
    expected, there = by_name(records(alone.folder)), by_name(records(place))
    if expected.keys() != there.keys() or len(records(place)) != len(there):
        return [f"runs {sorted(there)}, {len(records(place))} records"]
    for name, (run, record) in expected.items():
        other, found = there[name]
        if found["scores"] != record["scores"]:
            wrong.append(f"{name}: other scores")
        # An attempt that was killed may have cost energy, which is part of a run's id.
        if found["energy"] == record["energy"] and run != other:
            wrong.append(f"{name}: another id")
        if digest_of(found) != digest_of(record):
            wrong.append(f"{name}: another checkpoint")
        folders = (alone.folder / WORKSPACE / "runs" / run, place / WORKSPACE / "runs" / other)
        groups = zip(*(read_rows(folder / "rows.parquet") for folder in folders), strict=True)
        for ours, theirs in groups:
            same = np.array_equal(ours.values, theirs.values, equal_nan=True)
            if not same or ours.sample_ids != theirs.sample_ids:
                wrong.append(f"{name}: other rows of {ours.task} {ours.metric}")
        first, second = (read_samples(folder / "samples.parquet") for folder in folders)
        if first != second:
            wrong.append(f"{name}: other answers")
    return wrong


def digest_of(record: dict[str, object]) -> object:
    """The checkpoint's digest in a run's record."""
    checkpoint = record["checkpoint"]
    return checkpoint["digest"] if isinstance(checkpoint, dict) else None


def left_behind(place: Path, alone: Undisturbed) -> list[str]:
    """Files and processes that the undisturbed command would not have left."""
    wrong = []
    temporary = place / "temporary"
    if litter := sorted(path.name for path in temporary.iterdir()):
        wrong.append(f"in $TMPDIR: {', '.join(litter[:3])}")
    if litter := sorted(path.name for path in (place / WORKSPACE / "tmp").glob("*")):
        wrong.append(f"in tmp/: {', '.join(litter[:3])}")
    kinds = [Counter(kind_of(path) for path in files(folder)) for folder in (alone.folder, place)]
    if more := kinds[1] - kinds[0]:
        wrong.append(f"more files than undisturbed: {dict(more)}")
    if fewer := kinds[0] - kinds[1]:
        wrong.append(f"fewer files than undisturbed: {dict(fewer)}")
    deadline = time.monotonic() + 30
    while (running := processes_in(place)) and time.monotonic() < deadline:
        time.sleep(0.1)
    wrong += [f"still running: {line}" for line in running]
    return wrong


def files(folder: Path) -> list[str]:
    """Files below a folder but what tells of a run's history."""
    history = ("events.log", "index.sqlite-wal", "index.sqlite-shm")
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    kept = [p for p in paths if p.name not in history and "logs" not in p.parts]
    return [str(path) for path in kept if path.parts[0] != "temporary"]


def kind_of(path: str) -> str:
    """A path without the parts that are ids and digests."""
    parts = [
        "*" if len(part.partition(".")[0]) >= 16 else part for part in path.split("-")[0].split("/")
    ]
    return "/".join(parts)


def one_round(seed: int, name: str, root: Path, finished: Path, alone: Undisturbed) -> Round:
    """Kill, kill, run to the end, compare."""
    plan, draw = PLANS[name], random.Random(seed)
    round_ = Round(seed, name)
    place = root / f"round-{seed}"
    shutil.copytree(root / "material" if plan.is_fresh else finished, place)
    began = time.monotonic()
    for _ in range(draw.randint(2, 4)):
        moment = killed(plan, place, alone, draw)
        if moment is None:
            continue
        round_.moments.append(moment)
        if "outlived" in moment:
            round_.wrong.append(moment)
    ended = started(plan, place).ended(SECONDS)
    if ended.code != alone.code:
        round_.wrong.append(f"resumed: {ended.brief()}, alone it exits {alone.code}")
    round_.wrong += compared(place, alone)
    round_.wrong += left_behind(place, alone)
    check = command.steelyard("store", "check", cwd=place)
    if check.code != 0:
        round_.wrong.append(f"store check: {check.brief()}")
    round_.seconds = time.monotonic() - began
    if not round_.wrong:
        shutil.rmtree(place, ignore_errors=True)
    return round_


def page(rounds: Sequence[Round]) -> str:
    """The committed page."""
    kills = sum(len(each.moments) for each in rounds)
    last = sum("last second" in moment for each in rounds for moment in each.moments)
    failed = [each for each in rounds if each.wrong]
    how = "`kill -9` of the command, then the same to its end, held against an undisturbed one"
    counts = f"{kills} kills in {len(rounds)} rounds, {last} of them in the last second of a stage"
    lines = ["# Kills", "", f"`python benchmarks/attack/kills.py`: {how}.", ""]
    lines += [f"{counts}; {len(failed)} rounds ended otherwise than undisturbed.", ""]
    lines += ["| command | rounds | kills | in a stage's last second | ended otherwise |"]
    lines += ["|---|---|---|---|---|"]
    for name in PLANS:
        of_plan = [each for each in rounds if each.plan == name]
        moments = [moment for each in of_plan for moment in each.moments]
        wrong = sum(bool(each.wrong) for each in of_plan)
        in_last = sum("last second" in moment for moment in moments)
        lines.append(f"| {name} | {len(of_plan)} | {len(moments)} | {in_last} | {wrong} |")
    for each in failed:
        lines += ["", f"- round {each.seed}, {each.plan}, {', '.join(each.moments) or 'no kill'}: "
                  f"{'; '.join(each.wrong)}"]  # fmt: skip
    return "\n".join([*lines, ""])


def read_state(path: Path | None) -> list[Round]:
    """The rounds that are done."""
    if path is None or not path.exists():
        return []
    return [Round(**json.loads(line)) for line in path.read_text().splitlines()]


def plan_of(seed: int, only: Sequence[str]) -> str:
    """The command of a round."""
    names = [name for name in PLANS if not only or name in only]
    weights = [PLANS[name].weight for name in names]
    return random.Random(f"plan {seed}").choices(names, weights)[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Round after round until there are enough kills; 1 where one ended otherwise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", action="append", default=[], help="a command; repeatable")
    parser.add_argument("--state", type=Path, help="rounds that are done, a line each")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    command.load()
    rounds = read_state(options.state)
    root = Path(tempfile.mkdtemp(prefix="kills-"))
    material(root / "material")
    finished = root / "finished"
    shutil.copytree(root / "material", finished)
    started(PLANS["run, inline"], finished).ended(SECONDS)
    alone: dict[str, Undisturbed] = {}
    seed = max((each.seed for each in rounds), default=options.first - 1)
    while sum(len(each.moments) for each in rounds) < options.kills:
        seed += 1
        name = plan_of(seed, options.only)
        if name not in alone:
            alone[name] = undisturbed(name, root, finished)
        rounds.append(one_round(seed, name, root, finished, alone[name]))
        last = rounds[-1]
        if options.state is not None:
            with options.state.open("a") as state:
                state.write(json.dumps(asdict(last)) + "\n")
        word = "; ".join(last.wrong) or "as undisturbed"
        print(f"{seed} {name} {last.seconds:.0f} s [{', '.join(last.moments)}]: {word}", flush=True)
        options.results.write_text(page(rounds))
    if not any(each.wrong for each in rounds):
        shutil.rmtree(root, ignore_errors=True)
    return int(any(each.wrong for each in rounds))


if __name__ == "__main__":
    sys.exit(main())
