"""Numbers that others published or that the reference implementation gives, on real outputs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu

from steelyard.harness.plugins.protocols import Sample
from steelyard.tasks.metrics.summarisation import rouge
from steelyard.tasks.metrics.translation import Bleu, Chrf, ChrfPlusPlus, CorpusText, Ter


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture(scope="module")
def wmt17(real_data: Path) -> list[dict[str, str]]:
    return read(real_data / "wmt17_ende" / "segments.jsonl")


def corpus_score(metric: CorpusText, segments: list[dict[str, str]], system: str) -> float:
    rows = [metric.statistics([s["reference"]], s[system]) for s in segments]
    return metric.aggregate(np.array(rows))


def test_bart_on_dialogsum_scores_the_published_rouge(real_data: Path) -> None:
    # The published figure stands against the first of the three references.
    documents = read(real_data / "dialogsum" / "test.jsonl")
    output = (real_data / "dialogsum" / "bart_test_output.txt").read_text(encoding="utf-8")
    types = ("rouge1", "rouge2", "rougeL")
    scores = [
        [rouge([document["summary1"]], summary, types=types)[name] for name in types]
        for document, summary in zip(documents, output.split("\n"), strict=True)
    ]
    assert 100 * np.mean(scores, axis=0) == pytest.approx([45.91, 21.32, 38.71], abs=0.05)


def test_lium_on_wmt17_scores_the_published_bleu(wmt17: list[dict[str, str]]) -> None:
    metric = Bleu(tokenize="none")
    score = corpus_score(metric, wmt17, "newstest2017.LIUM-NMT.4900.en-de")
    assert round(score, 2) == 21.61


@pytest.mark.slow
def test_every_wmt17_system_scores_what_sacrebleu_gives(wmt17: list[dict[str, str]]) -> None:
    references = [[segment["reference"] for segment in wmt17]]
    systems = [name for name in wmt17[0] if name != "reference"]
    assert len(systems) == 10
    for system in systems:
        output = [segment[system] for segment in wmt17]
        theirs = sacrebleu.corpus_bleu(output, references, tokenize="none", force=True).score
        assert corpus_score(Bleu(tokenize="none"), wmt17, system) == pytest.approx(
            theirs, rel=1e-12
        )


def test_chrf_and_ter_of_real_systems_are_what_sacrebleu_gives(
    wmt17: list[dict[str, str]],
) -> None:
    segments = wmt17[:150]
    references = [[segment["reference"] for segment in segments]]
    for system in list(segments[0])[1:4]:
        output = [segment[system] for segment in segments]
        assert corpus_score(Chrf(), segments, system) == pytest.approx(
            sacrebleu.corpus_chrf(output, references).score, rel=1e-12
        )
        assert corpus_score(ChrfPlusPlus(), segments, system) == pytest.approx(
            sacrebleu.corpus_chrf(output, references, word_order=2).score, rel=1e-12
        )
        assert corpus_score(Ter(), segments, system) == pytest.approx(
            sacrebleu.corpus_ter(output, references).score, rel=1e-12
        )


def test_several_references_score_as_in_sacrebleu(real_data: Path) -> None:
    documents = read(real_data / "dialogsum" / "test.jsonl")[:100]
    output = (real_data / "dialogsum" / "bart_test_output.txt").read_text().split("\n")[:100]
    references = [[d[f"summary{i}"] for d in documents] for i in (1, 2, 3)]
    rows = [
        Bleu().statistics([d[f"summary{i}"] for i in (1, 2, 3)], summary)
        for d, summary in zip(documents, output, strict=True)
    ]
    theirs = sacrebleu.corpus_bleu(output, references).score
    assert Bleu().aggregate(np.array(rows)) == pytest.approx(theirs, rel=1e-12)


def test_bleu_carries_sacrebleus_signature() -> None:
    sample = Sample("toy", "0", {}, "", "", {"bleu": (["a b", "a c"], "a b")})
    found = Bleu(tokenize="none").signature([sample])
    assert found.startswith("nrefs:2|case:mixed|eff:no|tok:none|smooth:exp|version:")


XSUM_SYSTEMS = {
    "bert_withckpt": "BERTS2S",
    "bert_nockpt": "TranS2S",
    "ptgen": "PtGen",
    "tconvs2s": "TConvS2S",
}


def test_xsum_summaries_score_the_published_rouge_one_by_one(real_data: Path) -> None:
    folder = real_data / "xsum_hallucination"
    with (folder / "hallucination_annotations_xsum_summaries.csv").open(encoding="utf-8") as file:
        summaries = {(row["system"], row["bbcid"]): row["summary"] for row in csv.DictReader(file)}
    with (folder / "eval_scores_xsum_summaries.csv").open(encoding="utf-8") as file:
        published = list(csv.DictReader(file))
    close = {"R1": 0, "R2": 0, "RL": 0}
    rows = 0
    for row in published:
        system, bbcid = row["system_bbcid"].rsplit("_", 1)
        summary = summaries.get((XSUM_SYSTEMS[system], bbcid))
        if summary is None:
            continue
        rows += 1
        # Made by rouge_score, whose tokens leave out the é of a name.
        scores = rouge(
            [summaries["Gold", bbcid]],
            summary,
            types=("rouge1", "rouge2", "rougeL"),
            tokenizer="rouge_score",
        )
        for column, name in zip(close, scores, strict=True):
            close[column] += abs(float(row[column]) - scores[name]) <= 0.005
    assert rows > 1900
    shares = {column: count / rows for column, count in close.items()}
    assert shares["R1"] >= 0.90 and shares["R2"] >= 0.99 and shares["RL"] >= 0.94, shares
