"""Our scorer against lm-eval's ``hf`` model: CPU time, equality, and where our time goes.

    python benchmarks/scoring.py [--model llama-8m] [--kinds text letters ...] [--documents 200]
    python benchmarks/scoring.py --profile --model smollm2 --kinds text hellaswag --documents 10

Each line runs ``lm_eval.simple_evaluate`` on a freshly opened model, both sides in this process,
and takes the CPU time (user + system) of the call; imports and loading are apart. The ratio is to
the faster of batch 1 and batch 16; the time of each is shown. Responses are checked to be equal
before a ratio is printed. Peak memory: ``benchmarks/scoring_memory.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from benchmarks import scoring_material as material  # noqa: E402


def opened(folder: Path, side: str) -> Any:
    """A fresh model: ``steelyard``, ``hf-1`` or ``hf-16``."""
    from steelyard.harness.checkpoints.model import load_model_folder
    from steelyard.harness.environment import quiet
    from steelyard.harness.scoring import hf, open_model

    if side == "steelyard":
        return open_model(folder, device="cpu", report=lambda _: None)
    with quiet():
        loaded = load_model_folder(folder, device="cpu")
        return hf.wrap(loaded, max_length=None, batch_size=int(side.removeprefix("hf-")))


def run(
    lm: Any, tasks: Path, kinds: list[str], side: str = "steelyard"
) -> tuple[float, dict[str, list[Any]]]:
    """CPU seconds of one ``simple_evaluate``, and the responses by kind in document order.

    On our side task templates are compiled once, as in every scoring of ours.
    """
    import lm_eval
    from lm_eval.tasks import TaskManager

    from steelyard.harness.environment import quiet
    from steelyard.harness.suites.templates import templates_compiled_once

    ours = templates_compiled_once() if side == "steelyard" else contextlib.nullcontext()
    begin = time.process_time()
    with quiet(), ours, contextlib.redirect_stderr(io.StringIO()):
        manager = TaskManager(include_path=str(tasks), include_defaults=False)
        found = lm_eval.simple_evaluate(
            model=lm,
            tasks=[f"bench_{kind}" for kind in kinds],
            task_manager=manager,
            bootstrap_iters=0,
        )
    seconds = time.process_time() - begin
    responses = {}
    for kind in kinds:
        rows = sorted(found["samples"][f"bench_{kind}"], key=lambda row: row["doc_id"])
        responses[kind] = [answer for row in rows for answer in row["filtered_resps"]]
    return seconds, responses


def difference(ours: dict[str, list[Any]], theirs: dict[str, list[Any]]) -> str:
    """The largest relative difference of a log-likelihood, and how many texts depart.

    Texts that depart do not stop the measuring, so that all are counted; :func:`main` exits with 1.

    Raises:
        SystemExit: a greedy flag differs.
    """
    worst, texts, departed = 0.0, 0, 0
    for kind, answers in ours.items():
        for one, other in zip(answers, theirs[kind], strict=True):
            if isinstance(one, str):
                texts, departed = texts + 1, departed + (one != other)
                continue
            a, b = (one[0], other[0]) if isinstance(one, (tuple, list)) else (one, other)
            worst = max(worst, abs(a - b) / abs(b))
            if isinstance(one, (tuple, list)) and bool(one[1]) != bool(other[1]):
                raise SystemExit(f"{kind}: greedy flags differ at {b}")
    return f"{departed} of {texts} texts" if texts else f"{worst:.1e}"


def measure(
    model: Path, tasks: Path, kinds: list[str], repeats: int, sides: list[str]
) -> tuple[dict[str, float], str]:
    """The median CPU seconds of every side, and how far apart the responses are."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    answers: dict[str, Any] = {}
    for _ in range(repeats):
        for side in sides:
            taken, answers[side] = run(opened(model, side), tasks, kinds, side)
            seconds[side].append(taken)
    reference = next(side for side in sides if side.startswith("hf"))
    apart = difference(answers["steelyard"], answers[reference])
    return {side: statistics.median(taken) for side, taken in seconds.items()}, apart


def main() -> None:
    """Print one line for each kind and, with several, one for the mix of multiple choice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="llama-8m", choices=list(material.MODELS))
    parser.add_argument("--kinds", nargs="+", default=list(material.KINDS))
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sides", nargs="+", default=["steelyard", "hf-1", "hf-16"])
    parser.add_argument("--no-mix", action="store_true", help="leave the mix out")
    parser.add_argument("--profile", action="store_true", help="where our time goes, and no more")
    arguments = parser.parse_args()
    begin = time.process_time()
    import lm_eval
    import torch

    torch.set_num_threads(arguments.threads)
    imports = time.process_time() - begin
    folder = Path(tempfile.mkdtemp(prefix="steelyard-bench-"))
    model = material.model(folder, arguments.model)
    material.save_tasks(folder, arguments.documents)
    begin = time.process_time()
    opened(model, "steelyard")
    loading = time.process_time() - begin
    print(
        f"{arguments.model}, {arguments.documents} documents, {arguments.threads} threads, "
        f"lm-eval {lm_eval.__version__}; imports {imports:.1f} s, loading {loading:.1f} s of CPU"
    )
    if arguments.profile:
        from benchmarks.scoring_profile import profile

        profile(lambda: opened(model, "steelyard"), folder, arguments.kinds, run)
        return
    # What lm-eval imports at its first use is nobody's scoring time.
    material.save_tasks(folder / "warm", 4)
    run(opened(model, "steelyard"), folder / "warm", arguments.kinds)
    for line in material.shape(folder):
        print(line)
    equal = True
    groups = [[kind] for kind in arguments.kinds]
    choices = [kind for kind in arguments.kinds if kind in ("text", "letters", "hellaswag")]
    if len(choices) > 1 and not arguments.no_mix:
        groups.append(choices)
    for kinds in groups:
        seconds, apart = measure(model, folder, kinds, arguments.repeats, arguments.sides)
        best = min(taken for side, taken in seconds.items() if side != "steelyard")
        shown = ", ".join(f"{side} {taken:.1f} s" for side, taken in seconds.items())
        ratio = best / seconds["steelyard"]
        print(f"{'+'.join(kinds):28} {ratio:5.2f}x  ({shown}; apart {apart})", flush=True)
        equal = equal and (not apart.endswith("texts") or apart.startswith("0 "))
    if not equal:
        sys.exit("error: not every text is that of hf")


if __name__ == "__main__":
    main()
