"""Corpus scores: WMT17 en-de against MultEval, Moses and sacreBLEU itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

from steelyard.harness.stats import paired_test, score_interval

BASELINE = "LIUM-NMT.4900"
#: system -> (Moses' bootstrap p, MultEval's approximate randomisation p), published with the data.
PUBLISHED = {
    "C-3MA.4959": (0.00000, 0.0001),
    "FBK.4870": (0.01267, 0.0218),
    "KIT.4950": (0.02233, 0.0410),
    "LMU-nmt-reranked.4934": (0.04383, 0.09029),
    "LMU-nmt-single.4893": (0.20783, 0.58494),
    "online-A.0": (0.00000, 0.0001),
    "online-B.0": (0.38100, 0.94111),
    "online-F.0": (0.00000, 0.0001),
    "online-G.0": (0.00000, 0.0001),
}
METRIC = BLEU(tokenize="none", force=True)


def bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU of (..., 10) sums: system and reference length, four matches, four totals."""
    precision = np.exp(np.log(sums[..., 2:6] / sums[..., 6:10]).mean(axis=-1))
    return np.asarray(100 * precision * np.exp(np.minimum(0, 1 - sums[..., 1] / sums[..., 0])))


def sacrebleu_score(sums: np.ndarray) -> float:
    return float(METRIC._compute_score_from_stats(sums.tolist()).score)


@pytest.fixture(scope="module")
def segments(real_data: Path) -> list[dict[str, str]]:
    text = (real_data / "wmt17_ende" / "segments.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def statistics(segments: list[dict[str, str]]) -> dict[str, np.ndarray]:
    references = [[row["reference"] for row in segments]]
    return {
        name: np.array(
            METRIC._extract_corpus_statistics(
                [row[f"newstest2017.{name}.en-de"] for row in segments], references
            ),
            dtype=float,
        )
        for name in (BASELINE, *PUBLISHED)
    }


def test_bleu_of_the_baseline_is_the_published_one(statistics: dict[str, np.ndarray]) -> None:
    value, low, high = score_interval(
        statistics[BASELINE], kind="corpus", aggregate=bleu, draws=1000
    )
    assert value == pytest.approx(21.61, abs=0.005)
    assert low is not None and high is not None
    assert 20.8 < low < value < high < 22.4


@pytest.mark.parametrize("system", PUBLISHED)
def test_p_values_match_multeval_and_moses(statistics: dict[str, np.ndarray], system: str) -> None:
    moses, multeval = PUBLISHED[system]
    before, after = statistics[BASELINE], statistics[system]
    shuffled = paired_test(before, after, kind="corpus", aggregate=bleu)
    drawn = paired_test(before, after, kind="corpus", aggregate=bleu, method="bootstrap")
    assert shuffled.p_value == pytest.approx(multeval, abs=0.02)
    assert drawn.p_value == pytest.approx(moses, abs=0.02)
    assert shuffled.delta == pytest.approx(float(bleu(after.sum(0)) - bleu(before.sum(0))))


@pytest.mark.slow
@pytest.mark.parametrize(("test", "method"), [("ar", "randomisation"), ("bs", "bootstrap")])
def test_p_values_match_sacrebleu(
    segments: list[dict[str, str]], statistics: dict[str, np.ndarray], test: str, method: str
) -> None:
    names = ["LMU-nmt-reranked.4934", "LMU-nmt-single.4893", "online-B.0"]
    systems = [
        (name, [row[f"newstest2017.{name}.en-de"] for row in segments])
        for name in (BASELINE, *names)
    ]
    references = [[row["reference"] for row in segments]]
    _, scores = PairedTest(systems, {"BLEU": METRIC}, references, test, n_samples=4000)()
    for name, theirs in zip(names, scores["BLEU"][1:], strict=True):
        ours = paired_test(
            statistics[BASELINE], statistics[name], kind="corpus", aggregate=bleu, method=method
        )
        assert ours.p_value == pytest.approx(theirs.p_value, abs=0.02)


def test_an_aggregate_that_takes_one_line_at_a_time_gives_the_same(
    statistics: dict[str, np.ndarray],
) -> None:
    before, after = statistics[BASELINE][:400], statistics["FBK.4870"][:400]
    fast = paired_test(before, after, kind="corpus", aggregate=bleu, draws=300)
    slow = paired_test(before, after, kind="corpus", aggregate=sacrebleu_score, draws=300)
    rows = paired_test(
        before, after, kind="corpus", aggregate=lambda rows: bleu(rows[:, :].sum(axis=0)), draws=300
    )
    for other in (slow, rows):
        assert other.p_value == fast.p_value
        assert other.low == pytest.approx(fast.low, rel=1e-6)


def test_an_error_rate_counts_down(statistics: dict[str, np.ndarray]) -> None:
    before, after = statistics[BASELINE], statistics["online-F.0"]
    result = paired_test(
        before,
        after,
        kind="corpus",
        aggregate=lambda sums: 100 - bleu(sums),
        higher_is_better=False,
        draws=500,
    )
    assert result.verdict == "worse"
    assert result.delta == pytest.approx(-9.9, abs=0.01)
