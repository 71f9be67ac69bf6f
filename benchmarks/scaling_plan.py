"""What breaks first on the way to ten thousand checkpoints a day: a simulation with measured costs.

    python benchmarks/scaling_plan.py --measure > benchmarks/results/scaling_plan.md

A discrete-event simulation of one day: checkpoints arrive (at random, three times as many at the
day's peak as on average, a share of them in sweeps of thirty), each is scored in shards by workers,
and every stage leases, looks up, heartbeats and records in one database, puts its files in one
location, and is scheduled by one driver of several. The costs are measured here (``--measure``; a
database and a folder on this machine) or the ones committed in ``MEASURED``. What is assumed about
a user's models stands in ``Workload`` and can be given on the command line.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

DAY_SECONDS = 86_400.0
#: A queue behind a resource that is busier than this grows with every burst.
BUSY = 0.7


@dataclass(frozen=True)
class Costs:
    """What one thing costs; the defaults were measured on two cores that other work shared."""

    statement_seconds: float = 0.018
    """One short transaction that writes, the disk waited for, over one connection. Several at a
    time share a wait, so a queue of them is served faster than this."""
    row_bytes: float = 29.0
    """Of one sample's row in Parquet, one metric."""
    sample_bytes: float = 29.0
    """Of one sample with a short prompt and answer in Parquet."""
    record_bytes: float = 4_100.0
    """A run's record, file footers and marker."""
    journal_bytes: float = 61.0
    """Of one response in the journal."""
    rows_read_a_second: float = 350_000.0
    listing_seconds_a_run: float = 26e-6
    schedule_seconds: float = 0.002
    """A driver's own time for one stage (benchmarks/results/dag.md; the bar is 0.010)."""
    page_seconds: float = 1.8
    """A leaderboard with nothing new, 2,000 runs (benchmarks/results/reports_at_scale.md)."""
    page_seconds_a_run: float = 0.00765
    """Of every run on it, when one is added: 15.3 s at 2,000."""


@dataclass(frozen=True)
class Workload:
    """What a team's day looks like; assumptions, not measurements."""

    checkpoints_a_day: int = 10_000
    samples: int = 10_000
    """Of the suite, all tasks together."""
    metrics: int = 2
    shards: int = 4
    scoring_seconds: float = 240.0
    """Of one checkpoint's suite on one worker (a GPU), all shards together."""
    checkpoint_bytes: float = 20e6
    """An adapter; full weights of 1e9 parameters are 2e9."""
    sweep_share: float = 0.5
    """Of the checkpoints, arriving thirty at a time."""
    drivers: int = 20
    location_bytes_a_second: float = 1e9
    page_runs: int = 2_000
    """Runs on the leaderboard: the last so many."""
    page_every_seconds: float = 600.0


@dataclass
class Server:
    """Something that does one thing after another (or ``width`` at a time)."""

    width: int = 1
    free_at: list[float] = field(default_factory=list)
    busy_seconds: float = 0.0
    waits: list[float] = field(default_factory=list)

    def serve(self, now: float, seconds: float) -> float:
        """When what arrives now is done."""
        is_full = len(self.free_at) >= self.width
        start = max(now, heapq.heappop(self.free_at)) if is_full else now
        heapq.heappush(self.free_at, start + seconds)
        self.busy_seconds += seconds
        self.waits.append(start - now)
        return start + seconds

    def utilisation(self) -> float:
        """Share of the day in which it was busy."""
        return self.busy_seconds / (self.width * DAY_SECONDS)

    def wait(self, quantile: float) -> float:
        """Seconds that so many arrivals wait at most."""
        ordered = sorted(self.waits) or [0.0]
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]


def arrivals(load: Workload, rng: random.Random) -> Iterator[float]:
    """Times of a day's checkpoints: a daily wave, sweeps of thirty at a time."""
    sweeps = int(load.checkpoints_a_day * load.sweep_share / 30)
    moments = [(moment, 30) for moment in _wave(sweeps, rng)]
    moments += [(m, 1) for m in _wave(load.checkpoints_a_day - 30 * sweeps, rng)]
    for moment, count in sorted(moments):
        yield from [moment] * count


def _wave(count: int, rng: random.Random) -> Iterator[float]:
    """``count`` moments of a day whose rate at noon is three times its mean, low at night."""
    peak = 3.0
    while count > 0:
        moment = rng.uniform(0.0, DAY_SECONDS)
        rate = peak * math.sin(math.pi * moment / DAY_SECONDS) ** 6 + 0.06
        if rng.uniform(0.0, peak) < rate:
            count -= 1
            yield moment


@dataclass(frozen=True)
class Day:
    """What one simulated day came to."""

    load: Workload
    workers: int
    database: Server
    location: Server
    scheduler: Server
    gpus: Server
    latency_seconds: list[float]

    def quantile(self, share: float) -> float:
        """Seconds from a checkpoint's arrival to its stored run."""
        ordered = sorted(self.latency_seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run_bytes(load: Workload, costs: Costs) -> float:
    """Of one run's files."""
    a_sample = costs.sample_bytes + load.metrics * costs.row_bytes
    return costs.record_bytes + load.samples * a_sample


def workers_for(load: Workload) -> int:
    """Workers that keep up with the peak, three times the mean."""
    return max(1, math.ceil(3 * load.checkpoints_a_day * load.scoring_seconds / DAY_SECONDS))


def simulate(load: Workload, costs: Costs, seed: int = 0) -> Day:
    """One day. Shards are events: a checkpoint is done when its last shard and its run are."""
    rng = random.Random(seed)
    workers = workers_for(load)
    day = Day(load, workers, Server(), Server(), Server(load.drivers), Server(workers), [])
    shard_seconds = load.scoring_seconds / load.shards
    beats = int(shard_seconds / 15.0)
    # (time, order, what happens then); the order keeps equal times apart.
    events: list[tuple[float, int, Callable[[float], None]]] = []
    order = iter(range(10**9))

    def at(moment: float, what: Callable[[float], None]) -> None:
        heapq.heappush(events, (moment, next(order), what))

    def statements(now: float, count: int) -> float:
        for _ in range(count):
            now = day.database.serve(now, costs.statement_seconds)
        return now

    def arrive(now: float) -> None:
        left = [load.shards]
        for _ in range(load.shards):
            at(now, lambda t: start(t, now, left))

    def start(now: float, arrived: float, left: list[int]) -> None:
        """A worker takes the shard when it is free, and leases it then."""
        seconds = shard_seconds * rng.lognormvariate(0.0, 0.2)
        done = day.gpus.serve(now, seconds)
        at(done - seconds, lease)
        for beat in range(1, beats + 1):
            at(done - seconds + 15.0 * beat, heartbeat)
        at(done, lambda t: finish(t, arrived, left))

    def lease(now: float) -> None:
        statements(day.scheduler.serve(now, costs.schedule_seconds), 2)  # lease, look up

    def heartbeat(now: float) -> None:
        statements(now, 1)

    def finish(now: float, arrived: float, left: list[int]) -> None:
        now = statements(now, 2)  # record, give the lease back
        left[0] -= 1
        if left[0] == 0:
            size = load.checkpoint_bytes + run_bytes(load, costs)
            now = day.location.serve(now, size / load.location_bytes_a_second)
            now = statements(now, 2)  # the clock, the index
            day.latency_seconds.append(now - arrived)

    for moment in arrivals(load, rng):
        at(moment, arrive)
    while events:
        moment, _, what = heapq.heappop(events)
        what(moment)
    return day


def page(load: Workload, costs: Costs, runs: float) -> float:
    """Seconds to bring a leaderboard of so many runs up to date."""
    return costs.page_seconds + costs.page_seconds_a_run * runs


def table(loads: list[Workload], costs: Costs) -> Iterator[str]:
    """Markdown: one row for each size of team."""
    head = (
        "checkpoints a day", "workers", "statements a second, peak hour", "database busy, peak",
        "its p99 wait, ms", "location busy, peak", "drivers busy, peak",
        "arrival to run, median / p99, s", "GB a day, runs / checkpoints", "a year's listing, s",
        "page of all / of the last 2,000, s", "first to give way",
    )  # fmt: skip
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for load in loads:
        day = simulate(load, costs)
        size = run_bytes(load, costs)
        peak = 3 * len(day.database.waits) / DAY_SECONDS
        year = 365 * load.checkpoints_a_day
        cells = (
            f"{load.checkpoints_a_day:,}",
            day.workers,
            f"{peak:.1f}",
            f"{3 * day.database.utilisation():.1%}",
            f"{1000 * day.database.wait(0.99):.0f}",
            f"{3 * day.location.utilisation():.1%}",
            f"{3 * day.scheduler.utilisation():.2%}",
            f"{day.quantile(0.5):.0f} / {day.quantile(0.99):.0f}",
            f"{size * load.checkpoints_a_day / 1e9:.1f} / "
            f"{load.checkpoint_bytes * load.checkpoints_a_day / 1e9:.0f}",
            f"{costs.listing_seconds_a_run * year:.1f}",
            f"{page(load, costs, year):,.0f} / {page(load, costs, load.page_runs):.0f}",
            first(load, day, costs),
        )
        yield "| " + " | ".join(map(str, cells)) + " |"


def first(load: Workload, day: Day, costs: Costs) -> str:
    """The first of the shared things that is busier than ``BUSY`` at the peak, worst first."""
    shares = {
        "database": 3 * day.database.utilisation(),
        "location": 3 * day.location.utilisation(),
        "drivers": 3 * day.scheduler.utilisation(),
        "page of a year": page(load, costs, 365 * load.checkpoints_a_day) / load.page_every_seconds,
        "listing of a year": costs.listing_seconds_a_run * 365 * load.checkpoints_a_day,
    }
    worst = sorted(shares.items(), key=lambda item: -item[1])
    over = [name for name, share in worst if share > BUSY]
    return ", ".join(over) or "nothing"


# --- measuring ------------------------------------------------------------------------------


def measured(seconds: float = 3.0) -> Costs:
    """The costs of this machine; pages and scheduling keep the figures of their benchmarks."""
    import runpy

    from steelyard.harness.scoring.journal import Journal
    from steelyard.harness.store.rows_file import read_rows, write_rows
    from steelyard.harness.store.samples_file import write_samples
    from steelyard.harness.store.shared import open_shared
    from tests.postgresql import serving

    make = runpy.run_path(str(Path(__file__).parents[1] / "tests/harness/store/writer.py"))
    n = 10_000
    with serving() as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows", [make["make_rows"](n=n, k=1)])
        write_samples(folder / "samples", make["make_samples"](n=n))
        reads = _rate(lambda _: read_rows(folder / "rows"), seconds)
        with Journal(folder / "journal", "d") as journal:
            for i in range(200):
                journal.append(f"k{i}", [f"{i:032x}"] * 8, [[-12.345678, True]] * 8)
        url = server.create("plan")
        store = open_shared(folder / "a", f"{url}?artifacts=file://{folder}/files")
        run = make["make_run"]()
        store.put(run, [], [])
        files = [p for p in (folder / "files").rglob("*") if p.is_file()]
        leases = _rate(lambda i: _leased(store, i), seconds)
        entries = [dict(_entry(run), id=f"{i:032x}") for i in range(20_000)]
        store.index.add(entries)
        listing = _seconds(store.runs.summaries) / len(entries)
        found = Costs(
            statement_seconds=1 / (2 * leases),
            row_bytes=(folder / "rows").stat().st_size / n,
            sample_bytes=(folder / "samples").stat().st_size / n,
            record_bytes=float(sum(p.stat().st_size for p in files)),
            journal_bytes=(folder / "journal").stat().st_size / 1_600,
            rows_read_a_second=reads * n,
            listing_seconds_a_run=listing,
        )
        store.close()
    return found


def _entry(run: object) -> dict[str, object]:
    from steelyard.harness.store.shared.index import entry

    return entry(run)  # type: ignore[arg-type]


def _leased(store: object, i: int) -> None:
    with store.leases.held(f"k{i}") as ours:  # type: ignore[attr-defined]
        assert ours


def _rate(act: Callable[[int], object], seconds: float) -> float:
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        act(count)
        count += 1
    return count / (time.perf_counter() - started)


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def main() -> None:
    """Print the costs and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="the costs of this machine")
    parser.add_argument("--samples", type=int, default=Workload.samples)
    parser.add_argument("--scoring-seconds", type=float, default=Workload.scoring_seconds)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000, 30_000])
    arguments = parser.parse_args()
    costs = measured() if arguments.measure else Costs()
    base = Workload(samples=arguments.samples, scoring_seconds=arguments.scoring_seconds)
    print("| cost | measured |\n|---|---|")
    for each in fields(costs):
        print(f"| {each.name} | {getattr(costs, each.name):.4g} |")
    print(f"\nAssumed: {base}\n")
    loads = [replace(base, checkpoints_a_day=size) for size in arguments.sizes]
    print("\n".join(table(loads, costs)))


if __name__ == "__main__":
    main()
