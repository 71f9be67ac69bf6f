"""Many drivers write runs into one shared store at once: none lost, none doubled; then it is read.

    python benchmarks/store_postgres.py --runs 10000 > benchmarks/results/store_postgres.md

Starts a PostgreSQL of its own on loopback (Debian's ``postgresql``, every write synced to the disk)
and puts the files beside it in a folder. Every driver is a process with a cache of its own; a tenth
of the runs is written by two drivers. Prints a Markdown table; exit 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import runpy
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from steelyard.harness.compare import compare
from steelyard.harness.compare.scored import Scored
from steelyard.harness.store.shared import SharedStore, open_shared
from tests.postgresql import serving

ROOT = Path(__file__).resolve().parents[1]
MAKE = runpy.run_path(str(ROOT / "tests" / "harness" / "store" / "writer.py"))
SAMPLES = 50
#: Every tenth run of a driver is written by its neighbour too.
SHARED_EVERY = 10
LISTING_BAR_SECONDS = 1.0


@dataclass(frozen=True)
class Figures:
    """What was measured; seconds are wall time."""

    runs: int
    drivers: int
    puts: int
    writing_seconds: float
    listed: int
    doubled: int
    lost: int
    damage: int
    listing_seconds: float
    naming_seconds: float
    comparing_seconds: float
    bytes_a_run: float
    index_writes_a_second: float
    leases_a_second: float
    stages_a_second: float
    rebuild_seconds: float


def names(driver: int, drivers: int, runs: int) -> Iterator[tuple[int, str]]:
    """(owner, candidate) of each run that this driver writes, its neighbour's among its own."""
    for i in range(driver, runs, drivers):
        yield driver, f"c{i}"
        other = (i // drivers) * drivers + (driver + 1) % drivers
        if (i // drivers) % SHARED_EVERY == 0 and other < runs:
            yield (driver + 1) % drivers, f"c{other}"


def make(candidate: str) -> object:
    """The run of a candidate: the same content whoever makes it."""
    number = int(candidate[1:])
    return MAKE["make_run"](candidate, experiment=f"e{number % 40}")


def drive(arguments: tuple[str, str, int, int, int]) -> int:
    """Write one driver's share; how many puts that was."""
    root, url, driver, drivers, runs = arguments
    store = open_shared(Path(root) / f"driver{driver}", url)
    rows, samples = [MAKE["make_rows"](n=SAMPLES)], MAKE["make_samples"](n=SAMPLES)
    puts = 0
    with store.leases.writing(shared=True):
        for _, candidate in names(driver, drivers, runs):
            store.put(make(candidate), rows, samples)
            puts += 1
    store.close()
    return puts


def measure(root: Path, address: str, runs: int, drivers: int) -> Figures:
    """Write ``runs`` with ``drivers`` processes into an empty database, and read them back."""
    url = f"{address}?artifacts=file://{root}/files"
    jobs = [(str(root), url, d, drivers, runs) for d in range(drivers)]
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(drivers) as pool:
        puts = sum(pool.map(drive, jobs, chunksize=1))
    writing = time.perf_counter() - started
    store = open_shared(root / "reader", url)
    listing, ids = timed(lambda: [s.id for s in store.runs.summaries()])
    naming, _ = timed(lambda: store.get(f"e{(runs - 1) % 40}/c{runs - 1}"))
    comparing, _ = timed(lambda: _compared(store))
    wanted = {make(f"c{i}").id for i in range(runs)}  # type: ignore[attr-defined]
    there = set(store.location.names("runs"))
    size = sum(p.stat().st_size for p in (root / "files" / "runs").rglob("*") if p.is_file())
    bare = _samples_of_damage(store, sorted(there))
    rebuild, count = timed(store.upkeep.rebuild)
    assert count == len(there)
    figures = Figures(
        runs=runs,
        drivers=drivers,
        puts=puts,
        writing_seconds=writing,
        listed=len(ids),
        doubled=len(ids) - len(set(ids)),
        lost=len(wanted - set(ids)) + len(wanted - there),
        damage=bare,
        listing_seconds=listing,
        naming_seconds=naming,
        comparing_seconds=comparing,
        bytes_a_run=size / runs,
        index_writes_a_second=_rate(lambda i: store.index.add([_entry(f"w{i}")])),
        leases_a_second=_rate(lambda i: _leased(store, i)),
        stages_a_second=_rate(lambda i: store.stages.finish(f"bench-{i}", {"run": "x"})),
        rebuild_seconds=rebuild,
    )
    store.close()
    return figures


def _entry(name: str) -> dict[str, object]:
    from steelyard.harness.store.shared.index import entry

    return entry(MAKE["make_run"](name))


def _leased(store: SharedStore, i: int) -> None:
    with store.leases.held(f"bench-{i}") as ours:
        assert ours


def _compared(store: SharedStore) -> object:
    """Two runs whose files are not in the cache yet, compared with intervals."""
    return compare(Scored.from_store(store, "e1/c1"), [Scored.from_store(store, "e2/c2")])


def _samples_of_damage(store: SharedStore, ids: list[str], every: int = 100) -> int:
    """Damaged runs among every hundredth, read whole and verified."""
    return sum(store.runs.intact(id) is None for id in ids[::every])


def _rate(act: object, seconds: float = 2.0) -> float:
    """How often a second, one after the other."""
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        act(count)  # type: ignore[operator]
        count += 1
    return count / (time.perf_counter() - started)


def timed(act: object) -> tuple[float, object]:
    """Seconds, and what came back."""
    started = time.perf_counter()
    found = act()  # type: ignore[operator]
    return time.perf_counter() - started, found


def is_met(figures: Figures) -> bool:
    """None lost, none doubled, none damaged; listing and comparing stay under a second."""
    sound = not (figures.lost or figures.doubled or figures.damage)
    quick = max(figures.listing_seconds, figures.comparing_seconds) < LISTING_BAR_SECONDS
    return sound and figures.listed == figures.runs and quick


def main() -> int:
    """Print the table; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--drivers", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary one if none")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with serving() as server, tempfile.TemporaryDirectory(dir=arguments.folder) as root:
        found = measure(Path(root), server.create("bench"), arguments.runs, arguments.drivers)
    load = os.getloadavg()[2]
    print(f"{found.drivers} drivers, {found.runs} runs of {SAMPLES} samples, each run's files")
    print(f"synced; Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.0f}.\n")
    print("| figure | measured | bar |\n|---|---|---|")
    lines = [
        ("runs lost", found.lost, "0"),
        ("runs doubled", found.doubled, "0"),
        ("runs listed", found.listed, str(found.runs)),
        ("damaged among every hundredth", found.damage, "0"),
        ("puts, those of runs that two drivers write included", found.puts, ""),
        ("writing, s", f"{found.writing_seconds:.0f}", ""),
        ("runs a second, all drivers", f"{found.puts / found.writing_seconds:.1f}", ""),
        ("listing all runs, s", f"{found.listing_seconds:.3f}", "< 1"),
        ("finding one by name and fetching it, s", f"{found.naming_seconds:.3f}", ""),
        ("comparing two that are not cached, s", f"{found.comparing_seconds:.3f}", "< 1"),
        ("bytes a run", f"{found.bytes_a_run:.0f}", ""),
        ("index writes a second, one driver", f"{found.index_writes_a_second:.0f}", ""),
        ("leases taken and given back a second", f"{found.leases_a_second:.0f}", ""),
        ("stages recorded a second, one driver", f"{found.stages_a_second:.0f}", ""),
        ("rebuilding the index from the files, s", f"{found.rebuild_seconds:.1f}", ""),
    ]
    for name, value, bar in lines:
        print(f"| {name} | {value} | {bar} |")
    return 0 if is_met(found) else 1


if __name__ == "__main__":
    sys.exit(main())
