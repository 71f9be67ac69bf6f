"""Which rung is right for a model, found by scoring a small tree both ways when it is loaded.

A tree mask is silently wrong on some architectures: positions come from the mask, a bias is
indexed by place, a recurrent layer knows no mask. No list of names can tell, so every rung is
held against the plain forward pass of one sequence at a time, and the first that agrees is taken.
Then, where that is the tree, its linear layers are packed
(:mod:`steelyard.harness.scoring.passes.packed_linear`), which only stays so if the plain pass
agrees with that as well: a recurrent model may blow the rounding of another kernel up, and such a
model never takes the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from steelyard.harness.errors import ScoringError
from steelyard.harness.scoring.generation.shared_prefix import Prompt
from steelyard.harness.scoring.generation.side_by_side import SideBySide
from steelyard.harness.scoring.generation.stopping import Stopping
from steelyard.harness.scoring.passes import fused_layers, packed_linear, segments
from steelyard.harness.scoring.passes.flat import FlatPass
from steelyard.harness.scoring.passes.masks import MaskStyle
from steelyard.harness.scoring.passes.rungs import CopiedRung, PaddedRung, Rung, TreeRung
from steelyard.harness.scoring.passes.trie import Forest, Leaf, Pack

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Log-probabilities in nats, ``[asked positions, some tokens]``.
_LogP = NDArray[np.float64]
_Scores = Callable[[], _LogP]

#: The least and the most difference of a log-probability in nats, relative to its size, that is
#: put down to rounding; in between it is what padding the same sequences does, times a margin.
TOLERANCE = {
    torch.float64: (1e-10, 1e-9),
    torch.float32: (5e-6, 5e-5),
    torch.bfloat16: (1e-3, 0.1),
    torch.float16: (1e-3, 0.05),
}
QUANTIZED_TOLERANCE = (1e-3, 0.05)
_ROUNDING_MARGIN = 8.0
_WINDOW = 12


@dataclass(frozen=True)
class Choice:
    """The rung taken, for each rung tried what the canary saw, and the layers that were packed."""

    rung: str
    tried: dict[str, str]
    packed_layers: int = 0
    fused_layers: int = 0
    """Layers and activations that run with fewer passes over memory."""
    by_segments: bool = False
    """Whether attention over a pack may run a segment at a time."""
    side_by_side: bool = False
    """Whether rows that decode in a batch, each with its own cache, are right too."""

    def as_record(self) -> dict[str, object]:
        """JSON for the record of a run."""
        return asdict(self)


def choose(model: PreTrainedModel, first: str = "tree") -> tuple[Rung, Choice]:
    """The fastest rung from ``first`` on that is right on this model.

    Raises:
        ScoringError: the model gives NaN, or no rung agrees with its plain forward pass.
    """
    fused_layers.unfuse(model, fused_layers.fused(model))
    packed_linear.unpack(packed_linear.packed(model))
    leaves = _leaves(int(model.get_input_embeddings().weight.shape[0]))
    candidates: list[tuple[str, Callable[[], Rung]]] = [
        ("tree", lambda: TreeRung(model)),
        ("copied", lambda: CopiedRung(model)),
        ("padded", lambda: PaddedRung(model)),
        ("single", lambda: PaddedRung(model, one_by_one=True)),
    ]
    names = [name for name, _ in candidates]
    tried: dict[str, str] = {}
    with torch.inference_mode(), _short_window(model):
        expected = _forward_passes(model, leaves)
        if not np.isfinite(expected).all():
            fix = "the weights are damaged, or overflow in this dtype"
            raise ScoringError("the model gives NaN or infinite log-likelihoods", fix=fix)
        tolerance = _tolerance(model, leaves, expected)
        for name, make in candidates[names.index(first) :]:
            agrees, tried[name] = _verdict(partial(_made, make, leaves), expected, tolerance)
            if name == "tree" and agrees:
                agrees, whole = _verdict(partial(_made, make, leaves, ()), expected, tolerance)
                if not agrees:
                    tried[name] = f"without a kept prefix {whole}"
            if agrees:
                break
        chosen = next(reversed(tried))
        choice = Choice(chosen, tried)
        if agrees and chosen == "tree":
            verdict = partial(_verdict, expected=expected, tolerance=tolerance)
            choice = _faster_tree(model, leaves, choice, verdict)
    if not agrees:
        raise ScoringError(
            f"no way of scoring agrees with the model's own forward pass ({tried[chosen]})",
            fix="use backend hf",
        )
    if choice.by_segments:
        return TreeRung(model, by_segments="where worth it"), choice
    return dict(candidates)[chosen](), choice


def _faster_tree(
    model: PreTrainedModel,
    leaves: list[Leaf],
    choice: Choice,
    verdict: Callable[[_Scores], tuple[bool, str]],
) -> Choice:
    """What may be added to the tree, each on top of what agreed before it."""
    tried = dict(choice.tried)

    def agrees(name: str, scores: _Scores) -> bool:
        right, tried[name] = verdict(scores)
        return right

    layers = packed_linear.pack(model)
    if layers and not agrees(
        "tree, layers packed", partial(_made, partial(TreeRung, model), leaves)
    ):
        packed_linear.unpack(layers)
        layers = []
    fused = fused_layers.fuse(model) if layers else []
    ways: dict[str, Callable[[], Rung]] = {
        "tree": partial(TreeRung, model),
        "padded": partial(PaddedRung, model),
    }
    if fused and not all(
        agrees(f"{name}, layers fused", partial(_made, way, leaves)) for name, way in ways.items()
    ):
        fused_layers.unfuse(model, fused)
        fused = []
    parts = partial(_made, partial(TreeRung, model, by_segments="always"), leaves, ())
    by_segments = segments.serves(model) and agrees("tree, by segments", parts)
    side_by_side = agrees("rows side by side", partial(_continued, model, leaves))
    return Choice(choice.rung, tried, len(layers), len(fused), by_segments, side_by_side)


def _verdict(scores: _Scores, expected: _LogP, tolerance: float) -> tuple[bool, str]:
    """Whether scores are right, and by how much, in words."""
    try:
        apart = _apart(scores(), expected)
    except fused_layers.FAILURES as error:
        first = str(error).strip().splitlines()[0][:120] if str(error).strip() else ""
        return False, f"raises {type(error).__name__}: {first}"
    # A NaN is not larger than anything, so ask for agreement, never for its absence.
    agrees = apart <= tolerance
    word = "agrees" if agrees else "differs"
    return agrees, f"{word}: {apart:.1e} (tolerance {tolerance:.1e})"


def _apart(scores: _LogP, expected: _LogP) -> float:
    """The largest difference in nats, relative where a log-probability is beyond -1.

    Rounding grows with what is rounded, and near 0 nothing would be allowed at all.
    """
    return float((np.abs(scores - expected) / np.maximum(1.0, np.abs(expected))).max())


def _leaves(vocabulary: int) -> list[Leaf]:
    """A tree with a shared prefix, branches at several depths, and a leaf inside another."""
    draw = np.random.default_rng(0)
    root = draw.integers(3, vocabulary, 24)
    leaves = []
    # 24 tokens of root: longer than the short window and than either anchor, so that a wrong window
    # or a wrong crop shows in the asked positions.
    for branch in (draw.integers(3, vocabulary, 9), draw.integers(3, vocabulary, 4)):
        for ending in (5, 1, 3):
            tokens = np.concatenate([root, branch, draw.integers(3, vocabulary, ending)])
            leaves.append(Leaf(tokens.astype(np.int32), ending))
    leaves.append(Leaf(np.concatenate([root, branch]).astype(np.int32), 2))
    return leaves


def _forward_passes(model: PreTrainedModel, leaves: list[Leaf]) -> _LogP:
    """What :func:`_scores` should give, by nothing but the model's own forward pass."""
    scores = []
    for leaf in Forest(leaves).leaves:
        ids = torch.from_numpy(leaf.tokens.astype(np.int64)).to(model.device)
        logits = model(input_ids=ids[None], use_cache=False).logits
        scores.append(_thinned(logits[0, -leaf.scored :]))
    return np.concatenate(scores * 2)


def _thinned(logits: torch.Tensor) -> _LogP:
    # All of the vocabulary enters the softmax; every token's error is in each of those that stay.
    log_p = logits.float().log_softmax(-1)
    thinned: _LogP = log_p[:, :: max(1, log_p.shape[1] // 64)].cpu().double().numpy()
    return thinned


def _scores(rung: Rung, leaves: list[Leaf], anchors: tuple[int, ...] | None = None) -> _LogP:
    """Log-probabilities of some 64 tokens at every asked position, leaf by leaf, twice.

    ``anchors`` of the packs; None tries one of one step and one of two.
    """
    forest = Forest(leaves)
    whole = len(forest.leaves)
    anchored = Pack(0, whole, (20,))
    packs = [anchored, Pack(0, whole, (18, 22))]
    if anchors is not None:
        packs = [Pack(0, whole, anchors)] * 2
    if isinstance(rung, PaddedRung):
        packs = [Pack(0, whole, ())] * 2
        if rung.name == "single":
            packs = [Pack(index, index + 1, ()) for index in range(whole)] * 2
    scores = []
    for pack in packs:
        logits = rung.run(forest, pack)
        scores.append(_thinned(logits.values)[np.concatenate(logits.of_leaf)])
    return np.concatenate(scores)


def _made(
    make: Callable[[], Rung], leaves: list[Leaf], anchors: tuple[int, ...] | None = None
) -> _LogP:
    return _scores(make(), leaves, anchors)


def _continued(model: PreTrainedModel, leaves: list[Leaf]) -> _LogP:
    """What :func:`_scores` gives, by decoding the asked tokens side by side."""
    scores: list[_LogP] = []
    for anchors in ((20,), ()):
        heard: list[list[torch.Tensor]] = []
        prompts = []
        for leaf in Forest(leaves).leaves:
            heard.append([])
            start = leaf.tokens[: leaf.first_scored + 1]
            pick = partial(_forced, leaf, heard[-1])
            prompts.append(Prompt(start, leaf.scored, Stopping(None, (), ()), pick))
        SideBySide(FlatPass(model)).run(prompts, anchors, 16)
        scores += [_thinned(torch.stack(logits)) for logits in heard]
    return np.concatenate(scores)


def _forced(leaf: Leaf, heard: list[torch.Tensor], logits: torch.Tensor, _: list[int]) -> int:
    """Keep the logits, and go on with the leaf's own next token."""
    heard.append(logits)
    place = leaf.first_scored + len(heard)
    return int(leaf.tokens[place]) if place < len(leaf.tokens) else 0


def _computes_quantized(model: PreTrainedModel) -> bool:
    """Whether a model was quantised and is not unpacked, as GGUF files are when they are read."""
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is None:
        return False
    config = getattr(quantizer, "quantization_config", None)
    is_gguf = "gguf" in str(getattr(config, "quant_method", "")).lower()
    tensors = [*model.parameters(), *model.buffers()]
    return not is_gguf or any(part.dtype in (torch.uint8, torch.int8) for part in tensors)


def _tolerance(model: PreTrainedModel, leaves: list[Leaf], expected: _LogP) -> float:
    least, most = TOLERANCE.get(model.dtype, TOLERANCE[torch.float32])
    if _computes_quantized(model):
        # Activations are rounded to a few bits: noise in the last place becomes a whole step.
        least, most = QUANTIZED_TOLERANCE
    try:
        padded = _scores(PaddedRung(model), leaves)
    except fused_layers.FAILURES:
        return least
    # Padding changes no equation, only kernels and the order of sums: what it does is rounding.
    noise = _apart(padded, expected)
    return min(most, max(least, _ROUNDING_MARGIN * noise))


@contextmanager
def _short_window(model: PreTrainedModel) -> Iterator[None]:
    """Let the small tree reach past a sliding window: for a moment the window is a short one."""
    text = model.config.get_text_config()
    style = MaskStyle.of(model.config)
    if style.window is None or style.window <= _WINDOW or "chunked_attention" in style.kinds:
        yield
        return
    window = text.sliding_window
    text.sliding_window = _WINDOW
    try:
        yield
    finally:
        text.sliding_window = window
