"""How far a checkpoint has moved from its parent, token by token.

The mean Kullback-Leibler divergence of the next-token distributions over a fixed text sees what
accuracy and perplexity do not: an int8 rounding, a merge, an adapter. It is
``KL(parent || child) = sum_v p(v) (log p(v) - log q(v))`` in nats, with p the parent's and q the
child's distribution [Kullback & Leibler 1951].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steelyard.harness.checkpoints import AddedTokens, added_tokens
from steelyard.harness.environment import quiet
from steelyard.harness.errors import NotComparableError, ScoringError
from steelyard.harness.scoring import Scorer, rolling_windows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TOKENS_PER_BATCH = 2048
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Divergence:
    """One text, scored by both models. Sums run over its ``tokens`` tokens; units are nats."""

    kl_sum: float
    tokens: int
    top1_agreements: int
    child_loglikelihood: float
    parent_loglikelihood: float
    kl_per_token: NDArray[np.float32]


def divergence(
    child: Scorer, parent: Scorer, texts: Sequence[str], max_length: int | None = None
) -> list[Divergence]:
    """Compare two models that :func:`steelyard.harness.scoring.open_model` opened, over texts.

    A text is cut into windows as for rolling perplexity: every token of its own is predicted once;
    the first window starts from what begins a text (BOS), each later one from the token before it,
    and the last is filled up with the context that fits. Where two tokenizers of one vocabulary
    begin a text otherwise, each model reads its own beginning, and both predict the same tokens.

    Args:
        child: the checkpoint in question.
        parent: what it was made from, or any other model with the same tokenizer.
        texts: the fixed text, a list of documents; an empty document gives zero tokens.
        max_length: the window in tokens; None takes the smaller of the two models' own.

    Returns:
        One :class:`Divergence` for each text, in order; all sums are finite or ``inf``.

    Raises:
        NotComparableError: the tokenizers differ.
        ScoringError: a model gave NaN, is an encoder-decoder, or is not in this process.
    """
    ours, theirs = _Weights.of(child), _Weights.of(parent)
    length = min(ours.max_length, theirs.max_length, max_length or 10**9)
    encoded = [child.tok_encode(text, add_special_tokens=False) for text in texts]
    _require_one_tokenizer(ours, theirs)
    for text, tokens in zip(texts, encoded, strict=True):
        if parent.tok_encode(text, add_special_tokens=False) != tokens:
            raise _two_tokenizers()
    parts: list[list[_Part]] = [[] for _ in texts]
    with quiet():
        for batch in _batches_of_windows(_windows(encoded, ours, theirs, length)):
            compared = _compare(ours.model, theirs.model, batch)
            for window, part in zip(batch, compared, strict=True):
                parts[window.text].append(part)
    return [_joined(part) for part in parts]


@dataclass(frozen=True)
class _Window:
    """Tokens of one text that both models predict, behind what each of them reads first."""

    text: int
    child: list[int]
    parent: list[int]
    predicted: list[int]


_Part = tuple["torch.Tensor", int, float, float]


@dataclass(frozen=True)
class _Weights:
    """What no request asks for: whole distributions, so the model itself."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    prefix_token_id: int

    @cached_property
    def added(self) -> AddedTokens:
        """What its tokenizer puts around a text by itself."""
        return added_tokens(self.tokenizer)

    @property
    def beginning(self) -> list[int]:
        """What it reads in front of a text."""
        return list(self.added.before) or [self.prefix_token_id]

    @classmethod
    def of(cls, lm: Scorer) -> _Weights:
        model, tokenizer, window, prefix = (
            lm.model,
            lm.tokenizer,
            lm.max_length,
            lm.prefix_token_id,
        )
        if model is None or tokenizer is None or window is None or prefix is None:
            raise ScoringError(f"backend {lm.backend} has no model in this process to compare")
        return cls(model, tokenizer, window, prefix)


def _require_one_tokenizer(child: _Weights, parent: _Weights) -> None:
    for weights in (child, parent):
        if getattr(weights.model.config, "is_encoder_decoder", False):
            raise ScoringError("divergence is not defined for encoder-decoder models")
    if child.tokenizer.get_vocab() != parent.tokenizer.get_vocab():
        raise _two_tokenizers()


def _two_tokenizers() -> NotComparableError:
    return NotComparableError(
        "divergence needs one tokenizer, and the child's and the parent's differ",
        fix="compare them by bits per byte instead",
    )


def _windows(
    encoded: list[list[int]], child: _Weights, parent: _Weights, length: int
) -> list[_Window]:
    """Windows of which both models predict the same tokens, each behind its own beginning."""
    sides = (child, parent)
    longest = max(len(side.beginning) for side in sides)
    each = any(side.added.before for side in sides)
    windows: list[_Window] = []
    for text, tokens in enumerate(encoded):
        front = next((len(s.added.before) for s in sides if s.added.starts(tokens)), 0)
        cut = rolling_windows(tokens[front:], [0] * longest, length, begins_each=each)
        for number, (context, predicted) in enumerate(cut):
            read = context[longest if each or number == 0 else 0 :] + predicted[:-1]
            of_child, of_parent = (
                [*(side.beginning if number == 0 or side.added.before else ()), *read]
                for side in sides
            )
            windows.append(_Window(text, of_child, of_parent, predicted))
    return windows


def _batches_of_windows(windows: list[_Window]) -> list[list[_Window]]:
    """Windows of similar length together, so that little is padded; a text's keep their order."""
    ordered = sorted(windows, key=lambda window: -len(window.child))
    batches: list[list[_Window]] = []
    for window in ordered:
        if batches and (len(batches[-1]) + 1) * len(batches[-1][0].child) <= _TOKENS_PER_BATCH:
            batches[-1].append(window)
        else:
            batches.append([window])
    return batches


def _compare(child: PreTrainedModel, parent: PreTrainedModel, batch: list[_Window]) -> list[_Part]:
    import torch

    with torch.inference_mode():
        q = _logits(child, [window.child for window in batch])
        p = _logits(parent, [window.parent for window in batch])
        # A padded embedding has rows that no token uses; both are cut to what they share.
        shared = min(p.shape[-1], q.shape[-1])
        parts = []
        for row, window in enumerate(batch):
            of_child, of_parent = (
                logits[row, len(read) - len(window.predicted) : len(read), :shared]
                for logits, read in ((q, window.child), (p, window.parent))
            )
            parts.append(_part(of_parent, of_child, window.predicted))
        return parts


def _logits(model: PreTrainedModel, batch: list[list[int]]) -> torch.Tensor:
    """Logits ``[batch, longest, vocabulary]``; under a causal mask right padding needs no mask."""
    import torch

    longest = max(map(len, batch))
    rows = [tokens + [0] * (longest - len(tokens)) for tokens in batch]
    tokens = torch.tensor(rows, device=model.device)
    return model(tokens, use_cache=False).logits.cpu()


def _part(p: torch.Tensor, q: torch.Tensor, predicted: list[int]) -> _Part:
    import torch

    target = torch.tensor(predicted)
    kl, agree, child, parent = [], 0, 0.0, 0.0
    for start in range(0, len(predicted), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        log_p = p[rows].float().log_softmax(-1)
        log_q = q[rows].float().log_softmax(-1)
        terms = torch.where(log_p == -torch.inf, 0.0, log_p.exp() * (log_p - log_q))
        # Rounding can put a divergence of zero a few 1e-8 below it.
        kl.append(terms.sum(-1).clamp_min(0.0))
        agree += int((log_p.argmax(-1) == log_q.argmax(-1)).sum())
        chosen = target[rows, None]
        parent += float(log_p.gather(-1, chosen).double().sum())
        child += float(log_q.gather(-1, chosen).double().sum())
    joined = torch.cat(kl)
    if bool(joined.isnan().any()):
        raise ScoringError("a model gave NaN logits", fix="the weights are damaged or overflowed")
    return joined, agree, child, parent


def _joined(parts: list[_Part]) -> Divergence:
    kl = np.concatenate(
        [part[0].numpy().astype(np.float32) for part in parts] or [np.zeros(0, np.float32)]
    )
    return Divergence(
        kl_sum=float(kl.sum(dtype=np.float64)),
        tokens=int(kl.size),
        top1_agreements=sum(part[1] for part in parts),
        child_loglikelihood=sum(part[2] for part in parts),
        parent_loglikelihood=sum(part[3] for part in parts),
        kl_per_token=kl,
    )
