"""What a run opens: every file and every connection, as the system's calls say (``strace``).

    python benchmarks/attack/opened.py                # a run inline, one with workers, an eval
    python benchmarks/attack/opened.py --only eval

A connection is any ``connect`` or datagram to an internet address, whether it came about or not. A
file is any that was opened, made, renamed, removed or run, outside of the workspace, the model, the
data, ``$TMPDIR``, what is installed, and /proc, /sys, /etc and /dev. ``$HOME`` is an empty folder,
and counts as outside. Results: benchmarks/results/opened.md.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.attack.ground import experiment, model  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "opened.md"
CALLS = (
    "open,openat,openat2,creat,execve,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,"
    "connect,sendto,sendmsg,sendmmsg"
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "eval": ("eval", "m", "--suite", "suite.yaml", "--limit", "2"),
    "run, inline": ("run", "x.yaml", "--no-gate"),
    "run, local": ("run", "x.yaml", "--no-gate", "--executor", "local", "--workers", "2"),
}
#: Of the system, whoever runs there: its devices, its settings, its libraries and its clock.
SYSTEM = ("/proc", "/sys", "/etc", "/dev", "/usr", "/lib", "/lib64", "/bin", "/run/systemd")
_CALL = re.compile(r"^\d+\s+(?:<\.\.\. )?(\w+)(.*)$")
_PLACE = re.compile(r'(?:AT_FDCWD<([^>]*)>|\d+<([^>]*)>)?,? ?"((?:[^"\\]|\\.)*)"')
_INTERNET = re.compile(r"sa_family=AF_INET6?\b.*")


@dataclass(frozen=True)
class Opened:
    """What one command opened that it should not, and how much it opened at all."""

    code: int
    calls: int
    connections: tuple[str, ...]
    outside: tuple[str, ...]
    seconds: float
    printed: str = ""


def traced(arguments: Sequence[str], place: Path, allowed: Sequence[Path]) -> Opened:
    """Run the command in ``place`` under strace. Raises ``FileNotFoundError`` without strace."""
    strace = shutil.which("strace")
    if strace is None:
        raise FileNotFoundError("strace is not installed")
    log, home, temporary = (place / name for name in ("strace.txt", "home", "temporary"))
    home.mkdir(exist_ok=True)
    temporary.mkdir(exist_ok=True)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("HF_", "XDG_"))},
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    begin = [strace, "-f", "--seccomp-bpf", "-y", "-qq", "-s", "4096", "-e", f"trace={CALLS}"]
    command = [sys.executable, "-m", "steelyard", *arguments]
    started = time.monotonic()
    done = subprocess.run(
        [*begin, "-e", "signal=none", "-o", str(log), *command],
        cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=1800,
    )  # fmt: skip
    lines = log.read_text(errors="replace").splitlines()
    connections = sorted({shown for line in lines if (shown := connection(line))})
    inside = [str(path) for path in (place, *allowed) if path != home]
    outside = sorted(
        {
            path
            for line in lines
            for path in paths(line, place)
            if not is_below(path, inside) or is_below(path, [str(home)])
        }
    )
    took = time.monotonic() - started
    printed = done.stdout + done.stderr
    return Opened(done.returncode, len(lines), tuple(connections), tuple(outside), took, printed)


def connection(line: str) -> str | None:
    """The internet address that a call names, with the call."""
    call = _CALL.match(line)
    address = _INTERNET.search(line)
    if call is None or address is None or not call[1].startswith(("connect", "send")):
        return None
    return f"{call[1]} {address[0][:100]}"


def paths(line: str, cwd: Path) -> Iterator[str]:
    """The files that a call opened, made, moved or removed; none where it failed."""
    call = _CALL.match(line)
    if call is None or call[1].startswith(("connect", "send")) or ") = -1 " in line:
        return
    for folder, descriptor, name in _PLACE.findall(call[2].partition("[")[0]):
        start = folder or descriptor or str(cwd)
        yield os.path.normpath(Path(start) / name)
        if call[1] in ("open", "openat", "openat2", "creat", "execve", "unlink", "mkdir"):
            return


def is_below(path: str, folders: Sequence[str]) -> bool:
    """Whether a path is one of the folders or lies in one."""
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def installed() -> list[Path]:
    """Where Python, its packages and this checkout lie, links followed and not."""
    places = [Path(path) for path in sysconfig.get_paths().values()]
    places += [Path(sys.prefix), Path(sys.base_prefix), ROOT, Path(sys.executable).resolve().parent]
    places += [Path(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    package = sys.modules.get("steelyard")
    places += [Path(path) for path in getattr(package, "__path__", [])]
    return [*places, *(path.resolve() for path in places), *map(Path, SYSTEM)]


def material(place: Path) -> Path:
    """A model, a suite and an experiment with a training in it."""
    place.mkdir(parents=True, exist_ok=True)
    model(place / "m")
    (place / "suite.yaml").write_text("name: s\ntasks: [microworld_known]\n")
    (place / "d.jsonl").write_text('{"prompt": "a b", "completion": " c"}\n' * 8)
    recipes = {
        "a": "trainer: lora, data: d, steps: 2, batch_size: 2, rank: 2",
        "b": "trainer: quantize, scheme: absmax-int8",
    }
    experiment(
        place, recipes, base="m", data="{d: {path: d.jsonl}}", energy="{country: FRA}",
        report="[html, json]",
    )  # fmt: skip
    return place


def main() -> int:
    """A line a command; 1 where one opened what it should not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    names = [name for name in COMMANDS if not options.only or name in options.only]
    table = ["| command | exit | calls | connections | files outside | seconds |"]
    table += ["|---|---|---|---|---|---|"]
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="opened-") as folder:
        for name in names:
            place = material(Path(folder).resolve() / name.replace(", ", "-"))
            try:
                opened = traced(COMMANDS[name], place, installed())
            except FileNotFoundError as missing:
                print(f"not tried: {missing}")
                return 0
            counts = f"{len(opened.connections)} | {len(opened.outside)} | {opened.seconds:.0f}"
            table.append(f"| {name} | {opened.code} | {opened.calls} | {counts} |")
            print(table[-1], flush=True)
            found = (*opened.connections, *opened.outside)
            wrong += [f"{name}: {what.replace(folder, '…')}" for what in found]
            if opened.code:
                wrong.append(f"{name}: exit {opened.code}: {opened.printed[-500:]}")
    print("\n".join(wrong))
    if not options.only:
        lines = [f"- {line}" for line in wrong]
        head = "`python benchmarks/attack/opened.py`: what `strace` saw."
        RESULTS.write_text(
            "\n".join(["# What a run opens", "", head, "", *table, "", *lines]) + "\n"
        )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
