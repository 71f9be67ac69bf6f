"""What answering costs in time: queries of one length through plain ``transformers.generate``.

Every query has the same number of prompt tokens and is answered greedily with the same number of
new tokens (an end-of-text token does not end it), so that two models do the same work. A clock is
read after each token, once the device has finished it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

from steelyard.harness.environment import environment, quiet
from steelyard.harness.errors import ScoringError
from steelyard.harness.scoring import Scorer

if TYPE_CHECKING:
    import torch

    from steelyard.harness.suites import CostMeasure


@dataclass(frozen=True)
class Timing:
    """One batch of queries, from its prompts to its last token."""

    first_token_seconds: float
    """From the call to the first new token of every query of the batch."""
    seconds: float
    """From the call to the last new token."""


class Server:
    """A loaded model that answers batches of cut prompts and is timed at it.

    Args:
        lm: an opened language model (:func:`steelyard.harness.scoring.open_model`).
        measure: lengths, batch and number of queries.
        texts: what the prompts are cut from, one after the other.

    Raises:
        ScoringError: the backend holds no model in this process, or the query is longer than the
            model's window.
    """

    def __init__(self, lm: Scorer, measure: CostMeasure, texts: Sequence[str]) -> None:
        model = lm.model
        if model is None or not hasattr(model, "generate"):
            raise ScoringError("the backend has no model in this process to time")
        length = measure.prompt_tokens + measure.new_tokens
        if lm.max_length is not None and length > lm.max_length:
            raise ScoringError(
                f"a query of {measure.prompt_tokens} + {measure.new_tokens} tokens is longer than "
                f"the model's window of {lm.max_length}",
                fix="lower cost.prompt_tokens or cost.new_tokens",
            )
        self.model = model
        self.measure = measure
        tokens = lm.tok_encode("\n".join(texts), add_special_tokens=False)
        self.batches = [batch.to(model.device) for batch in _cut_prompts(tokens, measure)]

    def answer(self, batch: torch.Tensor) -> Timing:
        """Answer one batch, (batch, prompt tokens), and say how long it took."""
        import torch
        from transformers import GenerationConfig, StoppingCriteriaList

        clock = _Clock(batch.device)
        settings = GenerationConfig(
            do_sample=False,
            min_new_tokens=self.measure.new_tokens,
            max_new_tokens=self.measure.new_tokens,
            pad_token_id=0,
            use_cache=True,
        )
        with torch.inference_mode(), quiet():
            started = clock.now()
            self.model.generate(
                input_ids=batch,
                attention_mask=torch.ones_like(batch),
                generation_config=settings,
                stopping_criteria=StoppingCriteriaList([clock]),
            )
        return Timing(clock.ticks[0] - started, clock.ticks[-1] - started)

    def weight_bytes(self) -> int:
        """Bytes of parameters and buffers, shared storage once."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        storages = [part.untyped_storage() for tensor in tensors for part in _parts(tensor)]
        return sum({(s.data_ptr(), s.nbytes()): s.nbytes() for s in storages}.values())

    def hardware(self) -> str:
        """The device that answers, and on a CPU how many threads."""
        import torch

        device = next(self.model.parameters()).device
        if device.type == "cuda":
            return str(torch.cuda.get_device_name(device))
        threads = torch.get_num_threads()
        return f"{environment().cpu or 'CPU'}, {threads} thread{'s' if threads > 1 else ''}"


def _parts(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensors that hold a weight's bytes: of a quantised one its integers and its scales.

    torchao's subclass of Tensor has no storage of its own; bitsandbytes hangs the scales on it.
    """
    if hasattr(tensor, "__tensor_flatten__"):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _parts(getattr(tensor, name))
        return
    yield tensor
    state = getattr(tensor, "quant_state", None)
    while state is not None:
        yield from (part for part in (state.absmax, state.code) if part is not None)
        state = state.state2 if state.nested else None
    if (scales := getattr(tensor, "SCB", None)) is not None:
        yield scales


class _Clock:
    """Called by ``generate`` after each token; stops nothing."""

    def __init__(self, device: torch.device) -> None:
        self.ticks: list[float] = []
        self._device = device

    def now(self) -> float:
        if self._device.type == "cuda":
            import torch

            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        self.ticks.append(self.now())
        return input_ids.new_zeros(input_ids.shape[0]).bool()


def _cut_prompts(tokens: Sequence[int], measure: CostMeasure) -> list[torch.Tensor]:
    """Prompts of one length, cut from the texts in a row, from the start again at need."""
    import torch

    if not tokens:
        raise ScoringError("the cost task has no text to cut prompts from", key="cost.task")
    wanted = measure.queries * measure.batch_size * measure.prompt_tokens
    stream = torch.tensor(list(islice(cycle(tokens), wanted)))
    shaped = stream.reshape(measure.queries, measure.batch_size, measure.prompt_tokens)
    return list(shaped)
