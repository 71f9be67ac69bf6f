"""Which share of the time inside scoring is matrix products at the rate this machine reaches.

The rate of a layer's shape is that of torch's own product with 512 rows, weights out of the cache;
the share is what the products of all linear layers would take at it, of the CPU time inside the
scorer (building tasks and computing metrics are lm-eval's). Attention's two products are counted
for the pairs of positions that see each other, at the linear layers' mean rate, and shown apart.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        # Counting has a run of its own, for it takes time.
        with _rows_counted(lm.model) as shapes, _attention_counted() as attended:
            run(lm, tasks, [kind])
        spent = _time_inside(lm)
        run(lm, tasks, [kind])
        seconds = sum(spent)
        rates = {shape: _rate(*shape) for shape in shapes}
        ideal = sum(2e-9 * rows * k * n / rates[k, n] for (k, n), rows in shapes.items())
        work = sum(2e-9 * rows * k * n for (k, n), rows in shapes.items())
        print(
            f"{kind}: {seconds:.2f} s inside scoring; linear layers {work:.0f} GF, at "
            f"{work / ideal:.0f} GF/s {ideal:.2f} s: {ideal / seconds:.0%}; with attention's "
            f"{sum(attended):.0f} GF {ideal * (1 + sum(attended) / work) / seconds:.0%}",
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


@contextmanager
def _rows_counted(model: Any) -> Iterator[Counter[tuple[int, int]]]:
    """Rows by ``(inputs, outputs)`` of every linear layer, packed ones without a hook.

    A fused layer with a hook on a part goes its plain way, and would compute other rows.
    """
    import torch

    from steelyard.harness.scoring.passes.packed_linear import PackedLinear

    shapes: Counter[tuple[int, int]] = Counter()

    def hook(module: Any, inputs: Any, output: Any) -> None:
        count(inputs[0], output)

    def count(inputs: Any, output: Any) -> None:
        shapes[inputs.shape[-1], output.shape[-1]] += inputs.numel() // inputs.shape[-1]

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, inputs: Any, *rest: Any) -> Any:
            output = method(self, inputs, *rest)
            count(inputs, output)
            return output

        return call

    handles = [
        module.register_forward_hook(hook)
        for module in model.modules()
        if (isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D")
        and not isinstance(vars(module).get("forward"), PackedLinear)
    ]
    kept = {name: getattr(PackedLinear, name) for name in ("__call__", "plus")}
    for name, method in kept.items():
        setattr(PackedLinear, name, counted(method))
    try:
        yield shapes
    finally:
        for name, method in kept.items():
            setattr(PackedLinear, name, method)
        for handle in handles:
            handle.remove()


@contextmanager
def _attention_counted() -> Iterator[list[float]]:
    """GF of each attention's two products, for the pairs of positions that see each other."""
    import torch

    found: list[float] = []
    attention = torch.nn.functional.scaled_dot_product_attention

    def call(query: Any, key: Any, value: Any, *rest: Any, **options: Any) -> Any:
        rows, keys = query.shape[-2], key.shape[-2]
        mask = options.get("attn_mask")
        if mask is not None:
            seen = float((mask > -1).sum()) / mask[..., 0, 0].numel()
        else:
            seen = rows * (rows + 1) / 2 if options.get("is_causal") else float(rows * keys)
        found.append(4e-9 * seen * query.shape[:-2].numel() * query.shape[-1])
        return attention(query, key, value, *rest, **options)

    torch.nn.functional.scaled_dot_product_attention = call
    try:
        yield found
    finally:
        torch.nn.functional.scaled_dot_product_attention = attention


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
