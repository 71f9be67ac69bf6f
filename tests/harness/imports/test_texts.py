"""Text files become a run whose scores are those of sacreBLEU and rouge_score themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.imports import TextSettings, read_texts
from tests.harness.imports.conftest import Steelyard

RIGHT = ["The cat sat on the mat today.", "It rains in the old town again.", "He went home early."]
OTHER = ["A cat was sitting on the mat.", "", "He left for home early."]
ANSWER = ["The cat sat on a mat today.", "It rains in the town.", ""]


def file(folder: Path, name: str, lines: list[str], end: str = "\n") -> Path:
    (folder / name).write_bytes("".join(line + end for line in lines).encode())
    return folder / name


def test_the_scores_are_those_of_the_reference_implementations(tmp_path: Path) -> None:
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    imported = read_texts(file(tmp_path, "h.txt", ANSWER), [file(tmp_path, "r.txt", RIGHT)])
    scores = {s.metric: s for s in imported.run.scores}
    assert scores["bleu"].value == pytest.approx(sacrebleu.corpus_bleu(ANSWER, [RIGHT]).score)
    assert scores["chrf"].value == pytest.approx(sacrebleu.corpus_chrf(ANSWER, [RIGHT]).score)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    each = [scorer.score(r, a) for r, a in zip(RIGHT, ANSWER, strict=True)]
    for name in ("rouge1", "rouge2", "rougeL"):
        mean = sum(e[name].fmeasure for e in each) / 3
        assert scores[name].value == pytest.approx(mean)
        assert scores[name].n == 3  # the empty hypothesis is an answer
    assert "tok:13a" in (scores["bleu"].signature or "")
    assert scores["bleu"].primary and imported.samples[1].responses == (ANSWER[1],)


def test_an_empty_line_of_one_reference_is_no_reference(tmp_path: Path) -> None:
    import sacrebleu

    paths = [file(tmp_path, "r.txt", RIGHT), file(tmp_path, "r2.txt", OTHER)]
    imported = read_texts(
        file(tmp_path, "h.txt", ANSWER), paths, TextSettings(metrics=("bleu", "ter"))
    )
    expected = sacrebleu.corpus_bleu(ANSWER, [RIGHT, [OTHER[0], None, OTHER[2]]])  # type: ignore[list-item]
    assert imported.run.scores[0].value == pytest.approx(expected.score)
    assert imported.run.scores[1].higher_is_better is False
    alone = read_texts(tmp_path / "h.txt", [file(tmp_path, "r3.txt", OTHER)])
    assert alone.run.scores[0].unscored == 1


def test_lines_end_where_an_end_of_line_stands(tmp_path: Path) -> None:
    # U+2028 and U+0085 end a line for str.splitlines, and would shift every line behind them.
    odd = [f"{ANSWER[0]}\u2028{ANSWER[1]}\x85", ANSWER[1], ANSWER[2]]
    windows = file(tmp_path, "r.txt", RIGHT, end="\r\n")
    imported = read_texts(file(tmp_path, "h.txt", odd), [windows])
    assert len(imported.samples) == 3
    assert imported.samples[2].target == '["He went home early."]'
    with pytest.raises(DataError, match=r"h\.txt.*line 1 holds a carriage return alone"):
        read_texts(file(tmp_path, "h.txt", ["a\rb", "c", "d"]), [windows])


def test_files_that_do_not_go_together_are_refused_by_name(tmp_path: Path) -> None:
    hypothesis, short = file(tmp_path, "h.txt", ANSWER), file(tmp_path, "r.txt", RIGHT[:2])
    with pytest.raises(DataError, match=r"r\.txt.*2 lines, but h\.txt has 3"):
        read_texts(hypothesis, [short])
    with pytest.raises(DataError, match=r"'acc' is no metric of texts"):
        read_texts(hypothesis, [hypothesis], TextSettings(metrics=("acc",)))
    with pytest.raises(DataError, match=r"none\.txt.*cannot be read"):
        read_texts(hypothesis, [tmp_path / "none.txt"])


def test_which_file_is_which_belongs_to_the_run(tmp_path: Path) -> None:
    one, other = file(tmp_path, "a.txt", ANSWER[:2]), file(tmp_path, "b.txt", RIGHT[:2])
    settings = TextSettings(name="x", metrics=("bleu",))
    assert read_texts(one, [other], settings).run.id != read_texts(other, [one], settings).run.id


def test_two_models_texts_are_compared(steelyard: Steelyard) -> None:
    right = file(Path(), "r.txt", [f"the {n} old men went home early again" for n in range(30)])
    for name, answer in (("base", "the {} old men went home"), ("new", "they had gone")):
        path = file(Path(), f"{name}.txt", [answer.format(n) for n in range(30)])
        done = steelyard("import", "text", "--hypothesis", path, "--reference", right, "-m", "chrf")
        assert done.code == 0 and "30 samples" in done.out, done.err
    Path("policy.yaml").write_text(
        "baseline: imported/base\nrules:\n  - {task: text, metric: chrf, margin: 5}\n"
    )
    assert steelyard("gate", "imported/new", "--policy", "policy.yaml").code == 1
