"""Measures of text in every script: perfect is perfect, other words are not; by whose tokens."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from steelyard.harness.errors import MetricError, MissingExtraError
from steelyard.harness.evaluation.metric_choice import as_lm_eval_measures, metric_for
from steelyard.harness.plugins import Sample, TaskTexts
from steelyard.tasks.metrics import tokenizers
from steelyard.tasks.metrics.answers import F1, ExactMatch
from steelyard.tasks.metrics.likelihood import BitsPerByte, WordPerplexity
from steelyard.tasks.metrics.summarisation import Rouge1, RougeL, rouge
from steelyard.tasks.metrics.translation import Bleu, Chrf, ChrfPlusPlus, CorpusText, Ter

PERFECT = [
    "नाव सुबह आठ बजे निकलती है",
    "面包店星期一关门",
    "المكتبة تفتح في التاسعة",
    "Трамвай ходит каждые десять минут",
    "湖は冬に凍ります",
    "ร้านเบเกอรี่ปิดวันจันทร์",
    "ហាងនំបិទនៅថ្ងៃច័ន្ទ",
    "빵집은 월요일에 닫는다",
    "הספרייה נפתחת בתשע",
    "Der Markt öffnet um sieben Uhr",
]
CHINESE = ["面包店星期一关门,星期二开门", "渡船早上八点离开码头", "图书馆在假期里开放"]
ANSWERS = ["面包店星期二关门,星期三开门", "渡船早上九点离开码头", "图书馆在假期里关闭"]


def sample(name: str, value: object, number: int = 0) -> Sample:
    return Sample("toy", str(number), {}, "", "", {name: value})


def corpus(metric: CorpusText, references: list[str], answers: list[str]) -> float:
    rows = [metric.statistics([r], a) for r, a in zip(references, answers, strict=True)]
    return metric.aggregate(np.array(rows))


@pytest.mark.parametrize("text", PERFECT)
def test_a_summary_equal_to_its_reference_scores_one_in_any_script(text: str) -> None:
    assert set(rouge([text], text).values()) == {1.0}


def test_words_that_share_their_ascii_letters_alone_are_other_words() -> None:
    assert rouge(["Žluťoučký"], "lu ou k")["rouge1"] == 0.0
    asked = rouge(["Žluťoučký"], "lu ou k", tokenizer="rouge_score")
    assert asked["rouge1"] == 1.0  # what rouge_score says of them


@given(
    st.text(alphabet=st.characters(max_codepoint=127), max_size=60),
    st.text(alphabet=st.characters(max_codepoint=127), max_size=60),
)
def test_unicode_tokens_give_rouge_scores_own_numbers_on_ascii_text(a: str, b: str) -> None:
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"], use_stemmer=True)
    theirs = {name: score.fmeasure for name, score in scorer.score(a, b).items()}
    ours = rouge([a], b, tokenizer="unicode")
    assert ours == (theirs if any(map(str.isalnum, a)) else {})


def test_a_hindi_vowel_sign_is_a_part_of_its_word() -> None:
    # कि and की share no word; tokens that stop at a vowel sign would be the same क.
    assert rouge(["कि"], "की")["rouge1"] == 0.0


def test_only_english_words_are_stemmed() -> None:
    french = Rouge1().for_task(TaskTexts(("été",), "fr"))
    english = Rouge1().for_task(TaskTexts(("été",), "en"))
    pair = sample("rouge1", ("running", "runs"))
    assert english.measure(pair, ()) == (1.0,)
    assert french.measure(pair, ()) == (0.0,)
    assert french.signature([pair]) == "tok:unicode-2|stem:no|refs:mean"


def test_one_tokenizer_measures_every_sample_of_a_task() -> None:
    # The second document alone would be cut by rouge_score's: caf and na ve.
    values = [rouge(["naïf"], "naïf"), rouge(["caf na ve"], "café naïve")]
    metric = Rouge1().for_task(TaskTexts(("naïf", "caf na ve")))
    samples = [sample("rouge1", value["rouge1"], i) for i, value in enumerate(values)]
    assert [value["rouge1"] for value in values] == [1.0, 1.0]
    assert [metric.measure(each, ()) for each in samples] == [(1.0,), (0.0,)]
    assert metric.signature(samples) == "tok:unicode-2|stem:porter|refs:mean"
    ascii_task = Rouge1().for_task(TaskTexts(("caf na ve",)))
    assert ascii_task.measure(samples[1], ()) == (1.0,)
    assert ascii_task.signature(samples[1:]) == "tok:rouge_score|stem:porter|refs:mean"


def test_rouge_scores_own_tokenizer_is_used_where_a_task_asks_for_it() -> None:
    metric = RougeL(tokenizer="rouge_score").for_task(TaskTexts(("Žluťoučký",)))
    pair = sample("rougeL", ("Žluťoučký", "lu ou k"))
    assert metric.measure(pair, ()) == (1.0,)
    assert metric.signature([pair]) == "tok:rouge_score|stem:porter|refs:mean"


def test_a_reference_without_a_token_is_no_reference() -> None:
    assert rouge(["..."], "words") == {} == rouge([""], "words")
    assert rouge(["...", "words"], "words")["rouge1"] == 1.0
    assert rouge(["नाव"], "नाव", tokenizer="rouge_score") == {}
    assert rouge(["words"], "")["rouge1"] == 0.0  # silence is an answer, and a wrong one
    assert Rouge1().measure(sample("rouge1", ("!!", "words")), ()) is None


def test_a_number_of_rouge_is_a_number_wherever_it_goes() -> None:
    number = rouge(["été"], "été")["rouge1"]
    assert number + 1 == 2.0 and repr(number) == "1.0"
    again: Any = pickle.loads(pickle.dumps(number))
    assert (again, again.rules, again.references) == (1.0, number.rules, ("été",))


def test_chinese_bleu_is_sacrebleus_with_its_tokenizer() -> None:
    theirs = sacrebleu.corpus_bleu(ANSWERS, [CHINESE], tokenize="zh").score
    assert round(theirs, 2) == 66.40
    for texts in (TaskTexts(tuple(CHINESE)), TaskTexts(tuple(CHINESE), "zh-Hans")):
        metric = Bleu().for_task(texts)
        assert corpus(metric, CHINESE, ANSWERS) == pytest.approx(theirs, rel=1e-12)
        assert "tok:zh" in metric.signature([]) and metric.remark is None
    assert corpus(Bleu(), CHINESE, ANSWERS) == pytest.approx(theirs, rel=1e-12)


def test_13a_on_text_without_spaces_gives_sacrebleus_number_and_says_what_it_is_worth() -> None:
    metric = Bleu(tokenize="13a").for_task(TaskTexts(tuple(CHINESE), "zh"))
    assert corpus(metric, CHINESE, ANSWERS) == 0.0
    assert "finds no words" in str(metric.remark) and "zh" in str(metric.remark)
    cut = TaskTexts(("面包 店 星期一 关门", "渡船 早上 八点 离开"))
    assert Bleu().for_task(cut).tokenize == "13a"  # the task has cut its words itself


@pytest.mark.parametrize(
    ("language", "tokenizer"),
    [
        ("zh", "zh"), ("zho_Hans", "zh"), ("yue", "zh"), ("th", "char"), ("km", "char"),
        ("lo", "char"), ("my", "char"), ("de", "13a"), ("hi", "13a"),
    ],
)  # fmt: skip
def test_a_tasks_language_chooses_the_tokenizer(language: str, tokenizer: str) -> None:
    texts = TaskTexts(("eins zwei drei vier",), language)
    assert Bleu().for_task(texts).tokenize == tokenizer


def test_the_script_of_the_answers_chooses_where_no_language_is_named() -> None:
    chosen = {text: Bleu().for_task(TaskTexts((text,))).tokenize for text in PERFECT}
    assert [chosen[text] for text in PERFECT] == [
        "13a", "zh", "13a", "13a", "char", "char", "char", "13a", "13a", "13a"
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["བྱི་ལ་ནི་གདན་གྱི་སྟེང་ན་ཡོད།", "ꀊꀋꀌꀍꀎꀏ", "ꦲꦤꦕꦫꦏꦢꦠ"])
def test_sacrebleus_chinese_tokenizer_is_for_chinese_alone(text: str) -> None:
    """Tibetan, Yi and Javanese have no spaces between words either, and it parts none of them."""
    bleu = Bleu().for_task(TaskTexts((text,)))
    assert bleu.tokenize == "char"
    assert corpus(bleu, [text], [text]) == pytest.approx(100)


def test_a_task_that_is_partly_written_without_spaces_says_so() -> None:
    texts = TaskTexts(("the cat sat on the mat in the hall",) * 18 + ("猫坐在垫子上。",) * 2)
    for metric in (Bleu(), Ter(), ChrfPlusPlus()):
        fitted: Any = metric.for_task(texts)
        assert str(fitted.remark).startswith("2 of 20 right answers are written without spaces")
    assert Bleu().for_task(TaskTexts(texts.references[:-1] * 2)).remark is not None
    rare = TaskTexts(texts.references[:18] * 3 + ("猫坐在垫子上。",))
    assert Bleu().for_task(rare).remark is None


@pytest.mark.parametrize("value", [("a b c d", ["a b", "c d"]), ([["a b", "c d"]], "a b c d")])
def test_a_list_of_texts_is_no_text(value: object) -> None:
    with pytest.raises(MetricError, match="needs texts, not lists of texts"):
        Bleu().measure(sample("bleu", value), ())


def test_a_dictionary_that_is_not_installed_is_replaced_by_characters_or_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = TaskTexts(("湖は冬に凍ります",), "ja")
    monkeypatch.setattr(tokenizers, "find_spec", lambda _: None)
    assert tokenizers.tokenizer_for(texts) == "char"
    with pytest.raises(MissingExtraError, match=r"steelyard\[japanese\]"):
        Bleu(tokenize="ja-mecab").for_task(texts)
    monkeypatch.setattr(tokenizers, "find_spec", lambda _: object())
    assert tokenizers.tokenizer_for(texts) == "ja-mecab"


def test_a_tokenizer_that_is_not_there_is_refused_before_anything_is_fetched() -> None:
    with pytest.raises(MetricError, match="did you mean '13a'"):
        Bleu(tokenize="13b").for_task(TaskTexts(("a b c d",)))
    with pytest.raises(MetricError, match="flores200"):
        Bleu(tokenize="flores200").for_task(TaskTexts(("a b c d",)))


@pytest.mark.parametrize(
    ("language", "reference", "answer"),
    [
        (
            "ja",
            "湖は冬に凍ります。子供は滑ります",
            "湖は冬に凍りました。子供は滑ります",
        ),
        (
            "ko",
            "빵집은 월요일에 닫고 화요일에 연다",
            "빵집은 일요일에 닫고 화요일에 연다",
        ),
    ],
)
def test_japanese_and_korean_bleu_are_sacrebleus_by_their_dictionaries(
    language: str, reference: str, answer: str
) -> None:
    metric = Bleu().for_task(TaskTexts((reference,), language))
    theirs = sacrebleu.corpus_bleu([answer], [[reference]], tokenize=f"{language}-mecab").score
    assert corpus(metric, [reference], [answer]) == pytest.approx(theirs, rel=1e-12)
    assert f"tok:{language}-mecab" in metric.signature([]) and theirs > 20


def test_ter_counts_characters_where_no_space_parts_words() -> None:
    chinese = Ter().for_task(TaskTexts(tuple(CHINESE)))
    theirs = sacrebleu.corpus_ter(ANSWERS, [CHINESE], normalized=True, asian_support=True).score
    assert corpus(chinese, CHINESE, ANSWERS) == pytest.approx(theirs, rel=1e-12)
    assert "asian:yes" in chinese.signature([])
    thai = Ter().for_task(TaskTexts(("ร้านปิด",)))
    assert corpus(thai, ["ร้านปิด"], ["ร้านปิง"]) == pytest.approx(100 / 7)  # 1 of 7 code points
    assert "tok:char" in thai.signature([])
    german = Ter().for_task(TaskTexts(("Der Markt öffnet",)))
    assert german.tokenize == "tercom" and "norm:no" in german.signature([])


def test_chrf_plus_plus_says_where_its_words_are_sentences() -> None:
    assert "sentences" in str(ChrfPlusPlus().for_task(TaskTexts(tuple(CHINESE))).remark)
    assert ChrfPlusPlus().for_task(TaskTexts(("ein Satz",))).remark is None


@pytest.mark.parametrize("metric", [Bleu(), Chrf(), ChrfPlusPlus()])
def test_a_perfect_translation_in_another_canonical_form_is_perfect(metric: CorpusText) -> None:
    reference = "Žluťoučký kůň úpěl ďábelské ódy"
    import unicodedata

    answer = unicodedata.normalize("NFD", reference)
    assert corpus(metric, [reference], [answer]) == pytest.approx(100)


def test_bleu_of_answers_that_are_all_shorter_than_four_tokens_is_not_defined() -> None:
    pair = sample("bleu", ("Guten Morgen", "Guten Morgen"))
    assert sacrebleu.corpus_bleu(["Guten Morgen"], [["Guten Morgen"]]).score == pytest.approx(0.0)
    short = Bleu().for_task(TaskTexts(("Guten Morgen",)))
    assert short.measure(pair, ()) is None
    assert short.reason(pair) == "right answers too short" and "chrF" in str(short.remark)
    mixed = Bleu().for_task(TaskTexts(("Guten Morgen", "Der Markt öffnet um sieben")))
    assert mixed.measure(pair, ()) is not None


def test_none_is_no_word_and_a_lacking_reference_does_not_count() -> None:
    assert Bleu().measure(sample("bleu", (None, "None")), ()) is None
    assert Bleu().measure(sample("bleu", ("None of them came", None)), ()) is None
    assert Bleu().measure(sample("bleu", (math.nan, "nan")), ()) is None
    both = Bleu().measure(sample("bleu", (["a b c d", "", None], "a b c d")), ())
    assert both == Bleu().measure(sample("bleu", ("a b c d", "a b c d")), ())


@pytest.mark.parametrize("metric", [Bleu(), RougeL()], ids=["bleu", "rougeL"])
def test_an_answer_that_was_not_given_is_no_empty_reference(metric: Bleu | RougeL) -> None:
    unanswered = sample(metric.name, ("None of them came", None))
    assert metric.measure(unanswered, ()) is None and metric.reason(unanswered) is None
    empty = sample(metric.name, ("", "None of them came"))
    assert metric.measure(empty, ()) is None and metric.reason(empty) == "empty reference"


def test_documents_with_more_and_fewer_references_keep_all_of_them() -> None:
    references = [["the cat sat on the mat", "a cat was on the mat"], ["dogs bark at night"]]
    answers = ["a cat was on the mat", "dogs bark at night"]
    rows = [Bleu().statistics(r, a) for r, a in zip(references, answers, strict=True)]
    assert Bleu().aggregate(np.array(rows)) == pytest.approx(100)
    samples = [
        sample("bleu", pair, i) for i, pair in enumerate(zip(references, answers, strict=True))
    ]
    assert Bleu().signature(samples).startswith("nrefs:var|")


def test_numbers_that_lm_eval_made_are_read_by_its_own_rules() -> None:
    bleu: Any = as_lm_eval_measures(Bleu())
    assert corpus(bleu, CHINESE, ANSWERS) == 0.0  # as lm-eval's bleu prints
    samples = [sample("bleu", pair, i) for i, pair in enumerate(zip(CHINESE, ANSWERS, strict=True))]
    assert "tok:13a" in bleu.signature(samples)


def test_a_task_may_give_texts_for_f1_and_exact_match() -> None:
    names = TaskTexts(("北京市", "Café Müller"))
    f1, match = F1().for_task(names), ExactMatch().for_task(names)
    pair = (["北京市", "上海"], "北京")
    assert f1.measure(sample("f1", pair), ()) == (pytest.approx(0.8),)
    assert match.measure(sample("exact_match", (["Café Müller"], "Cafe\u0301 Müller ")), ()) == (
        1.0,
    )
    assert match.measure(sample("exact_match", pair), ()) == (0.0,)
    assert f1.signature([sample("f1", pair)]) == "answers:unicode-2"
    assert match.signature([sample("exact_match", pair)]) == "text:unicode-2"
    assert f1.measure(sample("f1", (["..."], "Paris")), ()) is None
    assert f1.measure(sample("f1", 0.25), ()) == (0.25,)
    chosen = metric_for("f1", True, sample("f1", pair))
    labels = metric_for("f1", True, sample("f1", (1, 0)))
    assert chosen is not None and labels is not None
    assert (chosen.name, labels.name) == ("f1", "binary_f1")


def test_words_that_no_space_parts_are_no_unit_of_perplexity() -> None:
    chinese = TaskTexts(tuple(CHINESE))
    value = (-40.0, 1)
    metric = WordPerplexity().for_task(chinese)
    asked = sample("word_perplexity", value)
    assert metric.measure(asked, ()) is None and metric.reason(asked) == "text without spaces"
    assert "bits_per_byte" in str(metric.remark)
    assert BitsPerByte().for_task(chinese).measure(sample("bits_per_byte", value), ()) == value
    assert WordPerplexity().for_task(TaskTexts(("ein Satz",))).measure(asked, ()) == value
