"""Which share of the time inside scoring is matrix products at the rate this machine reaches.

The rate of a layer's shape is that of torch's own product with 512 rows, weights out of the cache;
the share is what the products of all linear layers would take at it, of the CPU time inside the
scorer (building tasks and computing metrics are lm-eval's). Attention's products are in the rest.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ROWS = 512


def profile(
    opened: Callable[[], Any], tasks: Path, kinds: list[str], run: Callable[..., Any]
) -> None:
    """Print, for each kind, the share of matrix products, then operators by their own time."""
    import torch
    from torch.profiler import ProfilerActivity

    for kind in kinds:
        lm = opened()
        shapes: Counter[tuple[int, int]] = Counter()
        handles = _count_rows(lm.model, shapes)  # in a run of its own: who listens slows it
        run(lm, tasks, [kind])
        for handle in handles:
            handle.remove()
        spent = _time_inside(lm)
        run(lm, tasks, [kind])
        seconds = sum(spent)
        rates = {shape: _rate(*shape) for shape in shapes}
        ideal = sum(2e-9 * rows * k * n / rates[k, n] for (k, n), rows in shapes.items())
        work = sum(2e-9 * rows * k * n for (k, n), rows in shapes.items())
        print(
            f"{kind}: {seconds:.2f} s inside scoring; linear layers {work:.0f} GF, at "
            f"{work / ideal:.0f} GF/s {ideal:.2f} s: {ideal / seconds:.0%}",
            flush=True,
        )
        with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as watch:
            run(lm, tasks, [kind])
        _print_operators(watch)


def _print_operators(watch: Any) -> None:
    found = sorted(watch.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in found)
    for row in found[:9]:
        print(f"    {row.self_cpu_time_total / total:5.1%}  {row.key}")


def _time_inside(lm: Any) -> list[float]:
    """CPU seconds of each call that lm-eval makes into the scorer, filled as it makes them."""
    spent: list[float] = []

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            begin = time.process_time()
            try:
                return method(*arguments, **options)
            finally:
                spent.append(time.process_time() - begin)

        return call

    for name in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
        setattr(lm, name, timed(getattr(lm, name)))
    return spent


def _count_rows(model: Any, shapes: Counter[tuple[int, int]]) -> list[Any]:
    import torch

    def count(module: Any, inputs: Any, output: Any) -> None:
        width = inputs[0].shape[-1]
        shapes[width, output.shape[-1]] += inputs[0].numel() // width

    return [
        module.register_forward_hook(count)
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
    ]


def _rate(k: int, n: int) -> float:
    """GF/s of torch's product of ``[512, k]`` with ``[k, n]``."""
    import torch

    inputs = torch.randn(_ROWS, k)
    weights = [torch.randn(n, k) for _ in range(max(2, min(8, 2**28 // (4 * n * k))))]
    torch.nn.functional.linear(inputs, weights[0])
    begin, count = time.process_time(), 0
    while time.process_time() - begin < 0.3 or count < 3:
        torch.nn.functional.linear(inputs, weights[count % len(weights)])
        count += 1
    return 2e-9 * _ROWS * k * n * count / (time.process_time() - begin)
