"""A whole text in windows that predict each of its tokens once."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.harness.errors import ScoringError


def rolling_windows(
    tokens: Sequence[int], beginning: Sequence[int], length: int, *, begins_each: bool
) -> list[tuple[list[int], list[int]]]:
    """A text in windows of ``length`` tokens that predict each token once.

    As lm-eval cuts it: the first window starts from ``beginning``, each later one from the token
    before it, and the last is filled up with the context that fits. With ``begins_each`` every
    window starts from ``beginning``: a model that has read BOS in front of all it was trained on
    reads it here, too.

    Raises ``ScoringError`` where the window has no room beside the beginning.
    """
    room = length - (len(beginning) if begins_each else 0)
    if room < 1 or length < len(beginning):
        fix = "raise max_length"
        raise ScoringError(f"a window of {length} tokens holds no text", key="max_length", fix=fix)
    at = min(length - len(beginning) + 1, len(tokens))
    windows = [(list(beginning), list(tokens[:at]))] if tokens else []
    while at < len(tokens):
        end = min(at + room, len(tokens))
        context = list(tokens[end - room - 1 : at])
        windows.append(([*(beginning if begins_each else ()), *context], list(tokens[at:end])))
        at = end
    return windows
