"""Every attack, the worst harm first: what was tried, what held, what failed; then the kills.

    python benchmarks/attack                   # everything: some hours on two cores
    python benchmarks/attack --kills 0         # without the kills: about half an hour
    python benchmarks/attack --suite           # the short ones that the test suite runs
    python benchmarks/attack --only "3 decoy"  # by name, repeatable; a prefix names several

Each attack goes through the command line, in a folder of its own. The exit code is 1 where one
succeeded. Results: benchmarks/results/attack.md, kills.md and opened.md (not written with --suite
or --only).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:] = [str(ROOT), *(path for path in sys.path if Path(path).resolve() != HERE)]
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks.attack import attacks, command, report  # noqa: E402
from benchmarks.attack import listed as listed_attacks  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "attack.md"


def chosen(arguments: argparse.Namespace) -> list[attacks.Attack]:
    """The attacks that were asked for, the worst first."""
    listed = attacks.by_severity()
    if arguments.only:
        listed = [a for a in listed if any(a.name.startswith(name) for name in arguments.only)]
    return [a for a in listed if a.in_suite] if arguments.suite else listed


def tried(listed: Sequence[attacks.Attack], options: argparse.Namespace) -> list[attacks.Outcome]:
    """Try each that the state does not hold, print a line for it as it ends."""
    ground = attacks.Ground(keep_failed=options.keep)
    outcomes = _kept(options.state)
    done = {outcome.attack.name for outcome in outcomes}
    for attack in [each for each in listed if each.name not in done]:
        outcome = ground.tried(attack)
        outcomes.append(outcome)
        if options.state is not None:
            with options.state.open("a") as state:
                state.write(json.dumps(_as_json(outcome)) + "\n")
        if not options.json:
            print(report.line(outcome), flush=True)
    ground.close()
    order = [attack.name for attack in attacks.by_severity()]
    return sorted(outcomes, key=lambda outcome: order.index(outcome.attack.name))


def _kept(path: Path | None) -> list[attacks.Outcome]:
    """The outcomes of an earlier call, of attacks that there still are."""
    if path is None or not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    last = {line.pop("name"): line for line in lines}
    return [
        attacks.Outcome(attacks.ATTACKS[name], **outcome)
        for name, outcome in last.items()
        if name in attacks.ATTACKS
    ]


def main() -> int:
    """Try them; 1 where one succeeded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--suite", action="store_true", help="the short ones alone")
    parser.add_argument("--only", action="append", default=[], help="attacks whose name begins so")
    parser.add_argument("--list", action="store_true", help="names and titles")
    parser.add_argument("--json", action="store_true", help="outcomes as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the folders of failed attacks")
    parser.add_argument("--state", type=Path, help="outcomes, a line each: goes on from there")
    parser.add_argument("--kills", type=int, default=200, help="so many kill -9; 0 for none")
    arguments = parser.parse_args()
    listed_attacks.import_all()
    listed = chosen(arguments)
    if arguments.list:
        print("\n".join(f"{a.name:<24} {a.harm:<22} {a.title}" for a in listed))
        return 0
    command.load()
    outcomes = tried(listed, arguments)
    if arguments.json:
        print(json.dumps([_as_json(outcome) for outcome in outcomes]))
    else:
        print(f"\n{report.summary(outcomes)}")
    failed = any(outcome.verdict == "failed" for outcome in outcomes)
    if arguments.state is not None:
        RESULTS.write_text(report.page(outcomes))
    if not arguments.suite and not arguments.only:
        RESULTS.write_text(report.page(outcomes))
        failed |= _by_script("opened.py")
        if arguments.kills:
            failed |= _by_script("kills.py", "--kills", str(arguments.kills))
    return int(failed)


def _by_script(name: str, *arguments: str) -> bool:
    """Whether a script of this folder ends otherwise than with 0."""
    return subprocess.run([sys.executable, HERE / name, *arguments], check=False).returncode != 0


def _as_json(outcome: attacks.Outcome) -> dict[str, object]:
    fields = {key: value for key, value in asdict(outcome).items() if key != "attack"}
    return {"name": outcome.attack.name, **fields}


if __name__ == "__main__":
    sys.exit(main())
