"""What attacks are made of: small models, experiments, runs, and a canary for code that ran."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.attack.attacks import require
from benchmarks.attack.command import Ended, steelyard

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "tasks" / "microworld" / "base"
WEIGHTS = "model.safetensors"
#: Codes with which the command says that it refused, or that nothing may be concluded.
REFUSED = (2, 3)
#: How an error that nobody foresaw ends: the code of ``EX_SOFTWARE``, with one line.
UNEXPECTED = 70

POLICY = "baseline: base\nrules: [{task: microworld_known, margin: 0.3}]\n"


def write_json(path: Path, value: object) -> Path:
    """``value`` as JSON."""
    path.write_text(json.dumps(value))
    return path


def changed_json(path: Path, **changes: object) -> None:
    """A JSON object with some keys replaced."""
    write_json(path, {**json.loads(path.read_text()), **changes})


def model(folder: Path) -> Path:
    """The microworld's base as a folder of its own: it knows what the tasks ask."""
    folder.mkdir(parents=True)
    for file in BASE.iterdir():
        if file.is_file() and file.suffix not in (".py", ".md"):
            shutil.copyfile(file, folder / file.name)
    return folder


def ruined(folder: Path, seed: int = 0) -> Path:
    """The same shapes with weights that know nothing."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    tensors = tensors_of(model(folder))
    noise = {
        name: torch.randn(value.shape, generator=generator) * 0.1 for name, value in tensors.items()
    }
    save_tensors(folder, noise)
    return folder


def tensors_of(folder: Path, file: str = WEIGHTS) -> dict[str, Any]:
    """The tensors of a file of weights."""
    from safetensors.torch import load_file

    return dict(load_file(str(folder / file)))


def save_tensors(folder: Path, tensors: Mapping[str, Any], file: str = WEIGHTS) -> Path:
    """Write tensors as transformers does."""
    from safetensors.torch import save_file

    path = folder / file
    save_file(dict(tensors), str(path), metadata={"format": "pt"})
    return path


@cache
def canary_code(canary: Path) -> str:
    """Python that leaves a file behind where it is run."""
    return f"import pathlib as _p; _p.Path({str(canary)!r}).write_text('ran')\n"


class Payload:
    """A pickle that leaves a file behind where it is opened."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


def canary_pickle(path: Path, canary: Path) -> Path:
    """A file of weights as ``torch.save`` writes it, with a payload in it."""
    import torch

    torch.save({"weight": torch.zeros(1), "payload": Payload(canary)}, path)
    return path


def experiment(
    folder: Path, candidates: Mapping[str, str], *, name: str = "x", **more: str
) -> Path:
    """An experiment file on the microworld; ``candidates`` in YAML, ``more`` are lines of it."""
    settings = {
        "base": "microworld",
        "suite": "[microworld_known]",
        "limit": "12",
        "energy": "{meter: fake}",
        "gate": "{baseline: base, rules: [{task: microworld_known, margin: 0.3}]}",
        "report": "[json]",
    }
    lines = [f"name: {name}", *(f"{k}: {v}" for k, v in (settings | more).items()), "candidates:"]
    lines += [f"  {key}: {{{recipe}}}" for key, recipe in candidates.items()]
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


SUITE = "name: attack\ntasks: [microworld_known]\n"


def evaluate(cwd: Path, name: str | Path, *more: str, **how: Any) -> Ended:
    """``steelyard eval`` of a folder on four items."""
    (cwd / "suite.yaml").write_text(SUITE)
    return steelyard("eval", name, "--suite", "suite.yaml", "--limit", "4", *more, cwd=cwd, **how)


def run_record(cwd: Path, candidate: str) -> dict[str, Any]:
    """The newest record of a candidate in the workspace, read as JSON."""
    records = [json.loads(path.read_text()) for path in cwd.glob(".steelyard/runs/**/run.json")]
    of_candidate = [record for record in records if record["candidate"] == candidate]
    of_candidate.sort(key=lambda record: str(record["created_at"]))
    require(bool(of_candidate), f"there is no run of {candidate}")
    return of_candidate[-1]


def refused(ended: Ended, *words: str) -> None:
    """Refused in a line that holds each of ``words``, and no traceback."""
    require(ended.code in REFUSED, f"not refused: {ended.brief()}")
    in_one_line(ended)
    for word in words:
        require(word in ended.printed, f"{word!r} is not named: {ended.brief()}")


def in_one_line(ended: Ended) -> None:
    """No traceback, no stack, no raw control character; errors of a line each."""
    require("Traceback (most recent call last)" not in ended.printed, f"traceback: {ended.brief()}")
    require("panicked at" not in ended.printed, f"a panic is shown: {ended.brief()}")
    harmless(ended.printed)
    errors = [line for line in ended.err.splitlines() if line.startswith(("error:", "✗"))]
    require(bool(errors), f"no line says why: {ended.brief()}")
    require(all(len(line) < 2000 for line in errors), f"a line of {len(max(errors, key=len))}")


def harmless(text: str) -> None:
    """Nothing in it moves a cursor, changes a title or turns the direction of a line."""
    forbidden = [c for c in text if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160]
    forbidden += [c for c in text if c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"]
    require(not forbidden, f"raw control characters are printed: {sorted(set(forbidden))}")


def untouched(canary: Path) -> None:
    """The payload did not run."""
    require(not canary.exists(), f"foreign code ran: {canary.name} was written")


def files_below(folder: Path) -> set[str]:
    """Every file below a folder, by its path in it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def ended_well(ended: Ended, codes: Iterable[int] = (0,)) -> Ended:
    """What must work for the attack to mean anything."""
    if ended.code not in codes:
        raise RuntimeError(f"what should work did not: {ended.brief()}")
    return ended
