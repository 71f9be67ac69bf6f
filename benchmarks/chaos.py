"""Chaos: a sweep whose workers, driver, files and disk are attacked ends with the same report.

    python benchmarks/chaos.py --seeds 20        # about a minute a seed on two cores

Each seed draws its own moments. A worker is killed with SIGKILL in the middle of a stage, then the
driver; a byte of one finished checkpoint is turned, and one journal cut short; the next run finds
the disk full (a small tmpfs where one may be mounted, a limit on file sizes elsewhere); the last
must end as an undisturbed one: the same checkpoints, rows, scores and verdicts, bit for bit, each
event in the log, and nothing trained twice but what was lost. Where PostgreSQL is installed, a
second sweep keeps its store in a database that is taken down for 20 seconds in the middle
(``--no-database`` leaves that out). Results: benchmarks/results/chaos.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steelyard.harness.store import FolderStore
    from tests.postgresql import Server

EXPERIMENT = """
name: chaos
base: microworld
candidates:
  a: {trainer: prune, amount: 0.1}
  b: {trainer: prune, amount: 0.2}
  c: {trainer: prune, amount: 0.3, parent: a}
  d: {trainer: quantize, parent: b, scheme: absmax-int8}
  e: {trainer: merge, sources: [a, b], method: linear}
suite: [microworld_known, microworld_unknown]
limit: 12
energy: {meter: fake}
resources: {train: {cpus: 1}, score: {cpus: 1}}
gate: {baseline: base, rules: [{task: microworld_known, margin: 0.2}]}
report: [json]
"""
CANDIDATES = ("base", "a", "b", "c", "d", "e")
#: Pruning more than a tenth is not told from no change by so few items.
EXIT_CODE = 4
TMPFS_MB = 64
RUN_SECONDS = 1800.0
FORK_SERVER = b"multiprocessing.forkserver"
OUTAGE_SECONDS = 20.0
DONE = ": done"


@dataclass
class Attack:
    """What was done to one seed's workspace, and what did not come out as it must."""

    done: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    damaged: str | None = None
    """The candidate whose checkpoint was damaged."""
    seconds: float = 0.0


@contextlib.contextmanager
def database() -> Iterator[Server | None]:
    """A PostgreSQL server of the script's own; None where it is not installed."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.postgresql import programs, serving

    if programs() is None:
        yield None
        return
    with serving("-c fsync=off") as server:
        yield server


def outage(
    seed: int, folder: Path, server: Server, undisturbed: Path, draw: random.Random, attack: Attack
) -> None:
    """A sweep of its own in a shared store whose database goes away for ``OUTAGE_SECONDS``."""
    from steelyard.harness.store import open_store

    place = folder / "shared"
    place.mkdir()
    (place / "chaos.yaml").write_text(EXPERIMENT)
    url = f"{server.create(f'chaos_{seed}')}?artifacts=file://{place}/files"
    process = start(place, store=url)
    if wait_for_lines(place, process, draw.randint(2, 14)):
        server.stop()
        time.sleep(OUTAGE_SECONDS)
        server.start()
        attack.done.append(f"PostgreSQL down for {OUTAGE_SECONDS:.0f} s")
    code = process.wait(RUN_SECONDS)
    if code != EXIT_CODE:
        attack.wrong.append(f"with PostgreSQL down: exit {code}")
    compare(open_store(undisturbed / "ws", ""), open_store(place / "ws", url), attack)
    trained = Counter(
        line.split()[4] for line in lines(place) if " train " in line and DONE in line
    )
    attack.wrong += [f"{name} trained {n} times" for name, n in trained.items() if n > 1]


LOCAL = ("--executor", "local", "--workers", "2")
INLINE = ("--executor", "inline")


def start(
    folder: Path,
    how: Sequence[str] = LOCAL,
    *,
    limit_bytes: int | None = None,
    store: str = "",
) -> subprocess.Popen[bytes]:
    """Begin a run in a session of its own, its files at most ``limit_bytes`` long."""
    run = ["run", str(folder / "chaos.yaml"), "--workspace", str(folder / "ws"), *how]

    def limited() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["STEELYARD_STORE"] = store
    with (folder / "stderr.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "steelyard.harness.cli.main", *run, "--format", "json"],
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            env=environment,
            preexec_fn=limited,  # noqa: PLW1509
        )


def lines(folder: Path) -> list[str]:
    """The log of events."""
    found = [folder / "ws" / "events.log", *(folder / "ws").glob("shared/*/events.log")]
    return [line for path in found if path.exists() for line in path.read_text().splitlines()]


def wait_for_lines(folder: Path, process: subprocess.Popen[bytes], count: int) -> bool:
    """Until the log has ``count`` lines; False where the run ended before."""
    deadline = time.monotonic() + RUN_SECONDS
    while len(lines(folder)) < count and time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    return True


def descendants(pid: int) -> list[int]:
    """Every process below one: workers, a fork server, and what checks their checkpoints."""
    return [each for child in children(pid) for each in (child, *descendants(child))]


def workers_of(driver: int) -> list[int]:
    """Worker processes of a driver: its own children, or those of its fork server."""
    spawned = children(driver, b"spawn_main")
    return spawned + [w for server in children(driver, FORK_SERVER) for w in children(server)]


def children(pid: int, command: bytes = b"") -> list[int]:
    """Child processes whose command holds ``command``."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError):
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            if (
                stat[0] != "Z"
                and int(stat[1]) == pid
                and command in (folder / "cmdline").read_bytes()
            ):
                found.append(int(folder.name))
    return found


def kill_worker_then_driver(folder: Path, draw: random.Random, attack: Attack) -> None:
    """SIGKILL for one worker in the middle of the run, a little later for the driver."""
    process = start(folder)
    if not wait_for_lines(folder, process, draw.randint(3, 18)):
        attack.wrong.append("the first run ended before it was attacked")
        return
    workers = workers_of(process.pid)
    if workers:
        os.kill(draw.choice(workers), signal.SIGKILL)
        attack.done.append("worker killed")
    else:
        attack.wrong.append("there was no worker to kill")
    seen = len(lines(folder))
    wait_for_lines(folder, process, seen + draw.randint(2, 9))
    time.sleep(draw.uniform(0, 0.3))
    orphans = descendants(process.pid)
    process.kill()
    process.wait()
    attack.done.append("driver killed")
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in orphans):
        if time.monotonic() > deadline:
            attack.wrong.append("a worker outlived its driver")
            return
        time.sleep(0.05)


def damage(folder: Path, draw: random.Random, attack: Attack) -> None:
    """Turn a bit of one finished checkpoint; cut one journal short."""
    import json

    found = sorted((folder / "ws" / "checkpoints").glob("*/model.safetensors"))
    if found:
        path = draw.choice(found)
        attack.damaged = json.loads((path.parent / "manifest.json").read_text())["candidate"]
        with path.open("r+b") as file:
            place = path.stat().st_size // 2 + draw.randrange(1000)
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 0x40]))
        attack.done.append(f"checkpoint of {attack.damaged} damaged")
    cut_journal(folder, draw, attack)


def cut_journal(folder: Path, draw: random.Random, attack: Attack) -> None:
    """Take the end off one journal; what was scored from it already stays."""
    journals = [p for p in sorted((folder / "ws" / "journal").glob("*")) if p.stat().st_size > 100]
    if journals:
        path = draw.choice(journals)
        os.truncate(path, path.stat().st_size - draw.randint(1, 40))
        attack.done.append("journal cut")


def run_on_a_full_disk(folder: Path, mounted: bool, draw: random.Random, attack: Attack) -> None:
    """Go on where nothing can be written; it fails, and says so."""
    ballast = folder / "ws" / "ballast"
    limit = None
    if mounted:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 65536)
    else:
        limit = 100_000
    code = start(folder, draw.choice((LOCAL, INLINE)), limit_bytes=limit).wait(RUN_SECONDS)
    ballast.unlink(missing_ok=True)
    attack.done.append(f"disk full (exit {code})")
    if code not in (2, EXIT_CODE):
        attack.wrong.append(f"exit {code} on a full disk")


def finish(folder: Path, draw: random.Random, attack: Attack) -> None:
    """The last run, left in peace; on whichever executor."""
    code = start(folder, draw.choice((LOCAL, INLINE))).wait(RUN_SECONDS)
    if code != EXIT_CODE:
        attack.wrong.append(f"the last run exited {code}")


def compare(expected: FolderStore, found: FolderStore, attack: Attack) -> None:
    """Checkpoints, scores and rows, bit for bit."""
    import numpy as np

    theirs, ours = ({r.candidate: r for r in s.find(complete=True)} for s in (expected, found))
    if ours.keys() != theirs.keys():
        attack.wrong.append(f"runs of {sorted(ours)}")
        return
    for name, run in theirs.items():
        other = ours[name]
        if run.scores != other.scores:
            attack.wrong.append(f"{name}: other scores")
        # Weights made again after a loss may have cost otherwise, which is part of a run's id.
        if run.energy == other.energy and run.id != other.id:
            attack.wrong.append(f"{name}: another run")
        if run.checkpoint.digests != other.checkpoint.digests:
            attack.wrong.append(f"{name}: another checkpoint")
        for a, b in zip(expected.rows(run.id), found.rows(other.id), strict=True):
            if a.sample_ids != b.sample_ids or not np.array_equal(a.values, b.values, True):
                attack.wrong.append(f"{name}: other rows of {a.task} {a.metric}")
    attack.wrong += found.upkeep.check()


def report(folder: Path) -> list[str]:
    """The verdicts and score tables of the report, as text."""
    import json

    from steelyard.harness.store import open_store

    text = (folder / "ws" / "reports" / "chaos" / "report.json").read_text()
    for run in open_store(folder / "ws", "").find():
        text = text.replace(run.id, run.candidate).replace(run.id[:12], run.candidate)
    page = json.loads(text)
    kept = [section for section in page["sections"] if section["id"] not in SPENT]
    return [json.dumps(without_spending(section), sort_keys=True) for section in kept]


def without_spending(value: object) -> object:
    """A part of a document without the cells that hold an energy."""
    if isinstance(value, list):
        return [without_spending(part) for part in value]
    if isinstance(value, dict):
        if value.get("unit") == "kWh":
            return None
        return {key: without_spending(part) for key, part in value.items()}
    return value


#: Sections that tell of time and energy, which differ between two undisturbed runs too.
SPENT = {"energy", "tradeoffs", "training", "lineage", "reproduce"}


def check_log(folder: Path, attack: Attack) -> None:
    """Each event is in the log, and nothing was trained or scored twice but what was lost."""
    log = lines(folder)
    text = "\n".join(log)
    starts, ends = (sum(f"run chaos: {word}" in line for line in log) for word in ("start", "end"))
    if starts - ends != 1:
        attack.wrong.append(f"{starts} runs began and {ends} ended: one driver was killed")
    if attack.damaged is not None and f"train {attack.damaged}: again damaged" not in text:
        attack.wrong.append("the damaged checkpoint is not in the log")
    if "worker killed" in attack.done:
        moment = "in a stage" if "died of SIGKILL" in text else "between stages"
        attack.done[attack.done.index("worker killed")] = f"worker killed {moment}"
    full = "No space left" in text or "File too large" in text
    if not full and "disk full (exit 2)" in attack.done:
        attack.wrong.append("the full disk is not in the log")
    trained = Counter(line.split()[4] for line in log if " train " in line and ": done" in line)
    scored = Counter(line.split()[4] for line in log if " score " in line and ": done" in line)
    for name in CANDIDATES:
        allowed = 1 + (name == attack.damaged)
        if trained[f"{name}:"] > allowed:
            attack.wrong.append(f"{name} trained {trained[f'{name}:']} times")
        if scored[f"{name}:"] > 1:
            attack.wrong.append(f"{name} scored {scored[f'{name}:']} times")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """``folder/ws`` on a tmpfs of its own where one may be mounted; whether it is."""
    place = folder / "ws"
    place.mkdir(parents=True)
    options = f"size={TMPFS_MB}m"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(place)], check=False)


def attacked(seed: int, folder: Path, undisturbed: Path, server: Server | None = None) -> Attack:
    """One seed: attack, repair, compare."""
    from steelyard.harness.store import open_store

    attack, draw = Attack(), random.Random(seed)
    began = time.monotonic()
    with small_disk(folder) as mounted:
        (folder / "chaos.yaml").write_text(EXPERIMENT)
        kill_worker_then_driver(folder, draw, attack)
        damage(folder, draw, attack)
        run_on_a_full_disk(folder, mounted, draw, attack)
        if "journal cut" not in attack.done:
            cut_journal(folder, draw, attack)
        finish(folder, draw, attack)
        compare(open_store(undisturbed / "ws", ""), open_store(folder / "ws", ""), attack)
        if not attack.wrong and report(folder) != report(undisturbed):
            attack.wrong.append("another report")
        check_log(folder, attack)
        if attack.wrong:
            shutil.copy(folder / "ws" / "events.log", folder / "events.txt")
            shutil.copytree(folder / "ws" / "reports", folder / "reports", dirs_exist_ok=True)
    if server is not None:
        outage(seed, folder, server, undisturbed, draw, attack)
    attack.seconds = time.monotonic() - began
    return attack


def undisturbed_run(folder: Path) -> Path:
    """A run that nobody attacks."""
    folder.mkdir()
    (folder / "chaos.yaml").write_text(EXPERIMENT)
    code = start(folder).wait(RUN_SECONDS)
    if code != EXIT_CODE:
        sys.exit(f"the undisturbed run exited {code}: {(folder / 'stderr.txt').read_text()}")
    return folder


def main() -> None:
    """Attack seed after seed; exit 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--no-database", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep the workspaces of failed seeds")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="chaos-"))
    undisturbed = undisturbed_run(root / "undisturbed")
    table = ["| seed | attacks | seconds | wrong |", "|---|---|---|---|"]
    wrong = 0
    with contextlib.nullcontext() if arguments.no_database else database() as server:
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            attack = attacked(seed, root / str(seed), undisturbed, server)
            wrong += bool(attack.wrong)
            said = "; ".join(attack.wrong) or "nothing"
            table.append(f"| {seed} | {', '.join(attack.done)} | {attack.seconds:.0f} | {said} |")
            print(table[-1], flush=True)
            summary = f"{len(table) - 2} seeds, {wrong} of them differ from the undisturbed run."
            results = Path(__file__).parent / "results" / "chaos.md"
            results.write_text("\n".join(["# Chaos", "", summary, "", *table, ""]))
    print(summary)
    if not arguments.keep:
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
