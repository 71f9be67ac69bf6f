"""Which share of our CPU time is matrix products at the rate that this machine reaches for them."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any


def profile(lm: Any, tasks: Path, kinds: list[str], run: Callable[..., Any]) -> None:
    """Print, for each kind, the share of matrix products and the dearest functions beside them."""
    import torch

    for kind in kinds:
        shapes: Counter[tuple[int, int, int]] = Counter()
        handles = [
            module.register_forward_hook(_counted(shapes))
            for module in lm.model.modules()
            if isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
        ]
        watch = cProfile.Profile()
        watch.enable()
        seconds, _ = run(lm, tasks, [kind])
        watch.disable()
        for handle in handles:
            handle.remove()
        ideal = sum(count * _seconds(*shape) for shape, count in shapes.items())
        flops = sum(2 * m * k * n * count for (m, k, n), count in shapes.items())
        print(
            f"{kind}: {seconds:.2f} s, matrix products {ideal / seconds:.0%} ({flops / 1e9:.0f} GF)"
        )
        pstats.Stats(watch).sort_stats("tottime").print_stats(14)


def _counted(shapes: Counter[tuple[int, int, int]]) -> Callable[..., None]:
    def count(module: Any, inputs: Any, output: Any) -> None:
        width = inputs[0].shape[-1]
        shapes[(inputs[0].numel() // width, width, output.shape[-1])] += 1

    return count


def _seconds(m: int, k: int, n: int) -> float:
    """CPU seconds of one product of this shape, run alone with weights out of the cache."""
    import torch

    if not m:
        return 0.0
    a = torch.randn(m, k)
    weights = [torch.randn(n, k) for _ in range(max(2, min(8, 2**28 // (4 * n * k))))]
    torch.nn.functional.linear(a, weights[0])
    begin, count = time.process_time(), 0
    while time.process_time() - begin < 0.02 or count < 3:
        torch.nn.functional.linear(a, weights[count % len(weights)])
        count += 1
    return (time.process_time() - begin) / count
