from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from steelyard.harness.errors import NotComparableError
from steelyard.harness.evaluation.token_divergence import divergence
from steelyard.harness.scoring import open_model
from tests.harness.scoring import tiny

TEXTS = [tiny.TEXT, "who lives in the tower ?", "", tiny.TEXT * 3]


@pytest.fixture(scope="module")
def pair(llama: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tiny.save_llama(tmp_path_factory.mktemp("other"), seed=1)
    return open_model(other, device="cpu"), open_model(llama, device="cpu")


def test_a_model_does_not_diverge_from_itself(pair) -> None:
    for row in divergence(pair[1], pair[1], TEXTS):
        assert row.kl_sum == 0
        assert row.top1_agreements == row.tokens == row.kl_per_token.size
        assert row.child_loglikelihood == row.parent_loglikelihood


def test_the_divergence_is_the_textbook_sum_in_double_precision(pair) -> None:
    child, parent = pair
    text = "the old man knows the answer ."
    row = divergence(child, parent, [text])[0]
    tokens = torch.tensor([child.tok_encode(text)])
    inputs = torch.cat([torch.tensor([[0]]), tokens[:, :-1]], dim=1)
    with torch.inference_mode():
        p = parent.model.double()(inputs).logits[0].log_softmax(-1)
        q = child.model.double()(inputs).logits[0].log_softmax(-1)
    parent.model.float(), child.model.float()
    expected = torch.nn.functional.kl_div(q, p, reduction="sum", log_target=True)
    assert row.kl_sum == pytest.approx(float(expected), rel=1e-5)
    assert row.parent_loglikelihood == pytest.approx(
        float(p.gather(-1, tokens[0][:, None]).sum()), rel=1e-5
    )
    assert row.top1_agreements == int((p.argmax(-1) == q.argmax(-1)).sum())


def test_log_likelihoods_are_those_of_rolling_perplexity(pair) -> None:
    child, parent = pair
    texts = [text for text in TEXTS if text]
    rows = divergence(child, parent, texts)
    for model, name in ((child, "child_loglikelihood"), (parent, "parent_loglikelihood")):
        requests = [tiny.instance("loglikelihood_rolling", text) for text in texts]
        rolled = model.loglikelihood_rolling(requests)
        assert [getattr(row, name) for row in rows] == pytest.approx(rolled, rel=1e-5)


def test_an_empty_text_has_no_tokens_and_nothing_is_nan(pair) -> None:
    rows = divergence(*pair, TEXTS)
    assert rows[2].tokens == 0 and rows[2].kl_sum == 0
    for row in rows:
        assert math.isfinite(row.kl_sum) and not np.isnan(row.kl_per_token).any()
        assert row.kl_per_token.sum(dtype=np.float64) == pytest.approx(row.kl_sum)


def test_other_tokenizers_are_not_comparable(pair, llama: Path, tmp_path: Path) -> None:
    folder = tiny.save_llama(tmp_path)
    tiny.save_tokenizer(folder, 300)
    with pytest.raises(NotComparableError, match="needs one tokenizer"):
        divergence(open_model(folder, device="cpu"), pair[1], TEXTS)


def test_each_model_reads_its_own_beginning_and_bos_is_not_counted(
    llama: Path, tmp_path: Path
) -> None:
    child_folder = tiny.put_around_texts(tiny.save_llama(tmp_path, seed=1), before="<s>")
    child, parent = open_model(child_folder, device="cpu"), open_model(llama, device="cpu")
    text = tiny.TEXT * 2
    tokens = parent.tok_encode(text, add_special_tokens=False)
    window = 40
    (row,) = divergence(child, parent, [text], max_length=window)
    assert row.tokens == len(tokens)
    # 40 tokens behind BOS, then the rest in windows of 39 of the text: the child's begin with BOS.
    child_sum = parent_sum = 0.0
    places = [(0, 0, 40)]
    while places[-1][2] < len(tokens):
        end = min(places[-1][2] + 39, len(tokens))
        places.append((end - 40, places[-1][2], end))
    for start, begin, end in places:
        read = tokens[start : end - 1]
        child_sum += _log_likelihood(child, [0, *read], tokens[begin:end])
        first = [0] if begin == 0 else []
        parent_sum += _log_likelihood(parent, [*first, *read], tokens[begin:end])
    assert row.child_loglikelihood == pytest.approx(child_sum, rel=1e-5)
    assert row.parent_loglikelihood == pytest.approx(parent_sum, rel=1e-5)


def _log_likelihood(lm, read: list[int], predicted: list[int]) -> float:
    with torch.inference_mode():
        logits = lm.model(torch.tensor([read])).logits[0, -len(predicted) :].log_softmax(-1)
    return float(logits.gather(-1, torch.tensor(predicted)[:, None]).sum())
